//! Operations on on-premises connections other than those of every document.

pub(super) mod run_health_checks;
pub(super) mod update_password;

use cloudpc_model::{Document, DocumentType};
use cloudpc_store::Reader;

use crate::documents;
use crate::pipeline::{Call, Problem};

const KIND: DocumentType = DocumentType::CloudPcOnPremisesConnection;

/// Returns the connection that a request names.
///
/// # Errors
/// 404.
fn find(call: &Call, reader: &Reader<'_>) -> Result<Document, Problem> {
    documents::find_reached(call, reader, KIND, call.key(0))
}
