//! Bulk actions: one request for a remote action on many Cloud PCs.
//!
//! Each Cloud PC is an item. The service begins an ordinary action for each, a limited number at a
//! time, and counts how they end. This module refuses to know how items are begun and stored.

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumString, IntoStaticStr};

use crate::{
    ActionId, Actor, BlobAccessTier, BulkActionId, Failure, ServicePlanId, State, TenantId, Timestamp, UserAccessLevel,
};

/// A bulk action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkAction {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: BulkActionId,
    /// Name for people.
    pub display_name: String,
    /// What to do with each Cloud PC.
    pub request: BulkRequest,
    /// Whether each Cloud PC waits for a maintenance window of its user.
    pub in_maintenance_window: bool,
    /// Who requested it.
    pub requested_by: Actor,
    /// Id of the request, for the audit log.
    pub request_id: String,
    /// Time of the request.
    pub created_at: Timestamp,
    /// Its items, by state.
    pub counts: BulkCounts,
}

/// What a bulk action does with each Cloud PC. Each is named after the derived type of
/// `cloudPcBulkAction` without its prefix `cloudPcBulk`, and has the properties of that type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "each is named after the type of the contract, whose properties it has")]
pub enum BulkRequest {
    Reprovision,
    Restart,
    Troubleshoot,
    PowerOn,
    PowerOff,
    Resize {
        target_service_plan_id: ServicePlanId,
    },
    Restore {
        #[serde(rename = "restorePointDateTime")]
        restore_point_at: Timestamp,
        time_range: RestoreTimeRange,
        ignore_unhealthy_snapshots: bool,
    },
    CreateSnapshot,
    SetReviewStatus {
        in_review: bool,
        user_access_level: UserAccessLevel,
        subscription_id: Option<String>,
        azure_storage_account_id: Option<String>,
        access_tier: BlobAccessTier,
    },
    Move,
    ReinstallAgent,
    ModifyDiskEncryptionType {
        disk_encryption_type: DiskEncryptionType,
    },
    DisasterRecovery {
        capability_type: Option<String>,
        license_type: Option<String>,
    },
    DisasterRecoveryFailover,
    DisasterRecoveryFailback,
}

impl BulkRequest {
    /// Name of the type in the contract, such as `cloudPcBulkReprovision`.
    pub fn type_name(&self) -> String {
        let name: &str = self.into();
        format!("cloudPcBulk{name}")
    }
}

/// `restoreTimeRange`: on which side of a time the restore point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum RestoreTimeRange {
    /// At the time or earlier.
    Before,
    /// At the time or later.
    After,
    /// The nearest.
    BeforeOrAfter,
}

impl RestoreTimeRange {
    /// Returns which of the times of restore points is nearest to the wanted one on this side.
    /// Between two that are equally near, the earlier one.
    pub fn choose(self, wanted: Timestamp, times: impl Iterator<Item = Timestamp>) -> Option<usize> {
        let is_in_range = |time: &Timestamp| match self {
            Self::Before => *time <= wanted,
            Self::After => *time >= wanted,
            Self::BeforeOrAfter => true,
        };
        let in_range = times.enumerate().filter(|(_, time)| is_in_range(time));
        in_range.min_by_key(|(_, time)| (time.0.abs_diff(wanted.0), time.0)).map(|(place, _)| place)
    }
}

/// `cloudPcDiskEncryptionType`
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is named after the member of the contract")]
pub enum DiskEncryptionType {
    PlatformManagedKey,
    CustomerManagedKey,
}

/// The state of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum BulkItemState {
    /// Its action has not begun.
    Pending,
    /// Its action is open.
    InProgress,
    /// Its action succeeded.
    Succeeded,
    /// Its action could not begin, failed or was canceled.
    Failed,
    /// The Cloud PC or this installation does not support the action.
    NotSupported,
}

