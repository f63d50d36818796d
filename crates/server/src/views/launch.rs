//! Where a Cloud PC can be opened: `cloudPcLaunchDetail`, and `cloudPcLaunchInfo`, which it
//! succeeds.

use cloudpc_model::CloudPcId;
use serde::Serialize;

use super::Shown;

/// A Cloud PC and the address of its screen.
#[derive(Debug)]
pub struct Launch {
    /// Which.
    pub cloud_pc_id: CloudPcId,
    /// Where.
    pub url: String,
}

/// `cloudPcLaunchDetail`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchDetailView<'a> {
    cloud_pc_id: Shown<CloudPcId>,
    cloud_pc_launch_url: &'a str,
    windows365_switch_compatible: bool,
    windows365_switch_compatibility_failure_reason_type: &'static str,
}

/// `cloudPcLaunchInfo`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchInfoView<'a> {
    cloud_pc_id: Shown<CloudPcId>,
    cloud_pc_launch_url: &'a str,
    windows365_switch_compatible: bool,
    windows365_switch_not_compatible_reason: &'static str,
}

/// Windows 365 Switch opens the real service's machines only.
pub fn launch_detail(launch: &Launch) -> LaunchDetailView<'_> {
    LaunchDetailView {
        cloud_pc_id: Shown(launch.cloud_pc_id),
        cloud_pc_launch_url: &launch.url,
        windows365_switch_compatible: false,
        windows365_switch_compatibility_failure_reason_type: "hardwareNotSupported",
    }
}

/// The same in the older form.
pub fn launch_info(launch: &Launch) -> LaunchInfoView<'_> {
    LaunchInfoView {
        cloud_pc_id: Shown(launch.cloud_pc_id),
        cloud_pc_launch_url: &launch.url,
        windows365_switch_compatible: false,
        windows365_switch_not_compatible_reason: "CPCHardwareNotMeetRequirement",
    }
}
