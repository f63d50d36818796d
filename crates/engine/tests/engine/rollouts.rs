//! Rollouts of changed provisioning policies on the virtual clock, at once and by a schedule.

use cloudpc_drivers::Driver;
use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_engine::{Effect, FaultRule, has_unapplied_update};
use cloudpc_model::{
    Action, ActionId, ApplySchedule, Clock, CloudPcId, CloudPcStatus, Document, DocumentKey, DocumentType, ErrorKind,
    Kind, Params, PolicySettingTypes, PolicyTimezone, Power, Rollout, State, TenantId, Timestamp, UserId,
};
use cloudpc_store::{ActionFilter, DocumentIndex, Entitlement};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::world::{START, TestEngine, asked, fail, image, rule, small, tenant};

/// The policy of governed Cloud PCs.
pub const POLICY: &str = "policy";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const REGION: PolicySettingTypes = PolicySettingTypes::DEFAULT;
const SINGLE_SIGN_ON: PolicySettingTypes = PolicySettingTypes { region: false, single_sign_on: true };

fn policy(region: &str, single_sign_on: bool) -> Document {
    let body = json!({
        "displayName": "Desks", "provisioningType": "dedicated", "imageId": image(cloudpc_model::OsVersion::Windows11).0,
        "enableSingleSignOn": single_sign_on,
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": region}],
    });
    let Value::Object(body) = body else { unreachable!() };
    Document {
        tenant_id: tenant(),
        key: DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, POLICY),
        revision: 1,
        body,
        status: cloudpc_model::Object::new(),
        secret_counts: cloudpc_model::Object::new(),
        created_at: START,
        modified_at: START,
    }
}

impl TestEngine {
    /// Makes the policy, with the region of new Cloud PCs, and puts Cloud PCs under it. Nobody is
    /// in its groups, and the user who is entitled to them is never reconciled.
    pub async fn govern(&self, ids: &[CloudPcId]) {
        let ids = ids.to_vec();
        self.change(move |tx| {
            tx.document_insert(&policy("westus3", false), &DocumentIndex::default())?.unwrap();
            for id in &ids {
                tx.entitlement_insert(&Entitlement {
                    tenant_id: tenant(),
                    cloud_pc_id: *id,
                    user_id: Some(UserId(Uuid::from_u128(8))),
                    policy_id: POLICY.into(),
                    assignment_id: String::new(),
                    service_plan_id: small(),
                    sku_id: None,
                })?;
            }
            Ok(())
        })
        .await;
    }

    pub async fn change_policy(&self, region: &str, single_sign_on: bool) {
        let changed = policy(region, single_sign_on);
        self.change(move |tx| {
            let revision = tx.document(tenant(), &changed.key)?.unwrap().revision;
            tx.document_update(&Document { revision, ..changed.clone() }, &DocumentIndex::default())
        })
        .await
        .unwrap();
    }

    pub async fn rollout(&self) -> Option<Rollout> {
        self.change(|tx| tx.rollout(tenant(), POLICY)).await
    }

    /// Applies everything in the policy; returns the action that changes a Cloud PC.
    pub async fn apply_policy(&mut self, id: CloudPcId) -> ActionId {
        self.engine.apply_policy(&asked(), POLICY, PolicySettingTypes::ALL, 0).await.unwrap();
        self.rest().await;
        self.applied(id).await.last().unwrap().id
    }

    async fn apply(&mut self, settings: PolicySettingTypes, reserve_percentage: u32) {
        self.engine.apply_policy(&asked(), POLICY, settings, reserve_percentage).await.unwrap();
        self.rest().await;
    }

    /// Returns the actions that applied the policy to a Cloud PC, oldest first.
    async fn applied(&self, id: CloudPcId) -> Vec<Action> {
        let list = self.change(move |tx| tx.action_list(tenant(), &id.to_string(), ActionFilter::All, None, 100)).await;
        list.into_iter().rev().filter(|action| action.kind() == Kind::ApplyPolicy).collect()
    }

    async fn has_unapplied_update(&self) -> bool {
        self.change(|tx| {
            let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, POLICY);
            has_unapplied_update(tx, &tx.document(tenant(), &key)?.unwrap())
        })
        .await
    }

    async fn statuses(&self, ids: &[CloudPcId]) -> Vec<CloudPcStatus> {
        let mut statuses = Vec::new();
        for id in ids {
            statuses.push(self.cloud_pc(*id).await.status);
        }
        statuses
    }

    async fn regions(&self, ids: &[CloudPcId]) -> Vec<String> {
        let mut regions = Vec::new();
        for id in ids {
            regions.push(self.cloud_pc(*id).await.region);
        }
        regions
    }
}

