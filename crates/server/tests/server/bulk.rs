//! Bulk actions and the bulk operations of managed devices, as clients see them.

use serde_json::{Value, json};

use crate::world::{DESK_1, PLAN_2, TestServer, Who};

const ROOT: &str = "/beta/deviceManagement/virtualEndpoint";
const DEVICES: &str = "/beta/deviceManagement/managedDevices";
const DESK_2: &str = "10000000-0000-4000-8000-0000000000d2";
/// The managed device of the first desk.
const DEVICE_1: &str = "10000000-0000-4000-8000-0000000000e1";

fn bulk(type_name: &str, more: Value) -> Value {
    let mut body = json!({
        "@odata.type": format!("#microsoft.graph.cloudPcBulk{type_name}"), "displayName": format!("{type_name} all"),
        "cloudPcIds": [DESK_1, DESK_2],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

impl TestServer {
    async fn bulk(&self, who: Who, body: Value) -> Value {
        let reply = self.call(who, "POST", &format!("{ROOT}/bulkActions"), Some(body)).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.json()
    }

    async fn refused_bulk(&self, body: Value) -> String {
        let reply = self.call(Who::Writer, "POST", &format!("{ROOT}/bulkActions"), Some(body)).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        let error = &reply.json()["error"];
        format!("{} [{}]", error["message"].as_str().unwrap(), error["target"])
    }

    async fn get_bulk(&self, id: &Value) -> Value {
        self.get(Who::Reader, &format!("{ROOT}/bulkActions/{}", id.as_str().unwrap())).await.json()
    }
}

#[tokio::test]
async fn bulk_action_is_read_as_it_was_written_and_counts_its_cloud_pcs() {
    let server = TestServer::new().await;
    server.run();
    let created = server.bulk(Who::Ada, bulk("Resize", json!({"targetServicePlanId": PLAN_2}))).await;
    assert_eq!(
        created["actionSummary"],
        json!({"failedCount": 0, "inProgressCount": 0, "notSupportedCount": 0, "pendingCount": 2, "successfulCount": 0})
    );
    assert_eq!((&created["status"], &created["targetServicePlanId"]), (&json!("pending"), &json!(PLAN_2)));
    assert_eq!(created["cloudPcIds"], json!([DESK_1, DESK_2]));
    assert_eq!(created["initiatedByUserPrincipalName"], "ada@contoso.test");
    server.rest().await;
    let ended = server.get_bulk(&created["id"]).await;
    let summary = &ended["actionSummary"];
    let counts = ["failedCount", "inProgressCount", "notSupportedCount", "pendingCount", "successfulCount"];
    assert_eq!(counts.iter().map(|name| summary[name].as_i64().unwrap()).sum::<i64>(), 2, "{ended}");
    assert_eq!((&summary["pendingCount"], &summary["inProgressCount"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn items_name_the_action_of_each_cloud_pc_and_why_one_failed() {
    let server = TestServer::new().await;
    server.run();
    let body = bulk("Restart", json!({"cloudPcIds": [DESK_1, "nowhere"]}));
    let created = server.bulk(Who::Writer, body).await;
    server.rest().await;
    let path = format!("{ROOT}/bulkActions/{}/cloudpc.items", created["id"].as_str().unwrap());
    let items = server.get(Who::Reader, &path).await.rows();
    assert_eq!((&items[0]["cloudPcId"], &items[0]["state"]), (&json!(DESK_1), &json!("succeeded")));
    assert_eq!(
        items[1],
        json!({
            "cloudPcId": "nowhere", "state": "failed", "actionId": null, "errorCode": "cloudPcNotFound",
            "errorMessage": "There is no Cloud PC 'nowhere' in this tenant.",
        })
    );
    let path = format!("{ROOT}/cloudPCs/{DESK_1}/cloudpc.actions/{}", items[0]["actionId"].as_str().unwrap());
    assert_eq!(server.get(Who::Reader, &path).await.json()["bulkActionId"], created["id"]);

    let retry = format!("{ROOT}/bulkActions/{}/retry", created["id"].as_str().unwrap());
    let reply = server.call(Who::Writer, "POST", &retry, None).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (202, ""));
    let refused = server.call(Who::Writer, "POST", &retry, Some(json!({"cloudPcIds": [DESK_1]}))).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
}

#[tokio::test]
async fn bodies_name_their_type_and_only_its_properties() {
    let server = TestServer::new().await;
    let mut untyped = bulk("Restart", json!({}));
    untyped.as_object_mut().unwrap().remove("@odata.type");
    let messages = [
        server.refused_bulk(untyped).await,
        server.refused_bulk(bulk("Restart", json!({"targetServicePlanId": PLAN_2}))).await,
        server.refused_bulk(bulk("Resize", json!({}))).await,
        server.refused_bulk(bulk("Restart", json!({"status": "succeeded"}))).await,
        server.refused_bulk(bulk("Restore", json!({"restorePointDateTime": "2026-01-01T00:00:00Z"}))).await,
        server.refused_bulk(bulk("CreateSnapshot", json!({"storageAccountId": "s"}))).await,
        server.refused_bulk(bulk("Restart", json!({"displayName": " "}))).await,
    ];
    insta::assert_snapshot!(messages.join("\n"));
}

#[tokio::test]
async fn list_is_filtered_sorted_and_counted() {
    let server = TestServer::new().await;
    let first = server.bulk(Who::Writer, bulk("Restart", json!({}))).await;
    let second = server.bulk(Who::Writer, bulk("PowerOff", json!({}))).await;
    let list = |query: &str| format!("{ROOT}/bulkActions?{query}");
    let names = async |query: &str| {
        let query = query.replace(' ', "%20");
        let rows = server.get(Who::Reader, &list(&query)).await.rows();
        rows.iter().map(|row| row["displayName"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("$filter=displayName eq 'Restart all'").await, ["Restart all"]);
    assert_eq!(names("$filter=status eq 'succeeded'").await, Vec::<String>::new());
    assert_eq!(names("$orderby=displayName desc&$filter=status eq 'pending'").await, ["Restart all", "PowerOff all"]);
    let query = format!("$filter=id eq '{}'", second["id"].as_str().unwrap());
    assert_eq!(names(&query).await, ["PowerOff all"]);
    let count = server.get(Who::Reader, &format!("{ROOT}/bulkActions/$count")).await;
    assert_eq!(count.body, "2");
    let path = format!("{ROOT}/bulkActions/{}", first["id"].as_str().unwrap());
    let reply = server.call(Who::Writer, "DELETE", &path, None).await;
    assert_eq!(reply.status, 405);
}

#[tokio::test]
async fn reports_tell_of_bulk_actions_and_of_the_actions_in_them() {
    let server = TestServer::new().await;
    server.run();
    let created = server.bulk(Who::Ada, bulk("Restart", json!({}))).await;
    server.rest().await;
    let report = |name: &str| format!("{ROOT}/reports/{name}");
    let select = ["BulkActionId", "BulkActionDisplayName", "Action", "BulkActionStatus", "SucceedCount", "TotalCount"];
    let body = json!({"select": select});
    let answer = server.call(Who::Reader, "POST", &report("retrieveBulkActionStatusReport"), Some(body)).await.json();
    assert_eq!(answer["Values"], json!([[created["id"], "Restart all", "Restart", "succeeded", 2, 2]]));
    let body = json!({"select": ["CloudPcId", "BulkActionId", "BulkActionDisplayName"], "orderBy": ["CloudPcId"]});
    let answer = server.call(Who::Reader, "POST", &report("getActionStatusReports"), Some(body)).await.json();
    let expected = [DESK_1, DESK_2].map(|desk| json!([desk, created["id"], "Restart all"]));
    assert_eq!(answer["Values"], json!(expected));
}

#[tokio::test]
async fn managed_devices_are_told_apart_by_what_became_of_the_request() {
    let server = TestServer::new().await;
    let body = json!({"managedDeviceIds": [DEVICE_1, "not-a-guid", DEVICE_1.to_uppercase()]});
    let path = format!("{DEVICES}/bulkReprovisionCloudPc");
    let answer = server.call(Who::Writer, "POST", &path, Some(body.clone())).await.json();
    assert_eq!(
        (&answer["successfulDeviceIds"], &answer["notFoundDeviceIds"]),
        (&json!([DEVICE_1]), &json!(["not-a-guid"]))
    );
    // The first request is still open.
    let answer = server.call(Who::Writer, "POST", &path, Some(body)).await.json();
    assert_eq!((&answer["successfulDeviceIds"], &answer["failedDeviceIds"]), (&json!([]), &json!([DEVICE_1])));
    let path = format!("{DEVICES}/bulkRestoreCloudPc");
    let body = json!({
        "managedDeviceIds": [DEVICE_1], "restorePointDateTime": "2020-01-01T00:00:00Z", "timeRange": "before",
    });
    let answer = server.call(Who::Writer, "POST", &path, Some(body)).await.json();
    assert_eq!(answer["failedDeviceIds"], json!([DEVICE_1]), "it has no restore point");
}

#[tokio::test]
async fn cloud_pc_of_another_tenant_is_as_good_as_none() {
    let server = TestServer::new().await;
    server.run();
    let theirs = "20000000-0000-4000-8000-0000000000d1";
    let missing = "20000000-0000-4000-8000-00000000dead";
    let created = server.bulk(Who::Writer, bulk("Reprovision", json!({"cloudPcIds": [theirs, missing]}))).await;
    server.rest().await;
    let path = format!("{ROOT}/bulkActions/{}/cloudpc.items", created["id"].as_str().unwrap());
    let items = server.get(Who::Reader, &path).await.rows();
    let told = |item: &Value, id: &str| item.to_string().replace(id, "<id>");
    assert_eq!(told(&items[0], theirs), told(&items[1], missing));
    let actions = format!("{ROOT}/cloudPCs/{theirs}/cloudpc.actions");
    assert_eq!(server.get(Who::Stranger, &actions).await.rows(), Vec::<Value>::new());
    let read = server.get(Who::Stranger, &format!("{ROOT}/bulkActions")).await.rows();
    assert_eq!(read, Vec::<Value>::new());
}
