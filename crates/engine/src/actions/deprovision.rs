//! Deprovision: power off and remove the machine with all its disks, then delete the Cloud PC.
//!
//! An unsuccessful end returns the Cloud PC to its grace period, which lasts at least
//! [`RETRY_AFTER`] more, so that the engine tries again.

use cloudpc_drivers::DriverError;
use cloudpc_model::{Actor, CloudPcStatus, Kind, Power};
use cloudpc_store::StoreError;
use std::time::Duration;

use super::step::StepFuture;
use super::{AfterFailure, CancelMode, Completion, Recipe, Step, StepContext, StepOutput, Subject, machine, minutes};
use crate::{ledger, policy};

/// Time after which an unsuccessful deprovisioning is repeated.
pub(super) const RETRY_AFTER: Duration = minutes(60);

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Deprovision,
    steps: &[
        Step { act: stop, ..machine::STOP }.undone_by(restore_power),
        Step {
            no_return: true,
            cancel: CancelMode::AfterStep,
            ..Step::new("removeMachine", "diskFailed", minutes(10), |context| {
                Box::pin(async move {
                    context.parts.driver.ensure_absent(context.cloud_pc()?.id).await?;
                    Ok(StepOutput::power(Power::PoweredOff))
                })
            })
        },
    ],
    time_max: minutes(24 * 60),
    subject: Subject::CloudPc {
        status: Some(|_| CloudPcStatus::Deprovisioning),
        complete,
        after_failure: |_| AfterFailure::InGracePeriod,
    },
};

/// Powers the machine off, if there is one: a Cloud PC whose provisioning failed has none.
fn stop(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match context.parts.driver.observe(context.cloud_pc()?.id).await {
            Err(DriverError::NotFound(_)) => Ok(StepOutput::nothing()),
            _ => machine::stop(context).await,
        }
    })
}

fn restore_power(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match context.parts.driver.observe(context.cloud_pc()?.id).await {
            Err(DriverError::NotFound(_)) => Ok(StepOutput::nothing()),
            _ => machine::restore_power(context).await,
        }
    })
}

/// Deletes the Cloud PC and everything that refers to its machine. Actions that wait behind this
/// one have nothing left to act on.
fn complete(ending: &mut Completion<'_, '_>) -> Result<(), StoreError> {
    let (tenant, id) = (ending.action.tenant_id, ending.cloud_pc.id);
    for action in ending.tx.action_waiting(tenant, &id.to_string())? {
        ledger::end_pending(ending.tx, &action, &Actor::system(), "The Cloud PC was deprovisioned.", ending.now)?;
    }
    // The licence or seat is free for another Cloud PC.
    if let Some(user) = ending.cloud_pc.user_id {
        ending.tx.provisioning_queue_put(tenant, &[user], ending.now)?;
    }
    let seat = ending.tx.entitlement(tenant, id)?.filter(|entitlement| entitlement.sku_id.is_none());
    match seat {
        Some(seat) if seat.user_id.is_none() => {
            ending.tx.shared_assignment_put(tenant, &seat.policy_id, &seat.assignment_id)?;
            policy::queue_seats(ending.tx, tenant, seat.service_plan_id, ending.now)?;
        }
        Some(seat) => {
            policy::queue_members(ending.tx, tenant, &seat.policy_id, &seat.assignment_id, ending.now)?;
            ending.tx.shared_assignment_put_waiting(tenant)?;
        }
        None => {}
    }
    ending.tx.cloud_pc_delete(tenant, id)
}
