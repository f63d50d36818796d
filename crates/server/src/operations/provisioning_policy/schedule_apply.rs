//! `POST …/provisioningPolicies/{id}/schedulePolicyApplyTask`
//!
//! The SDKs wrap the schedule in `scheduledRule`; the documentation sends its properties
//! themselves. Both are accepted.

use cloudpc_graph::body::Leniency;
use cloudpc_graph::{Edm, GraphError, Version};
use cloudpc_model::{ApplySchedule, LocalTime, Object, PolicyTimezone};
use serde_json::Value;
use std::sync::Arc;

use super::Reserve;
use crate::pipeline::{Answer, Call, Problem};

const WRAPPED: &str = "scheduledRule";
const CRON: &str = "cronScheduleExpression";
const SCHEDULE: &str = "cloudPcPolicyScheduledApplyActionDetail";

/// What bodies may have although the contract does not say so: the properties of a schedule.
pub fn leniency() -> Leniency {
    let declared = Edm::of(Version::Beta).type_named(SCHEDULE).into_iter().flat_map(|declared| &declared.properties);
    let observed = declared.filter(|property| property.name != "id");
    Leniency {
        nullable: vec![CRON.to_owned()],
        observed: observed.map(|property| (property.name.clone(), property.type_ref.clone())).collect(),
    }
}

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let schedule = schedule(&call)?;
    let request = call.clone();
    let policy = call.store().read(move |reader| super::find(&request, reader)).await?;
    call.app.engine.schedule_policy(&call.request_context(), &policy.key.id, schedule).await?;
    Ok(Answer::NoContent)
}

/// Returns the schedule of the body; none if it switches the schedule off.
fn schedule(call: &Call) -> Result<Option<ApplySchedule>, GraphError> {
    let given = call.body.get(WRAPPED).and_then(Value::as_object).unwrap_or(&call.body);
    let schedule = parse(given)?;
    match &schedule {
        Some(schedule) if schedule.next_run(call.at).is_none() => Err(wrong(
            CRON,
            "the schedule never runs: no time from now on, or from its start to its end, matches the expression. Choose another expression or period.",
        )),
        _ => Ok(schedule),
    }
}

fn parse(given: &Object) -> Result<Option<ApplySchedule>, GraphError> {
    let cron = match given.get(CRON) {
        Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        _ => {
            let message =
                "it is required. Send an expression such as '0 0 0 20 * *', or null to switch the schedule off.";
            return Err(wrong(CRON, message));
        }
    };
    let cron = cron.parse().map_err(|error| {
        let fields = "Write second, minute, hour, day of the month, month and day of the week, such as '0 0 0 20 * *'.";
        wrong(CRON, &format!("'{cron}' is not a cron expression that can be used here: {error}. {fields}"))
    })?;
    let timezone = match given.get("timezone").and_then(Value::as_str) {
        None => PolicyTimezone::GMT,
        Some(text) => text.parse().map_err(|error| {
            let names = PolicyTimezone::names().collect::<Vec<_>>().join(", ");
            wrong("timezone", &format!("{error}. Choose one of {names}."))
        })?,
    };
    let (starts_at, ends_at) = (local_time(given, "startDateTime")?, local_time(given, "endDateTime")?);
    let reserve = Reserve::parse(given)?;
    Ok(Some(ApplySchedule {
        cron,
        timezone,
        starts_at,
        ends_at,
        reserve_percentage: reserve.percentage,
        is_force_user_logoff_enabled: reserve.is_force_user_logoff_enabled,
    }))
}

fn local_time(given: &Object, name: &str) -> Result<Option<LocalTime>, GraphError> {
    let Some(text) = given.get(name).and_then(Value::as_str) else { return Ok(None) };
    let parsed = text.parse().map_err(|_| {
        let message = format!(
            "'{text}' is not a local time. Write a date and a time without a zone, such as '2025-01-01 00:00:00'."
        );
        wrong(name, &message)
    });
    parsed.map(Some)
}

fn wrong(name: &str, message: &str) -> GraphError {
    GraphError::bad_request(format!("Invalid '{name}': {message}")).about(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(value: Value) -> Result<Option<ApplySchedule>, GraphError> {
        parse(value.as_object().unwrap())
    }

    #[test]
    fn error_names_the_field_that_is_wrong() {
        for (changed, about) in [
            (json!({"cronScheduleExpression": "every night"}), "cronScheduleExpression"),
            (json!({"timezone": "unknownFutureValue"}), "timezone"),
            (json!({"startDateTime": "2025-01-01T00:00:00Z"}), "startDateTime"),
            (json!({"endDateTime": "tomorrow"}), "endDateTime"),
            (json!({"reservePercentage": 100}), "reservePercentage"),
            (json!({"reservePercentage": 1, "isForceUserLogoffEnabled": true}), "isForceUserLogoffEnabled"),
        ] {
            let mut body = json!({"cronScheduleExpression": "0 0 0 20 * *"});
            body.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
            let error = parsed(body).unwrap_err();
            assert_eq!((error.status, error.target.as_deref()), (400, Some(about)), "{}", error.message);
        }
        assert_eq!(parsed(json!({})).unwrap_err().target.as_deref(), Some(CRON));
    }

    #[test]
    fn null_expression_switches_the_schedule_off() {
        assert_eq!(parsed(json!({"cronScheduleExpression": null})).unwrap(), None);
    }
}
