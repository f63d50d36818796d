//! `$filter`: parsed against a type, evaluated on the JSON that would be sent.

/// A condition.
#[derive(Clone, Debug)]
pub struct Filter {}

impl Filter {
    /// Whether this JSON object meets the condition.
    pub fn matches(&self, _object: &serde_json::Value) -> bool {
        unimplemented!()
    }
}
