//! `POST …/webhooks/{id}/cloudpc.replay`: delivers again from a position of the change feed, or
//! resumes a suspended webhook where it is. From then on, what the caller may read counts. An
//! extension of Graph.

use cloudpc_graph::GraphError;
use cloudpc_store::{FeedPosition, Tx, WebhookDelivery};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

const AFTER: &str = "after";

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let after = call.text(AFTER).map(|text| {
        text.parse::<FeedPosition>().map_err(|_| {
            let message = format!(
                "'{text}' is not a position of the change feed. Send an id of a notification or event, or null."
            );
            GraphError::bad_request(message).about(AFTER)
        })
    });
    let after = after.transpose()?;
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let webhook = super::find(&request, tx)?;
        let position = after.unwrap_or(webhook.position);
        if after.is_some() && tx.changes_after(webhook.tenant_id, position, 1)?.is_err() {
            let message = "The change feed does not reach back to this position. Read everything anew, and replay without a position.";
            return Err(GraphError::new(410, "resyncRequired", message).about(AFTER).into());
        }
        let entry = super::audit(&request, &webhook).changed(
            "deliveredThrough",
            Some(&webhook.position.to_string()),
            &position.to_string(),
        );
        tx.webhook_delivery_change(&WebhookDelivery {
            caller: serde_json::to_string(&*request.caller).expect("a caller is plain data"),
            position,
            attempts: 0,
            failing_since: None,
            next_at: Some(request.at),
            detail: String::new(),
            ..webhook
        })?;
        tx.audit_insert(&entry)?;
        let app = request.app.clone();
        tx.after_commit(move || app.webhooks.changed.notify_one());
        Ok::<_, Problem>(())
    };
    call.app.store.write("webhook.replay", write).await?;
    Ok(Answer::NoContent)
}
