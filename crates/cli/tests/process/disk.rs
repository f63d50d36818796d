//! The data directory on a full and on a read-only disk.

use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::service::{Service, run_on_a_read_only_disk};

/// Space for the demo and some of its work.
const DISK_BYTES: usize = 24 * 1024 * 1024;
const CLOUD_PCS: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs";

/// Fills the disk to the last byte.
fn fill(path: &Path) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    for block in [64 * 1024, 1] {
        while file.write_all(&vec![0; block]).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_refuses_new_actions_and_loses_none() {
    let Some(service) = Service::start_on_a_disk_of(DISK_BYTES, &["--demo"]) else { return };
    let client = service.client().await;
    let machines = client.rows(CLOUD_PCS, &[("$select", "id")], None).await.unwrap();
    let path = |n: usize, verb: &str| format!("{CLOUD_PCS}/{}/{verb}", machines[n]["id"].as_str().unwrap());
    client.post("/_cloudpc/clock/pause", &Value::Null).await.unwrap();
    for n in 0..10 {
        client.post(&path(n, "reprovision"), &Value::Null).await.unwrap();
    }

    let filler = service.data().join("filler");
    fill(&filler);
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for n in 10..50 {
        match client.post(&path(n, "reprovision"), &Value::Null).await {
            Ok(_) => accepted.push(n),
            Err(error) => refused.push((n, error.to_string())),
        }
    }
    assert!(!refused.is_empty(), "the disk was not full");
    for (_, error) in &refused {
        assert!(error.starts_with("503 ServiceUnavailable: ") && error.contains("nothing was changed"), "{error}");
    }
    assert_eq!(client.rows(CLOUD_PCS, &[], None).await.unwrap().len(), 60, "the service still serves reads");

    fs::remove_file(&filler).unwrap();
    let (again, _) = refused[0];
    client.post(&path(again, "reprovision"), &Value::Null).await.unwrap();
    client.post("/_cloudpc/clock/resume", &Value::Null).await.unwrap();
    let ended = async {
        while client.get("/_cloudpc/clock").await.unwrap()["openActions"] != json!(0) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), ended).await.expect("the actions end");
    for n in (0..10).chain(accepted).chain([again]) {
        let actions = client.rows(&path(n, "cloudpc.actions"), &[], None).await.unwrap();
        let states: Vec<_> = actions.iter().map(|action| action["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["done"], "machine {n}");
    }
    let log = service.log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!((1..=3).contains(&errors.len()), "the error is logged once each time it begins: {log}");
    assert!(errors.iter().all(|line| line.matches("is full").count() == 1), "the cause is said once: {errors:?}");
    assert!(log.contains("takes changes again"), "{log}");
    for (n, _) in refused.iter().skip(1) {
        let actions = client.rows(&path(*n, "cloudpc.actions"), &[], None).await.unwrap();
        assert_eq!(actions, Vec::<Value>::new(), "a refused action must not exist");
    }
}

#[tokio::test]
async fn a_start_on_a_full_disk_serves_reads() {
    for signal in ["TERM", "KILL"] {
        let Some(service) = Service::start_on_a_full_disk(DISK_BYTES, signal, &["--demo"]) else { return };
        let client = service.client().await;
        let machines = client.rows(CLOUD_PCS, &[("$select", "id")], None).await.unwrap();
        assert_eq!(machines.len(), 60, "after SIG{signal}");
        let path = format!("{CLOUD_PCS}/{}/reprovision", machines[0]["id"].as_str().unwrap());
        let refused = client.post(&path, &Value::Null).await.unwrap_err().to_string();
        assert!(refused.starts_with("503 ServiceUnavailable: "), "after SIG{signal}: {refused}");
        fs::remove_file(service.data().join("filler")).unwrap();
        client.post(&path, &Value::Null).await.unwrap();
    }
}

#[test]
fn a_start_on_a_read_only_disk_fails() {
    let Some(run) = run_on_a_read_only_disk() else { return };
    assert_eq!(run.exit, 1);
    insta::assert_snapshot!(run.err.lines().last().unwrap(), @"error: Cannot start the service: the data directory <data>: it cannot be used: Read-only file system (os error 30).");
}
