//! Weeks in the life of a fleet, in seconds: random requests, deployments, cancellations, faults, clock jumps, crashes and second engines, all from
//! one seed. `CLOUDPC_SEED` runs one seed alone.

use cloudpc_drivers::sim::Ailment;
use cloudpc_drivers::{Driver, DriverError, StopMode, Tag};
use cloudpc_engine::actions::recipe;
use cloudpc_engine::{Effect, FaultRule, Settings};
use cloudpc_model::{
    Action, ActionId, AgentSetting, Clock, CloudPcId, CloudPcStatus, Kind, OsVersion, Params, Power, Rng, SeededRng,
    SnapshotId, State,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};
use strum::IntoEnumIterator;

use crate::world::{World, agent, asked, big, fail, rule, settings, small, tenant};

const MACHINES: u32 = 24;
const ROUNDS: usize = 120;

/// No more seeds are begun after this.
const TIME_MAX: Duration = Duration::from_secs(12);

/// What an action may take after its deadline to be undone, with every fault there is in its way.
const UNDO_TIME_MAX: Duration = Duration::from_secs(6 * 3600);

#[test]
fn whatever_happens_every_action_ends_and_every_machine_is_what_the_store_says() {
    let begun = Instant::now();
    match std::env::var("CLOUDPC_SEED") {
        Ok(seed) => drop(live(seed.parse().unwrap())),
        Err(_) => {
            (1..=50).take_while(|seed| *seed == 1 || begun.elapsed() < TIME_MAX).for_each(|seed| drop(live(seed)))
        }
    }
}

#[test]
fn a_seed_replays_exactly() {
    let (first, second) = (live(7), live(7));
    assert!(first.lines().count() > 100, "{first}");
    assert_eq!(first, second);
}

/// Lives one life; returns all that was logged in it.
fn live(seed: u64) -> String {
    println!("CLOUDPC_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut life = Life::begin(seed).await;
        for _ in 0..ROUNDS {
            life.round().await;
            life.check_ends().await;
        }
        life.come_to_rest().await;
        life.check().await;
        life.log().await
    })
}

struct Life {
    world: World,
    dice: SeededRng,
    ids: Vec<CloudPcId>,
    snapshots: Vec<SnapshotId>,
    /// Actions that were seen to have ended, and how.
    ended: BTreeMap<ActionId, Action>,
}

