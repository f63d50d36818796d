//! The upgrade of a data directory that an earlier version wrote, and whose process was killed with
//! actions open.

use cloudpc_graph::client::Client;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use crate::service::{Service, pause};

/// The database that the version of commit cbd2b27 wrote, by `.dump` of the sqlite3 command line.
/// Its fleet has two policies whose names differ in case only, one frontline Cloud PC, one in its
/// grace period, one that failed, and one without a policy. Six actions wait or run.
const DATABASE: &str = include_str!("upgrade/cloudpc.sql");
/// Its simulated machines.
const MACHINES: &str = include_str!("upgrade/machines.jsonl");
/// Number of its schema.
const VERSION: u32 = 7;
/// Digits of a time in both files, microseconds, and the first ones of all of them.
const TIME_DIGITS: usize = 16;
const TIMES_BEGIN: &str = "179";
/// Time of the kill, microseconds.
const WRITTEN_AT: i64 = 1_795_890_653_510_345;

/// Timeout of the open actions.
const END_TIME_MAX: Duration = Duration::from_secs(240);

const POLICIES: &str = "/beta/deviceManagement/virtualEndpoint/provisioningPolicies";

/// Returns a file as if the process had been killed just now.
#[expect(clippy::disallowed_methods, reason = "the process under test follows the host's clock")]
fn written_now(text: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let later = i64::try_from(now.as_micros()).unwrap() - WRITTEN_AT;
    let is_time = |word: &str| {
        word.len() == TIME_DIGITS && word.starts_with(TIMES_BEGIN) && word.bytes().all(|byte| byte.is_ascii_digit())
    };
    let word = |word: &str| match is_time(word) {
        true => (word.parse::<i64>().unwrap() + later).to_string(),
        false => word.to_owned(),
    };
    let ends = |letter: char| !letter.is_ascii_alphanumeric();
    text.split_inclusive(ends)
        .map(|part| part.strip_suffix(ends).map_or_else(|| word(part), |start| word(start) + &part[start.len()..]))
        .collect()
}

fn start_upgraded() -> Service {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir_all(data.join("sim")).unwrap();
    fs::write(data.join("sim/machines.jsonl"), written_now(MACHINES)).unwrap();
    let database = Connection::open(data.join("cloudpc.db")).unwrap();
    database.execute_batch(&written_now(DATABASE)).unwrap();
    database.pragma_update(None, "user_version", VERSION).unwrap();
    drop(database);
    Service::start_in(directory, &[])
}

/// Waits until the Cloud PCs of these names, and no others, are in their grace period, and no
/// action is open.
fn wait_for_rest(service: &Service, in_grace: &[&str]) -> Value {
    let until = Instant::now() + END_TIME_MAX;
    loop {
        let cloud_pcs = service.json(&["list"]);
        let is_open = service.json(&["sim", "clock", "show"])["openActions"] != 0;
        if !is_open && with_status(&cloud_pcs, "inGracePeriod") == in_grace {
            return cloud_pcs;
        }
        assert!(Instant::now() < until, "timed out: {cloud_pcs:#}");
        pause(Duration::from_millis(100));
    }
}

fn with_status<'a>(cloud_pcs: &'a Value, status: &str) -> Vec<&'a str> {
    let found = cloud_pcs.as_array().unwrap().iter().filter(|cloud_pc| cloud_pc["status"] == status);
    found.map(|cloud_pc| cloud_pc["displayName"].as_str().unwrap()).collect()
}

