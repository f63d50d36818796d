//! Provisioning policies on the virtual clock: who gets a Cloud PC, and when it goes.

use cloudpc_drivers::{Driver, DriverError};
use cloudpc_engine::{FaultRule, GRACE_PERIOD, put_subscription};
use cloudpc_model::{
    Clock, CloudPc, CloudPcId, CloudPcStatus, Document, DocumentKey, DocumentType, GroupId, Kind, Object, OsVersion,
    Params, Product, ServicePlanId, SkuId, State, UserAccountType, UserId,
};
use cloudpc_store::{
    ActionFilter, DocumentIndex, Group, LicenseHolder, StoreError, Subscription, Tx, User, UserProfile,
};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::world::{START, TestEngine, asked, big, fail, image, rule, small, tenant};

pub const SALES: GroupId = GroupId(Uuid::from_u128(0x91));
pub const SUPPORT: GroupId = GroupId(Uuid::from_u128(0x92));
pub const SMALL: SkuId = SkuId(Uuid::from_u128(0x51));
pub const BIG: SkuId = SkuId(Uuid::from_u128(0x52));
const DAY: Duration = Duration::from_secs(86_400);

pub fn user(number: u32) -> UserId {
    UserId(Uuid::from_u128(0xada0_0000 + u128::from(number)))
}

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

fn document(key: DocumentKey, body: Value) -> Document {
    Document {
        tenant_id: tenant(),
        key,
        revision: 1,
        body: object(body),
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: START,
        modified_at: START,
    }
}

fn add_users(tx: &mut Tx<'_>, count: u32) -> Result<(), StoreError> {
    for number in 1..=count {
        tx.user_put(&User {
            tenant_id: tenant(),
            id: user(number),
            user_principal_name: format!("user{number}@contoso.test"),
            display_name: format!("User {number}"),
            password_hash: None,
            roles: Vec::new(),
            permissions: Vec::new(),
            enabled: true,
            profile: UserProfile::default(),
            created_at: Some(START),
        })?;
    }
    for (id, name) in [(SALES, "Sales"), (SUPPORT, "Support")] {
        tx.group_put(&Group {
            tenant_id: tenant(),
            id,
            display_name: name.into(),
            description: None,
            mail_nickname: name.to_lowercase(),
            mail_enabled: false,
            security_enabled: true,
            created_at: START,
        })?;
    }
    Ok(())
}

pub fn add_subscription(
    tx: &mut Tx<'_>,
    sku_id: SkuId,
    service_plan_id: ServicePlanId,
    units: u32,
) -> Result<(), StoreError> {
    let sku_part_number = "CPC".into();
    let subscription = Subscription { tenant_id: tenant(), sku_id, service_plan_id, sku_part_number, units };
    put_subscription(tx, &subscription, START)
}

/// Adds a policy with an assignment to each target, which queues the groups' members as a server
/// does.
fn add_policy(tx: &mut Tx<'_>, id: &str, body: Value, targets: &[(GroupId, Value)]) -> Result<(), StoreError> {
    let mut policy = json!({
        "displayName": format!("Policy {id}"), "provisioningType": "dedicated", "imageType": "gallery",
        "imageId": image(OsVersion::Windows10).0,
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "westus2"}],
    });
    policy.as_object_mut().unwrap().extend(object(body));
    let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, id);
    tx.document_insert(&document(key, policy), &DocumentIndex::default())?.unwrap();
    for (group, target) in targets {
        let mut body = json!({"target": {"groupId": group.to_string()}});
        body["target"].as_object_mut().unwrap().extend(object(target.clone()));
        let kind = DocumentType::CloudPcProvisioningPolicyAssignment;
        let key = DocumentKey::within(kind, id, &format!("{id}_{group}"));
        tx.document_insert(&document(key, body), &DocumentIndex::default())?.unwrap();
        tx.provisioning_queue_put_members(tenant(), *group, START)?;
    }
    Ok(())
}

impl TestEngine {
    pub async fn cloud_pcs_of(&self, user: UserId) -> Vec<CloudPc> {
        self.change(move |tx| tx.cloud_pc_list(tenant(), Some(user), None, 100)).await
    }

    /// Returns the only Cloud PC of a user.
    pub async fn only_cloud_pc_of(&self, user: UserId) -> CloudPc {
        let [cloud_pc] = self.cloud_pcs_of(user).await.try_into().unwrap();
        cloud_pc
    }

