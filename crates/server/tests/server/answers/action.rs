//! Responses of remote actions, from the request to the result.

use insta::assert_snapshot;
use serde_json::json;
use std::time::Duration;

use super::{CLOUD_PCS, DEVICES};
use crate::world::{DESK_1, DEVICE_1, PLAN_2, TestServer, Who};

#[tokio::test]
async fn reprovision_from_request_to_result() {
    let world = TestServer::new().await;
    let results = format!("/beta/{DEVICES}/{DEVICE_1}/getCloudPcRemoteActionResults");
    assert_eq!(world.get(Who::Writer, &results).await.rows(), Vec::<serde_json::Value>::new());
    assert_snapshot!(world.post(Who::Writer, &format!("/beta/{DEVICES}/{DEVICE_1}/reprovisionCloudPc")).await, @"204");
    assert_snapshot!(world.get(Who::Writer, &results).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    deprecation: Wed, 08 May 2024 23:59:59 GMT
    sunset: Mon, 30 Sep 2024 23:59:59 GMT
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
        "message": "A reprovision is already pending on this Cloud PC (action 1). Wait for its result or cancel it, then retry."
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
async fn waiting_action_is_listed_and_can_be_canceled() {
    let world = TestServer::new().await;
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
          "bulkActionId": null,
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
          "undoUntilDateTime": null,
          "undoneActionId": null,
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
async fn every_remote_action_is_accepted_and_ends() {
    let world = TestServer::new().await;
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
async fn reprovision_can_be_undone() {
    let world = TestServer::new().await;
    let path = |action: &str| format!("/v1.0/{CLOUD_PCS}/{DESK_1}/{action}");
    let results = format!("/beta/{CLOUD_PCS}/{DESK_1}/retrieveCloudPCRemoteActionResults");
    assert_eq!(world.post(Who::Writer, &path("cloudpc.undo")).await.error(), (409, "nothingToUndo".into()));
    world.run();
    assert_eq!(world.post(Who::Writer, &path("reprovision")).await.status, 204);
    world.rest().await;
    assert_snapshot!(world.post(Who::Ada, &format!("/beta/me/cloudPCs/{DESK_1}/cloudpc.undo")).await, @"204");
    let busy = world.post(Who::Writer, &path("cloudpc.undo")).await;
    assert_eq!(busy.error(), (409, "remoteActionInProgress".into()));
    world.rest().await;

    // `actionName` is an open string, so it can name the undo.
    let rows = world.get(Who::Writer, &results).await.rows();
    let shown: Vec<_> = rows.iter().map(|row| format!("{} {}", row["actionName"], row["actionState"])).collect();
    assert_snapshot!(shown.join(", "), @r#""Undo" "done", "Reprovision" "done""#);
    // Capabilities have an enumeration, which has no member for undo.
    let capabilities = format!("/beta/{CLOUD_PCS}/{DESK_1}/getSupportedCloudPcRemoteActions");
    let capabilities = world.get(Who::Writer, &capabilities).await.rows();
    assert_eq!(capabilities.len(), 11);
    assert!(capabilities.iter().all(|row| row["actionName"] != "unknown"), "{capabilities:?}");

    let actions = world.get(Who::Writer, &path("cloudpc.actions")).await.rows();
    let undo = ["kind", "state", "undoneActionId"].map(|name| (name, actions[0][name].clone()));
    assert_snapshot!(serde_json::to_string(&undo).unwrap(), @r#"[["kind","undo"],["state","done"],["undoneActionId","1"]]"#);
    let in_seven_days = "2026-03-08T12:";
    assert!(actions[0]["undoUntilDateTime"].as_str().unwrap().starts_with(in_seven_days), "{}", actions[0]);
    assert_eq!(actions[1]["undoUntilDateTime"], serde_json::Value::Null, "the action is already undone");

    world.clock.advance(Duration::from_hours(7 * 24)).await;
    let late = world.post(Who::Writer, &path("cloudpc.undo")).await;
    assert_eq!(late.error(), (409, "undoWindowPassed".into()));
}