/// Returns the kind and the state of the actions on each Cloud PC that has any, oldest first.
fn actions(service: &Service, cloud_pcs: &Value) -> String {
    let mut table = String::new();
    for cloud_pc in cloud_pcs.as_array().unwrap().iter().map(|cloud_pc| cloud_pc["displayName"].as_str().unwrap()) {
        let actions = service.json(&["actions", cloud_pc]);
        let of = |action: &Value| {
            let events: Vec<_> = action["events"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
            let times = |name: &str| events.iter().filter(|event| **event == name).count();
            assert_eq!((times("accepted"), times("finished")), (1, 1), "{action:#}");
            format!(" {} {}", action["kind"].as_str().unwrap(), action["state"].as_str().unwrap())
        };
        let actions: Vec<_> = actions.as_array().unwrap().iter().rev().map(of).collect();
        if !actions.is_empty() {
            table += &format!("{cloud_pc}:{}\n", actions.join(","));
        }
    }
    table
}

/// Returns the policies with their images and the members of their groups, and the licences in use.
async fn entitlements(client: &Client) -> String {
    let mut rows = BTreeSet::new();
    for policy in client.rows(POLICIES, &[("$expand", "assignments")], None).await.unwrap() {
        let group = policy["assignments"][0]["target"]["groupId"].as_str().unwrap();
        let members = client.rows(&format!("/beta/groups/{group}/members"), &[], None).await.unwrap();
        let members: BTreeSet<_> = members.iter().map(|user| user["userPrincipalName"].as_str().unwrap()).collect();
        rows.insert(format!("{} {} {members:?}", policy["displayName"], policy["imageId"]));
    }
    for sku in client.rows("/beta/subscribedSkus", &[], None).await.unwrap() {
        let units = &sku["prepaidUnits"]["enabled"];
        rows.insert(format!("{}: {} of {units} licences", sku["skuPartNumber"], sku["consumedUnits"]));
    }
    rows.into_iter().collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_actions_end_once_and_every_cloud_pc_gets_its_policy_and_licence() {
    let mut service = start_upgraded();
    service.kill();
    service.start_again(&[]);
    let cloud_pcs = wait_for_rest(&service, &["leaver-01"]);
    assert_eq!(
        (with_status(&cloud_pcs, "provisioned").len(), with_status(&cloud_pcs, "failed")),
        (11, vec!["broken-01"])
    );
    insta::assert_snapshot!(actions(&service, &cloud_pcs), @"
    desk-1: reprovision done, reprovision done, deployAgent done
    desk-2: createSnapshot done, deployAgent done
    desk-3: deployAgent done, deployAgent done
    desk-4: reboot done, deployAgent done
    desk-5: deployAgent done, resize done
    engine-01: deployAgent done
    ");
    let partner = service.json(&["partner", "list"])[0]["id"].as_str().unwrap().to_owned();
    let results = service.json(&["partner", "results", &partner]);
    let results = results.as_array().unwrap();
    assert!(results.iter().all(|result| result["state"] == "succeeded"), "{results:#?}");
    let pairs: BTreeSet<_> = results.iter().map(|row| format!("{} {}", row["activityId"], row["cloudPcId"])).collect();
    assert_eq!((results.len(), pairs.len()), (7, 7), "no deployment is lost or repeated");

    let client = service.client().await;
    insta::assert_snapshot!(entitlements(&client).await, @r#"
    "CPC_B_2C_8GB_128GB": 3 of 3 licences
    "CPC_E_4C_16GB_256GB": 3 of 3 licences
    "CPC_F_2C_8GB_128GB": 0 of 1 licences
    "Engineers" "a_b_ten" {"alan@contoso.test"}
    "Everyone c05855f0-e7af-4581-9a81-1b0431c79e8c" "a_b_eleven" {"ada@contoso.test", "alan@contoso.test", "grace@contoso.test"}
    "everyone" "a_b_eleven" {"alan@contoso.test"}
    "#);

    // From here on the licences count. No licence belongs to loose-01.
    let ada = client.get("/beta/users/ada@contoso.test?$select=id,assignedLicenses").await.unwrap();
    let licenses = ada["assignedLicenses"].as_array().unwrap().iter().map(|license| license["skuId"].clone());
    let change = json!({"addLicenses": [], "removeLicenses": licenses.collect::<Vec<_>>()});
    client.post(&format!("/beta/users/{}/assignLicense", ada["id"].as_str().unwrap()), &change).await.unwrap();
    wait_for_rest(&service, &["desk-1", "desk-3", "desk-5", "desk-7", "leaver-01"]);
}
