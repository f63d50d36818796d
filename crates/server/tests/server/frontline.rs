//! Frontline Cloud PCs: starting and stopping them, with licences that they share.

use cloudpc_model::{CloudPc, Product};
use cloudpc_store::Tx;
use serde_json::json;

use crate::document_cases::add_frontline_subscription;
use crate::world::{DESK_1, DESK_2, OWNER_TENANT, TestServer, Who};

const ROOT: &str = "/beta/deviceManagement/virtualEndpoint";

/// Returns a server on which the first two Cloud PCs are frontline ones, with this many licences.
async fn server(units: u32) -> TestServer {
    let world = TestServer::new().await;
    add_frontline_subscription(&world, 1).await;
    let put = move |tx: &mut Tx<'_>| {
        let tenant = OWNER_TENANT.parse().unwrap();
        let mut subscription = tx.subscription_list(tenant)?.remove(0);
        subscription.units = units;
        tx.subscription_put(&subscription, cloudpc_model::Timestamp(1))?;
        for id in [DESK_1, DESK_2] {
            let cloud_pc = tx.cloud_pc(tenant, id.parse().unwrap())?.unwrap();
            let service_plan_id = subscription.service_plan_id;
            tx.cloud_pc_update(&CloudPc { product: Product::Frontline, service_plan_id, ..cloud_pc })?;
        }
        Ok::<_, cloudpc_store::StoreError>(())
    };
    world.app.store.write("test.write", put).await.unwrap();
    world.run();
    world
}

async fn state(world: &TestServer, id: &str) -> String {
    let path = format!("{ROOT}/cloudPCs/{id}/getFrontlineCloudPcAccessState");
    world.get(Who::Reader, &path).await.json()["value"].as_str().unwrap().to_owned()
}

async fn availability(world: &TestServer, id: &str) -> String {
    let path = format!("{ROOT}/cloudPCs/{id}/retrieveFrontlineCloudPcDetail");
    let detail = world.get(Who::Reader, &path).await.json()["frontlineCloudPcAvailability"].clone();
    let property = "frontlineCloudPcAvailability";
    let cloud_pc = world.get(Who::Reader, &format!("{ROOT}/cloudPCs/{id}?$select={property}")).await.json();
    assert_eq!(cloud_pc[property], detail);
    detail.as_str().unwrap().to_owned()
}

async fn used(world: &TestServer) -> u64 {
    let plan = world.get(Who::Reader, &format!("{ROOT}/frontLineServicePlans")).await.rows().remove(0);
    let used = plan["usedCount"].as_u64().unwrap();
    let body = json!({"reportName": "licenseUsageRealTimeReport"});
    let report = world.call(Who::Reader, "POST", &format!("{ROOT}/reports/retrieveFrontlineReports"), Some(body)).await;
    let report = report.json();
    let place = report["Schema"].as_array().unwrap().iter().position(|column| column["Column"] == "UsedLicensesCount");
    assert_eq!(report["Values"][0][place.unwrap()], used, "{report}");
    used
}

#[tokio::test]
async fn a_start_takes_a_licence_and_a_stop_gives_it_back() {
    let world = server(1).await;
    let (first, second) = (format!("/beta/me/cloudPCs/{DESK_1}"), format!("/beta/me/cloudPCs/{DESK_2}"));
    assert_eq!((state(&world, DESK_1).await, used(&world).await), ("standbyMode".into(), 0));
    let launch = world.get(Who::Ada, &format!("{first}/retrieveCloudPcLaunchDetail")).await;
    assert_eq!(launch.error(), (409, "frontlineNotStarted".into()));
    assert_eq!(world.post(Who::Ada, &format!("{first}/start")).await.status, 204);
    assert_eq!((state(&world, DESK_1).await, used(&world).await), ("activating".into(), 1));
    world.rest().await;
    assert_eq!(state(&world, DESK_1).await, "active");
    assert_eq!(world.get(Who::Ada, &format!("{first}/retrieveCloudPcLaunchDetail")).await.status, 200);
    assert_eq!(
        (availability(&world, DESK_1).await, availability(&world, DESK_2).await),
        ("available".into(), "notAvailable".into())
    );
    let full = world.post(Who::Alan, &format!("{second}/start")).await;
    assert_eq!(full.error(), (409, "noLicensesAvailable".into()));
    assert!(full.body.contains("1 of 1"), "{full}");
    // An administrator's `powerOn` needs a licence as well.
    assert_eq!(world.post(Who::Writer, &format!("{ROOT}/cloudPCs/{DESK_2}/powerOn")).await.error().0, 409);
    // The licence is free as soon as the stop is accepted.
    assert_eq!(world.post(Who::Ada, &format!("{first}/stop")).await.status, 204);
    assert_eq!((state(&world, DESK_1).await, used(&world).await), ("standbyMode".into(), 0));
    assert_eq!(world.post(Who::Alan, &format!("{second}/start")).await.status, 204);
    world.rest().await;
    assert_eq!((state(&world, DESK_2).await, used(&world).await), ("active".into(), 1));
    let off = world.post(Who::Writer, &format!("{ROOT}/cloudPCs/{DESK_2}/powerOff")).await;
    assert_eq!((off.status.as_u16(), used(&world).await), (204, 0));
}

