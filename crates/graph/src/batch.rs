//! The body of a `$batch`: its requests, their ids and what they depend on.
//!
//! What a request does, and what its answer looks like, is not known here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::GraphError;
use crate::body::{DEPTH_MAX, json};

/// Most requests in one batch.
pub const REQUESTS_MAX: usize = 20;

/// Deepest JSON nesting of a batch. Request bodies are three levels down.
const BATCH_DEPTH_MAX: usize = DEPTH_MAX + 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchEnvelope {
    requests: Vec<Value>,
}

/// A valid batch: 1 to [`REQUESTS_MAX`] requests with different ids, which depend on each other
/// without a cycle.
#[derive(Debug)]
pub struct Batch {
    /// The requests as sent.
    pub requests: Vec<Item>,
}

/// A request of a batch.
// Member names are in lower case, as `members` returns them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Its id within the batch.
    pub id: ItemId,
    /// The HTTP method, in any case.
    pub method: String,
    /// The URL, below the root of the batch or absolute.
    pub url: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON, or bytes in base64.
    #[serde(default)]
    pub body: Option<Value>,
    /// Ids of the requests that must succeed before.
    // Microsoft's SDK for Python writes `depends_on`.
    #[serde(default, rename = "dependson", alias = "depends_on")]
    pub depends_on: Vec<ItemId>,
}

/// The id of a request. Numbers, which PowerShell and scripts send, are converted to strings.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub struct ItemId(pub String);

impl TryFrom<Value> for ItemId {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err("an id must be a string or a number".into()),
        }
    }
}

