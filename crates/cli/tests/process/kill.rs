//! The service is killed repeatedly while it works; no accepted action may be lost, repeated or
//! left incomplete, and a client that follows the events sees every change once and in order.

use cloudpc_graph::client::{Client, ClientError};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::follow::{self, Follower};
use crate::service::Service;

/// Number of kills, unless `CLOUDPC_KILLS` says another.
const KILLS: u32 = 20;
/// Number of actions in progress before the first kill.
const ACTIONS: usize = 500;
/// Number of Cloud PCs in one deployment call.
const DEPLOYED: usize = 50;
/// Shortest and longest time from readiness to the next kill, milliseconds.
const RUN_MS: (u64, u64) = (50, 800);
/// Timeout of all actions after the last kill.
const END_TIME_MAX: Duration = Duration::from_secs(240);

const CLOUD_PCS: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs";
const PARTNERS: &str = "/beta/deviceManagement/virtualEndpoint/externalPartners";

/// 300 machines at a pace at which no action ends before the first kills.
const FLEET: &str = r#"
[pace]
stop_ms = 1_500
boot_ms = 2_500
disk_ms = 4_000
touch_ms = 300
enrol_ms = 1_500
fetch_ms = 1_500
install_ms = 2_500

[[artifacts]]
url = "https://agents.fabrikam.test/agent.msi"
sha256 = "5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713"
size_bytes = 1_000
format = "msi"

[[tenants]]
name = "Contoso"
domain = "contoso.test"
users = [{ name = "ada" }]
service_plans = [{ name = "small", vcpu_count = 2, ram_gib = 8, storage_gib = 128, product = "business" }]
gallery_images = [{ id = "a_b_c", name = "Windows 11", size_gib = 64, os_version = "windows11" }]
fleets = [{ count = 300, name = "desk-{number}", service_plans = ["small"] }]

[[tenants.partners]]
partner_id = "fab00000-0000-4000-8000-000000000fab"
enable_connection = true
agent = { url = "https://agents.fabrikam.test/agent.msi", sha256 = "5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713" }
"#;

/// Seeded random numbers (xorshift).
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The calls made, and the service's responses.
#[derive(Default)]
struct Ledger {
    /// For each Cloud PC: the number of accepted remote actions, and of those without a response.
    remote: BTreeMap<String, (usize, usize)>,
    /// For each activity: the Cloud PCs of an accepted call.
    activities: BTreeMap<String, BTreeSet<String>>,
    /// Number of deployment calls without a response.
    deploys_unknown: usize,
}

impl Ledger {
    fn accepted(&self) -> usize {
        let deployments: usize = self.activities.values().map(BTreeSet::len).sum();
        self.remote.values().map(|(accepted, _)| accepted).sum::<usize>() + deployments
    }
}

// A call counts as one without a response until it has one, so that a dropped call is counted, too.

async fn call_remote(client: &Client, ledger: &Mutex<Ledger>, cloud_pc: &str, verb: &str) {
    ledger.lock().unwrap().remote.entry(cloud_pc.to_owned()).or_default().1 += 1;
    let response = client.post(&format!("{CLOUD_PCS}/{cloud_pc}/{verb}"), &Value::Null).await;
    let mut ledger = ledger.lock().unwrap();
    let (accepted, unknown) = ledger.remote.get_mut(cloud_pc).unwrap();
    match response {
        Ok(_) => (*accepted, *unknown) = (*accepted + 1, *unknown - 1),
        Err(ClientError::Answer(refused)) if refused.status == 409 => *unknown -= 1,
        Err(ClientError::Unreachable { .. }) => {}
        Err(other) => panic!("{verb} of {cloud_pc}: {other}"),
    }
}

