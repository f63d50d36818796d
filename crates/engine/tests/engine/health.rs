//! Health monitoring on the virtual clock: incidents are detected, recorded, and repaired if the
//! policy says so.

use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_drivers::{Driver, Incident, StopMode, Tag};
use cloudpc_engine::{EngineSettings, RESTART_PAUSE_MIN, RESTARTS_MAX, RestartPolicy, WELL_TIME};
use cloudpc_model::{Action, ActorKind, Clock, CloudPcId, CloudPcStatus, HealthEvent, Kind, Params, Power, State};
use cloudpc_store::ActionFilter;
use futures_util::FutureExt;
use std::time::Duration;

use crate::world::{TestEngine, asked, settings, tenant};

impl TestEngine {
    async fn inject(&mut self, id: CloudPcId, incident: Incident) {
        self.driver.inject(id, incident).unwrap();
        self.rest().await;
    }

    /// Returns the actions on a machine, oldest first.
    async fn actions(&self, id: CloudPcId) -> Vec<Action> {
        let list = move |tx: &mut cloudpc_store::Tx<'_>| {
            tx.action_list(tenant(), &id.to_string(), ActionFilter::All, None, 100)
        };
        self.change(list).await.into_iter().rev().collect()
    }

    /// Returns the health events of a machine, oldest first: name of the check, and whether it
    /// passed.
    async fn health_events(&self, id: CloudPcId) -> Vec<(String, bool)> {
        let events = self.change(move |tx| tx.health_event_list(tenant(), id, None, 100)).await;
        events.into_iter().rev().map(|HealthEvent { name, well, .. }| (name, well)).collect()
    }

    async fn detail(&self, id: CloudPcId) -> Option<String> {
        self.cloud_pc(id).await.status_detail.map(|detail| detail.code)
    }
}

fn power(well: bool) -> (String, bool) {
    ("PowerCheck".to_owned(), well)
}

#[tokio::test]
async fn crashed_machine_is_reported_and_restarted() {
    for (incident, code) in [(Incident::Crash, "machineCrashed"), (Incident::Panic, "guestPanicked")] {
        let (mut world, id) = TestEngine::started(1).await;
        world.inject(id, incident).await;
        let cloud_pc = world.cloud_pc(id).await;
        assert_eq!((cloud_pc.power_observed, cloud_pc.power_intended), (Power::PoweredOff, Power::Running));
        assert_eq!(
            (cloud_pc.status, world.detail(id).await.as_deref()),
            (CloudPcStatus::ProvisionedWithWarnings, Some(code))
        );
        assert_eq!(world.health_events(id).await, [power(false)]);

        world.advance(RESTART_PAUSE_MIN - Duration::from_millis(1)).await;
        assert_eq!(world.actions(id).await, []);
        world.advance(Duration::from_millis(1)).await;
        let actions = world.actions(id).await;
        assert_eq!(actions.iter().map(Action::kind).collect::<Vec<_>>(), [Kind::PowerOn]);
        assert_eq!(actions[0].requested_by.kind, ActorKind::System);
        let ended = world.end(actions[0].id).await;
        world.rest().await;
        assert_eq!(ended.state, State::Done);
        let cloud_pc = world.cloud_pc(id).await;
        assert_eq!((cloud_pc.status, cloud_pc.power_observed), (CloudPcStatus::Provisioned, Power::Running));
        assert_eq!((world.detail(id).await, world.health_events(id).await), (None, vec![power(false), power(true)]));
        let audit = world.audit().await;
        assert_eq!(audit[0], "CheckHealth CloudPC: Failure");
        assert_eq!(audit.last().unwrap(), "CheckHealth CloudPC");

        // After the machine has been healthy long enough, the restart count is reset and no check
        // is due.
        world.advance(WELL_TIME).await;
        assert_eq!(world.change(|tx| tx.health_check_next_due()).await, None);
        assert_eq!(world.actions(id).await.len(), 1);
    }
}

