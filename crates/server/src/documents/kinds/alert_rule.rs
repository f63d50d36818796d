//! `alertRule` and `alertRecord`: what administrators want to be told of, and what the engine
//! found.

use cloudpc_engine::{ALERT_RECORDS_MAX, ALERT_RULES_MAX, system_alert_rules};
use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentType, Object};
use cloudpc_store::Reader;
use serde_json::Value;

use super::rights;
use crate::documents::kind::Const::{Bool, Text};
use crate::documents::kind::Fact::{CharsMax, Computed, Default, Immutable, Range, Required};
use crate::documents::kind::{DocumentChange, DocumentKind, Hooks, READ_ONLY, Rights, WRITABLE};
use crate::pipeline::{Call, Problem, required};

static RIGHTS: Rights = rights("AlertRules");

/// Most conditions of a rule.
const CONDITIONS_MAX: usize = 10;
/// Most notification channels of a rule, and most receivers of a channel.
const CHANNELS_MAX: usize = 10;
/// Properties of a built-in rule that can be changed.
const CHANGEABLE: [&str; 5] = ["conditions", "enabled", "notificationChannels", "severity", "threshold"];

/// `alertRule`
pub(super) static ALERT_RULE: DocumentKind = DocumentKind::many(
    DocumentType::AlertRule,
    "/deviceManagement/monitoring/alertRules",
    &RIGHTS,
    WRITABLE,
    &[
        Required("displayName"),
        CharsMax("displayName", 128),
        CharsMax("description", 512),
        Required("alertRuleTemplate"),
        Immutable("alertRuleTemplate"),
        Default("enabled", Bool(true)),
        Default("isSystemRule", Bool(false)),
        Default("severity", Text("unknown")),
        Range("threshold/target", 0, 1_000_000),
        Required("conditions/conditionCategory"),
        Required("conditions/operator"),
        Required("conditions/thresholdValue"),
        Required("notificationChannels/notificationChannelType"),
        CharsMax("notificationChannels/notificationReceivers/contactInformation", 320),
        CharsMax("notificationChannels/notificationReceivers/locale", 64),
    ],
)
.at_most(ALERT_RULES_MAX)
.seeded(system_alert_rules)
.hooks(&RuleHooks);

/// `alertRecord`
pub(super) static ALERT_RECORD: DocumentKind = DocumentKind::many(
    DocumentType::AlertRecord,
    "/deviceManagement/monitoring/alertRecords",
    &RIGHTS,
    READ_ONLY,
    &[
        Computed("alertImpact"),
        Computed("detectedDateTime"),
        Computed("lastUpdatedDateTime"),
        Computed("resolvedDateTime"),
        Computed("status"),
    ],
)
.at_most(ALERT_RECORDS_MAX as u64);

struct RuleHooks;

impl Hooks for RuleHooks {
    fn check(&self, _reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        check_conditions(&change.new.body)?;
        check_channels(&change.new.body)?;
        check_built_in(change.old.map(|old| &old.body), &change.new.body)?;
        Ok(())
    }

    fn check_delete(&self, _reader: &Reader<'_>, _call: &Call, rule: &Document) -> Result<(), Problem> {
        if !is_built_in(&rule.body) {
            return Ok(());
        }
        let message =
            format!("The alert rule '{}' is built in and cannot be deleted. Disable it instead.", rule.key.id);
        Err(GraphError::bad_request(message).about("isSystemRule").into())
    }
}

fn is_built_in(rule: &Object) -> bool {
    rule.get("isSystemRule").and_then(Value::as_bool).unwrap_or_default()
}

