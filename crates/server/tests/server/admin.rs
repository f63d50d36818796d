//! `/_cloudpc/`: every administration call × every reason to reject it; applications and keys.

use axum::body::Body;
use cloudpc_model::Clock as _;
use cloudpc_server::admin::{CLOUD_PCS_MAX, CODE_CHARS_MAX, MESSAGE_CHARS_MAX, NAME_CHARS_MAX, RULES_MAX};
use cloudpc_server::config::Config;
use cloudpc_server::edge::{Edge, Health, Scheme};
use cloudpc_server::request::BaseAddress;
use cloudpc_store::{Application, StoreError, WriteMode};
use futures_util::FutureExt as _;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::world::{BASE, DESK_1, DEVICE_1, FLEET, HOST, OWNER_APP, PARTNER, TestServer, Who, arrival};

const OTHER_TENANT: &str = "20000000-0000-4000-8000-000000000001";

/// A call: method, path and, if it takes a body, an invalid one.
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
    (
        "POST",
        "/_cloudpc/incidents",
        Some(r#"{"cloudPcId": "10000000-0000-4000-8000-0000000000d1", "incident": "fire"}"#),
    ),
    ("POST", "/_cloudpc/sessions", Some(r#"{"began": "soon"}"#)),
    ("POST", "/_cloudpc/sessions/end", Some("{}")),
    ("POST", "/_cloudpc/reset", None),
    ("GET", "/_cloudpc/scenario", None),
    ("POST", "/_cloudpc/scenario", Some("tenants = 7")),
];

/// The administration API behind the edge.
struct Administration {
    world: TestServer,
    edge: Edge,
}

impl Administration {
    async fn new() -> Self {
        Self::of(TestServer::new().await)
    }

    fn of(world: TestServer) -> Self {
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

    async fn send_as_ada(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Some(&self.world.token(Who::Ada).await), method, path, &body.to_string()).await
    }

    async fn send_as_owner(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Some(&self.world.token(Who::Owner).await), method, path, &body.to_string()).await
    }

    /// Returns a token of an application of the second tenant that may administer that tenant and
    /// use the simulation.
    async fn administrator_of_the_other_tenant(&self) -> String {
        let tenant_id = OTHER_TENANT.parse().unwrap();
        let app = Application {
            tenant_id,
            id: "20000000-0000-4000-8000-0000000000b2".parse().unwrap(),
            name: "administrator".into(),
            secret_hash: None,
            permissions: vec!["Cloudpc.Administer.All".into(), "Cloudpc.Simulate.All".into()],
            enabled: true,
        };
        let (id, identity) = (app.id, &self.world.app.identity);
        self.world.app.store.write::<_, StoreError, _>("test.write", move |tx| tx.app_put(&app)).await.unwrap();
        identity.issue_for_app(&BaseAddress(BASE.into()), tenant_id, id).await.unwrap().token
    }

    async fn status_of(&self, token: &str) -> StatusCode {
        let path = "/beta/deviceManagement/virtualEndpoint/cloudPCs/$count";
        self.send(Some(token), "GET", path, "").await.0
    }
}

#[tokio::test]
async fn every_call_rejects_missing_permissions_and_invalid_bodies() {
    let administration = Administration::new().await;
    let (reader, owner) = (administration.world.token(Who::Reader).await, administration.world.token(Who::Owner).await);
    let before = administration.send(Some(&owner), "GET", "/_cloudpc/clock", "").await;
    for (method, path, bad_body) in CALLS {
        let refused = async |token, body| {
            let (status, answer) = administration.send(token, method, path, body).await;
            assert!(answer["error"]["message"].is_string(), "{method} {path}: {status} {answer}");
            status
        };
        assert_eq!(refused(None, "").await, 401, "{method} {path}");
        assert_eq!(refused(Some(reader.as_str()), "").await, 403, "{method} {path}");
        if let Some(body) = bad_body {
            assert_eq!(refused(Some(owner.as_str()), body).await, 400, "{method} {path}");
            assert_eq!(refused(Some(owner.as_str()), "{").await, 400, "{method} {path}");
        }
    }
    assert_eq!(administration.send(Some(&owner), "GET", "/_cloudpc/clock", "").await, before, "nothing changed");
}

#[tokio::test]
async fn missing_object_gets_404() {
    let administration = Administration::new().await;
    let other_tenants = "/_cloudpc/apps/20000000-0000-4000-8000-0000000000b1";
    for path in ["/_cloudpc/apps/nobody", "/_cloudpc/apps/10000000-0000-4000-8000-00000000dead", other_tenants] {
        let (status, answer) = administration.send_as_ada("PATCH", path, json!({"enabled": false})).await;
        assert_eq!((status.as_u16(), &answer["error"]["code"]), (404, &json!("ResourceNotFound")), "{path}");
    }
    assert_eq!(administration.send_as_ada("DELETE", "/_cloudpc/faults/77", json!({})).await.0, 404);
    assert_eq!(administration.send_as_ada("GET", "/_cloudpc/nothing", json!({})).await.0, 404);
}

#[tokio::test]
async fn disabling_an_application_rejects_its_tokens_at_once() {
    let administration = Administration::new().await;
    let reader = administration.world.token(Who::Reader).await;
    let path = "/_cloudpc/apps/10000000-0000-4000-8000-0000000000b2";
    assert_eq!(administration.status_of(&reader).await, 200);
    let (status, app) = administration.send_as_ada("PATCH", path, json!({"enabled": false})).await;
    assert_eq!((status.as_u16(), &app["enabled"]), (200, &json!(false)));
    assert_eq!(administration.status_of(&reader).await, 401, "a token that was verified earlier");
    administration.send_as_ada("PATCH", path, json!({"enabled": true})).await;
    assert_eq!(administration.status_of(&reader).await, 200);
}

#[tokio::test]
async fn rotated_keys_are_retired_or_dropped() {
    let administration = Administration::new().await;
    let old = administration.world.token(Who::Reader).await;
    assert_eq!(administration.send_as_owner("POST", "/_cloudpc/keys/rotate", json!({"dropOld": false})).await.0, 204);
    assert_eq!(administration.status_of(&old).await, 200);
    assert_eq!(administration.send_as_owner("POST", "/_cloudpc/keys/rotate", json!({"dropOld": true})).await.0, 204);
    assert_eq!(administration.status_of(&old).await, 401);
    assert_eq!(administration.status_of(&administration.world.token(Who::Reader).await).await, 200);
}

#[tokio::test]
async fn application_name_is_limited() {
    let administration = Administration::new().await;
    for (name, status) in [("x".repeat(NAME_CHARS_MAX), 201), ("\u{1f4bb}".repeat(NAME_CHARS_MAX), 201)]
        .into_iter()
        .chain([("x".repeat(NAME_CHARS_MAX + 1), 400), (String::new(), 400)])
        .chain(["a\u{1b}[2Jb", "a\nb", "a\u{202e}b", "a\u{2069}b"].map(|name| (name.to_owned(), 400)))
    {
        let (answered, body) =
            administration.send_as_ada("POST", "/_cloudpc/apps", json!({"name": name, "permissions": []})).await;
        assert_eq!(answered.as_u16(), status, "{body}");
    }
}

#[tokio::test]
async fn canceled_request_is_still_audited() {
    let administration = Administration::new().await;
    let token = administration.world.token(Who::Ada).await;
    let body = json!({"by": "1h"}).to_string();
    let mut request = Box::pin(administration.send(Some(&token), "POST", "/_cloudpc/clock/advance", &body));
    assert!(request.as_mut().now_or_never().is_none(), "the request is still running");
    drop(request);
    let path = "/beta/deviceManagement/virtualEndpoint/auditEvents";
    let audited = async {
        while administration.world.get(Who::Writer, path).await.rows().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), audited).await.expect("the audit row is written");
    assert_eq!(administration.world.get(Who::Writer, path).await.rows()[0]["displayName"], "Advance Clock");
}

