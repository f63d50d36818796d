//! `/_cloudpc/`: every call of the administration × every way to be refused, and what applications and keys do.

use axum::body::Body;
use cloudpc_server::admin::NAME_CHARS_MAX;
use cloudpc_server::edge::{Edge, Health, Scheme};
use futures_util::FutureExt as _;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

use crate::world::{HOST, Who, World, arrival};

/// A call: its method and path, and a body that cannot be read, if it takes one.
const CALLS: &[(&str, &str, Option<&str>)] = &[
    ("GET", "/_cloudpc/apps", None),
    ("POST", "/_cloudpc/apps", Some(r#"{"name": "x", "permissions": ["y"]}"#)),
    ("PATCH", "/_cloudpc/apps/10000000-0000-4000-8000-0000000000b3", Some(r#"{"enabled": "no"}"#)),
    ("POST", "/_cloudpc/keys/rotate", Some("{}")),
    ("POST", "/_cloudpc/tokens", Some("{}")),
    ("GET", "/_cloudpc/clock", None),
    ("POST", "/_cloudpc/clock/pause", None),
    ("POST", "/_cloudpc/clock/resume", None),
    ("POST", "/_cloudpc/clock/advance", Some(r#"{"by": "soon"}"#)),
    ("POST", "/_cloudpc/clock/advanceToIdle", None),
    ("GET", "/_cloudpc/faults", None),
    ("POST", "/_cloudpc/faults", Some(r#"{"kind": "haunt"}"#)),
    ("DELETE", "/_cloudpc/faults", None),
    ("DELETE", "/_cloudpc/faults/1", None),
    ("POST", "/_cloudpc/mishaps", Some(r#"{"cloudPcId": "10000000-0000-4000-8000-0000000000d1", "mishap": "fire"}"#)),
    ("POST", "/_cloudpc/reset", None),
    ("GET", "/_cloudpc/scenario", None),
    ("POST", "/_cloudpc/scenario", Some("tenants = 7")),
];

/// The administration behind the edge, as a client reaches it.
struct Administration {
    world: World,
    edge: Edge,
}

impl Administration {
    async fn new() -> Self {
        let world = World::new().await;
        let edge = Edge::new(world.app.clone(), Arc::new(Health::default()));
        Self { world, edge }
    }

    async fn send(&self, token: Option<&str>, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).header("host", HOST);
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let request = request.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap();
        let response = self.edge.answer(request, &arrival(Scheme::Http)).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Some(&self.world.token(Who::Ada).await), method, path, &body.to_string()).await
    }

    async fn status_of(&self, token: &str) -> StatusCode {
        let path = "/beta/deviceManagement/virtualEndpoint/cloudPCs/$count";
        self.send(Some(token), "GET", path, "").await.0
    }
}

#[tokio::test]
async fn every_call_refuses_who_may_not_and_what_cannot_be_read() {
    let administration = Administration::new().await;
    let (reader, ada) = (administration.world.token(Who::Reader).await, administration.world.token(Who::Ada).await);
    let before = administration.send(Some(&ada), "GET", "/_cloudpc/clock", "").await;
    for (method, path, bad_body) in CALLS {
        let refused = async |token, body| {
            let (status, answer) = administration.send(token, method, path, body).await;
            assert!(answer["error"]["message"].is_string(), "{method} {path}: {status} {answer}");
            status
        };
        assert_eq!(refused(None, "").await, 401, "{method} {path}");
        assert_eq!(refused(Some(reader.as_str()), "").await, 403, "{method} {path}");
        if let Some(body) = bad_body {
            assert_eq!(refused(Some(ada.as_str()), body).await, 400, "{method} {path}");
            assert_eq!(refused(Some(ada.as_str()), "{").await, 400, "{method} {path}");
        }
    }
    assert_eq!(administration.send(Some(&ada), "GET", "/_cloudpc/clock", "").await, before, "nothing was changed");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let administration = Administration::new().await;
    let other_tenants = "/_cloudpc/apps/20000000-0000-4000-8000-0000000000b1";
    for path in ["/_cloudpc/apps/nobody", "/_cloudpc/apps/10000000-0000-4000-8000-00000000dead", other_tenants] {
        let (status, answer) = administration.ask("PATCH", path, json!({"enabled": false})).await;
        assert_eq!((status.as_u16(), &answer["error"]["code"]), (404, &json!("ResourceNotFound")), "{path}");
    }
    assert_eq!(administration.ask("DELETE", "/_cloudpc/faults/77", json!({})).await.0, 404);
    assert_eq!(administration.ask("GET", "/_cloudpc/nothing", json!({})).await.0, 404);
}

#[tokio::test]
async fn a_disabled_application_is_out_at_once_and_comes_back() {
    let administration = Administration::new().await;
    let reader = administration.world.token(Who::Reader).await;
    let path = "/_cloudpc/apps/10000000-0000-4000-8000-0000000000b2";
    assert_eq!(administration.status_of(&reader).await, 200);
    let (status, app) = administration.ask("PATCH", path, json!({"enabled": false})).await;
    assert_eq!((status.as_u16(), &app["enabled"]), (200, &json!(false)));
    assert_eq!(administration.status_of(&reader).await, 401, "a token that was verified before");
    administration.ask("PATCH", path, json!({"enabled": true})).await;
    assert_eq!(administration.status_of(&reader).await, 200);
}

#[tokio::test]
async fn old_keys_are_retired_or_dropped() {
    let administration = Administration::new().await;
    let old = administration.world.token(Who::Reader).await;
    assert_eq!(administration.ask("POST", "/_cloudpc/keys/rotate", json!({"dropOld": false})).await.0, 204);
    assert_eq!(administration.status_of(&old).await, 200);
    assert_eq!(administration.ask("POST", "/_cloudpc/keys/rotate", json!({"dropOld": true})).await.0, 204);
    assert_eq!(administration.status_of(&old).await, 401);
    assert_eq!(administration.status_of(&administration.world.token(Who::Reader).await).await, 200);
}

#[tokio::test]
async fn the_name_of_an_application_may_be_so_long() {
    let administration = Administration::new().await;
    for (name, status) in [("x".repeat(NAME_CHARS_MAX), 201), ("\u{1f4bb}".repeat(NAME_CHARS_MAX), 201)]
        .into_iter()
        .chain([("x".repeat(NAME_CHARS_MAX + 1), 400), (String::new(), 400)])
    {
        let (answered, body) =
            administration.ask("POST", "/_cloudpc/apps", json!({"name": name, "permissions": []})).await;
        assert_eq!(answered.as_u16(), status, "{body}");
    }
}

#[tokio::test]
async fn what_was_begun_is_written_down_though_the_client_has_gone() {
    let administration = Administration::new().await;
    let token = administration.world.token(Who::Ada).await;
    let body = json!({"by": "1h"}).to_string();
    let mut asked = Box::pin(administration.send(Some(&token), "POST", "/_cloudpc/clock/advance", &body));
    assert!(asked.as_mut().now_or_never().is_none(), "it takes a while");
    drop(asked);
    let path = "/beta/deviceManagement/virtualEndpoint/auditEvents";
    let written_down = async {
        while administration.world.get(Who::Writer, path).await.rows().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), written_down).await.expect("there is an audit row");
    assert_eq!(administration.world.get(Who::Writer, path).await.rows()[0]["displayName"], "Advance clock");
}
