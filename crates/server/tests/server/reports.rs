//! Reports: what of the store's data they show, and how a request chooses part of it.

use axum::body::Body;
use cloudpc_server::admin::{MEASUREMENT_MAX, SESSION_USER_CHARS_MAX};
use cloudpc_server::edge::{Edge, Health, Scheme};
use cloudpc_server::reports::{REPORT_ROWS, REPORT_ROWS_MAX, TABLES};
use http::Request;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::world::{HOST, TestServer, Who, arrival};

const REPORTS: &str = "/beta/deviceManagement/virtualEndpoint/reports";
const DESK_1: &str = "10000000-0000-4000-8000-0000000000d1";
const DESK_2: &str = "10000000-0000-4000-8000-0000000000d2";

/// An answer as objects by column.
struct Rows {
    total: u64,
    rows: Vec<Value>,
    answer: Value,
}

impl Rows {
    fn of(answer: Value) -> Self {
        let names: Vec<_> = answer["Schema"].as_array().unwrap().iter().map(|column| &column["Column"]).collect();
        let row = |values: &Value| -> Value {
            let values = values.as_array().unwrap();
            assert_eq!(values.len(), names.len());
            names.iter().map(|name| name.as_str().unwrap().to_owned()).zip(values.iter().cloned()).collect()
        };
        let rows = answer["Values"].as_array().unwrap().iter().map(row).collect();
        Self { total: answer["TotalRowCount"].as_u64().unwrap(), rows, answer }
    }

    fn column(&self, name: &str) -> Vec<&Value> {
        self.rows.iter().map(|row| &row[name]).collect()
    }
}