/// A running engine with this many Cloud PCs of the policy.
async fn fleet(count: u32) -> (TestEngine, Vec<CloudPcId>) {
    let mut world = TestEngine::new(1).await;
    let mut ids = Vec::new();
    for number in 1..=count {
        ids.push(world.add(number, ScriptedCondition::default()).await);
    }
    world.govern(&ids).await;
    world.start();
    world.rest().await;
    (world, ids)
}

#[tokio::test]
async fn changed_region_reaches_cloud_pcs_when_the_policy_is_applied() {
    let (mut world, ids) = fleet(3).await;
    assert!(!world.has_unapplied_update().await);
    world.change_policy("northeurope", false).await;
    world.rest().await;
    assert_eq!(world.regions(&ids).await, ["westus3"; 3], "a change alone touches nothing");
    assert!(world.has_unapplied_update().await);
    assert_eq!(world.rollout().await, None);

    let boots = world.driver.observe(ids[0]).await.unwrap().boots;
    let begun = world.clock.now();
    world.apply(REGION, 0).await;
    assert_eq!(world.statuses(&ids).await, [CloudPcStatus::MovingRegion; 3]);
    assert_eq!(world.rollout().await.unwrap().finished_at, None);
    world.idle().await;
    assert_eq!(world.statuses(&ids).await, [CloudPcStatus::Provisioned; 3]);
    assert_eq!(world.regions(&ids).await, ["northeurope"; 3]);
    assert_eq!(world.driver.observe(ids[0]).await.unwrap().boots, boots + 1, "a move restarts the machine");
    let rollout = world.rollout().await.unwrap();
    let ended = world.applied(ids[2]).await[0].updated_at;
    assert_eq!((rollout.started_at, rollout.failed), (begun, false));
    assert!(rollout.finished_at >= Some(ended));
    assert!(!world.has_unapplied_update().await);
    let id = ids[0].to_string();
    let remote = world.change(move |tx| tx.action_count(tenant(), &id, ActionFilter::Remote)).await;
    assert_eq!(remote, 0, "it is not a remote action");
}

#[tokio::test]
async fn status_says_which_settings_are_applied_and_only_a_move_restarts() {
    let (mut world, ids) = fleet(1).await;
    let boots = world.driver.observe(ids[0]).await.unwrap().boots;
    world.faults.add(FaultRule { kind: Some(Kind::ApplyPolicy), ..rule(Effect::SlowDown { by_ms: 1000 }) });
    world.change_policy("northeurope", true).await;
    world.apply(SINGLE_SIGN_ON, 0).await;
    assert_eq!(world.statuses(&ids).await, [CloudPcStatus::ModifyingSingleSignOn]);
    world.idle().await;
    let cloud_pc = world.cloud_pc(ids[0]).await;
    assert_eq!((cloud_pc.single_sign_on, &*cloud_pc.region), (true, "westus3"));
    assert_eq!(world.driver.observe(ids[0]).await.unwrap().boots, boots);
    assert!(world.has_unapplied_update().await, "the region waits");

    world.change_policy("northeurope", false).await;
    world.apply(PolicySettingTypes::ALL, 0).await;
    assert_eq!(world.statuses(&ids).await, [CloudPcStatus::RefreshPolicyConfiguration]);
    world.idle().await;
    let cloud_pc = world.cloud_pc(ids[0]).await;
    assert_eq!((cloud_pc.single_sign_on, &*cloud_pc.region), (false, "northeurope"));
    assert_eq!(world.driver.observe(ids[0]).await.unwrap().boots, boots + 1);
}

#[tokio::test]
async fn reserve_limits_how_many_cloud_pcs_change_at_once() {
    let (mut world, ids) = fleet(10).await;
    world.change_policy("northeurope", false).await;
    world.apply(REGION, 70).await;
    let mut most = 0;
    while world.rollout().await.unwrap().finished_at.is_none() {
        let statuses = world.statuses(&ids).await;
        most = most.max(statuses.iter().filter(|status| **status == CloudPcStatus::MovingRegion).count());
        assert!(world.tick().await);
    }
    assert_eq!(most, 3, "70 % of 10 stay usable");
    assert_eq!(world.regions(&ids).await, ["northeurope"; 10]);
}

