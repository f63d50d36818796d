//! Reboot: exactly once, which the driver ensures by the action's tag.

use cloudpc_drivers::Observed;
use cloudpc_model::{Kind, Power};

use super::step::StepFuture;
use super::{
    AfterFailure, CancelMode, Recipe, Step, StepContext, StepError, StepOutput, Subject, machine, minutes, nothing,
};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Reboot,
    steps: &[
        Step::new("checkPower", "poweredOff", minutes(1), |context| {
            Box::pin(async move {
                let Observed { power, .. } = context.parts.driver.observe(context.cloud_pc()?.id).await?;
                match power {
                    Power::Running => Ok(StepOutput::power(power)),
                    Power::PoweredOff => Err(StepError::failed("The Cloud PC is powered off. Power it on instead.")),
                    Power::Unknown => Err(StepError::Transient("The machine's power state is unknown.".into())),
                }
            })
        }),
        Step {
            no_return: true,
            cancel: CancelMode::AfterStep,
            powers: true,
            ..Step::new("restart", "restartFailed", minutes(5), restart)
        },
        Step { act: machine::start_and_wait, ..machine::WAIT_FOR_GUEST },
    ],
    time_max: minutes(2 * 60),
    subject: Subject::CloudPc {
        status: None,
        complete: nothing,
        after_failure: |action| match action.step(machine::WAIT_FOR_GUEST.name) {
            Some(_) => AfterFailure::Broken,
            None => AfterFailure::Unchanged,
        },
    },
};

fn restart(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_restarted(context.cloud_pc()?.id, &context.tag()).await?;
        Ok(StepOutput::power(Power::Running))
    })
}
