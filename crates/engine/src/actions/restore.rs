//! Restore: a copy of a restore point, in place of the present disk, which is kept for the undo
//! window.

use cloudpc_model::{CloudPcStatus, Kind, Params};

use super::step::Doing;
use super::{Cancel, Context, Recipe, Said, Step, Trouble, as_before, machine, minutes};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Restore,
    steps: &[
        Step::new("checkSupport", "restoreNotSupported", minutes(1), |context| {
            Box::pin(async move {
                if !context.parts.driver.capabilities(&context.spec(None, None).await?).snapshots {
                    return Err(Trouble::not_supported("This machine has no restore points."));
                }
                Ok(Said::nothing())
            })
        }),
        machine::STOP,
        machine::SET_DISK_ASIDE,
        // What undoes the step before drops this disk as well.
        Step { cancel: Cancel::AfterStep, ..Step::new("copySnapshot", "diskFailed", minutes(40), copy_snapshot) },
        machine::START,
        machine::WAIT_FOR_GUEST,
    ],
    time_max: minutes(4 * 60),
    status: Some(CloudPcStatus::Restoring),
    done: |ending| {
        ending.leave_way_back(true)?;
        if let Params::Restore { snapshot_id } = &ending.action.params {
            ending.tx.snapshot_restored(ending.action.tenant_id, snapshot_id, ending.now)?;
        }
        Ok(())
    },
    left: as_before,
};

fn copy_snapshot(context: &Context) -> Doing<'_> {
    Box::pin(async move {
        let Params::Restore { snapshot_id } = &context.action.params else {
            return Err(Trouble::failed("This action names no restore point."));
        };
        let id = context.cloud_pc()?.id;
        context.parts.driver.ensure_disk_from_snapshot(id, snapshot_id, &context.tag()).await?;
        Ok(Said::nothing())
    })
}
