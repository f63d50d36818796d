//! On-premises connections: their health checks, their secret, and what uses them.

use cloudpc_engine::{Effect, FaultRule};
use cloudpc_model::{CloudPcId, GalleryImage, ImageId, Kind, TenantId};
use cloudpc_store::{Entitlement, Tx};
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::time::Duration;

use crate::document_cases::sample;
use crate::world::{DESK_1, OWNER_TENANT, Reply, TestServer, Who};

const BETA: &str = "/beta/deviceManagement/virtualEndpoint";
const V1: &str = "/v1.0/deviceManagement/virtualEndpoint";
const IMAGE: &str = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";
/// A password that occurs nowhere else.
const PASSWORD: &str = "correct-horse-battery";

fn body(name: &str) -> Value {
    let kind = cloudpc_server::documents::KINDS.iter().find(|kind| kind.name() == "cloudPcOnPremisesConnection");
    let mut body = sample(kind.unwrap());
    body["displayName"] = json!(name);
    body["adDomainPassword"] = json!(PASSWORD);
    body
}

fn changed(name: &str, changes: Value) -> Value {
    let mut body = body(name);
    for (property, value) in changes.as_object().unwrap() {
        body[property] = value.clone();
    }
    body
}

async fn create(world: &TestServer, body: Value) -> (Value, String) {
    let made = world.call(Who::Ada, "POST", &format!("{BETA}/onPremisesConnections"), Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    let path = format!("{BETA}/onPremisesConnections/{}", made["id"].as_str().unwrap());
    (made, path)
}

async fn policy_in(world: &TestServer, connection: &Value) -> String {
    let body = json!({
        "displayName": "Hybrid", "imageId": IMAGE,
        "domainJoinConfigurations": [{"domainJoinType": "hybridAzureADJoin", "onPremisesConnectionId": connection["id"]}],
    });
    let made = world.call(Who::Writer, "POST", &format!("{BETA}/provisioningPolicies"), Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()["id"].as_str().unwrap().to_owned()
}

fn told(reply: &Reply) -> String {
    let error = &reply.json()["error"];
    let text = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} [{}] {}\n", reply.status.as_u16(), text("code"), text("target"), text("message"))
}

async fn select(world: &TestServer, path: &str, property: &str) -> Value {
    world.get(Who::Reader, &format!("{path}?$select={property}")).await.json()[property].clone()
}

#[tokio::test]
async fn a_connection_is_checked_when_it_is_made_changed_and_asked_to() {
    let world = TestServer::new().await;
    let (made, one) = create(&world, body("HQ")).await;
    let shown = serde_json::to_string_pretty(&made).unwrap().replace(made["id"].as_str().unwrap(), "ID");
    assert_snapshot!(shown);
    assert_eq!(select(&world, &one, "healthCheckStatusDetail").await, Value::Null, "not checked yet");
    // Checks that have not begun check whatever the connection is by then.
    assert_eq!(world.call(Who::Ada, "PATCH", &one, Some(json!({"displayName": "Head"}))).await.status, 200);
    assert_eq!(world.post(Who::Ada, &format!("{one}/runHealthChecks")).await.status, 204);
    assert_eq!(world.app.store.read(|reader| reader.action_open_count()).await.unwrap(), 1);

    world.run();
    world.rest().await;
    let passed = world.get(Who::Reader, &one).await.json();
    assert_eq!(
        (&passed["healthCheckStatus"], &passed["virtualNetworkLocation"]),
        (&json!("passed"), &json!("westus3"))
    );
    let detail = select(&world, &one, "healthCheckStatusDetail").await;
    let older = select(&world, &one, "healthCheckStatusDetails").await;
    assert_eq!(detail, older, "the older name says the same");
    let checks = detail["healthChecks"].as_array().unwrap();
    assert_eq!(checks.len(), 5);
    assert!(checks.iter().all(|check| check["additionalDetail"] == check["additionalDetails"]), "{detail}");
    assert_eq!(select(&world, &one, "subnetPrivateIpDetail").await["subnetAvailableIpCount"], json!(65_531));

    let patch =
        json!({"adDomainName": "corp.invalid", "healthCheckStatusDetails": null, "healthCheckStatusDetail": detail});
    let updated = world.call(Who::Ada, "PATCH", &one, Some(patch)).await.json();
    assert_eq!(updated["healthCheckStatus"], "pending");
    world.rest().await;
    assert_eq!(world.get(Who::Reader, &one).await.json()["healthCheckStatus"], "failed");
    let detail = select(&world, &one, "healthCheckStatusDetail").await;
    assert_eq!(detail["healthChecks"][2]["errorType"], "dnsCheckFqdnNotFound");
    // An update that changes nothing checks nothing.
    let same = world.call(Who::Ada, "PATCH", &one, Some(json!({"adDomainName": "corp.invalid"}))).await.json();
    assert_eq!(same["healthCheckStatus"], "failed");

    assert_eq!(world.call(Who::Ada, "PATCH", &one, Some(json!({"adDomainName": "corp.test"}))).await.status, 200);
    world.rest().await;
    let effect = Effect::Fail { code: "noSuchErrorType".into(), message: "Scripted.".into() };
    let rule = FaultRule {
        tenant_id: None,
        cloud_pcs: vec![],
        share_percent: None,
        kind: Some(Kind::CheckConnection),
        step: Some("checkEndpoints".into()),
        nth: None,
        undo: false,
        effect,
    };
    world.app.simulation.as_ref().unwrap().faults.add(rule);
    assert_eq!(world.post(Who::Ada, &format!("{one}/runHealthChecks")).await.status, 204);
    assert_eq!(world.get(Who::Reader, &one).await.json()["healthCheckStatus"], "pending");
    world.rest().await;
    let detail = select(&world, &one, "healthCheckStatusDetail").await;
    let last = detail["healthChecks"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["displayName"], &last["status"]), (&json!("Endpoint connectivity"), &json!("failed")));
    assert_eq!(last["errorType"], "unknownFutureValue", "a code that the contract lacks");
}

