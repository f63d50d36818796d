//! Webhooks: changes that the service sends to receivers, each in the order of the change feed.
//!
//! A webhook is a document (`documents/kinds/webhook.rs`). For each, this module reads the feed
//! from the position that was delivered last, and posts what belongs to the webhook's scenario: one
//! message at a time, so that the changes of a Cloud PC arrive in order. The position moves after
//! the receiver has answered, so each change arrives at least once.
//!
//! It refuses to know how a change came about, and trusts neither the receiver's address nor its
//! answer.

mod delivery;
mod handshake;
mod message;

use cloudpc_drivers::{FetchPolicy, Fetcher};
use cloudpc_model::{Clock, TenantId, Timestamp};
use cloudpc_store::{FeedPosition, WebhookDelivery};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::app::App;
use crate::config::WebhooksConfig;

pub use message::{SCENARIOS, Scenario, SigningKeys};

/// Messages that are on the way at the same time.
pub const SENDING_MAX: usize = 32;
/// Those of one tenant.
pub const SENDING_PER_TENANT_MAX: usize = 4;
/// Time for which commits are collected before the webhooks are read again.
const COLLECT_TIME: Duration = Duration::from_millis(20);
/// Pause before the webhooks are read again after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// What the delivery of webhooks needs beside the [`App`].
pub struct Webhooks {
    /// Sends to addresses that callers chose.
    pub fetcher: Fetcher,
    /// Which addresses these may be.
    pub settings: WebhooksConfig,
    /// The keys that messages are signed with.
    pub keys: SigningKeys,
    /// The clock that receivers compare a message's time with.
    pub host_clock: Arc<dyn Clock>,
    /// A webhook was created, deleted or resumed.
    pub changed: Notify,
}

impl Webhooks {
    /// What a message to this address may reach.
    fn policy(&self, url: &Url) -> FetchPolicy {
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
            None => false,
        };
        let allowed_urls = match self.settings.allow_loopback && is_loopback {
            true => vec![format!("{}/", url.origin().ascii_serialization())],
            false => self.settings.allowed_urls.clone(),
        };
        FetchPolicy { allowed_urls, size_bytes_max: 0, time_max: Duration::ZERO }
    }
}

/// A webhook as the loop knows it.
struct Known {
    has_more: bool,
    next_at: Option<Timestamp>,
}

type Key = (TenantId, String);

/// Delivers until `stop` is cancelled.
pub async fn run(app: App, stop: CancellationToken) {
    let mut heads = app.store.change_heads();
    let mut sending: JoinSet<Key> = JoinSet::new();
    let mut busy: BTreeSet<Key> = BTreeSet::new();
    while !stop.is_cancelled() {
        heads.mark_unchanged();
        let known = match app.store.read(|reader| reader.webhook_deliveries()).await {
            Ok(deliveries) => deliveries.into_iter().map(known_by_key).collect(),
            Err(error) => {
                tracing::warn!(%error, "reading the webhooks failed; trying again in {} seconds", STORE_PAUSE.as_secs());
                stop.run_until_cancelled(tokio::time::sleep(STORE_PAUSE)).await;
                continue;
            }
        };
        let now = app.clock.now();
        for key in due(&known, &busy, now) {
            busy.insert(key.clone());
            sending.spawn(delivery::deliver(app.clone(), key, stop.clone()));
        }
        let waiting = known.iter().filter(|(key, known)| known.has_more && !busy.contains(*key));
        let retry_at = waiting.filter_map(|(_, known)| known.next_at).filter(|at| *at > now).min();
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.webhooks.changed.notified() => {}
            Some(ended) = sending.join_next() => match ended {
                Ok(key) => drop(busy.remove(&key)),
                Err(error) => {
                    tracing::error!(%error, "the delivery of a webhook ended unexpectedly");
                    sending.shutdown().await;
                    busy.clear();
                }
            },
            // Commits in quick succession are looked at together.
            Ok(()) = heads.changed(), if !known.is_empty() => tokio::time::sleep(COLLECT_TIME).await,
            () = app.clock.sleep_until(retry_at.unwrap_or_default()), if retry_at.is_some() => {}
        }
    }
    // A message that is on the way is sent again after the next start.
    sending.shutdown().await;
}

fn known_by_key((delivery, head): (WebhookDelivery, FeedPosition)) -> (Key, Known) {
    let WebhookDelivery { tenant_id, webhook_id, position, next_at, .. } = delivery;
    ((tenant_id, webhook_id), Known { has_more: position != head, next_at })
}

/// The webhooks to deliver to now, as many as the limits allow.
fn due(known: &BTreeMap<Key, Known>, busy: &BTreeSet<Key>, now: Timestamp) -> Vec<Key> {
    let mut left = SENDING_MAX.saturating_sub(busy.len());
    let mut of_tenant: BTreeMap<TenantId, usize> = BTreeMap::new();
    for (tenant, _) in busy {
        *of_tenant.entry(*tenant).or_default() += 1;
    }
    let mut due = Vec::new();
    for (key, known) in known {
        let is_due = known.has_more && !busy.contains(key) && known.next_at.is_some_and(|at| at <= now);
        let share = of_tenant.entry(key.0).or_default();
        if is_due && left > 0 && *share < SENDING_PER_TENANT_MAX {
            *share += 1;
            left -= 1;
            due.push(key.clone());
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn tenant(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    #[test]
    fn a_tenant_has_a_share_of_the_messages() {
        let webhook = |number: u128, name: usize, has_more, next_at: Option<i64>| {
            ((tenant(number), format!("{name:03}")), Known { has_more, next_at: next_at.map(Timestamp) })
        };
        let many: BTreeMap<_, _> = (0..100).map(|name| webhook(1, name, true, Some(5))).collect();
        let others = [
            webhook(2, 0, true, Some(5)),
            webhook(3, 0, true, Some(6)),
            webhook(4, 0, true, None),
            webhook(5, 0, false, Some(5)),
        ];
        let known: BTreeMap<_, _> = many.into_iter().chain(others).collect();
        let found = due(&known, &BTreeSet::new(), Timestamp(5));
        let of = |number| found.iter().filter(|(of, _)| *of == tenant(number)).count();
        assert_eq!((of(1), of(2)), (SENDING_PER_TENANT_MAX, 1));
        assert_eq!((of(3), of(4), of(5)), (0, 0, 0), "not yet due, suspended, all delivered");
        let busy: BTreeSet<_> = found.into_iter().collect();
        assert!(due(&known, &busy, Timestamp(5)).is_empty());
    }

    #[test]
    fn there_is_a_limit_of_all_messages() {
        let tenants = u128::try_from(SENDING_MAX).unwrap() + 1;
        let known: BTreeMap<_, _> = (0..tenants)
            .map(|number| ((tenant(number), String::new()), Known { has_more: true, next_at: Some(Timestamp(0)) }))
            .collect();
        assert_eq!(due(&known, &BTreeSet::new(), Timestamp(0)).len(), SENDING_MAX);
    }
}
