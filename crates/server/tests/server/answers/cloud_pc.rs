//! Responses of Cloud PCs and managed devices.

use cloudpc_drivers::Incident;
use cloudpc_engine::RESTART_PAUSE_MIN;
use insta::assert_snapshot;
use std::time::Duration;

use super::{CLOUD_PCS, DEVICES};
use crate::world::{DESK_1, DESK_2, DEVICE_1, TestServer, Who};

#[tokio::test]
async fn cloud_pc_in_beta() {
    let world = TestServer::new().await;
    assert_snapshot!(world.get(Who::Reader, &format!("/beta/{CLOUD_PCS}/{DESK_1}")).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs/$entity",
      "aadDeviceId": "10000000-0000-4000-8000-0000000000f1",
      "allotmentDisplayName": null,
      "connectionSetting": {
        "enableSingleSignOn": false
      },
      "connectionSettings": {
        "enableSingleSignOn": false
      },
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
async fn cloud_pc_in_v1() {
    let world = TestServer::new().await;
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
async fn select_limits_properties() {
    let world = TestServer::new().await;
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
async fn managed_device_in_beta_and_v1() {
    let world = TestServer::new().await;
    assert_snapshot!(world.get(Who::Reader, &format!("/beta/{DEVICES}/{DEVICE_1}")).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/managedDevices/$entity",
      "azureADDeviceId": "10000000-0000-4000-8000-0000000000f1",
      "azureADRegistered": true,
      "azureActiveDirectoryDeviceId": "10000000-0000-4000-8000-0000000000f1",
      "cloudPcRemoteActionResults": [],
      "complianceGracePeriodExpirationDateTime": "0001-01-01T00:00:00Z",
      "complianceState": "unknown",
      "deviceEnrollmentType": "windowsAzureADJoin",
      "deviceName": "CPC-ada-1",
      "deviceRegistrationState": "registered",
      "deviceType": "cloudPC",
      "easActivated": false,
      "easActivationDateTime": "0001-01-01T00:00:00Z",
      "emailAddress": "ada@contoso.test",
      "enrolledDateTime": "2026-01-02T03:04:05.0000000Z",
      "exchangeAccessState": "none",
      "exchangeAccessStateReason": "none",
      "exchangeLastSuccessfulSyncDateTime": "0001-01-01T00:00:00Z",
      "freeStorageSpaceInBytes": 0,
      "id": "10000000-0000-4000-8000-0000000000e1",
      "isEncrypted": false,
      "isSupervised": false,
      "joinType": "azureADJoined",
      "lastSyncDateTime": "2026-03-01T12:00:00.0000000Z",
      "managedDeviceName": "CPC-ada-1",
      "managedDeviceOwnerType": "company",
      "managementAgent": "mdm",
      "managementCertificateExpirationDate": "0001-01-01T00:00:00Z",
      "managementState": "managed",
      "manufacturer": "Microsoft Corporation",
      "model": "Cloud PC Business 2vCPU/8GB/128GB",
      "operatingSystem": "Windows",
      "osVersion": null,
      "partnerReportedThreatState": "unknown",
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
async fn list_is_limited_to_the_user_in_the_path() {
    let world = TestServer::new().await;
    let names =
        |reply: crate::world::Reply| reply.rows().iter().map(|row| row["displayName"].clone()).collect::<Vec<_>>();
    assert_eq!(names(world.get(Who::Alan, "/beta/me/cloudPCs").await), ["desk-2", "desk-3"]);
    assert_eq!(names(world.get(Who::Ada, "/v1.0/users/ADA@contoso.test/cloudPCs").await), ["desk-1"]);
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
async fn supported_actions_depend_on_status_and_open_actions() {
    let world = TestServer::new().await;
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
    changeUserAccountType disabled
    troubleshoot enabled
    placeUnderReview disabled
    createSnapshot disabled
    powerOn disabled
    powerOff disabled
    ");
}

#[tokio::test]
async fn machine_failure_is_reported() {
    let world = TestServer::new().await;
    world.run();
    let desk = DESK_1.parse().unwrap();
    world.app.simulation.as_ref().unwrap().driver.inject(desk, Incident::Crash).unwrap();
    world.clock.advance(Duration::ZERO).await;
    let cloud_pc = format!("/beta/{CLOUD_PCS}/{DESK_1}");
    assert_snapshot!(world.get(Who::Reader, &format!("{cloud_pc}?$select=status,statusDetail,powerState")).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs(status,statusDetail,powerState)/$entity",
      "powerState": "poweredOff",
      "status": "provisionedWithWarnings",
      "statusDetail": {
        "additionalInformation": [],
        "code": "machineCrashed",
        "message": "The machine crashed and is off."
      }
    }
    "#);
    world.clock.advance(RESTART_PAUSE_MIN).await;
    world.rest().await;
    world.clock.advance(Duration::ZERO).await;
    let history = format!("{cloud_pc}/getCloudPcConnectivityHistory");
    assert_snapshot!(world.get(Who::Reader, &history).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Collection(microsoft.graph.cloudPcConnectivityEvent)",
      "value": [
        {
          "activityId": "10000000-0000-4000-8000-0000000000d1-2",
          "eventDateTime": "2026-03-01T12:01:19.0000000Z",
          "eventName": "PowerCheck",
          "eventResult": "success",
          "eventType": "deviceHealthCheck",
          "message": "The machine is healthy again."
        },
        {
          "activityId": "10000000-0000-4000-8000-0000000000d1-1",
          "eventDateTime": "2026-03-01T12:00:00.0000000Z",
          "eventName": "PowerCheck",
          "eventResult": "failure",
          "eventType": "deviceHealthCheck",
          "message": "The machine crashed and is off."
        }
      ]
    }
    "#);
    let failures = world.get(Who::Reader, &format!("{history}?$filter=eventResult%20eq%20'failure'")).await;
    assert_eq!(failures.rows().len(), 1);
}