#[tokio::test]
async fn the_clock_does_not_leave_an_action_behind_that_is_about_to_start() {
    let administration = Administration::new().await;
    let world = &administration.world;
    let (far, clock) = (world.clock.now() + Duration::from_secs(7 * 86_400), world.clock.clone());
    tokio::spawn(async move { clock.sleep_until(far).await });
    let reboot = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}/reboot");
    assert_eq!(world.post(Who::Writer, &reboot).await.status, 204);
    let advance = administration.send_as_owner("POST", "/_cloudpc/clock/advanceToIdle", Value::Null);
    let start_late = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.run();
    };
    let ((status, clock), ()) = tokio::join!(advance, start_late);
    assert_eq!((status, &clock["openActions"]), (StatusCode::OK, &json!(0)));
    assert!(world.clock.now() < far, "{clock}");
}

#[tokio::test]
async fn the_clock_stops_when_only_an_operator_can_go_on() {
    let administration = Administration::new().await;
    let world = &administration.world;
    let (far, clock) = (world.clock.now() + Duration::from_secs(7 * 86_400), world.clock.clone());
    tokio::spawn(async move { clock.sleep_until(far).await });
    for (step, undo) in [("enrol", false), ("start", true)] {
        let fault = json!({"step": step, "undo": undo, "effect": {"effect": "fail", "code": "test", "message": "."}});
        let (status, answer) = administration.send_as_owner("POST", "/_cloudpc/faults", fault).await;
        assert_eq!(status, 201, "{answer}");
    }
    world.run();
    let reprovision = format!("/beta/deviceManagement/managedDevices/{DEVICE_1}/reprovisionCloudPc");
    assert_eq!(world.post(Who::Writer, &reprovision).await.status, 204);
    for open_actions in [1, 1] {
        let (_, clock) = administration.send_as_owner("POST", "/_cloudpc/clock/advanceToIdle", Value::Null).await;
        assert_eq!(clock["openActions"], open_actions, "{clock}");
        assert!(world.clock.now() < far, "{clock}");
    }
}