#[tokio::test]
async fn both_versions_write_and_read_a_connection() {
    let world = TestServer::new().await;
    let collection = format!("{V1}/onPremisesConnections");
    let made = world.call(Who::Ada, "POST", &collection, Some(body("V1"))).await.json();
    assert!(made.get("type").is_none() && made.get("managedBy").is_none(), "{made}");
    assert_eq!(made["connectionType"], "hybridAzureADJoin");
    let mut older = changed("Older", json!({"type": "azureADJoin"}));
    older.as_object_mut().unwrap().remove("connectionType");
    let (older, _) = create(&world, older).await;
    assert_eq!((&older["type"], &older["connectionType"]), (&json!("azureADJoin"), &json!("azureADJoin")));
    let named =
        world.get(Who::Reader, &format!("{BETA}/onPremisesConnections?$filter=type%20eq%20'azureADJoin'")).await;
    assert_eq!(named.rows().len(), 1);
    let contained = format!("{collection}?$filter=contains(displayName,'V')&$select=displayName,inUse");
    assert_eq!(world.get(Who::Reader, &contained).await.rows(), [json!({"displayName": "V1", "inUse": false})]);
}

#[tokio::test]
async fn the_password_is_never_sent_compared_or_stored() {
    let world = TestServer::new().await;
    let (made, one) = create(&world, body("HQ")).await;
    assert_eq!(made["adDomainPassword"], Value::Null);
    let second = "another-horse-battery";
    let update = format!("{one}/updateAdDomainPassword");
    let updated = world.call(Who::Writer, "POST", &update, Some(json!({"adDomainPassword": second}))).await;
    assert_eq!(updated.status, 204, "{}", updated.body);
    let third = "third-horse-battery";
    let patched = world.call(Who::Ada, "PATCH", &one, Some(json!({"adDomainPassword": third}))).await;
    assert_eq!(patched.status, 200);

    let mut answers = patched.body;
    for path in ["", "?$select=adDomainPassword"] {
        answers.push_str(&world.get(Who::Writer, &format!("{one}{path}")).await.body);
    }
    let audit = world.get(Who::Writer, &format!("{BETA}/auditEvents")).await;
    answers.push_str(&audit.body);
    for password in [PASSWORD, second, third] {
        assert!(!answers.contains(password), "{answers}");
        assert!(!world.is_in_a_file(password.as_bytes()), "{password}");
    }
    let changes =
        audit.rows().into_iter().flat_map(|row| row["resources"][0]["modifiedProperties"].as_array().unwrap().clone());
    let of_password: Vec<_> = changes.filter(|change| change["displayName"] == "adDomainPassword").collect();
    let told = json!({"displayName": "adDomainPassword", "oldValue": null, "newValue": "changed"});
    assert_eq!(of_password, vec![told; 3], "each new password is a change");

    let list = format!("{BETA}/onPremisesConnections");
    let mut refusals = String::new();
    for query in [
        "$filter=startswith(adDomainPassword,'a')",
        "$filter=displayName%20eq%20'a'%20or%20not%20(tolower(adDomainPassword)%20eq%20'b')",
        "$filter=adDomainPassword%20in%20('a')",
        "$orderby=adDomainPassword",
    ] {
        refusals.push_str(&self::told(&world.get(Who::Writer, &format!("{list}?{query}")).await));
        assert_eq!(world.get(Who::Writer, &format!("{list}/$count?{query}")).await.status, 400, "{query}");
    }
    let (_, joined) = create(&world, changed("Cloud", json!({"connectionType": "azureADJoin"}))).await;
    let update = format!("{joined}/updateAdDomainPassword");
    let refused = world.call(Who::Writer, "POST", &update, Some(json!({"adDomainPassword": second}))).await;
    let id = joined.rsplit('/').next().unwrap();
    refusals.push_str(&self::told(&refused).replace(id, "ID"));
    let update = format!("{one}/updateAdDomainPassword");
    refusals
        .push_str(&self::told(&world.call(Who::Writer, "POST", &update, Some(json!({"adDomainPassword": ""}))).await));
    assert_snapshot!(refusals);
}

