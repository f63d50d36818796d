//! Requests that scan many rows: their budget and their effect on other callers.

use cloudpc_model::{Actor, AuditEntry, AuditResource, AuditVerb, ResourceType, TenantId};
use cloudpc_server::config::Config;
use cloudpc_server::pipeline::list::{SCAN_ROWS_MAX, SLICE_ROWS};
use cloudpc_store::{READERS_PER_CALLER_MAX, StoreError, WriteMode};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::world::{Reply, START, TestServer, Who};

const AUDIT: &str = "/beta/deviceManagement/virtualEndpoint/auditEvents";
const ROWS: usize = 4 * SLICE_ROWS;
/// Matches no row.
const NOTHING: &str = "$filter=contains(componentName,'nothing')";

/// Fills the audit log of the first tenant.
async fn fill(world: &TestServer, rows: usize) {
    let tenant: TenantId = "10000000-0000-4000-8000-000000000001".parse().unwrap();
    let filled = world.app.store.write("test.write", move |tx| {
        for number in 1..=rows {
            let resource = AuditResource::new(ResourceType::CloudPc, number);
            let entry = AuditEntry::new(tenant, START, Actor::system(), AuditVerb::Reboot, resource);
            tx.audit_insert(&entry.by_request(&number.to_string()))?;
        }
        Ok::<_, StoreError>(())
    });
    filled.await.unwrap();
}

/// Starts a server whose clock of run time advances by `step` milliseconds on each reading.
async fn slow_world(step: u64) -> TestServer {
    let readings = AtomicU64::new(0);
    let clock = move || Duration::from_millis(step * readings.fetch_add(1, Ordering::Relaxed));
    let world = TestServer::made(Config::default(), WriteMode::InlineTwice, Arc::new(clock)).await;
    fill(&world, ROWS).await;
    world
}

fn error(reply: &Reply) -> String {
    let error = &reply.json()["error"];
    format!("{} {} [{}] {}", reply.status, error["code"], error["target"], error["message"])
}

#[tokio::test]
async fn scan_over_its_budget_gets_an_error_with_advice() {
    let world = slow_world(1_000).await;
    let mut errors = String::new();
    for path in [
        format!("{AUDIT}?{NOTHING}"),
        format!("{AUDIT}?$orderby=id&$top=1"),
        format!("{AUDIT}/$count?{NOTHING}"),
        format!("{AUDIT}?{NOTHING}&$count=true"),
    ] {
        errors += &format!("{}\n", error(&world.get(Who::Reader, &path).await));
    }
    insta::assert_snapshot!(errors);
    // Requests without a scan succeed.
    assert_eq!(world.get(Who::Reader, &format!("{AUDIT}/$count")).await.body, ROWS.to_string());
    assert_eq!(world.get(Who::Reader, &format!("{AUDIT}?$top=999")).await.rows().len(), 999);
}

#[tokio::test]
async fn audit_events_are_counted_beyond_the_budget_of_a_scan() {
    let world = slow_world(3_000).await;
    let count = async |query: &str| world.get(Who::Reader, &format!("{AUDIT}/$count{query}")).await;
    assert_eq!(count(&format!("?{NOTHING}")).await.error().1, "scanLimitReached", "no column holds this property");
    assert_eq!(count("").await.body, ROWS.to_string());
    assert_eq!(count("?$filter=activityDateTime%20ge%202026-03-01T12:00:00Z").await.body, ROWS.to_string());
    let page = world.get(Who::Reader, &format!("{AUDIT}?$top=1&$count=true&$orderby=activityDateTime")).await;
    assert_eq!(page.json()["@odata.count"], ROWS);
}

#[tokio::test]
async fn sorted_list_skips_as_many_rows_as_a_scan_reads() {
    let world = TestServer::new().await;
    fill(&world, 3).await;
    let skipped = async |rows: usize| {
        let path = format!("{AUDIT}?$orderby=activityResult,activityDateTime&$top=1&$skip={rows}");
        world.get(Who::Reader, &path).await
    };
    assert_eq!(skipped(0).await.rows().len(), 1);
    assert_eq!(skipped(SCAN_ROWS_MAX - 1).await.rows().len(), 0);
    assert_eq!(skipped(SCAN_ROWS_MAX).await.error(), (400, "scanLimitReached".into()));
}

#[tokio::test]
async fn only_the_last_page_can_be_empty() {
    for step in [0, 600, 1_000, 1_700] {
        let world = slow_world(step).await;
        for filter in [
            "contains(correlationId,'7')",
            "correlationId%20eq%20'1'",
            "correlationId%20eq%20'2000'",
            "endswith(correlationId,'99')",
            "startswith(correlationId,'15')%20or%20correlationId%20eq%20'3'",
            "componentName%20eq%20'nothing'",
        ] {
            let mut next = Some(format!("{AUDIT}?$top=50&$filter={filter}"));
            while let Some(link) = next {
                let reply = world.get(Who::Reader, &link).await;
                if reply.status == 400 {
                    assert_eq!(reply.error().1, "scanLimitReached", "{link}");
                    assert_ne!(step, 0, "{link}: the budget suffices");
                    break;
                }
                next = reply.next_link();
                assert!(next.is_none() || !reply.rows().is_empty(), "{step} ms, {link}: an empty page with a link");
            }
        }
    }
}

#[tokio::test]
async fn scans_of_one_caller_do_not_block_another() {
    // The first readings of the clock, which the scans make, wait for the gate.
    let (readings, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new((Mutex::new(false), Condvar::new())));
    let clock = {
        let (readings, gate) = (Arc::clone(&readings), Arc::clone(&gate));
        move || {
            if readings.fetch_add(1, Ordering::SeqCst) < READERS_PER_CALLER_MAX {
                let open = gate.0.lock().unwrap();
                drop(gate.1.wait_while(open, |open| !*open).unwrap());
            }
            Duration::ZERO
        }
    };
    let world = Arc::new(TestServer::made(Config::default(), WriteMode::Grouped, Arc::new(clock)).await);
    fill(&world, ROWS).await;
    let scan = |_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.get(Who::Writer, &format!("{AUDIT}?{NOTHING}")).await })
    };
    let scans: Vec<_> = (0..20).map(scan).collect();
    while readings.load(Ordering::SeqCst) < READERS_PER_CALLER_MAX {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let reply = world.get(Who::Reader, &format!("{AUDIT}?$top=1")).await;
    assert_eq!((reply.status.as_u16(), reply.rows().len()), (200, 1));
    assert_eq!(readings.load(Ordering::SeqCst), READERS_PER_CALLER_MAX + READINGS_PER_READ, "no other scan ran");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for scan in scans {
        assert_eq!(scan.await.unwrap().status, 200);
    }
}

/// Readings of the clock per store read, at its start and end.
const READINGS_PER_READ: usize = 2;
