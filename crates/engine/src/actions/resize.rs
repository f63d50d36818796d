//! Resize: change processors, memory and disk size; the data is kept.
//!
//! Where the licence comes from a group, the action is claimed once there is a licence of the new
//! size, or fails: see [`crate::license_wait`].

use cloudpc_model::{CloudPcStatus, Kind, Params, ServicePlanId};
use cloudpc_store::FrontlineActivation;

use super::{CancelMode, Recipe, Step, StepContext, StepError, StepOutput, Subject, machine, minutes, unchanged};
use crate::license_wait;

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Resize,
    steps: &[
        Step::new("checkSupport", "resizeNotSupported", minutes(1), |context| {
            Box::pin(async move {
                license_wait::check(context.cloud_pc()?)?;
                if !context.parts.driver.capabilities(&context.spec(None, None).await?).resize {
                    return Err(StepError::not_supported("This machine does not support resizing."));
                }
                // An unsupported size fails before the machine is stopped.
                context.parts.driver.check_size(&context.spec(target(context), None).await?)?;
                Ok(StepOutput::nothing())
            })
        }),
        machine::STOP,
        Step {
            cancel: CancelMode::AfterStep,
            ..Step::new("changeSize", "sizeFailed", minutes(10), |context| {
                Box::pin(machine::size(context, target(context)))
            })
        }
        .undone_by(|context| Box::pin(machine::size(context, None))),
        machine::START,
        machine::WAIT_FOR_GUEST,
    ],
    time_max: minutes(3 * 60),
    subject: Subject::CloudPc {
        status: Some(|_| CloudPcStatus::Resizing),
        complete: |ending| {
            ending.keep_undo_record(false)?;
            if let Params::Resize { target_service_plan_id } = ending.action.params {
                ending.cloud_pc.service_plan_id = target_service_plan_id;
                // A frontline Cloud PC that is active uses a licence of the new plan.
                if let Some(activation) = ending.tx.frontline_activation(ending.action.tenant_id, ending.cloud_pc.id)? {
                    let service_plan_id = target_service_plan_id;
                    ending.tx.frontline_activation_put(&FrontlineActivation { service_plan_id, ..activation })?;
                }
            }
            Ok(())
        },
        after_failure: unchanged,
    },
};

/// Returns the requested service plan.
fn target(context: &StepContext) -> Option<ServicePlanId> {
    match context.action.params {
        Params::Resize { target_service_plan_id } => Some(target_service_plan_id),
        _ => None,
    }
}
