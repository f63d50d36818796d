//! Operations on on-premises connections other than those of every document.

pub(super) mod run_health_checks;
pub(super) mod update_password;

use cloudpc_model::{Document, DocumentKey, DocumentType};
use cloudpc_store::Reader;

use crate::pipeline::{Call, Problem};

const KIND: DocumentType = DocumentType::CloudPcOnPremisesConnection;

/// Returns the connection that a request names.
///
/// # Errors
/// 404.
fn find(call: &Call, reader: &Reader<'_>) -> Result<Document, Problem> {
    let found = reader.document(call.tenant(), &DocumentKey::new(KIND, call.key(0)))?;
    found.ok_or_else(|| Problem::not_found(KIND.name(), call.key(0)))
}
