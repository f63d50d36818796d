//! Simulation of weeks of a fleet in seconds: random requests, files, deployments, cancellations,
//! faults, incidents, clock jumps, crashes and second engines, all from one seed. `CLOUDPC_SEED`
//! runs one seed only.

use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_drivers::{Driver, DriverError, Incident, StopMode, Tag};
use cloudpc_engine::actions::recipe;
use cloudpc_engine::{Effect, EngineSettings, FaultRule};
use cloudpc_model::{
    Action, ActionId, AgentSetting, Clock, CloudPcId, CloudPcStatus, Document, Kind, OsVersion, Params,
    PolicySettingTypes, Power, Rng, SeededRng, SnapshotId, State, UndoRecord,
};
use cloudpc_store::WriteMode;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};
use strum::IntoEnumIterator;

use crate::rollouts::POLICY;
use crate::world::{TestEngine, agent, asked, big, connection, fail, rule, settings, small, tenant};

const MACHINES: u32 = 24;
const ROUNDS: usize = 120;

/// Maximum size of old disks: nine that hold an image, so that the limit is reached as well as the
/// undo window.
const UNDO_DISK_BYTES_MAX: u64 = 9 * (33 << 30);

/// Minimum number of seeds.
const SEEDS_MIN: u64 = 5;

/// No further seeds are started after this time.
const TIME_MAX: Duration = Duration::from_secs(12);

/// Maximum time of undoing an action after its deadline, with all faults.
const UNDO_TIME_MAX: Duration = Duration::from_secs(6 * 3600);

#[test]
fn every_action_ends_and_every_machine_matches_the_store() {
    let begun = Instant::now();
    match std::env::var("CLOUDPC_SEED") {
        Ok(seed) => drop(simulate(seed.parse().unwrap())),
        Err(_) => {
            let runs = (1..=50).take_while(|seed| *seed <= SEEDS_MIN || begun.elapsed() < TIME_MAX).map(simulate);
            let restored_files: usize = runs.map(|simulation| simulation.restored_files).sum();
            assert!(restored_files > 0, "no run restored a file: undo was not tested");
        }
    }
}

/// A closure that ran a second time with other ids, times or random numbers, or had effects before
/// its commit, would show here.
#[test]
fn a_seed_replays_exactly_even_if_each_transaction_runs_twice() {
    let (first, second) = (simulate_in(WriteMode::Inline, 7).log, simulate_in(WriteMode::InlineTwice, 7).log);
    assert!(first.lines().count() > 100, "{first}");
    assert_eq!(first, second);
}

/// Result of a run.
struct Outcome {
    /// Log of all actions, events and Cloud PCs.
    log: String,
    /// Number of files restored by undo.
    restored_files: usize,
}

fn simulate(seed: u64) -> Outcome {
    simulate_in(WriteMode::InlineTwice, seed)
}

fn simulate_in(mode: WriteMode, seed: u64) -> Outcome {
    println!("CLOUDPC_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut simulation = Simulation::begin(mode, seed).await;
        for _ in 0..ROUNDS {
            simulation.round().await;
            simulation.check_ends().await;
        }
        simulation.come_to_rest().await;
        simulation.check_undo().await;
        let restored_files = simulation.undo_all().await;
        simulation.check().await;
        Outcome { log: simulation.log().await, restored_files }
    })
}

struct Simulation {
    world: TestEngine,
    dice: SeededRng,
    ids: Vec<CloudPcId>,
    /// Cloud PCs that are provisioned and deprovisioned meanwhile.
    temporary: Vec<CloudPcId>,
    snapshots: Vec<SnapshotId>,
    /// On-premises connections, hybrid and not.
    connections: Vec<Document>,
    /// Last file written to each disk of each machine. A disk is identified by the action that
    /// created it.
    files: BTreeMap<(CloudPcId, Option<String>), String>,
    /// Actions that have ended, in their final state.
    ended: BTreeMap<ActionId, Action>,
}

