//! Machines on a network, and machines on none. The host's own network is left alone: the test runs again, by itself, in one of its own.

use cloudpc_drivers::qemu::Network;
use cloudpc_drivers::{Driver, Guest, MachineSpec, Tag};
use std::path::Path;
use std::process::Command;

use crate::bed::{Bed, spec, wait_ready};
use crate::downloads::{self, image_that_downloads};
use crate::programs::fetched;

/// Set for the process that has a network of its own.
const INSIDE: &str = "CLOUDPC_TEST_NETWORK";

/// The test image's guests expect their way out here.
const HOST: &str = "10.0.2.2";

/// Where somebody else would be on the public internet. In a network of one's own it is the host, too.
pub const PUBLIC: &str = "11.0.0.1";

const BRIDGE: &str = "cpc-test";

fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}

/// Whether a guest reaches a port of the host.
async fn reaches(guest: &dyn Guest, port: u16) -> bool {
    guest.detect(&format!("timeout 5 nc {HOST} {port} < /dev/null")).await.unwrap().code == 0
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_on_a_bridge_reaches_what_is_there_and_another_reaches_nothing() {
    if std::env::var_os(INSIDE).is_some() {
        return inside().await;
    }
    let may =
        Command::new("unshare").args(["--net", "--mount", "true"]).output().is_ok_and(|tried| tried.status.success());
    if !may || !Path::new("/dev/net/tun").exists() {
        eprintln!("NOT RUN: a network of its own, with the bridge that this test needs, cannot be made here.");
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
    ip(&format!("address add {PUBLIC}/32 dev {BRIDGE}"));
    ip(&format!("link set {BRIDGE} up"));
    let listener = tokio::net::TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        // Whoever has connected is let go at once.
        while listener.accept().await.is_ok() {}
    });

    let mut bed = Bed::on(Network::Bridge(BRIDGE.into()));
    let image = image_that_downloads();
    let with_way_out = MachineSpec { image: image.clone(), ..spec(1) };
    let guest = bed.ready(&with_way_out).await;
    assert!(reaches(&*guest, port).await);
    drop(guest);
    downloads::check(&mut bed, &with_way_out, HOST).await;
    let devices = || std::fs::read_dir("/sys/class/net").unwrap().count();
    let with_one = devices();
    bed.driver.ensure_absent(with_way_out.id).await.unwrap();
    assert_eq!(devices(), with_one - 1, "its device goes with it");
    drop(bed);

    let mut bed = Bed::new();
    let without = MachineSpec { image, ..spec(2) };
    let guest = bed.ready(&without).await;
    assert!(!reaches(&*guest, port).await);
    // It has no network to download over, whatever its image says; this server is nowhere but on the host.
    fetched(&*guest, &Tag("pushed".into()), b"#!/bin/sh\n").await;
    drop(guest);
    // Nor has it one before its next start, whatever its host has by now.
    bed.restart_on(Network::Bridge(BRIDGE.into()));
    let guest = bed.guest(&without).await;
    wait_ready(&*guest).await;
    fetched(&*guest, &Tag("pushed-again".into()), b"#!/bin/sh\n").await;
}
