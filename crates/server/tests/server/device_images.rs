//! Device images: uploads that the engine runs, and what an image may be used for.

use cloudpc_engine::actions::IMPORT_ERROR_CODES;
use cloudpc_graph::{Edm, Version};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{Reply, TestServer, Who};

const IMAGES: &str = "/beta/deviceManagement/virtualEndpoint/deviceImages";
const POLICIES: &str = "/beta/deviceManagement/virtualEndpoint/provisioningPolicies";
const SOURCE: &str = "/subscriptions/5ab00000-0000-4000-8000-000000000001/resourceGroups/images/providers/Microsoft.Compute/images/office";

fn image(version: &str) -> Value {
    json!({"displayName": "Office", "version": version, "sourceImageResourceId": SOURCE})
}

async fn create(world: &TestServer, version: &str) -> String {
    let reply = world.call(Who::Writer, "POST", IMAGES, Some(image(version))).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["status"]), (201, &json!("pending")), "{}", reply.body);
    format!("{IMAGES}/{}", reply.json()["id"].as_str().unwrap())
}

async fn read(world: &TestServer, path: &str) -> Value {
    world.get(Who::Reader, path).await.json()
}

fn fail(world: &TestServer, step: &str, code: &str) {
    let effect = json!({"effect": "fail", "code": code, "message": "Scripted."});
    let rule = json!({"kind": "importImage", "step": step, "nth": 1, "effect": effect});
    world.app.simulation.as_ref().unwrap().faults.add(serde_json::from_value(rule).unwrap());
}

fn told(reply: &Reply) -> String {
    let error = &reply.json()["error"];
    let text = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} [{}] {}\n", reply.status.as_u16(), text("code"), text("target"), text("message"))
}

#[tokio::test]
async fn an_upload_ends_with_what_the_boot_has_shown() {
    let world = TestServer::new().await;
    let path = create(&world, "0.0.1").await;
    world.run();
    world.rest().await;
    let ready = read(&world, &path).await;
    let shown = ["status", "errorCode", "osStatus", "operatingSystem", "osBuildNumber", "osVersionNumber", "sizeInGB"];
    assert_eq!(
        shown.map(|name| ready[name].clone()),
        [
            json!("ready"),
            Value::Null,
            json!("supported"),
            json!("Windows 11 Enterprise"),
            json!("22631"),
            json!("10.0.22631"),
            json!(32)
        ],
    );
    assert_eq!((&ready["scopeIds"], &ready["sourceImageResourceId"]), (&json!(["0"]), &json!(SOURCE)));
    let v1 = world.get(Who::Reader, &path.replace("/beta/", "/v1.0/")).await.json();
    assert_eq!((&v1["status"], v1.get("scopeIds")), (&json!("ready"), None));
}

#[tokio::test]
async fn a_failed_upload_names_its_error_and_can_be_retried() {
    let world = TestServer::new().await;
    fail(&world, "bootImage", "sourceImageWithDataDiskNotSupported");
    let path = create(&world, "0.0.1").await;
    world.run();
    world.rest().await;
    let failed = read(&world, &path).await;
    let error = ["status", "errorCode", "statusDetails"].map(|name| failed[name].clone());
    assert_eq!(error, ["failed", "sourceImageWithDataDiskNotSupported", "internalServerError"].map(|name| json!(name)));
    assert_eq!(world.post(Who::Writer, &format!("{path}/retryUpload")).await.status, 204);
    assert_eq!(read(&world, &path).await["status"], "pending");
    world.rest().await;
    let ready = read(&world, &path).await;
    assert_eq!((&ready["status"], &ready["errorCode"]), (&json!("ready"), &Value::Null));
    let audit = world.get(Who::Reader, "/beta/deviceManagement/virtualEndpoint/auditEvents?$top=99").await.rows();
    let mut activities: Vec<_> = audit.iter().map(|row| row["activityType"].as_str().unwrap()).collect();
    activities.reverse();
    assert_eq!(
        activities,
        [
            "ImportImage CloudPcDeviceImage",
            "Create CloudPcDeviceImage",
            "RemoveImage CloudPcDeviceImage",
            "ImportImage CloudPcDeviceImage",
            "ImportImage CloudPcDeviceImage",
        ]
    );
}

#[test]
fn error_codes_of_imports_are_those_of_the_contract() {
    let declared = Edm::of(Version::Beta).enum_named("cloudPcDeviceImageErrorCode").unwrap();
    let mut members: Vec<_> = declared.members.iter().map(String::as_str).collect();
    members.retain(|member| *member != "unknownFutureValue");
    assert_eq!(IMPORT_ERROR_CODES, members);
}

#[tokio::test]
async fn an_unknown_error_code_reads_as_an_internal_error() {
    let world = TestServer::new().await;
    fail(&world, "checkSource", "haunted");
    let path = create(&world, "0.0.1").await;
    world.run();
    world.rest().await;
    assert_eq!(read(&world, &path).await["errorCode"], "internalServerError");
}

