//! The audit log on the wire: results are true, and details say what changed.

use serde_json::{Value, json};

use crate::world::{DESK_1, PARTNER, TestServer, Who};

const AUDIT: &str = "/beta/deviceManagement/virtualEndpoint/auditEvents";

/// Activity, result, operation type and details of each row, oldest first.
async fn told(world: &TestServer) -> Vec<String> {
    let mut rows = world.get(Who::Reader, AUDIT).await.rows();
    rows.reverse();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let change = |change: &Value| {
        format!("{}: {} -> {}", text(&change["displayName"]), text(&change["oldValue"]), text(&change["newValue"]))
    };
    let row = |row: &Value| {
        let changes = row["resources"][0]["modifiedProperties"].as_array().unwrap().iter().map(change);
        format!(
            "{} {} {} [{}]",
            text(&row["activityType"]),
            text(&row["activityResult"]),
            text(&row["activityOperationType"]),
            changes.collect::<Vec<_>>().join(", ")
        )
    };
    rows.iter().map(row).collect()
}

#[tokio::test]
async fn an_action_that_fails_is_no_success() {
    let world = TestServer::new().await;
    let desk = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}");
    let rule = json!({"kind": "reboot", "effect": {"effect": "fail", "code": "restartFailed", "message": "No."}});
    world.app.simulation.as_ref().unwrap().faults.add(serde_json::from_value(rule).unwrap());
    assert_eq!(world.post(Who::Writer, &format!("{desk}/reboot")).await.status, 204);
    world.run();
    world.rest().await;
    insta::assert_snapshot!(told(&world).await.join("\n"));
}

#[tokio::test]
async fn a_canceled_action_has_a_row_of_its_end() {
    let world = TestServer::new().await;
    let desk = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}");
    let body = Some(json!({"displayName": "renamed"}));
    assert_eq!(world.call(Who::Writer, "POST", &format!("{desk}/rename"), body).await.status, 204);
    let action = world.get(Who::Reader, &format!("{desk}/cloudpc.actions")).await.rows()[0]["id"].clone();
    let cancel = format!("{desk}/cloudpc.actions/{}/cloudpc.cancel", action.as_str().unwrap());
    let canceled = world.post(Who::Writer, &cancel).await;
    assert_eq!(canceled.status, 204, "{canceled}");
    insta::assert_snapshot!(told(&world).await.join("\n"));
}

#[tokio::test]
async fn changes_are_told_and_secrets_are_not() {
    let world = TestServer::new().await;
    let path = format!("/beta/deviceManagement/virtualEndpoint/externalPartners/{PARTNER}");
    let body = Some(json!({"agentSetting": {
        "agentUrl": "https://agents.fabrikam.test/new.exe?sig=top-secret",
        "agentSha256": "AB".repeat(32),
        "installParameters": ["/token", "top-secret"],
        "autoDeploymentEnabled": true,
    }}));
    let configured = world.call(Who::Writer, "POST", &format!("{path}/configureAgent"), body).await;
    assert_eq!(configured.status, 204, "{configured}");
    let body = Some(json!({"enableConnection": false}));
    assert_eq!(world.call(Who::Writer, "PATCH", &path, body).await.status, 200);
    let told = told(&world).await.join("\n");
    assert!(!told.contains("top-secret"), "{told}");
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn the_audit_log_is_counted_whatever_its_length() {
    let world = TestServer::new().await;
    let path = format!("/beta/deviceManagement/virtualEndpoint/externalPartners/{PARTNER}");
    for enable in [false, true, false] {
        let body = Some(json!({"enableConnection": enable}));
        assert_eq!(world.call(Who::Writer, "PATCH", &path, body).await.status, 200);
    }
    assert_eq!(world.get(Who::Reader, &format!("{AUDIT}/$count")).await.body, "3");
    assert_eq!(world.get(Who::Reader, &format!("{AUDIT}?$count=true&$top=1")).await.json()["@odata.count"], 3);
}
