use super::*;
use crate::conformance::{self, DriverUnderTest, Program};
use crate::sim::tests::{AutoAdvanceClock, Sim, agent, minutes, policy, spec};
use crate::sim::{Pace, SimClock};
use crate::{Aside, FileFormat, GuestError, Incident};
use cloudpc_model::{Clock, Power, Timestamp};
use proptest::prelude::*;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

#[tokio::test]
async fn a_reprovision_replaces_the_disk_and_its_undo_restores_it() {
    let sim = Sim::new(1);
    let (spec, tag) = (spec(1), Tag("action-1".into()));
    sim.driver.seed(&spec, ScriptedCondition::default()).unwrap();
    let guest = sim.driver.guest(spec.id).await.unwrap();
    guest.write_file("C:\\here", b"before").await.unwrap();

    let aside = sim.driver.ensure_disk_aside(spec.id, &tag).await;
    assert!(matches!(aside, Err(DriverError::Conflict(_))), "the machine is running: {aside:?}");
    sim.driver.ensure_stopped(spec.id, StopMode::Graceful).await.unwrap();
    sim.driver.ensure_disk_aside(spec.id, &tag).await.unwrap();
    let start = sim.driver.ensure_running(spec.id).await;
    assert!(matches!(start, Err(DriverError::Conflict(_))), "the machine has no disk: {start:?}");
    let image = MachineSpec { image: cloudpc_model::ImageId("a_b_new".into()), ..spec.clone() };
    let before = sim.clock.now();
    sim.driver.ensure_disk_from_image(&image, &tag).await.unwrap();
    let took = sim.clock.now().since(before);
    assert!((minutes(9)..=minutes(15)).contains(&took), "{took:?}");
    sim.driver.ensure_running(spec.id).await.unwrap();
    assert!(matches!(guest.read_file("C:\\here").await, Err(crate::GuestError::NotReady(_))));
    guest.wait_ready().await.unwrap();
    assert_eq!(guest.read_file("C:\\here").await, Ok(None));
    let observed = sim.driver.observe(spec.id).await.unwrap();
    // The size of the image, and of the six bytes written.
    let asides = vec![Aside { tag: tag.clone(), size_bytes: (32 << 30) + 6 }];
    assert_eq!(
        observed,
        Observed { power: Power::Running, boots: 2, spec: image, disk: Some(tag.clone()), asides, condition: None }
    );

    sim.driver.ensure_stopped(spec.id, StopMode::Force).await.unwrap();
    sim.driver.ensure_disk_back(spec.id, &tag).await.unwrap();
    sim.driver.ensure_running(spec.id).await.unwrap();
    guest.wait_ready().await.unwrap();
    assert_eq!(guest.read_file("C:\\here").await, Ok(Some(b"before".to_vec())));
    let observed = sim.driver.observe(spec.id).await.unwrap();
    assert_eq!(
        observed,
        Observed { power: Power::Running, boots: 3, spec, disk: None, asides: vec![], condition: None }
    );
}

/// A simulation stored on disk and reopened after each simulated crash.
struct OnDisk {
    directory: tempfile::TempDir,
    sim: Sim,
    crashes: u64,
}

#[async_trait]
impl DriverUnderTest for OnDisk {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.sim.driver.clone())
    }

    async fn restart(&mut self) {
        self.crashes += 1;
        self.sim = Sim::open(self.crashes, self.sim.clock.clone(), Some(self.directory.path()));
        self.sim.driver.configure(Pace::default(), vec![agent()]);
    }

    async fn inject(&self, id: CloudPcId, incident: Incident) {
        self.sim.driver.inject(id, incident).unwrap();
    }

    fn spec(&self, number: u32) -> MachineSpec {
        spec(number.into())
    }

    fn program(&self) -> Program {
        Program {
            url: agent().url.parse().unwrap(),
            policy: policy(),
            size_bytes: agent().size_bytes,
            sha256: [0xab; 32],
            format: FileFormat::Msi,
            arguments: vec!["/quiet".into()],
            detection: "agent --version".into(),
        }
    }

    fn image_source(&self) -> String {
        "https://images.contoso.test/windows-11.vhd".into()
    }
}