#[tokio::test]
async fn requests_that_an_image_does_not_allow_are_refused() {
    let world = TestServer::new().await;
    let path = create(&world, "0.0.1").await;
    let post = async |path: &str, body: Value| told(&world.call(Who::Writer, "POST", path, Some(body)).await);
    let mut log = String::new();
    let with = |name: &str, value: Value| {
        let mut body = image("0.0.2");
        body[name] = value;
        body
    };
    log += &post(IMAGES, with("version", json!("one"))).await;
    log += &post(IMAGES, with("version", json!("1.2.3.4.5"))).await;
    log += &post(IMAGES, with("sourceImageResourceId", json!("/etc/passwd"))).await;
    log += &post(IMAGES, with("sourceImageResourceId", json!("file:///etc/passwd"))).await;
    log += &post(IMAGES, with("sourceImageResourceId", Value::Null)).await;
    log += &post(IMAGES, json!({"displayName": "OFFICE", "version": "0.0.1", "sourceImageResourceId": SOURCE})).await;
    let policy = |id: &str| {
        json!({
            "displayName": "Desks", "imageType": "custom", "imageId": id,
            "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
        })
    };
    let id = path.rsplit_once('/').unwrap().1;
    log += &post(POLICIES, policy(id)).await;
    log += &told(&world.call(Who::Writer, "DELETE", &path, None).await);
    log += &told(&world.post(Who::Writer, &format!("{path}/retryUpload")).await);
    log += &told(&world.post(Who::Writer, &format!("{path}/reupload")).await);
    world.run();
    world.rest().await;
    log += &told(&world.post(Who::Writer, &format!("{path}/retryUpload")).await);
    let patch = json!({"sourceImageResourceId": SOURCE.replace("office", "other")});
    log += &told(&world.call(Who::Writer, "PATCH", &path, Some(patch)).await);
    // Machines know the image by the spelling of its key.
    let made = world.call(Who::Writer, "POST", POLICIES, Some(policy(&id.to_uppercase()))).await.json();
    assert_eq!((&made["imageDisplayName"], &made["imageId"]), (&json!("Office"), &json!(id)));
    let policy = made["id"].as_str().unwrap();
    log += &told(&world.call(Who::Writer, "DELETE", &path, None).await).replace(policy, "[policy]");
    log += &told(&world.post(Who::Writer, &format!("{path}/reupload")).await).replace(policy, "[policy]");
    assert_snapshot!(log.replace(id, "[image]"));
    assert_eq!(world.call(Who::Writer, "DELETE", &format!("{POLICIES}/{policy}"), None).await.status, 204);
    assert_eq!(world.call(Who::Writer, "DELETE", &path, None).await.status, 204);
    assert_eq!(world.call(Who::Writer, "DELETE", &path, None).await.status, 404);
    world.rest().await;
}

#[tokio::test]
async fn an_upload_can_be_repeated_and_versions_live_side_by_side() {
    let world = TestServer::new().await;
    let (first, second) = (create(&world, "1.0").await, create(&world, "1.1").await);
    world.run();
    world.rest().await;
    assert_eq!(world.post(Who::Writer, &format!("{first}/reupload")).await.status, 204);
    let status = async |path: &str| read(&world, path).await["status"].clone();
    assert_eq!((status(&first).await, status(&second).await), (json!("pending"), json!("ready")));
    world.rest().await;
    assert_eq!(status(&first).await, "ready");
    let contains = format!("{IMAGES}?$filter=contains(displayName,'ffi')%20and%20version%20eq%20'1.1'");
    assert_eq!(world.get(Who::Reader, &contains).await.rows().len(), 1);
}

#[tokio::test]
async fn a_tenant_has_up_to_twenty_images() {
    let world = TestServer::new().await;
    for number in 0..20 {
        create(&world, &format!("1.{number}")).await;
    }
    let refused = world.call(Who::Writer, "POST", IMAGES, Some(image("2.0"))).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (403, &json!("quotaLimitReached")));
}

#[tokio::test]
async fn the_sources_of_the_host_are_listed() {
    let world = TestServer::new().await;
    let rows = world.get(Who::Reader, &format!("{IMAGES}/getSourceImages()")).await.rows();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["id"], rows[0]["resourceId"]);
    assert_eq!(rows[0]["subscriptionId"], "00000000-0000-0000-0000-000000000000");
    let mut body = image("0.0.1");
    body["sourceImageResourceId"] = rows[1]["resourceId"].clone();
    assert_eq!(world.call(Who::Writer, "POST", IMAGES, Some(body)).await.status, 201);
}

#[tokio::test]
async fn an_image_that_only_a_pool_uses_is_kept() {
    let world = TestServer::new().await;
    let path = create(&world, "0.0.1").await;
    world.run();
    world.rest().await;
    let id = path.rsplit_once('/').unwrap().1;
    let pools = "/beta/deviceManagement/virtualEndpoint/cloudPcPools";
    let body = json!({"displayName": "Agents", "cloudPcConfiguration": {"imageId": id, "imageType": "custom"}});
    let pool = world.call(Who::Writer, "POST", pools, Some(body)).await.json()["id"].as_str().unwrap().to_owned();
    let refused = world.call(Who::Writer, "DELETE", &path, None).await;
    assert_eq!(refused.error(), (409, "resourceInUse".into()));
    assert!(refused.body.contains(&pool), "{refused}");
    assert_eq!(world.call(Who::Writer, "DELETE", &format!("{pools}/{pool}"), None).await.status, 204);
    assert_eq!(world.call(Who::Writer, "DELETE", &path, None).await.status, 204);
}
