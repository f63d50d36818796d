//! Requests that a client repeats with the same `client-request-id`.

use axum::body::Body;
use cloudpc_model::TenantId;
use cloudpc_server::config::{Config, Fidelity};
use cloudpc_store::{ACCEPTED_REQUEST_WINDOW, StoreError};
use http::Request;
use serde_json::{Value, json};
use std::time::Duration;

use crate::cases::cases;
use crate::scene::{ROOT, Scene};
use crate::world::{DESK_1, DESK_2, OWNER_TENANT, Reply, TestServer, Who};

const ID: &str = "5f0f6a5e-0000-4000-8000-000000000001";

async fn post(world: &TestServer, who: Who, path: &str, body: Option<&Value>, id: &str) -> Reply {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {}", world.token(who).await))
        .header("client-request-id", id);
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    world.send(request.unwrap()).await
}

/// Returns the number of audit rows and of the last change, and how many requests are remembered.
async fn written(world: &TestServer) -> (u64, i64, u64) {
    let tenant: TenantId = OWNER_TENANT.parse().unwrap();
    let read = world.app.store.read(move |reader| {
        let head = reader.change_head(tenant)?.number;
        Ok((reader.audit_count(tenant)?, head, reader.accepted_request_count(tenant)?))
    });
    read.await.map_err(|error: StoreError| error).unwrap()
}

#[tokio::test]
async fn every_post_that_is_repeated_starts_nothing_twice_and_gets_the_first_answer() {
    let mut repeated = 0;
    for case in cases().into_iter().filter(|case| case.method == "POST" && case.changes_something()) {
        let scene = Scene::new().await;
        let who = if case.key == "cloudPcExternalPartner.allowUrls" { Who::Owner } else { case.writer() };
        let (path, body) = (scene.path(&case), scene.body(&case));
        let before = written(&scene.world).await;
        let first = post(&scene.world, who, &path, body.as_ref(), ID).await;
        let after = written(&scene.world).await;
        if !first.status.is_success() || after.0 == before.0 {
            assert_eq!(after.2, before.2, "{}: what changed nothing is not remembered", case.key);
            continue;
        }
        let second = post(&scene.world, who, &path, body.as_ref(), ID).await;
        assert_eq!((second.status, &second.body), (first.status, &first.body), "{}", case.key);
        for name in ["location", "etag"] {
            assert_eq!(second.headers.get(name), first.headers.get(name), "{}", case.key);
        }
        assert_eq!(written(&scene.world).await, after, "{}", case.key);
        repeated += 1;
    }
    assert!(repeated > 50, "{repeated}");
}

#[tokio::test]
async fn another_caller_id_path_or_body_is_another_request() {
    let world = TestServer::new().await;
    let rename = |desk: &str| format!("{ROOT}/cloudPCs/{desk}/rename");
    let (old, new) = (json!({"displayName": "old"}), json!({"displayName": "new"}));
    let status = async |who, path: &str, body, id| post(&world, who, path, Some(body), id).await.status.as_u16();
    let desk_1 = rename(DESK_1);
    assert_eq!(status(Who::Writer, &desk_1, &new, ID).await, 204);
    assert_eq!(status(Who::Writer, &desk_1, &new, ID).await, 204, "the same request");
    // Each of these is carried out, and finds the first action open.
    assert_eq!(status(Who::Writer, &desk_1, &old, ID).await, 409);
    assert_eq!(status(Who::Writer, &desk_1, &new, "another-id").await, 409);
    assert_eq!(status(Who::Ada, &desk_1, &new, ID).await, 409);
    assert_eq!(world.call(Who::Writer, "POST", &desk_1, Some(new.clone())).await.status, 409, "no id");
    assert_eq!(status(Who::Writer, &desk_1.replace("beta", "v1.0"), &new, ID).await, 409);
    assert_eq!(status(Who::Writer, &rename(DESK_2), &new, ID).await, 204);
    // A refused request is tried again.
    assert_eq!(written(&world).await.2, 2);
}

#[tokio::test]
async fn a_repeat_is_recognised_until_the_window_ends() {
    let world = TestServer::new().await;
    let reboot = format!("{ROOT}/cloudPCs/{DESK_1}/reboot");
    let status = async || post(&world, Who::Writer, &reboot, None, ID).await.status.as_u16();
    assert_eq!(status().await, 204);
    world.clock.advance(ACCEPTED_REQUEST_WINDOW - Duration::from_micros(1)).await;
    assert_eq!(status().await, 204);
    world.clock.advance(Duration::from_micros(1)).await;
    assert_eq!(status().await, 409, "it is carried out, and the first action is still open");
}

#[tokio::test]
async fn a_request_of_a_batch_is_recognised_by_its_own_id() {
    let world = TestServer::new().await;
    let item = |id: &str, headers: Value| {
        let url = format!("/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}/reboot");
        json!({"id": id, "method": "POST", "url": url, "headers": headers})
    };
    let own = json!({"client-request-id": ID});
    let body = json!({"requests": [item("1", own.clone()), item("2", own), item("3", json!({}))]});
    let reply = post(&world, Who::Writer, "/beta/$batch", Some(&body), "the-batch").await.json();
    let statuses: Vec<_> = (0..3).map(|place| reply["responses"][place]["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [204, 204, 409]);
}

#[tokio::test]
async fn a_repeat_is_an_ordinary_request_under_strict_fidelity() {
    let mut config = Config::default();
    config.identity.fidelity = Fidelity::Strict;
    let world = TestServer::with(config).await;
    let reboot = format!("{ROOT}/cloudPCs/{DESK_1}/reboot");
    assert_eq!(post(&world, Who::Writer, &reboot, None, ID).await.status, 204);
    assert_eq!(post(&world, Who::Writer, &reboot, None, ID).await.status, 409);
    assert_eq!(written(&world).await.2, 0);
}

/// Two at once: the second waits for the first.
#[tokio::test]
async fn repeats_at_the_same_time_start_one_action() {
    let world = TestServer::new().await;
    let reboot = format!("{ROOT}/cloudPCs/{DESK_1}/reboot");
    let one = || post(&world, Who::Writer, &reboot, None, ID);
    let (a, b, c) = tokio::join!(one(), one(), one());
    assert_eq!([a.status.as_u16(), b.status.as_u16(), c.status.as_u16()], [204; 3]);
    assert_eq!(world.get(Who::Writer, &format!("{ROOT}/cloudPCs/{DESK_1}/cloudpc.actions")).await.rows().len(), 1);
}
