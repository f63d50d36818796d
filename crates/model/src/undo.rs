//! What undoing an action needs: what the Cloud PC was before it.
//!
//! A Cloud PC has one way back: from its last reprovision, restore, resize or undo. The next of these takes its place.

use serde::{Deserialize, Serialize};

use crate::{
    ActionId, CloudPc, CloudPcId, CloudPcStatus, ImageId, OsVersion, ServicePlanId, StatusDetail, TenantId, Timestamp,
    UserAccountType,
};

/// The way back from one action that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoRecord {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// On which Cloud PC.
    pub cloud_pc_id: CloudPcId,
    /// From which action.
    pub action_id: ActionId,
    /// The random part of that action's tag, under which the disk was set aside.
    pub tag_nonce: Option<u64>,
    /// To what.
    pub before: Before,
    /// Until when it can be gone.
    pub kept_until: Timestamp,
    /// What is set aside for it, bytes; none until the driver was asked.
    pub size_bytes: Option<u64>,
    /// Whether it is being given up: what was set aside may be gone.
    pub dropping: bool,
}

/// What a Cloud PC was before an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the Cloud PC")]
pub struct Before {
    /// Whether the action set the disk aside, under its tag.
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
    /// What this Cloud PC is, while the action that will change it is under way.
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

    /// Makes the Cloud PC this again. Its name and whether it should be on are not the disk's business and stay as they are.
    pub fn give_back(self, cloud_pc: &mut CloudPc) {
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
