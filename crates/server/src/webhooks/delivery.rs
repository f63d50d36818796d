//! The delivery to one webhook, message by message, until it has everything or an attempt fails.

use cloudpc_drivers::Post;
use cloudpc_graph::resolve::Scope;
use cloudpc_model::{Change, DocumentKey, DocumentType, TenantId, Timestamp};
use cloudpc_store::{FeedPosition, Reader, StoreError, WebhookDelivery};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{STORE_PAUSE, Scenario, message};
use crate::app::App;
use crate::caller::Caller;
use crate::events;
use crate::identity::AuthenticationError;
use crate::pipeline::{READ, access};
use crate::rbac::{self, EffectivePermissions};

/// Changes that one step reads.
const READ_MAX: usize = 500;
/// Notifications of a message.
pub const NOTIFICATIONS_MAX: usize = 100;
/// Pause after the first failed attempt; each further one doubles it.
pub const PAUSE_MIN: Duration = Duration::from_secs(5);
/// Longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// Time of failing after which a delivery is suspended.
pub const FAILING_TIME_MAX: Duration = Duration::from_secs(3 * 24 * 3_600);

const MESSAGE_ID: HeaderName = HeaderName::from_static("webhook-id");
const MESSAGE_TIME: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What is next for a webhook.
enum Todo {
    /// Nothing: it has everything, or is suspended.
    Nothing,
    /// The webhook is gone.
    Forget,
    /// Nothing to send, but where it stands changes: the row before and after.
    Record(WebhookDelivery, WebhookDelivery),
    /// A message.
    Send { webhook: WebhookDelivery, url: String, notifications: Vec<Notification>, through: FeedPosition },
}

/// What a message tells of a change.
#[derive(Clone)]
struct Notification {
    /// The change; none if changes were missed.
    change: Option<Change>,
    shown: Value,
}

/// Delivers what there is for a webhook. Returns its key.
pub(super) async fn deliver(app: App, key: (TenantId, String), stop: CancellationToken) -> (TenantId, String) {
    let (tenant, id) = key.clone();
    let work = async {
        loop {
            let wanted = id.clone();
            match app.store.read(move |reader| todo(reader, tenant, &wanted)).await? {
                Todo::Nothing => return Ok::<_, StoreError>(()),
                Todo::Forget => return forget(&app, tenant, id.clone()).await,
                Todo::Record(before, after) => record(&app, &before, after).await?,
                Todo::Send { webhook, url, notifications, through } => {
                    let sent = send(&app, &webhook, &url, notifications, through).await;
                    let is_delivered = sent.is_ok();
                    record(&app, &webhook, after(&webhook, through, sent, app.clock.now())).await?;
                    if !is_delivered {
                        return Ok(());
                    }
                }
            }
        }
    };
    match stop.run_until_cancelled(work).await {
        None | Some(Ok(())) => {}
        Some(Err(error)) => {
            tracing::warn!(%error, webhook.id = id, "delivering to a webhook failed in the database; trying again in {} seconds", STORE_PAUSE.as_secs());
            // What was sent could not be recorded, so it will be sent again.
            stop.run_until_cancelled(tokio::time::sleep(STORE_PAUSE)).await;
        }
    }
    key
}

