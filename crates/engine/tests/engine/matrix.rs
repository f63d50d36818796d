//! Test matrix: every kind of action × every step × every disturbance. It loops over the registry,
//! so new steps are covered automatically.

mod documents;

use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_drivers::{Driver, DriverError, Observed, Tag};
use cloudpc_engine::actions::{CancelMode, OnTimeout, Recipe, Step, recipe};
use cloudpc_engine::{Effect, FaultRule};
use cloudpc_model::{
    Action, ActionId, AgentSetting, AuditEntry, AuditResult, AuditVerb, Clock, CloudPc, CloudPcId, CloudPcStatus,
    ErrorKind, Kind, OsVersion, Params, Power, ResourceType, SnapshotId, SnapshotType, State, StepState,
    UserAccountType,
};
use cloudpc_store::ActionFilter;
use strum::IntoEnumIterator;
use uuid::Uuid;

use documents::DocumentCase;

use crate::world::{TestEngine, agent, asked, big, fail, image, rule, small, tenant};

/// Disturbance of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    /// No disturbance.
    None,
    /// The step fails permanently.
    Fails,
    /// The step takes effect but its outcome is unknown: it runs twice.
    LosesOutcome,
    /// The step hangs until its timeout, once.
    HangsOnce,
    /// The step hangs on every attempt.
    HangsAlways,
    /// The process crashes after the step took effect and before that is logged.
    Crashes,
    /// Another engine takes over the action while the step runs.
    LosesLease,
    /// The action is canceled while the previous step runs, or before it is claimed.
    CanceledBefore,
    /// The action is canceled while the step runs.
    CanceledDuring,
    /// The next step fails permanently, and the undo of this one runs twice.
    UndoneTwice,
    /// The next step fails permanently, and the process crashes while this one is undone.
    UndoCrashes,
    /// The next step fails permanently, and the undo of this one fails.
    UndoFails,
}

const DISTURBANCES: [Disturbance; 12] = [
    Disturbance::None,
    Disturbance::Fails,
    Disturbance::LosesOutcome,
    Disturbance::HangsOnce,
    Disturbance::HangsAlways,
    Disturbance::Crashes,
    Disturbance::LosesLease,
    Disturbance::CanceledBefore,
    Disturbance::CanceledDuring,
    Disturbance::UndoneTwice,
    Disturbance::UndoCrashes,
    Disturbance::UndoFails,
];

async fn every_step_and_disturbance(kind: Kind) {
    for step in recipe(kind).steps {
        for disturbance in DISTURBANCES {
            if !applies(step, disturbance) {
                continue;
            }
            match kind.document_type() {
                Some(_) => DocumentCase::new(kind, step, disturbance).await.run().await,
                None => Case::new(kind, step, disturbance).await.run().await,
            }
        }
    }
}

/// One test per kind, so that they run in parallel.
macro_rules! kinds {
    ($($name:ident: $kind:ident),+ $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            every_step_and_disturbance(Kind::$kind).await;
        })+

        #[test]
        fn every_kind_is_tested() {
            assert!(Kind::iter().eq([$(Kind::$kind),+]));
        }
    };
}

kinds! {
    reprovision: Reprovision,
    resize: Resize,
    restore: Restore,
    undo: Undo,
    rename: Rename,
    reboot: Reboot,
    power_on: PowerOn,
    power_off: PowerOff,
    create_snapshot: CreateSnapshot,
    troubleshoot: Troubleshoot,
    change_user_account_type: ChangeUserAccountType,
    set_device_name: SetDeviceName,
    place_under_review: PlaceUnderReview,
    deploy_agent: DeployAgent,
    provision: Provision,
    prepare: Prepare,
    deprovision: Deprovision,
    apply_policy: ApplyPolicy,
    take_restore_point: TakeRestorePoint,
    drop_restore_point: DropRestorePoint,
    import_image: ImportImage,
    remove_image: RemoveImage,
    check_connection: CheckConnection,
}

