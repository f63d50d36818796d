use super::*;
use crate::sim::tests::{Sim, agent, minutes, policy, spec};
use crate::sim::{FULL_DISK_FREE_BYTES, Pace, ScriptedCondition};
use crate::{Driver, StopMode};
use cloudpc_model::Clock;
use futures_util::FutureExt;

fn tag() -> Tag {
    Tag("action-1".into())
}

fn url() -> Url {
    agent().url.parse().unwrap()
}

async fn guest(sim: &Sim, condition: ScriptedCondition, artifact: Artifact) -> Box<dyn Guest> {
    sim.driver.configure(Pace::default(), vec![artifact]);
    sim.driver.seed(&spec(1), condition).unwrap();
    sim.driver.guest(spec(1).id).await.unwrap()
}

/// Downloads and runs the agent.
async fn deploy(guest: &dyn Guest) -> Result<ProgramExit, GuestError> {
    guest.reach(&url(), &policy()).await?;
    guest.fetch(&tag(), &url(), &policy()).await?;
    guest.run(&tag(), &["/quiet".into()]).await
}

#[tokio::test]
async fn an_agent_whose_installer_succeeds_is_installed_once() {
    let sim = Sim::new(1);
    let guest = guest(&sim, ScriptedCondition::default(), agent()).await;
    let start = sim.clock.now();
    guest.fetch(&tag(), &url(), &policy()).await.unwrap();
    let fetched = sim.clock.now();
    for _ in 0..2 {
        assert_eq!(guest.run(&tag(), &[]).await.unwrap().code, 0);
    }
    let took = sim.clock.now().since(fetched);
    assert!((minutes(1)..minutes(3)).contains(&took), "the installer ran once: {took:?}");
    let took = fetched.since(start).as_millis();
    assert!((22_500..=37_500).contains(&took), "{took}");
    let again = Tag("action-2".into());
    guest.fetch(&again, &url(), &policy()).await.unwrap();
    guest.run(&again, &[]).await.unwrap();
    assert_eq!(sim.driver.installed_agents(spec(1).id), ["agent.msi"]);
}

#[tokio::test]
async fn each_scripted_condition_has_its_effect() {
    let full = ScriptedCondition { disk_full: true, ..ScriptedCondition::default() };
    let cut_off = ScriptedCondition { no_network: true, ..ScriptedCondition::default() };
    let broken = ScriptedCondition { install_exit_code: Some(1603), ..ScriptedCondition::default() };

    let sim = Sim::new(1);
    let full = guest(&sim, full, agent()).await;
    assert_eq!(full.free_disk_bytes().await, Ok(FULL_DISK_FREE_BYTES));
    assert!(matches!(deploy(&*full).await, Err(GuestError::DiskFull(_))));

    let sim = Sim::new(1);
    let cut_off = guest(&sim, cut_off, agent()).await;
    assert!(matches!(cut_off.reach(&url(), &policy()).await, Err(GuestError::Unreachable(_))));
    assert!(matches!(cut_off.fetch(&tag(), &url(), &policy()).await, Err(GuestError::Unreachable(_))));
    assert!(matches!(cut_off.enrol("A").await, Err(GuestError::Unreachable(_))));

    let sim = Sim::new(1);
    let broken = guest(&sim, broken, agent()).await;
    assert_eq!(deploy(&*broken).await.unwrap().code, 1603);
    assert!(sim.driver.installed_agents(spec(1).id).is_empty());
}

#[tokio::test]
async fn a_hanging_guest_never_responds() {
    let sim = Sim::new(1);
    let guest = guest(&sim, ScriptedCondition { guest_hangs: true, ..ScriptedCondition::default() }, agent()).await;
    let mut wait = guest.wait_ready();
    for _ in 0..3 {
        assert!((&mut wait).now_or_never().is_none());
        sim.clock.0.advance(minutes(1_000)).await;
    }
    assert!(matches!(guest.free_disk_bytes().await, Err(GuestError::NotReady(_))));
}

#[tokio::test]
async fn wait_ready_waits_for_a_stopped_guest_to_start() {
    let sim = Sim::new(1);
    let guest = guest(&sim, ScriptedCondition::default(), agent()).await;
    sim.driver.ensure_stopped(spec(1).id, StopMode::Force).await.unwrap();
    let mut wait = guest.wait_ready();
    assert!((&mut wait).now_or_never().is_none());
    sim.clock.0.advance(minutes(1_000)).await;
    assert!((&mut wait).now_or_never().is_none());
    sim.driver.ensure_running(spec(1).id).await.unwrap();
    wait.await.unwrap();
}

