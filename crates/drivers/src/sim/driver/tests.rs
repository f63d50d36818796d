use super::*;
use crate::conformance::{self, Program, Subject};
use crate::sim::tests::{HastyClock, Sim, agent, minutes, policy, spec};
use crate::sim::{Pace, SimClock};
use crate::{Aside, FileFormat, GuestError, Incident};
use cloudpc_model::{Clock, Power, Timestamp};
use proptest::prelude::*;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

#[tokio::test]
async fn a_reprovision_replaces_the_disk_and_its_undo_brings_it_back() {
    let sim = Sim::new(1);
    let (spec, tag) = (spec(1), Tag("action-1".into()));
    sim.driver.seed(&spec, ScriptedCondition::default()).unwrap();
    let guest = sim.driver.guest(spec.id).await.unwrap();
    guest.write_file("C:\\here", b"before").await.unwrap();

    let aside = sim.driver.ensure_disk_aside(spec.id, &tag).await;
    assert!(matches!(aside, Err(DriverError::Conflict(_))), "the machine runs: {aside:?}");
    sim.driver.ensure_stopped(spec.id, StopMode::Graceful).await.unwrap();
    sim.driver.ensure_disk_aside(spec.id, &tag).await.unwrap();
    let start = sim.driver.ensure_running(spec.id).await;
    assert!(matches!(start, Err(DriverError::Conflict(_))), "there is no disk: {start:?}");
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
    // What the image takes, and the six bytes that were written.
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

/// A simulation on disk, opened anew at each death.
struct OnDisk {
    directory: tempfile::TempDir,
    sim: Sim,
    deaths: u64,
}

#[async_trait]
impl Subject for OnDisk {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.sim.driver.clone())
    }

    async fn restart(&mut self) {
        self.deaths += 1;
        self.sim = Sim::open(self.deaths, self.sim.clock.clone(), Some(self.directory.path()));
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
}

#[tokio::test]
async fn the_simulation_keeps_the_promises_of_a_driver() {
    let directory = tempfile::tempdir().unwrap();
    let clock = HastyClock(SimClock::paused(Timestamp(1_000_000)));
    let sim = Sim::open(0, clock, Some(directory.path()));
    let mut subject = OnDisk { directory, sim, deaths: 0 };
    subject.restart().await;
    conformance::check(&mut subject).await.must_be_clean();
}

/// Something done to the one machine of a walk.
#[derive(Clone, Debug)]
enum Act {
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

fn act() -> impl Strategy<Value = Act> {
    let number = || 0u8..2;
    prop_oneof![
        1 => Just(Act::Present),
        1 => prop::bool::weighted(0.2).prop_map(|absent| if absent { Act::Absent } else { Act::Present }),
        4 => Just(Act::Running),
        4 => any::<bool>().prop_map(Act::Stopped),
        1 => number().prop_map(Act::Restarted),
        3 => number().prop_map(Act::DiskAside),
        2 => number().prop_map(Act::DiskFromImage),
        2 => (number(), number()).prop_map(|(snapshot, tag)| Act::DiskFromSnapshot(snapshot, tag)),
        2 => number().prop_map(Act::DiskBack),
        1 => number().prop_map(Act::AsideDropped),
        1 => (127u32..131).prop_map(Act::Size),
        1 => number().prop_map(Act::Snapshot),
        1 => number().prop_map(Act::SnapshotAbsent),
        2 => any::<u8>().prop_map(Act::WriteFile),
        1 => number().prop_map(Act::Enrol),
        2 => number().prop_map(Act::Fetch),
        2 => number().prop_map(Act::Run),
        1 => number().prop_map(Act::Clean),
    ]
}

/// How a call goes in the simulation that has no luck.
#[derive(Clone, Debug)]
struct Luck {
    /// At which await the first call is dropped.
    awaits: u32,
    dies: bool,
}

impl Act {
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

/// The machine, but for when it booted.
fn state(sim: &Sim) -> Option<Machine> {
    let mut machine = sim.driver.inner.lock().look(spec(1).id, sim.clock.now()).ok().cloned()?;
    machine.ready_at = Timestamp(0);
    Some(machine)
}

fn opened(seed: u64, clock: HastyClock, directory: Option<&Path>) -> Sim {
    let sim = Sim::open(seed, clock, directory);
    sim.driver.configure(Pace::default(), vec![agent()]);
    sim
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn calls_that_are_dropped_and_processes_that_die_change_nothing_once_the_call_was_repeated(
        walk in prop::collection::vec((act(), 0u32..300, any::<bool>()), 1..25),
    ) {
        let walk = walk.into_iter().map(|(act, awaits, dies)| (act, Luck { awaits, dies }));
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let clock = || HastyClock(SimClock::paused(Timestamp(1_000_000)));
            let lucky = opened(1, clock(), None);
            let mut unlucky = opened(2, clock(), Some(directory.path()));
            for sim in [&lucky, &unlucky] {
                sim.driver.ensure_present(&spec(1)).await.unwrap();
            }
            for (act, luck) in walk {
                let expected = act.run(&lucky).await;
                drop_after(luck.awaits, act.run(&unlucky)).await;
                if luck.dies {
                    unlucky = opened(3, unlucky.clock.clone(), Some(directory.path()));
                }
                let found = act.run(&unlucky).await;
                assert_eq!(found, expected, "{act:?}");
                assert_eq!(state(&unlucky), state(&lucky), "after {act:?}");
                // Once more, it has no effect.
                if found.is_ok() {
                    act.run(&unlucky).await.unwrap();
                    assert_eq!(state(&unlucky), state(&lucky), "after {act:?} again");
                }
            }
            // What was read is what is on disk.
            let reopened = opened(4, unlucky.clock.clone(), Some(directory.path()));
            assert_eq!(state(&reopened), state(&lucky));
        });
    }
}

/// Drops a future at an await, unless it ends before.
async fn drop_after(awaits: u32, future: impl Future) {
    let (mut future, mut left) = (Box::pin(future), awaits);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Pending if left > 0 => {
            left -= 1;
            Poll::Pending
        }
        _ => Poll::Ready(()),
    })
    .await;
}