/// Returns the step after `step` if a failure there undoes `step`, or else `step`.
fn after(recipe: &'static Recipe, step: &Step) -> &'static Step {
    let place = recipe.steps.iter().position(|other| other.name == step.name).unwrap();
    recipe.steps.get(place + 1).filter(|next| !next.no_return).unwrap_or(&recipe.steps[place])
}

fn past_return(recipe: &'static Recipe, step: &Step) -> bool {
    recipe.steps.iter().take_while(|other| other.name != step.name).any(|other| other.no_return) || step.no_return
}

fn is_past_return(action: &Action) -> bool {
    recipe(action.kind()).steps.iter().any(|step| step.no_return && action.step(step.name).is_some())
}

fn applies(step: &Step, disturbance: Disturbance) -> bool {
    match disturbance {
        Disturbance::UndoneTwice | Disturbance::UndoCrashes | Disturbance::UndoFails => step.has_undo(),
        _ => true,
    }
}

/// A disturbed step of an action.
struct Trial {
    world: TestEngine,
    kind: Kind,
    step: &'static Step,
    disturbance: Disturbance,
}

/// A trial of an action on a Cloud PC.
struct Case {
    trial: Trial,
    id: CloudPcId,
    snapshot: SnapshotId,
    /// Action that an undo undoes.
    undoes: ActionId,
    /// The Cloud PC before any action.
    born: CloudPc,
    /// The machine before the action; none if the action makes it.
    machine: Option<Observed>,
    cloud_pc: CloudPc,
}

impl Trial {
    /// Disturbs the action, waits for its end and checks its state, log and audit rows.
    async fn run(&mut self, action: ActionId) -> Action {
        match self.disturbance {
            Disturbance::CanceledBefore => self.cancel_before(action).await,
            Disturbance::CanceledDuring => self.cancel_during(action).await,
            Disturbance::LosesLease => self.lose_lease(action).await,
            _ => {}
        }
        let ended = self.world.end(action).await;
        let name = self.name();
        assert_eq!(ended.state, self.expected(), "{name}: {ended:#?}");
        self.world.check_log(action).await;
        self.check_audit(&ended).await;
        ended
    }

    fn name(&self) -> String {
        format!("{:?} {} {:?}", self.kind, self.step.name, self.disturbance)
    }

    fn add_faults(&self) {
        let add = |step: &Step, nth, undo, effect| {
            let step = Some(step.name.to_owned());
            self.world.faults.add(FaultRule { kind: Some(self.kind), step, nth, undo, ..rule(effect) });
        };
        let here = |nth, effect| add(self.step, nth, false, effect);
        match self.disturbance {
            Disturbance::None | Disturbance::CanceledBefore => {}
            Disturbance::Fails => here(None, fail()),
            Disturbance::LosesOutcome => here(Some(1), Effect::LoseOutcome),
            Disturbance::HangsOnce => here(Some(1), Effect::Hang),
            Disturbance::HangsAlways => here(None, Effect::Hang),
            Disturbance::Crashes => here(None, Effect::Crash),
            Disturbance::LosesLease | Disturbance::CanceledDuring => here(Some(1), Effect::SlowDown { by_ms: 20_000 }),
            Disturbance::UndoneTwice | Disturbance::UndoCrashes | Disturbance::UndoFails => {
                add(after(recipe(self.kind), self.step), None, false, fail());
                let undo = match self.disturbance {
                    Disturbance::UndoneTwice => Effect::LoseOutcome,
                    Disturbance::UndoCrashes => Effect::Crash,
                    _ => fail(),
                };
                add(self.step, Some(1), true, undo);
            }
        }
    }

    fn expected(&self) -> State {
        let recipe = recipe(self.kind);
        match self.disturbance {
            Disturbance::None | Disturbance::LosesOutcome | Disturbance::Crashes | Disturbance::LosesLease => {
                State::Done
            }
            Disturbance::HangsOnce if self.step.on_timeout == OnTimeout::Recheck => State::Done,
            Disturbance::HangsOnce | Disturbance::HangsAlways if self.step.on_timeout != OnTimeout::Recheck => {
                State::Failed
            }
            Disturbance::Fails | Disturbance::HangsOnce | Disturbance::HangsAlways => self.step.fails_as,
            // A cancel request after the point of no return is rejected, and the action continues.
            Disturbance::CanceledDuring if past_return(recipe, self.step) => State::Done,
            Disturbance::CanceledBefore if self.before().is_some_and(|before| past_return(recipe, before)) => {
                State::Done
            }
            // The restore point is gone already.
            Disturbance::CanceledBefore if self.kind == Kind::DropRestorePoint => State::Done,
            Disturbance::CanceledBefore | Disturbance::CanceledDuring => State::Canceled,
            Disturbance::UndoneTwice | Disturbance::UndoCrashes => State::Failed,
            Disturbance::UndoFails => State::Stuck,
        }
    }

    fn before(&self) -> Option<&'static Step> {
        let steps = recipe(self.kind).steps;
        let place = steps.iter().position(|step| step.name == self.step.name).unwrap();
        place.checked_sub(1).map(|place| &steps[place])
    }

    async fn cancel_before(&mut self, action: ActionId) {
        if let Some(before) = self.before() {
            self.world.faults.add(FaultRule {
                kind: Some(self.kind),
                step: Some(before.name.into()),
                ..rule(Effect::SlowDown { by_ms: 1 })
            });
            self.world.until(action, |action| action.step(before.name).is_some()).await;
        }
        self.cancel(action).await;
    }

    async fn cancel_during(&mut self, action: ActionId) {
        let step = self.step.name;
        self.world.until(action, |action| action.step(step).is_some()).await;
        self.cancel(action).await;
        let cancelable = !past_return(recipe(self.kind), self.step);
        if cancelable && self.step.cancel == CancelMode::AtOnce {
            self.world.rest().await;
            let state = self.world.action(action).await.state;
            assert_ne!(state, State::Running, "{}: cancel must not wait for the step", self.name());
        }
    }

    async fn cancel(&self, action: ActionId) {
        let found = self.world.action(action).await;
        let past = is_past_return(&found) || found.kind() == Kind::DropRestorePoint;
        match self.world.engine.cancel(&asked(), action).await {
            Ok(()) => assert!(!past, "{}", self.name()),
            Err(error) => {
                assert!(past, "{}", self.name());
                assert_eq!((error.kind, error.code), (ErrorKind::Conflict, "tooLateToCancel"));
            }
        }
    }

    async fn lose_lease(&mut self, action: ActionId) {
        let step = self.step.name;
        let epoch = self.world.until(action, |action| action.step(step).is_some()).await.epoch;
        self.world.change(|tx| tx.worker_expire_all()).await;
        self.world.start_another();
        self.world.rest().await;
        assert_eq!(self.world.action(action).await.epoch, epoch + 1, "{}: taken over", self.name());
    }

    /// Checks for one audit row of the acceptance, and one more if the action did not succeed.
    async fn check_audit(&self, ended: &Action) {
        let audit = self.world.audit_rows().await;
        let state: &str = ended.state.into();
        let tells = |row: &&AuditEntry, name: &str, value: &str| {
            row.changes.iter().any(|change| change.name == name && change.new == value)
        };
        let of_action = |row: &&AuditEntry| tells(row, "actionId", &ended.id.to_string());
        let verb = AuditVerb::from(self.kind);
        let (accepted, ends): (Vec<_>, Vec<_>) = audit
            .iter()
            .filter(|row| row.verb == verb && of_action(row))
            .partition(|row| row.result == AuditResult::Success);
        assert_eq!(ends.len(), usize::from(ended.state != State::Done), "{}: {audit:#?}", self.name());
        let code = ended.failure().map_or("", |failure| &failure.code);
        let truthful = |row: &&AuditEntry| tells(row, "actionState", state) && tells(row, "errorCode", code);
        assert!(ends.iter().all(truthful), "{}: {ends:#?}", self.name());
        // Deployments of one call share one acceptance row, of their partner.
        let deployed = |row: &&AuditEntry| row.verb == verb && row.resource.kind == ResourceType::ExternalPartner;
        let accepted = match self.kind {
            Kind::DeployAgent => audit.iter().filter(deployed).count(),
            _ => accepted.len(),
        };
        assert_eq!(accepted, 1, "{}: {audit:#?}", self.name());
    }
}