#[tokio::test]
async fn wrong_connections_are_refused_and_say_why() {
    let world = TestServer::new().await;
    create(&world, body("Taken")).await;
    let other = "/subscriptions/11111111-14c0-480f-b6c9-0a90c585ffff/resourceGroups/sample";
    let subnet = body("")["subnetId"].as_str().unwrap().to_owned();
    let bodies = [
        json!({"displayName": "tAkEn"}),
        json!({"displayName": "a".repeat(121)}),
        json!({"subscriptionId": "sample"}),
        json!({"subscriptionId": null}),
        json!({"resourceGroupId": "sample"}),
        json!({"resourceGroupId": other}),
        json!({"virtualNetworkId": subnet}),
        json!({"subnetId": subnet.replace("virtualNetworks/sample", "virtualNetworks/other")}),
        json!({"adDomainName": null}),
        json!({"adDomainUsername": " "}),
        json!({"adDomainPassword": null}),
        json!({"adDomainPassword": ""}),
        json!({"adDomainName": "-corp"}),
        json!({"connectionType": "azureADJoin", "type": "hybridAzureADJoin"}),
        json!({"connectionType": "workgroup"}),
    ];
    let mut refusals = String::new();
    for changes in bodies {
        let body = changed("New", changes);
        let reply = world.call(Who::Ada, "POST", &format!("{BETA}/onPremisesConnections"), Some(body)).await;
        refusals.push_str(&told(&reply));
    }
    let application =
        world.call(Who::Writer, "POST", &format!("{BETA}/onPremisesConnections"), Some(body("New"))).await;
    refusals.push_str(&told(&application));
    assert_snapshot!(refusals);
    let lenient = json!({
        "subscriptionId": "/subscriptions/0AC520EE-14c0-480f-b6c9-0a90c585ffff", "virtualNetworkId": body("")["virtualNetworkId"].as_str().unwrap().to_uppercase(),
        "connectionType": "azureADJoin", "adDomainName": null, "adDomainUsername": null, "adDomainPassword": null,
        "healthCheckStatus": "passed", "inUse": true,
    });
    let (made, _) = create(&world, changed("Cloud", lenient)).await;
    assert_eq!(made["healthCheckStatus"], "pending", "what the service sets is ignored");
}

