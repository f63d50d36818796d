//! What the smaller configuration entities mean: maintenance windows, alerts, cloud apps, pools.

use cloudpc_engine::{ALERT_RECORDS_MAX, maintenance_schedules};
use cloudpc_model::{
    CloudPcId, CloudPcStatus, Document, DocumentKey, DocumentType, GroupId, TenantId, UserId, open_maintenance_window,
};
use cloudpc_server::operations::CLOUD_APPS_PUBLISHED_MAX;
use cloudpc_store::{DocumentIndex, Group, Reader, StoreError, Tx};
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::world::{DESK_1, DESK_2, OWNER_TENANT, START, TestServer, Who};

const ENDPOINT: &str = "/beta/deviceManagement/virtualEndpoint";
const RULES: &str = "/beta/deviceManagement/monitoring/alertRules";
const RECORDS: &str = "/beta/deviceManagement/monitoring/alertRecords";
const IMAGE: &str = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";
const GROUP: &str = "0a000000-0000-4000-8000-000000000001";
const ADA: &str = "10000000-0000-4000-8000-0000000000a1";
const ALAN: &str = "10000000-0000-4000-8000-0000000000a2";
/// The built-in rule on failed Cloud PCs.
const PROVISIONING: &str = "215c55cc-b1c9-4d36-a870-be5778101714";

fn tenant() -> TenantId {
    OWNER_TENANT.parse().unwrap()
}

async fn write<T: Send + 'static>(
    world: &TestServer,
    change: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    world.app.store.write("test.write", change).await.unwrap()
}

/// A server with a group whose only member is Ada.
async fn server() -> TestServer {
    let world = TestServer::new().await;
    let group = Group {
        tenant_id: tenant(),
        id: GROUP.parse().unwrap(),
        display_name: "Team".into(),
        description: None,
        mail_nickname: "team".into(),
        mail_enabled: false,
        security_enabled: true,
        created_at: START,
    };
    let (id, ada): (GroupId, UserId) = (group.id, ADA.parse().unwrap());
    write(&world, move |tx| {
        tx.group_put(&group)?;
        tx.group_member_insert(tenant(), id, ada, START)
    })
    .await;
    world
}

async fn create(world: &TestServer, collection: &str, body: Value) -> String {
    let made = world.call(Who::Writer, "POST", &format!("{ENDPOINT}/{collection}"), Some(body)).await;
    assert_eq!(made.status, 201, "{made}");
    made.json()["id"].as_str().unwrap().to_owned()
}