impl Case {
    async fn new(kind: Kind, step: &'static Step, disturbance: Disturbance) -> Self {
        let mut world = TestEngine::new(1).await;
        if kind == Kind::Provision {
            return Self::without_machine(world, step, disturbance).await;
        }
        let id = world.add(1, ScriptedCondition::default()).await;
        world.start();
        world.write_marker(id, "restored").await;
        let born = world.cloud_pc(id).await;
        let snapshot = SnapshotId::new(id, Uuid::from_u128(77));
        if matches!(kind, Kind::Restore | Kind::DropRestorePoint) {
            let params = Params::CreateSnapshot { snapshot_id: snapshot.clone() };
            let made = world.engine.request(&asked(), id, params).await.unwrap();
            assert_eq!(world.end(made).await.state, State::Done);
        }
        let marker = if kind == Kind::Undo { "before the reprovision" } else { "before" };
        world.write_marker(id, marker).await;
        world.update_partner(|partner| partner.agent = Some(AgentSetting { auto_deploy: true, ..agent() })).await;
        let mut undoes = ActionId(0);
        if kind == Kind::Undo {
            let params = Params::Reprovision {
                os_version: Some(OsVersion::Windows10),
                user_account_type: Some(UserAccountType::Administrator),
                image_id: None,
            };
            undoes = world.engine.request(&asked(), id, params).await.unwrap();
            assert_eq!(world.end(undoes).await.state, State::Done);
            world.idle().await;
            world.write_marker(id, "before").await;
        }
        if kind == Kind::PowerOn {
            let off = world.engine.request(&asked(), id, Params::PowerOff).await.unwrap();
            assert_eq!(world.end(off).await.state, State::Done);
        }
        if kind == Kind::Deprovision {
            world.begin_grace(id).await;
        }
        if kind == Kind::Prepare {
            world.share(id).await;
        }
        if kind == Kind::ApplyPolicy {
            world.govern(&[id]).await;
            world.change_policy("northeurope", true).await;
        }
        let machine = Some(world.driver.observe(id).await.unwrap());
        let cloud_pc = world.cloud_pc(id).await;
        let trial = Trial { world, kind, step, disturbance };
        Self { trial, id, snapshot, undoes, born, machine, cloud_pc }
    }

