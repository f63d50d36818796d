//! Cloud PCs that wait for a licence, on the virtual clock: new ones while too many others are in
//! their grace period, and resizes of those whose licence comes from a group.

use cloudpc_drivers::{Driver, DriverError};
use cloudpc_engine::{GRACE_PERIOD, LICENSE_WAIT};
use cloudpc_model::{
    Action, ActionId, Clock, CloudPc, CloudPcId, CloudPcStatus, DocumentKey, DocumentType, GroupId, Kind, Params,
    ServicePlan, ServicePlanId, SkuId, State,
};
use cloudpc_store::{ActionFilter, DocumentIndex, Group, LicenseHolder};
use std::time::Duration;
use uuid::Uuid;

use crate::provisioning::{BIG, SALES, SMALL, SUPPORT, add_subscription, company, user};
use crate::world::{START, TestEngine, asked, big, fail, rule, small, tenant};

/// The group that gives the licence of the new size.
const DESIGN: GroupId = GroupId(Uuid::from_u128(0x93));
const HUGE: SkuId = SkuId(Uuid::from_u128(0x53));
const INSTANT: Duration = Duration::from_millis(1);

fn huge() -> ServicePlanId {
    ServicePlanId(Uuid::from_u128(0x1e))
}

/// Three users in turn had the only licence: two Cloud PCs are in their grace period, and the third
/// waits.
async fn one_licence_for_three() -> (TestEngine, [CloudPc; 3]) {
    let mut world = company(3).await;
    world.change(|tx| add_subscription(tx, SMALL, small(), 1)).await;
    for number in 1..=3 {
        world.join(SALES, user(number)).await;
        world.license(SMALL, LicenseHolder::User(user(number))).await;
        world.rest().await;
        world.idle().await;
        if number < 3 {
            world.unlicense(SMALL, LicenseHolder::User(user(number))).await;
            world.rest().await;
        }
    }
    let mut cloud_pcs = Vec::new();
    for number in 1..=3 {
        cloud_pcs.push(world.only_cloud_pc_of(user(number)).await);
    }
    (world, cloud_pcs.try_into().unwrap())
}

impl TestEngine {
    async fn status(&self, id: CloudPcId) -> Option<CloudPcStatus> {
        self.find_cloud_pc(id).await.map(|cloud_pc| cloud_pc.status)
    }
}

#[tokio::test]
async fn new_cloud_pc_waits_while_more_are_in_grace_than_there_are_licences() {
    let (mut world, [first, second, third]) = one_licence_for_three().await;
    assert_eq!(
        [first.status, second.status, third.status],
        [CloudPcStatus::InGracePeriod, CloudPcStatus::InGracePeriod, CloudPcStatus::PendingProvision],
        "one in its grace period is not too many for one licence"
    );
    world.engine.provision_missing().await.unwrap();
    world.crash().await;
    world.advance(GRACE_PERIOD / 2).await;
    assert_eq!(world.status(third.id).await, Some(CloudPcStatus::PendingProvision));
    assert_eq!(world.kinds(third.id, ActionFilter::All).await, []);
    assert!(matches!(world.driver.observe(third.id).await, Err(DriverError::NotFound(_))));
    let refused = world.engine.request(&asked(), third.id, Params::Reboot).await.unwrap_err();
    assert_eq!(refused.code, "cloudPcStatusNotAllowed");

    world
        .change(|tx| {
            let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, "1");
            let mut policy = tx.document(tenant(), &key)?.unwrap();
            policy.body["domainJoinConfigurations"][0]["regionName"] = "northeurope".into();
            tx.document_update(&policy, &DocumentIndex::default())
        })
        .await
        .unwrap();
    world.engine.end_grace_period(&asked(), first.id).await.unwrap();
    world.rest().await;
    assert_eq!(world.cloud_pc(third.id).await.region, "northeurope", "the present settings of the policy count");
    assert_eq!(world.status(third.id).await, Some(CloudPcStatus::Provisioning));
    world.idle().await;
    assert_eq!(world.status(third.id).await, Some(CloudPcStatus::Provisioned));
    assert_eq!(world.kinds(third.id, ActionFilter::All).await, [Kind::Provision]);
}

#[tokio::test]
async fn new_cloud_pc_is_provisioned_when_a_grace_period_expires() {
    let (mut world, [first, _, third]) = one_licence_for_three().await;
    let ends_at = first.grace_ends_at.unwrap();
    world.advance(ends_at.since(world.clock.now()) - INSTANT).await;
    assert_eq!(world.status(third.id).await, Some(CloudPcStatus::PendingProvision));
    world.advance(INSTANT).await;
    world.idle().await;
    assert_eq!(world.status(third.id).await, Some(CloudPcStatus::Provisioned));
}

#[tokio::test]
async fn new_cloud_pc_is_provisioned_when_there_are_more_licences() {
    let (mut world, [first, _, third]) = one_licence_for_three().await;
    world.change(|tx| add_subscription(tx, SMALL, small(), 2)).await;
    world.rest().await;
    world.idle().await;
    assert_eq!(world.status(third.id).await, Some(CloudPcStatus::Provisioned));
    assert_eq!(world.status(first.id).await, Some(CloudPcStatus::InGracePeriod));
}

