//! The program with real machines: the API reports the state of their guests. `make test-vm` runs
//! these tests.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::service::{Service, pause, run};

/// An agent that writes a marker file to the machine's disk.
const MARKER_AGENT: &str = "#!/bin/sh\necho \"$1\" > /opt/mark\n";

/// An agent whose exit code tells whether the marker exists.
const CHECK_AGENT: &str = "#!/bin/sh\n[ -e /opt/mark ] || { echo \"no mark, $1, on $(hostname)\"; exit 42; }\n";

/// Timeout until a new machine has its hostname; a failed attempt is retried after half a minute.
const NAMED_TIME_MAX: Duration = Duration::from_secs(180);

const PARTNERS: [&str; 2] = ["fab00000-0000-4000-8000-00000000000a", "fab00000-0000-4000-8000-00000000000b"];

/// Serves the scripts by name until the process exits.
fn serve_agents() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..read]);
            let content = if request.contains("mark.sh") { MARKER_AGENT } else { CHECK_AGENT };
            if read > 0 {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
                let _ = stream.write_all(format!("{head}{content}").as_bytes());
            }
        }
    });
    port
}

pub fn sha256(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), text).unwrap();
    let output = Command::new("sha256sum").arg(folder.path().join("file")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

fn scenario(port: u16) -> String {
    let partner = |id: &str, name: &str, script: &str| {
        let sha256 = sha256(script);
        format!(
            "[[tenants.partners]]\npartner_id = '{id}'\nenable_connection = true\n\
             allowed_urls = ['http://127.0.0.1:{port}/']\n\
             agent = {{ url = 'http://127.0.0.1:{port}/{name}', sha256 = '{sha256}', install_parameters = ['s3cret-token'] }}\n"
        )
    };
    format!(
        "[[tenants]]\nname = 'Contoso'\ndomain = 'contoso.test'\nusers = [{{ name = 'ada' }}]\n\
         service_plans = [{{ name = 'small', vcpu_count = 1, ram_gib = 1, storage_gib = 3, product = 'business' }}]\n\
         gallery_images = [{{ id = 'cloudpc_linux_test', name = 'Linux', size_gib = 1, os_version = 'windows11' }}]\n\
         fleets = [{{ count = 2, name = 'desk-{{number}}', service_plans = ['small'] }}]\n{}{}",
        partner(PARTNERS[0], "mark.sh", MARKER_AGENT),
        partner(PARTNERS[1], "look.sh", CHECK_AGENT)
    )
}

/// Kills the machines of a data directory, which outlive their service, when dropped.
pub struct Machines<'a>(pub &'a Path);

impl Drop for Machines<'_> {
    fn drop(&mut self) {
        for machine in std::fs::read_dir(self.0.join("qemu/machines")).into_iter().flatten().flatten() {
            let pid = std::fs::read_to_string(machine.path().join("pid")).unwrap_or_default();
            let command_line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if command_line.contains(&*machine.file_name().to_string_lossy()) {
                let _ = Command::new("kill").args(["-9", &pid]).status();
            }
        }
    }
}

/// Deploys the agent of a partner and returns the result.
fn deploy(service: &Service, partner: &str) -> Value {
    // The command exits with 1 if the deployment fails, which the test may expect.
    let deployed = service.run(&["partner", "deploy", partner, "desk-1", "--wait", "-o", "json"]);
    let results: Value =
        serde_json::from_str(&deployed.out).unwrap_or_else(|_| panic!("{} {}", deployed.out, deployed.err));
    results[0].clone()
}

#[test]
#[ignore = "needs QEMU: make test-vm"]
fn a_reprovision_replaces_a_real_disk_and_agents_run_in_the_guest() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data = folder.path().join("data");
    let built = run(&["image", "build", "test", "--data", data.to_str().unwrap()], &[]);
    assert_eq!((built.exit, built.out.trim()), (0, "cloudpc_linux_test"), "{}", built.err);
    let file = folder.path().join("fleet.toml");
    std::fs::write(&file, scenario(serve_agents())).unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "[qemu]\naccelerator = 'tcg'\n").unwrap();
    let options = ["--driver", "qemu", "--scenario", file.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let mut service = Service::start_in(folder, &options);
    let _machines = Machines(&data);

    // The guest gets the name of its device without a request.
    let device = service.json(&["list"]).as_array().unwrap().iter().find(|row| row["displayName"] == "desk-1").unwrap()
        ["managedDeviceName"]
        .clone();
    let is_named = |checked: &Value| checked["errorMessage"].as_str().unwrap().contains(device.as_str().unwrap());
    let until = Instant::now() + NAMED_TIME_MAX;
    while !is_named(&deploy(&service, PARTNERS[1])) {
        assert!(Instant::now() < until, "{device}");
    }

    let marked = deploy(&service, PARTNERS[0]);
    assert_eq!(marked["state"], "succeeded", "{marked}");
    let checked = deploy(&service, PARTNERS[1]);
    assert_eq!(checked["state"], "succeeded", "the marker must be on the disk: {checked}");

    let reprovisioned = service.run(&["reprovision", "desk-1", "--wait"]);
    assert_eq!(reprovisioned.exit, 0, "{}", reprovisioned.err);
    let checked = deploy(&service, PARTNERS[1]);
    assert_eq!(
        (&checked["state"], &checked["errorCode"]),
        (&"failed".into(), &"executeActionFailed".into()),
        "{checked}"
    );
    let message = checked["errorMessage"].as_str().unwrap();
    assert!(message.contains("42") && message.contains("no mark, ***"), "{message}");

    // The service is killed during the action; the next one completes it, and the other machine is
    // not affected.
    let other = pid(&service, "desk-2");
    assert_eq!(service.run(&["reprovision", "desk-1"]).exit, 0);
    pause(Duration::from_millis(1200));
    service.kill();
    service.start_again(&options);
    let until = Instant::now() + Duration::from_secs(180);
    let last = loop {
        let results = service.json(&["results", "desk-1"]);
        let last = results[0].clone();
        if last["actionState"] == "done" || last["actionState"] == "failed" || Instant::now() > until {
            break last;
        }
        pause(Duration::from_millis(200));
    };
    assert_eq!(last["actionState"], "done", "{last}");
    assert_eq!(pid(&service, "desk-2"), other, "the same process");
    assert_eq!(deploy(&service, PARTNERS[0])["state"], "succeeded");
    assert_eq!(service.stop(), Some(0));
}

/// Returns the process id of a machine.
fn pid(service: &Service, name: &str) -> String {
    let rows = service.json(&["list"]);
    let row = rows.as_array().unwrap().iter().find(|row| row["displayName"] == name).unwrap();
    std::fs::read_to_string(service.data().join("qemu/machines").join(row["id"].as_str().unwrap()).join("pid")).unwrap()
}