    async fn without_machine(mut world: TestEngine, step: &'static Step, disturbance: Disturbance) -> Self {
        world.update_partner(|partner| partner.agent = Some(AgentSetting { auto_deploy: true, ..agent() })).await;
        let id = world.add_without_machine(1).await;
        world.start();
        let cloud_pc = world.cloud_pc(id).await;
        Self {
            trial: Trial { world, kind: Kind::Provision, step, disturbance },
            id,
            snapshot: SnapshotId::new(id, Uuid::nil()),
            undoes: ActionId(0),
            born: cloud_pc.clone(),
            machine: None,
            cloud_pc,
        }
    }

    /// The machine before the action.
    fn machine_before(&self) -> &Observed {
        self.machine.as_ref().unwrap()
    }

    async fn run(mut self) {
        self.trial.add_faults();
        let action = match self.trial.kind {
            Kind::DeployAgent => self.trial.world.deploy(&self.id.to_string()).await,
            Kind::Undo => self.trial.world.engine.undo(&asked(), self.id).await.unwrap(),
            Kind::Provision => self.trial.world.provision(self.id).await,
            Kind::Prepare => self.trial.world.sign_out(self.id).await,
            Kind::Deprovision => self.trial.world.engine.end_grace_period(&asked(), self.id).await.unwrap(),
            Kind::ApplyPolicy => self.trial.world.apply_policy(self.id).await,
            Kind::PlaceUnderReview => self.trial.world.begin_review(self.id).await,
            Kind::TakeRestorePoint => self.trial.world.take_restore_point(self.id).await,
            Kind::DropRestorePoint => self.trial.world.drop_restore_point(self.id).await,
            _ => self.trial.world.engine.request(&asked(), self.id, self.params()).await.unwrap(),
        };
        let ended = self.trial.run(action).await;
        match ended.state {
            State::Done if self.trial.kind == Kind::Deprovision => self.check_removed().await,
            State::Done => self.check_done(action).await,
            State::Stuck => self.check_stuck(action).await,
            _ if is_past_return(&ended) => self.check_not_undone(&ended).await,
            _ if self.trial.kind == Kind::Provision => self.check_not_provisioned(&ended).await,
            _ if self.trial.kind == Kind::Prepare => self.check_not_prepared(&ended).await,
            _ => self.check_as_before().await,
        }
    }

