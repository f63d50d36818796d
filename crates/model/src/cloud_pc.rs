//! The Cloud PC and the entities it refers to.
//!
//! Intended state (`service_plan_id`, `power_intended`…), work in progress (`status` and the open
//! action) and observed state (`power_observed`) are separate.

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumString, IntoStaticStr};

use crate::{CloudPcId, ImageId, ManagedDeviceId, ServicePlanId, SnapshotId, TenantId, Timestamp, UserId};

/// A Cloud PC as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudPc {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id; never changes.
    pub id: CloudPcId,
    /// Id in device management; kept by a reprovision, so that clients can follow the action by it.
    pub managed_device_id: ManagedDeviceId,
    /// Device id in the directory.
    pub aad_device_id: uuid::Uuid,
    /// Display name; changed by rename.
    pub display_name: String,
    /// Device name, e.g. `CPC-ada-4F7Q2`.
    pub managed_device_name: String,
    /// Assigned user; of a shared Cloud PC, the user who is connected, if anyone is.
    pub user_id: Option<UserId>,
    /// User principal name of that user, e.g. `ada@contoso.test`; empty if there is none.
    pub user_principal_name: String,
    /// Service plan (size).
    pub service_plan_id: ServicePlanId,
    /// Image it was provisioned from.
    pub image_id: ImageId,
    /// Provisioning policy that created it; empty if none.
    pub provisioning_policy_id: String,
    /// Name of that policy.
    pub provisioning_policy_name: String,
    /// Region, e.g. `westus3`.
    pub region: String,
    /// Whether users are signed in by single sign-on.
    pub single_sign_on: bool,
    /// Product type.
    pub product: Product,
    /// Who uses it.
    pub provisioning_type: ProvisioningType,
    /// What its user sees.
    pub user_experience_type: UserExperienceType,
    /// Since when the present user of a shared Cloud PC is connected.
    pub session_started_at: Option<Timestamp>,
    /// Id of the on-premises connection that it was provisioned with; empty if none.
    pub on_premises_connection_id: String,
    /// Life cycle status.
    pub status: CloudPcStatus,
    /// Status before the action in progress, if that action makes the Cloud PC unusable.
    pub status_before: Option<CloudPcStatus>,
    /// Reason for the status, if there is one.
    pub status_detail: Option<StatusDetail>,
    /// Intended power state.
    pub power_intended: Power,
    /// Power state last reported by the driver.
    pub power_observed: Power,
    /// Operating system.
    pub os_version: OsVersion,
    /// Account type of the user.
    pub user_account_type: UserAccountType,
    /// Time of the last provisioning or reprovisioning.
    pub provisioned_at: Option<Timestamp>,
    /// End of the grace period, while in it.
    pub grace_ends_at: Option<Timestamp>,
    /// Time of the last change.
    pub modified_at: Timestamp,
    /// Creation time.
    pub created_at: Timestamp,
}

impl CloudPc {
    /// Returns whether changes of its policy are brought to the Cloud PC: it was provisioned, is
    /// not in its grace period, and can be changed. The store selects Cloud PCs by the same
    /// condition.
    pub fn takes_policy_changes(&self) -> bool {
        use CloudPcStatus::{Deprovisioning, Failed, NotProvisioned, ResizePendingLicense};
        self.provisioned_at.is_some()
            && self.grace_ends_at.is_none()
            && !matches!(self.status, NotProvisioned | Failed | Deprovisioning | ResizePendingLicense)
    }

    /// Sets the status of a usable Cloud PC by its grace period.
    pub fn update_grace_status(&mut self) {
        use CloudPcStatus::{InGracePeriod, Provisioned, ProvisionedWithWarnings};
        self.status = match (self.status, self.grace_ends_at) {
            (Provisioned | ProvisionedWithWarnings, Some(_)) => InGracePeriod,
            (InGracePeriod, None) if self.status_detail.is_some() => ProvisionedWithWarnings,
            (InGracePeriod, None) => Provisioned,
            (other, _) => other,
        };
    }

    /// Returns whether the Cloud PC belongs to a group, whose members take turns on it.
    pub fn is_shared(&self) -> bool {
        self.provisioning_type == ProvisioningType::SharedByEntraGroup
    }

    /// Returns whether a user can be connected to a shared Cloud PC that no user has now.
    pub fn is_free(&self) -> bool {
        use CloudPcStatus::{Provisioned, ProvisionedWithWarnings};
        self.is_shared()
            && self.user_id.is_none()
            && matches!(self.status, Provisioned | ProvisionedWithWarnings)
            && self.power_intended == Power::Running
    }

    /// Returns whether a resize of the Cloud PC waits for a licence of the new size.
    pub fn waits_for_license(&self) -> bool {
        let waiting = CloudPcStatus::ResizePendingLicense;
        self.status == waiting || self.status_before == Some(waiting)
    }

