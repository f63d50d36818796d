//! Reprovision: a new disk from the image, in place of the old one, which is kept for the undo
//! window.

use cloudpc_drivers::{GuestError, MachineSpec};
use cloudpc_model::{Action, ActionId, ActivityId, Actor, CloudPcStatus, Kind, Params, PartnerId, Power, State};
use cloudpc_store::{DeploymentFilter, StoreError, Tx};
use uuid::Uuid;

use super::step::StepFuture;
use super::{CancelMode, Completion, Recipe, Step, StepContext, StepError, StepOutput, machine, minutes, unchanged};
use crate::{RequestContext, deploy, image};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Reprovision,
    steps: &[
        machine::STOP,
        machine::SET_DISK_ASIDE,
        // What undoes the step before drops this disk as well.
        Step { cancel: CancelMode::AfterStep, ..Step::new("makeDisk", "diskFailed", minutes(40), make_disk) },
        Step { act: machine::start, ..machine::START },
        Step { act: machine::bring_up, ..machine::WAIT_FOR_GUEST },
        Step::new("enrol", "intuneEnrollFailed", minutes(20), enrol),
        Step::new("deployAgents", "internalError", minutes(1), deploy_agents).undone_by(recall_agents),
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
        image.ok_or_else(|| StepError::failed("The gallery has no image of this operating system any more."))?;
    context.spec(None, Some(image.id)).await
}

fn enrol(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match context.guest().await?.enrol(&context.cloud_pc()?.managed_device_name).await {
            // A network that has only just come up may yet find its way.
            Err(GuestError::Unreachable(why)) => Err(StepError::Transient(why)),
            other => Ok(other.map(|()| StepOutput::nothing())?),
        }
    })
}

/// Puts one deployment for each partner that deploys automatically in line behind this action. The
/// activity's id is derived from the action's, so that a second attempt finds the first one's work.
fn deploy_agents(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let cloud_pc = context.cloud_pc()?.clone();
        let (action, now) = (context.action.clone(), context.parts.clock.now());
        let business_only = context.parts.settings.business_only;
        let asked = context.parts.store.write("deployment.acceptAutomatic", move |tx| {
            let mut asked = Vec::new();
            for partner in deploy::partners_that_deploy_automatically(tx, &cloud_pc, business_only)? {
                let activity = activity(&action, partner.id);
                if let Some(agent) = &partner.agent
                    && deployed(tx, cloud_pc.tenant_id, partner.id, activity)?.is_empty()
                {
                    let targets = [cloud_pc.id.to_string()];
                    let nobody = RequestContext {
                        tenant_id: cloud_pc.tenant_id,
                        by: Actor::system(),
                        request_id: String::new(),
                    };
                    deploy::accept(tx, &nobody, &partner, agent, activity, &targets, now)?;
                }
                asked.push(partner.partner_id);
            }
            Ok::<_, StoreError>(asked)
        });
        let asked = asked.await?;
        Ok(if asked.is_empty() {
            StepOutput::nothing()
        } else {
            StepOutput::message(format!("Agents of these partners will be deployed: {}.", asked.join(", ")))
        })
    })
}

/// The machine goes back to its old disk, which has its agents. They wait behind this action, so
/// none has begun.
fn recall_agents(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let cloud_pc = context.cloud_pc()?.clone();
        let (action, now) = (context.action.clone(), context.parts.clock.now());
        let recalled = context.parts.store.write("deployment.recallAutomatic", move |tx| {
            for partner in deploy::partners_of(tx, cloud_pc.tenant_id)? {
                for deployment in deployed(tx, cloud_pc.tenant_id, partner.id, activity(&action, partner.id))? {
                    if let Some(action) = tx.action(cloud_pc.tenant_id, deployment)?
                        && action.state == State::Pending
                    {
                        let why = "The reprovision that asked for this deployment was taken back.";
                        crate::cancel::end_pending(tx, &action, &Actor::system(), why, now)?;
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
    // To the directory it is a new device; to device management it stays the same one (see the
    // model).
    cloud_pc.aad_device_id = derived_id(ending.action, cloud_pc.id.0);
    Ok(())
}