#[tokio::test]
async fn new_cloud_pc_is_provisioned_when_another_leaves_its_grace_period() {
    let (mut world, [first, _, third]) = one_licence_for_three().await;
    world
        .change(|tx| {
            let mut subscription = tx.subscription(tenant(), SMALL)?.unwrap();
            subscription.units = 2;
            // Unlike `put_subscription`, this queues nobody.
            tx.subscription_put(&subscription, START)?;
            tx.license_assign(tenant(), SMALL, LicenseHolder::User(user(1)), START)
        })
        .await
        .unwrap();
    world.rest().await;
    world.idle().await;
    assert_eq!(world.status(first.id).await, Some(CloudPcStatus::Provisioned));
    assert_eq!(world.status(third.id).await, Some(CloudPcStatus::Provisioned));
}

#[tokio::test]
async fn cloud_pc_that_was_never_provisioned_goes_with_its_licence() {
    let (mut world, [_, _, third]) = one_licence_for_three().await;
    world.unlicense(SMALL, LicenseHolder::User(user(3))).await;
    world.rest().await;
    world.idle().await;
    assert_eq!(world.status(third.id).await, None);
}

/// A user whose Cloud PC has a small licence from the support group, and a resize of it to the big
/// plan. The design group gives big licences.
async fn resizing() -> (TestEngine, CloudPcId, ActionId) {
    let (mut world, id) = with_group_licence().await;
    let resize = Params::Resize { target_service_plan_id: big() };
    let action = world.engine.request(&asked(), id, resize).await.unwrap();
    world.rest().await;
    assert_eq!(world.status(id).await, Some(CloudPcStatus::ResizePendingLicense));
    (world, id, action)
}

async fn with_group_licence() -> (TestEngine, CloudPcId) {
    let mut world = company(1).await;
    world
        .change(|tx| {
            let support = tx.group(tenant(), SUPPORT)?.unwrap();
            tx.group_put(&Group { id: DESIGN, display_name: "Design".into(), ..support })?;
            let plan = tx.service_plan(tenant(), big())?.unwrap();
            tx.service_plan_put(tenant(), &ServicePlan { id: huge(), vcpu_count: 8, ..plan })?;
            add_subscription(tx, HUGE, huge(), 10)
        })
        .await;
    world.license(SMALL, LicenseHolder::Group(SUPPORT)).await;
    world.license(BIG, LicenseHolder::Group(DESIGN)).await;
    world.join(SALES, user(1)).await;
    world.join(SUPPORT, user(1)).await;
    world.rest().await;
    world.idle().await;
    let id = world.only_cloud_pc_of(user(1)).await.id;
    (world, id)
}

fn plans(cloud_pcs: &[CloudPc]) -> Vec<ServicePlanId> {
    cloud_pcs.iter().map(|cloud_pc| cloud_pc.service_plan_id).collect()
}

fn failure_code(action: &Action) -> Option<&str> {
    action.failure().map(|failure| &*failure.code)
}

#[tokio::test]
async fn resize_does_not_take_an_unused_licence_of_the_present_size() {
    const SAME_SIZE: SkuId = SkuId(Uuid::from_u128(0x5a));
    let (mut world, id, resize) = resizing().await;
    world.change(|tx| add_subscription(tx, SAME_SIZE, small(), 1)).await;
    world.license(SAME_SIZE, LicenseHolder::User(user(1))).await;
    world.rest().await;
    assert_eq!(world.status(id).await, Some(CloudPcStatus::ResizePendingLicense));
    assert_eq!(world.action(resize).await.state, State::Pending);
}

#[tokio::test]
async fn resize_waits_for_the_new_licence_of_a_group_and_then_uses_it() {
    let (mut world, id, resize) = resizing().await;
    world.leave(SUPPORT, user(1)).await;
    world.crash().await;
    world.advance(LICENSE_WAIT - Duration::from_secs(60)).await;
    assert_eq!(world.status(id).await, Some(CloudPcStatus::ResizePendingLicense), "no grace period meanwhile");
    assert_eq!(world.action(resize).await.state, State::Pending);
    assert_eq!(world.cloud_pc(id).await.service_plan_id, small());
    let refused = world.engine.request(&asked(), id, Params::Reboot).await.unwrap_err();
    assert_eq!(refused.code, "remoteActionInProgress");

    world.join(DESIGN, user(1)).await;
    world.rest().await;
    assert_eq!(world.status(id).await, Some(CloudPcStatus::Resizing));
    assert_eq!(world.end(resize).await.state, State::Done);
    let cloud_pc = world.only_cloud_pc_of(user(1)).await;
    assert_eq!(
        (cloud_pc.id, cloud_pc.status, cloud_pc.service_plan_id),
        (id, CloudPcStatus::Provisioned, big()),
        "it is not provisioned anew"
    );
    world.advance(LICENSE_WAIT).await;
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::Provisioned]);
    world.leave(DESIGN, user(1)).await;
    world.rest().await;
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::InGracePeriod], "it is the new licence that counts");
}