#[tokio::test]
async fn a_connection_in_use_cannot_be_deleted() {
    let world = TestServer::new().await;
    let (made, one) = create(&world, body("HQ")).await;
    assert_eq!(select(&world, &one, "inUse").await, json!(false));
    let policy = policy_in(&world, &made).await;
    assert_eq!(select(&world, &one, "inUse").await, json!(true));
    assert_eq!(select(&world, &one, "inUseByCloudPc").await, json!(false));
    let tenant: TenantId = OWNER_TENANT.parse().unwrap();
    let desk: CloudPcId = DESK_1.parse().unwrap();
    let policy_id = policy.clone();
    let write = move |tx: &mut Tx<'_>| {
        let cloud_pc = tx.cloud_pc(tenant, desk)?.expect("the fleet has it");
        tx.entitlement_insert(&Entitlement {
            tenant_id: tenant,
            cloud_pc_id: desk,
            user_id: cloud_pc.user_id,
            policy_id: policy_id.clone(),
            assignment_id: String::new(),
            service_plan_id: cloud_pc.service_plan_id,
            sku_id: None,
        })
    };
    world.app.store.write("test.write", write).await.unwrap();
    assert_eq!(select(&world, &one, "inUseByCloudPc").await, json!(true));

    let refused = world.call(Who::Ada, "DELETE", &one, None).await;
    assert_eq!(refused.error(), (409, "resourceInUse".into()));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains(&policy), "{}", refused.body);
    let gone = world.call(Who::Writer, "DELETE", &format!("{BETA}/provisioningPolicies/{policy}"), None).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    assert_eq!(world.call(Who::Ada, "DELETE", &one, None).await.status, 204);
    assert_eq!(world.call(Who::Ada, "DELETE", &one, None).await.status, 404);
    // The check that was waiting ends with the connection.
    world.run();
    world.rest().await;
}

#[tokio::test]
async fn a_reprovision_takes_the_present_image_and_connection_of_the_policy() {
    const NEWER: &str = "microsoftwindowsdesktop_windows-ent-cpc_win11-25h2-ent-cpc";
    let world = TestServer::new().await;
    world.run();
    let (made, _) = create(&world, body("HQ")).await;
    let policy = policy_in(&world, &made).await;
    let desk: CloudPcId = DESK_1.parse().unwrap();
    let policy_id = policy.clone();
    let write = move |tx: &mut Tx<'_>| {
        let cloud_pc = tx.cloud_pc(OWNER_TENANT.parse().unwrap(), desk)?.expect("the fleet has it");
        let image = tx.gallery_image(cloud_pc.tenant_id, &cloud_pc.image_id)?.expect("its image");
        let newer = GalleryImage { id: ImageId(NEWER.into()), display_name: "Newer".into(), ..image };
        tx.gallery_image_put(cloud_pc.tenant_id, &newer)?;
        tx.entitlement_insert(&Entitlement {
            tenant_id: cloud_pc.tenant_id,
            cloud_pc_id: desk,
            user_id: cloud_pc.user_id,
            policy_id: policy_id.clone(),
            assignment_id: String::new(),
            service_plan_id: cloud_pc.service_plan_id,
            sku_id: None,
        })
    };
    world.app.store.write("test.write", write).await.unwrap();
    let patch = json!({"imageId": NEWER});
    let patched = world.call(Who::Writer, "PATCH", &format!("{BETA}/provisioningPolicies/{policy}"), Some(patch)).await;
    assert_eq!(patched.status, 200, "{patched}");
    let one = format!("{BETA}/cloudPCs/{DESK_1}");
    let shown = async || {
        let row = world.get(Who::Reader, &one).await.json();
        (row["imageDisplayName"].clone(), row["onPremisesConnectionName"].clone())
    };
    assert_ne!(shown().await.0, "Newer", "a changed policy leaves Cloud PCs as they are");
    assert_eq!(world.post(Who::Writer, &format!("{one}/reprovision")).await.status, 204);
    world.rest().await;
    assert_eq!(shown().await, (json!("Newer"), json!("HQ")));
    let filter = format!("{BETA}/cloudPCs?$filter=onPremisesConnectionName%20eq%20'HQ'");
    assert_eq!(world.get(Who::Reader, &filter).await.rows().len(), 1);
}

#[tokio::test]
async fn health_checks_are_shown_as_paused_by_the_rule_of_the_real_service() {
    const DAY: Duration = Duration::from_hours(24);
    let world = TestServer::new().await;
    let (made, one) = create(&world, body("HQ")).await;
    world.clock.advance(28 * DAY - Duration::from_secs(1)).await;
    assert_eq!(select(&world, &one, "healthCheckPaused").await, json!(false));
    world.clock.advance(Duration::from_secs(1)).await;
    assert_eq!(select(&world, &one, "healthCheckPaused").await, json!(true));
    assert_eq!(world.post(Who::Ada, &format!("{one}/runHealthChecks")).await.status, 204);
    assert_eq!(select(&world, &one, "healthCheckPaused").await, json!(false), "retried");
    world.clock.advance(14 * DAY).await;
    assert_eq!(select(&world, &one, "healthCheckPaused").await, json!(true));
    policy_in(&world, &made).await;
    assert_eq!(select(&world, &one, "healthCheckPaused").await, json!(false), "attached to a policy");
}