    fn params(&self) -> Params {
        match self.trial.kind {
            Kind::Reprovision => Params::Reprovision {
                os_version: Some(OsVersion::Windows10),
                user_account_type: Some(UserAccountType::Administrator),
                image_id: None,
            },
            Kind::Resize => Params::Resize { target_service_plan_id: big() },
            Kind::Restore => Params::Restore { snapshot_id: self.snapshot.clone() },
            Kind::Rename => Params::Rename { display_name: "new".into() },
            Kind::Reboot => Params::Reboot,
            Kind::PowerOn => Params::PowerOn,
            Kind::PowerOff => Params::PowerOff,
            Kind::CreateSnapshot => Params::CreateSnapshot { snapshot_id: self.snapshot.clone() },
            Kind::Troubleshoot => Params::Troubleshoot,
            Kind::ChangeUserAccountType => {
                Params::ChangeUserAccountType { user_account_type: UserAccountType::Administrator }
            }
            Kind::SetDeviceName => Params::SetDeviceName { device_name: "CPC-NEW".into() },
            Kind::Undo
            | Kind::DeployAgent
            | Kind::Provision
            | Kind::Prepare
            | Kind::Deprovision
            | Kind::ApplyPolicy
            | Kind::PlaceUnderReview
            | Kind::TakeRestorePoint
            | Kind::DropRestorePoint => unreachable!("requested differently"),
            Kind::ImportImage | Kind::RemoveImage | Kind::CheckConnection => unreachable!("works on a document"),
        }
    }

