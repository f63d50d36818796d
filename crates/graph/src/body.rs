//! Request bodies, checked against the model before any operation sees them.

use serde_json::{Map, Value};

use crate::{Edm, GraphError, Operation};

/// Reads and checks the body of a request: JSON, an object, known properties only, right types, known enum members (any case; given back in the model's
/// spelling), well-formed GUID and date forms where the type says so. `@odata.type` and other annotations are taken out. An empty body is an empty object where every
/// parameter may be left out.
///
/// # Errors
/// 400 naming the property, with what was expected.
pub fn parse(_edm: &'static Edm, _operation: &Operation, _bytes: &[u8]) -> Result<Map<String, Value>, GraphError> {
    unimplemented!()
}
