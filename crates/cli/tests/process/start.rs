//! Failed and interrupted starts, and stops during work.

use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::service::{Run, Service, pause, run};

/// Delays after which a first start is killed, milliseconds; the last few kill a service that is
/// ready.
const KILLED_AFTER_MS: [u64; 12] = [1, 5, 10, 20, 40, 70, 100, 150, 200, 300, 500, 800];

/// Timeout until the service begins to stop, even on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(60);

fn serve(data: &Path, options: &[&str]) -> Run {
    let listen: &[&str] = if options.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
    let arguments = ["serve", "--tls-listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    run(&[&arguments, listen, options].concat(), &[])
}

/// Returns the error message of a failing start.
fn start_error(data: &Path, options: &[&str]) -> String {
    let run = serve(data, options);
    assert_eq!((run.exit, run.out.as_str()), (1, ""), "{}", run.err);
    run.err.replace(data.to_str().unwrap(), "<data>")
}

#[test]
fn a_failing_start_explains_the_reason() {
    let service = Service::start(&["--demo"]);
    let mut table = format!("in use: {}", start_error(&service.data(), &[]));
    fs::remove_file(service.data().join("lock")).unwrap();
    table += &format!("in use, its lock removed: {}", start_error(&service.data(), &[]));
    assert_eq!(service.run(&["list"]).exit, 0, "the first service is not disturbed");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let empty = tempfile::tempdir().unwrap();
    let listening = start_error(empty.path(), &["--listen", &address]);
    table += &format!("address taken: {}", listening.replace(&address, "<address>"));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "a failed start must leave no files");

    let config = empty.path().join("config.toml");
    fs::write(&config, "[engine]\nlease_s = 0\n").unwrap();
    table += &format!(
        "wrong configuration: {}",
        start_error(&empty.path().join("x"), &["--config", config.to_str().unwrap()])
    );
    table += &format!("no configuration: {}", start_error(&empty.path().join("x"), &["--config", "/nowhere.toml"]));
    table += &format!("a file in its place: {}", start_error(&config, &[]));

    table += &format!("of the other kind: {}", {
        let mut simulated = Service::start(&[]);
        assert_eq!(simulated.stop(), Some(0));
        start_error(&simulated.data(), &["--driver", "qemu"])
    });

    let broken = |name: &str, content: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), content).unwrap();
        start_error(directory.path(), &[])
    };
    table += &format!("not a database: {}", broken("cloudpc.db", &[b'x'; 8192]));
    table += &format!("a directory in its place: {}", {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("cloudpc.db")).unwrap();
        start_error(directory.path(), &[])
    });
    table += &format!("not a certificate: {}", {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca-key.pem"), "x").unwrap();
        fs::write(directory.path().join("ca.pem"), "x").unwrap();
        start_error(directory.path(), &[])
    });
    insta::assert_snapshot!(table, @"
    in use: error: Cannot start the service: the data directory <data>: another process uses it; stop that one, or choose another directory.
    in use, its lock removed: error: Cannot start the service: the data directory <data>: another process uses it; stop that one, or choose another directory.
    address taken: error: Cannot start the service: cannot listen on <address>: Address already in use (os error 98).
    wrong configuration: error: Cannot start the service: invalid engine.lease_s in the configuration file: 0; expected at least 1.
    no configuration: error: Cannot start the service: cannot read the configuration file /nowhere.toml: No such file or directory (os error 2).
    a file in its place: error: Cannot start the service: <data> cannot be used: Not a directory (os error 20).
    of the other kind: error: Cannot start the service: the data directory <data> has simulated machines; start with --driver sim, or choose another data directory with --data.
    not a database: error: Cannot start the service: the data directory <data>: the database failed: file is not a database; it is damaged; restore the last backup.
    a directory in its place: error: Cannot start the service: the data directory <data>: it cannot be used: Is a directory (os error 21).
    not a certificate: error: Cannot start the service: invalid certificate authority file <data>/ca-key.pem (PEM error: malformedframing); delete ca.pem and ca-key.pem to create a new authority, which clients must then trust.
    ");
}

#[test]
fn a_truncated_database_is_refused() {
    let mut service = Service::start(&["--demo"]);
    assert_eq!(service.stop(), Some(0));
    let path = service.data().join("cloudpc.db");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    insta::assert_snapshot!(start_error(&service.data(), &[]), @"error: Cannot start the service: the data directory <data>: the database failed: database disk image is malformed; it is damaged; restore the last backup.");
    // The failed start changed nothing: with its end restored, the database opens.
    fs::write(&path, &whole).unwrap();
    service.start_again(&[]);
    assert_eq!(service.json(&["list"]).as_array().unwrap().len(), 60);
}

#[test]
fn a_restored_database_reuses_no_action_id_or_disk() {
    let mut service = Service::start(&["--demo"]);
    assert_eq!(service.stop(), Some(0));
    let path = service.data().join("cloudpc.db");
    let backup = fs::read(&path).unwrap();
    let reprovision = |service: &Service| {
        service.json(&["reprovision", "desk-07"]);
        service.json(&["sim", "clock", "idle"]);
        let action = service.json(&["actions", "desk-07"])[0].clone();
        assert_eq!(action["state"], "done");
        action["id"].as_str().unwrap().parse::<i64>().unwrap()
    };
    service.start_again(&[]);
    let lost = reprovision(&service);
    assert_eq!(service.stop(), Some(0));

    fs::write(&path, backup).unwrap();
    service.start_again(&[]);
    let again = reprovision(&service);
    assert!(again > lost, "id {again} was used before");
    let machines = fs::read_to_string(service.data().join("sim/machines.jsonl")).unwrap();
    let has = |line: &str, action: i64| line.contains(&format!("action-{action}-"));
    assert!(machines.lines().any(|line| has(line, lost) && has(line, again)), "the new disk must not be the lost one");
}