    async fn check_done(&mut self, action: ActionId) {
        let name = self.trial.name();
        let machine = self.trial.world.driver.observe(self.id).await.unwrap();
        let cloud_pc = self.trial.world.cloud_pc(self.id).await;
        assert_eq!(cloud_pc.status, CloudPcStatus::Provisioned, "{name}");
        assert_eq!(cloud_pc.status_detail, None, "{name}");
        assert_eq!(cloud_pc.power_observed, machine.power, "{name}");
        assert_eq!(cloud_pc.power_intended, machine.power, "{name}");
        let tag = self.trial.world.tag(action).await;
        match self.trial.kind {
            Kind::Reprovision => {
                assert_eq!(machine.disk, Some(tag.clone()), "{name}");
                assert_eq!(machine.spec.image, image(OsVersion::Windows10), "{name}");
                assert_eq!(self.trial.world.marker(self.id).await, None, "{name}: what was on the disk is gone");
                assert_eq!(cloud_pc.image_id, image(OsVersion::Windows10), "{name}");
                assert_eq!(cloud_pc.os_version, OsVersion::Windows10, "{name}");
                assert_eq!(cloud_pc.user_account_type, UserAccountType::Administrator, "{name}");
                assert!(cloud_pc.provisioned_at > self.cloud_pc.provisioned_at, "{name}");
                assert_eq!(cloud_pc.managed_device_id, self.cloud_pc.managed_device_id, "{name}");
                assert_eq!(self.deployments().await.len(), 1, "{name}: the agent follows, once");
            }
            Kind::Resize => {
                assert_eq!(cloud_pc.service_plan_id, big(), "{name}");
                let spec = &machine.spec;
                assert_eq!((spec.vcpu_count, spec.ram_gib, spec.storage_gib), (4, 16, 256), "{name}");
                assert_eq!(self.trial.world.marker(self.id).await.as_deref(), Some("before"), "{name}: the data stays");
            }
            Kind::Restore => {
                assert_eq!(machine.disk, Some(tag.clone()), "{name}");
                assert_eq!(self.trial.world.marker(self.id).await.as_deref(), Some("restored"), "{name}");
                let (id, snapshot) = (self.id, self.snapshot.clone());
                let stored = self.trial.world.change(move |tx| tx.snapshot(tenant(), &snapshot)).await.unwrap();
                assert_eq!(stored.cloud_pc_id, id);
                assert!(stored.last_restored_at.is_some(), "{name}");
            }
            Kind::Undo => {
                assert_eq!(machine.disk, None, "{name}: it has the disk that it was born with");
                assert_eq!(machine.spec.image, image(OsVersion::Windows11), "{name}");
                assert_eq!(self.trial.world.marker(self.id).await.as_deref(), Some("before the reprovision"), "{name}");
                let CloudPc { modified_at, .. } = cloud_pc;
                assert_eq!(cloud_pc, CloudPc { modified_at, ..self.born.clone() }, "{name}");
            }
            Kind::Rename => assert_eq!(cloud_pc.display_name, "new"),
            Kind::Reboot => assert_eq!(machine.boots, self.machine_before().boots + 1, "{name}: once"),
            Kind::PowerOn => assert_eq!(machine.power, Power::Running, "{name}"),
            Kind::PowerOff => assert_eq!(machine.power, Power::PoweredOff, "{name}"),
            Kind::CreateSnapshot => {
                assert!(self.has_snapshot().await, "{name}");
                let snapshot = self.snapshot.clone();
                assert!(self.trial.world.change(move |tx| tx.snapshot(tenant(), &snapshot)).await.is_some(), "{name}");
            }
            Kind::Troubleshoot => assert_eq!(machine, *self.machine_before(), "{name}"),
            Kind::TakeRestorePoint => {
                let types: Vec<_> = self.snapshots().await.into_iter().map(|snapshot| snapshot.snapshot_type).collect();
                assert_eq!(types, [SnapshotType::Retention], "{name}: the first is a weekly one");
            }
            Kind::DropRestorePoint => {
                assert_eq!(self.snapshots().await, [], "{name}");
                assert!(!self.has_snapshot().await, "{name}");
            }
            Kind::PlaceUnderReview => {
                let (id, ended) = (self.id, self.trial.world.action(action).await);
                let review = self.trial.world.change(move |tx| tx.review(tenant(), id)).await.unwrap();
                assert_eq!(review.restore_point_at, Some(ended.updated_at), "{name}");
                assert_eq!(self.snapshots().await.len(), 1, "{name}");
            }
            Kind::ChangeUserAccountType => {
                assert_eq!(cloud_pc.user_account_type, UserAccountType::Administrator, "{name}");
                let (administrators, _) = self.trial.world.driver.accounts(self.id);
                assert_eq!(administrators, [cloud_pc.user_principal_name], "{name}");
            }
            Kind::SetDeviceName => {
                assert_eq!(cloud_pc.managed_device_name, "CPC-NEW", "{name}");
                let (_, hostname) = self.trial.world.driver.accounts(self.id);
                assert_eq!(hostname.as_deref(), Some("CPC-NEW"), "{name}");
            }
            Kind::DeployAgent => {
                assert_eq!(self.trial.world.driver.installed_agents(self.id), ["agent.msi"], "{name}");
                let guest = self.trial.world.driver.guest(self.id).await.unwrap();
                assert!(guest.format(&tag).await.is_err(), "{name}: the installer's file is gone");
            }
            Kind::Provision => {
                assert_eq!(machine.spec.image, image(OsVersion::Windows11), "{name}");
                assert_eq!((machine.spec.vcpu_count, machine.spec.storage_gib), (2, 128), "{name}");
                assert_eq!(machine.power, Power::Running, "{name}");
                assert!(cloud_pc.provisioned_at > self.cloud_pc.provisioned_at, "{name}");
                assert_eq!(self.deployments().await.len(), 1, "{name}: the agent follows, once");
            }
            Kind::Prepare => {
                assert_eq!(machine.disk, Some(tag.clone()), "{name}");
                assert_eq!(machine.spec.image, image(OsVersion::Windows11), "{name}");
                assert_eq!(self.trial.world.marker(self.id).await, None, "{name}: what the user left is gone");
                let user = (cloud_pc.user_id, &*cloud_pc.user_principal_name, cloud_pc.session_started_at);
                assert_eq!(user, (None, "", None), "{name}");
                assert_eq!(self.deployments().await.len(), 1, "{name}: the agent follows, once");
                self.trial.world.advance(std::time::Duration::from_secs(60)).await;
            }
            Kind::ApplyPolicy => {
                assert_eq!((&*cloud_pc.region, cloud_pc.single_sign_on), ("northeurope", true), "{name}");
                assert_eq!(machine.boots, self.machine_before().boots + 1, "{name}: once");
                assert_eq!(self.trial.world.marker(self.id).await.as_deref(), Some("before"), "{name}: the data stays");
                assert!(self.trial.world.rollout().await.unwrap().finished_at.is_some(), "{name}");
            }
            Kind::Deprovision => unreachable!("checked differently"),
            Kind::ImportImage | Kind::RemoveImage | Kind::CheckConnection => unreachable!("works on a document"),
        }
        let kept = matches!(self.trial.kind, Kind::Reprovision | Kind::Restore | Kind::Undo).then_some(tag.0);
        assert_eq!(
            self.trial.world.asides(self.id).await,
            Vec::from_iter(kept),
            "{name}: the old disk is kept, and no other"
        );
        assert_eq!(self.undoable_action().await, self.trial.kind.can_be_undone().then_some(action), "{name}");
    }

    /// Checks that nothing is left of a deprovisioned Cloud PC but its actions.
    async fn check_removed(&self) {
        let name = self.trial.name();
        let observed = self.trial.world.driver.observe(self.id).await;
        assert!(matches!(observed, Err(DriverError::NotFound(_))), "{name}: {observed:?}");
        assert_eq!(self.trial.world.find_cloud_pc(self.id).await, None, "{name}");
        assert_eq!(self.undoable_action().await, None, "{name}");
    }

