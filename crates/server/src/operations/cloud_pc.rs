//! Operations on Cloud PCs.

pub(super) mod connectivity_history;
pub(super) mod count;
pub(super) mod count_by_status;
pub(super) mod create_snapshot;
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

use cloudpc_graph::GraphError;
use cloudpc_graph::resolve::Scope;
use cloudpc_model::{CloudPc, CloudPcId, Params, Product, ServicePlanId, SnapshotId, UserId};
use cloudpc_store::Reader;
use std::sync::Arc;

use crate::config::Fidelity;
use crate::pipeline::{Answer, Call, Problem};
use crate::views::cloud_pc::CloudPcViewContext;

/// Whose Cloud PCs the path is about; none: everyone's.
pub(super) fn owner(call: &Call, reader: &Reader<'_>) -> Result<Option<UserId>, Problem> {
    match &call.target.scope {
        Scope::Tenant => Ok(None),
        Scope::Me => {
            let user = call.caller.user.as_ref().ok_or_else(|| {
                GraphError::bad_request(
                    "/me is whoever has signed in, and the token is an application's own. Use /users/{id}.",
                )
            })?;
            Ok(Some(user.id))
        }
        Scope::User(name) => {
            let user = match name.parse() {
                Ok(id) => reader.user(call.tenant(), id)?,
                Err(_) => reader.user_by_name(call.tenant(), name)?,
            };
            Ok(Some(user.ok_or_else(|| Problem::not_found("user", name))?.id))
        }
    }
}

/// The Cloud PC that the path names.
pub(super) fn find(call: &Call, reader: &Reader<'_>) -> Result<CloudPc, Problem> {
    let owner = owner(call, reader)?;
    let id: CloudPcId = call.id(0, "Cloud PC")?;
    reader
        .cloud_pc(call.tenant(), id)?
        .filter(|cloud_pc| owner.is_none_or(|owner| cloud_pc.user_id == owner))
        .ok_or_else(|| Problem::not_found("Cloud PC", call.key(0)))
}

/// Asks for a remote action on the Cloud PC that the path names: 404 comes before what is wrong
/// with the body.
async fn ask(
    call: Arc<Call>,
    params: impl Fn(&Call, &CloudPc) -> Result<Params, Problem> + Send + 'static,
) -> Result<Answer, Problem> {
    let (asked, engine) = (call.asked(), call.app.engine.clone());
    let find = move |reader: &Reader<'_>| {
        let cloud_pc = find(&call, reader)?;
        let params = params(&call, &cloud_pc)?;
        Ok::<_, Problem>((cloud_pc, params))
    };
    engine.request_found(&asked, find).await?;
    Ok(Answer::NoContent)
}

/// The real service powers only Frontline Cloud PCs on and off.
fn check_power(call: &Call, cloud_pc: &CloudPc) -> Result<(), Problem> {
    if call.app.fidelity == Fidelity::Strict && cloud_pc.product != Product::Frontline {
        let message = "Only Frontline Cloud PCs can be powered on and off.";
        return Err(GraphError::bad_request(message).into());
    }
    Ok(())
}

/// `targetServicePlanId` of the body.
pub(super) fn target_service_plan(call: &Call) -> Result<ServicePlanId, Problem> {
    const NAME: &str = "targetServicePlanId";
    let text = call.required_text(NAME)?;
    let wrong = || GraphError::bad_request(format!("'{text}' is not the id of a service plan.")).about(NAME);
    Ok(text.parse().map_err(|_| wrong())?)
}

/// `cloudPcSnapshotId` of the body.
pub(super) fn target_snapshot(call: &Call) -> Result<SnapshotId, Problem> {
    Ok(SnapshotId(call.required_text("cloudPcSnapshotId")?.to_owned()))
}

/// How this caller wants Cloud PCs shown.
pub(super) fn look(call: &Call) -> CloudPcViewContext {
    CloudPcViewContext { version: call.version(), unknown_enum_members: call.prefer.unknown_enum_members }
}
