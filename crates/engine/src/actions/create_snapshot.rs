//! Create a restore point of the current disk.

use cloudpc_model::{Kind, Params, Snapshot, SnapshotId, SnapshotType};

use super::{CancelMode, Recipe, Step, StepContext, StepError, StepOutput, Subject, minutes, unchanged};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::CreateSnapshot,
    steps: &[
        Step::new("checkSupport", "snapshotNotSupported", minutes(1), |context| {
            Box::pin(async move {
                if !context.parts.driver.capabilities(&context.spec(None, None).await?).snapshots {
                    return Err(StepError::not_supported("This machine does not support restore points."));
                }
                Ok(StepOutput::nothing())
            })
        }),
        Step {
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
        }),
    ],
    time_max: minutes(2 * 60),
    subject: Subject::CloudPc {
        status: None,
        complete: |ending| {
            let Params::CreateSnapshot { snapshot_id } = &ending.action.params else { return Ok(()) };
            ending.tx.snapshot_put(&Snapshot {
                tenant_id: ending.action.tenant_id,
                id: snapshot_id.clone(),
                cloud_pc_id: ending.cloud_pc.id,
                snapshot_type: SnapshotType::Manual,
                created_at: ending.now,
                last_restored_at: None,
            })
        },
        after_failure: unchanged,
    },
};

fn snapshot_id(context: &StepContext) -> Result<&SnapshotId, StepError> {
    match &context.action.params {
        Params::CreateSnapshot { snapshot_id } => Ok(snapshot_id),
        _ => Err(StepError::failed("Internal error: the action is not a snapshot.")),
    }
}