    pub async fn statuses_of(&self, user: UserId) -> Vec<CloudPcStatus> {
        self.cloud_pcs_of(user).await.into_iter().map(|cloud_pc| cloud_pc.status).collect()
    }

    pub async fn cloud_pc_count(&self) -> u64 {
        self.change(|tx| tx.cloud_pc_count(tenant(), None)).await
    }

    pub async fn kinds(&self, id: CloudPcId, filter: ActionFilter) -> Vec<Kind> {
        let list = self.change(move |tx| tx.action_list(tenant(), &id.to_string(), filter, None, 100)).await;
        list.iter().rev().map(cloudpc_model::Action::kind).collect()
    }

    pub async fn license(&self, sku: SkuId, holder: LicenseHolder) {
        let now = self.clock.now();
        self.change(move |tx| tx.license_assign(tenant(), sku, holder, now)).await.unwrap();
    }

    pub async fn unlicense(&self, sku: SkuId, holder: LicenseHolder) {
        let now = self.clock.now();
        assert!(self.change(move |tx| tx.license_unassign(tenant(), sku, holder, now)).await);
    }

    pub async fn join(&self, group: GroupId, user: UserId) {
        let now = self.clock.now();
        assert!(self.change(move |tx| tx.group_member_insert(tenant(), group, user, now)).await);
    }

    pub async fn leave(&self, group: GroupId, user: UserId) {
        let now = self.clock.now();
        assert!(self.change(move |tx| tx.group_member_delete(tenant(), group, user, now)).await);
    }
}

/// A running engine with `users`, a subscription of each size and a policy for the sales group.
pub async fn company(users: u32) -> TestEngine {
    let mut world = TestEngine::new(1).await;
    world
        .change(move |tx| {
            add_users(tx, users)?;
            add_subscription(tx, SMALL, small(), 1000)?;
            add_subscription(tx, BIG, big(), 1000)?;
            add_policy(tx, "1", json!({"cloudPcNamingTemplate": "S-%USERNAME:5%-%RAND:5%"}), &[(SALES, json!({}))])
        })
        .await;
    world.start();
    world.rest().await;
    world
}

#[tokio::test]
async fn member_with_a_licence_gets_one_cloud_pc_of_its_size() {
    let mut world = company(1).await;
    world.license(SMALL, LicenseHolder::User(user(1))).await;
    world.rest().await;
    assert_eq!(world.cloud_pc_count().await, 0, "a licence without a policy");
    world.join(SALES, user(1)).await;
    world.rest().await;
    let cloud_pc = world.only_cloud_pc_of(user(1)).await;
    assert_eq!((cloud_pc.status, cloud_pc.provisioned_at), (CloudPcStatus::Provisioning, None));
    world.idle().await;
    let cloud_pc = world.only_cloud_pc_of(user(1)).await;
    assert_eq!((cloud_pc.status, cloud_pc.service_plan_id), (CloudPcStatus::Provisioned, small()));
    assert_eq!(cloud_pc.managed_device_name.len(), 13);
    assert_eq!(&cloud_pc.managed_device_name[..8], "S-user1-");
    assert_eq!((&*cloud_pc.region, &*cloud_pc.provisioning_policy_id), ("westus2", "1"));
    assert_eq!(cloud_pc.os_version, OsVersion::Windows10);
    assert_eq!(cloud_pc.user_account_type, UserAccountType::StandardUser);
    let machine = world.driver.observe(cloud_pc.id).await.unwrap();
    assert_eq!((machine.spec.vcpu_count, machine.spec.image), (2, image(OsVersion::Windows10)));
    assert_eq!(world.kinds(cloud_pc.id, ActionFilter::All).await, [Kind::Provision]);
    assert_eq!(world.kinds(cloud_pc.id, ActionFilter::Remote).await, [], "no remote action");

    // Queuing the user again changes nothing.
    world.change(|tx| tx.provisioning_queue_put(tenant(), &[user(1)], START)).await;
    world.rest().await;
    assert_eq!(world.cloud_pcs_of(user(1)).await, [cloud_pc]);
    // Another licence gives another Cloud PC.
    world.license(BIG, LicenseHolder::User(user(1))).await;
    world.rest().await;
    world.idle().await;
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::Provisioned; 2]);
}

