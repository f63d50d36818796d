//! Tests of event streams: what they show to whom, where they continue, and when they end.

use cloudpc_model::{Document, DocumentKey, DocumentType, Object, READER_ROLE, Timestamp, UserId};
use cloudpc_store::{Application, DocumentIndex, FeedPosition, StoreError, Tx, User, UserProfile};
use http_body_util::BodyExt as _;
use serde_json::json;

use super::*;
use crate::events::{
    CALLER_EVENT_STREAMS_MAX, EVENT_HEARTBEAT, EVENT_PAGE_MAX, EVENT_STREAMS_MAX, TENANT_EVENT_STREAMS_MAX,
};
use crate::identity::{CLOCK_SKEW_MAX, TOKEN_LIFETIME};

/// The simulated clock of the test server: the start of the tests and some time after.
async fn advance(server: &TestServer, by: Duration) {
    let simulation = server.edge.app.simulation.clone().unwrap();
    simulation.clock.advance(by).await;
}

/// An application of a tenant with these permissions, and its token.
async fn application(server: &TestServer, tenant_id: TenantId, permissions: &[&str]) -> (AppId, String) {
    let app = &server.edge.app;
    let id = AppId::random(app.rng.as_ref());
    let application = Application {
        tenant_id,
        id,
        name: "Follower".into(),
        secret_hash: None,
        permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
        enabled: true,
    };
    let stored = app.store.write("test.write", move |tx| {
        tx.tenant_put(tenant_id, "Contoso")?;
        tx.app_put(&application)
    });
    stored.await.unwrap();
    (id, app.identity.issue_for_app(&BaseAddress("http://a".into()), tenant_id, id).await.unwrap().token)
}

async fn put_user(server: &TestServer, tenant_id: TenantId, name: &str) -> UserId {
    let id = UserId::random(server.edge.app.rng.as_ref());
    let user = User {
        tenant_id,
        id,
        user_principal_name: format!("{name}@contoso.test"),
        display_name: name.into(),
        password_hash: None,
        roles: Vec::new(),
        permissions: Vec::new(),
        enabled: true,
        profile: UserProfile::default(),
        created_at: None,
    };
    server.edge.app.store.write("test.write", move |tx| tx.user_put(&user)).await.unwrap();
    id
}