#[tokio::test]
async fn a_declared_artifact_determines_what_the_guest_sees() {
    let sim = Sim::new(1);
    let page = Artifact { format: "html".into(), ..agent() };
    let page = guest(&sim, ScriptedCondition::default(), page).await;
    page.fetch(&tag(), &url(), &policy()).await.unwrap();
    assert_eq!(page.format(&tag()).await, Ok(FileFormat::Unknown));
    assert_eq!(page.run(&tag(), &[]).await.unwrap().code, BAD_FORMAT_EXIT_CODE);

    let sim = Sim::new(1);
    let failing = Artifact { exit_code: 5, install_ms: Some(1_000), ..agent() };
    let failing = guest(&sim, ScriptedCondition::default(), failing).await;
    failing.fetch(&tag(), &url(), &policy()).await.unwrap();
    let start = sim.clock.now();
    assert_eq!(failing.run(&tag(), &[]).await.unwrap().code, 5);
    assert!((750..=1250).contains(&sim.clock.now().since(start).as_millis()));

    let listed = FetchPolicy { allowed_urls: vec!["https://other.test/".into()], ..policy() };
    assert!(matches!(failing.reach(&url(), &listed).await, Err(GuestError::Unreachable(_))));
    assert!(matches!(failing.fetch(&tag(), &url(), &listed).await, Err(GuestError::FileNotFound(_))));
    let exact = FetchPolicy { size_bytes_max: agent().size_bytes, ..policy() };
    let less = FetchPolicy { size_bytes_max: agent().size_bytes - 1, ..policy() };
    let other = Tag("action-2".into());
    assert!(matches!(failing.fetch(&other, &url(), &less).await, Err(GuestError::FileNotFound(_))));
    assert_eq!(failing.fetch(&other, &url(), &exact).await, Ok(agent().size_bytes));
}

#[tokio::test]
async fn a_hanging_run_ends_when_killed_or_restarted() {
    let sim = Sim::new(1);
    let guest = guest(&sim, ScriptedCondition { install_hangs: true, ..ScriptedCondition::default() }, agent()).await;
    guest.fetch(&tag(), &url(), &policy()).await.unwrap();
    let one = tag();
    let mut run = guest.run(&one, &[]);
    assert!((&mut run).now_or_never().is_none());
    sim.clock.0.advance(minutes(1_000)).await;
    assert!((&mut run).now_or_never().is_none());
    guest.kill(&tag()).await.unwrap();
    assert_eq!(run.await.unwrap().code, 1);
    assert_eq!(guest.run(&tag(), &[]).await.unwrap().code, 1, "the exit code of a run is kept");

    guest.fetch(&Tag("2".into()), &url(), &policy()).await.unwrap();
    let two = Tag("2".into());
    let mut run = guest.run(&two, &[]);
    assert!((&mut run).now_or_never().is_none());
    sim.driver.ensure_stopped(spec(1).id, StopMode::Force).await.unwrap();
    assert!(matches!(run.await, Err(GuestError::NotReady(_))));
    assert!(sim.driver.installed_agents(spec(1).id).is_empty());
}

#[tokio::test]
async fn a_dropped_run_continues_and_the_next_process_joins_it() {
    let directory = tempfile::tempdir().unwrap();
    let sim = Sim::new(1);
    let sim = Sim::open(1, sim.clock, Some(directory.path()));
    let guest_1 = guest(&sim, ScriptedCondition::default(), agent()).await;
    guest_1.fetch(&tag(), &url(), &policy()).await.unwrap();
    let start = sim.clock.now();
    assert!(guest_1.run(&tag(), &[]).now_or_never().is_none());
    sim.clock.0.advance(minutes(1)).await;
    let next = Sim::open(2, sim.clock.clone(), Some(directory.path()));
    let guest_2 = guest(&next, ScriptedCondition::default(), agent()).await;
    assert_eq!(guest_2.run(&tag(), &[]).await.unwrap().code, 0);
    assert!((90..=150).contains(&sim.clock.now().since(start).as_secs()), "the duration of one run");
    assert_eq!(next.driver.installed_agents(spec(1).id), ["agent.msi"]);
    // A read applies and records what is due, so a clock that starts over elsewhere does not undo
    // it.
    let last = Sim::open(3, Sim::new(1).clock, Some(directory.path()));
    assert_eq!(last.driver.installed_agents(spec(1).id), ["agent.msi"]);
}

#[tokio::test]
async fn a_small_file_has_a_size_limit() {
    let sim = Sim::new(1);
    let guest = guest(&sim, ScriptedCondition::default(), agent()).await;
    guest.write_file("a", &vec![0; FILE_BYTES_MAX]).await.unwrap();
    assert!(guest.write_file("a", &vec![0; FILE_BYTES_MAX + 1]).await.is_err());
    assert_eq!(guest.read_file("a").await.unwrap().unwrap().len(), FILE_BYTES_MAX);
}