    /// Makes the status what it was before a resize waited for a licence.
    pub fn end_license_wait(&mut self) {
        let before = match self.status_detail {
            Some(_) => CloudPcStatus::ProvisionedWithWarnings,
            None => CloudPcStatus::Provisioned,
        };
        for status in [Some(&mut self.status), self.status_before.as_mut()].into_iter().flatten() {
            if *status == CloudPcStatus::ResizePendingLicense {
                *status = before;
            }
        }
    }
}

/// `cloudPcStatusDetail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusDetail {
    /// Code for programs; an open set.
    pub code: String,
    /// Message for people.
    pub message: String,
}

/// `cloudPcStatus`, limited to the members in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum CloudPcStatus {
    /// Licensed; no policy applies yet.
    NotProvisioned,
    /// Being provisioned or reprovisioned.
    Provisioning,
    /// Ready for use.
    Provisioned,
    /// Usable, with a problem in `status_detail`.
    ProvisionedWithWarnings,
    /// Lost its licence or assignment; usable until the grace period ends.
    InGracePeriod,
    /// Being deleted.
    Deprovisioning,
    /// An action failed and could not be undone.
    Failed,
    /// Being resized.
    Resizing,
    /// Being restored to a restore point.
    Restoring,
    /// Entitled to its machine, which is made when fewer Cloud PCs of the same product are in their
    /// grace period.
    PendingProvision,
    /// Being moved to the region of its policy.
    MovingRegion,
    /// Usable; a resize waits for a licence of the new size.
    ResizePendingLicense,
    /// Being given the single sign-on setting of its policy.
    ModifyingSingleSignOn,
    /// Being given several settings of its policy.
    RefreshPolicyConfiguration,
    /// A shared Cloud PC that is made ready for its next user.
    Preparing,
}

impl CloudPcStatus {
    /// Whether settings of a policy are being applied.
    pub fn is_policy_change(self) -> bool {
        matches!(self, Self::MovingRegion | Self::ModifyingSingleSignOn | Self::RefreshPolicyConfiguration)
    }
}

/// `cloudPcPowerState`, plus the unknown state of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum Power {
    /// Powered on.
    Running,
    /// Powered off.
    PoweredOff,
    /// The outcome of the last call is unknown until the driver is queried.
    Unknown,
}

/// `frontlineCloudPcAccessState`, limited to the members in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum FrontlineAccessState {
    /// The user has no right to the Cloud PC any more, or it cannot be used.
    Unassigned,
    /// The last start failed.
    ActivationFailed,
    /// Uses a licence; the user can connect.
    Active,
    /// Being started.
    Activating,
    /// Uses no licence; it can be started.
    StandbyMode,
}

/// `cloudPcProductType`, limited to the members in use.
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

/// `cloudPcProvisioningType`, limited to the members in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum ProvisioningType {
    /// One user, who has a licence.
    Dedicated,
    /// One user, who takes a licence while connected.
    SharedByUser,
    /// The members of a group, one at a time. Uses a licence at all times.
    SharedByEntraGroup,
}

/// `cloudPcUserExperienceType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum UserExperienceType {
    /// The desktop of the machine.
    CloudPc,
    /// Applications that the machine runs.
    CloudApp,
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

/// First build of Windows 11 within version 10.0.
const WINDOWS_11_BUILD: u32 = 22000;

impl OsVersion {
    /// Returns the system of a Windows version number such as `10.0.22631.3880`; none if it is
    /// neither.
    pub fn of_number(number: &str) -> Option<Self> {
        let parts: Vec<u32> = number.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        match parts[..] {
            [10, 0, build] | [10, 0, build, _] if build < WINDOWS_11_BUILD => Some(Self::Windows10),
            [10, 0, _] | [10, 0, _, _] => Some(Self::Windows11),
            _ => None,
        }
    }

    /// Returns the default version number of the system.
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
    /// Id.
    pub id: ServicePlanId,
    /// e.g. `Cloud PC Enterprise 2vCPU/8GB/128GB`.
    pub display_name: String,
    /// Virtual processors.
    pub vcpu_count: u32,
    /// Memory, GiB.
    pub ram_gib: u32,
    /// Disk, GiB.
    pub storage_gib: u32,
    /// Product type of the plan.
    pub product: Product,
    /// Whether the plan includes a GPU; such machines cannot be resized.
    pub gpu: bool,
}

/// `cloudPcGalleryImage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GalleryImage {
    /// `<publisher>_<offer>_<sku>`.
    pub id: ImageId,
    /// Message for people.
    pub display_name: String,
    /// Disk size, GiB.
    pub size_gib: u32,
    /// Operating system.
    pub os_version: OsVersion,
    /// Windows version number, such as `10.0.22631.3880`, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version_number: Option<String>,
}

/// `cloudPcSnapshot`: a restore point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: SnapshotId,
    /// Cloud PC of the restore point.
    pub cloud_pc_id: CloudPcId,
    /// Type.
    pub snapshot_type: SnapshotType,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last restore.
    pub last_restored_at: Option<Timestamp>,
}

/// `cloudPcSnapshotType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum SnapshotType {
    /// Created on schedule.
    Automatic,
    /// Created on request.
    Manual,
    /// Created on schedule, and kept for weeks.
    Retention,
}
