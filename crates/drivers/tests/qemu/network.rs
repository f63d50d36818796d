//! Machines with and without a network. The host's own network is not changed: the test runs itself
//! again in its own network namespace.

use cloudpc_drivers::qemu::Network;
use cloudpc_drivers::{Driver, Guest, MachineSpec, StopMode, Tag};
use std::path::Path;
use std::process::Command;

use crate::downloads::{self, image_that_downloads};
use crate::programs::fetch;
use crate::test_bed::{TestBed, not_run, spec, wait_ready};

/// Environment variable that is set in the process with its own network namespace.
const INSIDE: &str = "CLOUDPC_TEST_NETWORK";

/// The default gateway that the test image's guests are configured with.
const HOST: &str = "10.0.2.2";

/// Stands for a server on the public internet. In the namespace, the host has this address, too.
pub const PUBLIC: &str = "11.0.0.1";

const BRIDGE: &str = "cpc-test";

const TUN: &str = "/dev/net/tun";

/// Makes `/sys` show the devices of this namespace, and restricts the tap device to root, as on a
/// host without udev. Then runs the program.
const ENTER: &str = r#"
mount -t sysfs none /sys
mount -t tmpfs none /dev/net
mknod -m 0600 /dev/net/tun c 10 200
: < /dev/net/tun
exec "$@"
"#;

fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
}

/// Returns whether a guest can connect to a port of the host.
async fn reaches(guest: &dyn Guest, port: u16) -> bool {
    guest.detect(&format!("timeout 5 nc {HOST} {port} < /dev/null")).await.unwrap().code == 0
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_reaches_the_bridge_only_if_connected() {
    if std::env::var_os(INSIDE).is_some() {
        return inside().await;
    }
    if !Path::new(TUN).exists() {
        return not_run("this host has no /dev/net/tun; machines on a bridge require it");
    }
    let enter = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-euc", ENTER, "sh"]).arg(program);
        command
    };
    if !enter(Path::new("true")).output().is_ok_and(|output| output.status.success()) {
        return not_run("creating the network namespace of this test requires root (unshare --net --mount, mknod)");
    }
    let name = "network::a_machine_reaches_the_bridge_only_if_connected";
    let mut again = enter(&std::env::current_exe().unwrap());
    again.args(["--ignored", "--exact", name]).env(INSIDE, "1");
    let output = again.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Returns the number of tap device descriptors that a process holds.
fn taps(pid: &str) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.unwrap().path()).ok());
    targets.filter(|target| target == Path::new(TUN)).count()
}

/// Returns the name of the only tap device.
fn tap_name() -> String {
    let names = std::fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.into_string().ok()).find(|name| name.starts_with("cpc-") && name != BRIDGE).unwrap()
}

/// Returns the number of network devices.
fn devices() -> usize {
    std::fs::read_dir("/sys/class/net").unwrap().count()
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
        // Every connection is closed at once.
        while listener.accept().await.is_ok() {}
    });

    let mut bed = TestBed::with_network(Network::Bridge(BRIDGE.into()));
    let image = image_that_downloads();
    let connected = MachineSpec { image: image.clone(), ..spec(1) };
    let guest = bed.ready(&connected).await;
    assert!(reaches(&*guest, port).await);
    assert_eq!((taps(&bed.pid(&connected)), taps("self")), (1, 0), "only QEMU must hold the device");
    drop(guest);
    bed.restart();
    assert!(reaches(&*bed.guest(&connected).await, port).await, "the device must outlive the service");
    downloads::check(&mut bed, &connected, HOST).await;

    // A killed process has just released the device when the next one opens it.
    let running = devices();
    let name = tap_name();
    for _ in 0..5 {
        bed.kill_if_running(&connected);
        bed.driver.ensure_running(connected.id).await.unwrap();
        assert_eq!(devices(), running);
    }
    bed.stop(&connected, StopMode::Force).await;
    assert_eq!(devices(), running - 1, "a stopped machine has no device");
    // A persistent device of an earlier version is used, and removed with its machine.
    ip(&format!("tuntap add dev {name} mode tap"));
    bed.driver.ensure_running(connected.id).await.unwrap();
    bed.driver.ensure_absent(connected.id).await.unwrap();
    assert_eq!(devices(), running - 1);
    drop(bed);

    let mut bed = TestBed::new();
    let unconnected = MachineSpec { image, ..spec(2) };
    let guest = bed.ready(&unconnected).await;
    assert!(!reaches(&*guest, port).await);
    // Without a network, files are pushed whatever the image says; this server is reachable only
    // from the host.
    fetch(&*guest, &Tag("pushed".into()), b"#!/bin/sh\n").await;
    drop(guest);
    // The machine is connected from its next start, not earlier.
    bed.restart_on(Network::Bridge(BRIDGE.into()));
    let guest = bed.guest(&unconnected).await;
    wait_ready(&*guest).await;
    fetch(&*guest, &Tag("pushed-again".into()), b"#!/bin/sh\n").await;
}
