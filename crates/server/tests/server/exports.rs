//! Export jobs: from the request to the file, which opens only for those who may read it.

use axum::Router;
use axum::body::Body;
use cloudpc_server::exports::{self, EXPORT_JOBS_MAX, EXPORT_KEPT_TIME};
use http::Request;
use serde_json::{Value, json};
use std::time::Duration;
use tower::Service as _;

use crate::world::{BASE, DESK_1, OWNER_TENANT, Reply, TestServer, Who};

const JOBS: &str = "/beta/deviceManagement/virtualEndpoint/reports/exportJobs";

async fn create(world: &TestServer, body: Value) -> Reply {
    world.call(Who::Ada, "POST", JOBS, Some(body)).await
}

/// Waits until a job has ended.
async fn ended(world: &TestServer, id: &str) -> Value {
    loop {
        let job = world.get(Who::Ada, &format!("{JOBS}/{id}")).await.json();
        if !["notStarted", "inProgress"].contains(&job["exportJobStatus"].as_str().unwrap()) {
            return job;
        }
        tokio::task::yield_now().await;
    }
}

/// Opens the URL of a job as a client without a token does.
async fn open(world: &TestServer, url: &str) -> (u16, String) {
    let request = Request::get(url.strip_prefix(BASE).unwrap()).body(Body::empty()).unwrap();
    let mut router = Router::new().nest("/_cloudpc", exports::routes()).with_state(world.app.clone());
    let response = router.call(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_job_writes_the_rows_of_its_report_to_a_file_that_expires() {
    let world = TestServer::new().await;
    world.run();
    assert_eq!(world.post(Who::Writer, &format!("{}/cloudPCs/{DESK_1}/reboot", crate::scene::ROOT)).await.status, 204);
    world.rest().await;
    let body = json!({"reportName": "ActionStatusReport", "select": ["CloudPcId", "Action"], "filter": "ActionState eq 'done'"});
    let job = create(&world, body.clone()).await;
    assert_eq!(job.status, 201, "{job}");
    let job = job.json();
    let id = job["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("ActionStatusReport__"), "{id}");
    assert_eq!(
        (&job["exportJobStatus"], &job["exportUrl"], &job["format"]),
        (&json!("notStarted"), &Value::Null, &json!("csv"))
    );
    assert_eq!(job["expirationDateTime"], "0001-01-01T00:00:00Z");
    // The job is still there after a restart, and is run then.
    world.run_exports();
    let job = ended(&world, &id).await;
    assert_eq!(job["exportJobStatus"], "completed", "{job}");
    let url = job["exportUrl"].as_str().unwrap().to_owned();
    assert_eq!(open(&world, &url).await, (200, format!("CloudPcId,Action\r\n{DESK_1},Reboot\r\n")));
    let mut wanted = body;
    wanted["format"] = json!("json");
    let job = create(&world, wanted).await.json();
    let job = ended(&world, job["id"].as_str().unwrap()).await;
    let (status, text) = open(&world, job["exportUrl"].as_str().unwrap()).await;
    assert_eq!(
        (status, serde_json::from_str::<Value>(&text).unwrap()),
        (200, json!([{"CloudPcId": DESK_1, "Action": "Reboot"}]))
    );
    let forged = format!("{}A", &url[..url.len() - 1]);
    assert_eq!(open(&world, &forged).await.0, 403);
    world.clock.advance(EXPORT_KEPT_TIME - Duration::from_secs(1)).await;
    assert_eq!(open(&world, &url).await.0, 200);
    world.clock.advance(Duration::from_secs(2)).await;
    assert_eq!(open(&world, &url).await.0, 404, "expired");
}

#[tokio::test]
async fn a_file_opens_no_longer_than_its_job_and_the_right_of_its_caller() {
    let world = TestServer::new().await;
    world.run_exports();
    let job = create(&world, json!({"reportName": "actionStatusReport"})).await.json();
    let first = ended(&world, job["id"].as_str().unwrap()).await;
    let url = first["exportUrl"].as_str().unwrap().to_owned();
    assert_eq!(open(&world, &url).await.0, 200);
    let withdraw = |permissions: Vec<String>| {
        move |tx: &mut cloudpc_store::Tx<'_>| {
            let ada = tx.user_by_name(OWNER_TENANT.parse().unwrap(), "ada@contoso.test")?.unwrap();
            tx.user_put(&cloudpc_store::User { permissions: permissions.clone(), ..ada })
        }
    };
    world.app.store.write("test.write", withdraw(Vec::new())).await.unwrap();
    assert_eq!(open(&world, &url).await.0, 403, "the caller may not read reports any more");
    let all = vec!["CloudPC.ReadWrite.All".to_owned()];
    world.app.store.write("test.write", withdraw(all)).await.unwrap();
    assert_eq!(open(&world, &url).await.0, 200);
    let path = format!("{JOBS}/{}", first["id"].as_str().unwrap());
    assert_eq!(world.call(Who::Ada, "DELETE", &path, None).await.status, 204);
    assert_eq!(open(&world, &url).await.0, 404, "the job was deleted");
}

#[tokio::test]
async fn jobs_that_cannot_produce_a_file_are_refused_and_are_limited() {
    let world = TestServer::new().await;
    for body in [
        json!({"reportName": "actionStatusReport", "format": "xlsx"}),
        json!({"reportName": "actionStatusReport", "select": ["None"]}),
        json!({"reportName": "actionStatusReport", "filter": "Action eq"}),
        json!({"reportName": "performanceTrendReport"}),
        json!({"reportName": "cloudPCInventoryReport"}),
        json!({"filter": ""}),
    ] {
        assert_eq!(create(&world, body.clone()).await.error().0, 400, "{body}");
    }
    for _ in 0..EXPORT_JOBS_MAX {
        assert_eq!(create(&world, json!({"reportName": "actionStatusReport"})).await.status, 201);
    }
    let full = create(&world, json!({"reportName": "actionStatusReport"})).await;
    assert_eq!(full.error(), (403, "quotaLimitReached".into()));
}

#[tokio::test]
async fn a_job_that_a_crash_interrupted_goes_on() {
    let world = TestServer::new().await;
    let body = json!({"reportName": "actionStatusReport", "select": ["CloudPcId"], "filter": "", "format": "csv"});
    let job = create(&world, body).await.json();
    let id = job["id"].as_str().unwrap().to_owned();
    // What a crash between the start and the end of the job leaves behind.
    let key = cloudpc_model::DocumentKey::new(cloudpc_model::DocumentType::CloudPcExportJob, &id);
    let status = json!({"exportJobStatus": "inProgress"}).as_object().unwrap().clone();
    let interrupt =
        move |tx: &mut cloudpc_store::Tx<'_>| tx.document_status_put(OWNER_TENANT.parse().unwrap(), &key, &status);
    world.app.store.write("test.write", interrupt).await.unwrap();
    let shown = world.get(Who::Ada, &format!("{JOBS}/{id}")).await.json();
    assert_eq!(shown["exportJobStatus"], "inProgress");
    world.run_exports();
    let ended = ended(&world, &id).await;
    assert_eq!(ended["exportJobStatus"], "completed");
    assert_eq!(open(&world, ended["exportUrl"].as_str().unwrap()).await.0, 200);
}