/// Returns status and message of a refused request.
async fn refused(world: &TestServer, method: &str, path: &str, body: Value) -> (u16, String) {
    let body = if method == "DELETE" { None } else { Some(body) };
    let reply = world.call(Who::Writer, method, path, body).await;
    (reply.status.as_u16(), reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn maintenance_windows_apply_to_the_members_of_their_groups() {
    let world = server().await;
    let schedule = json!({"scheduleType": "weekend", "startTime": "00:00:00.000", "endTime": "00:00:00.000"});
    let id = create(&world, "maintenanceWindows", json!({"displayName": "Weekend", "schedules": [schedule]})).await;
    let one = format!("{ENDPOINT}/maintenanceWindows/{id}");
    let assigned = json!({"assignments": [{"target": {"groupId": GROUP}}]});
    assert_eq!(world.call(Who::Writer, "POST", &format!("{one}/assign"), Some(assigned)).await.status, 204);
    let schedules = async |id: &str| {
        let id: CloudPcId = id.parse().unwrap();
        let read = move |reader: &Reader<'_>| maintenance_schedules(reader, &reader.cloud_pc(tenant(), id)?.unwrap());
        world.app.store.read(read).await.unwrap()
    };
    assert_eq!(schedules(DESK_2).await, []);
    let found = schedules(DESK_1).await;
    // The clock begins on a Sunday.
    assert!(open_maintenance_window(&found, START).is_some());

    let (status, message) = refused(&world, "DELETE", &one, Value::Null).await;
    assert!(status == 409 && message.contains("has 1 assignments"), "{status} {message}");
    let short = json!({"schedules": [{"scheduleType": "weekday", "startTime": "01:00:00", "endTime": "02:59:00"}]});
    let (status, message) = refused(&world, "PATCH", &one, short).await;
    assert!(status == 400 && message.contains("lasts 119 minutes"), "{status} {message}");
    for wrong in ["1:00", "25:00:00", "noon", "01:00:00Z"] {
        let body = json!({"schedules": [{"scheduleType": "weekday", "startTime": wrong, "endTime": "09:00:00"}]});
        let (status, message) = refused(&world, "PATCH", &one, body).await;
        assert!(status == 400 && message.contains("a time of day such as 08:30:00"), "{status} {message}");
    }
}

/// Waits until the engine has evaluated every alert rule.
async fn evaluate(world: &TestServer) {
    for _ in 0..10_000 {
        if world.app.store.read(|reader| reader.alert_evaluation_next(None)).await.unwrap().is_none() {
            return;
        }
        world.clock.advance(Duration::ZERO).await;
        tokio::task::yield_now().await;
    }
    panic!("alert rules were not evaluated");
}

/// Sets the status of a Cloud PC as the end of an action does.
async fn set_status(world: &TestServer, status: CloudPcStatus) {
    let id: CloudPcId = DESK_1.parse().unwrap();
    write(world, move |tx| {
        let before = tx.cloud_pc(tenant(), id)?.expect("the fleet has it");
        let mut after = before.clone();
        after.status = status;
        tx.cloud_pc_update_from(&before, &after)
    })
    .await;
    evaluate(world).await;
}

/// Returns the records of a rule: status and impact, the active one first.
async fn records(world: &TestServer, rule: &str) -> Vec<(String, i64)> {
    let path = format!("{RECORDS}?$filter=alertRuleId%20eq%20'{rule}'&$orderby=status");
    let row = |row: &Value| (row["status"].as_str().unwrap().to_owned(), row["alertImpact"]["value"].as_i64().unwrap());
    world.get(Who::Reader, &path).await.rows().iter().map(row).collect()
}

#[tokio::test]
async fn alerts_follow_what_their_rules_watch() {
    let world = server().await;
    world.run();
    evaluate(&world).await;
    let active = |count: i64| ("active".to_owned(), count);
    let resolved = |count: i64| ("resolved".to_owned(), count);
    assert_eq!(records(&world, PROVISIONING).await, [active(1)], "the fleet has a failed Cloud PC");
    set_status(&world, CloudPcStatus::Failed).await;
    assert_eq!(records(&world, PROVISIONING).await, [active(2)], "one record for as long as it holds");

    let rule = format!("{RULES}/{PROVISIONING}");
    let condition = json!({
        "aggregation": "affectedCloudPcCount", "conditionCategory": "provisionFailures", "operator": "greater",
        "relationshipType": "and", "thresholdValue": "1",
    });
    let changed = world.call(Who::Writer, "PATCH", &rule, Some(json!({"conditions": [condition]}))).await;
    assert_eq!(changed.status, 200, "{changed}");
    evaluate(&world).await;
    assert_eq!(records(&world, PROVISIONING).await, [active(2)]);
    set_status(&world, CloudPcStatus::Provisioned).await;
    assert_eq!(records(&world, PROVISIONING).await, [resolved(2)]);
    set_status(&world, CloudPcStatus::Failed).await;
    assert_eq!(records(&world, PROVISIONING).await, [active(2), resolved(2)]);
    assert_eq!(world.call(Who::Writer, "PATCH", &rule, Some(json!({"enabled": false}))).await.status, 200);
    evaluate(&world).await;
    assert_eq!(records(&world, PROVISIONING).await, [resolved(2), resolved(2)]);

    // Conditions are joined; what nothing here tells never holds.
    let with = |relationship: &str| {
        let other = json!({
            "aggregation": "count", "conditionCategory": "cloudPcZoneOutage", "operator": "less",
            "relationshipType": relationship, "thresholdValue": "5",
        });
        json!({
            "displayName": relationship, "alertRuleTemplate": "cloudPcProvisionScenario",
            "conditions": [condition, other],
        })
    };
    let add = async |body: Value| {
        let made = world.call(Who::Writer, "POST", RULES, Some(body)).await;
        assert_eq!(made.status, 201, "{made}");
        made.json()["id"].as_str().unwrap().to_owned()
    };
    let (both, either) = (add(with("and")).await, add(with("or")).await);
    evaluate(&world).await;
    assert_eq!(records(&world, &both).await, []);
    assert_eq!(records(&world, &either).await, [active(2)]);
    assert_eq!(world.call(Who::Writer, "DELETE", &format!("{RULES}/{either}"), None).await.status, 204);
    evaluate(&world).await;
    assert_eq!(records(&world, &either).await, [resolved(2)], "the record of a rule that is gone stays");
}

#[tokio::test]
async fn the_newest_alert_records_are_kept() {
    let world = server().await;
    let old = |n: usize| Document {
        tenant_id: tenant(),
        key: DocumentKey::new(DocumentType::AlertRecord, &format!("{n:03}")),
        revision: 1,
        body: Map::new(),
        status: json!({"status": "resolved", "resolvedDateTime": "2026-01-01T00:00:00Z"}).as_object().unwrap().clone(),
        secret_counts: Map::new(),
        created_at: cloudpc_model::Timestamp(i64::try_from(n).unwrap()),
        modified_at: START,
    };
    write(&world, move |tx| {
        (0..ALERT_RECORDS_MAX)
            .try_for_each(|n| tx.document_insert(&old(n), &DocumentIndex::default()).map(Result::unwrap))
    })
    .await;
    world.run();
    evaluate(&world).await;
    assert_eq!(records(&world, PROVISIONING).await.len(), 1);
    let count = world.get(Who::Reader, &format!("{RECORDS}/$count")).await;
    assert_eq!(count.body, ALERT_RECORDS_MAX.to_string());
    assert_eq!(world.get(Who::Reader, &format!("{RECORDS}/000")).await.status, 404, "the oldest");
    assert_eq!(world.get(Who::Reader, &format!("{RECORDS}/001")).await.status, 200);
}

#[tokio::test]
async fn built_in_alert_rules_read_as_their_defaults_until_they_are_changed() {
    let world = server().await;
    let names = async || {
        let rows = world.get(Who::Reader, RULES).await.rows();
        rows.iter().map(|row| row["severity"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["warning"; 4]);
    let one = format!("{RULES}/{PROVISIONING}");
    let tag = world.get(Who::Reader, &one).await.headers["etag"].clone();
    assert_eq!(tag, "W/\"0\"");
    assert_eq!(world.call(Who::Writer, "PATCH", &one, Some(json!({"severity": "critical"}))).await.status, 200);
    assert_eq!(names().await, ["critical", "warning", "warning", "warning"]);
    assert_eq!(world.get(Who::Reader, &format!("{RULES}/$count")).await.body, "4");
    let pages = world.get(Who::Reader, &format!("{RULES}?$top=3")).await;
    assert_eq!(pages.rows().len(), 3);
    let (status, message) = refused(&world, "DELETE", &one, Value::Null).await;
    assert!(status == 400 && message.contains("Disable it"), "{status} {message}");
    let (status, message) = refused(&world, "PATCH", &one, json!({"displayName": "Mine"})).await;
    assert!(status == 400 && message.contains("only conditions, enabled"), "{status} {message}");
    let mine = json!({"displayName": "Mine", "isSystemRule": true, "alertRuleTemplate": "cloudPcProvisionScenario", "threshold": {}});
    let (status, message) = refused(&world, "POST", RULES, mine).await;
    assert!(status == 400 && message.contains("Only the service makes built-in rules"), "{status} {message}");
}

async fn app_policy(world: &TestServer, experience: &str) -> String {
    let body = json!({
        "displayName": format!("Applications {experience}"), "imageId": IMAGE,
        "provisioningType": "sharedByEntraGroup", "userExperienceType": experience,
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
    });
    create(world, "provisioningPolicies", body).await
}

fn app(policy: &str, name: &str) -> Value {
    let detail = json!({"@odata.type": "#microsoft.graph.cloudPcFilePathAppDetail", "filePath": "C:/app.exe"});
    json!({"displayName": name, "provisioningPolicyId": policy, "appDetail": detail})
}

#[tokio::test]
async fn a_policy_has_as_many_published_apps_as_it_may_have() {
    let world = server().await;
    let policy = app_policy(&world, "cloudApp").await;
    let apps = format!("{ENDPOINT}/cloudApps");
    let mut ids = Vec::new();
    for n in 0..=CLOUD_APPS_PUBLISHED_MAX {
        ids.push(create(&world, "cloudApps", app(&policy, &format!("App {n}"))).await);
    }
    let last = ids.pop().unwrap();
    let act = async |action: &str, ids: &[String]| {
        let reply =
            world.call(Who::Writer, "POST", &format!("{apps}/{action}"), Some(json!({"cloudAppIds": ids}))).await;
        reply.status.as_u16()
    };
    let read = async |id: &str| {
        let app = world.get(Who::Reader, &format!("{apps}/{id}")).await.json();
        (
            app["appStatus"].as_str().unwrap().to_owned(),
            app["availableToUser"] == true,
            app["actionFailedErrorCode"].clone(),
        )
    };
    assert_eq!(act("publish", &ids).await, 204);
    assert_eq!(read(&ids[0]).await, ("published".into(), true, Value::Null));
    assert_eq!(act("publish", std::slice::from_ref(&last)).await, 204);
    assert_eq!(read(&last).await, ("failed".into(), false, json!("cloudAppQuotaExceeded")));
    assert_eq!(act("unpublish", &ids[..1]).await, 204);
    assert_eq!(read(&ids[0]).await, ("ready".into(), false, Value::Null));
    assert_eq!(act("publish", std::slice::from_ref(&last)).await, 204);
    assert_eq!(read(&last).await, ("published".into(), true, Value::Null));
    assert_eq!(act("reset", std::slice::from_ref(&last)).await, 204);
    assert_eq!(read(&last).await, ("ready".into(), false, Value::Null));
    assert_eq!(act("publish", &[last, "no-app".into()]).await, 404);
    let too_many: Vec<_> = ids.iter().cloned().chain(["more".into()]).collect();
    assert_eq!(act("publish", &too_many).await, 400, "{} ids", too_many.len());
}

#[tokio::test]
async fn apps_belong_to_policies_for_apps() {
    let world = server().await;
    let policy = app_policy(&world, "cloudApp").await;
    let desktops = app_policy(&world, "cloudPc").await;
    let apps = format!("{ENDPOINT}/cloudApps");
    let id = create(&world, "cloudApps", app(&policy, "Editor")).await;
    for (body, status, part) in [
        (app(&policy, "EDITOR"), 409, "already has an application"),
        (app(&desktops, "Editor"), 400, "'cloudPc'"),
        (app("10000000-0000-4000-8000-00000000dead", "Editor"), 400, "does not exist"),
        (
            json!({"displayName": "x", "provisioningPolicyId": policy, "appDetail": {"filePath": "a"}}),
            400,
            "@odata.type",
        ),
    ] {
        let (given, message) = refused(&world, "POST", &apps, body).await;
        assert!(given == status && message.contains(part), "{given} {message}");
    }
    let (status, message) =
        refused(&world, "DELETE", &format!("{ENDPOINT}/provisioningPolicies/{policy}"), json!({})).await;
    assert!(status == 409 && message.contains("provisioningPolicyId"), "{status} {message}");
    assert_eq!(world.call(Who::Writer, "DELETE", &format!("{apps}/{id}"), None).await.status, 204);
}

#[tokio::test]
async fn pools_are_shown_to_those_they_are_assigned_to() {
    let world = server().await;
    let pool = |name: &str| json!({"displayName": name, "cloudPcConfiguration": {"imageId": IMAGE}});
    let id = create(&world, "cloudPcPools", pool("Agents")).await;
    assert_eq!(
        world.get(Who::Reader, &format!("{ENDPOINT}/cloudPcPools/{id}")).await.json()["networkConfiguration"],
        Value::Null
    );
    let mut others = pool("Others");
    let network = "#microsoft.graph.cloudPcMicrosoftHostedNetworkConfiguration";
    others["networkConfiguration"] = json!({"@odata.type": network, "regionGroups": [{"regionGroup": "usWest"}]});
    let other = create(&world, "cloudPcPools", others).await;
    let other = world.get(Who::Reader, &format!("{ENDPOINT}/cloudPcPools/{other}")).await.json();
    assert_eq!(other["networkConfiguration"]["regionGroups"][0]["regions"], json!(["automatic"]));
    let own = |user: &str| format!("/beta/users/{user}/cloudPcPools");
    assert_eq!(world.get(Who::Reader, &own(ADA)).await.rows(), Vec::<Value>::new());
    let assignment = create(&world, &format!("cloudPcPools/{id}/assignments"), json!({"userPrincipalId": GROUP})).await;
    let rows = world.get(Who::Reader, &own(ADA)).await.rows();
    assert_eq!(rows.iter().map(|row| row["displayName"].clone()).collect::<Vec<_>>(), [json!("Agents")]);
    assert_eq!(rows[0]["@odata.type"], "#microsoft.graph.cloudPcAgentPool");
    assert_eq!(world.get(Who::Reader, &format!("{}/$count", own(ADA))).await.body, "1");
    let within = format!("{}/{id}/assignments/{assignment}", own(ADA));
    assert_eq!(world.get(Who::Reader, &within).await.json()["userPrincipalId"], GROUP);
    for path in [format!("{}/{id}", own(ALAN)), within.replace(ADA, ALAN), format!("{}/{id}/assignments", own(ALAN))] {
        assert_eq!(world.get(Who::Reader, &path).await.status, 404, "{path}");
    }
    let reply = world.call(Who::Writer, "DELETE", &format!("{}/{id}", own(ADA)), None).await;
    assert_eq!((reply.status.as_u16(), reply.headers["allow"].to_str().unwrap()), (405, "GET"));
    let pools = format!("{ENDPOINT}/cloudPcPools");
    for (body, status, part) in [
        (pool("AGENTS"), 409, "whose displayName"),
        (json!({"displayName": "x", "cloudPcConfiguration": {"imageId": "none"}}), 400, "no gallery image"),
        (
            json!({"displayName": "x", "cloudPcConfiguration": {"imageId": IMAGE}, "scalingPolicy": {"minimumCount": 2, "maximumCount": 1}}),
            400,
            "above the maximumCount",
        ),
    ] {
        let (given, message) = refused(&world, "POST", &pools, body).await;
        assert!(given == status && message.contains(part), "{given} {message}");
    }
    let nobody = json!({"userPrincipalId": "10000000-0000-4000-8000-00000000dead"});
    let (status, message) = refused(&world, "POST", &format!("{pools}/{id}/assignments"), nobody).await;
    assert!(status == 400 && message.contains("no user or group"), "{status} {message}");
}

#[tokio::test]
async fn the_cross_cloud_mapping_has_one_organization() {
    let world = server().await;
    let path = format!("{ENDPOINT}/crossCloudGovernmentOrganizationMapping");
    let ids = |ids: &[&str]| json!({"organizationIdsInUSGovCloud": ids});
    for method in ["PATCH", "POST"] {
        let reply = world.call(Who::Writer, method, &path, Some(ids(&[GROUP]))).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["organizationIdsInUSGovCloud"]), (200, &json!([GROUP])));
    }
    for wrong in [ids(&[GROUP, ADA]), ids(&["no-guid"])] {
        assert_eq!(refused(&world, "PATCH", &path, wrong).await.0, 400);
    }
}