impl BulkItemState {
    /// Returns the state of an item whose action is in a state.
    pub fn of_action(state: State) -> Self {
        match state {
            State::Pending | State::Running | State::Undoing | State::Stuck => Self::InProgress,
            State::Done => Self::Succeeded,
            State::NotSupported => Self::NotSupported,
            State::Failed | State::Canceled => Self::Failed,
        }
    }
}

/// One Cloud PC of a bulk action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkItem {
    /// Number in the bulk action, from 0.
    pub number: u32,
    /// Id of the Cloud PC as the caller gave it.
    pub cloud_pc_id: String,
    /// State.
    pub state: BulkItemState,
    /// The latest action for it.
    pub action_id: Option<ActionId>,
    /// Why it failed or is not supported.
    pub failure: Option<Failure>,
}

/// How many items of a bulk action are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the state")]
pub struct BulkCounts {
    pub pending: u32,
    pub in_progress: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub not_supported: u32,
}

impl BulkCounts {
    /// Number of items.
    pub fn total(&self) -> u32 {
        self.ended() + self.pending + self.in_progress
    }

    /// Number of items that have ended.
    pub fn ended(&self) -> u32 {
        self.succeeded + self.failed + self.not_supported
    }

    /// Returns the status of the bulk action.
    pub fn status(&self) -> BulkStatus {
        if self.pending + self.in_progress > 0 {
            BulkStatus::Pending
        } else if self.failed + self.not_supported > 0 {
            BulkStatus::Failed
        } else {
            BulkStatus::Succeeded
        }
    }
}

/// `cloudPcBulkActionStatus`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum BulkStatus {
    /// Some items have not ended.
    Pending,
    /// All items succeeded.
    Succeeded,
    /// All items have ended, and some did not succeed.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restore_point_is_the_nearest_on_the_wanted_side() {
        let times = [10, 20, 30].map(Timestamp);
        let choose = |range: RestoreTimeRange, wanted| range.choose(Timestamp(wanted), times.into_iter());
        assert_eq!(choose(RestoreTimeRange::Before, 29), Some(1));
        assert_eq!(choose(RestoreTimeRange::Before, 20), Some(1));
        assert_eq!(choose(RestoreTimeRange::Before, 9), None);
        assert_eq!(choose(RestoreTimeRange::After, 21), Some(2));
        assert_eq!(choose(RestoreTimeRange::After, 31), None);
        assert_eq!(choose(RestoreTimeRange::BeforeOrAfter, 24), Some(1));
        assert_eq!(choose(RestoreTimeRange::BeforeOrAfter, 25), Some(1), "the earlier of two equally near");
        assert_eq!(choose(RestoreTimeRange::BeforeOrAfter, 26), Some(2));
    }

    #[test]
    fn status_is_that_of_all_items_together() {
        let counts = BulkCounts { succeeded: 2, ..BulkCounts::default() };
        assert_eq!(counts.status(), BulkStatus::Succeeded);
        assert_eq!(BulkCounts { in_progress: 1, failed: 1, ..counts }.status(), BulkStatus::Pending);
        assert_eq!(BulkCounts { pending: 1, ..counts }.status(), BulkStatus::Pending);
        assert_eq!(BulkCounts { failed: 1, ..counts }.status(), BulkStatus::Failed);
        assert_eq!(BulkCounts { not_supported: 1, ..counts }.status(), BulkStatus::Failed);
    }

    #[test]
    fn requests_are_stored_by_the_names_of_the_contract() {
        let request = BulkRequest::Restore {
            restore_point_at: Timestamp(5),
            time_range: RestoreTimeRange::BeforeOrAfter,
            ignore_unhealthy_snapshots: true,
        };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<BulkRequest>(&text).unwrap(), request, "{text}");
        assert_eq!(request.type_name(), "cloudPcBulkRestore");
        assert_eq!(BulkRequest::DisasterRecoveryFailover.type_name(), "cloudPcBulkDisasterRecoveryFailover");
    }
}