async fn open(server: &TestServer, token: &str, query: &str, last: Option<&str>) -> Response<Body> {
    let mut request = Request::get(format!("/_cloudpc/events{query}"))
        .header("host", "a")
        .header("authorization", format!("Bearer {token}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    server.answer_peer(request.body(Body::empty()).unwrap(), 1).await
}

/// Returns the text of the next event; none at the end of the stream.
async fn event(stream: &mut Response<Body>) -> Option<String> {
    let frame = stream.body_mut().frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

/// Opens a stream and returns it with the position that it begins with.
async fn follow(server: &TestServer, token: &str) -> (Response<Body>, String) {
    let mut stream = open(server, token, "", None).await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = event(&mut stream).await.unwrap();
    let position = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    assert!(!first.contains("data:"), "{first}");
    (stream, position)
}

async fn refusal(answer: Response<Body>) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

const READ: &[&str] = &["User.Read.All", "CloudPC.Read.All"];

fn tenant(number: u128) -> TenantId {
    TenantId(uuid::Uuid::from_u128(number))
}

#[tokio::test(start_paused = true)]
async fn a_stream_shows_every_change_and_continues_after_the_last_one_seen() {
    let server = TestServer::new().await;
    let (_, token) = application(&server, tenant(1), READ).await;
    let (mut stream, start) = follow(&server, &token).await;
    let id = put_user(&server, tenant(1), "ada").await;
    let first = event(&mut stream).await.unwrap();
    let lines: Vec<&str> = first.lines().collect();
    let position: FeedPosition = lines[0].strip_prefix("id: ").unwrap().parse().unwrap();
    assert_eq!((position.number, lines[1]), (1, "event: user"));
    let data: Value = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(data["id"], id.to_string());
    assert_eq!((&data["type"], &data["name"], &data["change"]), (&"user".into(), &"ada".into(), &"created".into()));
    assert_eq!((&data["parent"], &data["time"]), (&Value::Null, &server.edge.app.clock.now().to_string().into()));
    drop(stream);

    // More than one page.
    for number in 0..=EVENT_PAGE_MAX {
        put_user(&server, tenant(1), &format!("user-{number}")).await;
    }
    for (query, last, seen) in [
        (String::new(), Some(position.to_string()), 1),
        (format!("?after={start}"), None, 0),
        (format!("?after={start}"), Some(position.to_string()), 1),
    ] {
        let mut stream = open(&server, &token, &query, last.as_deref()).await;
        event(&mut stream).await.unwrap();
        for number in seen..=i64::try_from(EVENT_PAGE_MAX).unwrap() + 2 - 1 {
            let text = event(&mut stream).await.unwrap();
            let expected = FeedPosition { number: number + 1, ..position };
            assert!(text.starts_with(&format!("id: {expected}\n")), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_shows_only_what_its_caller_may_read_in_their_own_tenant() {
    let server = TestServer::new().await;
    let (_, token) = application(&server, tenant(1), &["CloudPC.Read.All"]).await;
    let (_, stranger) = application(&server, tenant(2), READ).await;
    let (mut stream, start) = follow(&server, &token).await;
    let (mut other, _) = follow(&server, &stranger).await;
    put_user(&server, tenant(1), "ada").await;
    for stream in [&mut stream, &mut other] {
        let text = event(stream).await.unwrap();
        assert!(!text.contains("data:"), "{text}");
    }
    let text = event(&mut stream).await.unwrap();
    let moved = FeedPosition { number: 1, ..start.parse().unwrap() };
    assert!(text.contains(&format!("id: {moved}\n")), "a heartbeat passes what is not shown: {text}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_refused_without_permission_and_from_an_unknown_position() {
    let server = TestServer::new().await;
    let (_, token) = application(&server, tenant(1), READ).await;
    let (_, nobody) = application(&server, tenant(1), &["User.Read"]).await;
    assert_eq!(refusal(open(&server, &nobody, "", None).await).await, (403, "Forbidden".into()));
    assert_eq!(refusal(open(&server, "x", "", None).await).await, (401, "InvalidAuthenticationToken".into()));
    assert_eq!(refusal(open(&server, &token, "?after=7", None).await).await, (400, "BadRequest".into()));
    assert_eq!(refusal(open(&server, &token, "", Some("x")).await).await, (400, "BadRequest".into()));
    for unknown in ["0000000000000000-1", "0000000000000001-0"] {
        assert_eq!(refusal(open(&server, &token, "", Some(unknown)).await).await, (410, "resyncRequired".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn streams_are_limited_for_each_caller_each_tenant_and_in_all() {
    let server = TestServer::new().await;
    let mut held = Vec::new();
    let mut fill = async |tenant, callers: usize| {
        let mut outcome = None;
        for _ in 0..callers {
            let (_, token) = application(&server, tenant, READ).await;
            for _ in 0..CALLER_EVENT_STREAMS_MAX {
                held.push(follow(&server, &token).await);
            }
            let refused = refusal(open(&server, &token, "", None).await).await;
            outcome = Some((refused, token));
        }
        outcome.unwrap()
    };
    let callers = TENANT_EVENT_STREAMS_MAX / CALLER_EVENT_STREAMS_MAX;
    let (refused, token) = fill(tenant(1), callers).await;
    assert_eq!(refused, (429, "TooManyRequests".into()));
    let (_, another) = application(&server, tenant(1), READ).await;
    assert_eq!(refusal(open(&server, &another, "", None).await).await, (503, "ServiceUnavailable".into()));
    fill(tenant(2), EVENT_STREAMS_MAX / CALLER_EVENT_STREAMS_MAX - callers).await;
    let (_, third) = application(&server, tenant(3), READ).await;
    assert_eq!(refusal(open(&server, &third, "", None).await).await, (503, "ServiceUnavailable".into()));
    held.truncate(TENANT_EVENT_STREAMS_MAX - 1);
    follow(&server, &token).await;
    follow(&server, &third).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token() {
    let server = TestServer::new().await;
    let (_, token) = application(&server, tenant(1), READ).await;
    let (mut stream, _) = follow(&server, &token).await;
    // A change and the heartbeat come after the token has expired.
    advance(&server, TOKEN_LIFETIME + CLOCK_SKEW_MAX).await;
    put_user(&server, tenant(1), "ada").await;
    assert_eq!(event(&mut stream).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_permission_is_revoked_and_when_the_service_stops() {
    let server = TestServer::new().await;
    let (id, token) = application(&server, tenant(1), READ).await;
    let (mut stream, _) = follow(&server, &token).await;
    let disabled = server.edge.app.store.write("test.write", move |tx| {
        let app = tx.app(tenant(1), id)?.unwrap();
        tx.app_put(&Application { enabled: false, ..app })
    });
    disabled.await.unwrap();
    server.edge.app.identity.forget_verified();
    assert_eq!(event(&mut stream).await, None);

    let (_, token) = application(&server, tenant(1), READ).await;
    let (mut stream, _) = follow(&server, &token).await;
    server.edge.app.events.close();
    assert_eq!(event(&mut stream).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_sends_heartbeats() {
    let server = TestServer::new().await;
    let (_, token) = application(&server, tenant(1), READ).await;
    let (mut stream, position) = follow(&server, &token).await;
    for _ in 0..3 {
        let before = Instant::now();
        let text = event(&mut stream).await.unwrap();
        assert!(text.contains(&format!("id: {position}\n")) && !text.contains("data:"), "{text}");
        assert_eq!(before.elapsed().as_secs(), EVENT_HEARTBEAT.as_secs());
    }
}

/// Writes a provisioning policy with this scope tag.
async fn put_policy(server: &TestServer, name: &'static str, tag: &'static str) {
    let document =
        document(DocumentType::CloudPcProvisioningPolicy, name, json!({"displayName": name, "scopeIds": [tag]}));
    let put = move |tx: &mut Tx<'_>| tx.document_insert(&document, &DocumentIndex::default());
    server.edge.app.store.write::<_, StoreError, _>("test.write", put).await.unwrap().unwrap();
}

async fn delete(server: &TestServer, kind: DocumentType, id: &'static str) {
    let drop = move |tx: &mut Tx<'_>| tx.document_delete(tenant(1), &DocumentKey::new(kind, id), &[]);
    server.edge.app.store.write::<_, StoreError, _>("test.write", drop).await.unwrap().unwrap();
}

fn document(kind: DocumentType, id: &str, body: Value) -> Document {
    Document {
        tenant_id: tenant(1),
        key: DocumentKey::new(kind, id),
        revision: 1,
        body: body.as_object().unwrap().clone(),
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: Timestamp(0),
        modified_at: Timestamp(0),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_shows_what_the_roles_of_its_user_reach_and_no_longer_than_they_do() {
    let server = TestServer::new().await;
    application(&server, tenant(1), READ).await;
    let id = UserId::random(server.edge.app.rng.as_ref());
    let user = User {
        tenant_id: tenant(1),
        id,
        user_principal_name: "ada@contoso.test".into(),
        display_name: "Ada".into(),
        password_hash: None,
        roles: Vec::new(),
        permissions: vec!["CloudPC.Read.All".into()],
        enabled: true,
        profile: UserProfile::default(),
        created_at: None,
    };
    let app = &server.edge.app;
    app.store.write("test.write", move |tx| tx.user_put(&user)).await.unwrap();
    let base = BaseAddress("http://a".into());
    let token = app.identity.issue_for_user(&base, tenant(1), "ada@contoso.test", None).await.unwrap().token;
    assert_eq!(refusal(open(&server, &token, "", None).await).await, (403, "Forbidden".into()));

    let body = json!({"principalIds": [id], "roleDefinitionId": READER_ROLE.id, "appScopeIds": ["7"]});
    let assignment = document(DocumentType::UnifiedRoleAssignmentMultiple, "assignment", body);
    let put = move |tx: &mut Tx<'_>| tx.document_insert(&assignment, &DocumentIndex::default());
    app.store.write::<_, StoreError, _>("test.write", put).await.unwrap().unwrap();
    let (mut stream, _) = follow(&server, &token).await;
    put_policy(&server, "hidden", "0").await;
    put_policy(&server, "seen", "7").await;
    let text = event(&mut stream).await.unwrap();
    assert!(text.contains(r#""name":"seen""#) && !text.contains("hidden"), "{text}");
    delete(&server, DocumentType::CloudPcProvisioningPolicy, "hidden").await;
    let text = event(&mut stream).await.unwrap();
    assert!(text.contains(r#""change":"deleted""#) && text.contains(r#""name":null"#), "{text}");
    delete(&server, DocumentType::UnifiedRoleAssignmentMultiple, "assignment").await;
    delete(&server, DocumentType::CloudPcProvisioningPolicy, "seen").await;
    let text = event(&mut stream).await.unwrap();
    assert!(!text.contains("data:"), "only a heartbeat: {text}");
}
