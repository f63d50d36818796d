//! Responses of the main operations: status, headers and body.

mod action;
mod cloud_pc;
mod gallery_image;
mod launch;
mod partner;

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
    for path in ["/v1.0", "/beta/"] {
        let reply = world.send(http::Request::get(path).body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(reply.rows().len(), 3, "{path}");
    }
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
async fn unimplemented_operation_gets_501() {
    let world = TestServer::new().await;
    assert_snapshot!(world.get(Who::Reader, "/beta/deviceManagement/virtualEndpoint/cloudApps").await, @r#"
    501
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "error": {
        "code": "NotImplemented",
        "innerError": {
          "client-request-id": "00000000-0000-4000-8000-000000000001",
          "date": "2026-03-01T12:00:00",
          "request-id": "00000000-0000-4000-8000-000000000001"
        },
        "message": "This server does not implement the operation 'cloudPcCloudApp.list' (/deviceManagement/virtualEndpoint/cloudApps) yet."
      }
    }
    "#);
}