impl Life {
    async fn begin(seed: u64) -> Self {
        let lease = Duration::from_secs(600);
        let mut world = World::with(seed, Settings { lease, ..settings() }).await;
        let dice = SeededRng::new(!seed);
        let mut ids = Vec::new();
        for number in 1..=MACHINES {
            let ailment = match number {
                1 => Ailment { disk_full: true, ..Ailment::default() },
                2 => Ailment { no_network: true, ..Ailment::default() },
                3 => Ailment { install_exit_code: Some(5), ..Ailment::default() },
                _ => Ailment::default(),
            };
            ids.push(world.add(number, ailment).await);
        }
        world.update_partner(|partner| partner.agent = Some(AgentSetting { auto_deploy: true, ..agent() })).await;
        world.start();
        Self { world, dice, ids, snapshots: Vec::new(), ended: BTreeMap::new() }
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.dice.below(bound as u64)).unwrap()
    }

    fn any_id(&self) -> CloudPcId {
        self.ids[self.below(self.ids.len())]
    }

    async fn round(&mut self) {
        match self.below(20) {
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
            17 => self.world.change(|tx| tx.action_expire_leases()).await,
            18 => self.settle().await,
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

    async fn request(&mut self) {
        let id = self.any_id();
        let params = match self.below(10) {
            0..=1 => Params::Reprovision {
                os_version: [None, Some(OsVersion::Windows10), Some(OsVersion::Windows11)][self.below(3)],
                user_account_type: None,
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
        let kind = Kind::iter().nth(self.below(10)).unwrap();
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

    /// Someone sees to whatever is stuck: takes back by hand what the action could not, then says so.
    async fn settle(&mut self) {
        let mut stuck = self.actions().await;
        stuck.retain(|action| action.state == State::Stuck);
        for action in stuck {
            let (driver, clock) = (self.world.driver.clone(), self.world.clock.clone());
            let cloud_pc = self.world.cloud_pc(action.cloud_pc_id().unwrap()).await;
            let (id, tag) = (cloud_pc.id, tag(action.id));
            let plan = cloud_pc.service_plan_id;
            let plan = self.world.change(move |tx| tx.service_plan(tenant(), plan)).await.unwrap();
            let by_hand = tokio::spawn(async move {
                driver.ensure_stopped(id, StopMode::Force).await?;
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
            self.world.engine.settle(&asked(), action.id).await.unwrap();
        }
    }

    /// No more trouble; everything that is open ends.
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
            assert!(self.world.tick().await, "{open} actions are open and nothing will ever happen");
        }
        // Whoever was powered on last has booted by then.
        self.world.advance(Duration::from_secs(600)).await;
    }

    async fn actions(&self) -> Vec<Action> {
        self.world
            .change(|tx| {
                let actions = (1..).map(|number| tx.action(tenant(), ActionId(number)));
                actions.map_while(Result::transpose).collect()
            })
            .await
    }

    /// A final state stays as it is, and no machine has two actions under way.
    async fn check_ends(&mut self) {
        let mut under_way = BTreeMap::new();
        for action in self.actions().await {
            if let Some(before) = self.ended.get(&action.id) {
                assert_eq!(before, &action);
            } else if action.state.is_final() {
                self.ended.insert(action.id, action);
            } else if action.state != State::Pending {
                assert_eq!(under_way.insert(action.target, action.id), None);
            } else {
                assert!(action.deadline_at >= self.world.clock.now(), "waits for too long: {action:?}");
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
        let remakes = |action: &Action| matches!(action.kind(), Kind::Reprovision | Kind::Restore);
        let remade = mine
            .iter()
            .rfind(|action| remakes(action) && (action.state == State::Done || action.step("dropOldDisk").is_some()));
        assert_eq!(machine.disk, remade.map(|action| tag(action.id)), "{id}: {mine:#?}");
        let since = remade.map_or(ActionId(0), |action| action.id);
        let deployed =
            |action: &Action| action.kind() == Kind::DeployAgent && action.state == State::Done && action.id > since;
        if mine.iter().any(|action| deployed(action)) {
            assert_eq!(driver.installed_agents(id), ["agent.msi"], "{id}");
        }
        let snapshots = self.world.change(move |tx| tx.snapshot_list(tenant(), id, None, 1000)).await;
        for snapshot in snapshots {
            // It is there, and finds the present disk in its way.
            let probe = driver.ensure_disk_from_snapshot(id, &snapshot.id, &Tag("probe".into())).await;
            assert!(matches!(probe, Err(DriverError::Conflict(_))), "{probe:?}");
        }
        driver.ensure_stopped(id, StopMode::Force).await.unwrap();
        for action in mine.iter().filter(|action| remakes(action) && Some(tag(action.id)) != machine.disk) {
            if action.state == State::Failed && action.step("dropOldDisk").is_some() {
                // It says so itself: the old disk is still there.
                continue;
            }
            // What would be put back was either put back or dropped long ago.
            driver.ensure_disk_back(id, &tag(action.id)).await.unwrap();
            assert_eq!(driver.observe(id).await.unwrap().disk, machine.disk, "{id} {action:#?}");
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
        for id in &self.ids {
            writeln!(log, "{:?}", self.world.cloud_pc(*id).await).unwrap();
        }
        writeln!(log, "{:?}", self.world.audit().await).unwrap();
        log
    }
}

fn was_stuck(action: &Action) -> bool {
    action.steps.iter().any(|step| step.state == cloudpc_model::StepState::UndoFailed)
}

fn tag(action: ActionId) -> Tag {
    Tag(format!("action-{action}"))
}
