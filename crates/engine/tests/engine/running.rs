//! Running actions: temporary errors, panics, two engines, limits, shutdown and start.

use async_trait::async_trait;
use cloudpc_drivers::sim::{ScriptedCondition, SimDriver};
use cloudpc_drivers::{
    Capabilities, Display, Driver, DriverError, Guest, ImageFacts, MachineSpec, NetworkCheck, NetworkFinding, Observed,
    SourceImage, StopMode, Tag,
};
use cloudpc_engine::{Effect, Engine, EngineDependencies, EngineSettings, FaultRule};
use cloudpc_model::{ActionId, Clock, CloudPcId, CloudPcStatus, EventKind, ImageId, Params, Power, SnapshotId, State};
use futures_util::stream::BoxStream;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::world::{START, TestEngine, UNDO_WINDOW, asked, big, rule, settings};

/// Scripted result of the next call of `ensure_running`, `ensure_aside_dropped` or `check_size`.
enum CallScript {
    Obey,
    Panic,
    Fail(DriverError),
}

/// A simulated driver with scripted results.
struct ScriptedDriver {
    sim: SimDriver,
    scripts: Mutex<VecDeque<CallScript>>,
}

impl ScriptedDriver {
    fn run_script(&self) -> Result<(), DriverError> {
        let run_script = self.scripts.lock().unwrap().pop_front();
        match run_script {
            Some(CallScript::Panic) => panic!("a scripted panic"),
            Some(CallScript::Fail(error)) => Err(error),
            Some(CallScript::Obey) | None => Ok(()),
        }
    }
}