#[tokio::test]
async fn one_user_is_hired_and_retired() {
    let mut world = company(1).await;
    world.join(SALES, user(1)).await;
    world.license(SMALL, LicenseHolder::User(user(1))).await;
    world.rest().await;
    world.idle().await;
    let id = world.only_cloud_pc_of(user(1)).await.id;
    world.write_marker(id, "work").await;
    let resize = Params::Resize { target_service_plan_id: big() };
    let resize = world.engine.request(&asked(), id, resize).await.unwrap();
    assert_eq!(world.end(resize).await.state, State::Done);

    world.unlicense(SMALL, LicenseHolder::User(user(1))).await;
    world.rest().await;
    let cloud_pc = world.cloud_pc(id).await;
    assert_eq!(cloud_pc.status, CloudPcStatus::InGracePeriod);
    assert_eq!(cloud_pc.grace_ends_at, Some(world.clock.now() + GRACE_PERIOD));
    world.advance(6 * DAY).await;
    world.license(SMALL, LicenseHolder::User(user(1))).await;
    world.rest().await;
    let cloud_pc = world.only_cloud_pc_of(user(1)).await;
    assert_eq!((cloud_pc.id, cloud_pc.status, cloud_pc.grace_ends_at), (id, CloudPcStatus::Provisioned, None));
    assert_eq!(cloud_pc.service_plan_id, big(), "a resized Cloud PC keeps its licence");
    world.advance(8 * DAY).await;
    assert_eq!(world.marker(id).await.as_deref(), Some("work"));
    let refused = world.engine.end_grace_period(&asked(), id).await.unwrap_err();
    assert_eq!(refused.code, "notInGracePeriod");

    world.leave(SALES, user(1)).await;
    world.rest().await;
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::InGracePeriod]);
    world.advance(GRACE_PERIOD - Duration::from_millis(1)).await;
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::InGracePeriod]);
    world.advance(Duration::from_millis(1)).await;
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::Deprovisioning]);
    world.idle().await;
    assert_eq!(world.find_cloud_pc(id).await, None);
    assert!(matches!(world.driver.observe(id).await, Err(DriverError::NotFound(_))));
    assert_eq!(
        world.kinds(id, ActionFilter::All).await,
        [Kind::Provision, Kind::Resize, Kind::Deprovision],
        "the actions stay"
    );
    // Coming back later is a new hire.
    world.join(SALES, user(1)).await;
    world.rest().await;
    world.idle().await;
    assert_ne!(world.only_cloud_pc_of(user(1)).await.id, id);
}

#[tokio::test]
async fn grace_period_that_is_ended_frees_the_licence_for_another_policy() {
    let mut world = company(1).await;
    world.change(|tx| add_policy(tx, "2", json!({"localAdminEnabled": true}), &[(SUPPORT, json!({}))])).await;
    world.license(SMALL, LicenseHolder::User(user(1))).await;
    world.join(SALES, user(1)).await;
    world.rest().await;
    world.idle().await;
    let first = world.only_cloud_pc_of(user(1)).await;
    world.leave(SALES, user(1)).await;
    world.join(SUPPORT, user(1)).await;
    world.rest().await;
    // The licence is in use until the grace period ends.
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::InGracePeriod]);
    world.engine.end_grace_period(&asked(), first.id).await.unwrap();
    world.idle().await;
    world.idle().await;
    let second = world.only_cloud_pc_of(user(1)).await;
    assert_ne!(second.id, first.id);
    assert_eq!((second.status, &*second.provisioning_policy_id), (CloudPcStatus::Provisioned, "2"));
    assert_eq!(second.user_account_type, UserAccountType::Administrator);
}

#[tokio::test]
async fn members_without_a_licence_get_nothing() {
    const MEMBERS: u32 = 500;
    let mut world = company(MEMBERS).await;
    world
        .change(|tx| {
            for number in 1..=MEMBERS {
                tx.group_member_insert(tenant(), SALES, user(number), START)?;
                if number > 7 {
                    tx.license_assign(tenant(), SMALL, LicenseHolder::User(user(number)), START)?.unwrap();
                }
            }
            Ok(())
        })
        .await;
    world.rest().await;
    world.idle().await;
    assert_eq!(world.cloud_pc_count().await, u64::from(MEMBERS) - 7);
    for number in 1..=7 {
        assert_eq!(world.statuses_of(user(number)).await, []);
    }
    assert_eq!(world.statuses_of(user(8)).await, [CloudPcStatus::Provisioned]);
}

