//! Change user account type: make the user an administrator or a standard user of the guest.

use cloudpc_model::{Kind, Params, UserAccountType};

use super::{Recipe, Step, StepContext, StepError, StepOutput, Subject, machine, minutes, unchanged};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::ChangeUserAccountType,
    steps: &[
        machine::REQUIRE_GUEST,
        Step::new("setAccountType", "accountTypeFailed", minutes(5), |context| {
            Box::pin(async move { set_account_type(context, wanted(context)?).await })
        })
        .undone_by(|context| {
            Box::pin(async move { set_account_type(context, context.cloud_pc()?.user_account_type).await })
        }),
    ],
    time_max: minutes(2 * 60),
    subject: Subject::CloudPc {
        status: None,
        complete: |ending| {
            if let Params::ChangeUserAccountType { user_account_type } = ending.action.params {
                ending.cloud_pc.user_account_type = user_account_type;
            }
            Ok(())
        },
        after_failure: unchanged,
    },
};

fn wanted(context: &StepContext) -> Result<UserAccountType, StepError> {
    match context.action.params {
        Params::ChangeUserAccountType { user_account_type } => Ok(user_account_type),
        _ => Err(StepError::failed("Internal error: the action does not change the account type.")),
    }
}

async fn set_account_type(context: &StepContext, account: UserAccountType) -> Result<StepOutput, StepError> {
    context.guest().await?.set_account_type(&context.cloud_pc()?.user_principal_name, account).await?;
    Ok(StepOutput::nothing())
}