#[tokio::test]
async fn audit_row_is_written_before_the_change() {
    let world = TestServer::made(Config::default(), WriteMode::Grouped, Arc::new(|| Duration::ZERO)).await;
    let administration = Administration::of(world);
    let (world, token) = (&administration.world, administration.world.token(Who::Ada).await);
    let state = || {
        let faults = &world.app.simulation.as_ref().unwrap().faults;
        (world.clock.now(), faults.list().len())
    };
    for (method, path, body) in [
        ("POST", "faults", r#"{"effect": {"effect": "hang"}}"#),
        ("DELETE", "faults/1", ""),
        ("POST", "faults", r#"{"effect": {"effect": "hang"}}"#),
        ("DELETE", "faults", ""),
        ("POST", "clock/advance", r#"{"by": "1h"}"#),
    ] {
        let before = state();
        let (release, held) = mpsc::channel::<()>();
        let mut busy = Box::pin(world.app.store.write("test.write", move |_| {
            let _ = held.recv();
            Ok::<_, StoreError>(())
        }));
        assert!(busy.as_mut().now_or_never().is_none(), "the only writer is busy");
        let path = format!("/_cloudpc/{path}");
        let mut request = Box::pin(administration.send(Some(&token), method, &path, body));
        // The writer is blocked, so no row can be written meanwhile.
        assert!(tokio::time::timeout(Duration::from_millis(100), request.as_mut()).await.is_err());
        assert_eq!(state(), before, "{method} {path}");
        drop(release);
        busy.await.unwrap();
        let (status, answer) = request.await;
        assert!(status.is_success() && state() != before, "{method} {path}: {status} {answer}");
    }
}

#[tokio::test]
async fn faults_are_limited() {
    let administration = Administration::new().await;
    let fail = |code: usize, message: usize, cloud_pcs: usize| {
        json!({"cloudPcs": vec!["10000000-0000-4000-8000-0000000000d1"; cloud_pcs],
               "effect": {"effect": "fail", "code": "x".repeat(code), "message": "ä".repeat(message)}})
    };
    for (rule, status) in [
        (fail(CODE_CHARS_MAX, MESSAGE_CHARS_MAX, CLOUD_PCS_MAX), 201),
        (fail(CODE_CHARS_MAX + 1, 1, 1), 400),
        (fail(1, MESSAGE_CHARS_MAX + 1, 1), 400),
        (fail(1, 1, CLOUD_PCS_MAX + 1), 400),
    ] {
        let (answered, body) = administration.send_as_ada("POST", "/_cloudpc/faults", rule).await;
        assert_eq!(answered.as_u16(), status, "{body}");
    }
    let faults = &administration.world.app.simulation.as_ref().unwrap().faults;
    let rule = faults.list()[0].1.clone();
    for _ in 1..RULES_MAX - 1 {
        faults.add(rule.clone());
    }
    let add = async || administration.send_as_ada("POST", "/_cloudpc/faults", fail(1, 1, 1)).await;
    assert_eq!(add().await.0, 201);
    let (status, refused) = add().await;
    assert_eq!((status.as_u16(), faults.list().len()), (400, RULES_MAX), "{refused}");
    let owners = administration.send_as_owner("POST", "/_cloudpc/faults", fail(1, 1, 1)).await;
    assert_eq!(owners.0, 201, "faults for all tenants have their own limit");
}

#[tokio::test]
async fn only_the_owner_changes_the_installation() {
    let administration = Administration::new().await;
    let other = administration.administrator_of_the_other_tenant().await;
    let ada = administration.world.token(Who::Ada).await;
    let reader = administration.world.token(Who::Reader).await;
    for token in [&other, &ada] {
        for (method, path, body) in [
            ("POST", "/_cloudpc/keys/rotate", r#"{"dropOld": true}"#),
            ("POST", "/_cloudpc/reset", ""),
            ("GET", "/_cloudpc/scenario", ""),
            ("POST", "/_cloudpc/scenario", FLEET),
        ] {
            let (status, answer) = administration.send(Some(token), method, path, body).await;
            assert_eq!((status.as_u16(), &answer["error"]["code"]), (403, &json!("Forbidden")), "{method} {path}");
        }
    }
    assert_eq!(administration.status_of(&reader).await, 200, "keys, tenants and applications did not change");
    assert_eq!(administration.send_as_owner("GET", "/_cloudpc/scenario", json!({})).await.0, 200);
}

#[tokio::test]
async fn only_the_owner_grants_owner_permissions() {
    let administration = Administration::new().await;
    // The application may use the simulation and administer its tenant, but may grant only the
    // latter.
    let other = administration.administrator_of_the_other_tenant().await;
    let create = json!({"name": "more", "permissions": ["Cloudpc.Simulate.All"]});
    let (status, _) = administration.send(Some(&other), "POST", "/_cloudpc/apps", &create.to_string()).await;
    assert_eq!(status, 403);
    assert_eq!(administration.send_as_owner("POST", "/_cloudpc/apps", create).await.0, 201);

    let writer = administration.world.token(Who::Writer).await;
    let ask = async |method, path: &str, body: Value| {
        administration.send(Some(&writer), method, path, &body.to_string()).await.0.as_u16()
    };
    assert_eq!(ask("POST", "/_cloudpc/tokens", json!({"app": OWNER_APP})).await, 403, "the owner's own token");
    assert_eq!(
        ask("POST", "/_cloudpc/tokens", json!({"user": "ada@contoso.test"})).await,
        403,
        "the token would include simulation"
    );
    let less = json!({"user": "ada@contoso.test", "permissions": ["CloudPC.ReadWrite.All"]});
    assert_eq!(ask("POST", "/_cloudpc/tokens", less).await, 200);
    let owners_app = format!("/_cloudpc/apps/{OWNER_APP}");
    assert_eq!(ask("PATCH", &owners_app, json!({"enabled": false})).await, 403);
}

#[tokio::test]
async fn tenant_administrator_cannot_enable_an_application_with_owner_permissions() {
    let administration = Administration::new().await;
    let other = administration.administrator_of_the_other_tenant().await;
    let path = "/_cloudpc/apps/20000000-0000-4000-8000-0000000000b2";
    let stranger = administration.world.token(Who::Stranger).await;
    let set_enabled = async |enabled: bool| {
        let body = json!({"enabled": enabled}).to_string();
        administration.send(Some(&stranger), "PATCH", path, &body).await.0.as_u16()
    };
    assert_eq!(set_enabled(false).await, 200);
    assert_eq!(administration.status_of(&other).await, 401);
    assert_eq!(set_enabled(true).await, 403, "only the owner grants simulation");
}

#[tokio::test]
async fn faults_apply_to_their_tenant_only() {
    let administration = Administration::new().await;
    let other = administration.administrator_of_the_other_tenant().await;
    let ask = async |method, path: &str, body: Value| {
        administration.send(Some(&other), method, path, &body.to_string()).await
    };
    let hang = json!({"effect": {"effect": "hang"}});
    let (status, owners) = administration.send_as_owner("POST", "/_cloudpc/faults", hang.clone()).await;
    assert_eq!(
        (status.as_u16(), owners["rule"].get("tenantId")),
        (201, None),
        "the owner's faults apply to all tenants"
    );
    let (status, theirs) = ask("POST", "/_cloudpc/faults", hang).await;
    assert_eq!((status.as_u16(), &theirs["rule"]["tenantId"]), (201, &json!(OTHER_TENANT)));

    let crash = json!({"effect": {"effect": "crash"}});
    assert_eq!(ask("POST", "/_cloudpc/faults", crash).await.0, 403);
    let elsewhere = json!({"tenantId": "10000000-0000-4000-8000-000000000001", "effect": {"effect": "hang"}});
    assert_eq!(ask("POST", "/_cloudpc/faults", elsewhere).await.0, 403);

    assert_eq!(ask("GET", "/_cloudpc/faults", json!({})).await.1["value"], json!([theirs]));
    let owners_path = format!("/_cloudpc/faults/{}", owners["number"]);
    assert_eq!(ask("DELETE", &owners_path, json!({})).await.0, 404);
    assert_eq!(ask("DELETE", "/_cloudpc/faults", json!({})).await.0, 204);
    let (_, left) = administration.send_as_owner("GET", "/_cloudpc/faults", json!({})).await;
    assert_eq!(left["value"], json!([owners]), "only their own fault is removed");
}

#[tokio::test]
async fn scenario_cannot_replace_the_owners_application() {
    let administration = Administration::new().await;
    let reader = administration.world.token(Who::Reader).await;
    let scenario = FLEET.replace("10000000-0000-4000-8000-0000000000b3", OWNER_APP);
    let owner = administration.world.token(Who::Owner).await;
    let (status, answer) = administration.send(Some(&owner), "POST", "/_cloudpc/scenario", &scenario).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(administration.status_of(&reader).await, 200, "nothing changed");
}

#[tokio::test]
async fn secrets_of_a_scenario_and_dropped_keys_are_in_no_file() {
    let administration = Administration::new().await;
    let world = &administration.world;
    let scenario = format!(
        "{FLEET}\n[[tenants.users]]\nname = 'eve'\npassword = 'in-the-clear-1'\n\n[[tenants.apps]]\nname = 'ci'\nsecret = 'in-the-clear-2'\n"
    );
    let owner = world.token(Who::Owner).await;
    let (status, answer) = administration.send(Some(&owner), "POST", "/_cloudpc/scenario", &scenario).await;
    assert_eq!(status, 200, "{answer}");
    for secret in ["in-the-clear-1", "in-the-clear-2"] {
        assert!(!world.is_in_a_file(secret.as_bytes()), "{secret}");
    }
    let key = world.app.store.read(|reader| reader.setting("identity.keys")).await.unwrap().unwrap();
    let part = &key[key.len() / 2..][..40];
    assert!(world.is_in_a_file(part));
    let (status, _) = administration.send_as_owner("POST", "/_cloudpc/keys/rotate", json!({"dropOld": true})).await;
    assert_eq!(status, 204);
    assert!(!world.is_in_a_file(part), "the dropped key");
}

#[tokio::test]
async fn install_parameters_and_detection_commands_are_erased_with_their_partner() {
    let world = TestServer::new().await;
    world.run();
    let partner = format!("/beta/deviceManagement/virtualEndpoint/externalPartners/{PARTNER}");
    let call = async |method: &str, path: &str, body: Option<serde_json::Value>| {
        let reply = world.call(Who::Writer, method, &format!("{partner}{path}"), body).await;
        assert!(reply.status.is_success(), "{path}: {}", reply.body);
    };
    let agent = |secret: &str| {
        json!({"agentSetting": {
            "agentUrl": "https://agents.fabrikam.test/agent.msi",
            "agentSha256": "ab".repeat(32),
            "installParameters": [format!("KEY={secret}")],
        }})
    };
    let detection = json!({"command": "check detection-secret-1"});
    let detected = world.call(Who::Owner, "POST", &format!("{partner}/cloudpc.setDetection"), Some(detection)).await;
    assert!(detected.status.is_success(), "{}", detected.body);
    call("POST", "/configureAgent", Some(agent("parameter-secret-1"))).await;
    call("POST", "/deployAgent", Some(json!({"cloudPcIds": [DESK_1, "nothing"]}))).await;
    world.rest().await;
    call("POST", "/configureAgent", Some(agent("parameter-secret-2"))).await;
    call("POST", "/deployAgent", Some(json!({"cloudPcIds": [DESK_1]}))).await;
    world.rest().await;
    assert!(world.is_in_a_file(b"parameter-secret-2"), "the partner still has it");
    call("DELETE", "", None).await;
    world.app.store.empty_log().await.unwrap();
    world.app.store.write::<_, StoreError, _>("test.write", |_| Ok(())).await.unwrap();
    for secret in ["parameter-secret-1", "parameter-secret-2", "detection-secret-1"] {
        assert!(!world.is_in_a_file(secret.as_bytes()), "{secret}");
    }
}

#[tokio::test]
async fn generated_passwords_are_sent_once_and_stored_as_hashes() {
    let administration = Administration::new().await;
    let scenario = FLEET.replace("name = \"ada\"", "name = \"ada\"\ngenerate_password = true");
    let owner = administration.world.token(Who::Owner).await;
    let (status, answer) = administration.send(Some(&owner), "POST", "/_cloudpc/scenario", &scenario).await;
    assert_eq!(status, 200, "{answer}");
    let passwords = &answer["generatedPasswords"];
    assert_eq!(passwords.as_array().map(Vec::len), Some(1));
    assert_eq!(passwords[0]["userPrincipalName"], "ada@contoso.test");
    let password = passwords[0]["password"].as_str().unwrap();
    assert!(!administration.world.is_in_a_file(password.as_bytes()));
}