#[tokio::test]
async fn licence_that_moves_between_groups_keeps_its_cloud_pc_while_a_policy_applies() {
    let mut world = company(2).await;
    world.license(SMALL, LicenseHolder::Group(SUPPORT)).await;
    for number in [1, 2] {
        world.join(SALES, user(number)).await;
    }
    world.join(SUPPORT, user(1)).await;
    world.rest().await;
    world.idle().await;
    let id = world.only_cloud_pc_of(user(1)).await.id;
    assert_eq!(world.statuses_of(user(2)).await, []);

    // In one change the licences move from support to sales, where both users are.
    let now = world.clock.now();
    world
        .change(move |tx| {
            tx.license_unassign(tenant(), SMALL, LicenseHolder::Group(SUPPORT), now)?;
            tx.license_assign(tenant(), SMALL, LicenseHolder::Group(SALES), now)
        })
        .await
        .unwrap();
    world.rest().await;
    world.idle().await;
    let kept = world.only_cloud_pc_of(user(1)).await;
    assert_eq!((kept.id, kept.status), (id, CloudPcStatus::Provisioned));
    assert_eq!(world.statuses_of(user(2)).await, [CloudPcStatus::Provisioned]);
}

#[tokio::test]
async fn frontline_licence_has_three_seats() {
    let mut world = company(5).await;
    let target = json!({"servicePlanId": small().to_string(), "allotmentLicensesCount": 1});
    world
        .change(move |tx| {
            let mut plan = tx.service_plan(tenant(), small())?.unwrap();
            plan.product = Product::Frontline;
            tx.service_plan_put(tenant(), &plan)?;
            add_policy(tx, "3", json!({"provisioningType": "sharedByUser"}), &[(SUPPORT, target.clone())])?;
            (1..=5).try_for_each(|number| tx.group_member_insert(tenant(), SUPPORT, user(number), START).map(|_| ()))
        })
        .await;
    world.rest().await;
    world.idle().await;
    assert_eq!(world.cloud_pc_count().await, 3);
    let cloud_pc = world.only_cloud_pc_of(user(1)).await;
    assert_eq!((cloud_pc.status, cloud_pc.product), (CloudPcStatus::Provisioned, Product::Frontline));
    assert_eq!(world.statuses_of(user(4)).await, []);
    // A seat that becomes free goes to the next member.
    world.leave(SUPPORT, user(1)).await;
    world.rest().await;
    world.engine.end_grace_period(&asked(), cloud_pc.id).await.unwrap();
    world.idle().await;
    world.idle().await;
    assert_eq!(world.statuses_of(user(1)).await, []);
    assert_eq!(world.cloud_pc_count().await, 3);
}

#[tokio::test]
async fn new_units_give_seats_to_the_members_who_wait() {
    let mut world = TestEngine::new(1).await;
    world
        .change(move |tx| {
            add_users(tx, 5)?;
            add_subscription(tx, SMALL, small(), 1)?;
            let mut plan = tx.service_plan(tenant(), small())?.unwrap();
            plan.product = Product::Frontline;
            tx.service_plan_put(tenant(), &plan)?;
            let target = json!({"servicePlanId": small().to_string()});
            add_policy(tx, "3", json!({"provisioningType": "sharedByUser"}), &[(SUPPORT, target)])?;
            (1..=5).try_for_each(|number| tx.group_member_insert(tenant(), SUPPORT, user(number), START).map(|_| ()))
        })
        .await;
    world.start();
    world.rest().await;
    world.idle().await;
    assert_eq!(world.cloud_pc_count().await, 3);
    for (units, cloud_pcs) in [(1, 3), (2, 5), (1, 5)] {
        world.change(move |tx| add_subscription(tx, SMALL, small(), units)).await;
        world.rest().await;
        world.idle().await;
        assert_eq!(world.cloud_pc_count().await, cloud_pcs, "with {units} units");
    }
}

#[tokio::test]
async fn policy_with_a_region_group_gets_a_region_of_it() {
    let mut world = company(2).await;
    let automatic = json!([{"domainJoinType": "azureADJoin", "regionName": "automatic", "regionGroup": "japan"}]);
    world
        .change(move |tx| {
            add_policy(tx, "2", json!({"domainJoinConfigurations": automatic}), &[(SUPPORT, json!({}))])?;
            tx.group_member_insert(tenant(), SUPPORT, user(1), START)?;
            tx.license_assign(tenant(), SMALL, LicenseHolder::User(user(1)), START)
        })
        .await
        .unwrap();
    world.rest().await;
    assert_eq!(world.only_cloud_pc_of(user(1)).await.region, "japaneast");
}