#[tokio::test]
async fn of_two_starts_that_race_for_the_last_licence_one_is_refused() {
    let world = server(1).await;
    let start = async |who, id: &str| world.post(who, &format!("/beta/me/cloudPCs/{id}/start")).await.status.as_u16();
    let mut both = <[u16; 2]>::from(tokio::join!(start(Who::Ada, DESK_1), start(Who::Alan, DESK_2)));
    both.sort_unstable();
    assert_eq!((both, used(&world).await), ([204, 409], 1));
}

#[tokio::test]
async fn a_sign_out_parks_the_cloud_pc() {
    let world = server(1).await;
    assert_eq!(world.post(Who::Ada, &format!("/beta/me/cloudPCs/{DESK_1}/start")).await.status, 204);
    world.rest().await;
    let cloud_pc =
        world.app.store.read(|reader| reader.cloud_pc(OWNER_TENANT.parse().unwrap(), DESK_1.parse().unwrap()));
    let cloud_pc = cloud_pc.await.unwrap().unwrap();
    let session = cloudpc_model::RemoteSession {
        id: 0,
        user_principal_name: "ada@contoso.test".into(),
        signed_in_at: cloudpc_model::Timestamp(1),
        signed_out_at: None,
        seen_at: None,
        round_trip_ms: None,
        bandwidth_kbps: None,
        sign_in_ms: None,
    };
    let (tenant, id) = (cloud_pc.tenant_id, cloud_pc.id);
    let open = move |tx: &mut Tx<'_>| tx.remote_session_insert(tenant, id, &session);
    world.app.store.write("test.write", open).await.unwrap();
    let resource = cloudpc_model::AuditResource::new(cloudpc_model::ResourceType::CloudPc, id);
    let actor = cloudpc_model::Actor::system();
    let entry =
        cloudpc_model::AuditEntry::new(tenant, crate::world::START, actor, cloudpc_model::AuditVerb::Inject, resource);
    assert_eq!(world.app.engine.sign_out(tenant, id, entry.clone()).await.unwrap(), 1);
    assert_eq!(used(&world).await, 0);
    world.rest().await;
    let shown = world.get(Who::Reader, &format!("{ROOT}/cloudPCs/{DESK_1}?$select=powerState")).await.json();
    assert_eq!((shown["powerState"].as_str(), state(&world, DESK_1).await), (Some("poweredOff"), "standbyMode".into()));
    assert_eq!(world.app.engine.sign_out(tenant, id, entry).await.unwrap(), 0, "no session is open");
}

#[tokio::test]
async fn a_failed_or_canceled_start_gives_the_licence_back() {
    let world = server(1).await;
    let start = format!("/beta/me/cloudPCs/{DESK_1}/start");
    let simulation = world.app.simulation.as_ref().unwrap();
    let fail = cloudpc_engine::FaultRule {
        kind: Some(cloudpc_model::Kind::PowerOn),
        ..serde_json::from_value(json!({"effect": {"effect": "fail", "code": "scripted"}})).unwrap()
    };
    simulation.faults.add(fail);
    assert_eq!(world.post(Who::Ada, &start).await.status, 204);
    world.rest().await;
    assert_eq!((state(&world, DESK_1).await, used(&world).await), ("activationFailed".into(), 0));
}

#[tokio::test]
async fn only_frontline_cloud_pcs_are_started_and_stopped() {
    let world = TestServer::new().await;
    for verb in ["start", "stop"] {
        let reply = world.post(Who::Ada, &format!("/beta/me/cloudPCs/{DESK_1}/{verb}")).await;
        assert_eq!(reply.error(), (400, "BadRequest".into()));
    }
    let state = world.get(Who::Reader, &format!("{ROOT}/cloudPCs/{DESK_1}/getFrontlineCloudPcAccessState")).await;
    assert_eq!(state.error(), (400, "BadRequest".into()));
    assert_eq!(availability(&world, DESK_1).await, "notApplicable");
}