async fn call_deploy(client: &Client, ledger: &Mutex<Ledger>, partner: &str, cloud_pcs: &[String]) {
    ledger.lock().unwrap().deploys_unknown += 1;
    let body = json!({ "cloudPcIds": cloud_pcs });
    let response = client.post(&format!("{PARTNERS}/{partner}/deployAgent"), &body).await;
    let mut ledger = ledger.lock().unwrap();
    match response {
        Ok(response) => {
            let activity = response["value"].as_str().unwrap().to_owned();
            ledger.activities.insert(activity, cloud_pcs.iter().cloned().collect());
            ledger.deploys_unknown -= 1;
        }
        Err(ClientError::Unreachable { .. }) => {}
        Err(other) => panic!("deploy: {other}"),
    }
}

/// Sends calls until the service is killed.
async fn send_calls(client: Client, ledger: Arc<Mutex<Ledger>>, partner: String, cloud_pcs: Vec<String>, seed: u64) {
    let mut rng = Xorshift(seed);
    let mut pick = |bound: usize| usize::try_from(rng.below(bound as u64)).unwrap();
    loop {
        let cloud_pc = &cloud_pcs[pick(cloud_pcs.len())];
        match pick(8) {
            0 => call_deploy(&client, &ledger, &partner, std::slice::from_ref(cloud_pc)).await,
            1..4 => call_remote(&client, &ledger, cloud_pc, "reboot").await,
            _ => call_remote(&client, &ledger, cloud_pc, "reprovision").await,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ids(client: &Client, path: &str) -> Vec<String> {
    let rows = client.rows(path, &[], None).await.unwrap();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_repeat_or_break_no_accepted_action() {
    let seed = std::env::var("CLOUDPC_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() | 1);
    println!("CLOUDPC_SEED={seed} repeats these kills");
    let mut rng = Xorshift(seed);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), FLEET).unwrap();
    let mut service = Service::start(&["--scenario", file.path().to_str().unwrap()]);
    let client = service.client().await;
    let cloud_pcs = ids(&client, CLOUD_PCS).await;
    let partner = ids(&client, PARTNERS).await.remove(0);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut follower = Follower::begin(&service, &client).await;

    for (index, cloud_pc) in cloud_pcs.iter().enumerate() {
        call_remote(&client, &ledger, cloud_pc, if index % 4 == 0 { "reboot" } else { "reprovision" }).await;
    }
    for targets in cloud_pcs.chunks(DEPLOYED).take((ACTIONS - cloud_pcs.len()) / DEPLOYED) {
        call_deploy(&client, &ledger, &partner, targets).await;
    }
    assert_eq!(ledger.lock().unwrap().accepted(), ACTIONS);

    let kills = std::env::var("CLOUDPC_KILLS").map_or(KILLS, |kills| kills.parse().expect("CLOUDPC_KILLS is a number"));
    for _ in 0..kills {
        let client = service.client().await;
        let following = follower.follow(&service, &client, None);
        let caller = tokio::spawn(send_calls(
            client,
            Arc::clone(&ledger),
            partner.clone(),
            cloud_pcs.clone(),
            rng.below(u64::MAX) | 1,
        ));
        let run_ms = RUN_MS.0 + rng.below(RUN_MS.1 - RUN_MS.0);
        tokio::time::sleep(Duration::from_millis(run_ms)).await;
        service.kill();
        caller.abort();
        // A task that ended by itself has panicked on an unexpected response.
        assert!(caller.await.unwrap_err().is_cancelled());
        follower = following.await.unwrap();
        service.start_again(&[]);
    }

    let client = service.client().await;
    wait_for_the_end(&client, &cloud_pcs).await;
    let ledger = std::mem::take(&mut *ledger.lock().unwrap());
    println!(
        "{} accepted, {} calls without a response",
        ledger.accepted(),
        ledger.deploys_unknown + ledger.remote.values().map(|(_, unknown)| unknown).sum::<usize>()
    );
    check_actions(&client, &ledger, &cloud_pcs).await;
    check_deployments(&client, &ledger, &partner).await;
    check_machines(&client, cloud_pcs.len()).await;
    follow::check(follower, &service, &client).await;
}

async fn wait_for_the_end(client: &Client, cloud_pcs: &[String]) {
    let ended = async {
        loop {
            let clock = client.get("/_cloudpc/clock").await.unwrap();
            if clock["openActions"] == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    if tokio::time::timeout(END_TIME_MAX, ended).await.is_err() {
        let mut open = String::new();
        for cloud_pc in cloud_pcs {
            for action in client.rows(&format!("{CLOUD_PCS}/{cloud_pc}/cloudpc.actions"), &[], None).await.unwrap() {
                if !is_final(&action["state"]) {
                    open += &format!("{action:#}\n");
                }
            }
        }
        panic!("these actions timed out: {open}");
    }
}

/// Checks that every accepted action exists, and that every action ended exactly once.
async fn check_actions(client: &Client, ledger: &Ledger, cloud_pcs: &[String]) {
    for cloud_pc in cloud_pcs {
        let actions = client.rows(&format!("{CLOUD_PCS}/{cloud_pc}/cloudpc.actions"), &[], None).await.unwrap();
        for action in &actions {
            let events: Vec<_> =
                action["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
            let count = |name| events.iter().filter(|event| **event == name).count();
            assert_eq!((count("accepted"), count("finished")), (1, 1), "{action:#}");
            assert_eq!(events.last(), Some(&"finished"), "{action:#}");
            assert_eq!(action["state"], "done", "a kill must not fail an action: {action:#}");
        }
        let remote = actions.iter().filter(|action| action["kind"] != "deployAgent").count();
        let (accepted, unknown) = ledger.remote.get(cloud_pc).copied().unwrap_or_default();
        assert!(
            (accepted..=accepted + unknown).contains(&remote),
            "{cloud_pc}: {accepted} accepted, {unknown} unknown, {remote} found"
        );
        let results = client
            .rows(&format!("{CLOUD_PCS}/{cloud_pc}/retrieveCloudPCRemoteActionResults"), &[], None)
            .await
            .unwrap();
        assert_eq!(results.len(), remote, "one result for each action");
        assert!(results.iter().all(|result| result["actionState"] == "done"));
    }
}

/// Checks that every accepted deployment has one result, and that no deployment has two.
async fn check_deployments(client: &Client, ledger: &Ledger, partner: &str) {
    let path = format!("{PARTNERS}/{partner}/retrieveDeployAgentActionResults(activityId='',cloudPcId='')");
    let results = client.rows(&path, &[], None).await.unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let mut seen = HashSet::new();
    let mut unknown = HashSet::new();
    for result in &results {
        assert_eq!(result["state"], "succeeded", "{result:#}");
        let (activity, cloud_pc) = (text(result, "activityId"), text(result, "cloudPcId"));
        match ledger.activities.get(&activity) {
            Some(targets) => assert!(targets.contains(&cloud_pc), "{result:#}"),
            None => drop(unknown.insert(activity.clone())),
        }
        assert!(seen.insert((activity, cloud_pc)), "repeated: {result:#}");
    }
    for (activity, targets) in &ledger.activities {
        for cloud_pc in targets {
            assert!(seen.contains(&(activity.clone(), cloud_pc.clone())), "lost: {activity} on {cloud_pc}");
        }
    }
    assert!(unknown.len() <= ledger.deploys_unknown, "activities without a call: {unknown:?}");
}

/// Checks that every machine is running and usable.
async fn check_machines(client: &Client, count: usize) {
    let machines = client.rows(CLOUD_PCS, &[("$select", "id,status,powerState")], None).await.unwrap();
    assert_eq!(machines.len(), count);
    for machine in machines {
        assert_eq!(
            (&machine["status"], &machine["powerState"]),
            (&json!("provisioned"), &json!("running")),
            "{machine}"
        );
    }
}

fn is_final(state: &Value) -> bool {
    ["done", "failed", "canceled", "notSupported"].iter().any(|end| state == end)
}
