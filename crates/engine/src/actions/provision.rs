//! Provision: make the machine of a new Cloud PC from its image, start it and set up its guest.
//!
//! Where the host has no room, the action waits until its deadline. An unsuccessful end leaves no
//! machine, and a failed Cloud PC that a reprovision can repair.

use cloudpc_drivers::DriverError;
use cloudpc_model::{CloudPcStatus, Kind, Power};
use cloudpc_store::StoreError;

use super::step::StepFuture;
use super::{
    AfterFailure, CancelMode, Completion, Recipe, Step, StepContext, StepError, StepOutput, Subject, guest_setup,
    machine, minutes,
};
use crate::sessions;

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Provision,
    steps: &[
        Step::new("checkHost", "hostNotSuitable", minutes(1), check_host),
        Step { cancel: CancelMode::AfterStep, ..Step::new("createMachine", "diskFailed", minutes(40), create_machine) }
            .undone_by(remove_machine),
        Step { act: start, ..machine::START },
        Step { act: machine::start_and_wait, ..machine::WAIT_FOR_GUEST },
        guest_setup::ENROL,
        guest_setup::DEPLOY_AGENTS,
    ],
    time_max: minutes(24 * 60),
    subject: Subject::CloudPc {
        status: Some(|_| CloudPcStatus::Provisioning),
        complete,
        after_failure: |_| AfterFailure::Broken,
    },
};

/// Checks, before anything is made, that the host has the image, that the machine fits an empty
/// host, and that there is no machine whose data an undo would delete.
fn check_host(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (spec, driver) = (context.spec(None, None).await?, &context.parts.driver);
        driver.check_image(&spec.image).await?;
        driver.check_size(&spec)?;
        match driver.observe(spec.id).await {
            Err(DriverError::NotFound(_)) => Ok(StepOutput::nothing()),
            Ok(_) => Err(StepError::failed(
                "The host already has a machine of this Cloud PC, whose data provisioning would replace. Remove the machine, or reprovision the Cloud PC.",
            )),
            Err(error) => Err(error.into()),
        }
    })
}

fn create_machine(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let created = context.parts.driver.ensure_present(&context.spec(None, None).await?).await;
        created.map_err(wait_for_room)?;
        Ok(StepOutput::power(Power::PoweredOff))
    })
}

fn remove_machine(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_absent(context.cloud_pc()?.id).await?;
        Ok(StepOutput::power(Power::PoweredOff))
    })
}

fn start(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_running(context.cloud_pc()?.id).await.map_err(wait_for_room)?;
        Ok(StepOutput::power(Power::Running))
    })
}

/// A host that is unavailable may be full. Room appears when other machines stop, which can take
/// longer than the attempts of a step.
fn wait_for_room(error: DriverError) -> StepError {
    match error {
        DriverError::Unavailable(_) => StepError::Waiting(error.to_string()),
        other => other.into(),
    }
}

fn complete(ending: &mut Completion<'_, '_>) -> Result<(), StoreError> {
    let cloud_pc = &mut *ending.cloud_pc;
    cloud_pc.status = CloudPcStatus::Provisioned;
    cloud_pc.status_detail = None;
    cloud_pc.provisioned_at = Some(ending.now);
    match cloud_pc.is_shared() {
        true => sessions::prepare_new(ending.tx, cloud_pc, ending.action, ending.now),
        false => Ok(()),
    }
}
