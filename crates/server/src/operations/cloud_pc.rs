//! Operations on Cloud PCs.

pub(super) mod change_user_account_type;
pub(super) mod connectivity_history;
pub(super) mod count;
pub(super) mod count_by_status;
pub(super) mod create_snapshot;
pub(super) mod delta;
pub(super) mod end_grace_period;
pub(super) mod frontline_access_state;
pub(super) mod frontline_detail;
pub(super) mod get;
pub(super) mod launch_detail;
pub(super) mod launch_info;
pub(super) mod list;
pub(super) mod power_off;
pub(super) mod power_on;
pub(super) mod provisioned;
pub(super) mod reboot;
pub(super) mod rename;
pub(super) mod reprovision;
pub(super) mod resize;
pub(super) mod restore;
pub(super) mod results;
pub(super) mod retry_partner_agents;
pub(super) mod review_status;
pub(super) mod screenshot;
pub(super) mod set_review_status;
pub(super) mod snapshots;
pub(super) mod start;
pub(super) mod stop;
pub(super) mod supported_actions;
pub(super) mod troubleshoot;
pub(super) mod undo;
pub(super) mod validate_bulk_resize;

use cloudpc_engine::offered_cloud_pcs;
use cloudpc_graph::GraphError;
use cloudpc_graph::resolve::Scope;
use cloudpc_model::{CloudPc, CloudPcId, Kind, Params, Product, ServicePlanId, SnapshotId, UserAccessLevel, UserId};
use cloudpc_store::{Reader, StoreError};
use std::sync::Arc;

pub use validate_bulk_resize::VALIDATE_CLOUD_PC_IDS_MAX;

use super::user;
use crate::caller::Caller;
use crate::config::Fidelity;
use crate::pipeline::{Answer, Call, Problem};
use crate::views::cloud_pc::CloudPcViewContext;

/// Returns the user whose Cloud PCs the path selects; `None` for all users.
pub(crate) fn owner(call: &Call, reader: &Reader<'_>) -> Result<Option<UserId>, Problem> {
    match &call.target.scope {
        Scope::Tenant => Ok(None),
        Scope::Me => {
            let user = call.caller.user.as_ref().ok_or_else(|| {
                GraphError::bad_request("/me requires a signed-in user, but the token is app-only. Use /users/{id}.")
            })?;
            Ok(Some(user.id))
        }
        Scope::User(key) => Ok(Some(user::by_key(reader, call.tenant(), key)?.id)),
    }
}

/// Returns the Cloud PC in the path. Returns 404 if it does not belong to the path's user, or the
/// caller's scope tags do not reach it.
pub(super) fn find(call: &Call, reader: &Reader<'_>) -> Result<CloudPc, Problem> {
    let owner = owner(call, reader)?;
    let id: CloudPcId = call.id(0, "Cloud PC")?;
    let missing = || Problem::not_found("Cloud PC", call.key(0));
    let cloud_pc = find_reached(call, reader, id)?.ok_or_else(missing)?;
    match owner {
        Some(owner) if !is_of(reader, &cloud_pc, owner)? => Err(missing()),
        _ => Ok(cloud_pc),
    }
}

/// Returns whether a Cloud PC is a user's: it is assigned to them, or is the free shared one that
/// they would be connected to.
pub(crate) fn is_of(reader: &Reader<'_>, cloud_pc: &CloudPc, user: UserId) -> Result<bool, StoreError> {
    if cloud_pc.user_id == Some(user) {
        return Ok(true);
    }
    let offered = if cloud_pc.is_free() { offered_cloud_pcs(reader, cloud_pc.tenant_id, user)? } else { Vec::new() };
    Ok(offered.iter().any(|offered| offered.id == cloud_pc.id))
}

/// Returns a Cloud PC, if the caller's scope tags reach it.
pub(super) fn find_reached(call: &Call, reader: &Reader<'_>, id: CloudPcId) -> Result<Option<CloudPc>, Problem> {
    let Some(cloud_pc) = reader.cloud_pc(call.tenant(), id)? else { return Ok(None) };
    Ok(call.scope_tags.reaches_cloud_pc(reader, &cloud_pc)?.then_some(cloud_pc))
}

/// Like [`find`], for what the user of a Cloud PC that is shared or under review may not do.
pub(super) fn find_to_use(call: &Call, reader: &Reader<'_>) -> Result<CloudPc, Problem> {
    let cloud_pc = find_to_connect(call, reader)?;
    check_shared(call, &cloud_pc, None)?;
    Ok(cloud_pc)
}

/// Like [`find`], for what the user of a Cloud PC under review may not do.
fn find_to_connect(call: &Call, reader: &Reader<'_>) -> Result<CloudPc, Problem> {
    let cloud_pc = find(call, reader)?;
    check_user_access(call, reader, &cloud_pc)?;
    Ok(cloud_pc)
}

