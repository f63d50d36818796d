//! Killing the process at any moment loses nothing that was acknowledged and leaves nothing
//! half-done.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use cloudpc_model::{AuditEntry, AuditResource, ResourceType};
use cloudpc_store::{Store, StoreError, WriteMode};

use crate::fixture::{block_on, deploy, open_sql};

const ROUNDS: usize = 4;
const WRITERS: usize = 16;
/// Acknowledged writes after which a round is killed; the round after it is killed later.
const ACKNOWLEDGED: usize = 150;
const DIRECTORY: &str = "CLOUDPC_STORE_CRASH_DIRECTORY";

#[test]
fn a_killed_process_loses_no_acknowledged_write() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 1..=ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::writes_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ids = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ids = ids.filter_map(|line| line.strip_prefix("accepted ")?.parse::<i64>().ok());
        let mut in_round = 0;
        for id in ids {
            acknowledged.push(id);
            in_round += 1;
            if in_round == ACKNOWLEDGED * round {
                child.kill().unwrap();
            }
        }
        assert!(in_round >= ACKNOWLEDGED * round, "the child ended by itself");
        assert!(!child.wait().unwrap().success());
    }

    // What the dead left is read from its log.
    let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
    let sql = open_sql(directory.path());
    let count = |query: &str| sql.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
    for id in &acknowledged {
        assert_eq!(count(&format!("SELECT count(*) FROM actions WHERE id = {id}")), 1, "action {id} is lost");
    }
    let actions = count("SELECT count(*) FROM actions");
    assert!(actions >= i64::try_from(acknowledged.len()).unwrap());
    for (what, query) in [
        ("events", "SELECT sum(events) FROM actions"),
        ("results", "SELECT count(*) FROM deployments"),
        ("total", "SELECT sum(deployments) FROM partner_totals"),
        ("activity", "SELECT sum(deployments) FROM activities"),
        ("audit rows", "SELECT count(*) FROM audit"),
    ] {
        assert_eq!(count(query), actions, "{what}");
    }
    assert_eq!(sql.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    drop(store);
}

#[test]
#[ignore = "the process that the test above starts and kills"]
fn writes_until_it_is_killed() {
    let directory = std::env::var_os(DIRECTORY).unwrap();
    let store = Store::open(directory.as_ref(), WriteMode::Grouped).unwrap();
    let writer = |number: usize| {
        let store = store.clone();
        async move {
            let new = deploy(&format!("machine {number}"), 1);
            loop {
                let new = new.clone();
                let accepted = store.write("test.write", move |tx| {
                    let id = tx.action_insert(&new)?;
                    let resource = AuditResource::new(ResourceType::CloudPc, &new.target);
                    let (at, actor) = (new.requested_at, new.requested_by.clone());
                    tx.audit_insert(&AuditEntry::new(new.tenant_id, at, actor, new.params.kind(), resource))?;
                    Ok::<_, StoreError>(id)
                });
                let id = accepted.await.unwrap();
                if writeln!(std::io::stdout(), "accepted {id}").is_err() {
                    // The parent is gone.
                    return;
                }
            }
        }
    };
    block_on(tokio::task::LocalSet::new().run_until(async {
        let writers: Vec<_> = (0..WRITERS).map(|number| tokio::task::spawn_local(writer(number))).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    }));
}
