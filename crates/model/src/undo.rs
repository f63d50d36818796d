//! Undo records: the state of a Cloud PC before an action.
//!
//! A Cloud PC has one undo record: that of its last reprovision, restore, resize or undo.

use serde::{Deserialize, Serialize};

use crate::{
    ActionId, CloudPc, CloudPcId, CloudPcStatus, ImageId, OsVersion, ServicePlanId, StatusDetail, TenantId, Timestamp,
    UserAccountType,
};

/// The undo record of a completed action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoRecord {
    /// Tenant of the Cloud PC.
    pub tenant_id: TenantId,
    /// Cloud PC of the action.
    pub cloud_pc_id: CloudPcId,
    /// Action that can be undone.
    pub action_id: ActionId,
    /// Random part of the action's tag, which the old disk carries.
    pub tag_nonce: Option<u64>,
    /// State to restore.
    pub before: Before,
    /// Undo is possible until this time.
    pub kept_until: Timestamp,
    /// Size of the disk kept for the undo, bytes; none until the driver has reported it.
    pub size_bytes: Option<u64>,
    /// Whether the record is being dropped; its disk may already be gone.
    pub dropping: bool,
}

/// The state of a Cloud PC before an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the Cloud PC")]
pub struct Before {
    /// Whether the action kept the old disk, under its tag.
    pub disk_aside: bool,
    pub service_plan_id: ServicePlanId,
    pub image_id: ImageId,
    pub os_version: OsVersion,
    pub user_account_type: UserAccountType,
    pub provisioned_at: Option<Timestamp>,
    pub aad_device_id: uuid::Uuid,
    pub status: CloudPcStatus,
    pub status_detail: Option<StatusDetail>,
}

impl Before {
    /// Captures the state of a Cloud PC while the action that changes it is running.
    pub fn of(cloud_pc: &CloudPc, disk_aside: bool) -> Self {
        Self {
            disk_aside,
            service_plan_id: cloud_pc.service_plan_id,
            image_id: cloud_pc.image_id.clone(),
            os_version: cloud_pc.os_version,
            user_account_type: cloud_pc.user_account_type,
            provisioned_at: cloud_pc.provisioned_at,
            aad_device_id: cloud_pc.aad_device_id,
            status: cloud_pc.status_before.unwrap_or(cloud_pc.status),
            status_detail: cloud_pc.status_detail.clone(),
        }
    }

    /// Restores this state. The name and the intended power state are independent of the disk and
    /// stay.
    pub fn restore(self, cloud_pc: &mut CloudPc) {
        cloud_pc.service_plan_id = self.service_plan_id;
        cloud_pc.image_id = self.image_id;
        cloud_pc.os_version = self.os_version;
        cloud_pc.user_account_type = self.user_account_type;
        cloud_pc.provisioned_at = self.provisioned_at;
        cloud_pc.aad_device_id = self.aad_device_id;
        cloud_pc.status = self.status;
        cloud_pc.status_detail = self.status_detail;
    }
}
