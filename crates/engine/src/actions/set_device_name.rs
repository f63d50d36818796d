//! Set device name: change the hostname of the guest, and the device name that shows it.

use cloudpc_model::{Kind, Params};

use super::{Recipe, Step, StepContext, StepError, StepOutput, Subject, machine, minutes, unchanged};

/// Most characters of a hostname, as Windows allows.
pub(crate) const DEVICE_NAME_CHARS_MAX: usize = 15;

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::SetDeviceName,
    steps: &[
        machine::REQUIRE_GUEST,
        Step::new("setHostname", "renameFailed", minutes(20), |context| {
            Box::pin(async move { set_hostname(context, wanted(context)?).await })
        })
        .undone_by(|context| {
            Box::pin(async move { set_hostname(context, &context.cloud_pc()?.managed_device_name).await })
        }),
    ],
    time_max: minutes(2 * 60),
    subject: Subject::CloudPc {
        status: None,
        complete: |ending| {
            if let Params::SetDeviceName { device_name } = &ending.action.params {
                ending.cloud_pc.managed_device_name.clone_from(device_name);
            }
            Ok(())
        },
        after_failure: unchanged,
    },
};

/// Returns whether a text can be a hostname: letters, digits and hyphens, not digits alone, and no
/// hyphen at either end.
pub(crate) fn is_device_name(text: &str) -> bool {
    (1..=DEVICE_NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn wanted(context: &StepContext) -> Result<&str, StepError> {
    match &context.action.params {
        Params::SetDeviceName { device_name } => Ok(device_name),
        _ => Err(StepError::failed("Internal error: the action does not set the device name.")),
    }
}

async fn set_hostname(context: &StepContext, hostname: &str) -> Result<StepOutput, StepError> {
    context.guest().await?.enrol(hostname).await?;
    Ok(StepOutput::nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_name_is_a_windows_hostname() {
        for name in ["A", "CPC-ada-4F7Q2", "1a", "a23456789012345"] {
            assert!(is_device_name(name), "{name}");
        }
        for name in ["", "123", "-a", "a-", "a b", "a.b", "ä", "a234567890123456"] {
            assert!(!is_device_name(name), "{name}");
        }
    }
}