#[tokio::test]
async fn resize_without_any_licence_ends_in_the_grace_period() {
    let (mut world, id, resize) = resizing().await;
    world.leave(SUPPORT, user(1)).await;
    world.advance(LICENSE_WAIT).await;
    let ended = world.end(resize).await;
    assert_eq!((ended.state, failure_code(&ended)), (State::Failed, Some("licenseNotFound")));
    world.rest().await;
    let cloud_pc = world.cloud_pc(id).await;
    assert_eq!((cloud_pc.status, cloud_pc.service_plan_id), (CloudPcStatus::InGracePeriod, small()));
}

#[tokio::test]
async fn resize_with_the_old_licence_only_ends_with_the_old_size() {
    let (mut world, id, resize) = resizing().await;
    world.advance(LICENSE_WAIT - INSTANT).await;
    assert_eq!(world.status(id).await, Some(CloudPcStatus::ResizePendingLicense));
    world.advance(INSTANT).await;
    let ended = world.end(resize).await;
    assert_eq!((ended.state, failure_code(&ended)), (State::Failed, Some("licenseNotFound")));
    let cloud_pc = world.only_cloud_pc_of(user(1)).await;
    assert_eq!((cloud_pc.status, cloud_pc.service_plan_id), (CloudPcStatus::Provisioned, small()));
    assert_eq!(cloud_pc.status_before, None);
    world.engine.request(&asked(), id, Params::Reboot).await.unwrap();
}

#[tokio::test]
async fn resize_with_both_licences_leaves_the_old_one_to_a_second_cloud_pc() {
    let (mut world, id, resize) = resizing().await;
    world.join(DESIGN, user(1)).await;
    world.rest().await;
    assert_eq!(world.end(resize).await.state, State::Done);
    world.idle().await;
    assert_eq!(world.cloud_pc(id).await.service_plan_id, big());
    let mut sizes = plans(&world.cloud_pcs_of(user(1)).await);
    sizes.sort();
    assert_eq!(sizes, [small(), big()]);
    assert_eq!(world.statuses_of(user(1)).await, [CloudPcStatus::Provisioned; 2]);
}

#[tokio::test]
async fn resize_takes_the_size_of_another_licence_that_the_user_gets() {
    let (mut world, id, resize) = resizing().await;
    world.license(HUGE, LicenseHolder::User(user(1))).await;
    world.leave(SUPPORT, user(1)).await;
    world.rest().await;
    assert_eq!(world.end(resize).await.state, State::Done);
    assert_eq!(plans(&world.cloud_pcs_of(user(1)).await), [huge()]);
    assert_eq!(world.driver.observe(id).await.unwrap().spec.vcpu_count, 8);
}

#[tokio::test]
async fn canceled_resize_no_longer_waits() {
    let (mut world, id, resize) = resizing().await;
    world.leave(SUPPORT, user(1)).await;
    world.rest().await;
    world.engine.cancel(&asked(), resize).await.unwrap();
    assert_eq!(world.status(id).await, Some(CloudPcStatus::Provisioned));
    assert_eq!(world.action(resize).await.state, State::Canceled);
    world.rest().await;
    assert_eq!(world.status(id).await, Some(CloudPcStatus::InGracePeriod), "the licence is gone");
}

#[tokio::test]
async fn failed_resize_keeps_the_new_licence() {
    let (mut world, id, resize) = resizing().await;
    world.faults.add(cloudpc_engine::FaultRule { step: Some("changeSize".into()), ..rule(fail()) });
    world.leave(SUPPORT, user(1)).await;
    world.join(DESIGN, user(1)).await;
    world.rest().await;
    assert_eq!(world.end(resize).await.state, State::Failed);
    world.idle().await;
    assert_eq!(plans(&world.cloud_pcs_of(user(1)).await), [small()]);
    assert_eq!(world.status(id).await, Some(CloudPcStatus::Provisioned));
}

#[tokio::test]
async fn resize_of_a_licence_of_the_user_itself_does_not_wait() {
    let (mut world, id) = with_group_licence().await;
    world.license(SMALL, LicenseHolder::User(user(1))).await;
    world.rest().await;
    let resize = Params::Resize { target_service_plan_id: big() };
    let resize = world.engine.request(&asked(), id, resize).await.unwrap();
    world.rest().await;
    assert_eq!(world.status(id).await, Some(CloudPcStatus::Resizing));
    assert_eq!(world.end(resize).await.state, State::Done);
}

#[tokio::test]
async fn deployment_ahead_of_a_waiting_resize_finds_a_usable_machine() {
    let (mut world, id) = with_group_licence().await;
    let deployment = world.deploy(&id.to_string()).await;
    let resize = Params::Resize { target_service_plan_id: big() };
    world.engine.request(&asked(), id, resize).await.unwrap();
    assert_eq!(world.end(deployment).await.state, State::Done);
    assert_eq!(world.status(id).await, Some(CloudPcStatus::ResizePendingLicense));
}