#[tokio::test]
async fn machine_shut_down_from_inside_stays_off() {
    let (mut world, id) = TestEngine::started(1).await;
    world.inject(id, Incident::ShutDown).await;
    let cloud_pc = world.cloud_pc(id).await;
    assert_eq!((cloud_pc.power_observed, cloud_pc.power_intended), (Power::PoweredOff, Power::PoweredOff));
    assert_eq!((cloud_pc.status, cloud_pc.status_detail), (CloudPcStatus::Provisioned, None));
    world.advance(Duration::from_secs(86_400)).await;
    assert_eq!((world.actions(id).await, world.health_events(id).await), (vec![], vec![power(true)]));
    // A new engine checks the machine and finds no change.
    world.crash().await;
    world.rest().await;
    assert_eq!(world.health_events(id).await, [power(true)]);
}

#[tokio::test]
async fn restarts_back_off_and_stop_at_the_limit() {
    let (mut world, id) = TestEngine::started(1).await;
    let mut waited = Vec::new();
    for _ in 0..RESTARTS_MAX {
        world.inject(id, Incident::Crash).await;
        let (begun, before) = (world.clock.now(), world.actions(id).await.len());
        while world.actions(id).await.len() == before {
            assert!(world.tick().await);
        }
        waited.push(world.clock.now().since(begun) / u32::try_from(RESTART_PAUSE_MIN.as_secs()).unwrap());
        let last = world.actions(id).await.pop().unwrap();
        assert_eq!(world.end(last.id).await.state, State::Done);
    }
    assert_eq!(waited.iter().map(Duration::as_secs).collect::<Vec<_>>(), [1, 2, 4, 8, 16], "exponential backoff");
    world.inject(id, Incident::Crash).await;
    world.advance(Duration::from_secs(7 * 86_400)).await;
    assert_eq!(world.actions(id).await.len(), waited.len());
    let detail = world.cloud_pc(id).await.status_detail.unwrap();
    assert!(detail.message.contains("repeated failures"), "{detail:?}");

    // A user can still power it on.
    let id_of = world.engine.request(&asked(), id, Params::PowerOn).await.unwrap();
    assert_eq!(world.end(id_of).await.state, State::Done);
}

#[tokio::test]
async fn action_restarts_a_machine_that_powers_off_while_it_waits_for_the_guest() {
    for incident in [Incident::Crash, Incident::Panic, Incident::ShutDown] {
        let (mut world, id) = TestEngine::started(1).await;
        let reprovision = Params::Reprovision { os_version: None, user_account_type: None, image_id: None };
        let reprovision = world.engine.request(&asked(), id, reprovision).await.unwrap();
        world.until(reprovision, |action| action.step("waitForGuest").is_some()).await;
        world.inject(id, incident).await;
        let ended = world.end(reprovision).await;
        assert_eq!((ended.state, ended.step("waitForGuest").unwrap().attempts), (State::Done, 2));
        world.rest().await;
        assert_eq!(world.cloud_pc(id).await.power_observed, Power::Running);
        assert_eq!((world.health_events(id).await, world.actions(id).await.len()), (vec![], 1));
    }
    // A machine that never stays up fails the action and is left off.
    let (mut world, id) = TestEngine::started(1).await;
    world.inject(id, Incident::Crash).await;
    world.advance(RESTART_PAUSE_MIN).await;
    let start = world.actions(id).await[0].id;
    loop {
        let action =
            world.until(start, |action| action.state != State::Running || action.step("waitForGuest").is_some()).await;
        if action.state != State::Running {
            break;
        }
        world.driver.inject(id, Incident::Crash).unwrap();
        assert!(world.tick().await);
    }
    let failed = world.end(start).await;
    assert_eq!(failed.state, State::Failed);
    assert_eq!(failed.failure().unwrap().message, "The machine powered off unexpectedly (after 5 attempts).");
}

#[tokio::test]
async fn policy_and_status_prevent_restarts() {
    let mut world = TestEngine::with(1, EngineSettings { restart: RestartPolicy::Never, ..settings() }).await;
    let id = world.add(1, ScriptedCondition::default()).await;
    world.start();
    world.inject(id, Incident::Crash).await;
    world.advance(Duration::from_secs(86_400)).await;
    assert_eq!((world.actions(id).await, world.detail(id).await.as_deref()), (vec![], Some("machineCrashed")));

    let (mut world, id) = TestEngine::started(1).await;
    world.update(id, |cloud_pc| cloud_pc.status = CloudPcStatus::InGracePeriod).await;
    world.inject(id, Incident::Crash).await;
    world.advance(Duration::from_secs(86_400)).await;
    let cloud_pc = world.cloud_pc(id).await;
    assert_eq!((cloud_pc.status, cloud_pc.power_observed), (CloudPcStatus::InGracePeriod, Power::PoweredOff));
    assert_eq!((world.actions(id).await, world.health_events(id).await), (vec![], vec![power(false)]));
}

