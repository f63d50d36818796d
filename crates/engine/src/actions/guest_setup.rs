//! Steps that set up the guest of a new disk, shared by reprovision, provision and prepare:
//! enrolment, and the agents of partners that deploy automatically.

use cloudpc_drivers::GuestError;
use cloudpc_model::{Action, ActionId, ActivityId, Actor, PartnerId, State};
use cloudpc_store::{DeploymentFilter, StoreError, Tx};
use uuid::Uuid;

use super::step::StepFuture;
use super::{Step, StepContext, StepError, StepOutput, deploy_agent, minutes};
use crate::ledger::{self, Deployments, RequestContext};
use crate::partner::{auto_deploy_partners, partners_of};

/// Sets the guest's hostname and enrols it in device management.
pub(super) const ENROL: Step = Step::new("enrol", "intuneEnrollFailed", minutes(20), enrol);

/// Queues the deployments of all partners that deploy automatically.
pub(super) const DEPLOY_AGENTS: Step =
    Step::new("deployAgents", "internalError", minutes(1), deploy_agents).undone_by(cancel_deployments);

pub(super) fn enrol(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match context.guest().await?.enrol(&context.cloud_pc()?.managed_device_name).await {
            // A network that has just come up may become reachable.
            Err(GuestError::Unreachable(why)) => Err(StepError::Transient(why)),
            other => Ok(other.map(|()| StepOutput::nothing())?),
        }
    })
}

/// Queues one deployment behind this action for each partner that deploys automatically. The
/// activity's id is derived from the action's, so that a second attempt finds the deployments of
/// the first.
pub(super) fn deploy_agents(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let cloud_pc = context.cloud_pc()?.clone();
        let (action, now) = (context.action.clone(), context.parts.clock.now());
        let business_only = context.parts.settings.business_only;
        let queued = context.parts.store.write("deployment.acceptAutomatic", move |tx| {
            let mut queued = Vec::new();
            for partner in auto_deploy_partners(tx, &cloud_pc, business_only)? {
                let activity = activity(&action, partner.id);
                if let Some(agent) = &partner.agent
                    && deployed(tx, cloud_pc.tenant_id, partner.id, activity)?.is_empty()
                {
                    let targets = [cloud_pc.id.to_string()];
                    let system = RequestContext::system(cloud_pc.tenant_id);
                    let deployments = Deployments {
                        partner: &partner,
                        agent,
                        activity_id: activity,
                        targets: &targets,
                        time_max: deploy_agent::RECIPE.time_max,
                    };
                    ledger::accept_deployments(tx, &system, &deployments, now)?;
                }
                queued.push(partner.partner_id);
            }
            Ok::<_, StoreError>(queued)
        });
        let queued = queued.await?;
        Ok(if queued.is_empty() {
            StepOutput::nothing()
        } else {
            StepOutput::message(format!("Queued agent deployments of these partners: {}.", queued.join(", ")))
        })
    })
}

/// Cancels the queued deployments: the machine goes, or gets its old disk back, which has its
/// agents. They wait behind this action, so none has started.
fn cancel_deployments(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let cloud_pc = context.cloud_pc()?.clone();
        let (action, now) = (context.action.clone(), context.parts.clock.now());
        let kind = action.kind().name();
        let recalled = context.parts.store.write("deployment.recallAutomatic", move |tx| {
            for partner in partners_of(tx, cloud_pc.tenant_id)? {
                for deployment in deployed(tx, cloud_pc.tenant_id, partner.id, activity(&action, partner.id))? {
                    if let Some(action) = tx.action(cloud_pc.tenant_id, deployment)?
                        && action.state == State::Pending
                    {
                        let why = format!("The {kind} that requested this deployment was undone.");
                        ledger::end_pending(tx, &action, &Actor::system(), &why, now)?;
                    }
                }
            }
            Ok::<_, StoreError>(())
        });
        recalled.await?;
        Ok(StepOutput::nothing())
    })
}

fn activity(action: &Action, partner: PartnerId) -> ActivityId {
    ActivityId(derived_id(action, partner.0))
}

/// Returns the id that an action derives from another one: always the same for one action, and
/// different for each action.
pub(super) fn derived_id(action: &Action, from: Uuid) -> Uuid {
    let spread = u128::from(action.id.0.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let bytes = (from.as_u128() ^ spread ^ u128::from(action.tag_nonce.unwrap_or_default())).to_be_bytes();
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn deployed(
    tx: &Tx<'_>,
    tenant: cloudpc_model::TenantId,
    partner: PartnerId,
    activity: ActivityId,
) -> Result<Vec<ActionId>, StoreError> {
    let filter = DeploymentFilter { activity: Some(activity.to_string()), target: None };
    let rows = tx.deployment_list(tenant, partner, &filter, ActionId(0), ActionId(i64::MAX), 1)?;
    Ok(rows.into_iter().map(|row| row.action_id).collect())
}
