//! `cloudPcBulkAction` and its derived types, and `cloudpc.bulkActionItem`

use cloudpc_engine::BULK_CLOUD_PCS_MAX;
use cloudpc_model::{ActionId, BulkAction, BulkActionId, BulkCounts, BulkItem, BulkRequest, BulkStatus};
use cloudpc_store::{ListValue, Reader, StoreError, bulk_action_columns as column};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Shown, Time, none_if_empty};
use crate::pipeline::list::ListProperty;

/// A bulk action with the data that its view needs.
#[derive(Debug)]
pub struct BulkActionRow {
    /// The bulk action.
    pub bulk: BulkAction,
    /// Its Cloud PCs as the caller named them.
    pub cloud_pcs: Vec<String>,
}

impl BulkActionRow {
    /// Reads the data that the view needs.
    pub fn read(reader: &Reader<'_>, bulk: BulkAction) -> Result<Self, StoreError> {
        let items = reader.bulk_action_items(bulk.tenant_id, bulk.id, 0, BULK_CLOUD_PCS_MAX)?;
        Ok(Self { cloud_pcs: items.into_iter().map(|item| item.cloud_pc_id).collect(), bulk })
    }
}

/// `cloudPcBulkAction`, with the properties of the derived types that the bulk action has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkActionView<'a> {
    #[serde(rename = "@odata.type")]
    type_name: String,
    id: Shown<BulkActionId>,
    display_name: &'a str,
    cloud_pc_ids: &'a [String],
    created_date_time: Time,
    initiated_by_user_principal_name: Option<&'a str>,
    scheduled_during_maintenance_window: bool,
    status: BulkStatus,
    action_summary: ActionSummary,
    #[serde(flatten)]
    own: BulkActionProperties<'a>,
}

/// `cloudPcBulkActionSummary`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ActionSummary {
    failed_count: u32,
    in_progress_count: u32,
    not_supported_count: u32,
    pending_count: u32,
    successful_count: u32,
}

/// Properties of a derived type.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum BulkActionProperties<'a> {
    None {},
    Resize { target_service_plan_id: String },
    Restore { restore_point_date_time: Time, time_range: &'static str, ignore_unhealthy_snapshots: bool },
    CreateSnapshot { storage_account_id: Option<&'a str>, access_tier: Option<&'a str> },
    SetReviewStatus { review_status: BulkReviewStatus<'a> },
    ModifyDiskEncryptionType { disk_encryption_type: &'static str },
    DisasterRecovery { capability_type: Option<&'a str>, license_type: Option<&'a str> },
}

/// `cloudPcReviewStatus`, as far as a request sets it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BulkReviewStatus<'a> {
    in_review: bool,
    user_access_level: &'static str,
    subscription_id: Option<&'a str>,
    azure_storage_account_id: Option<&'a str>,
    access_tier: &'static str,
}

/// Returns the view of a bulk action.
pub fn bulk_action(row: &BulkActionRow) -> BulkActionView<'_> {
    let BulkActionRow { bulk, cloud_pcs } = row;
    BulkActionView {
        type_name: format!("#microsoft.graph.{}", bulk.request.type_name()),
        id: Shown(bulk.id),
        display_name: &bulk.display_name,
        cloud_pc_ids: cloud_pcs,
        created_date_time: Time(bulk.created_at),
        initiated_by_user_principal_name: none_if_empty(&bulk.requested_by.user_principal_name),
        scheduled_during_maintenance_window: bulk.in_maintenance_window,
        status: bulk.counts.status(),
        action_summary: summary(&bulk.counts),
        own: own_properties(&bulk.request),
    }
}

fn summary(counts: &BulkCounts) -> ActionSummary {
    ActionSummary {
        failed_count: counts.failed,
        in_progress_count: counts.in_progress,
        not_supported_count: counts.not_supported,
        pending_count: counts.pending,
        successful_count: counts.succeeded,
    }
}

fn own_properties(request: &BulkRequest) -> BulkActionProperties<'_> {
    match request {
        BulkRequest::Resize { target_service_plan_id } => {
            BulkActionProperties::Resize { target_service_plan_id: target_service_plan_id.to_string() }
        }
        BulkRequest::Restore { restore_point_at, time_range, ignore_unhealthy_snapshots } => {
            BulkActionProperties::Restore {
                restore_point_date_time: Time(*restore_point_at),
                time_range: (*time_range).into(),
                ignore_unhealthy_snapshots: *ignore_unhealthy_snapshots,
            }
        }
        BulkRequest::CreateSnapshot => {
            BulkActionProperties::CreateSnapshot { storage_account_id: None, access_tier: None }
        }
        BulkRequest::SetReviewStatus {
            in_review,
            user_access_level,
            subscription_id,
            azure_storage_account_id,
            access_tier,
        } => BulkActionProperties::SetReviewStatus {
            review_status: BulkReviewStatus {
                in_review: *in_review,
                user_access_level: (*user_access_level).into(),
                subscription_id: subscription_id.as_deref(),
                azure_storage_account_id: azure_storage_account_id.as_deref(),
                access_tier: (*access_tier).into(),
            },
        },
        BulkRequest::ModifyDiskEncryptionType { disk_encryption_type } => {
            BulkActionProperties::ModifyDiskEncryptionType { disk_encryption_type: (*disk_encryption_type).into() }
        }
        BulkRequest::DisasterRecovery { capability_type, license_type } => BulkActionProperties::DisasterRecovery {
            capability_type: capability_type.as_deref(),
            license_type: license_type.as_deref(),
        },
        BulkRequest::Reprovision
        | BulkRequest::Restart
        | BulkRequest::Troubleshoot
        | BulkRequest::PowerOn
        | BulkRequest::PowerOff
        | BulkRequest::Move
        | BulkRequest::ReinstallAgent
        | BulkRequest::DisasterRecoveryFailover
        | BulkRequest::DisasterRecoveryFailback => BulkActionProperties::None {},
    }
}

/// Returns how the store holds a property that a filter names; none if it cannot select by it.
pub fn property(path: &str) -> Option<ListProperty> {
    Some(match path {
        "id" => ListProperty::Guid(column::ID),
        "displayName" => ListProperty::text(column::DISPLAY_NAME),
        "createdDateTime" => ListProperty::Time { column: column::CREATED_AT, nullable: false },
        "status" => ListProperty::text(column::STATUS),
        "scheduledDuringMaintenanceWindow" => ListProperty::Choice {
            column: column::IN_MAINTENANCE_WINDOW,
            shown: vec![(ListValue::Integer(0), json!(false)), (ListValue::Integer(1), json!(true))],
            others: Value::Null,
        },
        _ => return None,
    })
}

/// `cloudpc.bulkActionItem`: an extension of Graph.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkActionItemView<'a> {
    cloud_pc_id: &'a str,
    state: &'static str,
    action_id: Option<Shown<ActionId>>,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
}

/// Returns the view of an item.
pub fn bulk_action_item(item: &BulkItem) -> BulkActionItemView<'_> {
    BulkActionItemView {
        cloud_pc_id: &item.cloud_pc_id,
        state: item.state.into(),
        action_id: item.action_id.map(Shown),
        error_code: item.failure.as_ref().map(|failure| &*failure.code),
        error_message: item.failure.as_ref().map(|failure| &*failure.message),
    }
}
