//! Drop a restore point from the host. The restore point itself was deleted when the action was
//! accepted; the action waits in the machine's line, behind a restore that uses it.

use cloudpc_drivers::DriverError;
use cloudpc_model::{Kind, Params};

use super::{CancelMode, Recipe, Step, StepError, StepOutput, Subject, minutes, nothing, unchanged};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::DropRestorePoint,
    steps: &[Step {
        cancel: CancelMode::AfterStep,
        no_return: true,
        ..Step::new("dropSnapshot", "snapshotFailed", minutes(20), |context| {
            Box::pin(async move {
                let Params::DropRestorePoint { snapshot_id } = &context.action.params else {
                    return Err(StepError::failed("Internal error: the action drops no restore point."));
                };
                match context.parts.driver.ensure_snapshot_absent(context.cloud_pc()?.id, snapshot_id).await {
                    Ok(()) | Err(DriverError::NotFound(_)) => Ok(StepOutput::nothing()),
                    Err(error) => Err(error.into()),
                }
            })
        })
    }],
    time_max: minutes(24 * 60),
    subject: Subject::CloudPc { status: None, complete: nothing, after_failure: unchanged },
};