    /// Checks that an unsuccessful provisioning left no machine, and says why.
    async fn check_not_provisioned(&self, ended: &Action) {
        let name = self.trial.name();
        let observed = self.trial.world.driver.observe(self.id).await;
        assert!(matches!(observed, Err(DriverError::NotFound(_))), "{name}: {observed:?}");
        let cloud_pc = self.trial.world.cloud_pc(self.id).await;
        assert_eq!(cloud_pc.status, CloudPcStatus::Failed, "{name}");
        assert_eq!(cloud_pc.status_detail.unwrap().code, ended.failure().unwrap().code, "{name}");
        assert!(self.deployments().await.iter().all(|state| *state == State::Canceled), "{name}: canceled");
    }

    /// Checks that a shared Cloud PC that was not prepared has its old disk, and no user gets it.
    async fn check_not_prepared(&self, ended: &Action) {
        let name = self.trial.name();
        let machine = self.trial.world.driver.observe(self.id).await.unwrap();
        assert_eq!(machine.disk, self.machine_before().disk, "{name}");
        let cloud_pc = self.trial.world.cloud_pc(self.id).await;
        assert_eq!((cloud_pc.status, cloud_pc.is_free()), (CloudPcStatus::Failed, false), "{name}");
        assert_eq!(cloud_pc.user_id, None, "{name}");
        let code = ended.failure().map(|failure| failure.code.clone());
        assert_eq!(cloud_pc.status_detail.map(|detail| detail.code), code, "{name}");
        assert!(self.deployments().await.iter().all(|state| *state == State::Canceled), "{name}: canceled");
        assert_eq!(self.trial.world.asides(self.id).await, Vec::<String>::new(), "{name}");
    }

    /// Checks that a failure before the point of no return left everything unchanged.
    async fn check_as_before(&mut self) {
        let name = self.trial.name();
        let machine = self.trial.world.driver.observe(self.id).await.unwrap();
        let cloud_pc = self.trial.world.cloud_pc(self.id).await;
        let before = self.machine_before();
        assert_eq!(machine.power, before.power, "{name}");
        assert_eq!(machine.disk, before.disk, "{name}");
        let size = |machine: &Observed| (machine.spec.vcpu_count, machine.spec.ram_gib);
        assert_eq!(size(&machine), size(before), "{name}");
        assert!(machine.spec.storage_gib >= before.spec.storage_gib, "{name}");
        if machine.power == Power::Running {
            let guest = self.trial.world.driver.guest(self.id).await.unwrap();
            while guest.free_disk_bytes().await.is_err() {
                // The undo powers the machine on without waiting for its guest.
                self.trial.world.advance(std::time::Duration::from_secs(10)).await;
            }
            assert_eq!(self.trial.world.marker(self.id).await.as_deref(), Some("before"), "{name}");
        }
        let CloudPc { modified_at, .. } = cloud_pc;
        assert_eq!(cloud_pc, CloudPc { modified_at, ..self.cloud_pc.clone() }, "{name}");
        if self.trial.kind == Kind::CreateSnapshot {
            assert!(!self.has_snapshot().await, "{name}");
        }
        if matches!(self.trial.kind, Kind::PlaceUnderReview | Kind::TakeRestorePoint) {
            assert_eq!(self.snapshots().await, [], "{name}");
        }
        let accounts = (Vec::new(), Some(self.cloud_pc.managed_device_name.clone()));
        assert_eq!(self.trial.world.driver.accounts(self.id), accounts, "{name}");
        let installed: &[&str] = if self.trial.kind == Kind::Undo { &["agent.msi"] } else { &[] };
        assert_eq!(self.trial.world.driver.installed_agents(self.id), installed, "{name}");
        if self.trial.kind == Kind::Reprovision {
            assert!(self.deployments().await.iter().all(|state| *state == State::Canceled), "{name}: canceled");
        }
        let undoes = (self.trial.kind == Kind::Undo).then_some(self.undoes);
        let asides = match undoes {
            Some(undoes) => vec![self.trial.world.tag(undoes).await.0],
            None => vec![],
        };
        assert_eq!(self.trial.world.asides(self.id).await, asides, "{name}");
        assert_eq!(self.undoable_action().await, undoes, "{name}");
    }

