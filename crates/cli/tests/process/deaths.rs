//! Real machines with a service that is killed in every step, machines that crash, and many
//! machines at once. `make test-vm` runs these tests.

use cloudpc_graph::client::Client;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::machines::{Machines, sha256};
use crate::service::Service;

/// An agent that takes a while and fails if it is run twice.
const AGENT: &str = "#!/bin/sh\necho x >> /var/lib/runs\nsleep 1\n[ \"$(wc -l < /var/lib/runs)\" = 1 ] || exit 42\n";

const PARTNER: &str = "fab00000-0000-4000-8000-00000000000a";
const CLOUD_PCS: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs";
const PARTNERS: &str = "/beta/deviceManagement/virtualEndpoint/externalPartners";

/// The warm image, which `build_images` of the driver's tests makes.
const IMAGE: &str = "cloudpc_test_guest-warm";

/// Timeout of every operation.
const TIME_MAX: Duration = Duration::from_mins(10);

/// A service with running machines.
struct MachineFleet {
    service: Service,
    options: Vec<String>,
    data: PathBuf,
}

impl MachineFleet {
    fn with_machines(count: u32) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let data = folder.path().join("data");
        let images = data.join("qemu/images");
        std::fs::create_dir_all(&images).unwrap();
        let image = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qemu/images").join(IMAGE);
        let linked = Command::new("cp").arg("-al").arg(&image).arg(&images).status().unwrap();
        assert!(linked.success(), "the warm test image is missing; `make test-vm` builds it first");
        let write = |name: &str, content: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let file = write("fleet.toml", scenario(count, serve_agent()));
        // Exactly as much memory as the machines have together.
        let config = write("config.toml", format!("[qemu]\naccelerator = 'tcg'\nram_gib_max = {count}\n"));
        let options: Vec<String> =
            ["--driver", "qemu", "--scenario", &file, "--config", &config].map(str::to_owned).into();
        Self { service: Service::start_in(folder, &arguments(&options)), options, data }
    }

    async fn client(&self) -> Client {
        self.service.client().await
    }

    /// Waits until the Cloud PCs are provisioned, and returns their ids, sorted by name.
    async fn ids(&self) -> Vec<String> {
        let client = self.client().await;
        let provisioned = async {
            loop {
                let rows = client.rows(CLOUD_PCS, &[], None).await.unwrap();
                if rows.iter().all(|row| row["status"] == "provisioned") {
                    return rows;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let mut rows = tokio::time::timeout(TIME_MAX, provisioned).await.expect("the Cloud PCs are provisioned");
        rows.sort_by_key(|row| row["displayName"].as_str().unwrap().to_owned());
        rows.into_iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Reads a JSON file in the machine's folder.
    fn json(&self, id: &str, name: &str) -> Value {
        let path = self.data.join("qemu/machines").join(id).join(name);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Returns the folder names of a machine's old disks.
    fn old_disks(&self, id: &str) -> Vec<String> {
        let names = std::fs::read_dir(self.data.join("qemu/machines").join(id)).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("aside-")).collect()
    }

    /// Kills and restarts the service in each step of an action in turn, until the action has
    /// ended. Returns the action, and the steps in which the service was killed: some steps are too
    /// short to be observed.
    async fn kill_in_every_step(&mut self, path: &str) -> (Value, Vec<String>) {
        let (mut killed, mut client) = (Vec::new(), self.client().await);
        let ended = async {
            loop {
                let action = client.get(path).await.unwrap();
                if let "done" | "failed" | "canceled" | "stuck" = action["state"].as_str().unwrap() {
                    return action;
                }
                match action["step"].as_str() {
                    Some(step) if !killed.iter().any(|name| name == step) => {
                        killed.push(step.to_owned());
                        self.service.kill();
                        self.service.start_again(&arguments(&self.options));
                        client = self.service.client().await;
                    }
                    _ => {}
                }
            }
        };
        let action = tokio::time::timeout(TIME_MAX, ended).await.expect("the action ends");
        (action, killed)
    }
}

fn arguments(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

fn scenario(count: u32, port: u16) -> String {
    let sha256 = sha256(AGENT);
    format!(
        "[[tenants]]\nname = 'Contoso'\ndomain = 'contoso.test'\nusers = [{{ name = 'ada' }}]\n\
         service_plans = [{{ name = 'small', vcpu_count = 1, ram_gib = 1, storage_gib = 2, product = 'business' }}]\n\
         gallery_images = [{{ id = '{IMAGE}', name = 'Linux', size_gib = 1, os_version = 'windows11' }}]\n\
         fleets = [{{ count = {count}, name = 'desk-{{number}}', service_plans = ['small'] }}]\n\
         [[tenants.partners]]\npartner_id = '{PARTNER}'\nenable_connection = true\n\
         allowed_urls = ['http://127.0.0.1:{port}/']\n\
         agent = {{ url = 'http://127.0.0.1:{port}/agent.sh', sha256 = '{sha256}' }}\n"
    )
}

/// Serves the agent until the process exits.
fn serve_agent() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let read = stream.read(&mut [0; 4096]).unwrap_or_default();
            if read > 0 {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", AGENT.len());
                let _ = stream.write_all(format!("{head}{AGENT}").as_bytes());
            }
        }
    });
    port
}