#[tokio::test]
async fn failed_provisioning_says_why_and_a_reprovision_repairs_it() {
    let mut world = company(1).await;
    world.faults.add(FaultRule { kind: Some(Kind::Provision), step: Some("enrol".into()), ..rule(fail()) });
    world.join(SALES, user(1)).await;
    world.license(SMALL, LicenseHolder::User(user(1))).await;
    world.rest().await;
    world.idle().await;
    let failed = world.only_cloud_pc_of(user(1)).await;
    assert_eq!((failed.status, &*failed.status_detail.unwrap().code), (CloudPcStatus::Failed, "scripted"));
    let params = Params::Reprovision { os_version: None, user_account_type: None, image_id: None };
    let repaired = world.engine.request(&asked(), failed.id, params).await.unwrap();
    assert_eq!(world.end(repaired).await.state, State::Done);
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::Provisioned]);
}

#[tokio::test]
async fn retry_of_a_policy_provisions_what_failed_and_nothing_else() {
    let mut world = company(2).await;
    world.faults.add(FaultRule {
        kind: Some(Kind::Provision),
        nth: Some(1),
        step: Some("enrol".into()),
        ..rule(fail())
    });
    for number in [1, 2] {
        world.join(SALES, user(number)).await;
        world.license(SMALL, LicenseHolder::User(user(number))).await;
    }
    world.rest().await;
    world.idle().await;
    let mut before = Vec::new();
    for number in [1, 2] {
        before.push(world.only_cloud_pc_of(user(number)).await);
    }
    assert_eq!(before.iter().filter(|cloud_pc| cloud_pc.status == CloudPcStatus::Failed).count(), 1);
    world.engine.retry_provisioning(&asked(), "1").await.unwrap();
    world.idle().await;
    for cloud_pc in before {
        let expected = if cloud_pc.status == CloudPcStatus::Failed { 2 } else { 1 };
        assert_eq!(world.kinds(cloud_pc.id, ActionFilter::All).await.len(), expected);
        assert_eq!(world.cloud_pc(cloud_pc.id).await.status, CloudPcStatus::Provisioned);
    }
}

#[tokio::test]
async fn failed_cloud_pc_without_data_goes_at_once_with_its_licence() {
    let mut world = company(1).await;
    world.faults.add(FaultRule { kind: Some(Kind::Provision), step: Some("enrol".into()), ..rule(fail()) });
    world.join(SALES, user(1)).await;
    world.license(SMALL, LicenseHolder::User(user(1))).await;
    world.rest().await;
    world.idle().await;
    world.unlicense(SMALL, LicenseHolder::User(user(1))).await;
    world.rest().await;
    world.idle().await;
    assert_eq!(world.cloud_pc_count().await, 0);
}

#[tokio::test]
async fn grace_that_begins_during_an_action_shows_at_its_end() {
    let mut world = company(1).await;
    world.join(SALES, user(1)).await;
    world.license(SMALL, LicenseHolder::User(user(1))).await;
    world.rest().await;
    world.idle().await;
    let id = world.only_cloud_pc_of(user(1)).await.id;
    let params = Params::Reprovision { os_version: None, user_account_type: None, image_id: None };
    let action = world.engine.request(&asked(), id, params).await.unwrap();
    world.rest().await;
    world.unlicense(SMALL, LicenseHolder::User(user(1))).await;
    world.rest().await;
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::Provisioning]);
    assert_eq!(world.end(action).await.state, State::Done);
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::InGracePeriod]);
}

#[tokio::test]
async fn cloud_pc_that_no_policy_made_is_left_alone() {
    let mut world = company(1).await;
    let id = world.add(1, cloudpc_drivers::sim::ScriptedCondition::default()).await;
    let owner = world.cloud_pc(id).await.user_id.unwrap();
    world.change(move |tx| tx.provisioning_queue_put(tenant(), &[owner], START)).await;
    world.advance(30 * DAY).await;
    assert_eq!(world.cloud_pc(id).await.status, CloudPcStatus::Provisioned);
    assert_eq!(world.change(|tx| tx.provisioning_queue_next(1)).await, []);
}
