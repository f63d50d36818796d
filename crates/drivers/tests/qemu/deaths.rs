//! QEMU is killed during each verb that uses it; the repeated verb succeeds.

use cloudpc_drivers::{Driver, DriverError, Guest, MachineSpec, StopMode, Tag};
use cloudpc_model::{Power, SnapshotId};
use futures_util::future::BoxFuture;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use uuid::Uuid;

use crate::test_bed::{TestBed, wait_for_condition, warm_spec};

const MARKER: &str = "/var/lib/mark";

/// Delays from the start of the verb to the kill.
const KILL_DELAYS: [Duration; 2] = [Duration::from_millis(15), Duration::from_millis(120)];

/// Number of kills that must have hit a process; a graceful stop and a restart always have one.
const KILLS_MIN: u32 = 3;

/// Maximum number of calls of a verb that fails because its QEMU was killed.
const CALLS_MAX: u32 = 3;

type Verb = for<'a> fn(&'a TestBed, &'a MachineSpec, &'a str) -> BoxFuture<'a, Result<(), DriverError>>;

/// Starts a verb, kills the machine's process during it, and repeats the verb until it succeeds.
async fn interrupted(bed: &TestBed, spec: &MachineSpec, name: &str, delay: Duration, verb: Verb) {
    let kill = async {
        tokio::time::sleep(delay).await;
        bed.kill_if_running(spec);
    };
    let (mut result, ()) = tokio::join!(verb(bed, spec, name), kill);
    for _ in 1..CALLS_MAX {
        if result.is_err() {
            result = verb(bed, spec, name).await;
        }
    }
    result.unwrap_or_else(|error| panic!("{name} after {delay:?}: {error}"));
}

/// Restarts a machine. A kill that came before the restart had begun leaves the machine off, and
/// the restart is refused until it is started.
async fn restart(bed: &TestBed, spec: &MachineSpec, name: &str) -> Result<(), DriverError> {
    let tag = Tag(name.into());
    match bed.driver.ensure_restarted(spec.id, &tag).await {
        Err(DriverError::Conflict(_)) if power(bed, spec).await == Power::PoweredOff => {
            bed.driver.ensure_running(spec.id).await?;
            bed.driver.ensure_restarted(spec.id, &tag).await
        }
        other => other,
    }
}

async fn power(bed: &TestBed, spec: &MachineSpec) -> Power {
    bed.driver.observe(spec.id).await.unwrap().power
}

async fn assert_marker(guest: &dyn Guest) {
    assert_eq!(guest.read_file(MARKER).await.unwrap(), Some(b"kept".to_vec()));
}

fn snapshot(spec: &MachineSpec, number: &str) -> SnapshotId {
    SnapshotId::new(spec.id, Uuid::from_u128(number.parse().unwrap()))
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_verb_interrupted_by_a_qemu_kill_succeeds_when_repeated() {
    let bed = TestBed::new();
    let spec = warm_spec(1);
    let guest = bed.ready(&spec).await;
    guest.write_file(MARKER, b"kept").await.unwrap();
    // A graceful shutdown writes the file to the disk.
    bed.stop(&spec, StopMode::Graceful).await;
    for delay in KILL_DELAYS {
        interrupted(&bed, &spec, "start", delay, |bed, spec, _| Box::pin(bed.driver.ensure_running(spec.id))).await;
        // A kill after the call returned leaves a condition; a kill before does not.
        bed.driver.ensure_running(spec.id).await.unwrap();
        assert_marker(&*bed.boot(&spec).await).await;
        let boots = bed.driver.observe(spec.id).await.unwrap().boots;

        let name = delay.as_millis().to_string();
        interrupted(&bed, &spec, &name, delay, |bed, spec, name| Box::pin(restart(bed, spec, name))).await;
        assert_marker(&*bed.boot(&spec).await).await;
        let more = bed.driver.observe(spec.id).await.unwrap().boots - boots;
        assert!((1..=2).contains(&more), "{more} boots");

        interrupted(&bed, &spec, &name, delay, |bed, spec, name| {
            Box::pin(async move { bed.driver.ensure_snapshot(spec.id, &snapshot(spec, name)).await })
        })
        .await;
        bed.driver.ensure_running(spec.id).await.unwrap();

        for how in [StopMode::Graceful, StopMode::Force] {
            bed.boot(&spec).await;
            interrupted(
                &bed,
                &spec,
                "stop",
                delay,
                match how {
                    StopMode::Graceful => {
                        |bed, spec, _| Box::pin(bed.driver.ensure_stopped(spec.id, StopMode::Graceful))
                    }
                    StopMode::Force => |bed, spec, _| Box::pin(bed.driver.ensure_stopped(spec.id, StopMode::Force)),
                },
            )
            .await;
            assert_eq!(power(&bed, &spec).await, Power::PoweredOff);
            wait_for_condition(&bed.driver, &spec, None).await;
        }
        // The restore point is complete, although the first attempt was interrupted.
        let tag = Tag(name.clone());
        bed.driver.ensure_disk_aside(spec.id, &tag).await.unwrap();
        bed.driver.ensure_disk_from_snapshot(spec.id, &snapshot(&spec, &name), &tag).await.unwrap();
        assert_marker(&*bed.boot(&spec).await).await;
        bed.stop(&spec, StopMode::Graceful).await;
    }
    bed.driver.ensure_running(spec.id).await.unwrap();
    interrupted(&bed, &spec, "destroy", Duration::from_millis(1), |bed, spec, _| {
        Box::pin(bed.driver.ensure_absent(spec.id))
    })
    .await;
    assert!(matches!(bed.driver.observe(spec.id).await, Err(DriverError::NotFound(_))));
    let kills = bed.kills.load(Relaxed);
    assert!(kills >= KILLS_MIN, "only {kills} kills hit a process");
}