/// Returns the latest action on a Cloud PC.
async fn latest(client: &Client, id: &str) -> Value {
    client.rows(&format!("{CLOUD_PCS}/{id}/cloudpc.actions"), &[], Some(1)).await.unwrap()[0].clone()
}

async fn start_action(client: &Client, id: &str, verb: &str) -> Value {
    client.post(&format!("{CLOUD_PCS}/{id}/{verb}"), &Value::Null).await.unwrap();
    latest(client, id).await
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_service_killed_in_every_step_runs_each_action_once() {
    let mut fleet = MachineFleet::with_machines(1);
    let data = fleet.data.clone();
    let _machines = Machines(&data);
    let id = fleet.ids().await.remove(0);
    let client = fleet.client().await;

    let partner = client.rows(PARTNERS, &[], None).await.unwrap()[0]["id"].as_str().unwrap().to_owned();
    let targets = json!({ "cloudPcIds": [&id] });
    client.post(&format!("{PARTNERS}/{partner}/deployAgent"), &targets).await.unwrap();
    let deployment = latest(&client, &id).await["id"].clone();
    let path = format!("{CLOUD_PCS}/{id}/cloudpc.actions/{}", deployment.as_str().unwrap());
    let (deployed, killed) = fleet.kill_in_every_step(&path).await;
    println!("killed in {killed:?}");
    assert_eq!(deployed["state"], "done", "the agent ran more than once, or did not finish: {deployed}");
    assert!(killed.iter().any(|step| step == "runInstaller"), "{killed:?}");

    let boots = fleet.json(&id, "machine.json")["boots"].as_u64().unwrap();
    let client = fleet.client().await;
    let reprovision = start_action(&client, &id, "reprovision").await["id"].clone();
    let path = format!("{CLOUD_PCS}/{id}/cloudpc.actions/{}", reprovision.as_str().unwrap());
    let (reprovisioned, killed) = fleet.kill_in_every_step(&path).await;
    println!("killed in {killed:?}");
    assert_eq!(reprovisioned["state"], "done", "{reprovisioned}");
    assert!(killed.len() >= 3 && killed[0] == "stop", "{killed:?}");
    let tag = fleet.json(&id, "disk/disk.json")["tag"].as_str().unwrap().to_owned();
    assert!(
        tag.starts_with(&format!("action-{}-", reprovision.as_str().unwrap())),
        "the disk must carry the tag of the action: {tag}"
    );
    assert_eq!(fleet.old_disks(&id), [format!("aside-{tag}")], "the old disk was kept");
    assert_eq!(fleet.json(&id, "machine.json")["boots"], boots + 1, "started once");
    // The new disk has no data of the old one: the agent counts its runs there.
    let client = fleet.client().await;
    client.post(&format!("{PARTNERS}/{partner}/deployAgent"), &targets).await.unwrap();
    ended(&client, &id).await;
    assert_eq!(latest(&client, &id).await["state"], "done");
}

/// Waits for the end of the latest action on a Cloud PC.
async fn ended(client: &Client, id: &str) -> Value {
    let ended = async {
        loop {
            let action = latest(client, id).await;
            if !matches!(action["state"].as_str().unwrap(), "pending" | "running" | "undoing") {
                return action;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(TIME_MAX, ended).await.expect("the action ends")
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn twelve_machines_reprovision_at_once_and_a_crashed_one_recovers() {
    let fleet = MachineFleet::with_machines(12);
    let _machines = Machines(&fleet.data);
    let (ids, client) = (fleet.ids().await, fleet.client().await);
    for id in &ids {
        start_action(&client, id, "reprovision").await;
    }
    for id in &ids {
        let reprovisioned = ended(&client, id).await;
        assert_eq!(reprovisioned["state"], "done", "{reprovisioned}");
        let tag = fleet.json(id, "disk/disk.json")["tag"].as_str().unwrap().to_owned();
        assert!(tag.starts_with(&format!("action-{}-", reprovisioned["id"].as_str().unwrap())), "{tag}");
    }

    // A machine whose process is killed is detected, reported and restarted.
    let id = &ids[0];
    let pid = std::fs::read_to_string(fleet.data.join("qemu/machines").join(id).join("pid")).unwrap();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let history = format!("{CLOUD_PCS}/{id}/getCloudPcConnectivityHistory");
    let recovered = async {
        loop {
            let found = client.rows(&history, &[], None).await.unwrap();
            let results: Vec<_> = found.iter().map(|event| event["eventResult"].as_str().unwrap()).collect();
            if results == ["success", "failure"] {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(TIME_MAX, recovered).await.expect("the machine recovers");
    let started = latest(&client, id).await;
    assert_eq!((&started["kind"], &started["state"]), (&json!("powerOn"), &json!("done")), "{started}");
    let cloud_pc = client.get(&format!("{CLOUD_PCS}/{id}?$select=status,powerState")).await.unwrap();
    assert_eq!(
        (&cloud_pc["status"], &cloud_pc["powerState"]),
        (&json!("provisioned"), &json!("running")),
        "{cloud_pc}"
    );
}
