//! `webhook`: an address that the service tells of changes. Clients of the Power Platform create
//! them; no SDK has the type, so its properties beyond `notificationUrl` and `scenario` are ours.

use cloudpc_graph::{GraphError, OperationKind};
use cloudpc_model::{Document, DocumentType};
use cloudpc_store::{Reader, Tx, WebhookDelivery};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::rights;
use crate::documents::kind::Fact::{CharsMax, Computed, CreatedAt, Required, Secret};
use crate::documents::kind::{DocumentChange, DocumentKind, Hooks, Rights, Verb};
use crate::pipeline::{Call, Problem};
use crate::webhooks::{SCENARIOS, Scenario};

static RIGHTS: Rights = rights("Webhooks");

/// Most webhooks of a tenant.
pub(crate) const WEBHOOKS_MAX: u64 = 20;

/// Number of the first key of a webhook.
const FIRST_KEY: i64 = 1;

/// `webhook`
pub(super) static WEBHOOK: DocumentKind = DocumentKind::many(
    DocumentType::Webhook,
    "/deviceManagement/virtualEndpoint/webhooks",
    &RIGHTS,
    &[Verb::List, Verb::Count, Verb::Get, Verb::Create, Verb::Delete],
    &[
        Required("notificationUrl"),
        CharsMax("notificationUrl", 2_048),
        Required("scenario"),
        Secret("clientState"),
        CharsMax("clientState", 128),
        Computed("deliveredThrough"),
        Computed("lastDeliveryDateTime"),
        Computed("signingKey"),
        Computed("status"),
        Computed("statusDetail"),
        CreatedAt("createdDateTime"),
    ],
)
.at_most(WEBHOOKS_MAX)
.hooks(&Webhook);

struct Webhook;

impl Hooks for Webhook {
    fn prepare<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            // An invalid body is refused without a request to the receiver.
            let (Some(url), Some(scenario)) = (call.text("notificationUrl"), call.text("scenario")) else {
                return Ok(());
            };
            check_scenario(scenario)?;
            let tenant = call.tenant();
            let count =
                call.store().read(move |reader| reader.document_count(tenant, DocumentType::Webhook, "")).await?;
            if count < WEBHOOKS_MAX {
                call.app.webhooks.greet(call, url).await?;
            }
            Ok(())
        })
    }

    fn check(&self, _reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        let scenario = change.new.body.get("scenario").and_then(Value::as_str).unwrap_or_default();
        Ok(check_scenario(scenario)?)
    }

    fn after(
        &self,
        tx: &mut Tx<'_>,
        call: &Call,
        old: Option<&Document>,
        new: Option<&Document>,
    ) -> Result<(), Problem> {
        match (old, new) {
            (None, Some(webhook)) => tx.webhook_delivery_put(&WebhookDelivery {
                tenant_id: webhook.tenant_id,
                webhook_id: webhook.key.id.clone(),
                caller: serde_json::to_string(&*call.caller).expect("a caller is plain data"),
                client_state: call.text("clientState").filter(|text| !text.is_empty()).map(str::to_owned),
                key_version: FIRST_KEY,
                old_key_until: None,
                position: tx.change_head(webhook.tenant_id)?,
                attempts: 0,
                failing_since: None,
                next_at: Some(call.at),
                detail: String::new(),
                delivered_at: None,
            })?,
            (Some(webhook), None) => tx.webhook_delivery_delete(webhook.tenant_id, &webhook.key.id)?,
            _ => {}
        }
        let app = call.app.clone();
        tx.after_commit(move || app.webhooks.changed.notify_one());
        Ok(())
    }

    fn computed(&self, reader: &Reader<'_>, call: &Call, page: &mut [Document]) -> Result<(), Problem> {
        let is_new = call.target.operation.kind == OperationKind::Create;
        for webhook in page {
            let Some(delivery) = reader.webhook_delivery(webhook.tenant_id, &webhook.key.id)? else { continue };
            let status = match (delivery.next_at, delivery.attempts) {
                (None, _) => "suspended",
                (Some(_), 0) => "active",
                (Some(_), _) => "failing",
            };
            webhook.status.insert("status".into(), json!(status));
            if !delivery.detail.is_empty() {
                webhook.status.insert("statusDetail".into(), json!(delivery.detail));
            }
            webhook.status.insert("deliveredThrough".into(), json!(delivery.position.to_string()));
            if let Some(at) = delivery.delivered_at {
                webhook.status.insert("lastDeliveryDateTime".into(), json!(at.to_string()));
            }
            if is_new {
                let key = call.app.webhooks.keys.text(webhook.tenant_id, &webhook.key.id, delivery.key_version);
                webhook.status.insert("signingKey".into(), json!(key));
            }
        }
        Ok(())
    }
}

fn check_scenario(scenario: &str) -> Result<(), GraphError> {
    if Scenario::named(scenario).is_some() {
        return Ok(());
    }
    let known: Vec<_> = SCENARIOS.iter().map(|(name, _)| format!("'{name}'")).collect();
    let message = format!("'{scenario}' is not a scenario. Use {}.", known.join(", "));
    Err(GraphError::bad_request(message).about("scenario"))
}
