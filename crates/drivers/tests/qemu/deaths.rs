//! A QEMU that is killed in the middle of each verb that it has a part in: the verb, called again,
//! ends as promised.

use cloudpc_drivers::{Driver, DriverError, Guest, MachineSpec, StopMode, Tag};
use cloudpc_model::{Power, SnapshotId};
use futures_util::future::BoxFuture;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use uuid::Uuid;

use crate::bed::{Bed, wait_for_trouble, warm_spec};

const MARK: &str = "/var/lib/mark";

/// When it is killed, from the beginning of the verb.
const MOMENTS: [Duration; 2] = [Duration::from_millis(15), Duration::from_millis(120)];

/// So many of the kills have to find a process; a graceful stop and a restart always have one.
const KILLS_MIN: u32 = 3;

/// A call that fails because its QEMU has died may be made again so often.
const CALLS_MAX: u32 = 3;

type Verb = for<'a> fn(&'a Bed, &'a MachineSpec, &'a str) -> BoxFuture<'a, Result<(), DriverError>>;

/// Begins a verb, kills the machine's process in the middle, and calls the verb until it has had
/// its effect.
async fn struck(bed: &Bed, spec: &MachineSpec, name: &str, moment: Duration, verb: Verb) {
    let kill = async {
        tokio::time::sleep(moment).await;
        bed.kill_if_running(spec);
    };
    let (mut called, ()) = tokio::join!(verb(bed, spec, name), kill);
    for _ in 1..CALLS_MAX {
        if called.is_err() {
            called = verb(bed, spec, name).await;
        }
    }
    called.unwrap_or_else(|error| panic!("{name} after {moment:?}: {error}"));
}

async fn power(bed: &Bed, spec: &MachineSpec) -> Power {
    bed.driver.observe(spec.id).await.unwrap().power
}

async fn must_have_mark(guest: &dyn Guest) {
    assert_eq!(guest.read_file(MARK).await.unwrap(), Some(b"kept".to_vec()));
}

fn snapshot(spec: &MachineSpec, number: &str) -> SnapshotId {
    SnapshotId::new(spec.id, Uuid::from_u128(number.parse().unwrap()))
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_verb_whose_qemu_is_killed_has_its_effect_when_called_again() {
    let bed = Bed::new();
    let spec = warm_spec(1);
    let guest = bed.ready(&spec).await;
    guest.write_file(MARK, b"kept").await.unwrap();
    // Shutting down brings it to the disk.
    bed.stop(&spec, StopMode::Graceful).await;
    for moment in MOMENTS {
        struck(&bed, &spec, "start", moment, |bed, spec, _| Box::pin(bed.driver.ensure_running(spec.id))).await;
        // Whatever was killed after the call had returned is trouble, and what was killed before is
        // not.
        bed.driver.ensure_running(spec.id).await.unwrap();
        must_have_mark(&*bed.boot(&spec).await).await;
        let boots = bed.driver.observe(spec.id).await.unwrap().boots;

        let name = moment.as_millis().to_string();
        struck(&bed, &spec, &name, moment, |bed, spec, name| {
            Box::pin(async move { bed.driver.ensure_restarted(spec.id, &Tag(name.into())).await })
        })
        .await;
        must_have_mark(&*bed.boot(&spec).await).await;
        let more = bed.driver.observe(spec.id).await.unwrap().boots - boots;
        assert!((1..=2).contains(&more), "{more} boots");

        struck(&bed, &spec, &name, moment, |bed, spec, name| {
            Box::pin(async move { bed.driver.ensure_snapshot(spec.id, &snapshot(spec, name)).await })
        })
        .await;
        bed.driver.ensure_running(spec.id).await.unwrap();

        for how in [StopMode::Graceful, StopMode::Force] {
            bed.boot(&spec).await;
            struck(
                &bed,
                &spec,
                "stop",
                moment,
                match how {
                    StopMode::Graceful => {
                        |bed, spec, _| Box::pin(bed.driver.ensure_stopped(spec.id, StopMode::Graceful))
                    }
                    StopMode::Force => |bed, spec, _| Box::pin(bed.driver.ensure_stopped(spec.id, StopMode::Force)),
                },
            )
            .await;
            assert_eq!(power(&bed, &spec).await, Power::PoweredOff);
            wait_for_trouble(&bed.driver, &spec, None).await;
        }
        // The restore point is whole, however it came to be.
        let tag = Tag(name.clone());
        bed.driver.ensure_disk_aside(spec.id, &tag).await.unwrap();
        bed.driver.ensure_disk_from_snapshot(spec.id, &snapshot(&spec, &name), &tag).await.unwrap();
        must_have_mark(&*bed.boot(&spec).await).await;
        bed.stop(&spec, StopMode::Graceful).await;
    }
    bed.driver.ensure_running(spec.id).await.unwrap();
    struck(&bed, &spec, "destroy", Duration::from_millis(1), |bed, spec, _| {
        Box::pin(bed.driver.ensure_absent(spec.id))
    })
    .await;
    assert!(matches!(bed.driver.observe(spec.id).await, Err(DriverError::NotFound(_))));
    let killed = bed.killed.load(Relaxed);
    assert!(killed >= KILLS_MIN, "only {killed} verbs were struck");
}