#[test]
fn file_modes_do_not_depend_on_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for mask in ["0", "077"] {
        let mut service = Service::start_after(&format!("umask {mask}"), &["--demo"]);
        service.json(&["reprovision", "desk-07"]);
        let data = service.data();
        assert_eq!(mode(&data), 0o711, "other users must be able to read ca.pem");
        for name in
            ["cloudpc.db", "cloudpc.db-wal", "cloudpc.db-shm", "lock", "admin.json", "ca-key.pem", "sim/machines.jsonl"]
        {
            assert_eq!(mode(&data.join(name)), 0o600, "{name} with mask {mask}");
        }
        assert_eq!((mode(&data.join("sim")), mode(&data.join("ca.pem"))), (0o700, 0o644), "with mask {mask}");
        assert_eq!(service.stop(), Some(0));
        assert_eq!(mode(&data.join("watermark.json")), 0o600);
    }
}

#[test]
fn a_lost_admin_file_is_recreated() {
    let mut service = Service::start(&["--demo"]);
    assert_eq!(service.stop(), Some(0));
    let path = service.data().join("admin.json");
    for content in [None, Some("{"), Some("")] {
        match content {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        service.start_again(&[]);
        assert_eq!(service.json(&["list"]).as_array().unwrap().len(), 60, "{content:?}");
        assert_eq!(service.stop(), Some(0));
    }
}

#[test]
fn a_killed_first_start_is_completed_by_the_next_one() {
    for after_ms in KILLED_AFTER_MS {
        let service = Service::start_after_a_kill(Duration::from_millis(after_ms), &["--demo"]);
        let machines = service.json(&["list"]);
        let machines = machines.as_array().unwrap();
        assert_eq!(machines.len(), 60, "killed after {after_ms} ms");
        assert!(machines.iter().all(|machine| machine["status"] == "provisioned"), "killed after {after_ms} ms");
        let admin: Value = serde_json::from_slice(&fs::read(service.data().join("admin.json")).unwrap()).unwrap();
        assert!(admin["clientSecret"].is_string());
        service.json(&["reprovision", "desk-07"]);
        service.json(&["sim", "clock", "idle"]);
        assert_eq!(service.json(&["results", "desk-07"])[0]["actionState"], "done", "killed after {after_ms} ms");
    }
}

/// Sends a request whose last byte is missing.
fn start_request(service: &Service) -> TcpStream {
    let mut stream = TcpStream::connect(service.http()).unwrap();
    let head = "POST /common/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"a=b&").unwrap();
    stream
}

/// Starts a step that never ends, for which a stop waits.
fn start_endless_step(service: &Service) {
    service.json(&["sim", "fault", "add", "--kind", "reboot", "--hang"]);
    service.json(&["reboot", "desk-01"]);
    let until = Instant::now() + TIME_MAX;
    while service.json(&["actions", "desk-01"])[0]["state"] != "running" {
        assert!(Instant::now() < until, "the reboot did not start");
        pause(Duration::from_millis(20));
    }
}

/// Waits until the service accepts no more connections, because it has begun to stop.
fn wait_until_closed(service: &Service) {
    let until = Instant::now() + TIME_MAX;
    while TcpStream::connect(service.http()).is_ok() {
        assert!(Instant::now() < until, "the service did not begin to stop");
        pause(Duration::from_millis(20));
    }
}

#[test]
fn a_stop_does_not_wait_for_an_incomplete_request_body() {
    let mut service = Service::start(&["--demo"]);
    let mut stream = start_request(&service);
    service.send_sigterm();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("ServiceUnavailable"), "{response}");
    assert_eq!(service.wait(), Some(0));
}

#[test]
fn a_second_stop_signal_stops_at_once() {
    let mut service = Service::start(&["--demo"]);
    start_endless_step(&service);
    service.send_sigterm();
    wait_until_closed(&service);
    service.send_sigterm();
    assert_eq!(service.wait(), Some(1));
    service.start_again(&[]);
    assert_eq!(service.json(&["list"]).as_array().unwrap().len(), 60);
}

#[test]
fn the_open_file_limit_is_raised_to_the_hard_limit() {
    const SOFT: usize = 256;
    let service = Service::start_after(&format!("ulimit -Sn {SOFT}"), &[]);
    let limits = service.limits();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = line.split_whitespace().skip(3).take(2).collect::<Vec<_>>()[..] else { panic!("{line}") };
    assert_eq!(soft, hard);
    let open: Vec<_> = (0..2 * SOFT).map_while(|_| TcpStream::connect(service.http()).ok()).collect();
    assert_eq!(open.len(), 2 * SOFT);
    assert_eq!(service.run(&["list"]).exit, 0, "the service still responds");
}
