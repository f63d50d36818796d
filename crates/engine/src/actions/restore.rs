//! Restore: replace the disk with a copy of a restore point, and keep the old disk for the undo
//! window.

use cloudpc_model::{CloudPcStatus, Kind, Params};

use super::step::StepFuture;
use super::{CancelMode, Recipe, Step, StepContext, StepError, StepOutput, Subject, machine, minutes, unchanged};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Restore,
    steps: &[
        Step::new("checkSupport", "restoreNotSupported", minutes(1), |context| {
            Box::pin(async move {
                if !context.parts.driver.capabilities(&context.spec(None, None).await?).snapshots {
                    return Err(StepError::not_supported("This machine does not support restore points."));
                }
                Ok(StepOutput::nothing())
            })
        }),
        machine::STOP,
        machine::SET_DISK_ASIDE,
        // The undo of the previous step drops this disk as well.
        Step { cancel: CancelMode::AfterStep, ..Step::new("copySnapshot", "diskFailed", minutes(40), copy_snapshot) },
        machine::START,
        machine::WAIT_FOR_GUEST,
    ],
    time_max: minutes(4 * 60),
    subject: Subject::CloudPc {
        status: Some(|_| CloudPcStatus::Restoring),
        complete: |ending| {
            ending.keep_undo_record(true)?;
            if let Params::Restore { snapshot_id } = &ending.action.params {
                ending.tx.snapshot_restored(ending.action.tenant_id, snapshot_id, ending.now)?;
            }
            Ok(())
        },
        after_failure: unchanged,
    },
};

fn copy_snapshot(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let Params::Restore { snapshot_id } = &context.action.params else {
            return Err(StepError::failed("Internal error: the action is not a restore."));
        };
        let id = context.cloud_pc()?.id;
        context.parts.driver.ensure_disk_from_snapshot(id, snapshot_id, &context.tag()).await?;
        Ok(StepOutput::nothing())
    })
}
