//! Machines on a network, and machines on none. The host's own network is left alone: the test runs
//! again, by itself, in one of its own.

use cloudpc_drivers::qemu::Network;
use cloudpc_drivers::{Driver, Guest, MachineSpec, StopMode, Tag};
use std::path::Path;
use std::process::Command;

use crate::bed::{Bed, not_run, spec, wait_ready};
use crate::downloads::{self, image_that_downloads};
use crate::programs::fetched;

/// Set for the process that has a network of its own.
const INSIDE: &str = "CLOUDPC_TEST_NETWORK";

/// The test image's guests expect their way out here.
const HOST: &str = "10.0.2.2";

/// Where somebody else would be on the public internet. In a network of one's own it is the host,
/// too.
pub const PUBLIC: &str = "11.0.0.1";

const BRIDGE: &str = "cpc-test";

const TUN: &str = "/dev/net/tun";

/// Makes the devices of this network the ones that `/sys` shows, and the tap device one that only
/// root may open, as it is on a host without udev. Then becomes the program.
const ENTER: &str = r#"
mount -t sysfs none /sys
mount -t tmpfs none /dev/net
mknod -m 0600 /dev/net/tun c 10 200
: < /dev/net/tun
exec "$@"
"#;

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
    if !Path::new(TUN).exists() {
        return not_run("this host has no /dev/net/tun, which machines on a bridge need");
    }
    let enter = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-euc", ENTER, "sh"]).arg(program);
        command
    };
    if !enter(Path::new("true")).output().is_ok_and(|tried| tried.status.success()) {
        return not_run(
            "only root may make the network of its own that this test needs (unshare --net --mount, mknod)",
        );
    }
    let name = "network::a_machine_on_a_bridge_reaches_what_is_there_and_another_reaches_nothing";
    let mut again = enter(&std::env::current_exe().unwrap());
    again.args(["--ignored", "--exact", name]).env(INSIDE, "1");
    let output = again.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// How many descriptors of tap devices a process holds.
fn taps(pid: &str) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.unwrap().path()).ok());
    targets.filter(|target| target == Path::new(TUN)).count()
}

/// The one tap device that there is.
fn tap_name() -> String {
    let names = std::fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.into_string().ok()).find(|name| name.starts_with("cpc-") && name != BRIDGE).unwrap()
}

/// How many network devices there are.
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
        // Whoever has connected is let go at once.
        while listener.accept().await.is_ok() {}
    });

    let mut bed = Bed::on(Network::Bridge(BRIDGE.into()));
    let image = image_that_downloads();
    let with_way_out = MachineSpec { image: image.clone(), ..spec(1) };
    let guest = bed.ready(&with_way_out).await;
    assert!(reaches(&*guest, port).await);
    assert_eq!((taps(&bed.pid(&with_way_out)), taps("self")), (1, 0), "QEMU alone holds the device");
    drop(guest);
    bed.restart();
    assert!(reaches(&*bed.guest(&with_way_out).await, port).await, "the device outlives the service");
    downloads::check(&mut bed, &with_way_out, HOST).await;

    // A process that was killed has just let go of the device when the next one gets it.
    let running = devices();
    let name = tap_name();
    for _ in 0..5 {
        bed.kill_if_running(&with_way_out);
        bed.driver.ensure_running(with_way_out.id).await.unwrap();
        assert_eq!(devices(), running);
    }
    bed.stop(&with_way_out, StopMode::Force).await;
    assert_eq!(devices(), running - 1, "a machine that is off has none");
    // One that an earlier version has left behind is used, and goes with its machine.
    ip(&format!("tuntap add dev {name} mode tap"));
    bed.driver.ensure_running(with_way_out.id).await.unwrap();
    bed.driver.ensure_absent(with_way_out.id).await.unwrap();
    assert_eq!(devices(), running - 1);
    drop(bed);

    let mut bed = Bed::new();
    let without = MachineSpec { image, ..spec(2) };
    let guest = bed.ready(&without).await;
    assert!(!reaches(&*guest, port).await);
    // It has no network to download over, whatever its image says; this server is nowhere but on
    // the host.
    fetched(&*guest, &Tag("pushed".into()), b"#!/bin/sh\n").await;
    drop(guest);
    // Nor has it one before its next start, whatever its host has by now.
    bed.restart_on(Network::Bridge(BRIDGE.into()));
    let guest = bed.guest(&without).await;
    wait_ready(&*guest).await;
    fetched(&*guest, &Tag("pushed-again".into()), b"#!/bin/sh\n").await;
}
