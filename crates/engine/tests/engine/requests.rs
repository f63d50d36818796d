//! Requests: what is accepted, what is rejected with which error, and what waits.

use cloudpc_drivers::Driver;
use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_engine::{Effect, FaultRule, RequestContext};
use cloudpc_model::{
    ActionId, Clock, CloudPcId, CloudPcStatus, Error, ErrorKind, GalleryImage, ImageId, OsVersion, Params, Power,
    SnapshotId, State, StatusDetail, TenantId, UserAccountType,
};
use cloudpc_store::ActionFilter;
use std::time::Duration;
use uuid::Uuid;

use crate::world::{TestEngine, asked, big, gpu, image, rule, small, tenant};

const REPROVISION: Params = Params::Reprovision { os_version: None, user_account_type: None, image_id: None };

async fn refused(world: &TestEngine, id: CloudPcId, params: Params) -> Error {
    let before = world.change(|tx| tx.action_open_count()).await;
    let audited = world.audit().await.len();
    let error = world.engine.request(&asked(), id, params).await.unwrap_err();
    assert_eq!(world.change(|tx| tx.action_open_count()).await, before);
    assert_eq!(world.audit().await.len(), audited, "a refusal changes nothing");
    error
}

#[tokio::test]
async fn every_kind_succeeds_on_a_healthy_machine() {
    let (mut world, id) = TestEngine::started(5).await;
    let snapshot = SnapshotId::new(id, Uuid::from_u128(1));
    let all = [
        Params::CreateSnapshot { snapshot_id: snapshot.clone() },
        REPROVISION,
        Params::Resize { target_service_plan_id: big() },
        Params::Restore { snapshot_id: snapshot },
        Params::Rename { display_name: "other".into() },
        Params::Reboot,
        Params::PowerOff,
        Params::PowerOn,
        Params::Troubleshoot,
    ];
    for params in all {
        let kind = params.kind();
        let action = world.engine.request(&asked(), id, params).await.unwrap();
        let ended = world.end(action).await;
        assert_eq!(ended.state, State::Done, "{kind:?}: {ended:#?}");
        world.check_log(action).await;
        assert_eq!(world.cloud_pc(id).await.status, CloudPcStatus::Provisioned, "{kind:?}");
    }
    let deployment = world.deploy(&id.to_string()).await;
    assert_eq!(world.end(deployment).await.state, State::Done);
    assert_eq!(world.driver.installed_agents(id), ["agent.msi"]);
    let steps: Vec<_> = world.action(deployment).await.steps.into_iter().map(|step| step.name).collect();
    insta::assert_snapshot!(steps.join(" "), @"lookUp checkAvailable waitForGuest checkDiskSpace checkNetwork fetchAgent checkFormat checkChecksum runInstaller cleanUp detectAgent");
    insta::assert_snapshot!(world.audit().await.join("\n"), @"
    CreateSnapshot CloudPC
    Reprovision CloudPC
    Resize CloudPC
    Restore CloudPC
    Rename CloudPC
    Reboot CloudPC
    PowerOff CloudPC
    PowerOn CloudPC
    Troubleshoot CloudPC
    DeployAgent CloudPcExternalPartner
    ");
}

#[tokio::test]
async fn impossible_requests_are_rejected() {
    let (world, id) = TestEngine::started(1).await;
    let other = world.add(2, ScriptedCondition::default()).await;
    let big_one = world.add_on(3, big(), ScriptedCondition::default()).await;
    let nowhere = CloudPcId(Uuid::from_u128(404));
    let mut said = String::new();
    for (id, params) in [
        (nowhere, Params::Reboot),
        (id, Params::Resize { target_service_plan_id: cloudpc_model::ServicePlanId(Uuid::nil()) }),
        (id, Params::Resize { target_service_plan_id: small() }),
        (big_one, Params::Resize { target_service_plan_id: small() }),
        (id, Params::Restore { snapshot_id: SnapshotId("CPC_none".into()) }),
        (id, Params::CreateSnapshot { snapshot_id: SnapshotId::new(other, Uuid::nil()) }),
        (id, Params::Rename { display_name: String::new() }),
        (id, Params::Rename { display_name: "é".repeat(65) }),
    ] {
        let error = refused(&world, id, params).await;
        said += &format!("{:?} {}: {}\n", error.kind, error.code, error.message);
    }
    insta::assert_snapshot!(said, @"
    NotFound ResourceNotFound: There is no Cloud PC '00000000-0000-0000-0000-000000000194' in this tenant.
    Invalid BadRequest: There is no service plan '00000000-0000-0000-0000-000000000000'. Choose one from the list of service plans.
    Invalid BadRequest: The Cloud PC already has service plan 'Cloud PC 2vCPU/128GB'.
    Invalid BadRequest: Service plan 'Cloud PC 2vCPU/128GB' has less storage (128 GB) than the Cloud PC (256 GB). A disk cannot shrink.
    Invalid BadRequest: The Cloud PC has no restore point 'CPC_none'.
    Invalid BadRequest: 'CPC_00000000-0000-0000-0000-c10d00000002_00000000-0000-0000-0000-000000000000' is not a restore point id of this Cloud PC.
    Invalid BadRequest: 'displayName' has 0 characters; 1 to 64 are allowed.
    Invalid BadRequest: 'displayName' has 65 characters; 1 to 64 are allowed.
    ");
    world.engine.request(&asked(), id, Params::Rename { display_name: "é".repeat(64) }).await.unwrap();
}

#[tokio::test]
async fn restore_point_of_another_cloud_pc_is_rejected() {
    let (mut world, id) = TestEngine::started(1).await;
    let other = world.add(2, ScriptedCondition::default()).await;
    let snapshot_id = SnapshotId::new(other, Uuid::from_u128(3));
    let made = Params::CreateSnapshot { snapshot_id: snapshot_id.clone() };
    let made = world.engine.request(&asked(), other, made).await.unwrap();
    assert_eq!(world.end(made).await.state, State::Done);
    assert_eq!(refused(&world, id, Params::Restore { snapshot_id }).await.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn cloud_pcs_of_another_tenant_are_not_found() {
    let (world, id) = TestEngine::started(1).await;
    let action = world.engine.request(&asked(), id, Params::Reboot).await.unwrap();
    let stranger = RequestContext { tenant_id: TenantId(Uuid::from_u128(666)), ..asked() };
    let kind = |error: Error| error.kind;
    let reboot = world.engine.request(&stranger, id, Params::Reboot).await;
    assert_eq!(reboot.map_err(kind), Err(ErrorKind::NotFound));
    assert_eq!(world.engine.cancel(&stranger, action).await.map_err(kind), Err(ErrorKind::NotFound));
    assert_eq!(world.engine.settle(&stranger, action).await.map_err(kind), Err(ErrorKind::NotFound));
    let deployed = world.engine.deploy(&stranger, world.partner, vec![id.to_string()]).await;
    assert_eq!(deployed.map(drop).map_err(kind), Err(ErrorKind::NotFound));
}

#[tokio::test]
async fn second_remote_action_is_rejected_with_the_reason() {
    let (mut world, id) = TestEngine::started(1).await;
    let first = world.engine.request(&asked(), id, REPROVISION).await.unwrap();
    let error = refused(&world, id, Params::Reboot).await;
    assert_eq!((error.kind, error.code), (ErrorKind::Conflict, "remoteActionInProgress"));
    insta::assert_snapshot!(error.message, @"A reprovision is already pending on this Cloud PC (action 1). Wait for its result or cancel it, then retry.");
    world.until(first, |action| action.state == State::Running).await;
    assert_eq!(refused(&world, id, Params::Reboot).await.code, "remoteActionInProgress");
    assert_eq!(world.end(first).await.state, State::Done);
    world.engine.request(&asked(), id, Params::Reboot).await.unwrap();
}

#[tokio::test]
async fn one_of_many_concurrent_requests_is_accepted() {
    let (mut world, id) = TestEngine::started(1).await;
    let asks = (0..50).map(|_| {
        let engine = world.engine.clone();
        tokio::spawn(async move { engine.request(&asked(), id, Params::Reboot).await })
    });
    let mut taken = 0;
    for ask in asks.collect::<Vec<_>>() {
        match ask.await.unwrap() {
            Ok(_) => taken += 1,
            Err(error) => assert_eq!(error.code, "remoteActionInProgress"),
        }
    }
    assert_eq!(taken, 1);
    world.idle().await;
    assert_eq!(world.driver.observe(id).await.unwrap().boots, 2);
}

#[tokio::test]
async fn status_can_forbid_an_action() {
    let (world, id) = TestEngine::started(1).await;
    world.update(id, |cloud_pc| cloud_pc.status = CloudPcStatus::InGracePeriod).await;
    let error = refused(&world, id, REPROVISION).await;
    assert_eq!((error.kind, error.code), (ErrorKind::Conflict, "cloudPcStatusNotAllowed"));
    world.engine.request(&asked(), id, Params::Reboot).await.unwrap();
}

#[tokio::test]
async fn status_changes_when_the_action_starts() {
    let (mut world, id) = TestEngine::started(1).await;
    let deployment = world.deploy(&id.to_string()).await;
    world.until(deployment, |action| action.step("runInstaller").is_some()).await;
    let reprovision = world.engine.request(&asked(), id, REPROVISION).await.unwrap();
    world.rest().await;
    assert_eq!(world.action(reprovision).await.state, State::Pending, "it waits for the deployment");
    assert_eq!(world.cloud_pc(id).await.status, CloudPcStatus::Provisioned);
    let waiting = world.action(reprovision).await;
    let place = world.change(move |tx| tx.action_place(&waiting)).await;
    assert_eq!((place.ahead, place.behind), (1, Some(deployment)));
    assert_eq!(world.end(deployment).await.state, State::Done);
    world.until(reprovision, |action| action.step("stop").is_some()).await;
    assert_eq!(world.cloud_pc(id).await.status, CloudPcStatus::Provisioning);
    assert_eq!(world.end(reprovision).await.state, State::Done);
}

#[tokio::test]
async fn machine_with_a_gpu_is_not_resized() {
    let mut world = TestEngine::new(1).await;
    let id = world.add_on(1, gpu(), ScriptedCondition::default()).await;
    world
        .change(|tx| {
            let plan = tx.service_plan(tenant(), gpu())?.unwrap();
            let id = cloudpc_model::ServicePlanId(Uuid::from_u128(5));
            tx.service_plan_put(tenant(), &cloudpc_model::ServicePlan { id, ..plan })
        })
        .await;
    world.start();
    let bigger = Params::Resize { target_service_plan_id: cloudpc_model::ServicePlanId(Uuid::from_u128(5)) };
    let action = world.engine.request(&asked(), id, bigger).await.unwrap();
    let ended = world.end(action).await;
    assert_eq!(ended.state, State::NotSupported);
    assert_eq!(ended.failure().unwrap().code, "resizeNotSupported");
    assert_eq!(world.cloud_pc(id).await.status, CloudPcStatus::Provisioned);
    assert_eq!(world.driver.observe(id).await.unwrap().boots, 1, "the machine was not touched");
}

#[tokio::test]
async fn failed_reprovision_restores_the_previous_status() {
    let (mut world, id) = TestEngine::started(1).await;
    for status in [CloudPcStatus::ProvisionedWithWarnings, CloudPcStatus::Failed] {
        let detail = Some(StatusDetail { code: "code".into(), message: "message".into() });
        let before = detail.clone();
        world.update(id, move |cloud_pc| (cloud_pc.status, cloud_pc.status_detail) = (status, before)).await;
        world.faults.clear();
        world.faults.add(FaultRule { step: Some("enrol".into()), nth: Some(1), ..rule(crate::world::fail()) });
        let first = world.engine.request(&asked(), id, REPROVISION).await.unwrap();
        assert_eq!(world.end(first).await.state, State::Failed);
        let cloud_pc = world.cloud_pc(id).await;
        assert_eq!((cloud_pc.status, cloud_pc.status_before, cloud_pc.status_detail), (status, None, detail));
    }
    let second = world.engine.request(&asked(), id, REPROVISION).await.unwrap();
    assert_eq!(world.end(second).await.state, State::Done);
    let cloud_pc = world.cloud_pc(id).await;
    assert_eq!((cloud_pc.status, cloud_pc.status_detail), (CloudPcStatus::Provisioned, None));
}

#[tokio::test]
async fn powered_off_machine_stays_off_after_resize_and_runs_after_reprovision() {
    let (mut world, id) = TestEngine::started(1).await;
    for params in [Params::PowerOff, Params::Resize { target_service_plan_id: big() }] {
        let action = world.engine.request(&asked(), id, params).await.unwrap();
        assert_eq!(world.end(action).await.state, State::Done);
        assert_eq!(world.driver.observe(id).await.unwrap().power, Power::PoweredOff);
    }
    let reboot = world.engine.request(&asked(), id, Params::Reboot).await.unwrap();
    let reboot = world.end(reboot).await;
    assert_eq!((reboot.state, &*reboot.failure().unwrap().code), (State::Failed, "poweredOff"));
    let action = world.engine.request(&asked(), id, REPROVISION).await.unwrap();
    assert_eq!(world.end(action).await.state, State::Done);
    assert_eq!(world.driver.observe(id).await.unwrap().power, Power::Running);
    assert_eq!(world.cloud_pc(id).await.power_intended, Power::Running);
}

#[tokio::test]
async fn reprovision_with_and_without_parameters() {
    let (mut world, id) = TestEngine::started(1).await;
    let wanted = Params::Reprovision {
        os_version: Some(OsVersion::Windows10),
        user_account_type: Some(UserAccountType::Administrator),
        image_id: None,
    };
    for params in [wanted, REPROVISION] {
        let action = world.engine.request(&asked(), id, params).await.unwrap();
        assert_eq!(world.end(action).await.state, State::Done);
        let cloud_pc = world.cloud_pc(id).await;
        assert_eq!(cloud_pc.os_version, OsVersion::Windows10, "the second keeps what the first set");
        assert_eq!(cloud_pc.user_account_type, UserAccountType::Administrator);
        assert_eq!(world.driver.observe(id).await.unwrap().spec.image, cloud_pc.image_id);
    }
}

#[tokio::test]
async fn image_is_chosen_when_the_reprovision_is_accepted() {
    let (mut world, id) = TestEngine::started(1).await;
    let wanted =
        Params::Reprovision { os_version: Some(OsVersion::Windows10), user_account_type: None, image_id: None };
    let action = world.engine.request(&asked(), id, wanted).await.unwrap();
    world.until(action, |action| action.step("start").is_some()).await;
    let first = GalleryImage {
        id: ImageId("a".into()),
        display_name: "First by its id".into(),
        size_gib: 64,
        os_version: OsVersion::Windows10,
        os_version_number: None,
    };
    world.change(move |tx| tx.gallery_image_put(tenant(), &first)).await;
    assert_eq!(world.end(action).await.state, State::Done);
    assert_eq!(world.cloud_pc(id).await.image_id, image(OsVersion::Windows10));
    assert_eq!(world.driver.observe(id).await.unwrap().spec.image, image(OsVersion::Windows10));
}

#[tokio::test]
async fn troubleshoot_sets_and_clears_its_status_detail() {
    let mut world = TestEngine::new(1).await;
    let conditions =
        world.add(1, ScriptedCondition { no_network: true, disk_full: true, ..ScriptedCondition::default() }).await;
    let silent = world.add(2, ScriptedCondition { guest_hangs: true, ..ScriptedCondition::default() }).await;
    world.start();
    let mut said = String::new();
    for id in [conditions, silent] {
        let action = world.engine.request(&asked(), id, Params::Troubleshoot).await.unwrap();
        assert_eq!(world.end(action).await.state, State::Done);
        let cloud_pc = world.cloud_pc(id).await;
        assert_eq!(cloud_pc.status, CloudPcStatus::ProvisionedWithWarnings);
        said += &format!("{}\n", cloud_pc.status_detail.unwrap().message);
    }
    insta::assert_snapshot!(said, @"
    The system disk has 16 MiB free; agents need 1024 MiB. agents.partner.test cannot be reached: no network
    The guest did not respond within 30 seconds.
    ");
    let well = world.add(3, ScriptedCondition::default()).await;
    for (code, status) in
        [("healthCheckFailed", CloudPcStatus::Provisioned), ("somethingElse", CloudPcStatus::ProvisionedWithWarnings)]
    {
        world
            .update(well, |cloud_pc| {
                cloud_pc.status = CloudPcStatus::ProvisionedWithWarnings;
                cloud_pc.status_detail = Some(StatusDetail { code: code.into(), message: String::new() });
            })
            .await;
        let action = world.engine.request(&asked(), well, Params::Troubleshoot).await.unwrap();
        assert_eq!(world.end(action).await.state, State::Done);
        assert_eq!(world.cloud_pc(well).await.status, status, "only its own warning is cleared");
    }
}

#[tokio::test]
async fn action_that_times_out_fails_and_is_undone() {
    let (mut world, id) = TestEngine::started(1).await;
    // Each attempt times out, and the action's deadline expires before the attempts are used up.
    for (step, by_ms) in [("makeDisk", 35 * 60_000), ("enrol", 15 * 60_000)] {
        world.faults.add(FaultRule { step: Some(step.into()), ..rule(Effect::SlowDown { by_ms }) });
    }
    world.faults.add(FaultRule { step: Some("deployAgents".into()), ..rule(Effect::Hang) });
    world
        .change(move |tx| {
            let new = cloudpc_store::NewAction {
                tenant_id: tenant(),
                target: id.to_string(),
                params: REPROVISION,
                requested_by: asked().by,
                bulk_action_id: None,
                requested_at: crate::world::START,
                deadline_at: crate::world::START + Duration::from_secs(3600),
                tag_nonce: 1,
                idempotency_key: None,
            };
            tx.action_insert(&new)
        })
        .await;
    world.engine.deploy(&asked(), world.partner, vec![id.to_string()]).await.unwrap();
    let action = first_of(&world, id).await;
    let ended = world.end(action).await;
    assert_eq!((ended.state, &*ended.failure().unwrap().code), (State::Failed, "actionTimeout"));
    assert_eq!(world.driver.observe(id).await.unwrap().disk, None, "the old disk");
    assert!(world.clock.now() < crate::world::START + Duration::from_secs(3600 + 600));
}

async fn first_of(world: &TestEngine, id: CloudPcId) -> ActionId {
    let target = id.to_string();
    let list = world.change(move |tx| tx.action_list(tenant(), &target, ActionFilter::All, None, 100)).await;
    list.last().unwrap().id
}
