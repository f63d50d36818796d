//! Machines that live: what is on their disks, what becomes of them when something dies.

use cloudpc_drivers::{Driver, DriverError, MachineCondition, StopMode, Tag};
use cloudpc_model::{CloudPcId, Power};
use std::process::Command;
use std::time::Duration;

use crate::bed::{Bed, images, spec, wait_for_trouble, wait_ready, warm_spec};

const FILE: &str = "/var/lib/mark";

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_outlives_the_driver_and_a_reprovision_wipes_its_disk() {
    let mut bed = Bed::new();
    let (spec, tag) = (spec(1), Tag("action-1".into()));
    let guest = bed.ready(&spec).await;
    guest.write_file(FILE, b"before").await.unwrap();
    guest.enrol(&spec.hostname).await.unwrap();
    assert_eq!(
        guest.read_file("/proc/sys/kernel/hostname").await.unwrap(),
        Some(format!("{}\n", spec.hostname).into())
    );
    let boot_id = guest.read_file("/proc/sys/kernel/random/boot_id").await.unwrap();

    let pid = bed.pid(&spec);
    drop(guest);
    bed.restart();
    let guest = bed.guest(&spec).await;
    wait_ready(&*guest).await;
    assert_eq!(bed.pid(&spec), pid, "the same process");
    assert_eq!(guest.read_file("/proc/sys/kernel/random/boot_id").await.unwrap(), boot_id);
    assert_eq!(guest.read_file(FILE).await.unwrap(), Some(b"before".to_vec()));

    bed.stop(&spec, StopMode::Graceful).await;
    bed.driver.ensure_disk_aside(spec.id, &tag).await.unwrap();
    bed.driver.ensure_disk_from_image(&spec, &tag).await.unwrap();
    let guest = bed.boot(&spec).await;
    assert_eq!(guest.read_file(FILE).await.unwrap(), None);
    let observed = bed.driver.observe(spec.id).await.unwrap();
    assert_eq!((observed.power, observed.boots, observed.disk), (Power::Running, 2, Some(tag)));
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_whose_process_is_killed_is_off_and_starts_again() {
    let bed = Bed::new();
    let spec = spec(1);
    let guest = bed.ready(&spec).await;
    guest.write_file(FILE, b"kept").await.unwrap();
    // A restore point of a running machine has what the guest had written by then.
    let snapshot = cloudpc_model::SnapshotId::new(spec.id, uuid::Uuid::nil());
    bed.driver.ensure_snapshot(spec.id, &snapshot).await.unwrap();
    bed.signal(&spec, "-KILL");
    let off = async {
        while bed.driver.observe(spec.id).await.unwrap().power == Power::Running {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), off).await.expect("its end is seen");
    let not_ready = guest.read_file(FILE).await;
    assert!(matches!(not_ready, Err(cloudpc_drivers::GuestError::NotReady(_))), "{not_ready:?}");
    let guest = bed.boot(&spec).await;
    assert_eq!(guest.read_file(FILE).await.unwrap(), Some(b"kept".to_vec()), "the restore point has synced it");
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().boots, 2);
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_guest_that_does_not_hear_is_forced() {
    let bed = Bed::new();
    let spec = spec(1);
    bed.ready(&spec).await;
    // Not even QEMU answers.
    bed.signal(&spec, "-STOP");
    let begun = std::time::Instant::now();
    bed.stop(&spec, StopMode::Graceful).await;
    assert!(begun.elapsed() >= crate::bed::STOP_TIME_MAX, "it was given its time");
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().power, Power::PoweredOff);

    // Whoever wants it off at once does not wait for who asks politely.
    bed.driver.ensure_running(spec.id).await.unwrap();
    bed.signal(&spec, "-STOP");
    let begun = std::time::Instant::now();
    let polite = bed.driver.ensure_stopped(spec.id, StopMode::Graceful);
    let (polite, forced) = tokio::join!(polite, bed.driver.ensure_stopped(spec.id, StopMode::Force));
    polite.and(forced).unwrap();
    assert!(begun.elapsed() < crate::bed::STOP_TIME_MAX);
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_restart_of_which_half_has_failed_is_a_crash() {
    let bed = Bed::new();
    let spec = crate::bed::warm_spec(1);
    bed.ready(&spec).await;
    let (base, away) = (bed.machine(&spec).join("disk/base.qcow2"), bed.path().join("away"));
    std::fs::rename(&base, &away).unwrap();
    let restarted = bed.driver.ensure_restarted(spec.id, &Tag("restart".into())).await;
    assert!(matches!(restarted, Err(DriverError::Unavailable(_))), "{restarted:?}");
    let observed = bed.driver.observe(spec.id).await.unwrap();
    assert_eq!((observed.power, observed.condition), (Power::PoweredOff, Some(MachineCondition::Crashed)));
    std::fs::rename(&away, &base).unwrap();
    bed.boot(&spec).await;
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().condition, None);
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_stands_still_on_a_full_host_and_goes_on_when_there_is_room() {
    let Some(mount) = Tmpfs::mount("100m") else { return };
    let bed = Bed::in_folder(tempfile::tempdir_in(mount.0.path()).unwrap());
    let spec = spec(1);
    let guest = bed.ready(&spec).await;
    let tag = Tag("writes".into());
    let script = b"#!/bin/sh\ndd if=/dev/urandom of=/var/lib/much bs=1M count=16 && sync";
    crate::programs::fetched(&*guest, &tag, script).await;
    let filler = mount.0.path().join("filler");
    let full = std::io::copy(&mut std::io::repeat(0), &mut std::fs::File::create(&filler).unwrap()).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // Written through to the disk, so that it cannot but notice.
    let noticed = async {
        while bed.status(&spec) != "io-error" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        ended = guest.run(&tag, &[]) => panic!("{ended:?}"),
        noticed = tokio::time::timeout(Duration::from_secs(120), noticed) => noticed.expect("it stands still"),
    }
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().power, Power::Running);
    // On a full host nothing is begun that needs room.
    let snapshot = cloudpc_model::SnapshotId::new(spec.id, uuid::Uuid::nil());
    let refused = bed.driver.ensure_snapshot(spec.id, &snapshot).await;
    assert!(matches!(&refused, Err(DriverError::Unavailable(why)) if why.contains("full")), "{refused:?}");
    let refused = bed.driver.ensure_restarted(spec.id, &Tag("restart".into())).await;
    assert!(matches!(&refused, Err(DriverError::Unavailable(why)) if why.contains("full")), "{refused:?}");
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().power, Power::Running, "it was not stopped for it");
    let other = crate::bed::spec(2);
    let refused = bed.driver.ensure_present(&other).await;
    assert!(matches!(&refused, Err(DriverError::Unavailable(why)) if why.contains("full")), "{refused:?}");
    wait_for_trouble(&bed.driver, &spec, Some(MachineCondition::HostDiskFull)).await;
    std::fs::remove_file(filler).unwrap();
    wait_for_trouble(&bed.driver, &spec, None).await;
    wait_ready(&*guest).await;
    assert_eq!(guest.run(&tag, &[]).await.unwrap().code, 0, "what stood still has gone on");
    bed.driver.ensure_snapshot(spec.id, &snapshot).await.unwrap();
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_guest_whose_agent_is_silent_is_noticed_until_it_speaks_again() {
    let bed = Bed::impatient(Duration::from_secs(3));
    let spec = warm_spec(1);
    let guest = bed.ready(&spec).await;
    wait_for_trouble(&bed.driver, &spec, None).await;
    let tag = Tag("hushes".into());
    let script = b"#!/bin/sh\nagent=$(pidof qemu-ga)\nkill -STOP $agent\nsleep 15\nkill -CONT $agent";
    crate::programs::fetched(&*guest, &tag, script).await;
    tokio::select! {
        ended = guest.run(&tag, &[]) => panic!("{ended:?}"),
        () = wait_for_trouble(&bed.driver, &spec, Some(MachineCondition::GuestSilent)) => {}
    }
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().power, Power::Running);
    wait_for_trouble(&bed.driver, &spec, None).await;
    assert_eq!(guest.run(&tag, &[]).await.unwrap().code, 0);
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_of_another_service_with_the_same_name_is_left_alone() {
    let (mut ours, theirs) = (Bed::new(), Bed::new());
    let spec = warm_spec(1);
    for bed in [&theirs, &ours] {
        bed.ready(&spec).await;
    }
    // So that it has to be searched for, and the other is found first.
    std::fs::write(ours.machine(&spec).join("pid"), theirs.pid(&spec)).unwrap();
    ours.restart();
    ours.stop(&spec, StopMode::Force).await;
    assert_eq!(ours.driver.observe(spec.id).await.unwrap().power, Power::PoweredOff);
    assert_eq!(theirs.driver.observe(spec.id).await.unwrap().power, Power::Running);
    wait_ready(&*theirs.guest(&spec).await).await;
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn thirty_machines_are_made_at_once() {
    let bed = Bed::new();
    let specs: Vec<_> = (1..=30).map(spec).collect();
    let made = futures_util::future::join_all(specs.iter().map(|spec| bed.driver.ensure_present(spec))).await;
    assert_eq!(made.into_iter().filter_map(Result::err).collect::<Vec<_>>(), []);
    let tag = Tag("action-1".into());
    let copied = specs.iter().map(async |spec| {
        bed.driver.ensure_snapshot(spec.id, &cloudpc_model::SnapshotId::new(spec.id, uuid::Uuid::nil())).await?;
        bed.driver.ensure_disk_aside(spec.id, &tag).await?;
        bed.driver.ensure_disk_from_image(spec, &tag).await
    });
    let copied = futures_util::future::join_all(copied).await;
    assert_eq!(copied.into_iter().filter_map(Result::err).collect::<Vec<_>>(), []);
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_larger_machine_is_larger_inside_and_one_too_large_is_refused() {
    let bed = Bed::new();
    let small = spec(1);
    let free = bed.ready(&small).await.free_disk_bytes().await.unwrap();
    let large = cloudpc_drivers::MachineSpec { vcpu_count: 2, ram_gib: 2, storage_gib: 4, ..small.clone() };
    bed.stop(&small, StopMode::Graceful).await;
    bed.driver.ensure_size(&large).await.unwrap();
    let guest = bed.boot(&large).await;
    let grown = guest.free_disk_bytes().await.unwrap() - free;
    assert!(grown > (2 << 30) - (100 << 20), "{grown}");
    let read = async |path: &str| String::from_utf8(guest.read_file(path).await.unwrap().unwrap()).unwrap();
    assert_eq!(read("/sys/devices/system/cpu/online").await.trim(), "0-1");
    let memory: u64 = read("/proc/meminfo").await.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(memory > 1_800_000, "{memory} KiB");

    let huge = cloudpc_drivers::MachineSpec { id: CloudPcId(uuid::Uuid::nil()), ram_gib: 9, ..small };
    for refused in [bed.driver.check_size(&huge), bed.driver.ensure_present(&huge).await] {
        assert!(matches!(&refused, Err(DriverError::Rejected { code, .. }) if code == "hostTooSmall"), "{refused:?}");
    }
    assert!(images().has(&large.image));
}

/// A file system of its own; none where nobody may mount one.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir_in(crate::bed::folder()).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status();
        let mounted = mounted.is_ok_and(|status| status.success());
        if !mounted {
            crate::bed::not_run("only root may mount the small file system that a full host is tested with");
        }
        mounted.then(|| Self(folder))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