#[async_trait]
impl Driver for ScriptedDriver {
    fn capabilities(&self, spec: &MachineSpec) -> Capabilities {
        self.sim.capabilities(spec)
    }
    async fn check_image(&self, image: &ImageId) -> Result<(), DriverError> {
        self.sim.check_image(image).await
    }
    async fn source_images(&self) -> Result<Vec<SourceImage>, DriverError> {
        self.sim.source_images().await
    }
    async fn check_source(&self, source: &str) -> Result<SourceImage, DriverError> {
        self.sim.check_source(source).await
    }
    async fn ensure_image(&self, image: &ImageId, source: &str) -> Result<(), DriverError> {
        self.sim.ensure_image(image, source).await
    }
    async fn probe_image(&self, image: &ImageId) -> Result<ImageFacts, DriverError> {
        self.sim.probe_image(image).await
    }
    async fn ensure_image_absent(&self, image: &ImageId) -> Result<(), DriverError> {
        self.sim.ensure_image_absent(image).await
    }
    fn check_size(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        self.run_script()?;
        self.sim.check_size(spec)
    }
    async fn check_network(&self, check: &NetworkCheck) -> Result<NetworkFinding, DriverError> {
        self.sim.check_network(check).await
    }
    async fn observe(&self, id: CloudPcId) -> Result<Observed, DriverError> {
        self.sim.observe(id).await
    }
    async fn ensure_present(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        self.sim.ensure_present(spec).await
    }
    async fn ensure_absent(&self, id: CloudPcId) -> Result<(), DriverError> {
        self.sim.ensure_absent(id).await
    }
    async fn ensure_running(&self, id: CloudPcId) -> Result<(), DriverError> {
        self.run_script()?;
        self.sim.ensure_running(id).await
    }
    async fn ensure_stopped(&self, id: CloudPcId, how: StopMode) -> Result<(), DriverError> {
        self.sim.ensure_stopped(id, how).await
    }
    async fn ensure_restarted(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        self.sim.ensure_restarted(id, tag).await
    }
    async fn ensure_disk_aside(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        self.sim.ensure_disk_aside(id, tag).await
    }
    async fn ensure_disk_from_image(&self, spec: &MachineSpec, tag: &Tag) -> Result<(), DriverError> {
        self.sim.ensure_disk_from_image(spec, tag).await
    }
    async fn ensure_disk_from_snapshot(&self, id: CloudPcId, of: &SnapshotId, tag: &Tag) -> Result<(), DriverError> {
        self.sim.ensure_disk_from_snapshot(id, of, tag).await
    }
    async fn ensure_disk_back(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        self.sim.ensure_disk_back(id, tag).await
    }
    async fn ensure_aside_dropped(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        self.run_script()?;
        self.sim.ensure_aside_dropped(id, tag).await
    }
    async fn ensure_size(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        self.sim.ensure_size(spec).await
    }
    async fn ensure_snapshot(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError> {
        self.sim.ensure_snapshot(id, snapshot).await
    }
    async fn ensure_snapshot_absent(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError> {
        self.sim.ensure_snapshot_absent(id, snapshot).await
    }
    async fn guest(&self, id: CloudPcId) -> Result<Box<dyn Guest>, DriverError> {
        self.sim.guest(id).await
    }
    async fn display(&self, id: CloudPcId) -> Result<Box<dyn Display>, DriverError> {
        self.sim.display(id).await
    }
    async fn screenshot(&self, id: CloudPcId) -> Result<Vec<u8>, DriverError> {
        self.sim.screenshot(id).await
    }
    fn watch(&self) -> BoxStream<'static, CloudPcId> {
        self.sim.watch()
    }
    async fn list(&self) -> Result<Vec<CloudPcId>, DriverError> {
        self.sim.list().await
    }
}

/// Returns an engine whose only machine is off as intended and is being powered on by a scripted
/// driver.
async fn power_on_scripted(scripts: Vec<CallScript>) -> (TestEngine, CloudPcId, ActionId) {
    power_on_intended(Power::PoweredOff, scripts).await
}

/// Like [`power_on_scripted`], with another intended power state.
async fn power_on_intended(intended: Power, scripts: Vec<CallScript>) -> (TestEngine, CloudPcId, ActionId) {
    let mut world = TestEngine::new(1).await;
    let id = world.add(1, ScriptedCondition::default()).await;
    let sim = world.driver.clone();
    let clock = world.clock.clone();
    let stopped = tokio::spawn(async move { sim.ensure_stopped(id, StopMode::Force).await });
    clock.advance(Duration::from_secs(1)).await;
    stopped.await.unwrap().unwrap();
    world.update(id, move |cloud_pc| cloud_pc.power_intended = intended).await;
    start_scripted(&mut world, scripts);
    let action = world.engine.request(&asked(), id, Params::PowerOn).await.unwrap();
    (world, id, action)
}

/// Starts an engine with a scripted driver.
fn start_scripted(world: &mut TestEngine, scripts: Vec<CallScript>) {
    world.engine = Engine::new(EngineDependencies {
        store: world.store.clone(),
        driver: Arc::new(ScriptedDriver { sim: world.driver.clone(), scripts: Mutex::new(scripts.into()) }),
        clock: Arc::new(world.clock.clone()),
        rng: Arc::clone(&world.rng) as Arc<dyn cloudpc_model::Rng>,
        faults: Arc::clone(&world.faults),
        settings: world.settings.clone(),
    });
    world.start();
}

/// Provisions a Cloud PC on a host that has no room for this many attempts to start its machine.
async fn provision_on_full_host(attempts: usize) -> (TestEngine, CloudPcId, ActionId) {
    let mut world = TestEngine::new(1).await;
    let id = world.add_without_machine(1).await;
    // The first call checks the size.
    start_scripted(&mut world, std::iter::once(CallScript::Obey).chain((0..attempts).map(|_| unavailable())).collect());
    let action = world.provision(id).await;
    (world, id, action)
}

#[tokio::test]
async fn provisioning_waits_for_room_and_says_so() {
    let (mut world, id, action) = provision_on_full_host(20).await;
    let waiting = world.until(action, |action| action.step("start").is_some_and(|step| step.attempts == 10)).await;
    let message = waiting.step("start").unwrap().message.clone();
    assert_eq!(message.as_deref(), Some("the machine's host is unavailable: its host reboots"));
    assert_eq!(world.cloud_pc(id).await.status, CloudPcStatus::Provisioning);
    let ended = world.end(action).await;
    assert_eq!((ended.state, ended.step("start").unwrap().attempts), (State::Done, 21));
    assert_eq!(world.cloud_pc(id).await.status, CloudPcStatus::Provisioned);
}

#[tokio::test]
async fn provisioning_waits_for_room_until_its_deadline_and_leaves_no_machine() {
    let (mut world, id, action) = provision_on_full_host(10_000).await;
    let ended = world.end(action).await;
    assert_eq!(ended.state, State::Failed);
    let detail = world.cloud_pc(id).await.status_detail.unwrap();
    assert_eq!(detail.code, "actionTimeout");
    assert!(
        detail.message.ends_with("while step 'start' was waiting: the machine's host is unavailable: its host reboots")
    );
    assert!(matches!(world.driver.observe(id).await, Err(DriverError::NotFound(_))));
}

fn unavailable() -> CallScript {
    CallScript::Fail(DriverError::Unavailable("its host reboots".into()))
}

#[tokio::test]
async fn temporary_errors_are_retried_with_exponential_backoff() {
    let (mut world, _, action) = power_on_scripted((0..4).map(|_| unavailable()).collect()).await;
    let ended = world.end(action).await;
    assert_eq!(ended.state, State::Done);
    assert_eq!(ended.step("start").unwrap().attempts, 5);
    let pauses: Vec<_> = (world.events(action).await.iter())
        .filter_map(|event| match &event.kind {
            EventKind::StepRetried { due_at, .. } => Some(due_at.since(event.at).as_secs_f32()),
            _ => None,
        })
        .collect();
    for (pause, mean) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert!((mean * 0.75..=mean * 1.25).contains(pause), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 4);
}

#[tokio::test]
async fn persistent_errors_fail_the_action() {
    let (mut world, id, action) = power_on_scripted((0..5).map(|_| unavailable()).collect()).await;
    let ended = world.end(action).await;
    assert_eq!(ended.state, State::Failed);
    insta::assert_snapshot!(ended.failure().unwrap().message, @"the machine's host is unavailable: its host reboots (after 5 attempts).");
    assert_eq!(world.cloud_pc(id).await.power_observed, Power::PoweredOff);
}

/// More undo attempts would not help: the health check requests another start.
#[tokio::test]
async fn failed_start_of_a_machine_intended_to_run_is_not_stuck() {
    let (mut world, id, action) = power_on_intended(Power::Running, (0..20).map(|_| unavailable()).collect()).await;
    let ended = world.end(action).await;
    assert_eq!((ended.state, ended.step("start").unwrap().attempts), (State::Failed, 5));
    assert_eq!(world.cloud_pc(id).await.power_intended, Power::Running);
}

#[tokio::test]
async fn panic_fails_the_attempt_and_not_the_process() {
    let (mut world, _, action) = power_on_scripted(vec![CallScript::Panic]).await;
    let ended = world.end(action).await;
    assert_eq!((ended.state, ended.step("start").unwrap().attempts), (State::Done, 2));
}

#[tokio::test]
async fn rejection_is_not_retried_and_keeps_its_code() {
    let refused = DriverError::Rejected { code: "quotaExceeded".into(), message: "No host has room.".into() };
    let (mut world, _, action) = power_on_scripted(vec![CallScript::Fail(refused)]).await;
    let ended = world.end(action).await;
    let failure = ended.failure().unwrap();
    assert_eq!((ended.state, &*failure.code, &*failure.message), (State::Failed, "quotaExceeded", "No host has room."));
    assert_eq!(ended.step("start").unwrap().attempts, 1);
}

#[tokio::test]
async fn unsupported_size_fails_before_the_machine_stops() {
    let refused = DriverError::Rejected { code: "hostTooSmall".into(), message: "It has 2 GiB.".into() };
    let (mut world, id, action) =
        power_on_scripted(vec![CallScript::Obey, CallScript::Obey, CallScript::Fail(refused)]).await;
    assert_eq!(world.end(action).await.state, State::Done);
    let resize = Params::Resize { target_service_plan_id: big() };
    let resize = world.engine.request(&asked(), id, resize).await.unwrap();
    let ended = world.end(resize).await;
    let failure = ended.failure().unwrap();
    assert_eq!((ended.state, &*failure.code, &*failure.message), (State::Failed, "hostTooSmall", "It has 2 GiB."));
    assert!(ended.step("stop").is_none(), "{ended:?}");
    assert_eq!(world.cloud_pc(id).await.power_observed, Power::Running);
}

#[tokio::test]
async fn unknown_outcome_makes_the_power_unknown_until_the_retry() {
    let (mut world, id, action) =
        power_on_scripted(vec![CallScript::Fail(DriverError::OutcomeUnknown("lost".into()))]).await;
    world.faults.add(FaultRule { step: Some("start".into()), nth: Some(2), ..rule(Effect::SlowDown { by_ms: 10 }) });
    world.until(action, |action| action.step("start").is_some_and(|step| step.attempts == 2)).await;
    assert_eq!(world.cloud_pc(id).await.power_observed, Power::Unknown);
    assert_eq!(world.end(action).await.state, State::Done);
    assert_eq!(world.cloud_pc(id).await.power_observed, Power::Running);
}

#[tokio::test]
async fn failed_old_disk_cleanup_is_retried() {
    let (mut world, id, action) =
        power_on_scripted(vec![CallScript::Obey, CallScript::Obey, unavailable(), CallScript::Panic]).await;
    assert_eq!(world.end(action).await.state, State::Done);
    let reprovision = Params::Reprovision { os_version: None, user_account_type: None, image_id: None };
    let reprovision = world.engine.request(&asked(), id, reprovision).await.unwrap();
    assert_eq!(world.end(reprovision).await.state, State::Done);
    world.advance(UNDO_WINDOW).await;
    assert_eq!(world.asides(id).await, [world.tag(reprovision).await.0], "the host did not respond");
    assert_eq!(
        world.engine.undo(&asked(), id).await.unwrap_err().code,
        "undoWindowPassed",
        "although the window has expired"
    );
    // The pause after a failure, the timeout of an attempt, and the drop.
    world.advance(Duration::from_secs(300 + 600 + 60)).await;
    assert_eq!(world.asides(id).await, [""; 0]);
    assert_eq!(world.change(|tx| tx.undo_record_next_due()).await, None, "nothing is left to do");
}

#[tokio::test]
async fn two_engines_share_the_work_without_duplicates() {
    let mut world = TestEngine::new(1).await;
    let mut ids = Vec::new();
    for number in 1..=20 {
        ids.push(world.add(number, ScriptedCondition::default()).await);
    }
    world.start();
    world.start_another();
    let mut actions = Vec::new();
    for id in &ids {
        actions.push(world.engine.request(&asked(), *id, Params::Reboot).await.unwrap());
    }
    world.idle().await;
    for (id, action) in ids.iter().zip(actions) {
        assert_eq!(world.action(action).await.state, State::Done);
        assert_eq!(world.driver.observe(*id).await.unwrap().boots, 2);
        world.check_log(action).await;
    }
}

#[tokio::test]
async fn concurrent_actions_stay_within_the_limit() {
    let mut world = TestEngine::with(1, EngineSettings { running_max: 3, ..settings() }).await;
    for number in 1..=10 {
        let id = world.add(number, ScriptedCondition::default()).await;
        world.engine.request(&asked(), id, Params::Reboot).await.unwrap();
    }
    world.start();
    let mut most = 0;
    world.rest().await;
    loop {
        let mut running = 0;
        for number in 1..=10 {
            running += usize::from(world.action(ActionId(number)).await.state == State::Running);
        }
        most = most.max(running);
        if !world.tick().await {
            break;
        }
    }
    assert_eq!(most, 3);
    assert_eq!(world.change(|tx| tx.action_open_count()).await, 0);
}

#[tokio::test]
async fn stopping_engine_finishes_its_step_and_releases_the_action() {
    let mut world = TestEngine::new(1).await;
    let id = world.add(1, ScriptedCondition::default()).await;
    let (engine, stop) = (world.engine.clone(), CancellationToken::new());
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { engine.run(stop).await }
    });
    let action = world.engine.request(&asked(), id, Params::Reboot).await.unwrap();
    world.until(action, |action| action.step("restart").is_some()).await;
    stop.cancel();
    world.rest().await;
    assert!(!running.is_finished(), "a step is running");
    assert!(world.tick().await);
    running.await.unwrap();
    let released = world.action(action).await;
    assert_eq!(released.state, State::Running);
    assert_eq!(released.steps.len(), 2, "the step ended, the next did not start");
    world.start_another();
    assert_eq!(world.end(action).await.state, State::Done);
    assert_eq!(world.driver.observe(id).await.unwrap().boots, 2);
}

#[tokio::test]
async fn idle_engine_sleeps() {
    let (mut world, id) = TestEngine::started(1).await;
    world.rest().await;
    assert!(!world.tick().await, "nothing is due");
    let action = world.engine.request(&asked(), id, Params::Rename { display_name: "x".into() }).await.unwrap();
    world.rest().await;
    assert_eq!(world.action(action).await.state, State::Done, "a request wakes the engine");
    assert_eq!(world.clock.now(), START);
    assert!(!world.tick().await);
}

#[tokio::test]
async fn crash_does_not_use_up_an_attempt() {
    let (mut world, id) = TestEngine::started(1).await;
    let action = world.engine.request(&asked(), id, Params::PowerOff).await.unwrap();
    for crashes in 1..=20 {
        world.until(action, |action| action.epoch == crashes).await;
        world.crash().await;
    }
    let ended = world.end(action).await;
    assert_eq!((ended.state, ended.epoch, ended.step("stop").unwrap().attempts), (State::Done, 21, 1));
    world.check_log(action).await;
}
