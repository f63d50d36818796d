//! The life of machines: the content of their disks, and recovery from crashes.

use cloudpc_drivers::{Driver, DriverError, MachineCondition, StopMode, Tag};
use cloudpc_model::{CloudPcId, Power};
use std::process::Command;
use std::time::Duration;

use crate::test_bed::{TestBed, images, spec, wait_for_condition, wait_ready, warm_spec};

const FILE: &str = "/var/lib/mark";

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_outlives_the_driver_and_a_reprovision_replaces_its_disk() {
    let mut bed = TestBed::new();
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
async fn a_machine_with_a_killed_process_is_off_and_starts_again() {
    let bed = TestBed::new();
    let spec = spec(1);
    let guest = bed.ready(&spec).await;
    guest.write_file(FILE, b"kept").await.unwrap();
    // A restore point of a running machine contains everything that the guest had written by then.
    let snapshot = cloudpc_model::SnapshotId::new(spec.id, uuid::Uuid::nil());
    bed.driver.ensure_snapshot(spec.id, &snapshot).await.unwrap();
    bed.signal(&spec, "-KILL");
    let off = async {
        while bed.driver.observe(spec.id).await.unwrap().power == Power::Running {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), off).await.expect("the exit of the process is detected");
    let not_ready = guest.read_file(FILE).await;
    assert!(matches!(not_ready, Err(cloudpc_drivers::GuestError::NotReady(_))), "{not_ready:?}");
    let guest = bed.boot(&spec).await;
    assert_eq!(guest.read_file(FILE).await.unwrap(), Some(b"kept".to_vec()), "the restore point has synced the file");
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().boots, 2);
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_guest_that_ignores_a_shutdown_is_stopped_by_force() {
    let bed = TestBed::new();
    let spec = spec(1);
    bed.ready(&spec).await;
    // QEMU itself does not respond.
    bed.signal(&spec, "-STOP");
    let started = std::time::Instant::now();
    bed.stop(&spec, StopMode::Graceful).await;
    assert!(started.elapsed() >= crate::test_bed::STOP_TIME_MAX, "the guest was given the full timeout");
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().power, Power::PoweredOff);

    // A forced stop does not wait for a graceful one.
    bed.driver.ensure_running(spec.id).await.unwrap();
    bed.signal(&spec, "-STOP");
    let started = std::time::Instant::now();
    let graceful = bed.driver.ensure_stopped(spec.id, StopMode::Graceful);
    let (graceful, forced) = tokio::join!(graceful, bed.driver.ensure_stopped(spec.id, StopMode::Force));
    graceful.and(forced).unwrap();
    assert!(started.elapsed() < crate::test_bed::STOP_TIME_MAX);
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_half_completed_restart_is_a_crash() {
    let bed = TestBed::new();
    let spec = crate::test_bed::warm_spec(1);
    bed.ready(&spec).await;
    let (base, moved) = (bed.machine(&spec).join("disk/base.qcow2"), bed.path().join("moved"));
    std::fs::rename(&base, &moved).unwrap();
    let restarted = bed.driver.ensure_restarted(spec.id, &Tag("restart".into())).await;
    assert!(matches!(restarted, Err(DriverError::Unavailable(_))), "{restarted:?}");
    let observed = bed.driver.observe(spec.id).await.unwrap();
    assert_eq!((observed.power, observed.condition), (Power::PoweredOff, Some(MachineCondition::Crashed)));
    std::fs::rename(&moved, &base).unwrap();
    bed.boot(&spec).await;
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().condition, None);
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_pauses_on_a_full_host_and_resumes_when_space_is_free() {
    let Some(mount) = Tmpfs::mount("100m") else { return };
    let bed = TestBed::in_folder(tempfile::tempdir_in(mount.0.path()).unwrap());
    let spec = spec(1);
    let guest = bed.ready(&spec).await;
    let tag = Tag("writes".into());
    let script = b"#!/bin/sh\ndd if=/dev/urandom of=/var/lib/much bs=1M count=16 && sync";
    crate::programs::fetch(&*guest, &tag, script).await;
    let filler = mount.0.path().join("filler");
    let full = std::io::copy(&mut std::io::repeat(0), &mut std::fs::File::create(&filler).unwrap()).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // The guest writes through to the disk, so that it detects the full host.
    let paused = async {
        while bed.status(&spec) != "io-error" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        ended = guest.run(&tag, &[]) => panic!("{ended:?}"),
        paused = tokio::time::timeout(Duration::from_secs(120), paused) => paused.expect("the machine pauses"),
    }
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().power, Power::Running);
    // On a full host no operation is started that needs space.
    let snapshot = cloudpc_model::SnapshotId::new(spec.id, uuid::Uuid::nil());
    let refused = bed.driver.ensure_snapshot(spec.id, &snapshot).await;
    assert!(matches!(&refused, Err(DriverError::Unavailable(why)) if why.contains("full")), "{refused:?}");
    let refused = bed.driver.ensure_restarted(spec.id, &Tag("restart".into())).await;
    assert!(matches!(&refused, Err(DriverError::Unavailable(why)) if why.contains("full")), "{refused:?}");
    assert_eq!(
        bed.driver.observe(spec.id).await.unwrap().power,
        Power::Running,
        "a refused restart must not stop the machine"
    );
    let other = crate::test_bed::spec(2);
    let refused = bed.driver.ensure_present(&other).await;
    assert!(matches!(&refused, Err(DriverError::Unavailable(why)) if why.contains("full")), "{refused:?}");
    wait_for_condition(&bed.driver, &spec, Some(MachineCondition::HostDiskFull)).await;
    std::fs::remove_file(filler).unwrap();
    wait_for_condition(&bed.driver, &spec, None).await;
    wait_ready(&*guest).await;
    assert_eq!(guest.run(&tag, &[]).await.unwrap().code, 0, "the paused program continues");
    bed.driver.ensure_snapshot(spec.id, &snapshot).await.unwrap();
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_silent_agent_is_reported_until_it_responds_again() {
    let bed = TestBed::with_guest_silence_max(Duration::from_secs(3));
    let spec = warm_spec(1);
    let guest = bed.ready(&spec).await;
    wait_for_condition(&bed.driver, &spec, None).await;
    let tag = Tag("pauses-agent".into());
    let script = b"#!/bin/sh\nagent=$(pidof qemu-ga)\nkill -STOP $agent\nsleep 15\nkill -CONT $agent";
    crate::programs::fetch(&*guest, &tag, script).await;
    tokio::select! {
        ended = guest.run(&tag, &[]) => panic!("{ended:?}"),
        () = wait_for_condition(&bed.driver, &spec, Some(MachineCondition::GuestSilent)) => {}
    }
    assert_eq!(bed.driver.observe(spec.id).await.unwrap().power, Power::Running);
    wait_for_condition(&bed.driver, &spec, None).await;
    assert_eq!(guest.run(&tag, &[]).await.unwrap().code, 0);
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_with_the_same_name_of_another_service_is_not_touched() {
    let (mut ours, theirs) = (TestBed::new(), TestBed::new());
    let spec = warm_spec(1);
    for bed in [&theirs, &ours] {
        bed.ready(&spec).await;
    }
    // The recorded pid is wrong, so the process has to be searched for, and the other one is found
    // first.
    std::fs::write(ours.machine(&spec).join("pid"), theirs.pid(&spec)).unwrap();
    ours.restart();
    ours.stop(&spec, StopMode::Force).await;
    assert_eq!(ours.driver.observe(spec.id).await.unwrap().power, Power::PoweredOff);
    assert_eq!(theirs.driver.observe(spec.id).await.unwrap().power, Power::Running);
    wait_ready(&*theirs.guest(&spec).await).await;
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn thirty_machines_are_created_concurrently() {
    let bed = TestBed::new();
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
async fn a_resize_is_visible_in_the_guest_and_an_oversized_machine_is_refused() {
    let bed = TestBed::new();
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

/// A file system of its own; none if mounting is not allowed.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir_in(crate::test_bed::folder()).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status();
        let mounted = mounted.is_ok_and(|status| status.success());
        if !mounted {
            crate::test_bed::not_run("mounting the small file system of this test requires root");
        }
        mounted.then(|| Self(folder))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