#[tokio::test]
async fn the_simulation_keeps_the_promises_of_a_driver() {
    let directory = tempfile::tempdir().unwrap();
    let clock = AutoAdvanceClock(SimClock::paused(Timestamp(1_000_000)));
    let sim = Sim::open(0, clock, Some(directory.path()));
    let mut subject = OnDisk { directory, sim, crashes: 0 };
    subject.restart().await;
    conformance::check(&mut subject).await.must_be_clean();
}

#[tokio::test]
async fn an_import_takes_its_time_and_survives_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let clock = AutoAdvanceClock(SimClock::paused(Timestamp(1_000_000)));
    let sim = Sim::open(1, clock.clone(), Some(directory.path()));
    let (image, source) = (ImageId("custom".into()), sim.driver.source_images().await.unwrap().remove(0).resource_id);
    let mut import = Box::pin(sim.driver.ensure_image(&image, &source));
    let begun = poll_fn(|context| Poll::Ready(import.as_mut().poll(context).is_pending())).await;
    drop(import);
    drop(sim);
    let sim = Sim::open(2, clock, Some(directory.path()));
    let (before, early) = (sim.clock.now(), sim.driver.check_image(&image).await);
    if begun {
        assert!(matches!(early, Err(DriverError::Rejected { .. })), "an image that is being imported: {early:?}");
    }
    sim.driver.ensure_image(&image, &source).await.unwrap();
    assert!(sim.clock.now().since(before) <= minutes(15), "the import that was begun continues");
    assert_eq!(sim.driver.check_image(&image).await, Ok(()));
    sim.driver.reset().unwrap();
    assert!(sim.driver.probe_image(&image).await.is_err(), "a reset forgets images");
}

/// A call in a random sequence on one machine.
#[derive(Clone, Debug)]
enum DriverCall {
    Present,
    Absent,
    Running,
    Stopped(bool),
    Restarted(u8),
    DiskAside(u8),
    DiskFromImage(u8),
    DiskFromSnapshot(u8, u8),
    DiskBack(u8),
    AsideDropped(u8),
    Size(u32),
    Snapshot(u8),
    SnapshotAbsent(u8),
    WriteFile(u8),
    Enrol(u8),
    Fetch(u8),
    Run(u8),
    Clean(u8),
}

fn driver_call() -> impl Strategy<Value = DriverCall> {
    let number = || 0u8..2;
    prop_oneof![
        1 => Just(DriverCall::Present),
        1 => prop::bool::weighted(0.2).prop_map(|absent| if absent { DriverCall::Absent } else { DriverCall::Present }),
        4 => Just(DriverCall::Running),
        4 => any::<bool>().prop_map(DriverCall::Stopped),
        1 => number().prop_map(DriverCall::Restarted),
        3 => number().prop_map(DriverCall::DiskAside),
        2 => number().prop_map(DriverCall::DiskFromImage),
        2 => (number(), number()).prop_map(|(snapshot, tag)| DriverCall::DiskFromSnapshot(snapshot, tag)),
        2 => number().prop_map(DriverCall::DiskBack),
        1 => number().prop_map(DriverCall::AsideDropped),
        1 => (127u32..131).prop_map(DriverCall::Size),
        1 => number().prop_map(DriverCall::Snapshot),
        1 => number().prop_map(DriverCall::SnapshotAbsent),
        2 => any::<u8>().prop_map(DriverCall::WriteFile),
        1 => number().prop_map(DriverCall::Enrol),
        2 => number().prop_map(DriverCall::Fetch),
        2 => number().prop_map(DriverCall::Run),
        1 => number().prop_map(DriverCall::Clean),
    ]
}

/// How the first attempt of a call is interrupted.
#[derive(Clone, Debug)]
struct Interruption {
    /// The await at which the first attempt is dropped.
    awaits: u32,
    crashes: bool,
}

