//! Resize: other processors, memory and disk; the data stays.

use cloudpc_model::{CloudPcStatus, Kind, Params};

use super::step::Doing;
use super::{Cancel, Context, Recipe, Said, Step, Trouble, as_before, machine, minutes, status_before};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Resize,
    steps: &[
        Step::new("checkSupport", "resizeNotSupported", minutes(1), |context| {
            Box::pin(async move {
                if !context.parts.driver.capabilities(&context.spec(None, None).await?).resize {
                    return Err(Trouble::not_supported("This machine's size cannot be changed."));
                }
                Ok(Said::nothing())
            })
        }),
        machine::STOP,
        Step {
            cancel: Cancel::AfterStep,
            ..Step::new("changeSize", "sizeFailed", minutes(10), |context| {
                Box::pin(async move {
                    let plan = match context.action.params {
                        Params::Resize { target_service_plan_id } => Some(target_service_plan_id),
                        _ => None,
                    };
                    context.parts.driver.ensure_size(&context.spec(plan, None).await?).await?;
                    Ok(Said::nothing())
                })
            })
        }
        .undone_by(size_back),
        machine::START,
        machine::WAIT_FOR_GUEST,
    ],
    time_max: minutes(3 * 60),
    status: Some(CloudPcStatus::Resizing),
    done: |ending| {
        if let Params::Resize { target_service_plan_id } = ending.action.params {
            ending.cloud_pc.service_plan_id = target_service_plan_id;
        }
        ending.cloud_pc.status = status_before(ending.cloud_pc, Kind::Resize);
        Ok(())
    },
    left: as_before,
};

/// Gives the machine its old processors and memory back. Its disk keeps the size that it has come to: a disk cannot shrink.
fn size_back(context: &Context) -> Doing<'_> {
    Box::pin(async move {
        let mut spec = context.spec(None, None).await?;
        let observed = context.parts.driver.observe(spec.id).await?;
        spec.storage_gib = spec.storage_gib.max(observed.spec.storage_gib);
        context.parts.driver.ensure_size(&spec).await?;
        Ok(Said::nothing())
    })
}
