//! `$metadata`: the model as CSDL XML, with what cloudpc adds in a schema of its own namespace.

use crate::Edm;

/// The document.
pub fn render(_edm: &Edm) -> String {
    unimplemented!()
}
