//! Troubleshoot: check the machine from outside and inside, and report problems in the Cloud PC's
//! status detail.
//!
//! Each step's message is its finding, or [`FINE`]. The action fails only if the machine cannot be
//! observed.

use cloudpc_drivers::GuestError;
use cloudpc_model::{Action, CloudPcStatus, Kind, Power, StatusDetail};
use std::time::Duration;

use super::step::StepFuture;
use super::{Completion, Recipe, Step, StepContext, StepError, StepOutput, Subject, minutes, unchanged};
use crate::partner::{agent_urls, partners_of};

/// Code of the status detail that this action writes, and clears when all checks pass.
const DETAIL_CODE: &str = "healthCheckFailed";

/// Message of a check that passed. Changing it would turn logged passes into findings.
const FINE: &str = "Nothing wrong.";

/// Time after which a guest that does not respond is a finding.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Troubleshoot,
    steps: &[
        Step::new("observe", "hostNotAvailable", minutes(1), observe),
        Step::new("checkGuest", "hostNotAvailable", minutes(2), check_guest),
        Step::new("checkDiskSpace", "hostNotAvailable", minutes(2), check_disk_space),
        Step::new("checkNetwork", "hostNotAvailable", minutes(5), check_network),
    ],
    time_max: minutes(2 * 60),
    subject: Subject::CloudPc { status: None, complete, after_failure: unchanged },
};

fn observe(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let cloud_pc = context.cloud_pc()?;
        let observed = context.parts.driver.observe(cloud_pc.id).await?;
        let intended = cloud_pc.power_intended;
        let message = if observed.power == intended {
            FINE.to_owned()
        } else {
            let (is, should): (&str, &str) = (observed.power.into(), intended.into());
            format!("The machine is {is}; it should be {should}.")
        };
        Ok(StepOutput { message: Some(message), ..StepOutput::power(observed.power) })
    })
}

fn check_guest(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        if !runs(context)? {
            return Ok(StepOutput::message(FINE));
        }
        let guest = context.guest().await?;
        let until = context.parts.clock.now() + ANSWER_TIME_MAX;
        tokio::select! {
            biased;
            answer = guest.wait_ready() => finding(answer),
            () = context.parts.clock.sleep_until(until) => {
                let seconds = ANSWER_TIME_MAX.as_secs();
                Ok(StepOutput::message(format!("The guest did not respond within {seconds} seconds.")))
            }
        }
    })
}

fn check_disk_space(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        if !answers(context)? {
            return Ok(StepOutput::message(FINE));
        }
        let needed = context.parts.settings.agent_disk_bytes_min;
        match context.guest().await?.free_disk_bytes().await {
            Ok(free) if free < needed => Ok(StepOutput::message(format!(
                "The system disk has {} MiB free; agents need {} MiB.",
                free >> 20,
                needed >> 20
            ))),
            other => finding(other.map(|_| ())),
        }
    })
}

/// Checks that the guest can reach the hosts from which the tenant's partners deploy.
fn check_network(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        if !answers(context)? {
            return Ok(StepOutput::message(FINE));
        }
        let tenant = context.action.tenant_id;
        let partners = context.parts.store.read(move |reader| partners_of(reader, tenant)).await?;
        let guest = context.guest().await?;
        let mut unreached = Vec::new();
        for (url, policy) in agent_urls(partners, context.parts.settings.agent_bytes_max, ANSWER_TIME_MAX) {
            match guest.reach(&url, &policy).await {
                Err(GuestError::Unreachable(why)) => unreached.push(why),
                other => {
                    finding(other)?;
                }
            }
        }
        unreached.dedup();
        Ok(if unreached.is_empty() { StepOutput::message(FINE) } else { StepOutput::message(unreached.join(" ")) })
    })
}

/// Turns guest errors into findings; driver errors fail the step.
fn finding(answer: Result<(), GuestError>) -> Result<StepOutput, StepError> {
    match answer {
        Ok(()) => Ok(StepOutput::message(FINE)),
        Err(GuestError::Driver(error)) => Err(error.into()),
        Err(error) => Ok(StepOutput::message(error.to_string())),
    }
}

fn runs(context: &StepContext) -> Result<bool, StepError> {
    Ok(context.cloud_pc()?.power_observed == Power::Running)
}

fn answers(context: &StepContext) -> Result<bool, StepError> {
    let silent = context.action.step("checkGuest").is_some_and(|step| step.message.as_deref() != Some(FINE));
    Ok(runs(context)? && !silent)
}

fn complete(ending: &mut Completion<'_, '_>) -> Result<(), cloudpc_store::StoreError> {
    let findings = findings(ending.action);
    let cloud_pc = &mut *ending.cloud_pc;
    match cloud_pc.status {
        CloudPcStatus::Provisioned | CloudPcStatus::ProvisionedWithWarnings if !findings.is_empty() => {
            cloud_pc.status = CloudPcStatus::ProvisionedWithWarnings;
            cloud_pc.status_detail = Some(StatusDetail { code: DETAIL_CODE.into(), message: findings });
        }
        CloudPcStatus::ProvisionedWithWarnings
            if cloud_pc.status_detail.as_ref().is_some_and(|detail| detail.code == DETAIL_CODE) =>
        {
            cloud_pc.status = CloudPcStatus::Provisioned;
            cloud_pc.status_detail = None;
        }
        _ => {}
    }
    Ok(())
}

fn findings(action: &Action) -> String {
    let found: Vec<&str> =
        action.steps.iter().filter_map(|step| step.message.as_deref()).filter(|message| *message != FINE).collect();
    found.join(" ")
}
