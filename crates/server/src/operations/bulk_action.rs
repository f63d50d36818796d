//! Operations on bulk actions: remote actions on many Cloud PCs.

pub(super) mod count;
pub(super) mod create;
pub(super) mod get;
pub(super) mod items;
pub(super) mod list;
pub(super) mod retry;

use cloudpc_graph::{GraphError, is_control_or_bidi};
use cloudpc_model::{BulkAction, BulkActionId, BulkRequest};
use cloudpc_store::Reader;
use serde_json::Value;

use super::partner::CLOUD_PC_ID_BYTES_MAX;
use crate::pipeline::{Call, Problem};
use crate::rbac::catalog::NAMESPACE;
use crate::rbac::{self, EffectivePermissions, Requirement};

pub use create::BULK_NAME_CHARS_MAX;
pub(super) use create::{restore_point_at, review, time_range};

/// Returns the bulk action in the path.
fn find(call: &Call, reader: &Reader<'_>) -> Result<BulkAction, Problem> {
    let id: BulkActionId = call.id(0, "bulk action")?;
    reader.bulk_action(call.tenant(), id)?.ok_or_else(|| Problem::not_found("bulk action", call.key(0)))
}

/// Returns `cloudPcIds` of the body; none if it is absent. Whether each exists is found out when
/// its item begins.
fn cloud_pc_ids(call: &Call) -> Result<Option<Vec<String>>, GraphError> {
    const NAME: &str = "cloudPcIds";
    let Some(given) = call.body.get(NAME).and_then(Value::as_array) else { return Ok(None) };
    let check = |value: &Value| match value.as_str() {
        Some(id) if !id.trim().is_empty() && id.len() <= CLOUD_PC_ID_BYTES_MAX && !id.contains(is_control_or_bidi) => {
            Ok(id.to_owned())
        }
        _ => {
            let message =
                format!("Each id must be a string of 1 to {CLOUD_PC_ID_BYTES_MAX} bytes without control characters.");
            Err(GraphError::bad_request(message).about(NAME))
        }
    };
    given.iter().map(check).collect::<Result<_, _>>().map(Some)
}

/// Checks that the roles of the caller allow what a bulk action does without scope tags: it may
/// name any Cloud PC of the tenant.
///
/// # Errors
/// 403 naming the missing resource action; the store failed.
fn check_roles(call: &Call, reader: &Reader<'_>, request: &BulkRequest) -> Result<(), Problem> {
    let verb = match request {
        BulkRequest::Reprovision => "Reprovision",
        BulkRequest::Restart => "Reboot",
        BulkRequest::Troubleshoot => "Troubleshoot",
        BulkRequest::PowerOn => "PowerOn",
        BulkRequest::PowerOff => "PowerOff",
        BulkRequest::Resize { .. } => "Resize",
        BulkRequest::Restore { .. } => "Restore",
        BulkRequest::CreateSnapshot => "CreateSnapshot",
        BulkRequest::SetReviewStatus { .. } => "PlaceUnderReview",
        BulkRequest::Move => "ApplyCurrentProvisioningPolicy",
        BulkRequest::ReinstallAgent => "ReinstallAgent",
        BulkRequest::ModifyDiskEncryptionType { .. } => "ModifyDiskEncryptionType",
        BulkRequest::DisasterRecovery { .. } | BulkRequest::DisasterRecoveryFailover => "DisasterRecoveryFailover",
        BulkRequest::DisasterRecoveryFailback => "DisasterRecoveryFailback",
    };
    let action = Requirement::Unscoped(format!("{NAMESPACE}/CloudPCs/{verb}"));
    Ok(rbac::check(&EffectivePermissions::of(reader, &call.caller)?, Some(&action)).map(drop)?)
}