#[tokio::test]
async fn failed_change_keeps_the_former_value_and_fails_the_rollout() {
    let (mut world, ids) = fleet(2).await;
    world.faults.add(FaultRule { cloud_pcs: vec![ids[0]], step: Some("start".into()), ..rule(fail()) });
    world.change_policy("northeurope", false).await;
    world.apply(REGION, 0).await;
    world.idle().await;
    assert_eq!(world.regions(&ids).await, ["westus3", "northeurope"]);
    assert_eq!(world.statuses(&ids).await, [CloudPcStatus::Provisioned; 2]);
    assert_eq!(world.driver.observe(ids[0]).await.unwrap().power, Power::Running);
    let rollout = world.rollout().await.unwrap();
    assert!(rollout.failed && rollout.finished_at.is_some());
    assert!(world.has_unapplied_update().await);

    world.faults.clear();
    world.apply(REGION, 0).await;
    world.idle().await;
    assert_eq!(world.regions(&ids).await, ["northeurope"; 2]);
    assert!(!world.rollout().await.unwrap().failed, "the latest rollout counts");
    assert_eq!(world.applied(ids[1]).await.len(), 1, "what does not differ is left alone");
}

#[tokio::test]
async fn rollout_survives_a_crash_and_waits_behind_other_actions() {
    let (mut world, ids) = fleet(4).await;
    world.change_policy("northeurope", false).await;
    let reboot = world.engine.request(&asked(), ids[0], Params::Reboot).await.unwrap();
    world.apply(REGION, 50).await;
    assert_eq!(world.applied(ids[0]).await[0].state, State::Pending, "it waits in the machine's line");
    let refused = world.engine.request(&asked(), ids[1], Params::Reboot).await.unwrap_err();
    assert_eq!(refused.code, "cloudPcStatusNotAllowed");
    world.crash().await;
    world.idle().await;
    assert_eq!(world.action(reboot).await.state, State::Done);
    assert_eq!(world.regions(&ids).await, ["northeurope"; 4]);
    assert!(world.rollout().await.unwrap().finished_at.is_some());
}

#[tokio::test]
async fn canceled_or_deleted_cloud_pc_does_not_hold_up_a_rollout() {
    let (mut world, ids) = fleet(3).await;
    world.change_policy("northeurope", false).await;
    for id in &ids {
        world.engine.request(&asked(), *id, Params::Reboot).await.unwrap();
    }
    world.apply(REGION, 0).await;
    let canceled = world.applied(ids[0]).await[0].id;
    world.engine.cancel(&asked(), canceled).await.unwrap();
    world.begin_grace(ids[1]).await;
    world.engine.end_grace_period(&asked(), ids[1]).await.unwrap();
    world.idle().await;
    assert_eq!(world.regions(&[ids[0], ids[2]]).await, ["westus3", "northeurope"]);
    assert_eq!(world.find_cloud_pc(ids[1]).await, None);
    let rollout = world.rollout().await.unwrap();
    assert!(rollout.failed && rollout.finished_at.is_some());
}

#[tokio::test]
async fn rollout_joins_the_one_in_progress() {
    let (mut world, ids) = fleet(2).await;
    let begun = world.clock.now();
    world.change_policy("northeurope", true).await;
    world.apply(REGION, 0).await;
    world.advance(Duration::from_secs(1)).await;
    world.engine.apply_policies_to(&asked(), vec![ids[1]], SINGLE_SIGN_ON).await.unwrap();
    world.idle().await;
    let (first, second) = (world.cloud_pc(ids[0]).await, world.cloud_pc(ids[1]).await);
    assert_eq!((&*first.region, first.single_sign_on), ("northeurope", false), "single sign-on was not asked for");
    assert_eq!((&*second.region, second.single_sign_on), ("northeurope", true));
    assert_eq!(world.rollout().await.unwrap().started_at, begun);
}

#[tokio::test]
async fn cloud_pcs_that_are_added_to_a_rollout_keep_its_reserve() {
    let (mut world, ids) = fleet(4).await;
    world.change_policy("northeurope", false).await;
    world.apply(REGION, 75).await;
    world.engine.apply_policies_to(&asked(), vec![ids[0]], REGION).await.unwrap();
    assert_eq!(world.rollout().await.unwrap().reserve_percentage, 75);
}

#[tokio::test]
async fn repeated_request_leaves_actions_that_bring_the_wanted_values_alone() {
    let (mut world, ids) = fleet(3).await;
    world.change_policy("northeurope", true).await;
    for id in &ids {
        world.engine.request(&asked(), *id, Params::Reboot).await.unwrap();
    }
    for _ in 0..3 {
        world.apply(PolicySettingTypes::ALL, 0).await;
        world.apply(REGION, 0).await;
        world.engine.apply_policies_to(&asked(), ids.clone(), SINGLE_SIGN_ON).await.unwrap();
        world.rest().await;
    }
    for id in &ids {
        assert_eq!(world.applied(*id).await.len(), 1);
    }
    world.idle().await;
    assert_eq!(world.regions(&ids).await, ["northeurope"; 3]);
    assert!(world.rollout().await.unwrap().finished_at.is_some());
    assert!(!world.has_unapplied_update().await);
}