impl DriverCall {
    async fn run(&self, sim: &Sim) -> Result<(), GuestError> {
        let (driver, id) = (&sim.driver, spec(1).id);
        let tag = |number: &u8| Tag(format!("action-{number}"));
        let snapshot = |number: &u8| SnapshotId(format!("point-{number}"));
        let how = |force: &bool| if *force { StopMode::Force } else { StopMode::Graceful };
        match self {
            Self::Present => driver.ensure_present(&spec(1)).await?,
            Self::Absent => driver.ensure_absent(id).await?,
            Self::Running => driver.ensure_running(id).await?,
            Self::Stopped(force) => driver.ensure_stopped(id, how(force)).await?,
            Self::Restarted(number) => driver.ensure_restarted(id, &tag(number)).await?,
            Self::DiskAside(number) => driver.ensure_disk_aside(id, &tag(number)).await?,
            Self::DiskFromImage(number) => driver.ensure_disk_from_image(&spec(1), &tag(number)).await?,
            Self::DiskFromSnapshot(of, number) => {
                driver.ensure_disk_from_snapshot(id, &snapshot(of), &tag(number)).await?;
            }
            Self::DiskBack(number) => driver.ensure_disk_back(id, &tag(number)).await?,
            Self::AsideDropped(number) => driver.ensure_aside_dropped(id, &tag(number)).await?,
            Self::Size(storage_gib) => {
                driver.ensure_size(&MachineSpec { storage_gib: *storage_gib, ..spec(1) }).await?
            }
            Self::Snapshot(number) => driver.ensure_snapshot(id, &snapshot(number)).await?,
            Self::SnapshotAbsent(number) => driver.ensure_snapshot_absent(id, &snapshot(number)).await?,
            Self::WriteFile(_) | Self::Enrol(_) | Self::Fetch(_) | Self::Run(_) | Self::Clean(_) => {
                let guest = driver.guest(id).await?;
                if driver.observe(id).await?.power == Power::Running {
                    guest.wait_ready().await?;
                }
                let url = agent().url.parse().unwrap();
                match self {
                    Self::WriteFile(content) => guest.write_file("C:\\file", &[*content]).await?,
                    Self::Enrol(number) => guest.enrol(&format!("CPC-{number}")).await?,
                    Self::Fetch(number) => drop(guest.fetch(&tag(number), &url, &policy()).await?),
                    Self::Run(number) => drop(guest.run(&tag(number), &[]).await?),
                    Self::Clean(number) => guest.clean(&tag(number)).await?,
                    _ => unreachable!("the others are the driver's"),
                }
            }
        }
        Ok(())
    }
}

/// Returns the machine, with its boot time cleared.
fn state(sim: &Sim) -> Option<Machine> {
    let mut machine = sim.driver.inner.lock().refresh(spec(1).id, sim.clock.now()).ok().cloned()?;
    machine.ready_at = Timestamp(0);
    Some(machine)
}

fn open(seed: u64, clock: AutoAdvanceClock, directory: Option<&Path>) -> Sim {
    let sim = Sim::open(seed, clock, directory);
    sim.driver.configure(Pace::default(), vec![agent()]);
    sim
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_repeated_call_ends_in_the_same_state_after_drops_and_crashes(
        calls in prop::collection::vec((driver_call(), 0u32..300, any::<bool>()), 1..25),
    ) {
        let calls = calls.into_iter().map(|(driver_call, awaits, crashes)| (driver_call, Interruption { awaits, crashes }));
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let clock = || AutoAdvanceClock(SimClock::paused(Timestamp(1_000_000)));
            let undisturbed = open(1, clock(), None);
            let mut interrupted = open(2, clock(), Some(directory.path()));
            for sim in [&undisturbed, &interrupted] {
                sim.driver.ensure_present(&spec(1)).await.unwrap();
            }
            for (driver_call, interruption) in calls {
                let expected = driver_call.run(&undisturbed).await;
                drop_after(interruption.awaits, driver_call.run(&interrupted)).await;
                if interruption.crashes {
                    interrupted = open(3, interrupted.clock.clone(), Some(directory.path()));
                }
                let found = driver_call.run(&interrupted).await;
                assert_eq!(found, expected, "{driver_call:?}");
                assert_eq!(state(&interrupted), state(&undisturbed), "after {driver_call:?}");
                // Another repetition has no effect.
                if found.is_ok() {
                    driver_call.run(&interrupted).await.unwrap();
                    assert_eq!(state(&interrupted), state(&undisturbed), "after {driver_call:?} again");
                }
            }
            // The state in memory equals the state on disk.
            let reopened = open(4, interrupted.clock.clone(), Some(directory.path()));
            assert_eq!(state(&reopened), state(&undisturbed));
        });
    }
}

/// Drops a future at an await, unless it completes before.
async fn drop_after(awaits: u32, future: impl Future) {
    let (mut future, mut remaining) = (Box::pin(future), awaits);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Pending if remaining > 0 => {
            remaining -= 1;
            Poll::Pending
        }
        _ => Poll::Ready(()),
    })
    .await;
}
