//! Steps that several kinds of action share: power, disks, size and the guest's first answer.

use cloudpc_drivers::StopMode;
use cloudpc_model::{Power, ServicePlanId};

use super::step::StepFuture;
use super::{CancelMode, OnTimeout, Step, StepContext, StepError, StepOutput, minutes};

/// Powers the machine off. Undone by giving it back the power state that it should have.
pub(super) const STOP: Step =
    Step { cancel: CancelMode::AfterStep, powers: true, ..Step::new("stop", "stopFailed", minutes(5), stop) }
        .undone_by(power_back);

/// Sets the disk aside. Undone by putting it back, in place of whatever disk was made since.
pub(super) const SET_DISK_ASIDE: Step =
    Step { cancel: CancelMode::AfterStep, ..Step::new("setDiskAside", "diskFailed", minutes(10), set_disk_aside) }
        .undone_by(|context| {
            Box::pin(async move {
                context.parts.driver.ensure_disk_back(context.cloud_pc()?.id, &context.tag()).await?;
                Ok(StepOutput::nothing())
            })
        });

/// Powers the machine on, if it should be on. Undone by cutting the power: what runs is about to
/// lose its disk or its size.
pub(super) const START: Step =
    Step { cancel: CancelMode::AfterStep, powers: true, ..Step::new("start", "startFailed", minutes(5), power_back) }
        .undone_by(cut);

/// Waits until the guest answers, if the machine should be on. One that goes off meanwhile is
/// started again. Waiting for longer than this is what its failure means.
pub(super) const WAIT_FOR_GUEST: Step = Step {
    needs_power: true,
    on_timeout: OnTimeout::Fail("guestNotReady", "The guest did not answer"),
    ..Step::new("waitForGuest", "guestNotReady", minutes(15), |context| {
        Box::pin(async move {
            match context.cloud_pc()?.power_intended {
                Power::PoweredOff => Ok(StepOutput::nothing()),
                Power::Running | Power::Unknown => bring_up(context).await,
            }
        })
    })
};

/// Sets the disk aside under this action's tag.
pub(super) fn set_disk_aside(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_disk_aside(context.cloud_pc()?.id, &context.tag()).await?;
        Ok(StepOutput::nothing())
    })
}

/// Powers the machine off, asking its guest first.
pub(super) fn stop(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_stopped(context.cloud_pc()?.id, StopMode::Graceful).await?;
        Ok(StepOutput::power(Power::PoweredOff))
    })
}

/// Powers the machine on.
pub(super) fn start(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_running(context.cloud_pc()?.id).await?;
        Ok(StepOutput::power(Power::Running))
    })
}

/// Cuts the power.
pub(super) fn cut(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_stopped(context.cloud_pc()?.id, StopMode::Force).await?;
        Ok(StepOutput::power(Power::PoweredOff))
    })
}

/// Powers the machine off, if it should be off. One that should run and cannot be started is no
/// better off for being tried further here.
pub(super) fn off_again(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match context.cloud_pc()?.power_intended {
            Power::PoweredOff => stop(context).await,
            Power::Running | Power::Unknown => Ok(StepOutput::nothing()),
        }
    })
}

/// Gives the machine the power state that it should have; what that is changes only when an action
/// is done.
pub(super) fn power_back(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match context.cloud_pc()?.power_intended {
            Power::PoweredOff => stop(context).await,
            Power::Running | Power::Unknown => start(context).await,
        }
    })
}

/// Gives the stopped machine the processors and the memory of a service plan, or of its own. A disk
/// grows and never shrinks.
pub(super) async fn size(context: &StepContext, plan: Option<ServicePlanId>) -> Result<StepOutput, StepError> {
    let mut spec = context.spec(plan, None).await?;
    let observed = context.parts.driver.observe(spec.id).await?;
    spec.storage_gib = spec.storage_gib.max(observed.spec.storage_gib);
    context.parts.driver.ensure_size(&spec).await?;
    Ok(StepOutput::nothing())
}

/// Waits until the guest answers of a machine that is to run.
pub(super) fn bring_up(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_running(context.cloud_pc()?.id).await?;
        wait_for_guest(context).await?;
        Ok(StepOutput::power(Power::Running))
    })
}

/// Waits until the guest answers.
pub(super) fn wait_for_guest(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.guest().await?.wait_ready().await?;
        Ok(StepOutput::nothing())
    })
}