#[tokio::test]
async fn values_that_change_during_a_rollout_replace_its_actions_and_keep_its_reserve() {
    let (mut world, ids) = fleet(4).await;
    for id in &ids {
        world.engine.request(&asked(), *id, Params::Reboot).await.unwrap();
    }
    world.change_policy("northeurope", false).await;
    world.apply(REGION, 50).await;
    let changed = |applied: &[Action]| applied.iter().filter(|action| !action.state.is_final()).count();
    for (region, actions) in [("eastus", 2), ("eastus", 2), ("northeurope", 3)] {
        world.change_policy(region, false).await;
        world.apply(REGION, 50).await;
        let mut open = Vec::new();
        for id in &ids {
            open.push(changed(&world.applied(*id).await));
        }
        assert_eq!(open, [actions, actions, 0, 0], "half of the Cloud PCs stay usable");
    }
    world.idle().await;
    assert_eq!(world.regions(&ids).await, ["northeurope"; 4]);
    let rollout = world.rollout().await.unwrap();
    assert!(rollout.finished_at.is_some() && !rollout.failed);
}

#[tokio::test]
async fn value_that_is_taken_back_during_a_rollout_comes_back() {
    let (mut world, ids) = fleet(1).await;
    world.change_policy("northeurope", false).await;
    world.apply(REGION, 0).await;
    assert_eq!(world.statuses(&ids).await, [CloudPcStatus::MovingRegion]);
    world.change_policy("westus3", false).await;
    world.apply(REGION, 0).await;
    world.idle().await;
    assert_eq!(world.regions(&ids).await, ["westus3"]);
    assert!(world.rollout().await.unwrap().finished_at.is_some());
}

#[tokio::test]
async fn tenants_take_turns_with_their_rollouts() {
    const POLICIES: u32 = 20;
    let mut world = TestEngine::new(1).await;
    let other = TenantId(Uuid::from_u128(2));
    let mut cloud_pcs = Vec::new();
    for number in 1..=POLICIES + 1 {
        let id = world.add(number, ScriptedCondition::default()).await;
        let mut cloud_pc = world.cloud_pc(id).await;
        if number > POLICIES {
            cloud_pc.tenant_id = other;
        }
        cloud_pcs.push(cloud_pc);
    }
    world
        .change(move |tx| {
            tx.cloud_pc_delete(tenant(), cloud_pcs[POLICIES as usize].id)?;
            tx.cloud_pc_insert(&cloud_pcs[POLICIES as usize])?;
            for (number, cloud_pc) in cloud_pcs.iter().enumerate() {
                let (tenant, policy_id) = (cloud_pc.tenant_id, format!("{number:03}"));
                let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, &policy_id);
                let policy = Document { tenant_id: tenant, key, ..policy("northeurope", false) };
                tx.document_insert(&policy, &DocumentIndex::default())?.unwrap();
                tx.rollout_put(&Rollout {
                    tenant_id: tenant,
                    policy_id: policy_id.clone(),
                    reserve_percentage: 0,
                    requested_by: cloudpc_model::Actor::system(),
                    request_id: String::new(),
                    started_at: START,
                    finished_at: None,
                    failed: false,
                })?;
                tx.rollout_add(tenant, &policy_id, cloud_pc.id, REGION)?;
            }
            Ok(())
        })
        .await;
    world.start();
    world.rest().await;
    let accepted = world
        .change(move |tx| Ok([tx.audit_list(tenant(), None, 1000)?.len(), tx.audit_list(other, None, 1000)?.len()]));
    assert_eq!(accepted.await, [POLICIES as usize, 1]);
    let last = CloudPcId(Uuid::from_u128(0xc10d << 32 | u128::from(POLICIES + 1))).to_string();
    let first = world.change(move |tx| tx.action_list(other, &last, ActionFilter::All, None, 1)).await;
    assert_eq!(first[0].id, ActionId(2), "the other tenant's rollout waits for one of twenty");
}

