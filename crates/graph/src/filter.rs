//! `$filter`: parsed against a type, evaluated on the JSON that would be sent.

use crate::{Edm, GraphError};

/// A condition.
#[derive(Clone, Debug)]
pub struct Filter {}

impl Filter {
    /// Reads a condition on values of this type.
    ///
    /// # Errors
    /// 400 `BadRequest` about `$filter`, with the position of what is wrong.
    pub(crate) fn parse(_edm: &'static Edm, _type_name: &str, _text: &str) -> Result<Self, GraphError> {
        Err(GraphError::new(501, "NotImplemented", "$filter is not carried out yet.").about("$filter"))
    }

    /// Whether this JSON object meets the condition.
    pub fn matches(&self, _object: &serde_json::Value) -> bool {
        unimplemented!()
    }
}
