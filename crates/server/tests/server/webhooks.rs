//! Webhooks: the handshake, signed messages in order, failing receivers, and who may receive.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloudpc_model::{ADMINISTRATOR_ROLE, AppId, DocumentKey, DocumentType};
use cloudpc_server::config::Config;
use cloudpc_store::{DocumentIndex, StoreError};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use crate::world::{DESK_1, DESK_2, DEVICE_1, Reply, TestServer, Who};

const WEBHOOKS: &str = "/beta/deviceManagement/virtualEndpoint/webhooks";
const COMPLETES: &str = "When a remote action on a Cloud PC completes";
const CHANGES: &str = "When a Cloud PC changes";

/// A receiver on this host.
#[derive(Clone)]
struct Receiver {
    base: String,
    /// What it got, with the headers.
    messages: Arc<Mutex<Vec<(HeaderMap, Value, Bytes)>>>,
    /// With what it answers messages.
    status: Arc<Mutex<StatusCode>>,
}

impl Receiver {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            messages: Arc::default(),
            status: Arc::new(Mutex::new(StatusCode::ACCEPTED)),
        };
        let greeting = |text: Option<String>| text.unwrap_or_default();
        let routes = Router::new()
            .route("/hook", post(receive))
            .route("/silent", post(async || "something else"))
            .route(
                "/html",
                post(async move |Query(query): Query<HashMap<String, String>>| {
                    ([("content-type", "text/html")], greeting(query.get("validationToken").cloned()))
                }),
            )
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        receiver
    }

    fn url(&self) -> String {
        format!("{}/hook", self.base)
    }

    fn answer(&self, status: StatusCode) {
        *self.status.lock().unwrap() = status;
    }

    fn count(&self) -> usize {
        self.messages.lock().unwrap().len()
    }

    /// The notifications of all messages.
    fn notifications(&self) -> Vec<Value> {
        let messages = self.messages.lock().unwrap();
        messages.iter().flat_map(|(_, body, _)| body["value"].as_array().unwrap().clone()).collect()
    }

    /// Waits until `is_met` holds of what has arrived.
    async fn wait(&self, is_met: impl Fn(&Self) -> bool) {
        for _ in 0..2_000 {
            if is_met(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not arrived: {:#?}", self.notifications());
    }
}

/// The address of a receiver that confirms every webhook, for all tests of this process.
pub fn confirming() -> &'static str {
    static ADDRESS: LazyLock<String> = LazyLock::new(|| {
        let (address, found) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                address.send(Receiver::new().await.url()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        found.recv().unwrap()
    });
    &ADDRESS
}

async fn receive(
    State(receiver): State<Receiver>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(token) = query.get("validationToken") {
        return token.clone().into_response();
    }
    let status = *receiver.status.lock().unwrap();
    let message = serde_json::from_slice(&body).unwrap();
    if status.is_success() {
        receiver.messages.lock().unwrap().push((headers, message, body));
    }
    status.into_response()
}

async fn server() -> TestServer {
    let server = TestServer::new().await;
    server.run();
    server.deliver_webhooks();
    server
}

async fn create(server: &TestServer, who: Who, url: &str, scenario: &str) -> Reply {
    let body = json!({ "notificationUrl": url, "scenario": scenario, "clientState": "mine" });
    server.call(who, "POST", WEBHOOKS, Some(body)).await
}

/// Waits until a webhook has a status; returns it.
async fn wait_for_status(server: &TestServer, who: Who, id: &str, status: &str) -> Value {
    let mut shown = Value::Null;
    for _ in 0..1_000 {
        shown = server.get(who, &format!("{WEBHOOKS}/{id}")).await.json();
        if shown["status"] == status {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not {status}: {shown}");
}

async fn reprovision(server: &TestServer) {
    let path = format!("/beta/deviceManagement/managedDevices/{DEVICE_1}/reprovisionCloudPc");
    assert_eq!(server.post(Who::Writer, &path).await.status, 204);
    server.rest().await;
}

/// Whether one of the signatures of a message is by this key.
fn is_signed(headers: &HeaderMap, body: &[u8], key: &str) -> bool {
    let text = |name: &str| headers[name].to_str().unwrap();
    let key = STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes());
    mac.update(body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    text("webhook-signature").split(' ').any(|signature| signature == expected)
}

#[tokio::test]
async fn a_receiver_is_told_once_when_a_remote_action_completes() {
    let (server, receiver) = (server().await, Receiver::new().await);
    let made = create(&server, Who::Writer, &receiver.url(), COMPLETES).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let key = made.json()["signingKey"].as_str().unwrap().to_owned();
    assert_eq!(made.json()["status"], "active");
    reprovision(&server).await;
    receiver.wait(|receiver| receiver.count() == 1).await;
    let (headers, message, body) = receiver.messages.lock().unwrap()[0].clone();
    assert!(is_signed(&headers, &body, &key));
    let notifications = message["value"].as_array().unwrap();
    assert_eq!(notifications.len(), 1, "{message}");
    assert_eq!(notifications[0]["subscriptionId"], made.json()["id"]);
    assert_eq!(notifications[0]["clientState"], "mine");
    assert_eq!(notifications[0]["changeType"], "updated");
    let data = &notifications[0]["resourceData"];
    assert_eq!(
        (&data["actionName"], &data["state"], &data["cloudPcId"]),
        (&json!("reprovision"), &json!("done"), &json!(DESK_1))
    );
    // The notification names a resource that can be read.
    let read = server.get(Who::Reader, &format!("/beta/{}", data["@odata.id"].as_str().unwrap())).await;
    assert_eq!((read.status, &read.json()["state"]), (StatusCode::OK, &json!("done")));
    let shown = server.get(Who::Reader, &format!("{WEBHOOKS}/{}", made.json()["id"].as_str().unwrap())).await;
    assert_eq!(
        (&shown.json()["signingKey"], &shown.json()["clientState"]),
        (&Value::Null, &Value::Null),
        "never again"
    );
}

#[tokio::test]
async fn a_receiver_that_was_down_gets_everything_in_order() {
    let (server, receiver) = (server().await, Receiver::new().await);
    let made = create(&server, Who::Writer, &receiver.url(), CHANGES).await;
    receiver.answer(StatusCode::SERVICE_UNAVAILABLE);
    reprovision(&server).await;
    let shown = wait_for_status(&server, Who::Reader, made.json()["id"].as_str().unwrap(), "failing").await;
    assert_eq!(shown["statusDetail"], "The receiver answered with status 503.");
    server.clock.advance(Duration::from_secs(600)).await;
    receiver.answer(StatusCode::OK);
    for _ in 0..50 {
        server.clock.advance(Duration::from_secs(600)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = |notification: &Value| notification["resourceData"]["state"] == "done";
    receiver.wait(|receiver| receiver.notifications().iter().any(ended)).await;
    let numbers: Vec<i64> = receiver
        .notifications()
        .iter()
        .map(|notification| notification["id"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let first = &receiver.notifications()[0];
    assert_eq!(
        (&first["changeType"], &first["resourceData"]["actionName"]),
        (&json!("created"), &json!("reprovision"))
    );
    let shown = wait_for_status(&server, Who::Reader, made.json()["id"].as_str().unwrap(), "active").await;
    assert_eq!(shown["statusDetail"], Value::Null);
}

#[tokio::test]
async fn what_a_receiver_got_can_be_replayed() {
    let (server, receiver) = (server().await, Receiver::new().await);
    let made = create(&server, Who::Writer, &receiver.url(), COMPLETES).await;
    let begin = made.json()["deliveredThrough"].clone();
    let path = format!("{WEBHOOKS}/{}/cloudpc.replay", made.json()["id"].as_str().unwrap());
    reprovision(&server).await;
    receiver.wait(|receiver| receiver.count() == 1).await;
    let replayed = server.call(Who::Writer, "POST", &path, Some(json!({ "after": begin }))).await;
    assert_eq!(replayed.status, 204, "{}", replayed.body);
    receiver.wait(|receiver| receiver.count() == 2).await;
    let all = receiver.notifications();
    assert_eq!(all[0], all[1]);
    for (after, status) in [("nonsense", 400), ("0000000000000000-1", 410)] {
        let refused = server.call(Who::Writer, "POST", &path, Some(json!({ "after": after }))).await;
        assert_eq!(refused.status, status, "{after}: {}", refused.body);
    }
}

#[tokio::test]
async fn both_keys_sign_after_a_rotation_until_a_day_has_passed() {
    let (server, receiver) = (server().await, Receiver::new().await);
    let made = create(&server, Who::Writer, &receiver.url(), COMPLETES).await;
    let path = format!("{WEBHOOKS}/{}/cloudpc.rotateSigningKey", made.json()["id"].as_str().unwrap());
    let rotated = server.post(Who::Writer, &path).await;
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (old, new) = (text(&made.json()["signingKey"]), text(&rotated.json()["value"]));
    assert_ne!(old, new);
    let signed = |receiver: &Receiver| {
        let messages = receiver.messages.lock().unwrap();
        let (headers, _, body) = messages.last().unwrap();
        [&old, &new].map(|key| is_signed(headers, body, key))
    };
    reprovision(&server).await;
    receiver.wait(|receiver| receiver.count() == 1).await;
    assert_eq!(signed(&receiver), [true, true]);
    server.clock.advance(Duration::from_secs(24 * 3_600)).await;
    reprovision(&server).await;
    receiver.wait(|receiver| receiver.count() == 2).await;
    assert_eq!(signed(&receiver), [false, true]);
}

#[tokio::test]
async fn nothing_is_sent_for_a_caller_who_may_no_longer_read() {
    let (server, receiver) = (server().await, Receiver::new().await);
    let made = create(&server, Who::Writer, &receiver.url(), COMPLETES).await;
    let path = format!("{WEBHOOKS}/{}", made.json()["id"].as_str().unwrap());
    let tenant = "10000000-0000-4000-8000-000000000001".parse().unwrap();
    let app: AppId = "10000000-0000-4000-8000-0000000000b1".parse().unwrap();
    let strip = move |tx: &mut cloudpc_store::Tx<'_>| {
        let mut writer = tx.app(tenant, app)?.unwrap();
        writer.permissions.clear();
        tx.app_put(&writer)?;
        Ok::<_, StoreError>(())
    };
    server.app.store.write("test.strip", strip).await.unwrap();
    let device = format!("/beta/deviceManagement/managedDevices/{DEVICE_1}/reprovisionCloudPc");
    assert_eq!(server.post(Who::Ada, &device).await.status, 204);
    server.rest().await;
    wait_for_status(&server, Who::Ada, made.json()["id"].as_str().unwrap(), "suspended").await;
    assert_eq!(receiver.count(), 0);
    // Someone who may read resumes it.
    assert_eq!(server.post(Who::Ada, &format!("{path}/cloudpc.replay")).await.status, 204);
    receiver.wait(|receiver| receiver.count() == 1).await;
}

#[tokio::test]
async fn an_address_has_to_be_allowed_and_to_answer_the_handshake() {
    let (server, receiver) = (server().await, Receiver::new().await);
    let port = receiver.base.rsplit(':').next().unwrap().to_owned();
    let mut found = String::new();
    for (url, scenario) in [
        (format!("{}/silent", receiver.base), CHANGES),
        (format!("{}/html", receiver.base), CHANGES),
        (format!("{}/nowhere", receiver.base), CHANGES),
        ("http://169.254.169.254/latest".to_owned(), CHANGES),
        ("https://10.0.0.1/hook".to_owned(), CHANGES),
        ("not a URL".to_owned(), CHANGES),
        (receiver.url(), "When the moon is full"),
    ] {
        let refused = create(&server, Who::Writer, &url, scenario).await;
        assert_eq!(refused.status, 400, "{url}");
        found.push_str(&format!("{}\n", refused.json()["error"]["message"].as_str().unwrap().replace(&port, "PORT")));
    }
    insta::assert_snapshot!(found);
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn a_reset_leaves_nothing_of_a_webhook() {
    let (server, receiver) = (server().await, Receiver::new().await);
    assert_eq!(create(&server, Who::Writer, &receiver.url(), CHANGES).await.status, 201);
    let count = async || server.app.store.read(|reader| reader.webhook_deliveries()).await.unwrap().len();
    assert_eq!(count().await, 1);
    server.app.store.write("test.reset", |tx| tx.reset()).await.unwrap();
    assert_eq!(count().await, 0);
    assert_eq!(receiver.count(), 0);
}

/// Without this, the loop would read the database again and again.
#[tokio::test]
async fn what_cannot_be_delivered_is_put_aside() {
    let (server, receiver) = (server().await, Receiver::new().await);
    let made = create(&server, Who::Writer, &receiver.url(), CHANGES).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let tenant = "10000000-0000-4000-8000-000000000001".parse().unwrap();
    let key = DocumentKey::new(DocumentType::Webhook, &id);
    let of_later_version = move |tx: &mut cloudpc_store::Tx<'_>| {
        let mut webhook = tx.document(tenant, &key)?.unwrap();
        webhook.body.insert("scenario".into(), json!("When a Cloud PC dreams"));
        tx.document_update(&webhook, &DocumentIndex::default())?.unwrap();
        Ok::<_, StoreError>(())
    };
    server.app.store.write("test.scenario", of_later_version).await.unwrap();
    let shown = wait_for_status(&server, Who::Writer, &id, "suspended").await;
    assert_eq!(shown["statusDetail"], "This version does not know the scenario 'When a Cloud PC dreams'.");
}

#[tokio::test]
async fn without_the_setting_the_own_host_is_no_receiver() {
    let (server, receiver) = (TestServer::with(Config::default()).await, Receiver::new().await);
    let refused = create(&server, Who::Writer, &receiver.url(), CHANGES).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
}

#[tokio::test]
async fn a_tenant_has_at_most_twenty_webhooks() {
    let (server, receiver) = (server().await, Receiver::new().await);
    for _ in 0..20 {
        assert_eq!(create(&server, Who::Writer, &receiver.url(), CHANGES).await.status, 201);
    }
    let refused = create(&server, Who::Writer, &receiver.url(), CHANGES).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (StatusCode::FORBIDDEN, &json!("quotaLimitReached"))
    );
}

#[tokio::test]
async fn a_webhook_delivers_what_the_roles_of_its_creator_reach_and_no_longer_than_they_do() {
    let server = server().await;
    let body = json!({
        "displayName": "Seven", "scopeIds": ["7"],
        "imageId": "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc",
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
    });
    let policies = "/beta/deviceManagement/virtualEndpoint/provisioningPolicies";
    let policy = server.call(Who::Ada, "POST", policies, Some(body)).await.json()["id"].as_str().unwrap().to_owned();
    let put = move |tx: &mut cloudpc_store::Tx<'_>| {
        let tenant = crate::world::OWNER_TENANT.parse().unwrap();
        let before = tx.cloud_pc(tenant, DESK_1.parse().unwrap())?.unwrap();
        let after = cloudpc_model::CloudPc { provisioning_policy_id: policy.clone(), ..before.clone() };
        tx.cloud_pc_update_from(&before, &after)
    };
    server.app.store.write::<_, StoreError, _>("test.write", put).await.unwrap();
    let assignment = crate::rbac::assign(&server, crate::rbac::ALAN, ADMINISTRATOR_ROLE.id, &["7"]).await;
    let receiver = Receiver::new().await;
    let made = create(&server, Who::Alan, &receiver.url(), CHANGES).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let reboot = async |id: &str| {
        let path = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{id}/reboot");
        assert_eq!(server.post(Who::Writer, &path).await.status, 204);
        server.rest().await;
    };
    reboot(DESK_2).await;
    reboot(DESK_1).await;
    let is_done =
        |receiver: &Receiver| receiver.notifications().iter().any(|seen| seen["resourceData"]["state"] == "done");
    receiver.wait(is_done).await;
    let seen = receiver.notifications();
    assert!(seen.iter().all(|seen| seen["resource"].as_str().unwrap().contains(DESK_1)), "{seen:#?}");
    assert_eq!(server.call(Who::Ada, "DELETE", &assignment, None).await.status, 204);
    let count = receiver.count();
    reboot(DESK_1).await;
    let suspended = wait_for_status(&server, Who::Ada, &id, "suspended").await;
    assert!(suspended["statusDetail"].as_str().unwrap().contains("CloudPCs/Read"), "{suspended}");
    assert_eq!(receiver.count(), count);
}