/// Returns the next message of a webhook.
fn todo(reader: &Reader<'_>, tenant: TenantId, id: &str) -> Result<Todo, StoreError> {
    let Some(webhook) = reader.webhook_delivery(tenant, id)? else { return Ok(Todo::Nothing) };
    let Some(document) = reader.document(tenant, &DocumentKey::new(DocumentType::Webhook, id))? else {
        return Ok(Todo::Forget);
    };
    if webhook.next_at.is_none() {
        return Ok(Todo::Nothing);
    }
    let text = |name: &str| document.body.get(name).and_then(Value::as_str).unwrap_or_default();
    let url = text("notificationUrl").to_owned();
    let Ok(entries) = reader.changes_after(tenant, webhook.position, READ_MAX)? else {
        let missed = Notification { change: None, shown: message::missed(&webhook) };
        let (notifications, through) = (vec![missed], reader.change_head(tenant)?);
        return Ok(Todo::Send { webhook, url, notifications, through });
    };
    let Some(scenario) = Scenario::named(text("scenario")) else {
        let detail = format!("This version does not know the scenario '{}'.", text("scenario"));
        return Ok(Todo::Record(webhook.clone(), WebhookDelivery { next_at: None, detail, ..webhook }));
    };
    let (mut notifications, mut through) = (Vec::new(), webhook.position);
    for entry in &entries {
        let shown = scenario.notification(reader, &webhook, entry)?;
        notifications.extend(shown.map(|shown| Notification { change: Some(entry.change.clone()), shown }));
        through.number = entry.number;
        if notifications.len() == NOTIFICATIONS_MAX {
            break;
        }
    }
    Ok(match (entries.is_empty(), notifications.is_empty()) {
        (true, _) => Todo::Nothing,
        (false, true) => Todo::Record(webhook.clone(), WebhookDelivery { position: through, ..webhook }),
        (false, false) => Todo::Send { webhook, url, notifications, through },
    })
}

/// Why a message was not delivered.
enum Undelivered {
    /// Trying again may help.
    Failed(String),
    /// It would not.
    Refused(String),
}

/// Sends a message of what the webhook's creator may see. Returns whether there was anything.
async fn send(
    app: &App,
    webhook: &WebhookDelivery,
    url: &str,
    notifications: Vec<Notification>,
    through: FeedPosition,
) -> Result<bool, Undelivered> {
    let caller = check_receiver(app, webhook).await?;
    let notifications = seen_by(app, caller, notifications).await?;
    if notifications.is_empty() {
        return Ok(false);
    }
    let url = Url::parse(url).map_err(|error| Undelivered::Refused(format!("The address is no URL: {error}.")))?;
    let policy = app.webhooks.policy(&url);
    let body = json!({ "value": notifications }).to_string().into_bytes();
    // The numbers of the first and the last change: what the message says has one id.
    let id = format!("{}.{}-{}", webhook.webhook_id, webhook.position.number + 1, through);
    let headers = headers(app, webhook, &id, &body);
    let post = Post { url, headers, content_type: "application/json; charset=utf-8", body };
    let answer =
        app.webhooks.fetcher.post(post, &policy).await.map_err(|why| Undelivered::Failed(format!("{why}.")))?;
    match answer.status {
        200..=299 => Ok(true),
        410 => Err(Undelivered::Refused("The receiver answered with status 410: it wants no more messages.".into())),
        status => Err(Undelivered::Failed(format!("The receiver answered with status {status}."))),
    }
}

/// Checks that the caller who created or resumed the webhook may still read what it delivers.
async fn check_receiver(app: &App, webhook: &WebhookDelivery) -> Result<Caller, Undelivered> {
    let caller: Caller = serde_json::from_str(&webhook.caller).map_err(|_| {
        Undelivered::Refused("Another version created the webhook. Resume it by cloudpc.replay.".into())
    })?;
    let caller = app.identity.recheck(&caller).await.map_err(|error| match error {
        AuthenticationError::Rejected(why) => Undelivered::Refused(format!(
            "Who created the webhook has no access any more: {why} Resume it by cloudpc.replay."
        )),
        AuthenticationError::Unavailable(why) => Undelivered::Failed(why.to_string()),
    })?;
    access::check(&READ, &caller, &Scope::Tenant, app.fidelity).map_err(|error| {
        Undelivered::Refused(format!("Who created the webhook may not read its changes: {}", error.message))
    })?;
    Ok(caller)
}

