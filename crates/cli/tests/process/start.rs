//! Starting where something is wrong, or was cut short, and stopping while something is under way.

use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::service::{Run, Service, pause, run};

/// After how long a first start is killed, milliseconds; the last few are later than it needs, and
/// kill a service that is ready.
const KILLED_AFTER_MS: [u64; 12] = [1, 5, 10, 20, 40, 70, 100, 150, 200, 300, 500, 800];

/// How long the service may take to begin to stop, even if the machine is busy.
const TIME_MAX: Duration = Duration::from_secs(60);

fn serve(data: &Path, options: &[&str]) -> Run {
    let listen: &[&str] = if options.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
    let words = ["serve", "--tls-listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    run(&[&words, listen, options].concat(), &[])
}

/// How a start that cannot be is explained.
fn told(data: &Path, options: &[&str]) -> String {
    let run = serve(data, options);
    assert_eq!((run.exit, run.out.as_str()), (1, ""), "{}", run.err);
    run.err.replace(data.to_str().unwrap(), "<data>")
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let service = Service::start(&["--demo"]);
    let mut table = format!("in use: {}", told(&service.data(), &[]));
    fs::remove_file(service.data().join("lock")).unwrap();
    table += &format!("in use, its lock removed: {}", told(&service.data(), &[]));
    assert_eq!(service.run(&["list"]).exit, 0, "the first one is not disturbed");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let empty = tempfile::tempdir().unwrap();
    let listening = told(empty.path(), &["--listen", &address]);
    table += &format!("address taken: {}", listening.replace(&address, "<address>"));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "and has left nothing behind");

    let config = empty.path().join("config.toml");
    fs::write(&config, "[engine]\nlease_s = 0\n").unwrap();
    table +=
        &format!("wrong configuration: {}", told(&empty.path().join("x"), &["--config", config.to_str().unwrap()]));
    table += &format!("no configuration: {}", told(&empty.path().join("x"), &["--config", "/nowhere.toml"]));
    table += &format!("a file in its place: {}", told(&config, &[]));

    table += &format!("of the other kind: {}", {
        let mut simulated = Service::start(&[]);
        assert_eq!(simulated.stop(), Some(0));
        told(&simulated.data(), &["--driver", "qemu"])
    });

    let broken = |name: &str, content: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), content).unwrap();
        told(directory.path(), &[])
    };
    table += &format!("not a database: {}", broken("cloudpc.db", &[b'x'; 8192]));
    table += &format!("a directory in its place: {}", {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("cloudpc.db")).unwrap();
        told(directory.path(), &[])
    });
    table += &format!("not a certificate: {}", {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca-key.pem"), "x").unwrap();
        fs::write(directory.path().join("ca.pem"), "x").unwrap();
        told(directory.path(), &[])
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
fn a_database_that_lost_its_end_is_not_taken_for_a_whole_one() {
    let mut service = Service::start(&["--demo"]);
    assert_eq!(service.stop(), Some(0));
    let path = service.data().join("cloudpc.db");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    insta::assert_snapshot!(told(&service.data(), &[]), @"error: Cannot start the service: the data directory <data>: the database failed: database disk image is malformed; it is damaged; restore the last backup.");
    // Nothing was made worse: with its end back it starts.
    fs::write(&path, &whole).unwrap();
    service.start_again(&[]);
    assert_eq!(service.json(&["list"]).as_array().unwrap().len(), 60);
}

#[test]
fn an_older_database_beside_newer_machines_gives_no_number_and_no_disk_twice() {
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
    assert!(again > lost, "{again} was given before");
    let machines = fs::read_to_string(service.data().join("sim/machines.jsonl")).unwrap();
    let has = |line: &str, action: i64| line.contains(&format!("action-{action}-"));
    assert!(machines.lines().any(|line| has(line, lost) && has(line, again)), "its disk and the lost one's are two");
}

#[test]
fn no_mask_of_the_process_opens_a_file_to_others_or_closes_the_certificate_to_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for mask in ["0", "077"] {
        let mut service = Service::start_after(&format!("umask {mask}"), &["--demo"]);
        service.json(&["reprovision", "desk-07"]);
        let data = service.data();
        assert_eq!(mode(&data), 0o711, "others may enter, to read ca.pem");
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
fn a_lost_admin_file_is_made_anew() {
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
fn a_first_start_that_was_killed_is_finished_by_the_next() {
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

/// A request of which the last byte is still to come.
fn begin_request(service: &Service) -> TcpStream {
    let mut stream = TcpStream::connect(service.http()).unwrap();
    let head = "POST /common/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"a=b&").unwrap();
    stream
}

/// Has the service run a step that never ends, for which a stop waits.
fn begin_endless_step(service: &Service) {
    service.json(&["sim", "fault", "add", "--kind", "reboot", "--hang"]);
    service.json(&["reboot", "desk-01"]);
    let until = Instant::now() + TIME_MAX;
    while service.json(&["actions", "desk-01"])[0]["state"] != "running" {
        assert!(Instant::now() < until, "the reboot does not start");
        pause(Duration::from_millis(20));
    }
}

/// Waits until the service takes no more connections, as one that has begun to stop.
fn wait_until_closed(service: &Service) {
    let until = Instant::now() + TIME_MAX;
    while TcpStream::connect(service.http()).is_ok() {
        assert!(Instant::now() < until, "it does not begin to stop");
        pause(Duration::from_millis(20));
    }
}

#[test]
fn a_stop_does_not_wait_for_the_rest_of_a_body() {
    let mut service = Service::start(&["--demo"]);
    let mut stream = begin_request(&service);
    service.ask_to_stop();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("ServiceUnavailable"), "{answer}");
    assert_eq!(service.wait(), Some(0));
}

#[test]
fn a_second_request_to_stop_waits_for_nothing() {
    let mut service = Service::start(&["--demo"]);
    begin_endless_step(&service);
    service.ask_to_stop();
    wait_until_closed(&service);
    service.ask_to_stop();
    assert_eq!(service.wait(), Some(1));
    service.start_again(&[]);
    assert_eq!(service.json(&["list"]).as_array().unwrap().len(), 60);
}

#[test]
fn it_opens_as_many_files_as_it_may() {
    const SOFT: usize = 256;
    let service = Service::start_after(&format!("ulimit -Sn {SOFT}"), &[]);
    let limits = service.limits();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = line.split_whitespace().skip(3).take(2).collect::<Vec<_>>()[..] else { panic!("{line}") };
    assert_eq!(soft, hard);
    let open: Vec<_> = (0..2 * SOFT).map_while(|_| TcpStream::connect(service.http()).ok()).collect();
    assert_eq!(open.len(), 2 * SOFT);
    assert_eq!(service.run(&["list"]).exit, 0, "it is still answering");
}
