//! Machines on a network, and machines on none. The host's own network is left alone: the test runs again, by itself, in one of its own.

use cloudpc_drivers::qemu::Network;
use cloudpc_drivers::{Driver, Guest, Tag};
use std::process::Command;

use crate::bed::{Bed, spec};
use crate::programs::fetched;

/// Set for the process that has a network of its own.
const INSIDE: &str = "CLOUDPC_TEST_NETWORK";

/// The test image's guests expect their way out here.
const HOST: &str = "10.0.2.2";

const BRIDGE: &str = "cpc-test";

fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}

/// Whether a guest reaches a port of the host, by a program that it runs.
async fn reaches(guest: &dyn Guest, port: u16, tag: &str) -> bool {
    let tag = Tag(tag.into());
    let script = format!("#!/bin/sh\ntimeout 5 nc {HOST} {port} < /dev/null\n");
    fetched(guest, &tag, script.as_bytes()).await;
    guest.run(&tag, &[]).await.unwrap().code == 0
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_on_a_bridge_reaches_what_is_there_and_another_reaches_nothing() {
    if std::env::var_os(INSIDE).is_some() {
        return inside().await;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT RUN: only root may make the bridge that this test needs.");
        return;
    }
    let name = "network::a_machine_on_a_bridge_reaches_what_is_there_and_another_reaches_nothing";
    let mut again = Command::new("unshare");
    // The system shows the devices of the network in which it was asked to show them, so it is asked anew.
    again
        .args(["--net", "--mount", "sh", "-c", "mount -t sysfs none /sys && exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", name])
        .env(INSIDE, "1");
    let output = again.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

async fn inside() {
    ip("link set lo up");
    ip(&format!("link add {BRIDGE} type bridge"));
    ip(&format!("address add {HOST}/24 dev {BRIDGE}"));
    ip(&format!("link set {BRIDGE} up"));
    let listener = tokio::net::TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        // Whoever has connected is let go at once.
        while listener.accept().await.is_ok() {}
    });

    let bed = Bed::on(Network::Bridge(BRIDGE.into()));
    let guest = bed.ready(&spec(1)).await;
    assert!(reaches(&*guest, port, "there").await);
    drop(guest);
    let devices = || std::fs::read_dir("/sys/class/net").unwrap().count();
    let with_one = devices();
    bed.driver.ensure_absent(spec(1).id).await.unwrap();
    assert_eq!(devices(), with_one - 1, "its device goes with it");
    drop(bed);

    let bed = Bed::new();
    let guest = bed.ready(&spec(2)).await;
    assert!(!reaches(&*guest, port, "not there").await);
}
