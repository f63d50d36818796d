//! Reboot: once, which the driver can tell by the action's tag.

use cloudpc_drivers::Observed;
use cloudpc_model::{Kind, Power};

use super::step::Doing;
use super::{Cancel, Context, Left, Recipe, Said, Step, Trouble, machine, minutes, nothing};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Reboot,
    steps: &[
        Step::new("checkPower", "poweredOff", minutes(1), |context| {
            Box::pin(async move {
                let Observed { power, .. } = context.parts.driver.observe(context.cloud_pc()?.id).await?;
                match power {
                    Power::Running => Ok(Said::power(power)),
                    Power::PoweredOff => Err(Trouble::failed("The Cloud PC is powered off. Power it on instead.")),
                    Power::Unknown => Err(Trouble::Passing("The machine's power state is not known yet.".into())),
                }
            })
        }),
        Step {
            no_return: true,
            cancel: Cancel::AfterStep,
            powers: true,
            ..Step::new("restart", "restartFailed", minutes(5), restart)
        },
        Step { act: machine::bring_up, ..machine::WAIT_FOR_GUEST },
    ],
    time_max: minutes(2 * 60),
    status: None,
    done: nothing,
    left: |action| match action.step(machine::WAIT_FOR_GUEST.name) {
        Some(_) => Left::Broken,
        None => Left::AsBefore,
    },
};

fn restart(context: &Context) -> Doing<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_restarted(context.cloud_pc()?.id, &context.tag()).await?;
        Ok(Said::power(Power::Running))
    })
}