#[tokio::test]
async fn settings_are_applied_only_to_cloud_pcs_that_a_policy_governs() {
    let (mut world, ids) = fleet(2).await;
    let foreign = world.add(9, ScriptedCondition::default()).await;
    world.change_policy("northeurope", false).await;
    for stranger in [foreign, CloudPcId(Uuid::nil())] {
        let refused = world.engine.apply_policies_to(&asked(), vec![ids[0], stranger], REGION).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid);
        assert!(refused.message.contains(&stranger.to_string()), "{refused}");
    }
    let missing = world.engine.apply_policy(&asked(), "missing", REGION, 0).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert_eq!(world.rollout().await, None, "a refused request changes nothing");

    world.begin_grace(ids[1]).await;
    assert!(world.has_unapplied_update().await);
    world.engine.apply_policies_to(&asked(), ids.clone(), REGION).await.unwrap();
    world.idle().await;
    assert_eq!(world.regions(&ids).await, ["northeurope", "westus3"], "a grace period is left alone");
    assert!(!world.has_unapplied_update().await);
    world.change_policy("automatic", false).await;
    assert!(!world.has_unapplied_update().await, "any region is right if the service chooses it");
}

#[tokio::test]
async fn health_check_waits_until_a_move_has_ended() {
    let (mut world, ids) = fleet(1).await;
    world.change_policy("northeurope", false).await;
    world.apply(REGION, 0).await;
    let (id, now) = (ids[0], world.clock.now());
    world.change(move |tx| tx.health_check_schedule(id, now)).await;
    world.advance(Duration::from_secs(1)).await;
    assert_eq!(world.statuses(&ids).await, [CloudPcStatus::MovingRegion]);
    assert!(world.change(move |tx| tx.health_check_due_at(tenant(), id)).await.is_some());
    world.idle().await;
    world.rest().await;
    assert_eq!(world.change(move |tx| tx.health_check_due_at(tenant(), id)).await, None);
}

#[tokio::test]
async fn reprovision_takes_the_present_settings_of_the_policy() {
    let (mut world, ids) = fleet(1).await;
    world.change_policy("northeurope", true).await;
    let params = Params::Reprovision { os_version: None, user_account_type: None, image_id: None };
    let reprovision = world.engine.request(&asked(), ids[0], params).await.unwrap();
    world.end(reprovision).await;
    let cloud_pc = world.cloud_pc(ids[0]).await;
    assert_eq!((&*cloud_pc.region, cloud_pc.single_sign_on), ("northeurope", true));
    assert!(!world.has_unapplied_update().await);
}

fn schedule(cron: &str) -> ApplySchedule {
    ApplySchedule {
        cron: cron.parse().unwrap(),
        timezone: PolicyTimezone::GMT,
        starts_at: None,
        ends_at: None,
        reserve_percentage: 0,
        is_force_user_logoff_enabled: false,
    }
}

impl TestEngine {
    async fn next_run(&self) -> Option<Timestamp> {
        self.change(|tx| tx.policy_schedule(tenant(), POLICY)).await.unwrap().next_run_at
    }
}

#[tokio::test]
async fn schedule_applies_the_policy_each_time_until_it_is_switched_off() {
    let (mut world, ids) = fleet(2).await;
    world.engine.schedule_policy(&asked(), POLICY, Some(schedule("0 0 6 * * *"))).await.unwrap();
    world.rest().await;
    let first = world.next_run().await.unwrap();
    for region in ["northeurope", "eastus"] {
        world.change_policy(region, true).await;
        let next = world.next_run().await.unwrap();
        world.advance(next.since(world.clock.now()) - Duration::from_secs(1)).await;
        assert!(world.has_unapplied_update().await, "before its time");
        world.advance(Duration::from_secs(1)).await;
        world.idle().await;
        assert_eq!(world.regions(&ids).await, [region; 2]);
        assert!(world.cloud_pc(ids[0]).await.single_sign_on, "it applies every setting");
    }
    assert_eq!(world.next_run().await, Some(first + 2 * DAY));
    world.engine.schedule_policy(&asked(), POLICY, None).await.unwrap();
    world.change_policy("westus3", true).await;
    world.advance(3 * DAY).await;
    assert_eq!(world.regions(&ids).await, ["eastus"; 2]);
}

#[tokio::test]
async fn schedule_that_was_missed_several_times_runs_once() {
    let mut world = TestEngine::new(1).await;
    let id = world.add(1, ScriptedCondition::default()).await;
    world.govern(&[id]).await;
    world.engine.schedule_policy(&asked(), POLICY, Some(schedule("0 0 6 * * *"))).await.unwrap();
    world.change_policy("northeurope", false).await;
    world.clock.advance(5 * DAY + HOUR).await;
    world.start();
    world.idle().await;
    assert_eq!(world.regions(&[id]).await, ["northeurope"]);
    let applied = world.audit().await.iter().filter(|row| *row == "ApplyPolicy CloudPcProvisioningPolicy").count();
    assert_eq!(applied, 1);
    assert!(world.next_run().await.unwrap() > world.clock.now());
}