#[tokio::test]
async fn incident_without_an_engine_is_detected_by_the_next_engine() {
    let mut world = TestEngine::new(1).await;
    let id = world.add(1, ScriptedCondition::default()).await;
    world.driver.inject(id, Incident::Panic).unwrap();
    world.start();
    world.rest().await;
    assert_eq!(world.detail(id).await.as_deref(), Some("guestPanicked"));
    // The engine crashes before it restarts the machine, and the next one right after.
    world.crash().await;
    world.advance(RESTART_PAUSE_MIN).await;
    world.crash().await;
    world.advance(Duration::from_secs(600)).await;
    let kinds: Vec<_> = world.actions(id).await.iter().map(|action| (action.kind(), action.state)).collect();
    assert_eq!(kinds, [(Kind::PowerOn, State::Done)], "started once");
    assert_eq!(world.detail(id).await, None);
}

#[tokio::test]
async fn machine_that_is_off_as_intended_is_healthy() {
    let (mut world, id) = TestEngine::started(1).await;
    let off = world.engine.request(&asked(), id, Params::PowerOff).await.unwrap();
    world.end(off).await;
    // So is a machine that crashes while off.
    world.inject(id, Incident::Crash).await;
    world.advance(Duration::from_secs(3600)).await;
    assert_eq!((world.health_events(id).await, world.actions(id).await.len()), (vec![], 1));
}

impl TestEngine {
    /// Adds a Cloud PC whose machine was just created and powered on, and whose guest's hostname is
    /// not set yet.
    async fn add_new_machine(&mut self, scripted_condition: ScriptedCondition) -> CloudPcId {
        let id = self.add(1, scripted_condition).await;
        let driver = self.driver.clone();
        let made = tokio::spawn(async move {
            let spec = driver.observe(id).await.unwrap().spec;
            let tag = Tag("birth".into());
            driver.ensure_stopped(id, StopMode::Force).await.unwrap();
            driver.ensure_disk_aside(id, &tag).await.unwrap();
            driver.ensure_disk_from_image(&spec, &tag).await.unwrap();
            driver.ensure_running(id).await.unwrap();
        });
        for _ in 0..1_000 {
            self.rest().await;
            if made.is_finished() {
                break;
            }
            self.tick().await;
        }
        made.await.unwrap();
        let now = self.clock.now();
        self.change(move |tx| tx.health_check_schedule_enrolment(tenant(), id, now)).await;
        id
    }

    /// Returns whether the guest's hostname is set: setting it again then takes no time.
    async fn is_enrolled(&self, id: CloudPcId) -> bool {
        let guest = self.driver.guest(id).await.unwrap();
        matches!(guest.enrol("CPC-1").now_or_never(), Some(Ok(())))
    }
}

#[tokio::test]
async fn hostname_is_set_once_a_new_guest_responds() {
    let mut world = TestEngine::new(1).await;
    let id = world.add_new_machine(ScriptedCondition::default()).await;
    world.start();
    world.rest().await;
    // The engine crashes while it waits for the guest; the next one resumes.
    world.crash().await;
    world.advance(Duration::from_secs(3_600)).await;
    assert!(world.is_enrolled(id).await);
    assert_eq!(world.change(|tx| tx.health_check_next_due()).await, None);
    assert_eq!((world.actions(id).await, world.health_events(id).await), (vec![], vec![]));
}

#[tokio::test]
async fn waiting_for_a_new_guest_does_not_block_actions() {
    let mut world = TestEngine::new(1).await;
    let id = world.add_new_machine(ScriptedCondition { guest_hangs: true, ..ScriptedCondition::default() }).await;
    world.start();
    world.rest().await;
    let action = world.engine.request(&asked(), id, Params::Reboot).await.unwrap();
    world.rest().await;
    assert_eq!(world.action(action).await.state, State::Running, "at once");
    world.advance(Duration::from_secs(24 * 3_600)).await;
    // Retries continue, since the guest may respond later.
    let due = world.change(|tx| tx.health_check_next_due()).await;
    assert!(due.is_some(), "{due:?}");
}
