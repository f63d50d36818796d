//! Steps shared by several kinds of actions: power, disks, size and waiting for the guest.

use cloudpc_drivers::StopMode;
use cloudpc_model::{Power, ServicePlanId};

use super::step::StepFuture;
use super::{CancelMode, OnTimeout, Step, StepContext, StepError, StepOutput, minutes};

/// Powers the machine off. Undo restores the intended power state.
pub(super) const STOP: Step =
    Step { cancel: CancelMode::AfterStep, powers: true, ..Step::new("stop", "stopFailed", minutes(5), stop) }
        .undone_by(restore_power);

/// Sets the disk aside. Undo puts it back, in place of any disk created since.
pub(super) const SET_DISK_ASIDE: Step =
    Step { cancel: CancelMode::AfterStep, ..Step::new("setDiskAside", "diskFailed", minutes(10), set_disk_aside) }
        .undone_by(|context| {
            Box::pin(async move {
                context.parts.driver.ensure_disk_back(context.cloud_pc()?.id, &context.tag()).await?;
                Ok(StepOutput::nothing())
            })
        });

/// Powers the machine on, if it is intended to be on. Undo cuts the power, since the machine is
/// about to lose its disk or size.
pub(super) const START: Step = Step {
    cancel: CancelMode::AfterStep,
    powers: true,
    ..Step::new("start", "startFailed", minutes(5), restore_power)
}
.undone_by(cut);

/// Waits until the guest responds, if the machine is intended to be on. A machine that powers off
/// meanwhile is started again. A timeout is the only failure.
pub(super) const WAIT_FOR_GUEST: Step = Step {
    needs_power: true,
    on_timeout: OnTimeout::Fail("guestNotReady", "The guest did not respond"),
    ..Step::new("waitForGuest", "guestNotReady", minutes(15), wait_if_intended_on)
};

/// Waits until the guest responds. Fails at once if the machine is intended to be off, because
/// nothing in its guest can be changed.
pub(super) const REQUIRE_GUEST: Step = Step { act: require_guest, ..WAIT_FOR_GUEST };

/// Sets the disk aside under this action's tag.
pub(super) fn set_disk_aside(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_disk_aside(context.cloud_pc()?.id, &context.tag()).await?;
        Ok(StepOutput::nothing())
    })
}

/// Shuts the guest down gracefully, then powers the machine off.
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

/// Powers the machine off, if it is intended to be off. A machine that is intended to run but fails
/// to start is left alone.
pub(super) fn restore_power_off(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match context.cloud_pc()?.power_intended {
            Power::PoweredOff => stop(context).await,
            Power::Running | Power::Unknown => Ok(StepOutput::nothing()),
        }
    })
}

/// Restores the intended power state; that changes only when an action succeeds.
pub(super) fn restore_power(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match context.cloud_pc()?.power_intended {
            Power::PoweredOff => stop(context).await,
            Power::Running | Power::Unknown => start(context).await,
        }
    })
}

/// Resizes the stopped machine to a service plan, or to its own if none is given. The disk grows
/// but never shrinks.
pub(super) async fn size(context: &StepContext, plan: Option<ServicePlanId>) -> Result<StepOutput, StepError> {
    let mut spec = context.spec(plan, None).await?;
    let observed = context.parts.driver.observe(spec.id).await?;
    spec.storage_gib = spec.storage_gib.max(observed.spec.storage_gib);
    context.parts.driver.ensure_size(&spec).await?;
    Ok(StepOutput::nothing())
}

/// Starts a machine that is intended to run and waits until its guest responds.
pub(super) fn start_and_wait(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_running(context.cloud_pc()?.id).await?;
        wait_for_guest(context).await?;
        Ok(StepOutput::power(Power::Running))
    })
}

/// Starts the machine and waits until its guest responds, if the machine is intended to be on.
pub(super) fn wait_if_intended_on(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match context.cloud_pc()?.power_intended {
            Power::PoweredOff => Ok(StepOutput::nothing()),
            Power::Running | Power::Unknown => start_and_wait(context).await,
        }
    })
}

fn require_guest(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match context.cloud_pc()?.power_intended {
            Power::PoweredOff => Err(StepError::failed("The Cloud PC is powered off. Power it on, then retry.")),
            Power::Running | Power::Unknown => start_and_wait(context).await,
        }
    })
}

/// Waits until the guest responds.
pub(super) fn wait_for_guest(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.guest().await?.wait_ready().await?;
        Ok(StepOutput::nothing())
    })
}
