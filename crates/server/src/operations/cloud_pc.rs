//! Operations on Cloud PCs.

pub(super) mod connectivity_history;
pub(super) mod count;
pub(super) mod count_by_status;
pub(super) mod create_snapshot;
pub(super) mod delta;
pub(super) mod end_grace_period;
pub(super) mod get;
pub(super) mod launch_detail;
pub(super) mod launch_info;
pub(super) mod list;
pub(super) mod power_off;
pub(super) mod power_on;
pub(super) mod reboot;
pub(super) mod rename;
pub(super) mod reprovision;
pub(super) mod resize;
pub(super) mod restore;
pub(super) mod results;
pub(super) mod screenshot;
pub(super) mod snapshots;
pub(super) mod supported_actions;
pub(super) mod troubleshoot;
pub(super) mod undo;
pub(super) mod validate_bulk_resize;

use cloudpc_graph::GraphError;
use cloudpc_graph::resolve::Scope;
use cloudpc_model::{CloudPc, CloudPcId, Params, Product, ServicePlanId, SnapshotId, UserId};
use cloudpc_store::Reader;
use std::sync::Arc;

pub use validate_bulk_resize::VALIDATE_CLOUD_PC_IDS_MAX;

use super::user;
use crate::config::Fidelity;
use crate::pipeline::{Answer, Call, Problem};
use crate::views::cloud_pc::CloudPcViewContext;

/// Returns the user whose Cloud PCs the path selects; `None` for all users.
pub(super) fn owner(call: &Call, reader: &Reader<'_>) -> Result<Option<UserId>, Problem> {
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
    let found = find_reached(call, reader, id)?.filter(|cloud_pc| owner.is_none_or(|owner| cloud_pc.user_id == owner));
    found.ok_or_else(|| Problem::not_found("Cloud PC", call.key(0)))
}

/// Returns a Cloud PC, if the caller's scope tags reach it.
pub(super) fn find_reached(call: &Call, reader: &Reader<'_>, id: CloudPcId) -> Result<Option<CloudPc>, Problem> {
    let Some(cloud_pc) = reader.cloud_pc(call.tenant(), id)? else { return Ok(None) };
    Ok(call.scope_tags.reaches_cloud_pc(reader, &cloud_pc)?.then_some(cloud_pc))
}

/// Requests a remote action on the Cloud PC in the path. A missing Cloud PC is reported before an
/// invalid body.
async fn request_action(
    call: Arc<Call>,
    params: impl Fn(&Call, &CloudPc) -> Result<Params, Problem> + Send + 'static,
) -> Result<Answer, Problem> {
    let (context, engine) = (call.request_context(), call.app.engine.clone());
    let find = move |reader: &Reader<'_>| {
        let cloud_pc = find(&call, reader)?;
        let params = params(&call, &cloud_pc)?;
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
