//! Create a restore point of the current disk.

use cloudpc_model::{Kind, Params, Snapshot, SnapshotId, SnapshotType};
use cloudpc_store::StoreError;

use super::{CancelMode, Completion, Recipe, Step, StepContext, StepError, StepOutput, Subject, minutes, unchanged};

/// Ends the action as `notSupported` if the machine has no restore points.
pub(super) const CHECK_SUPPORT: Step = Step::new("checkSupport", "snapshotNotSupported", minutes(1), |context| {
    Box::pin(async move {
        if !context.parts.driver.capabilities(&context.spec(None, None).await?).snapshots {
            return Err(StepError::not_supported("This machine does not support restore points."));
        }
        Ok(StepOutput::nothing())
    })
});

/// Takes the restore point that the action's parameters name. Undo deletes it.
pub(super) const TAKE_SNAPSHOT: Step = Step {
    cancel: CancelMode::AfterStep,
    ..Step::new("takeSnapshot", "snapshotFailed", minutes(20), |context| {
        Box::pin(async move {
            context.parts.driver.ensure_snapshot(context.cloud_pc()?.id, snapshot_id(context)?).await?;
            Ok(StepOutput::nothing())
        })
    })
}
.undone_by(|context| {
    Box::pin(async move {
        context.parts.driver.ensure_snapshot_absent(context.cloud_pc()?.id, snapshot_id(context)?).await?;
        Ok(StepOutput::nothing())
    })
});

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::CreateSnapshot,
    steps: &[CHECK_SUPPORT, TAKE_SNAPSHOT],
    time_max: minutes(2 * 60),
    subject: Subject::CloudPc {
        status: None,
        complete: |ending| store(ending, SnapshotType::Manual),
        after_failure: unchanged,
    },
};

/// Stores the restore point that the action has taken.
pub(super) fn store(ending: &mut Completion<'_, '_>, snapshot_type: SnapshotType) -> Result<(), StoreError> {
    let Some(id) = named(&ending.action.params) else { return Ok(()) };
    ending.tx.snapshot_put(&Snapshot {
        tenant_id: ending.action.tenant_id,
        id: id.clone(),
        cloud_pc_id: ending.cloud_pc.id,
        snapshot_type,
        created_at: ending.now,
        last_restored_at: None,
    })
}

/// Returns the restore point that an action takes.
fn named(params: &Params) -> Option<&SnapshotId> {
    match params {
        Params::CreateSnapshot { snapshot_id }
        | Params::PlaceUnderReview { snapshot_id }
        | Params::TakeRestorePoint { snapshot_id } => Some(snapshot_id),
        _ => None,
    }
}

fn snapshot_id(context: &StepContext) -> Result<&SnapshotId, StepError> {
    named(&context.action.params).ok_or_else(|| StepError::failed("Internal error: the action takes no restore point."))
}