async fn report(server: &TestServer, name: &str, body: Value) -> Rows {
    let reply = server.call(Who::Reader, "POST", &format!("{REPORTS}/{name}"), Some(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    Rows::of(reply.json())
}

async fn refused(server: &TestServer, name: &str, body: Value) -> String {
    let reply = server.call(Who::Reader, "POST", &format!("{REPORTS}/{name}"), Some(body)).await;
    assert_eq!(reply.error(), (400, "BadRequest".into()), "{}", reply.body);
    format!("{} [{}]", reply.json()["error"]["message"].as_str().unwrap(), reply.json()["error"]["target"])
}

async fn session(server: &TestServer, body: Value) {
    assert_eq!(state_session(server, &body).await, 201, "{body}");
}

/// States a session and returns the status of the answer.
pub async fn state_session(server: &TestServer, body: &Value) -> u16 {
    let edge = Edge::new(server.app.clone(), Arc::new(Health::default()));
    let request = Request::post("/_cloudpc/sessions")
        .header("host", HOST)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", server.token(Who::Ada).await));
    let response = edge.answer(request.body(Body::from(body.to_string())).unwrap(), &arrival(Scheme::Http)).await;
    response.status().as_u16()
}

#[tokio::test]
async fn remote_actions_are_reported_with_who_asked_for_them() {
    let server = TestServer::new().await;
    server.run();
    for desk in [DESK_1, DESK_2] {
        let path = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{desk}/reprovision");
        assert_eq!(server.post(Who::Ada, &path).await.status, 204);
    }
    server.rest().await;
    let path = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}/rename");
    let body = json!({"displayName": "desk-one"});
    assert_eq!(server.call(Who::Writer, "POST", &path, Some(body)).await.status, 204);

    let all = report(&server, "getActionStatusReports", json!({})).await;
    assert_eq!(all.total, 3);
    assert_eq!(all.column("Action")[0], "Rename", "the latest request comes first");
    assert_eq!(all.rows[0]["ActionParameters"], r#"{"displayName":"desk-one"}"#);
    let finished = json!({
        "filter": format!("CloudPcId eq '{DESK_1}' and ActionState eq 'done' and RequestDateTime ge datetime'2020-01-01'"),
        "select": ["CloudPcId", "Action", "InitiatedByUserPrincipalName", "DeviceOwnerUserPrincipalName"],
        "search": "", "groupBy": [], "orderBy": [], "skip": 0, "top": 10,
    });
    let found = report(&server, "getActionStatusReports", finished).await;
    let expected = json!({
        "CloudPcId": DESK_1, "Action": "Reprovision", "InitiatedByUserPrincipalName": "ada@contoso.test",
        "DeviceOwnerUserPrincipalName": "ada@contoso.test",
    });
    assert_eq!((found.total, found.rows), (1, vec![expected]));
}

#[tokio::test]
async fn columns_come_in_the_order_of_the_request_with_their_types() {
    let server = TestServer::new().await;
    let body = json!({"select": ["totalusageinhour", "CloudPcId"], "orderBy": ["CloudPcId desc"], "top": 1});
    let found = report(&server, "getTotalAggregatedRemoteConnectionReports", body).await;
    let schema = json!([
        {"Column": "TotalUsageInHour", "PropertyType": "Double"}, {"Column": "CloudPcId", "PropertyType": "String"},
    ]);
    assert_eq!(found.answer["Schema"], schema);
    assert_eq!(found.rows.len(), 1);
    assert!(found.total > 1, "the number of rows before 'top'");
}

#[tokio::test]
async fn sessions_are_summed_by_cloud_pc_and_by_day() {
    let server = TestServer::new().await;
    session(&server, json!({"cloudPcId": DESK_1, "began": "10h", "lasted": "90m", "roundTripTimeInMs": 20})).await;
    session(&server, json!({"cloudPcId": DESK_1, "began": "30m"})).await;
    session(&server, json!({"cloudPcId": DESK_2, "began": "3d", "lasted": "48h"})).await;

    let body =
        json!({"filter": format!("CloudPcId eq '{DESK_1}' or CloudPcId eq '{DESK_2}'"), "orderBy": ["CloudPcId"]});
    let total = report(&server, "getTotalAggregatedRemoteConnectionReports", body.clone()).await;
    assert_eq!(total.column("TotalUsageInHour"), [&json!(2.0), &json!(48.0)]);
    assert_eq!(total.column("DaysSinceLastSignIn"), [&json!(0), &json!(3)]);

    let days = report(&server, "getDailyAggregatedRemoteConnectionReports", json!({"top": 100})).await;
    let used: f64 = days.column("UsageInHour").iter().map(|hours| hours.as_f64().unwrap()).sum();
    assert!((used - 50.0).abs() < 0.001, "{used}");
    assert!(days.column("UsageInHour").iter().all(|hours| hours.as_f64().unwrap() <= 24.0));

    let raw =
        report(&server, "getRawRemoteConnectionReports", json!({"filter": format!("CloudPcId eq '{DESK_1}'")})).await;
    assert_eq!(raw.total, 2);
    assert_eq!(raw.column("SignOutDateTime")[0], &Value::Null, "the latest lasts");
    assert_eq!(raw.column("RoundTripTimeInMsP50"), [&Value::Null, &json!(20)], "what was not measured is null");
}

#[tokio::test]
async fn a_restart_signs_the_user_off() {
    let server = TestServer::new().await;
    server.run();
    session(&server, json!({"cloudPcId": DESK_1})).await;
    let path = format!("{REPORTS}/getRealTimeRemoteConnectionStatus(cloudPcId='{DESK_1}')");
    let status = Rows::of(server.get(Who::Reader, &path).await.json());
    assert_eq!(status.column("SignInStatus"), ["SignedIn"]);
    let reboot = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}/reboot");
    assert_eq!(server.post(Who::Ada, &reboot).await.status, 204);
    server.rest().await;
    let status = Rows::of(server.get(Who::Reader, &path).await.json());
    assert_eq!(status.column("SignInStatus"), ["NotSignedIn"]);
}

#[tokio::test]
async fn rows_are_grouped_searched_and_paged() {
    let server = TestServer::new().await;
    for _ in 0..REPORT_ROWS_MAX + 1 {
        session(&server, json!({"cloudPcId": DESK_1, "began": "1h", "lasted": "1m"})).await;
    }
    session(&server, json!({"cloudPcId": DESK_2, "began": "1h", "lasted": "1m", "userPrincipalName": "Eve"})).await;
    let groups =
        json!({"select": ["UserPrincipalName"], "groupBy": ["UserPrincipalName"], "orderBy": ["__Count desc"]});
    let groups = report(&server, "getRawRemoteConnectionReports", groups).await;
    assert_eq!((groups.total, groups.column("__Count")), (2, vec![&json!(101), &json!(1)]));

    let name = "getRawRemoteConnectionReports";
    assert_eq!(report(&server, name, json!({"search": "EVE"})).await.total, 1);
    assert_eq!(report(&server, name, json!({})).await.rows.len(), REPORT_ROWS);
    assert_eq!(report(&server, name, json!({"top": 5000})).await.rows.len(), REPORT_ROWS_MAX);
    let last = report(&server, name, json!({"skip": 100, "top": 100})).await;
    assert_eq!((last.total, last.rows.len()), (102, 2));
}

#[tokio::test]
async fn another_tenant_sees_no_rows() {
    let server = TestServer::new().await;
    session(&server, json!({"cloudPcId": DESK_1})).await;
    for table in
        ["getRawRemoteConnectionReports", "getTotalAggregatedRemoteConnectionReports", "getActionStatusReports"]
    {
        let body = json!({"filter": format!("CloudPcId eq '{DESK_1}'")});
        let reply = server.call(Who::Stranger, "POST", &format!("{REPORTS}/{table}"), Some(body)).await;
        assert_eq!(reply.json()["TotalRowCount"], 0, "{table}");
    }
    let path = format!("{REPORTS}/getRealTimeRemoteConnectionStatus(cloudPcId='{DESK_1}')");
    assert_eq!(server.get(Who::Stranger, &path).await.status, 404);
}

#[tokio::test]
async fn a_report_without_a_source_says_so() {
    let server = TestServer::new().await;
    let body = json!({"reportName": "troubleshootTrendCountReport"});
    let found = report(&server, "retrieveCloudPcTroubleshootReports", body).await;
    assert_eq!(found.total, 0);
    assert!(found.answer["@cloudpc.noSource"].as_str().unwrap().starts_with("This installation does not"));
    let measured = report(&server, "retrieveCloudPcTroubleshootReports", json!({})).await;
    assert_eq!(measured.answer["@cloudpc.noSource"], Value::Null);
    for table in TABLES {
        assert_eq!(table.no_source.is_some(), !table.has_source(), "{}", table.name);
    }
}

#[tokio::test]
async fn mistakes_in_a_request_are_explained() {
    let server = TestServer::new().await;
    let name = "getTotalAggregatedRemoteConnectionReports";
    let bodies = [
        json!({"select": ["Nothing"]}),
        json!({"filter": "Nothing eq 1"}),
        json!({"filter": "TotalUsageInHour gt"}),
        json!({"orderBy": ["CloudPcId up"]}),
        json!({"groupBy": ["CloudPcId"]}),
        json!({"select": ["CloudPcId"], "groupBy": ["CloudPcId"], "orderBy": ["PcType"]}),
        json!({"top": -1}),
    ];
    let mut messages = String::new();
    for body in bodies {
        messages += &format!("{body}\n  {}\n", refused(&server, name, body.clone()).await);
    }
    let choice = json!({"reportName": "performanceTrendReport"});
    messages += &refused(&server, "retrieveFrontlineReports", choice).await;
    insta::assert_snapshot!("report_mistakes", messages);
}

#[tokio::test]
async fn a_session_that_cannot_have_been_is_not_stated() {
    let server = TestServer::new().await;
    for wrong in [
        json!({"cloudPcId": DESK_1, "began": "1h", "lasted": "2h"}),
        json!({"cloudPcId": DESK_1, "lasted": "1s"}),
        json!({"cloudPcId": DESK_1, "roundTripTimeInMs": -1}),
        json!({"cloudPcId": DESK_1, "roundTripTimeInMs": MEASUREMENT_MAX + 1}),
        json!({"cloudPcId": DESK_1, "userPrincipalName": "u".repeat(SESSION_USER_CHARS_MAX + 1)}),
    ] {
        assert_eq!(state_session(&server, &wrong).await, 400, "{wrong}");
    }
    let longest = json!({
        "cloudPcId": DESK_1, "began": "1h", "lasted": "1h", "roundTripTimeInMs": MEASUREMENT_MAX,
        "userPrincipalName": "u".repeat(SESSION_USER_CHARS_MAX),
    });
    session(&server, longest).await;
    assert_eq!(report(&server, "getRawRemoteConnectionReports", json!({})).await.total, 1);
}