/// Returns 403 for what the user of a shared Cloud PC may not do with it: others use it as well.
fn check_shared(call: &Call, cloud_pc: &CloudPc, kind: Option<Kind>) -> Result<(), Problem> {
    if !cloud_pc.is_shared() || matches!(call.target.scope, Scope::Tenant) {
        return Ok(());
    }
    if matches!(kind, Some(Kind::Reboot | Kind::Troubleshoot)) && cloud_pc.user_id.is_some() {
        return Ok(());
    }
    let message = "The user of a shared Cloud PC can only restart and troubleshoot it, and only while connected. An administrator can do this below /deviceManagement.";
    Err(GraphError::new(403, "sharedCloudPc", message).into())
}

/// Returns 403 if the caller is the user of a Cloud PC under review with restricted access.
pub(super) fn check_user_access(call: &Call, reader: &Reader<'_>, cloud_pc: &CloudPc) -> Result<(), Problem> {
    if !is_restricted(reader, &call.caller, cloud_pc)? {
        return Ok(());
    }
    let message = "This Cloud PC is under review, and its user's access is restricted. Ask an administrator.";
    Err(GraphError::new(403, "userAccessRestricted", message).into())
}

/// Returns whether the caller is the user of a Cloud PC under review with restricted access.
pub(crate) fn is_restricted(reader: &Reader<'_>, caller: &Caller, cloud_pc: &CloudPc) -> Result<bool, StoreError> {
    let is_user = caller.user.as_ref().is_some_and(|user| Some(user.id) == cloud_pc.user_id);
    let review = if is_user { reader.review(cloud_pc.tenant_id, cloud_pc.id)? } else { None };
    Ok(review.is_some_and(|review| review.user_access == UserAccessLevel::Restricted))
}

/// Requests a remote action on the Cloud PC in the path. A missing Cloud PC is reported before an
/// invalid body.
async fn request_action(
    call: Arc<Call>,
    params: impl Fn(&Call, &CloudPc) -> Result<Params, Problem> + Send + 'static,
) -> Result<Answer, Problem> {
    let (context, engine) = (call.request_context(), call.app.engine.clone());
    let find = move |reader: &Reader<'_>| {
        let cloud_pc = find_to_connect(&call, reader)?;
        let params = params(&call, &cloud_pc)?;
        check_shared(&call, &cloud_pc, Some(params.kind()))?;
        Ok::<_, Problem>((cloud_pc, params))
    };
    engine.request_found(&context, find).await?;
    Ok(Answer::NoContent)
}

/// Returns 400 under strict fidelity for a Cloud PC that is not Frontline, like the real service.
fn check_power(call: &Call, cloud_pc: &CloudPc) -> Result<(), Problem> {
    if call.app.fidelity == Fidelity::Strict && cloud_pc.product != Product::Frontline {
        let message = "Only Frontline Cloud PCs can be powered on and off.";
        return Err(GraphError::bad_request(message).into());
    }
    Ok(())
}

/// Returns 400 for a request to copy a restore point to a storage account.
pub(super) fn refuse_storage_account(call: &Call) -> Result<(), Problem> {
    for name in ["storageAccountId", "accessTier"] {
        if call.text(name).is_some() {
            let message = "Copying a restore point to a storage account is not supported. Omit 'storageAccountId' and 'accessTier'.";
            return Err(GraphError::bad_request(message).about(name).into());
        }
    }
    Ok(())
}

/// Returns 400 for a Cloud PC that no single user starts and stops.
fn check_startable(cloud_pc: &CloudPc) -> Result<(), Problem> {
    if cloud_pc.is_shared() {
        let message =
            "A shared Cloud PC is not started and stopped by its users. An administrator powers it on and off.";
        return Err(GraphError::bad_request(message).into());
    }
    check_frontline(cloud_pc)
}

/// Returns 400 for a Cloud PC that is not Frontline.
fn check_frontline(cloud_pc: &CloudPc) -> Result<(), Problem> {
    if cloud_pc.product != Product::Frontline {
        let message = "This Cloud PC is not a Frontline Cloud PC: it is its user's at all times.";
        return Err(GraphError::bad_request(message).into());
    }
    Ok(())
}

/// Parses `targetServicePlanId` of the body.
pub(super) fn target_service_plan(call: &Call) -> Result<ServicePlanId, Problem> {
    const NAME: &str = "targetServicePlanId";
    let text = call.required_text(NAME)?;
    let invalid = || GraphError::bad_request(format!("'{text}' is not a service plan id.")).about(NAME);
    Ok(text.parse().map_err(|_| invalid())?)
}

/// Returns `cloudPcSnapshotId` of the body.
pub(super) fn target_snapshot(call: &Call) -> Result<SnapshotId, Problem> {
    Ok(SnapshotId(call.required_text("cloudPcSnapshotId")?.to_owned()))
}

/// Returns the API version and enum preference for views of Cloud PCs.
pub(super) fn view_context(call: &Call) -> CloudPcViewContext {
    CloudPcViewContext { version: call.version(), unknown_enum_members: call.names_late_members() }
}
