//! Operations on webhooks other than those of every document.

pub(super) mod replay;
pub(super) mod rotate_signing_key;

use cloudpc_model::{AuditEntry, AuditResource, AuditVerb, DocumentKey, DocumentType, ResourceType};
use cloudpc_store::{Reader, WebhookDelivery};

use crate::pipeline::{Call, Problem};

const KIND: DocumentType = DocumentType::Webhook;

/// Returns where the delivery of the webhook that a request names stands.
///
/// # Errors
/// 404.
fn find(call: &Call, reader: &Reader<'_>) -> Result<WebhookDelivery, Problem> {
    let id = DocumentKey::fold(call.key(0));
    reader.webhook_delivery(call.tenant(), &id)?.ok_or_else(|| Problem::not_found(KIND.name(), call.key(0)))
}

fn audit(call: &Call, webhook: &WebhookDelivery) -> AuditEntry {
    call.audit(AuditVerb::Update, AuditResource::new(ResourceType::Document(KIND), &webhook.webhook_id))
}
