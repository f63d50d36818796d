//! Operations on provisioning policies other than those of every document.

pub(super) mod apply;
pub(super) mod apply_config;
pub(super) mod apply_result;
pub(super) mod apply_schedule;
pub(super) mod retry;
pub(super) mod schedule_apply;
pub(super) mod update_status;

pub use apply_config::APPLY_CLOUD_PC_IDS_MAX;
pub(super) use schedule_apply::leniency;

use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentType, Object, PolicySettingTypes, RESERVE_PERCENTAGE_MAX};
use cloudpc_store::Reader;
use serde_json::Value;

use crate::documents;
use crate::pipeline::{Call, Problem};

/// Returns the policy in the path.
fn find(call: &Call, reader: &Reader<'_>) -> Result<Document, Problem> {
    documents::find_reached(call, reader, DocumentType::CloudPcProvisioningPolicy, call.key(0))
}

/// Returns the settings to apply: those that the body names, or the region.
fn settings(call: &Call) -> Result<PolicySettingTypes, GraphError> {
    const NAME: &str = "policySettings";
    let Some(text) = call.text(NAME) else { return Ok(PolicySettingTypes::DEFAULT) };
    text.parse().map_err(|error| GraphError::bad_request(format!("{error}.")).about(NAME))
}

/// How users are treated while a policy is applied.
struct Reserve {
    /// Share of the policy's Cloud PCs that stays usable, percent.
    percentage: u32,
    is_force_user_logoff_enabled: bool,
}

impl Reserve {
    fn parse(given: &Object) -> Result<Self, GraphError> {
        const PERCENTAGE: &str = "reservePercentage";
        const LOGOFF: &str = "isForceUserLogoffEnabled";
        let wrong = |message: String, name: &str| Err(GraphError::bad_request(message).about(name));
        let number = given.get(PERCENTAGE).and_then(Value::as_i64).unwrap_or_default();
        let percentage = match u32::try_from(number) {
            Ok(percentage) if percentage <= RESERVE_PERCENTAGE_MAX => percentage,
            _ => {
                let message = format!("'{PERCENTAGE}' is {number}; 0 to {RESERVE_PERCENTAGE_MAX} are allowed.");
                return wrong(message, PERCENTAGE);
            }
        };
        let is_force_user_logoff_enabled = given.get(LOGOFF).and_then(Value::as_bool).unwrap_or_default();
        if is_force_user_logoff_enabled && percentage > 0 {
            let message = format!(
                "'{LOGOFF}' requires '{PERCENTAGE}' 0, but it is {percentage}. Set '{PERCENTAGE}' to 0 or '{LOGOFF}' to false."
            );
            return wrong(message, LOGOFF);
        }
        Ok(Self { percentage, is_force_user_logoff_enabled })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reserve_is_a_percentage_and_excludes_forced_logoff() {
        let parse = |value: Value| Reserve::parse(value.as_object().unwrap()).map(|reserve| reserve.percentage);
        assert_eq!(parse(json!({})).unwrap(), 0);
        assert_eq!(parse(json!({"reservePercentage": RESERVE_PERCENTAGE_MAX})).unwrap(), 99);
        assert_eq!(parse(json!({"reservePercentage": 0, "isForceUserLogoffEnabled": true})).unwrap(), 0);
        for (wrong, about) in [
            (json!({"reservePercentage": RESERVE_PERCENTAGE_MAX + 1}), "reservePercentage"),
            (json!({"reservePercentage": -1}), "reservePercentage"),
            (json!({"reservePercentage": 1, "isForceUserLogoffEnabled": true}), "isForceUserLogoffEnabled"),
        ] {
            let error = parse(wrong).unwrap_err();
            assert_eq!((error.status, error.target.as_deref()), (400, Some(about)));
        }
    }
}
