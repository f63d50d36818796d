//! `POST …/bulkActions`

use cloudpc_engine::{NewBulkAction, ReviewRequest};
use cloudpc_graph::GraphError;
use cloudpc_model::{BlobAccessTier, BulkRequest, RestoreTimeRange, Timestamp, UserAccessLevel};
use serde_json::Value;
use std::sync::Arc;

use crate::operations::cloud_pc;
use crate::operations::cloud_pc::set_review_status::review_request;
use crate::pipeline::{Answer, Call, Problem, check_chars, required};
use crate::views::bulk_action::{BulkActionRow, bulk_action};

/// Longest `displayName`, characters.
pub const BULK_NAME_CHARS_MAX: usize = 256;

/// The annotation that names the type of a bulk action.
const TYPE: &str = "@odata.type";

/// Properties of every bulk action that a client sets.
const COMMON: [&str; 4] = [TYPE, "displayName", "cloudPcIds", "scheduledDuringMaintenanceWindow"];

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let name = call.required_text("displayName")?;
    if name.trim().is_empty() {
        return Err(required("displayName").into());
    }
    check_chars("displayName", name, BULK_NAME_CHARS_MAX)?;
    let cloud_pcs = super::cloud_pc_ids(&call)?.ok_or_else(|| required("cloudPcIds"))?;
    let new = NewBulkAction {
        display_name: name.to_owned(),
        cloud_pcs,
        request: request(&call)?,
        in_maintenance_window: flag(&call, "scheduledDuringMaintenanceWindow"),
    };
    let (request, wanted) = (call.clone(), new.request.clone());
    call.store().read(move |reader| super::check_roles(&request, reader, &wanted)).await?;
    let bulk = call.app.engine.accept_bulk(&call.request_context(), new).await?;
    let row = call.store().read(move |reader| BulkActionRow::read(reader, bulk)).await?;
    Ok(call.created(&row.bulk.id.to_string(), &bulk_action(&row)))
}

/// Returns what the type of the body asks for.
fn request(call: &Call) -> Result<BulkRequest, Problem> {
    let derived = call.text(TYPE).and_then(|text| text.rsplit_once(".cloudPcBulk")).map(|(_, name)| name);
    let (own, request): (&[&str], BulkRequest) = match derived {
        Some("Reprovision") => (&[], BulkRequest::Reprovision),
        Some("Restart") => (&[], BulkRequest::Restart),
        Some("Troubleshoot") => (&[], BulkRequest::Troubleshoot),
        Some("PowerOn") => (&[], BulkRequest::PowerOn),
        Some("PowerOff") => (&[], BulkRequest::PowerOff),
        Some("Resize") => {
            let target_service_plan_id = cloud_pc::target_service_plan(call)?;
            (&["targetServicePlanId"], BulkRequest::Resize { target_service_plan_id })
        }
        Some("Restore") => {
            let restore = BulkRequest::Restore {
                restore_point_at: restore_point_at(call)?,
                time_range: time_range(call)?,
                ignore_unhealthy_snapshots: flag(call, "ignoreUnhealthySnapshots"),
            };
            (&["restorePointDateTime", "timeRange", "ignoreUnhealthySnapshots"], restore)
        }
        Some("CreateSnapshot") => {
            cloud_pc::refuse_storage_account(call)?;
            (&["storageAccountId", "accessTier"], BulkRequest::CreateSnapshot)
        }
        Some("SetReviewStatus") => (&["reviewStatus"], review(call)?),
        Some("Move") => (&[], BulkRequest::Move),
        Some("ReinstallAgent") => (&[], BulkRequest::ReinstallAgent),
        Some("ModifyDiskEncryptionType") => {
            const NAME: &str = "diskEncryptionType";
            let disk_encryption_type = call.member(NAME)?.ok_or_else(|| required(NAME))?;
            (&[NAME], BulkRequest::ModifyDiskEncryptionType { disk_encryption_type })
        }
        Some("DisasterRecovery") => {
            let text = |name| call.text(name).map(str::to_owned);
            let request = BulkRequest::DisasterRecovery {
                capability_type: text("capabilityType"),
                license_type: text("licenseType"),
            };
            (&["capabilityType", "licenseType"], request)
        }
        Some("DisasterRecoveryFailover") => (&[], BulkRequest::DisasterRecoveryFailover),
        Some("DisasterRecoveryFailback") => (&[], BulkRequest::DisasterRecoveryFailback),
        _ => return Err(untyped().into()),
    };
    call.reject_other_properties(&[&COMMON, own].concat())?;
    Ok(request)
}

/// Returns `reviewStatus` of the body as a request.
pub(in crate::operations) fn review(call: &Call) -> Result<BulkRequest, Problem> {
    const NAME: &str = "reviewStatus";
    let status = call.body.get(NAME).and_then(Value::as_object).ok_or_else(|| required(NAME))?;
    Ok(match review_request(status)? {
        ReviewRequest::Begin { user_access, subscription_id, storage_account_id, access_tier } => {
            BulkRequest::SetReviewStatus {
                in_review: true,
                user_access_level: user_access,
                subscription_id,
                azure_storage_account_id: storage_account_id,
                access_tier,
            }
        }
        ReviewRequest::End => BulkRequest::SetReviewStatus {
            in_review: false,
            user_access_level: UserAccessLevel::default(),
            subscription_id: None,
            azure_storage_account_id: None,
            access_tier: BlobAccessTier::default(),
        },
    })
}

fn untyped() -> GraphError {
    let message = format!(
        "'{TYPE}' must name a type derived from microsoft.graph.cloudPcBulkAction, for example #microsoft.graph.cloudPcBulkReprovision."
    );
    GraphError::bad_request(message).about(TYPE)
}

fn flag(call: &Call, name: &str) -> bool {
    call.body.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// Returns `restorePointDateTime` of the body, which has been checked to be a time.
pub(in crate::operations) fn restore_point_at(call: &Call) -> Result<Timestamp, Problem> {
    const NAME: &str = "restorePointDateTime";
    let time = call.required_text(NAME)?.parse::<jiff::Timestamp>().map_err(|_| required(NAME))?;
    Ok(Timestamp(time.as_microsecond()))
}

/// Returns `timeRange` of the body.
pub(in crate::operations) fn time_range(call: &Call) -> Result<RestoreTimeRange, Problem> {
    const NAME: &str = "timeRange";
    Ok(call.member(NAME)?.ok_or_else(|| required(NAME))?)
}
