//! Responses of the main operations: status, headers and body.

mod action;
mod cloud_pc;
mod gallery_image;
mod launch;
mod partner;

use cloudpc_graph::{Edm, Version};
use cloudpc_server::operations::{ALL, SHUT, VALIDATE_CLOUD_PC_IDS_MAX};
use insta::assert_snapshot;
use serde_json::json;

use crate::world::{DEVICE_1, TestServer, Who};

const CLOUD_PCS: &str = "deviceManagement/virtualEndpoint/cloudPCs";
const DEVICES: &str = "deviceManagement/managedDevices";
const PARTNERS: &str = "deviceManagement/virtualEndpoint/externalPartners";

#[tokio::test]
async fn response_has_graph_headers() {
    let reply = TestServer::new().await.get(Who::Reader, "/beta/deviceManagement/managedDevices/$count").await;
    let names = ["content-type", "odata-version", "x-ms-ags-diagnostic"];
    let shown = names.map(|name| format!("{name}: {}", reply.headers[name].to_str().unwrap())).join("\n");
    assert_snapshot!(format!("{shown}\n\n{}", reply.body), @r#"
    content-type: text/plain
    odata-version: 4.0
    x-ms-ags-diagnostic: {"ServerInfo":{"DataCenter":"cloudpc","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"cloudpc"}}

    3
    "#);
}

#[tokio::test]
async fn catalog_is_listed() {
    let world = TestServer::new().await;
    assert_snapshot!(world.get(Who::Reader, "/v1.0/deviceManagement/virtualEndpoint/servicePlans?$top=1").await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/v1.0/$metadata#deviceManagement/virtualEndpoint/servicePlans",
      "@odata.nextLink": "https://cloudpc.test/v1.0/deviceManagement/virtualEndpoint/servicePlans?$top=1&$skiptoken=_SrYh4KZtnm1VoaIkNsu-DEwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDBjMQ",
      "value": [
        {
          "displayName": "Cloud PC Business 2vCPU/8GB/128GB",
          "id": "10000000-0000-4000-8000-0000000000c1",
          "ramInGB": 8,
          "storageInGB": 128,
          "vCpuCount": 2
        }
      ]
    }
    "#);
    assert_snapshot!(world.get(Who::Reader, "/beta/deviceManagement/virtualEndpoint/galleryImages").await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/galleryImages",
      "value": [
        {
          "displayName": "Windows 11 Enterprise 24H2",
          "endDate": null,
          "expirationDate": null,
          "id": "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc",
          "offer": "windows-ent-cpc",
          "offerDisplayName": "windows-ent-cpc",
          "offerName": "windows-ent-cpc",
          "osVersionNumber": "10.0.22000",
          "publisher": "microsoftwindowsdesktop",
          "publisherName": "microsoftwindowsdesktop",
          "recommendedSku": null,
          "sizeInGB": 64,
          "sku": "win11-24h2-ent-cpc",
          "skuDisplayName": "win11-24h2-ent-cpc",
          "skuName": "win11-24h2-ent-cpc",
          "startDate": null,
          "status": "supported"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn return_minimal_omits_the_body() {
    let world = TestServer::new().await;
    let body = json!({"partnerId": "fab00000-0000-4000-8000-000000000009", "enableConnection": true});
    let request = http::Request::post(format!("/beta/{PARTNERS}"))
        .header("authorization", format!("Bearer {}", world.token(Who::Writer).await))
        .header("content-type", "application/json")
        .header("prefer", "return=minimal")
        .body(axum::body::Body::from(body.to_string()))
        .unwrap();
    let reply = world.send(request).await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (204, ""));
    assert_eq!(reply.headers["preference-applied"], "return=minimal");
    let location = reply.headers["location"].to_str().unwrap();
    assert_eq!(world.get(Who::Reader, location).await.status, 200);
}

#[tokio::test]
async fn metadata_and_service_document_require_no_token() {
    let world = TestServer::new().await;
    let of_v1 = ["groups", "subscribedSkus", "users", "me", "deviceManagement"];
    let of_beta = [&of_v1[..], &["roleManagement"]].concat();
    for (path, names) in [("/v1.0", &of_v1[..]), ("/beta/", &of_beta)] {
        let reply = world.send(http::Request::get(path).body(axum::body::Body::empty()).unwrap()).await;
        let rows = reply.rows();
        assert_eq!(rows.iter().map(|row| row["name"].as_str().unwrap()).collect::<Vec<_>>(), names, "{path}");
        assert_eq!((&rows[0]["kind"], &rows[3]["kind"]), (&json!("EntitySet"), &json!("Singleton")));
    }
    let none = http::Request::get("/beta").header("accept", "application/json;odata.metadata=none");
    let none = world.send(none.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(none.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["value"]);
    let reply = world.send(http::Request::get("/beta/$metadata").body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(reply.headers["content-type"], "application/xml");
    assert!(reply.body.contains("<EntityType Name=\"cloudPC\""));
}

#[tokio::test]
async fn alternative_path_spellings_are_resolved() {
    let world = TestServer::new().await;
    for path in [
        format!("/beta//deviceManagement/managedDevices/{DEVICE_1}/getCloudPcRemoteActionResults()"),
        format!("/BETA/devicemanagement/MANAGEDDEVICES/{DEVICE_1}/getcloudpcremoteactionresults"),
        format!("/beta/deviceManagement/managedDevices('{DEVICE_1}')/microsoft.graph.getCloudPcRemoteActionResults"),
    ] {
        assert_eq!(world.get(Who::Reader, &path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn write_that_nobody_may_make_gets_405() {
    let world = TestServer::new().await;
    for (method, path, allow) in [
        ("PATCH", "/cloudPCs/10000000-0000-4000-8000-0000000000d1", "GET"),
        ("DELETE", "/cloudPCs/10000000-0000-4000-8000-0000000000d1", "GET"),
        ("POST", "/auditEvents", "GET"),
        ("POST", "/snapshots", "GET"),
        // Methods that no operation has list the same.
        ("PUT", "/cloudPCs/10000000-0000-4000-8000-0000000000d1", "GET"),
        ("OPTIONS", "/cloudPCs/10000000-0000-4000-8000-0000000000d1", "GET"),
        ("PUT", "/userSettings", "GET, POST"),
    ] {
        let path = format!("/beta/deviceManagement/virtualEndpoint{path}");
        let reply = world.call(Who::Writer, method, &path, Some(json!({}))).await;
        assert_eq!(reply.error(), (405, "Request_BadRequest".into()), "{method} {path}");
        assert_eq!(reply.headers["allow"], allow);
    }
    for key in SHUT {
        assert!(Edm::of(Version::Beta).operations.iter().any(|operation| operation.key == *key), "{key}");
        assert!(!ALL.contains_key(key), "{key} is open");
    }
}

/// Each operation of the contract is carried out, or is a write that nobody may make.
#[tokio::test]
async fn no_operation_of_the_contract_is_unimplemented() {
    let world = TestServer::new().await;
    let mut shut = 0;
    for edm in [Edm::of(Version::V1), Edm::of(Version::Beta)] {
        for operation in edm.operations.iter().filter(|operation| !ALL.contains_key(operation.key.as_str())) {
            let filled =
                operation.path.split('{').enumerate().map(|(place, part)| match (place, part.split_once('}')) {
                    (1.., Some((_, rest))) => format!("00000000-0000-4000-8000-000000000000{rest}"),
                    _ => part.to_owned(),
                });
            let path = format!("/{}{}", edm.version.segment(), filled.collect::<String>());
            let reply = world.call(Who::Ada, operation.method.name(), &path, Some(json!({}))).await;
            assert_eq!(reply.status, 405, "{}: {}", operation.key, reply.body);
            assert!(reply.headers.contains_key("allow"), "{}", operation.key);
            shut += 1;
        }
    }
    assert!(shut > 50, "{shut}");
}

#[tokio::test]
async fn a_bulk_resize_is_validated_one_by_one() {
    const PLAN_2: &str = "10000000-0000-4000-8000-0000000000c2";
    let world = TestServer::new().await;
    let path = format!("/beta/{CLOUD_PCS}/validateBulkResize");
    let (desk_1, desk_2) = ("10000000-0000-4000-8000-0000000000d1", "10000000-0000-4000-8000-0000000000d2");
    let ids = [desk_1, desk_2, "10000000-0000-4000-8000-00000000dead", "no-id"];
    let validated = async |ids: &[&str], plan: &str| {
        let body = json!({"cloudPcIds": ids, "targetServicePlanId": plan});
        world.call(Who::Reader, "POST", &path, Some(body)).await
    };
    let codes = async |ids: &[&str]| {
        let rows = validated(ids, PLAN_2).await.rows();
        rows.iter().map(|row| row["validationResult"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&ids).await, ["success", "targetLicenseHasAssigned", "cloudPcNotFound", "cloudPcNotFound"]);
    let reboot = format!("/beta/{CLOUD_PCS}/{desk_1}/reboot");
    assert_eq!(world.post(Who::Writer, &reboot).await.status, 204);
    assert_eq!(codes(&[desk_1]).await, ["operationConflict"]);
    let smaller = "10000000-0000-4000-8000-0000000000c1";
    assert_eq!(validated(&[desk_2], smaller).await.rows()[0]["validationResult"], "operationNotSupported");
    assert_eq!(validated(&[desk_2], "10000000-0000-4000-8000-00000000dead").await.status, 400);
    let many = vec![desk_2; VALIDATE_CLOUD_PC_IDS_MAX];
    assert_eq!(validated(&many, PLAN_2).await.status, 200);
    let more = vec![desk_2; VALIDATE_CLOUD_PC_IDS_MAX + 1];
    assert_eq!(validated(&more, PLAN_2).await.status, 400);
    let stranger =
        world.call(Who::Stranger, "POST", &path, Some(json!({"cloudPcIds": [desk_1], "targetServicePlanId": PLAN_2})));
    assert_eq!(stranger.await.status, 400, "the plan is another tenant's");
}