impl ItemId {
    /// Whether both are the same id. Case does not matter.
    pub fn is(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Batch {
    /// Parses a batch. Member names are not case-sensitive, and a null member counts as absent.
    ///
    /// # Errors
    /// 400 saying what is wrong, with the place of the request.
    pub fn parse(bytes: &[u8]) -> Result<Self, GraphError> {
        let wrong = |what: String| GraphError::bad_request(format!("Invalid batch: {what}."));
        let envelope: BatchEnvelope = members(json(bytes, BATCH_DEPTH_MAX)?).map_err(wrong)?;
        check_count(envelope.requests.len())?;
        let item = |(place, value)| members(value).map_err(|why| wrong(format!("request {}: {why}", place + 1)));
        let requests = envelope.requests.into_iter().enumerate().map(item).collect::<Result<Vec<_>, _>>()?;
        check(&requests)?;
        Ok(Self { requests })
    }
}

/// Deserialises an object after converting its member names to lower case and dropping nulls.
fn members<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    let Value::Object(given) = value else { return Err("expected an object".into()) };
    let given = given.into_iter().filter(|(_, value)| !value.is_null());
    let given = given.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    serde_json::from_value(Value::Object(given)).map_err(|error| error.to_string())
}

fn wrong(message: String) -> GraphError {
    GraphError::bad_request(message).about("requests")
}

fn check_count(count: usize) -> Result<(), GraphError> {
    if (1..=REQUESTS_MAX).contains(&count) {
        return Ok(());
    }
    Err(wrong(format!("A batch has 1 to {REQUESTS_MAX} requests; this one has {count}.")))
}

/// Validates the ids and dependencies.
fn check(requests: &[Item]) -> Result<(), GraphError> {
    for (place, item) in requests.iter().enumerate() {
        if item.id.0.is_empty() {
            return Err(wrong("Each request in a batch needs a non-empty id.".into()));
        }
        if requests[..place].iter().any(|other| other.id.is(&item.id)) {
            return Err(wrong(format!("Two requests in the batch have the id '{}'.", item.id.0)));
        }
        let depends_on = item.depends_on.len();
        if depends_on > REQUESTS_MAX {
            let message = format!(
                "The request '{}' depends on {depends_on} requests; at most {REQUESTS_MAX} are allowed.",
                item.id.0
            );
            return Err(wrong(message));
        }
        let known = |id: &ItemId| requests.iter().any(|other| other.id.is(id));
        if let Some(id) = item.depends_on.iter().find(|id| !known(id)) {
            let message = format!("The request '{}' depends on '{}', which is not in the batch.", item.id.0, id.0);
            return Err(wrong(message));
        }
    }
    if has_cycle(requests) {
        return Err(wrong("Requests in the batch depend on each other in a cycle.".into()));
    }
    Ok(())
}

fn has_cycle(requests: &[Item]) -> bool {
    let mut left: Vec<&Item> = requests.iter().collect();
    loop {
        let before = left.len();
        let waits =
            |item: &Item, left: &[&Item]| item.depends_on.iter().any(|id| left.iter().any(|other| other.id.is(id)));
        left = left.iter().copied().filter(|item| waits(item, &left)).collect();
        if left.is_empty() || left.len() == before {
            return !left.is_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<Batch, GraphError> {
        Batch::parse(text.as_bytes())
    }

    fn checked(requests: Value) -> Result<(), String> {
        parse(&json!({"requests": requests}).to_string()).map(|_| ()).map_err(|error| error.message)
    }

    fn item(id: &str, depends_on: &[&str]) -> Value {
        json!({"id": id, "method": "GET", "url": "/me/cloudPCs", "dependsOn": depends_on})
    }

    #[test]
    fn batch_is_validated_as_a_whole() {
        let many = |count: usize| Value::from((0..count).map(|n| item(&n.to_string(), &[])).collect::<Vec<_>>());
        assert_eq!(checked(many(REQUESTS_MAX)), Ok(()));
        assert!(checked(many(REQUESTS_MAX + 1)).is_err());
        assert!(checked(many(0)).is_err());
        assert_eq!(
            checked(json!([item("a", &[]), item("A", &[])])).unwrap_err(),
            "Two requests in the batch have the id 'A'."
        );
        assert!(checked(json!([item("a", &["b"])])).is_err());
        assert!(checked(json!([item("a", &["b"]), item("b", &["a"])])).unwrap_err().contains("cycle"));
        assert!(checked(json!([item("a", &["a"])])).unwrap_err().contains("cycle"));
        assert_eq!(checked(json!([item("a", &["B"]), item("b", &[])])), Ok(()));
        assert!(checked(json!([{"id": "a"}])).is_err());
    }

    #[test]
    fn a_request_depends_on_at_most_as_many_as_a_batch_has() {
        let depends = |count: usize| checked(json!([item("a", &vec!["b"; count]), item("b", &[])]));
        assert_eq!(depends(REQUESTS_MAX), Ok(()));
        assert!(depends(REQUESTS_MAX + 1).unwrap_err().contains("depends on 21"));
    }

    #[test]
    fn names_are_case_insensitive_and_ids_may_be_numbers() {
        let odd = json!([{"ID": 731904, "Method": "GET", "URL": "/a", "Headers": null, "BODY": null},
                         {"id": "b", "method": "GET", "url": "/a", "DependsOn": [731904]}]);
        let batch = parse(&json!({"Requests": odd}).to_string()).unwrap();
        assert_eq!(batch.requests[0].id.0, "731904");
        assert_eq!(
            checked(json!([item("1", &[]), {"id": 1, "method": "GET", "url": "/a"}])).unwrap_err(),
            "Two requests in the batch have the id '1'."
        );
        assert!(
            checked(json!([{"id": "a", "method": "GET", "url": "/a", "URL": "/b"}]))
                .unwrap_err()
                .contains("duplicate name")
        );
        assert!(
            checked(json!([{"id": "a", "method": "GET", "url": "/a", "dependsOn": [], "depends_on": []}])).is_err()
        );
        for wrong in [json!(true), json!([1]), json!({"a": 1}), json!("")] {
            assert!(checked(json!([{"id": wrong, "method": "GET", "url": "/a"}])).is_err());
        }
    }

    #[test]
    fn byte_order_mark_is_skipped_and_depth_is_limited() {
        let text = json!({"requests": [item("a", &[])]}).to_string();
        assert!(parse(&format!("\u{feff}{text}")).is_ok());
        let deep = |levels: usize| {
            let body = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            parse(&format!(r#"{{"requests":[{{"id":"a","method":"GET","url":"/a","body":{body}}}]}}"#))
        };
        assert!(deep(DEPTH_MAX).is_ok());
        assert!(deep(DEPTH_MAX + 1).is_err());
    }
}