    /// Checks that a failure after the point of no return is not undone, and that the Cloud PC's
    /// status reports it.
    async fn check_not_undone(&self, ended: &Action) {
        let name = self.trial.name();
        let cloud_pc = self.trial.world.cloud_pc(self.id).await;
        let expected = match (self.trial.kind, self.trial.step.name) {
            (Kind::Reboot, "waitForGuest") => CloudPcStatus::Failed,
            (Kind::Deprovision, _) => CloudPcStatus::InGracePeriod,
            _ => CloudPcStatus::Provisioned,
        };
        assert_eq!(cloud_pc.status, expected, "{name}");
        if self.trial.kind == Kind::Deprovision {
            assert!(cloud_pc.grace_ends_at > Some(self.trial.world.clock.now()), "{name}: it is tried again");
            return;
        }
        if expected != CloudPcStatus::Provisioned {
            assert_eq!(cloud_pc.status_detail.unwrap().code, ended.failure().unwrap().code, "{name}");
        }
        let machine = self.trial.world.driver.observe(self.id).await.unwrap();
        assert_eq!(machine.power, Power::Running, "{name}");
        let plan = cloud_pc.service_plan_id;
        assert_eq!(plan, small(), "{name}");
    }

    /// Checks that a stuck action holds the machine until it is settled.
    async fn check_stuck(&mut self, action: ActionId) {
        let name = self.trial.name();
        let cloud_pc = self.trial.world.cloud_pc(self.id).await;
        let stuck = self.trial.world.action(action).await;
        assert_eq!(cloud_pc.status, CloudPcStatus::Failed, "{name}");
        assert_eq!(cloud_pc.status_detail.unwrap().code, stuck.failure().unwrap().code, "{name}");
        assert_eq!(stuck.step(self.trial.step.name).unwrap().state, StepState::UndoFailed, "{name}");
        let behind = self.trial.world.deploy(&self.id.to_string()).await;
        self.trial.world.advance(std::time::Duration::from_secs(3600)).await;
        assert_eq!(self.trial.world.action(behind).await.state, State::Pending, "{name}: the machine is held");
        let too_late = self.trial.world.engine.cancel(&asked(), action).await.unwrap_err();
        assert_eq!(too_late.code, "tooLateToCancel", "{name}");
        assert!(too_late.message.contains("is stuck"), "{name}: {too_late}");
        self.trial.world.engine.settle(&asked(), action).await.unwrap();
        assert_eq!(self.trial.world.action(action).await.state, State::Failed, "{name}");
        let settled = match self.trial.kind {
            Kind::Provision | Kind::Prepare => CloudPcStatus::Failed,
            Kind::Deprovision => CloudPcStatus::InGracePeriod,
            _ => CloudPcStatus::Provisioned,
        };
        assert_eq!(self.trial.world.cloud_pc(self.id).await.status, settled, "{name}");
        self.trial.world.check_log(action).await;
        assert_eq!(self.trial.world.engine.settle(&asked(), action).await.unwrap_err().code, "notStuck", "{name}");
        self.trial.world.end(behind).await;
    }

    /// Returns the states of the deployments to the machine.
    async fn deployments(&self) -> Vec<State> {
        let target = self.id.to_string();
        let list = self.trial.world.change(move |tx| tx.action_list(tenant(), &target, ActionFilter::All, None, 100));
        list.await.iter().filter(|action| action.kind() == Kind::DeployAgent).map(|action| action.state).collect()
    }

    /// Probes for the restore point: an existing one conflicts with the disk, a missing one is not
    /// found.
    async fn has_snapshot(&self) -> bool {
        let probe = Tag("probe".into());
        match self.trial.world.driver.ensure_disk_from_snapshot(self.id, &self.snapshot, &probe).await {
            Err(DriverError::NotFound(_)) => false,
            Err(DriverError::Conflict(_)) => true,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the restore points that are stored.
    async fn snapshots(&self) -> Vec<cloudpc_model::Snapshot> {
        let id = self.id;
        self.trial.world.change(move |tx| tx.snapshot_list(tenant(), Some(id), None, 100)).await
    }

    /// Returns the action that can be undone now.
    async fn undoable_action(&self) -> Option<ActionId> {
        let target = self.id.to_string();
        let record = self.trial.world.change(move |tx| tx.undo_record_of(tenant(), &target)).await;
        record.map(|record| record.action_id)
    }
}
