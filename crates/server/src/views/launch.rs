//! The URL of a Cloud PC's screen: `cloudPcLaunchDetail`, and the older `cloudPcLaunchInfo`.

use cloudpc_model::CloudPcId;
use serde::Serialize;

use super::Shown;

/// A Cloud PC and the URL of its screen.
#[derive(Debug)]
pub struct Launch {
    /// The Cloud PC.
    pub cloud_pc_id: CloudPcId,
    /// The single-use URL of its screen.
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

/// Returns `cloudPcLaunchDetail`. Windows 365 Switch works only with the real service.
pub fn launch_detail(launch: &Launch) -> LaunchDetailView<'_> {
    LaunchDetailView {
        cloud_pc_id: Shown(launch.cloud_pc_id),
        cloud_pc_launch_url: &launch.url,
        windows365_switch_compatible: false,
        windows365_switch_compatibility_failure_reason_type: "hardwareNotSupported",
    }
}

/// Returns `cloudPcLaunchInfo`, the older form.
pub fn launch_info(launch: &Launch) -> LaunchInfoView<'_> {
    LaunchInfoView {
        cloud_pc_id: Shown(launch.cloud_pc_id),
        cloud_pc_launch_url: &launch.url,
        windows365_switch_compatible: false,
        windows365_switch_not_compatible_reason: "CPCHardwareNotMeetRequirement",
    }
}
