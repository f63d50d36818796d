//! `POST …/webhooks/{id}/cloudpc.rotateSigningKey`: a new key, with the old one beside it for a
//! while. An extension of Graph.

use cloudpc_store::{Tx, WebhookDelivery};
use std::sync::Arc;
use std::time::Duration;

use crate::pipeline::{Answer, Call, Problem};

/// How long messages are signed with the old key too.
pub const OLD_KEY_TIME: Duration = Duration::from_secs(24 * 3_600);

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let webhook = super::find(&request, tx)?;
        let rotated = WebhookDelivery {
            key_version: webhook.key_version + 1,
            old_key_until: Some(request.at + OLD_KEY_TIME),
            ..webhook
        };
        tx.webhook_delivery_change(&rotated)?;
        tx.audit_insert(&super::audit(&request, &rotated).secret_changed("signingKey"))?;
        Ok::<_, Problem>(rotated)
    };
    let webhook = call.app.store.write("webhook.rotateSigningKey", write).await?;
    let key = call.app.webhooks.keys.text(webhook.tenant_id, &webhook.webhook_id, webhook.key_version);
    Ok(call.value(&key))
}