impl Simulation {
    async fn begin(mode: WriteMode, seed: u64) -> Self {
        let lease = Duration::from_secs(600);
        let settings = EngineSettings { lease, undo_disk_bytes_max: UNDO_DISK_BYTES_MAX, ..settings() };
        let mut world = TestEngine::in_mode(mode, seed, settings).await;
        let dice = SeededRng::new(!seed);
        let mut ids = Vec::new();
        for number in 1..=MACHINES {
            let scripted_condition = match number {
                1 => ScriptedCondition { disk_full: true, ..ScriptedCondition::default() },
                2 => ScriptedCondition { no_network: true, ..ScriptedCondition::default() },
                3 => ScriptedCondition { install_exit_code: Some(5), ..ScriptedCondition::default() },
                _ => ScriptedCondition::default(),
            };
            ids.push(world.add(number, scripted_condition).await);
        }
        world.update_partner(|partner| partner.agent = Some(AgentSetting { auto_deploy: true, ..agent() })).await;
        world.govern(&ids).await;
        let connections = vec![connection(1, "hybridAzureADJoin"), connection(2, "azureADJoin")];
        for connection in &connections {
            world.add_document(connection).await;
        }
        world.start();
        let (temporary, snapshots) = (Vec::new(), Vec::new());
        Self { world, dice, ids, temporary, snapshots, connections, files: BTreeMap::new(), ended: BTreeMap::new() }
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.dice.below(bound as u64)).unwrap()
    }

    fn any_id(&self) -> CloudPcId {
        self.ids[self.below(self.ids.len())]
    }

    async fn round(&mut self) {
        match self.below(32) {
            0..=6 => {
                for _ in 0..3 {
                    self.request().await;
                }
            }
            7..=9 => self.deploy().await,
            10..=11 => self.cancel().await,
            12..=13 => self.add_fault(),
            14 => self.world.faults.clear(),
            15 => self.world.crash().await,
            16 => self.world.start_another(),
            17 => self.world.change(|tx| tx.worker_expire_all()).await,
            18 => self.settle().await,
            19..=22 => self.write_file().await,
            23..=24 => self.inject(),
            25..=26 => self.provision().await,
            27 => self.deprovision().await,
            28..=29 => self.apply_policy().await,
            30 => {
                let connection = &self.connections[self.below(self.connections.len())];
                self.world.accept_on_document(connection, Params::CheckConnection).await;
            }
            _ => self.world.advance(Duration::from_secs(self.dice.below(6 * 3600))).await,
        }
        let seconds = match self.below(4) {
            0 => 0,
            1 => self.dice.below(10),
            2 => self.dice.below(300),
            _ => self.dice.below(1800),
        };
        self.world.advance(Duration::from_secs(seconds)).await;
    }

    async fn provision(&mut self) {
        let number = MACHINES + 1 + u32::try_from(self.temporary.len()).unwrap();
        let id = self.world.add_without_machine(number).await;
        self.world.provision(id).await;
        self.temporary.push(id);
    }

    async fn deprovision(&self) {
        for id in &self.temporary {
            let cloud_pc = self.world.find_cloud_pc(*id).await;
            if cloud_pc.is_some_and(|cloud_pc| cloud_pc.status == CloudPcStatus::Provisioned) {
                self.world.begin_grace(*id).await;
                self.world.engine.end_grace_period(&asked(), *id).await.unwrap();
                return;
            }
        }
    }

    async fn apply_policy(&self) {
        let region = ["westus3", "northeurope", "eastus"][self.below(3)];
        self.world.change_policy(region, self.below(2) == 0).await;
        let settings = match self.below(3) {
            0 => PolicySettingTypes::ALL,
            1 => PolicySettingTypes { region: false, single_sign_on: true },
            _ => PolicySettingTypes::DEFAULT,
        };
        let engine = &self.world.engine;
        if self.below(2) == 0 {
            let reserve = u32::try_from(self.below(100)).unwrap();
            engine.apply_policy(&asked(), POLICY, settings, reserve).await.unwrap();
        } else {
            engine.apply_policies_to(&asked(), vec![self.any_id(), self.any_id()], settings).await.unwrap();
        }
    }

    fn inject(&self) {
        let incident = [Incident::Crash, Incident::Panic, Incident::ShutDown][self.below(3)];
        self.world.driver.inject(self.any_id(), incident).unwrap();
    }

    async fn request(&mut self) {
        let id = self.any_id();
        if self.below(6) == 0 {
            return self.undo(id).await;
        }
        let params = match self.below(10) {
            0..=1 => Params::Reprovision {
                os_version: [None, Some(OsVersion::Windows10), Some(OsVersion::Windows11)][self.below(3)],
                user_account_type: None,
                image_id: None,
            },
            2 => Params::Resize { target_service_plan_id: [small(), big()][self.below(2)] },
            3 if !self.snapshots.is_empty() => {
                Params::Restore { snapshot_id: self.snapshots[self.below(self.snapshots.len())].clone() }
            }
            3..=4 => {
                let snapshot_id = SnapshotId::new(id, self.dice.uuid());
                self.snapshots.push(snapshot_id.clone());
                Params::CreateSnapshot { snapshot_id }
            }
            5 => Params::Rename { display_name: format!("name {}", self.below(100)) },
            6 => Params::Reboot,
            7 => Params::PowerOff,
            8 => Params::PowerOn,
            _ => Params::Troubleshoot,
        };
        let of = |snapshot: &SnapshotId| snapshot.0[4..40].parse().unwrap();
        let id = if let Params::Restore { snapshot_id } = &params { of(snapshot_id) } else { id };
        if let Err(error) = self.world.engine.request(&asked(), id, params).await {
            let expected = ["remoteActionInProgress", "cloudPcStatusNotAllowed", "BadRequest"];
            assert!(expected.contains(&error.code), "{error:?}");
        }
    }

    async fn undo(&self, id: CloudPcId) {
        if let Err(error) = self.world.engine.undo(&asked(), id).await {
            let expected = ["remoteActionInProgress", "cloudPcStatusNotAllowed", "nothingToUndo", "undoWindowPassed"];
            assert!(expected.contains(&error.code), "{error:?}");
        }
    }

    /// Writes a file on a machine that responds, after checking the present one.
    async fn write_file(&mut self) {
        for id in self.ids.clone() {
            if let Some((disk, _)) = self.read_file(id).await {
                let content = format!("{}", self.dice.uuid());
                self.world.write_marker(id, &content).await;
                self.files.insert((id, disk), content);
            }
        }
    }

    /// Returns a machine's disk and the file on it, if the machine responds. A disk keeps its file
    /// wherever it is moved.
    async fn read_file(&self, id: CloudPcId) -> Option<(Option<String>, Option<String>)> {
        let driver = &self.world.driver;
        let disk = driver.observe(id).await.unwrap().disk.map(|tag| tag.0);
        let file = driver.guest(id).await.unwrap().read_file("C:\\marker").await.ok()?;
        let file = file.map(|content| String::from_utf8(content).unwrap());
        if let Some(written) = self.files.get(&(id, disk.clone())) {
            assert_eq!(file.as_ref(), Some(written), "{id} {disk:?}");
        }
        Some((disk, file))
    }

    async fn deploy(&mut self) {
        let mut targets: Vec<_> = (0..=self.below(6)).map(|_| self.any_id().to_string()).collect();
        if self.below(4) == 0 {
            targets.push(self.dice.uuid().to_string());
        }
        self.world.engine.deploy(&asked(), self.world.partner, targets).await.unwrap();
    }

    async fn cancel(&mut self) {
        let mut open = self.actions().await;
        open.retain(|action| !action.state.is_final());
        if let Some(last) = open.len().checked_sub(1) {
            let action = &open[self.below(last + 1)];
            if let Err(error) = self.world.engine.cancel(&asked(), action.id).await {
                assert_eq!(error.code, "tooLateToCancel");
            }
        }
    }

    fn add_fault(&mut self) {
        let kind = Kind::iter().nth(self.below(Kind::iter().count())).unwrap();
        let steps = recipe(kind).steps;
        let effect = match self.below(6) {
            0 => fail(),
            1 => Effect::Hang,
            2 => Effect::SlowDown { by_ms: self.dice.below(600_000) },
            3..=4 => Effect::LoseOutcome,
            _ => Effect::Crash,
        };
        self.world.faults.add(FaultRule {
            share_percent: [None, Some(50)][self.below(2)],
            kind: [None, Some(kind)][self.below(2)],
            step: (!steps.is_empty() && self.below(3) > 0).then(|| steps[self.below(steps.len())].name.to_owned()),
            nth: [None, Some(1), Some(2)][self.below(3)],
            undo: self.below(4) == 0,
            ..rule(effect)
        });
    }

    /// Repairs the machines of stuck actions by hand, then settles the actions.
    async fn settle(&mut self) {
        let mut stuck = self.actions().await;
        stuck.retain(|action| action.state == State::Stuck);
        for action in stuck {
            let (driver, clock) = (self.world.driver.clone(), self.world.clock.clone());
            let cloud_pc = self.world.cloud_pc(action.cloud_pc_id().unwrap()).await;
            let (id, tag) = (cloud_pc.id, tag(action.id, action.tag_nonce));
            let undone = match action.params {
                Params::Undo { action_id } => Some(self.world.tag(action_id).await),
                _ => None,
            };
            let plan = cloud_pc.service_plan_id;
            let plan = self.world.change(move |tx| tx.service_plan(tenant(), plan)).await.unwrap();
            let (number, is_provision) = (action.id, action.kind() == Kind::Provision);
            let by_hand = tokio::spawn(async move {
                if is_provision {
                    driver.ensure_absent(id).await?;
                    return Ok(Power::PoweredOff);
                }
                driver.ensure_stopped(id, StopMode::Force).await?;
                if let Some(undone) = undone
                    && driver.observe(id).await?.asides.iter().any(|aside| aside.tag == tag)
                {
                    // The old disk, which an undo must not drop, is set aside again.
                    match driver.ensure_disk_aside(id, &undone).await {
                        Err(DriverError::NotFound(_)) => {}
                        returned => returned?,
                    }
                }
                driver.ensure_disk_back(id, &tag).await?;
                let mut spec = driver.observe(id).await?.spec;
                (spec.vcpu_count, spec.ram_gib) = (plan.vcpu_count, plan.ram_gib);
                driver.ensure_size(&spec).await?;
                if let Params::CreateSnapshot { snapshot_id } = &action.params {
                    driver.ensure_snapshot_absent(id, snapshot_id).await?;
                }
                if cloud_pc.power_intended == Power::Running {
                    driver.ensure_running(id).await?;
                }
                Ok::<_, DriverError>(driver.observe(id).await?.power)
            });
            clock.advance(Duration::from_secs(600)).await;
            let power = by_hand.await.unwrap().unwrap();
            self.world.update(id, move |cloud_pc| cloud_pc.power_observed = power).await;
            self.world.engine.settle(&asked(), number).await.unwrap();
        }
    }

    /// Removes all faults and waits until every open action has ended.
    async fn come_to_rest(&mut self) {
        self.world.faults.clear();
        self.world.crash().await;
        loop {
            self.settle().await;
            self.world.rest().await;
            let open = self.actions().await.into_iter().filter(|action| !action.state.is_final()).count();
            if open == 0 {
                break;
            }
            assert!(self.world.tick().await, "{open} actions are open and nothing is due");
        }
        // Time for the last machines to boot and for pending old-disk cleanup.
        self.world.advance(Duration::from_secs(1800)).await;
    }

    /// Checks that exactly the old disks that can be undone are kept, within their limit.
    async fn check_undo(&self) {
        let mut kept = 0;
        for id in &self.ids {
            let asides = self.world.driver.observe(*id).await.unwrap().asides;
            let record = self.undo_record(*id).await;
            let expected = record
                .iter()
                .filter(|record| record.before.disk_aside)
                .map(|record| tag(record.action_id, record.tag_nonce));
            assert_eq!(
                asides.iter().map(|aside| aside.tag.clone()).collect::<Vec<_>>(),
                Vec::from_iter(expected),
                "{id}"
            );
            assert!(
                record
                    .is_none_or(|record| record.size_bytes == Some(asides.iter().map(|aside| aside.size_bytes).sum()))
            );
            kept += asides.iter().map(|aside| aside.size_bytes).sum::<u64>();
        }
        assert!(kept <= UNDO_DISK_BYTES_MAX, "{kept}");
    }

    async fn undo_record(&self, id: CloudPcId) -> Option<UndoRecord> {
        self.world.change(move |tx| tx.undo_record_of(tenant(), &id.to_string())).await
    }

    /// Undoes every action that can be undone; returns how many files were restored.
    async fn undo_all(&mut self) -> usize {
        let mut restored_files = 0;
        for id in self.ids.clone() {
            let Some(record) = self.undo_record(id).await else { continue };
            let Ok(undo) = self.world.engine.undo(&asked(), id).await else { continue };
            assert_eq!(self.world.end(undo).await.state, State::Done);
            if let Some((disk, Some(_))) = self.read_file(id).await
                && record.before.disk_aside
            {
                restored_files += usize::from(self.files.contains_key(&(id, disk)));
            }
        }
        self.world.idle().await;
        self.world.advance(Duration::from_secs(1800)).await;
        self.check_undo().await;
        restored_files
    }

    async fn actions(&self) -> Vec<Action> {
        self.world
            .change(|tx| {
                let actions = (1..).map(|number| tx.action(tenant(), ActionId(number)));
                actions.map_while(Result::transpose).collect()
            })
            .await
    }

    /// Checks that final states do not change, and that no machine runs two actions.
    async fn check_ends(&mut self) {
        let mut running = BTreeMap::new();
        for action in self.actions().await {
            if let Some(before) = self.ended.get(&action.id) {
                assert_eq!(before, &action);
            } else if action.state.is_final() {
                self.ended.insert(action.id, action);
            } else if action.state != State::Pending {
                assert_eq!(running.insert(action.target, action.id), None);
            } else {
                assert!(action.deadline_at >= self.world.clock.now(), "waits too long: {action:?}");
            }
        }
    }

    async fn check(&self) {
        let actions = self.actions().await;
        for action in &actions {
            self.world.check_log(action.id).await;
            assert!(action.updated_at <= action.deadline_at + UNDO_TIME_MAX || was_stuck(action), "{action:#?}");
        }
        for id in &self.ids {
            self.check_machine(*id, &actions).await;
        }
        let rollout = self.world.rollout().await;
        assert!(rollout.as_ref().is_none_or(|rollout| rollout.finished_at.is_some()), "{rollout:?}");
        for id in &self.temporary {
            self.check_temporary(*id).await;
        }
        for connection in &self.connections {
            self.check_connection(connection, &actions).await;
        }
    }

    /// Checks that a connection shows the result of its last action that ended.
    async fn check_connection(&self, connection: &Document, actions: &[Action]) {
        let mine = actions.iter().filter(|action| action.document_key().as_ref() == Some(&connection.key));
        let Some(last) = mine.max_by_key(|action| action.id) else { return };
        let document = self.world.find_document(&connection.key).await.unwrap();
        let expected = if last.state == State::Done { "passed" } else { "failed" };
        assert_eq!(document.status["healthCheckStatus"], expected, "{last:#?}");
        let checks = document.status["healthCheckStatusDetail"]["healthChecks"].as_array().unwrap();
        assert!(checks.iter().all(|check| check["correlationId"] == last.id.to_string()), "{checks:#?}");
    }

    /// Checks that a Cloud PC without a machine says so or is gone, and that any other machine is
    /// as its Cloud PC.
    async fn check_temporary(&self, id: CloudPcId) {
        let machine = self.world.driver.observe(id).await;
        match (self.world.find_cloud_pc(id).await, machine) {
            (None, machine) => assert!(matches!(machine, Err(DriverError::NotFound(_))), "{machine:?}"),
            (Some(cloud_pc), Err(_)) => assert_eq!(cloud_pc.status, CloudPcStatus::Failed, "{cloud_pc:#?}"),
            (Some(cloud_pc), Ok(machine)) => {
                let usable = [CloudPcStatus::Provisioned, CloudPcStatus::InGracePeriod];
                assert!(usable.contains(&cloud_pc.status), "{cloud_pc:#?}");
                assert_eq!(machine.power, cloud_pc.power_observed, "{cloud_pc:#?}");
            }
        }
    }

    async fn check_machine(&self, id: CloudPcId, actions: &[Action]) {
        let driver = &self.world.driver;
        let (cloud_pc, machine) = (self.world.cloud_pc(id).await, driver.observe(id).await.unwrap());
        let status = cloud_pc.status;
        let at_rest = [CloudPcStatus::Provisioned, CloudPcStatus::ProvisionedWithWarnings, CloudPcStatus::Failed];
        assert!(at_rest.contains(&status), "{cloud_pc:#?}");
        assert_eq!(machine.power, cloud_pc.power_observed, "{cloud_pc:#?}");
        if status == CloudPcStatus::Provisioned {
            assert_eq!(machine.power, cloud_pc.power_intended, "{cloud_pc:#?}");
            assert_eq!(cloud_pc.status_detail, None);
        }
        let plan = cloud_pc.service_plan_id;
        let plan = self.world.change(move |tx| tx.service_plan(tenant(), plan)).await.unwrap();
        assert_eq!((machine.spec.vcpu_count, machine.spec.ram_gib), (plan.vcpu_count, plan.ram_gib), "{id}");
        assert!(machine.spec.storage_gib >= plan.storage_gib, "{id}");

        let mine: Vec<_> = actions.iter().filter(|action| action.cloud_pc_id() == Some(id)).collect();
        let disk = match disk_after(&mine) {
            Some(made_by) => Some(self.world.tag(made_by).await),
            None => None,
        };
        assert_eq!(machine.disk, disk, "{id}: {mine:#?}");
        let since = mine.iter().rfind(|action| replaces_disk(action)).map_or(ActionId(0), |action| action.id);
        let deployed =
            |action: &Action| action.kind() == Kind::DeployAgent && action.state == State::Done && action.id > since;
        if mine.iter().any(|action| deployed(action)) {
            assert_eq!(driver.installed_agents(id), ["agent.msi"], "{id}");
        }
        let snapshots = self.world.change(move |tx| tx.snapshot_list(tenant(), Some(id), None, 1000)).await;
        for snapshot in snapshots {
            // An existing restore point conflicts with the present disk.
            let probe = driver.ensure_disk_from_snapshot(id, &snapshot.id, &Tag("probe".into())).await;
            assert!(matches!(probe, Err(DriverError::Conflict(_))), "{probe:?}");
        }
    }

    async fn log(&self) -> String {
        let mut log = String::new();
        for action in self.actions().await {
            writeln!(log, "{action:?}").unwrap();
            for event in self.world.events(action.id).await {
                writeln!(log, "{event:?}").unwrap();
            }
        }
        for connection in &self.connections {
            writeln!(log, "{:?}", self.world.find_document(&connection.key).await).unwrap();
        }
        for id in self.ids.iter().chain(&self.temporary) {
            writeln!(log, "{:?}", self.world.find_cloud_pc(*id).await).unwrap();
        }
        writeln!(log, "{:?}", self.world.audit().await).unwrap();
        log
    }
}

/// Returns the action that created a machine's disk after these actions; none: the original disk.
fn disk_after(actions: &[&Action]) -> Option<ActionId> {
    let mut disk = None;
    let mut undo_record = None;
    for action in actions.iter().filter(|action| action.state == State::Done && action.kind().can_be_undone()) {
        undo_record = match action.params {
            Params::Undo { action_id } => {
                let (undone, before) = undo_record.expect("an undoable action precedes the undo");
                assert_eq!(action_id, undone, "{action:#?}");
                Some((action.id, std::mem::replace(&mut disk, before)))
            }
            Params::Resize { .. } => Some((action.id, disk)),
            _ => Some((action.id, disk.replace(action.id))),
        };
    }
    disk
}

fn replaces_disk(action: &Action) -> bool {
    action.state == State::Done && matches!(action.kind(), Kind::Reprovision | Kind::Restore | Kind::Undo)
}

fn was_stuck(action: &Action) -> bool {
    action.steps.iter().any(|step| step.state == cloudpc_model::StepState::UndoFailed)
}

fn tag(action: ActionId, nonce: Option<u64>) -> Tag {
    Tag(format!("action-{action}-{:016x}", nonce.unwrap()))
}
