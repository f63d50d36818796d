//! What the main operations answer: status, headers and body, as they are.

use insta::assert_snapshot;
use serde_json::json;

use crate::world::{DESK_1, DESK_2, DEVICE_1, PARTNER, PLAN_2, Who, World};

const CLOUD_PCS: &str = "deviceManagement/virtualEndpoint/cloudPCs";
const DEVICES: &str = "deviceManagement/managedDevices";
const PARTNERS: &str = "deviceManagement/virtualEndpoint/externalPartners";

#[tokio::test]
async fn every_answer_has_graphs_headers() {
    let reply = World::new().await.get(Who::Reader, "/beta/deviceManagement/managedDevices/$count").await;
    let names = ["content-type", "request-id", "client-request-id", "odata-version", "x-ms-ags-diagnostic"];
    let shown = names.map(|name| format!("{name}: {}", reply.headers[name].to_str().unwrap())).join("\n");
    assert_snapshot!(format!("{shown}\n\n{}", reply.body), @r#"
    content-type: text/plain
    request-id: 00000000-0000-4000-8000-000000000001
    client-request-id: 00000000-0000-4000-8000-000000000001
    odata-version: 4.0
    x-ms-ags-diagnostic: {"ServerInfo":{"DataCenter":"cloudpc","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"cloudpc"}}

    3
    "#);
}

#[tokio::test]
async fn a_cloud_pc_in_beta() {
    let world = World::new().await;
    assert_snapshot!(world.get(Who::Reader, &format!("/beta/{CLOUD_PCS}/{DESK_1}")).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs/$entity",
      "aadDeviceId": "10000000-0000-4000-8000-0000000000f1",
      "allotmentDisplayName": null,
      "connectionSetting": null,
      "connectionSettings": null,
      "deviceRegionName": "westus3",
      "diskEncryptionState": "notAvailable",
      "displayName": "desk-1",
      "gracePeriodEndDateTime": null,
      "groupDetail": null,
      "id": "10000000-0000-4000-8000-0000000000d1",
      "imageDisplayName": "Windows 11 Enterprise 24H2",
      "isDisasterRecoveryActive": false,
      "lastModifiedDateTime": "2026-03-01T12:00:00.0000000Z",
      "managedDeviceId": "10000000-0000-4000-8000-0000000000e1",
      "managedDeviceName": "CPC-ada-1",
      "onPremisesConnectionName": null,
      "partnerAgentInstallResults": [],
      "productType": "business",
      "provisionedDateTime": "2026-01-02T03:04:05.0000000Z",
      "provisioningPolicyId": "c05855f0-e7af-4581-9a81-1b0431c79e8c",
      "provisioningPolicyName": "Everyone",
      "provisioningType": "dedicated",
      "scopeIds": [
        "0"
      ],
      "servicePlanId": "10000000-0000-4000-8000-0000000000c1",
      "servicePlanName": "Cloud PC Business 2vCPU/8GB/128GB",
      "servicePlanType": "business",
      "sharedDeviceDetail": null,
      "status": "provisioned",
      "statusDetail": null,
      "statusDetails": null,
      "userDetail": null,
      "userExperienceType": "cloudPc",
      "userPrincipalName": "ada@contoso.test"
    }
    "#);
}

#[tokio::test]
async fn a_cloud_pc_in_v1() {
    let world = World::new().await;
    assert_snapshot!(world.get(Who::Reader, &format!("/v1.0/{CLOUD_PCS}/{DESK_1}")).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/v1.0/$metadata#deviceManagement/virtualEndpoint/cloudPCs/$entity",
      "aadDeviceId": "10000000-0000-4000-8000-0000000000f1",
      "displayName": "desk-1",
      "gracePeriodEndDateTime": null,
      "id": "10000000-0000-4000-8000-0000000000d1",
      "imageDisplayName": "Windows 11 Enterprise 24H2",
      "lastModifiedDateTime": "2026-03-01T12:00:00.0000000Z",
      "managedDeviceId": "10000000-0000-4000-8000-0000000000e1",
      "managedDeviceName": "CPC-ada-1",
      "onPremisesConnectionName": null,
      "provisioningPolicyId": "c05855f0-e7af-4581-9a81-1b0431c79e8c",
      "provisioningPolicyName": "Everyone",
      "provisioningType": "dedicated",
      "servicePlanId": "10000000-0000-4000-8000-0000000000c1",
      "servicePlanName": "Cloud PC Business 2vCPU/8GB/128GB",
      "userPrincipalName": "ada@contoso.test"
    }
    "#);
}

#[tokio::test]
async fn only_what_is_selected() {
    let world = World::new().await;
    let path = format!("/beta/{CLOUD_PCS}?$select=id,displayName,osVersion,powerState,lastRemoteActionResult&$top=1");
    assert_snapshot!(world.get(Who::Reader, &path).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs(id,displayName,osVersion,powerState,lastRemoteActionResult)",
      "@odata.nextLink": "https://cloudpc.test/beta/deviceManagement/virtualEndpoint/cloudPCs?$select=id,displayName,osVersion,powerState,lastRemoteActionResult&$top=1&$skiptoken=4KxxUVJPotZhmJUqbnB10TEwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDBkMQ",
      "value": [
        {
          "displayName": "desk-1",
          "id": "10000000-0000-4000-8000-0000000000d1",
          "lastRemoteActionResult": null,
          "osVersion": "windows11",
          "powerState": "running"
        }
      ]
    }
    "#);
    let path = format!("/beta/{CLOUD_PCS}/{DESK_2}?$select=displayName,userAccountType");
    assert_snapshot!(world.get(Who::Reader, &path).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs(displayName,userAccountType)/$entity",
      "displayName": "desk-2",
      "userAccountType": "standardUser"
    }
    "#);
}

#[tokio::test]
async fn a_managed_device() {
    let world = World::new().await;
    assert_snapshot!(world.get(Who::Reader, &format!("/beta/{DEVICES}/{DEVICE_1}")).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/managedDevices/$entity",
      "azureADDeviceId": "10000000-0000-4000-8000-0000000000f1",
      "azureADRegistered": true,
      "azureActiveDirectoryDeviceId": "10000000-0000-4000-8000-0000000000f1",
      "cloudPcRemoteActionResults": [],
      "complianceState": "unknown",
      "deviceEnrollmentType": "windowsAzureADJoin",
      "deviceName": "CPC-ada-1",
      "deviceRegistrationState": "registered",
      "deviceType": "cloudPC",
      "emailAddress": "ada@contoso.test",
      "enrolledDateTime": "2026-01-02T03:04:05.0000000Z",
      "id": "10000000-0000-4000-8000-0000000000e1",
      "isEncrypted": false,
      "joinType": "azureADJoined",
      "lastSyncDateTime": "2026-03-01T12:00:00.0000000Z",
      "managedDeviceName": "CPC-ada-1",
      "managedDeviceOwnerType": "company",
      "managementAgent": "mdm",
      "managementState": "managed",
      "manufacturer": "Microsoft Corporation",
      "model": "Cloud PC Business 2vCPU/8GB/128GB",
      "operatingSystem": "Windows",
      "osVersion": null,
      "physicalMemoryInBytes": 8589934592,
      "processorArchitecture": "x64",
      "totalStorageSpaceInBytes": 137438953472,
      "userId": "10000000-0000-4000-8000-0000000000a1",
      "userPrincipalName": "ada@contoso.test"
    }
    "#);
    let path = format!("/v1.0/{DEVICES}?$top=1&$select=id,deviceName,imei");
    assert_snapshot!(world.get(Who::Reader, &path).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/v1.0/$metadata#deviceManagement/managedDevices(id,deviceName,imei)",
      "@odata.nextLink": "https://cloudpc.test/v1.0/deviceManagement/managedDevices?$top=1&$select=id,deviceName,imei&$skiptoken=OKNPySzXa-LXpkRotgOeXDEwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDBlMQ",
      "value": [
        {
          "deviceName": "CPC-ada-1",
          "id": "10000000-0000-4000-8000-0000000000e1",
          "imei": null
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn the_catalog() {
    let world = World::new().await;
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
          "osVersionNumber": null,
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
async fn a_reprovision_from_asking_to_its_result() {
    let world = World::new().await;
    let results = format!("/beta/{DEVICES}/{DEVICE_1}/getCloudPcRemoteActionResults");
    assert_eq!(world.get(Who::Writer, &results).await.rows(), Vec::<serde_json::Value>::new());
    assert_snapshot!(world.post(Who::Writer, &format!("/beta/{DEVICES}/{DEVICE_1}/reprovisionCloudPc")).await, @"204");
    assert_snapshot!(world.get(Who::Writer, &results).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Collection(microsoft.graph.cloudPcRemoteActionResult)",
      "value": [
        {
          "actionName": "Reprovision",
          "actionState": "pending",
          "cloudPcId": "10000000-0000-4000-8000-0000000000d1",
          "lastUpdatedDateTime": "2026-03-01T12:00:00.0000000Z",
          "managedDeviceId": "10000000-0000-4000-8000-0000000000e1",
          "startDateTime": "2026-03-01T12:00:00.0000000Z",
          "statusDetail": null,
          "statusDetails": null
        }
      ]
    }
    "#);

    assert_snapshot!(world.post(Who::Writer, &format!("/v1.0/{CLOUD_PCS}/{DESK_1}/reboot")).await, @r#"
    409
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "error": {
        "code": "remoteActionInProgress",
        "innerError": {
          "client-request-id": "00000000-0000-4000-8000-000000000001",
          "date": "2026-03-01T12:00:00",
          "request-id": "00000000-0000-4000-8000-000000000001"
        },
        "message": "A reprovision is already pending on this Cloud PC (action 1). Wait for its result or cancel it, then ask again."
      }
    }
    "#);

    world.run();
    world.rest().await;
    let state = world.get(Who::Writer, &results).await.rows()[0]["actionState"].clone();
    assert_eq!(state, "done");
    let path = format!("/beta/{CLOUD_PCS}/{DESK_1}?$select=status,lastRemoteActionResult");
    let selected = world.get(Who::Writer, &path).await.json();
    assert_eq!(selected["lastRemoteActionResult"]["actionState"], "done");
    let actions = world.get(Who::Writer, &format!("/v1.0/{CLOUD_PCS}/{DESK_1}/cloudpc.actions")).await.rows();
    assert_eq!(actions.len(), 1);
    assert_eq!((&actions[0]["kind"], &actions[0]["state"]), (&json!("reprovision"), &json!("done")));
    let id = actions[0]["id"].as_str().unwrap();
    let one = world.get(Who::Writer, &format!("/v1.0/{CLOUD_PCS}/{DESK_1}/cloudpc.actions/{id}")).await;
    assert_eq!(one.json()["steps"], actions[0]["steps"]);
    let cancel = format!("/v1.0/{CLOUD_PCS}/{DESK_1}/cloudpc.actions/{id}/cloudpc.cancel");
    assert_eq!(world.post(Who::Writer, &cancel).await.error(), (409, "tooLateToCancel".into()));
    let settle = format!("/v1.0/{CLOUD_PCS}/{DESK_1}/cloudpc.actions/{id}/cloudpc.settle");
    assert_eq!(world.post(Who::Writer, &settle).await.error(), (409, "notStuck".into()));
}

#[tokio::test]
async fn an_action_that_waits_can_be_seen_and_cancelled() {
    let world = World::new().await;
    world.post(Who::Ada, &format!("/beta/{CLOUD_PCS}/{DESK_1}/reboot")).await;
    let actions = format!("/beta/me/cloudPCs/{DESK_1}/cloudpc.actions");
    assert_snapshot!(world.get(Who::Ada, &actions).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Collection(cloudpc.action)",
      "value": [
        {
          "activityId": null,
          "attempts": 0,
          "cancelRequestedDateTime": null,
          "cloudPcId": "10000000-0000-4000-8000-0000000000d1",
          "deadlineDateTime": "2026-03-01T14:00:00.0000000Z",
          "errorCode": null,
          "errorMessage": null,
          "events": [
            {
              "at": "2026-03-01T12:00:00.0000000Z",
              "data": null,
              "epoch": 0,
              "event": "accepted"
            }
          ],
          "id": "1",
          "kind": "reboot",
          "lastUpdatedDateTime": "2026-03-01T12:00:00.0000000Z",
          "queuePlace": 0,
          "requestedBy": {
            "appId": "6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10",
            "appName": "cloudpc command line",
            "kind": "user",
            "userId": "10000000-0000-4000-8000-0000000000a1",
            "userPrincipalName": "ada@contoso.test"
          },
          "requestedDateTime": "2026-03-01T12:00:00.0000000Z",
          "startedDateTime": null,
          "state": "pending",
          "step": null,
          "steps": [],
          "waitsFor": null
        }
      ]
    }
    "#);
    let id = world.get(Who::Ada, &actions).await.rows()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.post(Who::Ada, &format!("{actions}()/{id}/cloudpc.cancel")).await.status, 204);
    let results = format!("/beta/{CLOUD_PCS}/{DESK_1}/retrieveCloudPCRemoteActionResults()");
    assert_eq!(world.get(Who::Ada, &results).await.rows()[0]["actionState"], "canceled");
}

#[tokio::test]
async fn every_remote_action_is_taken_and_ends() {
    let world = World::new().await;
    world.run();
    let path = |action: &str| format!("/beta/{CLOUD_PCS}/{DESK_1}/{action}");
    let results = path("retrieveCloudPCRemoteActionResults");
    for (action, body) in [
        ("createSnapshot", json!({})),
        ("reboot", json!({})),
        ("powerOff", json!({})),
        ("powerOn", json!({})),
        ("rename", json!({"displayName": "desk one"})),
        ("resize", json!({"targetServicePlanId": PLAN_2})),
        ("troubleshoot", json!({})),
        ("reprovision", json!({"osVersion": "Windows11", "userAccountType": "administrator"})),
    ] {
        let reply = world.call(Who::Writer, "POST", &path(action), Some(body)).await;
        assert_eq!(reply.status, 204, "{action}: {}", reply.body);
        world.rest().await;
        let latest = world.get(Who::Writer, &results).await.rows()[0].clone();
        assert_eq!(latest["actionState"], "done", "{action}: {latest}");
    }
    let snapshots = world.get(Who::Writer, &path("retrieveSnapshots")).await.rows();
    assert_eq!(snapshots.len(), 1);
    let body = json!({"cloudPcSnapshotId": snapshots[0]["id"]});
    assert_eq!(world.call(Who::Writer, "POST", &path("restore"), Some(body)).await.status, 204);
    world.rest().await;
    let names: Vec<_> =
        world.get(Who::Writer, &results).await.rows().iter().map(|row| row["actionName"].clone()).collect();
    assert_snapshot!(serde_json::to_string(&names).unwrap(), @r#"["Restore","Reprovision","Troubleshoot","Resize","Rename","CloudPcPowerOn","CloudPcPowerOff","Reboot","CreateSnapshot"]"#);
    let all = world.get(Who::Writer, "/beta/deviceManagement/virtualEndpoint/snapshots").await.rows();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["cloudPcId"], DESK_1);
    assert_ne!(all[0]["lastRestoredDateTime"], serde_json::Value::Null);
    let selected = world.get(Who::Writer, &format!("{}?$select=*", path(""))).await.json();
    assert_eq!(selected["displayName"], "desk one");
    assert_eq!(selected["servicePlanId"], PLAN_2);
    assert_eq!(selected["userAccountType"], "administrator");
}

#[tokio::test]
async fn what_can_be_asked_for_now() {
    let world = World::new().await;
    let path = format!("/beta/{CLOUD_PCS}/10000000-0000-4000-8000-0000000000d3/getSupportedCloudPcRemoteActions");
    let shown = |reply: crate::world::Reply| {
        let line =
            |row: &serde_json::Value| format!("{} {}", row["actionName"], row["actionCapability"]).replace('"', "");
        reply.rows().iter().map(line).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(shown(world.get(Who::Reader, &path).await), @"
    restart disabled
    rename disabled
    resize disabled
    restore disabled
    reprovision enabled
    troubleshoot enabled
    unknownFutureValue disabled
    unknownFutureValue disabled
    unknownFutureValue disabled
    ");
}

#[tokio::test]
async fn whose_cloud_pcs() {
    let world = World::new().await;
    let names =
        |reply: crate::world::Reply| reply.rows().iter().map(|row| row["displayName"].clone()).collect::<Vec<_>>();
    assert_eq!(names(world.get(Who::Alan, "/beta/me/cloudPCs").await), ["desk-2", "desk-3"]);
    assert_eq!(names(world.get(Who::Alan, "/v1.0/users/ADA@contoso.test/cloudPCs").await), ["desk-1"]);
    let by_id = "/v1.0/users/10000000-0000-4000-8000-0000000000a2/cloudPCs";
    assert_eq!(names(world.get(Who::Ada, by_id).await), ["desk-2", "desk-3"]);
    assert_eq!(world.get(Who::Alan, "/v1.0/me/cloudPCs/$count").await.body, "2");
    assert_eq!(
        world.get(Who::Ada, "/v1.0/users/nobody@contoso.test/cloudPCs").await.error(),
        (404, "ResourceNotFound".into())
    );
    assert_eq!(
        world.get(Who::Alan, &format!("/v1.0/me/cloudPCs/{DESK_1}")).await.error(),
        (404, "ResourceNotFound".into())
    );
    assert_eq!(world.get(Who::Writer, "/v1.0/me/cloudPCs").await.error(), (403, "Forbidden".into()));
    assert_eq!(
        world.post(Who::Writer, &format!("/v1.0/me/cloudPCs/{DESK_1}/reboot")).await.error(),
        (400, "BadRequest".into())
    );
}

#[tokio::test]
async fn a_partner_from_its_creation_to_its_end() {
    let world = World::new().await;
    let body = json!({
        "@odata.type": "#microsoft.graph.cloudPcExternalPartner",
        "partnerId": "FAB00000-0000-4000-8000-000000000009",
        "enableConnection": false,
    });
    let created = world.call(Who::Writer, "POST", &format!("/beta/{PARTNERS}"), Some(body.clone())).await;
    assert_snapshot!(created, @r#"
    201
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    location: https://cloudpc.test/beta/deviceManagement/virtualEndpoint/externalPartners/4edbbf01-5087-4314-8dca-9b0d2a122884
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/externalPartners/$entity",
      "agentSetting": null,
      "connectionStatus": "notAvailable",
      "enableConnection": false,
      "id": "4edbbf01-5087-4314-8dca-9b0d2a122884",
      "lastSyncDateTime": null,
      "partnerId": "fab00000-0000-4000-8000-000000000009",
      "statusDetails": "The connection to the external partner is disabled"
    }
    "#);
    let path = format!("/beta/{PARTNERS}/{}", created.json()["id"].as_str().unwrap());

    let again = world.call(Who::Writer, "POST", &format!("/beta/{PARTNERS}"), Some(body)).await;
    assert_eq!(again.error(), (409, "nameAlreadyExists".into()));
    assert_eq!(
        world.post(Who::Writer, &format!("{path}/cloudpc.heartbeat")).await.error(),
        (409, "partnerConnectionDisabled".into())
    );

    let update = |enable: bool| Some(json!({"enableConnection": enable}));
    let status = |reply: crate::world::Reply| reply.json()["connectionStatus"].as_str().unwrap().to_owned();
    assert_eq!(status(world.call(Who::Writer, "PATCH", &path, update(true)).await), "available");
    assert_eq!(world.post(Who::Writer, &format!("{path}/cloudpc.heartbeat")).await.status, 204);
    assert_eq!(status(world.get(Who::Reader, &path).await), "healthy");
    world.clock.advance(world.app.heartbeat_silence_max + std::time::Duration::from_secs(1)).await;
    assert_eq!(status(world.get(Who::Reader, &path).await), "unhealthy");
    assert_eq!(status(world.call(Who::Writer, "PATCH", &path, update(false)).await), "notAvailable");

    let mut whole = world.get(Who::Writer, &path).await.json();
    whole.as_object_mut().unwrap().remove("@odata.context");
    assert_eq!(world.call(Who::Writer, "PATCH", &path, Some(whole.clone())).await.status, 200);
    whole["statusDetails"] = json!("all is well");
    assert_snapshot!(world.call(Who::Writer, "PATCH", &path, Some(whole)).await, @r#"
    400
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "error": {
        "code": "BadRequest",
        "innerError": {
          "client-request-id": "00000000-0000-4000-8000-000000000001",
          "date": "2026-03-01T12:15:01",
          "request-id": "00000000-0000-4000-8000-000000000001"
        },
        "message": "The property 'statusDetails' cannot be changed by an update.",
        "target": "statusDetails"
      }
    }
    "#);

    assert_eq!(world.call(Who::Writer, "DELETE", &path, None).await.status, 204);
    assert_eq!(world.get(Who::Writer, &path).await.error(), (404, "ResourceNotFound".into()));
    let audit = world.get(Who::Reader, "/v1.0/deviceManagement/virtualEndpoint/auditEvents").await.rows();
    let types: Vec<_> = audit.iter().map(|row| row["activityType"].as_str().unwrap()).collect();
    assert_snapshot!(types.join("\n"), @"
    Delete CloudPcExternalPartner
    Update CloudPcExternalPartner
    Update CloudPcExternalPartner
    Update CloudPcExternalPartner
    Create CloudPcExternalPartner
    ");
    let first =
        format!("/v1.0/deviceManagement/virtualEndpoint/auditEvents/{}", audit.last().unwrap()["id"].as_str().unwrap());
    assert_snapshot!(world.get(Who::Reader, &first).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/v1.0/$metadata#deviceManagement/virtualEndpoint/auditEvents/$entity",
      "activity": null,
      "activityDateTime": "2026-03-01T12:00:00.0000000Z",
      "activityOperationType": "create",
      "activityResult": "success",
      "activityType": "Create CloudPcExternalPartner",
      "actor": {
        "applicationDisplayName": "writer",
        "applicationId": "10000000-0000-4000-8000-0000000000b1",
        "ipAddress": null,
        "remoteTenantId": null,
        "remoteUserId": null,
        "servicePrincipalName": null,
        "userId": null,
        "userPermissions": [],
        "userPrincipalName": null,
        "userRoleScopeTags": []
      },
      "category": "cloudPC",
      "componentName": "cloudpc",
      "correlationId": "00000000-0000-4000-8000-000000000001",
      "displayName": "Create CloudPcExternalPartner",
      "id": "1",
      "resources": [
        {
          "displayName": null,
          "modifiedProperties": [],
          "resourceId": "4edbbf01-5087-4314-8dca-9b0d2a122884"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn an_agent_is_configured_and_its_parameters_are_never_sent_back() {
    let world = World::new().await;
    let path = format!("/beta/{PARTNERS}/{PARTNER}");
    let setting = |url: &str| {
        json!({"agentSetting": {
            "agentUrl": url,
            "agentSha256": "AB".repeat(32),
            "installParameters": ["/token", "top-secret"],
            "autoDeploymentEnabled": true,
        }})
    };
    let configure = format!("{path}/configureAgent");
    let reply =
        world.call(Who::Writer, "POST", &configure, Some(setting("https://agents.fabrikam.test/new.exe"))).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    assert_snapshot!(world.get(Who::Reader, &path).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/externalPartners/$entity",
      "agentSetting": {
        "agentSha256": "abababababababababababababababababababababababababababababababab",
        "agentUrl": "https://agents.fabrikam.test/new.exe",
        "autoDeploymentEnabled": true,
        "installParameters": [
          "***",
          "***"
        ]
      },
      "connectionStatus": "available",
      "enableConnection": true,
      "id": "10000000-0000-4000-8000-00000000fab1",
      "lastSyncDateTime": null,
      "partnerId": "fab00000-0000-4000-8000-000000000001",
      "statusDetails": "The external partner is available"
    }
    "#);
    assert_snapshot!(world.get(Who::Reader, &format!("{path}/retrieveActionReports")).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Collection(microsoft.graph.cloudPcExternalPartnerActionReport)",
      "value": [
        {
          "actionType": "configureAgent",
          "activityId": null,
          "activityMessage": "The agent was configured.",
          "agentName": "new.exe",
          "agentSetting": {
            "agentSha256": "abababababababababababababababababababababababababababababababab",
            "agentUrl": "https://agents.fabrikam.test/new.exe",
            "autoDeploymentEnabled": true,
            "installParameters": [
              "***",
              "***"
            ]
          },
          "authenticatedAppId": "10000000-0000-4000-8000-0000000000b1",
          "authenticatedAppName": "writer",
          "authenticatedMethod": "appOnly",
          "authenticatedUserPrincipalName": "",
          "cloudPcId": "",
          "cloudPcName": "",
          "createdDateTime": "2026-03-01T12:00:00.0000000Z"
        }
      ]
    }
    "#);
    for wrong in [
        "file:///etc/passwd",
        "https://10.0.0.1/agent.exe",
        "https://127.0.0.1/agent.exe",
        "https://elsewhere.test/agent.exe",
        "https://user:password@agents.fabrikam.test/agent.exe",
        "agent.exe",
        "",
    ] {
        let reply = world.call(Who::Writer, "POST", &configure, Some(setting(wrong))).await;
        assert_eq!(reply.error(), (400, "BadRequest".into()), "{wrong}: {}", reply.body);
        assert_eq!(reply.json()["error"]["target"], "agentSetting/agentUrl");
    }
    let allow = json!({"urls": ["https://10.0.0.1/agents/"]});
    assert_eq!(world.call(Who::Writer, "POST", &format!("{path}/cloudpc.allowUrls"), Some(allow)).await.status, 204);
    let reply = world.call(Who::Writer, "POST", &configure, Some(setting("https://10.0.0.1/agents/agent.exe"))).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
}

#[tokio::test]
async fn a_deployment_from_asking_to_its_results() {
    let world = World::new().await;
    let path = format!("/beta/{PARTNERS}/{PARTNER}");
    let ids = json!({"cloudPcIds": [DESK_1, DESK_2, DESK_1, "no such machine"]});
    let deployed = world.call(Who::Writer, "POST", &format!("{path}/deployAgent"), Some(ids)).await;
    assert_snapshot!(deployed, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Edm.String",
      "value": "4edbbf01-5087-4314-8dca-9b0d2a122884"
    }
    "#);
    let activity = deployed.json()["value"].as_str().unwrap().to_owned();
    let results = format!("{path}/retrieveDeployAgentActionResults(activityId='{activity}',cloudPcId='')");
    assert_snapshot!(world.get(Who::Reader, &results).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Collection(microsoft.graph.cloudPcExternalPartnerActionResult)",
      "value": [
        {
          "activityId": "4edbbf01-5087-4314-8dca-9b0d2a122884",
          "cloudPcId": "10000000-0000-4000-8000-0000000000d1",
          "errorCode": "none",
          "errorMessage": "",
          "lastModifiedDateTime": "2026-03-01T12:00:00.0000000Z",
          "startDateTime": "2026-03-01T12:00:00.0000000Z",
          "state": "created"
        },
        {
          "activityId": "4edbbf01-5087-4314-8dca-9b0d2a122884",
          "cloudPcId": "10000000-0000-4000-8000-0000000000d2",
          "errorCode": "none",
          "errorMessage": "",
          "lastModifiedDateTime": "2026-03-01T12:00:00.0000000Z",
          "startDateTime": "2026-03-01T12:00:00.0000000Z",
          "state": "created"
        },
        {
          "activityId": "4edbbf01-5087-4314-8dca-9b0d2a122884",
          "cloudPcId": "no such machine",
          "errorCode": "none",
          "errorMessage": "",
          "lastModifiedDateTime": "2026-03-01T12:00:00.0000000Z",
          "startDateTime": "2026-03-01T12:00:00.0000000Z",
          "state": "created"
        }
      ]
    }
    "#);
    world.run();
    world.rest().await;
    let shown = |rows: Vec<serde_json::Value>| {
        let line = |row: &serde_json::Value| {
            format!("{} {} {} {}", row["cloudPcId"], row["state"], row["errorCode"], row["errorMessage"])
                .replace('"', "")
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(shown(world.get(Who::Reader, &results).await.rows()), @"
    10000000-0000-4000-8000-0000000000d1 succeeded none 
    10000000-0000-4000-8000-0000000000d2 succeeded none 
    no such machine canceled deviceNotFound Cloud PC not found or invalid
    ");
    for (arguments, count) in [
        (format!("(activityId='{activity}',cloudPcId='{DESK_1}')"), 1),
        (format!("(activityId='{activity}'cloudPcId='')"), 3),
        (format!("(activityId='',cloudPcId='{DESK_2}')"), 1),
        ("(activityId='',cloudPcId='')".to_owned(), 3),
        (format!("?activityId={activity}&cloudPcId={DESK_1}"), 1),
        (format!("(activityId='@activityId'cloudPcId='@cloudPcId')?activityId={activity}"), 3),
        (format!("(activityId=@a,cloudPcId=@c)?@a='{activity}'&@c='{DESK_2}'"), 1),
        ("(activityId='no%20such%20activity',cloudPcId='')".to_owned(), 0),
    ] {
        let reply = world.get(Who::Reader, &format!("{path}/retrieveDeployAgentActionResults{arguments}")).await;
        assert_eq!(reply.rows().len(), count, "{arguments}");
    }
    let reports = world.get(Who::Reader, &format!("{path}/retrieveActionReports?$top=1&$count=true")).await;
    assert_snapshot!(reports, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Collection(microsoft.graph.cloudPcExternalPartnerActionReport)",
      "@odata.count": 3,
      "@odata.nextLink": "https://cloudpc.test/beta/deviceManagement/virtualEndpoint/externalPartners/10000000-0000-4000-8000-00000000fab1/retrieveActionReports?$top=1&$count=true&$skiptoken=syzIBIvmGqiCxMwChMmcrDM",
      "value": [
        {
          "actionType": "deployAgent",
          "activityId": "4edbbf01-5087-4314-8dca-9b0d2a122884",
          "activityMessage": "Asked to deploy agent.msi to 'no such machine', which is not a known Cloud PC.",
          "agentName": "agent.msi",
          "agentSetting": null,
          "authenticatedAppId": "10000000-0000-4000-8000-0000000000b1",
          "authenticatedAppName": "writer",
          "authenticatedMethod": "appOnly",
          "authenticatedUserPrincipalName": "",
          "cloudPcId": "no such machine",
          "cloudPcName": "",
          "createdDateTime": "2026-03-01T12:00:00.0000000Z"
        }
      ]
    }
    "#);
    let actions = world.get(Who::Reader, &format!("{path}/cloudpc.activities/{activity}/cloudpc.actions")).await;
    assert_eq!(actions.rows().len(), 3);
    let cancel = world.post(Who::Writer, &format!("{path}/cloudpc.activities/{activity}/cloudpc.cancel")).await;
    assert_eq!(cancel.error(), (409, "tooLateToCancel".into()));
}

#[tokio::test]
async fn an_activity_is_cancelled_while_it_waits() {
    let world = World::new().await;
    let path = format!("/beta/{PARTNERS}/{PARTNER}");
    let ids = json!({"cloudPcIds": [DESK_1, DESK_2]});
    let deployed = world.call(Who::Writer, "POST", &format!("{path}/deployAgent"), Some(ids)).await;
    let activity = deployed.json()["value"].as_str().unwrap().to_owned();
    let cancel = format!("{path}/cloudpc.activities/{activity}/cloudpc.cancel");
    assert_snapshot!(world.post(Who::Writer, &cancel).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Edm.Int32",
      "value": 2
    }
    "#);
    let results = world.get(Who::Reader, &format!("{path}/retrieveDeployAgentActionResults")).await.rows();
    assert_eq!(results.iter().filter(|row| row["state"] == "canceled").count(), 2);
}

#[tokio::test]
async fn a_client_may_prefer_no_body() {
    let world = World::new().await;
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
async fn anyone_may_read_what_a_root_has() {
    let world = World::new().await;
    for path in ["/v1.0", "/beta/"] {
        let reply = world.send(http::Request::get(path).body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(reply.rows().len(), 3, "{path}");
    }
    let reply = world.send(http::Request::get("/beta/$metadata").body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(reply.headers["content-type"], "application/xml");
    assert!(reply.body.contains("<EntityType Name=\"cloudPC\""));
}

#[tokio::test]
async fn oddly_spelled_paths_lead_to_the_same_place() {
    let world = World::new().await;
    for path in [
        format!("/beta//deviceManagement/managedDevices/{DEVICE_1}/getCloudPcRemoteActionResults()"),
        format!("/BETA/devicemanagement/MANAGEDDEVICES/{DEVICE_1}/getcloudpcremoteactionresults"),
        format!("/beta/deviceManagement/managedDevices('{DEVICE_1}')/microsoft.graph.getCloudPcRemoteActionResults"),
    ] {
        assert_eq!(world.get(Who::Reader, &path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn what_nobody_has_written_says_so() {
    let world = World::new().await;
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
        "message": "The operation 'cloudPcCloudApp.list' (/deviceManagement/virtualEndpoint/cloudApps) is part of the contract, and this server does not implement it yet."
      }
    }
    "#);
}
