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
use cloudpc_store::WebhookDelivery;
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
/// Pause before the webhooks are looked at again after the store failed.
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
    position: i64,
    epoch: u64,
    next_at: Option<Timestamp>,
}

type Key = (TenantId, String);

/// Delivers until `stop` is cancelled.
pub async fn run(app: App, stop: CancellationToken) {
    let mut heads = app.store.change_heads();
    let mut sending: JoinSet<Key> = JoinSet::new();
    let mut busy: BTreeSet<Key> = BTreeSet::new();
    while !stop.is_cancelled() {
        let known = match app.store.read(|reader| reader.webhook_deliveries()).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(%error, "reading the webhooks failed; trying again in {} seconds", STORE_PAUSE.as_secs());
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(STORE_PAUSE) => continue,
                }
            }
        };
        let known: BTreeMap<Key, Known> = known.into_iter().map(known_by_key).collect();
        // Until a webhook changes or a message has been sent, what is known holds.
        loop {
            let now = app.clock.now();
            for key in due(&known, &busy, &heads.borrow_and_update(), now) {
                busy.insert(key.clone());
                sending.spawn(delivery::deliver(app.clone(), key, stop.clone()));
            }
            let retry_at = known.iter().filter(|(key, _)| !busy.contains(*key)).filter_map(|(_, known)| known.next_at);
            let retry_at = retry_at.filter(|at| *at > now).min();
            tokio::select! {
                () = stop.cancelled() => break,
                () = app.webhooks.changed.notified() => break,
                Some(ended) = sending.join_next() => {
                    match ended {
                        Ok(key) => drop(busy.remove(&key)),
                        Err(error) => {
                            tracing::error!(%error, "the delivery of a webhook ended unexpectedly");
                            sending.abort_all();
                            busy.clear();
                        }
                    }
                    break;
                }
                Ok(()) = heads.changed(), if !known.is_empty() => {}
                () = app.clock.sleep_until(retry_at.unwrap_or_default()), if retry_at.is_some() => {}
            }
        }
    }
    // A message that is on the way is sent again after the next start.
    sending.shutdown().await;
}

fn known_by_key(delivery: WebhookDelivery) -> (Key, Known) {
    let WebhookDelivery { tenant_id, webhook_id, position, next_at, .. } = delivery;
    ((tenant_id, webhook_id), Known { position: position.number, epoch: position.epoch, next_at })
}

/// The webhooks to deliver to now, as many as the limits allow.
fn due(
    known: &BTreeMap<Key, Known>,
    busy: &BTreeSet<Key>,
    heads: &std::collections::HashMap<TenantId, cloudpc_store::FeedPosition>,
    now: Timestamp,
) -> Vec<Key> {
    let mut left = SENDING_MAX.saturating_sub(busy.len());
    let mut of_tenant: BTreeMap<TenantId, usize> = BTreeMap::new();
    for (tenant, _) in busy {
        *of_tenant.entry(*tenant).or_default() += 1;
    }
    let mut due = Vec::new();
    for (key, known) in known {
        // After a start, nobody knows how far the feed has got.
        let has_more = heads.get(&key.0).is_none_or(|head| head.number > known.position || head.epoch != known.epoch);
        let is_due = has_more && !busy.contains(key) && known.next_at.is_some_and(|at| at <= now);
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
    use cloudpc_store::FeedPosition;
    use std::collections::HashMap;
    use uuid::Uuid;

    #[test]
    fn a_tenant_has_a_share_of_the_messages() {
        let tenant = |number: u128| TenantId(Uuid::from_u128(number));
        let webhook = |number: u128, name: usize, next_at| {
            ((tenant(number), format!("{name:03}")), Known { position: 1, epoch: 7, next_at })
        };
        let many: BTreeMap<_, _> = (0..100).map(|name| webhook(1, name, Some(Timestamp(5)))).collect();
        let others = [webhook(2, 0, Some(Timestamp(5))), webhook(3, 0, Some(Timestamp(6))), webhook(4, 0, None)];
        let known: BTreeMap<_, _> = many.into_iter().chain(others).collect();
        let head = |number, epoch| FeedPosition { epoch, number };
        let heads: HashMap<_, _> = [(tenant(1), head(9, 7)), (tenant(2), head(1, 8))].into();
        let found = due(&known, &BTreeSet::new(), &heads, Timestamp(5));
        let of = |number| found.iter().filter(|(of, _)| *of == tenant(number)).count();
        assert_eq!((of(1), of(2), of(3), of(4)), (SENDING_PER_TENANT_MAX, 1, 0, 0), "not yet due, suspended");
        let busy: BTreeSet<_> = found.into_iter().collect();
        assert!(due(&known, &busy, &heads, Timestamp(5)).is_empty());
        let heads: HashMap<_, _> = [(tenant(1), head(1, 7)), (tenant(2), head(1, 7))].into();
        assert!(due(&known, &BTreeSet::new(), &heads, Timestamp(5)).is_empty(), "all is delivered");
    }

    #[test]
    fn there_is_a_limit_of_all_messages() {
        let tenants = u128::try_from(SENDING_MAX).unwrap() + 1;
        let known: BTreeMap<_, _> = (0..tenants)
            .map(|number| {
                let known = Known { position: 0, epoch: 0, next_at: Some(Timestamp(0)) };
                ((TenantId(Uuid::from_u128(number)), String::new()), known)
            })
            .collect();
        assert_eq!(due(&known, &BTreeSet::new(), &HashMap::new(), Timestamp(0)).len(), SENDING_MAX);
    }
}
