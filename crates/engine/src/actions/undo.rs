//! Undo: restore the machine to its state before its last reprovision, restore, resize or undo.
//!
//! The current disk and the old disk are swapped, so that a failed undo returns to the current
//! disk, and a successful undo can itself be undone. A resize leaves no old disk: the disk stays,
//! and the size is restored.

use cloudpc_drivers::DriverError;
use cloudpc_model::{CloudPcStatus, Kind, Params, UndoRecord};
use cloudpc_store::StoreError;

use super::step::StepFuture;
use super::{
    CancelMode, Completion, Recipe, Step, StepContext, StepError, StepOutput, Subject, machine, minutes, unchanged,
};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Undo,
    steps: &[
        Step::new("findOldDisk", "oldDiskGone", minutes(1), find_old_disk),
        machine::STOP,
        Step { act: set_disk_aside, ..machine::SET_DISK_ASIDE },
        Step { cancel: CancelMode::AfterStep, ..Step::new("takeOldDisk", "diskFailed", minutes(10), take_old_disk) }
            .undone_by(return_old_disk),
        Step { cancel: CancelMode::AfterStep, ..Step::new("changeSize", "sizeFailed", minutes(10), change_size) }
            .undone_by(|context| Box::pin(machine::size(context, None))),
        machine::START,
        machine::WAIT_FOR_GUEST,
    ],
    time_max: minutes(3 * 60),
    subject: Subject::CloudPc { status: Some(|_| CloudPcStatus::Restoring), complete, after_failure: unchanged },
};

/// Returns the undo record of the action to undo. It does not change while the undo is open.
async fn record_to_undo(context: &StepContext) -> Result<UndoRecord, StepError> {
    let Params::Undo { action_id } = context.action.params else {
        return Err(StepError::failed("Internal error: the action is not an undo."));
    };
    let tenant = context.action.tenant_id;
    let record = context.parts.store.read(move |reader| reader.undo_record(tenant, action_id)).await?;
    record.ok_or_else(|| StepError::failed(format!("Action {action_id} can no longer be undone.")))
}

/// Checks that the old disk exists before anything changes.
fn find_old_disk(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let record = record_to_undo(context).await?;
        if record.before.disk_aside {
            let tag = crate::tag(record.action_id, record.tag_nonce);
            let observed = context.parts.driver.observe(context.cloud_pc()?.id).await?;
            if !observed.asides.iter().any(|aside| aside.tag == tag) {
                return Err(StepError::failed(format!(
                    "The old disk of action {} no longer exists.",
                    record.action_id
                )));
            }
        }
        Ok(StepOutput::nothing())
    })
}

fn set_disk_aside(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match record_to_undo(context).await?.before.disk_aside {
            true => machine::set_disk_aside(context).await,
            false => Ok(StepOutput::nothing()),
        }
    })
}

fn take_old_disk(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let record = record_to_undo(context).await?;
        if record.before.disk_aside {
            let tag = crate::tag(record.action_id, record.tag_nonce);
            context.parts.driver.ensure_disk_back(context.cloud_pc()?.id, &tag).await?;
        }
        Ok(StepOutput::nothing())
    })
}

fn return_old_disk(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let record = record_to_undo(context).await?;
        if record.before.disk_aside {
            let tag = crate::tag(record.action_id, record.tag_nonce);
            match context.parts.driver.ensure_disk_aside(context.cloud_pc()?.id, &tag).await {
                // The old disk was never taken.
                Err(DriverError::NotFound(_)) => {}
                other => other?,
            }
        }
        Ok(StepOutput::nothing())
    })
}

fn change_size(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move { machine::size(context, Some(record_to_undo(context).await?.before.service_plan_id)).await })
}

fn complete(ending: &mut Completion<'_, '_>) -> Result<(), StoreError> {
    let Params::Undo { action_id } = ending.action.params else { return Ok(()) };
    if let Some(record) = ending.tx.undo_record(ending.action.tenant_id, action_id)? {
        ending.tx.undo_record_delete(action_id)?;
        ending.keep_undo_record(record.before.disk_aside)?;
        record.before.restore(ending.cloud_pc);
    }
    Ok(())
}
