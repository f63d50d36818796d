//! Reprovision: replace the disk with a new one from the image, and keep the old one for the undo
//! window.

use cloudpc_drivers::{GuestError, MachineSpec};
use cloudpc_model::{Action, ActionId, ActivityId, Actor, CloudPcStatus, Kind, Params, PartnerId, Power, State};
use cloudpc_store::{DeploymentFilter, StoreError, Tx};
use uuid::Uuid;

use super::step::StepFuture;
use super::{
    CancelMode, Completion, Recipe, Step, StepContext, StepError, StepOutput, deploy_agent, machine, minutes, unchanged,
};
use crate::image;
use crate::ledger::{self, Deployments, RequestContext};
use crate::partner::{auto_deploy_partners, partners_of};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Reprovision,
    steps: &[
        machine::STOP,
        machine::SET_DISK_ASIDE,
        // The undo of the previous step drops this disk as well.
        Step { cancel: CancelMode::AfterStep, ..Step::new("makeDisk", "diskFailed", minutes(40), make_disk) },
        Step { act: machine::start, ..machine::START },
        Step { act: machine::start_and_wait, ..machine::WAIT_FOR_GUEST },
        Step::new("enrol", "intuneEnrollFailed", minutes(20), enrol),
        Step::new("deployAgents", "internalError", minutes(1), deploy_agents).undone_by(cancel_deployments),
    ],
    time_max: minutes(6 * 60),
    status: Some(CloudPcStatus::Provisioning),
    complete,
    after_failure: unchanged,
};

fn make_disk(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_disk_from_image(&new_spec(context).await?, &context.tag()).await?;
        Ok(StepOutput::nothing())
    })
}

async fn new_spec(context: &StepContext) -> Result<MachineSpec, StepError> {
    let (cloud_pc, params) = (context.cloud_pc()?.clone(), context.action.params.clone());
    let image = context.parts.store.read(move |reader| image::chosen(reader, &cloud_pc, &params)).await?;
    let image =
        image.ok_or_else(|| StepError::failed("The gallery no longer has an image of this operating system."))?;
    context.spec(None, Some(image.id)).await
}

fn enrol(context: &StepContext) -> StepFuture<'_> {
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
fn deploy_agents(context: &StepContext) -> StepFuture<'_> {
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
                    let system = RequestContext {
                        tenant_id: cloud_pc.tenant_id,
                        by: Actor::system(),
                        request_id: String::new(),
                    };
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

/// Cancels the queued deployments: the machine gets its old disk back, which has its agents. They
/// wait behind this action, so none has started.
fn cancel_deployments(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let cloud_pc = context.cloud_pc()?.clone();
        let (action, now) = (context.action.clone(), context.parts.clock.now());
        let recalled = context.parts.store.write("deployment.recallAutomatic", move |tx| {
            for partner in partners_of(tx, cloud_pc.tenant_id)? {
                for deployment in deployed(tx, cloud_pc.tenant_id, partner.id, activity(&action, partner.id))? {
                    if let Some(action) = tx.action(cloud_pc.tenant_id, deployment)?
                        && action.state == State::Pending
                    {
                        let why = "The reprovision that requested this deployment was undone.";
                        ledger::end_pending(tx, &action, &Actor::system(), why, now)?;
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

/// Returns the id that an action makes from another one: the same whenever it is asked for, and
/// another one for each action.
fn derived_id(action: &Action, from: Uuid) -> Uuid {
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

fn complete(ending: &mut Completion<'_, '_>) -> Result<(), StoreError> {
    ending.keep_undo_record(true)?;
    if let Some(image) = image::chosen(ending.tx, ending.cloud_pc, &ending.action.params)? {
        ending.cloud_pc.os_version = image.os_version;
        ending.cloud_pc.image_id = image.id;
    }
    let cloud_pc = &mut *ending.cloud_pc;
    if let Params::Reprovision { user_account_type: Some(wanted), .. } = ending.action.params {
        cloud_pc.user_account_type = wanted;
    }
    cloud_pc.status = CloudPcStatus::Provisioned;
    cloud_pc.status_detail = None;
    cloud_pc.power_intended = Power::Running;
    cloud_pc.provisioned_at = Some(ending.now);
    // The directory sees a new device; device management sees the same one (see the model).
    cloud_pc.aad_device_id = derived_id(ending.action, cloud_pc.id.0);
    Ok(())
}
