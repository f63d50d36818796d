//! Limits of requests under strict fidelity.

use cloudpc_server::app::Monotonic;
use cloudpc_server::config::{Config, Fidelity};
use cloudpc_store::WriteMode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::scene::ROOT;
use crate::world::{PARTNER, TestServer, Who};

/// Starts a server with small limits, and returns the seconds of its monotonic clock.
async fn server(fidelity: Fidelity, enabled: bool) -> (TestServer, Arc<AtomicU64>) {
    let mut config = Config::default();
    config.identity.fidelity = fidelity;
    config.throttling.enabled = enabled;
    (config.throttling.tenant_requests, config.throttling.app_requests) = (12, 8);
    (config.throttling.tenant_writes, config.throttling.app_writes) = (5, 3);
    let seconds = Arc::new(AtomicU64::new(100));
    let clock = Arc::clone(&seconds);
    let monotonic: Monotonic = Arc::new(move || Duration::from_secs(clock.load(Ordering::Relaxed)));
    (TestServer::made(config, WriteMode::InlineTwice, monotonic).await, seconds)
}

#[tokio::test]
async fn requests_beyond_the_limit_get_429_until_the_window_has_moved() {
    let (world, seconds) = server(Fidelity::Strict, true).await;
    let list = format!("{ROOT}/cloudPCs");
    for _ in 0..8 {
        assert_eq!(world.get(Who::Writer, &list).await.status, 200);
        seconds.fetch_add(1, Ordering::Relaxed);
    }
    let refused = world.get(Who::Writer, &list).await;
    assert_eq!(refused.error(), (429, "TooManyRequests".to_owned()));
    assert_eq!(refused.headers["retry-after"], "12", "the first request was 8 seconds ago");
    // The other applications of the tenant have the rest of its share, and other tenants theirs.
    for _ in 0..4 {
        assert_eq!(world.get(Who::Reader, &list).await.status, 200);
    }
    assert_eq!(world.get(Who::Reader, &list).await.status, 429);
    assert_eq!(world.get(Who::Stranger, &list).await.status, 200);
    seconds.fetch_add(12, Ordering::Relaxed);
    assert_eq!(world.get(Who::Writer, &list).await.status, 200);
    assert_eq!(world.get(Who::Writer, &list).await.status, 429);
}

#[tokio::test]
async fn each_request_of_a_batch_counts_and_is_refused_by_itself() {
    let (world, _) = server(Fidelity::Strict, true).await;
    let url = format!("/deviceManagement/virtualEndpoint/externalPartners/{PARTNER}");
    let write = |id: usize| {
        let headers = json!({"Content-Type": "application/json"});
        json!({"id": id, "method": "PATCH", "url": url, "headers": headers, "body": {"enableConnection": true}})
    };
    let body = json!({"requests": (0..4).map(write).collect::<Vec<_>>()});
    let reply = world.call(Who::Writer, "POST", "/beta/$batch", Some(body)).await;
    assert_eq!(reply.status, 200);
    let responses = reply.json()["responses"].clone();
    let statuses: Vec<_> = (0..4).map(|place| responses[place]["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert_eq!(responses[3]["headers"]["Retry-After"], "20");
    assert_eq!(responses[3]["body"]["error"]["code"], "TooManyRequests");
    // A read is admitted: the limit of writes is exceeded, not that of requests.
    assert_eq!(world.get(Who::Writer, &format!("{ROOT}/cloudPCs")).await.status, 200);
}

#[tokio::test]
async fn requests_are_not_limited_under_open_fidelity_or_if_switched_off() {
    for (fidelity, enabled) in [(Fidelity::Open, true), (Fidelity::Strict, false)] {
        let (world, _) = server(fidelity, enabled).await;
        for _ in 0..20 {
            assert_eq!(world.get(Who::Writer, &format!("{ROOT}/cloudPCs")).await.status, 200);
        }
    }
}