/// A rule has a threshold or conditions, and what it compares with is a number.
fn check_conditions(rule: &Object) -> Result<(), GraphError> {
    let conditions = elements(rule.get("conditions"));
    if conditions.is_empty() && !rule.contains_key("threshold") {
        return Err(required("conditions"));
    }
    limit("conditions", conditions.len(), CONDITIONS_MAX)?;
    for condition in conditions {
        let value = condition.get("thresholdValue").and_then(Value::as_str).unwrap_or_default();
        if value.parse::<u32>().is_err() {
            let message =
                format!("The thresholdValue '{value:.64}' is not a number. Send one such as '1', as a string.");
            return Err(GraphError::bad_request(message).about("conditions/thresholdValue"));
        }
    }
    Ok(())
}

fn check_channels(rule: &Object) -> Result<(), GraphError> {
    let channels = elements(rule.get("notificationChannels"));
    limit("notificationChannels", channels.len(), CHANNELS_MAX)?;
    for channel in channels {
        let receivers = elements(channel.get("notificationReceivers"));
        limit("notificationChannels/notificationReceivers", receivers.len(), CHANNELS_MAX)?;
    }
    Ok(())
}

fn elements(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn limit(property: &str, count: usize, most: usize) -> Result<(), GraphError> {
    if count <= most {
        return Ok(());
    }
    let message = format!("'{property}' has {count} elements; at most {most} are allowed. Send fewer.");
    Err(GraphError::bad_request(message).about(property))
}

/// Callers make no built-in rules, and change only some of their properties.
fn check_built_in(old: Option<&Object>, new: &Object) -> Result<(), GraphError> {
    let wrong = |property: &str, message: String| Err(GraphError::bad_request(message).about(property));
    let was = old.is_some_and(is_built_in);
    if is_built_in(new) != was {
        let message = "Only the service makes built-in rules. Leave out 'isSystemRule', or send its present value.";
        return wrong("isSystemRule", message.into());
    }
    let Some(old) = old.filter(|_| was) else { return Ok(()) };
    let names = old.keys().chain(new.keys());
    let changed = |name: &&String| old.get(*name) != new.get(*name) && !CHANGEABLE.contains(&name.as_str());
    match names.into_iter().find(changed) {
        None => Ok(()),
        Some(name) => {
            let allowed = CHANGEABLE.join(", ");
            wrong(name, format!("'{name}' of a built-in rule cannot be changed, only {allowed}. Leave it out."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn conditions_and_channels_are_limited() {
        let condition = json!({"thresholdValue": "1"});
        let with = |count| rule(json!({"conditions": vec![condition.clone(); count]}));
        assert_eq!(check_conditions(&with(CONDITIONS_MAX)), Ok(()));
        assert!(check_conditions(&with(CONDITIONS_MAX + 1)).is_err());
        assert!(check_conditions(&with(0)).is_err(), "neither a threshold nor conditions");
        assert_eq!(check_conditions(&rule(json!({"threshold": {}}))), Ok(()));
        assert!(check_conditions(&rule(json!({"conditions": [{"thresholdValue": "WestUS"}]}))).is_err());
        let channels = |count: usize, receivers: usize| {
            rule(
                json!({"notificationChannels": vec![json!({"notificationReceivers": vec![json!({}); receivers]}); count]}),
            )
        };
        assert_eq!(check_channels(&channels(CHANNELS_MAX, CHANNELS_MAX)), Ok(()));
        assert!(check_channels(&channels(CHANNELS_MAX + 1, 0)).is_err());
        assert!(check_channels(&channels(1, CHANNELS_MAX + 1)).is_err());
    }

    #[test]
    fn built_in_rules_change_in_part_only() {
        let built_in = rule(json!({"isSystemRule": true, "enabled": true, "displayName": "a"}));
        let changed = |name: &str, value: Value| {
            let mut new = built_in.clone();
            new.insert(name.into(), value);
            check_built_in(Some(&built_in), &new)
        };
        assert_eq!(changed("enabled", json!(false)), Ok(()));
        assert!(changed("displayName", json!("b")).is_err());
        assert!(changed("description", json!("new")).is_err());
        assert!(changed("isSystemRule", json!(false)).is_err());
        assert!(check_built_in(None, &built_in).is_err());
    }
}
