//! The audit log: results and changed properties.

use serde_json::{Value, json};

use crate::world::{DESK_1, PARTNER, TestServer, Who};

const AUDIT: &str = "/beta/deviceManagement/virtualEndpoint/auditEvents";

/// Returns the activity, result, operation type and changes of each row, oldest first.
async fn audit_lines(world: &TestServer) -> Vec<String> {
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
async fn failed_action_is_audited_as_failure() {
    let world = TestServer::new().await;
    let desk = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}");
    let rule = json!({"kind": "reboot", "effect": {"effect": "fail", "code": "restartFailed", "message": "No."}});
    world.app.simulation.as_ref().unwrap().faults.add(serde_json::from_value(rule).unwrap());
    assert_eq!(world.post(Who::Writer, &format!("{desk}/reboot")).await.status, 204);
    world.run();
    world.rest().await;
    insta::assert_snapshot!(audit_lines(&world).await.join("\n"));
}

#[tokio::test]
async fn end_of_a_canceled_action_is_audited() {
    let world = TestServer::new().await;
    let desk = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}");
    let body = Some(json!({"displayName": "renamed"}));
    assert_eq!(world.call(Who::Writer, "POST", &format!("{desk}/rename"), body).await.status, 204);
    let action = world.get(Who::Reader, &format!("{desk}/cloudpc.actions")).await.rows()[0]["id"].clone();
    let cancel = format!("{desk}/cloudpc.actions/{}/cloudpc.cancel", action.as_str().unwrap());
    let canceled = world.post(Who::Writer, &cancel).await;
    assert_eq!(canceled.status, 204, "{canceled}");
    insta::assert_snapshot!(audit_lines(&world).await.join("\n"));
}

#[tokio::test]
async fn changes_are_audited_without_secrets() {
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
    let lines = audit_lines(&world).await.join("\n");
    assert!(!lines.contains("top-secret"), "{lines}");
    insta::assert_snapshot!(lines);
}

#[tokio::test]
async fn audit_log_is_counted() {
    let world = TestServer::new().await;
    let path = format!("/beta/deviceManagement/virtualEndpoint/externalPartners/{PARTNER}");
    for enable in [false, true, false] {
        let body = Some(json!({"enableConnection": enable}));
        assert_eq!(world.call(Who::Writer, "PATCH", &path, body).await.status, 200);
    }
    assert_eq!(world.get(Who::Reader, &format!("{AUDIT}/$count")).await.body, "3");
    assert_eq!(world.get(Who::Reader, &format!("{AUDIT}?$count=true&$top=1")).await.json()["@odata.count"], 3);
}