/// Returns the notifications that the roles of a caller let them see now.
async fn seen_by(app: &App, caller: Caller, notifications: Vec<Notification>) -> Result<Vec<Value>, Undelivered> {
    if !rbac::is_limited(&caller) {
        return Ok(notifications.into_iter().map(|notification| notification.shown).collect());
    }
    let read = move |reader: &Reader<'_>| {
        let permissions = EffectivePermissions::of(reader, &caller)?;
        let mut seen = Vec::new();
        for Notification { change, shown } in notifications {
            let Some(change) = change else {
                seen.push(shown);
                continue;
            };
            if let Err(error) = rbac::check(&permissions, events::requirement_of(change.entity_type)) {
                return Ok(Err(error));
            }
            if events::seen_by(reader, caller.tenant_id, &permissions, change)?.is_some() {
                seen.push(shown);
            }
        }
        Ok::<_, StoreError>(Ok(seen))
    };
    let seen = app.store.read(read).await.map_err(|error| Undelivered::Failed(error.to_string()))?;
    seen.map_err(|error| {
        Undelivered::Refused(format!("Who created the webhook may not read its changes: {}", error.message))
    })
}

fn headers(app: &App, webhook: &WebhookDelivery, id: &str, body: &[u8]) -> HeaderMap {
    let seconds = app.webhooks.host_clock.now().0.div_euclid(1_000_000);
    let sign = |version| app.webhooks.keys.sign(webhook, version, id, seconds, body);
    let old_key = webhook.old_key_until.filter(|until| *until > app.clock.now()).map(|_| webhook.key_version - 1);
    let signatures: Vec<_> = [Some(webhook.key_version), old_key].into_iter().flatten().map(sign).collect();
    let mut headers = HeaderMap::new();
    for (name, value) in
        [(MESSAGE_ID, id.to_owned()), (MESSAGE_TIME, seconds.to_string()), (SIGNATURE, signatures.join(" "))]
    {
        headers.insert(name, HeaderValue::try_from(value).expect("ids, numbers and base64 are plain ASCII"));
    }
    headers
}

/// Returns where a webhook stands after an attempt.
fn after(
    webhook: &WebhookDelivery,
    through: FeedPosition,
    sent: Result<bool, Undelivered>,
    now: Timestamp,
) -> WebhookDelivery {
    let webhook = webhook.clone();
    match sent {
        Ok(false) => WebhookDelivery { position: through, ..webhook },
        Ok(true) => WebhookDelivery {
            position: through,
            attempts: 0,
            failing_since: None,
            next_at: Some(now),
            detail: String::new(),
            delivered_at: Some(now),
            ..webhook
        },
        Err(Undelivered::Refused(detail)) => WebhookDelivery { next_at: None, detail, ..webhook },
        Err(Undelivered::Failed(detail)) => {
            let since = webhook.failing_since.unwrap_or(now);
            let is_dead = now >= since + FAILING_TIME_MAX;
            let detail = match is_dead {
                true => {
                    format!("Suspended after {} days without a success. {detail}", FAILING_TIME_MAX.as_secs() / 86_400)
                }
                false => detail,
            };
            let next_at = (!is_dead).then(|| now + pause(webhook.attempts));
            WebhookDelivery { attempts: webhook.attempts + 1, failing_since: Some(since), next_at, detail, ..webhook }
        }
    }
}

fn pause(attempts: u32) -> Duration {
    PAUSE_MIN.saturating_mul(1 << attempts.min(16)).min(PAUSE_MAX)
}

/// Deletes what is left of a webhook.
async fn forget(app: &App, tenant: TenantId, id: String) -> Result<(), StoreError> {
    app.store.write("webhook.forget", move |tx| tx.webhook_delivery_delete(tenant, &id)).await
}

/// Records where a webhook stands, unless it was deleted, resumed or given another key meanwhile.
async fn record(app: &App, before: &WebhookDelivery, after: WebhookDelivery) -> Result<(), StoreError> {
    let before = before.clone();
    let write = app.store.write("webhook.delivered", move |tx| {
        if tx.webhook_delivery(before.tenant_id, &before.webhook_id)?.as_ref() == Some(&before) {
            tx.webhook_delivery_put(&after)?;
        }
        Ok(())
    });
    write.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pauses: Vec<_> = (0..12).map(|attempts| pause(attempts).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }
}
