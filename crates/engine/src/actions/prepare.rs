//! Prepare: make a shared Cloud PC ready for its next user. A restart signs off the last one; if
//! the policy says so, the disk is replaced with a new one from the image.
//!
//! After an unsuccessful end the Cloud PC has failed: it may hold the data of its last user. The
//! retry of its policy, or a reprovision, repairs it.

use cloudpc_model::{CloudPcStatus, Kind, Params};
use cloudpc_store::StoreError;
use std::time::Duration;

use super::step::{StepFn, StepFuture};
use super::{
    AfterFailure, CancelMode, Completion, Recipe, Step, StepContext, StepOutput, Subject, guest_setup, machine, minutes,
};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Prepare,
    steps: &[
        machine::STOP,
        Step { act: |context| if_reset(context, machine::set_disk_aside), ..machine::SET_DISK_ASIDE },
        Step { cancel: CancelMode::AfterStep, ..Step::new("makeDisk", "diskFailed", minutes(40), make_disk) },
        Step { act: machine::start, ..machine::START },
        Step { act: machine::start_and_wait, ..machine::WAIT_FOR_GUEST },
        Step { act: |context| if_reset(context, guest_setup::enrol), ..guest_setup::ENROL },
        Step { act: |context| if_reset(context, guest_setup::deploy_agents), ..guest_setup::DEPLOY_AGENTS },
        Step { powers: true, ..Step::new("restorePower", "stopFailed", minutes(5), machine::restore_power_off) },
    ],
    time_max: minutes(6 * 60),
    subject: Subject::CloudPc {
        status: Some(|_| CloudPcStatus::Preparing),
        complete,
        after_failure: |_| AfterFailure::Broken,
    },
};

/// Runs a step of a reset.
fn if_reset(context: &StepContext, act: StepFn) -> StepFuture<'_> {
    Box::pin(async move {
        match context.action.params {
            Params::Prepare { reset: true } => act(context).await,
            _ => Ok(StepOutput::nothing()),
        }
    })
}

fn make_disk(context: &StepContext) -> StepFuture<'_> {
    if_reset(context, |context| {
        Box::pin(async move {
            context.parts.driver.ensure_disk_from_image(&context.spec(None, None).await?, &context.tag()).await?;
            Ok(StepOutput::nothing())
        })
    })
}

fn complete(ending: &mut Completion<'_, '_>) -> Result<(), StoreError> {
    if matches!(ending.action.params, Params::Prepare { reset: true }) {
        // The old disk is dropped at once.
        ending.undo_window = Duration::ZERO;
        ending.keep_undo_record(true)?;
    }
    Ok(())
}
