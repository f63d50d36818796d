//! Apply policy: bring settings of a changed provisioning policy to a Cloud PC.
//!
//! All machines run where the service runs, so a region is a label. A move stops the machine,
//! starts it again and waits for its guest, as a real one does, and keeps disk and data. Single
//! sign-on is recorded only; the guest takes no part in it. The values are stored when the action
//! succeeds, so an unsuccessful end leaves the former ones.

use cloudpc_model::{Action, CloudPcStatus, Kind, Params};
use cloudpc_store::StoreError;

use super::step::{StepFn, StepFuture};
use super::{Completion, Recipe, Step, StepContext, StepError, StepOutput, Subject, machine, minutes, unchanged};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::ApplyPolicy,
    steps: &[
        Step { act: |context| if_moving(context, machine::stop), ..machine::STOP }
            .undone_by(|context| if_moving(context, machine::restore_power)),
        Step { act: |context| if_moving(context, machine::restore_power), ..machine::START }
            .undone_by(|context| if_moving(context, machine::cut)),
        Step { act: |context| if_moving(context, machine::wait_if_intended_on), ..machine::WAIT_FOR_GUEST },
    ],
    time_max: minutes(24 * 60),
    subject: Subject::CloudPc { status: Some(status), complete, after_failure: unchanged },
};

fn status(action: &Action) -> CloudPcStatus {
    match &action.params {
        Params::ApplyPolicy { region: Some(_), single_sign_on: None, .. } => CloudPcStatus::MovingRegion,
        Params::ApplyPolicy { region: None, single_sign_on: Some(_), .. } => CloudPcStatus::ModifyingSingleSignOn,
        _ => CloudPcStatus::RefreshPolicyConfiguration,
    }
}

/// Runs a step of a move. Where nothing moves, reports the machine's power only: it is unknown if
/// an earlier attempt's outcome was.
fn if_moving(context: &StepContext, act: StepFn) -> StepFuture<'_> {
    Box::pin(async move {
        if is_moving(context)? {
            return act(context).await;
        }
        let observed = context.parts.driver.observe(context.cloud_pc()?.id).await?;
        Ok(StepOutput::power(observed.power))
    })
}

/// Returns whether the region changes. A reprovision ahead in line may have brought it already.
fn is_moving(context: &StepContext) -> Result<bool, StepError> {
    let present = &context.cloud_pc()?.region;
    Ok(matches!(&context.action.params, Params::ApplyPolicy { region: Some(wanted), .. } if wanted != present))
}

fn complete(ending: &mut Completion<'_, '_>) -> Result<(), StoreError> {
    if let Params::ApplyPolicy { region, single_sign_on, .. } = &ending.action.params {
        let cloud_pc = &mut *ending.cloud_pc;
        cloud_pc.region = region.clone().unwrap_or_else(|| std::mem::take(&mut cloud_pc.region));
        cloud_pc.single_sign_on = single_sign_on.unwrap_or(cloud_pc.single_sign_on);
    }
    Ok(())
}
