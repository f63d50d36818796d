//! The Cloud PC and what it refers to.
//!
//! Three questions are kept apart: what it should be (`service_plan_id`, `power_intended`…), what is being done to it (`status` and its
//! open action), and what the driver says it is (`power_observed`).

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumString, IntoStaticStr};

use crate::{CloudPcId, ImageId, ManagedDeviceId, ServicePlanId, SnapshotId, TenantId, Timestamp, UserId};

/// A Cloud PC as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudPc {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id; stays the same for life.
    pub id: CloudPcId,
    /// Its id in device management; stays the same over a reprovision, so that a client that follows an action by it finds the end.
    pub managed_device_id: ManagedDeviceId,
    /// Its id in the directory.
    pub aad_device_id: uuid::Uuid,
    /// The name people see; changed by rename.
    pub display_name: String,
    /// The name of the device, e.g. `CPC-ada-4F7Q2`.
    pub managed_device_name: String,
    /// Whose it is.
    pub user_id: UserId,
    /// Whose it is, e.g. `ada@contoso.test`.
    pub user_principal_name: String,
    /// Its size.
    pub service_plan_id: ServicePlanId,
    /// What it is provisioned from.
    pub image_id: ImageId,
    /// The policy that made it; empty if none did.
    pub provisioning_policy_id: String,
    /// That policy's name.
    pub provisioning_policy_name: String,
    /// Region, e.g. `westus3`.
    pub region: String,
    /// Edition.
    pub product: Product,
    /// Life cycle.
    pub status: CloudPcStatus,
    /// The status before the action that has taken it out of use, while that is under way.
    pub status_before: Option<CloudPcStatus>,
    /// Why the status is what it is, when there is something to say.
    pub status_detail: Option<StatusDetail>,
    /// What the power state should be.
    pub power_intended: Power,
    /// What the driver last said it is.
    pub power_observed: Power,
    /// Operating system.
    pub os_version: OsVersion,
    /// What the user may do on it.
    pub user_account_type: UserAccountType,
    /// Latest provisioning or reprovisioning.
    pub provisioned_at: Option<Timestamp>,
    /// End of the grace period, while in it.
    pub grace_ends_at: Option<Timestamp>,
    /// Latest change.
    pub modified_at: Timestamp,
    /// When it was first made.
    pub created_at: Timestamp,
}

/// `cloudPcStatusDetail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusDetail {
    /// For programs; an open list.
    pub code: String,
    /// For people.
    pub message: String,
}

/// `cloudPcStatus`, those members that this service uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum CloudPcStatus {
    /// Licensed; no policy applies yet.
    NotProvisioned,
    /// Being built, or rebuilt.
    Provisioning,
    /// Ready.
    Provisioned,
    /// Usable; something was not applied.
    ProvisionedWithWarnings,
    /// Lost its licence or assignment; still usable for a while.
    InGracePeriod,
    /// Being deleted.
    Deprovisioning,
    /// A change failed and was not undone.
    Failed,
    /// Its size is being changed.
    Resizing,
    /// It goes back to a restore point.
    Restoring,
}

/// `cloudPcPowerState`, and what a driver may have to say besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum Power {
    /// Powered on.
    Running,
    /// Powered off.
    PoweredOff,
    /// A call went out and its outcome is not known; only looking settles it.
    Unknown,
}

/// `cloudPcProductType`, those members that this service uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum Product {
    /// One user, one licence, managed by an organisation.
    Enterprise,
    /// For smaller organisations; the edition that partners deploy to in the real service.
    Business,
    /// Shared licences; may be powered on and off.
    Frontline,
}

/// `cloudPcOperatingSystem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum OsVersion {
    /// Windows 10.
    Windows10,
    /// Windows 11.
    Windows11,
}

/// With this build of version 10.0 Windows 11 begins, as Microsoft counts.
const WINDOWS_11_BUILD: u32 = 22000;

impl OsVersion {
    /// The system that a version number of Windows is of, such as `10.0.22631.3880`; none if it is of neither.
    pub fn of_number(number: &str) -> Option<Self> {
        let parts: Vec<u32> = number.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        match parts[..] {
            [10, 0, build] | [10, 0, build, _] if build < WINDOWS_11_BUILD => Some(Self::Windows10),
            [10, 0, _] | [10, 0, _, _] => Some(Self::Windows11),
            _ => None,
        }
    }

    /// A version number that stands for the system where no better one is known.
    pub fn number(self) -> &'static str {
        match self {
            Self::Windows10 => "10.0.19045",
            Self::Windows11 => "10.0.22000",
        }
    }
}

/// `cloudPcUserAccountType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum UserAccountType {
    /// No administrative rights.
    StandardUser,
    /// Administrator of this Cloud PC.
    Administrator,
}

/// `cloudPcServicePlan`: a size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// Its id.
    pub id: ServicePlanId,
    /// e.g. `Cloud PC Enterprise 2vCPU/8GB/128GB`.
    pub display_name: String,
    /// Virtual processors.
    pub vcpu_count: u32,
    /// Memory, GiB.
    pub ram_gib: u32,
    /// Disk, GiB.
    pub storage_gib: u32,
    /// Edition that it is for.
    pub product: Product,
    /// Whether it has a graphics processor; such machines cannot be resized.
    pub gpu: bool,
}

/// `cloudPcGalleryImage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GalleryImage {
    /// `<publisher>_<offer>_<sku>`.
    pub id: ImageId,
    /// For people.
    pub display_name: String,
    /// Size of its disk, GiB.
    pub size_gib: u32,
    /// Operating system in it.
    pub os_version: OsVersion,
    /// Version number of that, such as `10.0.22631.3880`, if somebody has told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version_number: Option<String>,
}

/// `cloudPcSnapshot`: a restore point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: SnapshotId,
    /// Of which Cloud PC.
    pub cloud_pc_id: CloudPcId,
    /// How it came to be.
    pub snapshot_type: SnapshotType,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last restored.
    pub last_restored_at: Option<Timestamp>,
}

/// `cloudPcSnapshotType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum SnapshotType {
    /// By the schedule.
    Automatic,
    /// Asked for.
    Manual,
}
