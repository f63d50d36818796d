//! Every registered operation × every invalid request, as one table. A registered operation without
//! a row fails the test.

use cloudpc_server::operations::ALL;
use cloudpc_server::pipeline::BODY_BYTES_MAX;
use cloudpc_store::StoreError;
use serde_json::{Value, json};
use std::time::Duration;

use crate::cases::{Case, IS_NEVER_FOUND, cases};
use crate::document_cases;
use crate::scene::{ROOT, Scene};
use crate::world::{DESK_1, OWNER_TENANT, PARTNER, Reply, Who};

fn assert_error(case: &Case, what: &str, reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.error(), (status, code.to_owned()), "{}: {what}: {}", case.key, reply.body);
    let error = &reply.json()["error"];
    assert!(error["message"].as_str().unwrap().len() > 10, "{}: {what}: {error}", case.key);
    assert!(error["innerError"]["request-id"].is_string() && error["innerError"]["date"].is_string());
}

#[tokio::test]
async fn every_registered_operation_has_a_case() {
    let cases = cases();
    let missing: Vec<_> = ALL.keys().filter(|key| !cases.iter().any(|case| case.key == **key)).collect();
    assert_eq!(missing, Vec::<&&str>::new());
    assert_eq!(cases.len(), ALL.len());
}

/// Every audited operation leaves a change in the feed.
#[tokio::test]
async fn each_case_is_a_valid_request_and_each_change_is_in_the_feed() {
    let shared = Scene::new().await;
    let mut wrong = Vec::new();
    let known = shared.world.get(Who::Writer, &format!("{ROOT}/auditEvents/getAuditActivityTypes?$top=999")).await;
    let known: Vec<String> = serde_json::from_value(known.json()["value"].clone()).unwrap();
    for case in cases() {
        // Changes remove objects that other cases need, so each change has its own server.
        let own = if case.changes_something() { Some(Scene::new().await) } else { None };
        let scene = own.as_ref().unwrap_or(&shared);
        // Only the owner of the installation may open the host's network.
        let who = if case.key == "cloudPcExternalPartner.allowUrls" { Who::Owner } else { case.writer() };
        let written = async || {
            let tenant = OWNER_TENANT.parse().unwrap();
            let store = &scene.world.app.store;
            let read = store.read(move |reader| Ok((reader.audit_count(tenant)?, reader.change_head(tenant)?.number)));
            read.await.map_err(|error: StoreError| error).unwrap()
        };
        let before = written().await;
        let reply = scene.world.call(who, case.method, &scene.path(&case), scene.body(&case)).await;
        // No action here is stuck, simulated machines have no display, and no Cloud PC is in its
        // grace period.
        let in_vain =
            ["action.settle", "cloudPC.screenshot", "cloudPC.endGracePeriod", "cloudPcSnapshot.importSnapshot"];
        let in_vain = in_vain.contains(&case.key);
        // No profile of a user is stored here.
        let of_nothing = [
            "cloudPcUserProfileSnapshot.get",
            "cloudPcUserProfileSnapshot.restore",
            "userSettingsPersistenceDetail.batchCleanupUserSettingsPersistenceProfile",
        ];
        let right = match case.key {
            _ if in_vain => reply.status == 409,
            key if of_nothing.contains(&key) || IS_NEVER_FOUND.contains(&key) => reply.status == 404,
            _ => reply.status.is_success(),
        };
        assert!(right, "{}: {reply}", case.key);
        let after = written().await;
        if after.0 > before.0 {
            let tenant = OWNER_TENANT.parse().unwrap();
            let store = &scene.world.app.store;
            let newest = store.read(move |reader| reader.audit_list(tenant, None, 1)).await.unwrap();
            let activity = newest[0].activity();
            assert!(known.contains(&activity), "{}: getAuditActivityTypes does not list {activity:?}", case.key);
        }
        let (is_audited, is_noted) = (after.0 > before.0, after.1 > before.1);
        // A retry of a policy only queues users, for whom nothing is missing here, and no item of
        // the bulk action has failed; a synchronization only schedules an observation.
        let queues = ["cloudPcProvisioningPolicy.retry", "cloudPcBulkAction.retry", "managedDevice.syncDevice"];
        let is_missed = is_audited && !is_noted && !queues.contains(&case.key);
        if is_missed || is_noted && !case.changes_something() {
            wrong.push(case.key);
        }
    }
    assert_eq!(wrong, Vec::<&str>::new());
}

#[tokio::test]
async fn request_without_a_valid_token_gets_401() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    let good = scene.world.token(Who::Writer).await;
    let garbage = format!("{}x", &good[..good.len() - 1]);
    for case in cases() {
        for (what, token) in
            [("no token", None), ("garbage", Some("garbage")), ("bad signature", Some(garbage.as_str()))]
        {
            let reply = scene.send(token, case.method, &scene.path(&case), &[], Vec::new()).await;
            assert_error(&case, what, &reply, 401, "InvalidAuthenticationToken");
        }
    }
    let unknown = scene.send(None, "GET", "/beta/no/such/path", &[], Vec::new()).await;
    assert_eq!(unknown.error().0, 401, "paths are unknown without a token");
    assert_eq!(scene.state().await, before);

    scene.world.host_clock.advance(Duration::from_secs(2 * 3600)).await;
    for case in cases() {
        let reply = scene.send(Some(&good), case.method, &scene.path(&case), &[], Vec::new()).await;
        assert_error(&case, "expired token", &reply, 401, "InvalidAuthenticationToken");
    }
}

#[tokio::test]
async fn missing_permission_is_reported_first() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    let (nobody, reader) = (scene.world.token(Who::Nobody).await, scene.world.token(Who::Reader).await);
    for case in cases() {
        assert_error(&case, "no permission", &scene.json(&nobody, &case, "").await, 403, "Forbidden");
        if case.writer() == Who::Ada {
            let application = scene.world.token(Who::Writer).await;
            assert_error(&case, "an application", &scene.json(&application, &case, "").await, 403, "Forbidden");
        }
        if case.changes_something() {
            assert_error(&case, "reads only", &scene.json(&reader, &case, "").await, 403, "Forbidden");
            assert_error(&case, "reads only, broken body", &scene.json(&reader, &case, "{").await, 403, "Forbidden");
        }
    }
    assert_eq!(scene.state().await, before);
}

#[tokio::test]
async fn missing_object_or_object_of_another_tenant_gets_404() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    let json = [("content-type", "application/json")];
    for case in cases() {
        let stranger = if case.writer() == Who::Ada { Who::Grace } else { Who::Stranger };
        let (writer, stranger) = (scene.world.token(case.writer()).await, scene.world.token(stranger).await);
        let body = || scene.body(&case).map(|body| body.to_string().into_bytes()).unwrap_or_default();
        for place in 0..2 {
            for id in ["10000000-0000-4000-8000-00000000dead", "no-id", "%27%20or%201=1"] {
                let Some(path) = scene.path_with(&case, place, id) else { continue };
                let reply = scene.send(Some(&writer), case.method, &path, &json, body()).await;
                // The types of a function's arguments are checked before anything is looked up.
                let (status, code) = match case.path.contains("='{") && !id.ends_with("dead") {
                    true => (400, "BadRequest"),
                    false => (404, "ResourceNotFound"),
                };
                assert_error(&case, id, &reply, status, code);
            }
        }
        if case.path.contains('{') && !document_cases::is_shared(case.path) {
            let reply = scene.send(Some(&stranger), case.method, &scene.path(&case), &json, body()).await;
            assert_error(&case, "another tenant", &reply, 404, "ResourceNotFound");
        }
    }
    assert_eq!(scene.state().await, before);
}

#[tokio::test]
async fn invalid_body_changes_nothing() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    for case in cases().into_iter().filter(Case::takes_body) {
        let writer = scene.world.token(case.writer()).await;
        for body in
            ["{", "[]", "\"text\"", "{\"a\":1,}", "{\"noSuchProperty\":1}", "{\"a\":\"\\ud800\"}", "\u{feff}{}x"]
        {
            assert_error(&case, body, &scene.json(&writer, &case, body).await, 400, "BadRequest");
        }
        let large = format!("{{\"a\":\"{}\"}}", "a".repeat(BODY_BYTES_MAX));
        assert_error(&case, "too large", &scene.json(&writer, &case, large).await, 413, "RequestEntityTooLarge");
        let path = scene.path(&case);
        let headers = [("content-type", "text/plain"), ("accept", "*/*")];
        let reply = scene.send(Some(&writer), case.method, &path, &headers, b"{}".to_vec()).await;
        assert_error(&case, "media type", &reply, 415, "UnsupportedMediaType");
        if let Some((property, wrong)) = &case.wrong {
            let body = |value: &Value| {
                let mut body = scene.body(&case).unwrap_or_else(|| json!({}));
                body[*property] = value.clone();
                body.to_string()
            };
            assert_error(&case, "wrong type", &scene.json(&writer, &case, body(wrong)).await, 400, "BadRequest");
            if case.body.is_some() && !case.optional {
                assert_error(&case, "null", &scene.json(&writer, &case, body(&Value::Null)).await, 400, "BadRequest");
                if case.method != "PATCH" {
                    assert_error(&case, "nothing", &scene.json(&writer, &case, "{}").await, 400, "BadRequest");
                }
            }
        }
        if case.method == "PATCH" {
            let reply = scene.json(&writer, &case, "{}").await;
            assert!(reply.status.is_success(), "{}: an update without properties: {}", case.key, reply.body);
        }
    }
    assert_eq!(scene.state().await, before);
}

#[tokio::test]
async fn unsupported_options_and_methods_are_rejected() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    let nobody = scene.world.token(Who::Nobody).await;
    for case in cases() {
        let writer = scene.world.token(case.writer()).await;
        let path = scene.path(&case);
        for query in
            ["$noSuchOption=1", "noSuchOption=1", "$top=-1", "$select=noSuchProperty", "$top=1&$top=2", "$expand=x"]
        {
            let reply = scene.send(Some(&writer), case.method, &format!("{path}?{query}"), &[], Vec::new()).await;
            assert_error(&case, query, &reply, 400, "BadRequest");
            let reply = scene.send(Some(&nobody), case.method, &format!("{path}?{query}"), &[], Vec::new()).await;
            assert_error(&case, query, &reply, 403, "Forbidden");
        }
        for method in ["PUT", "OPTIONS", "BREW"] {
            let reply = scene.send(Some(&writer), method, &path, &[], Vec::new()).await;
            assert_error(&case, method, &reply, 405, "Request_BadRequest");
            assert!(
                reply.headers["allow"].to_str().unwrap().contains(case.method),
                "{}: {:?}",
                case.key,
                reply.headers
            );
        }
    }
    assert_eq!(scene.state().await, before);
}

#[tokio::test]
async fn deployment_is_limited() {
    let scene = Scene::new().await;
    let path = format!("{ROOT}/externalPartners/{PARTNER}/deployAgent");
    let ids =
        |count: usize| Some(json!({"cloudPcIds": (0..count).map(|n| format!("machine-{n}")).collect::<Vec<_>>()}));
    for (count, status) in [(0, 400), (1, 200), (50, 200), (51, 400)] {
        assert_eq!(scene.world.call(Who::Writer, "POST", &path, ids(count)).await.status, status, "{count} ids");
    }
    for id in ["", " ", "a\u{0}b", &"x".repeat(129)] {
        let reply = scene.world.call(Who::Writer, "POST", &path, Some(json!({"cloudPcIds": [id]}))).await;
        assert_eq!(reply.error(), (400, "BadRequest".into()), "{id:?}");
    }
    let disabled = format!("{ROOT}/externalPartners/{}/deployAgent", crate::world::PARTNER_DISABLED);
    let reply = scene.world.call(Who::Writer, "POST", &disabled, ids(1)).await;
    assert_eq!(reply.error(), (409, "partnerConnectionDisabled".into()));
}

#[tokio::test]
async fn second_remote_action_gets_409_with_the_first() {
    let scene = Scene::new().await;
    let path = format!("{ROOT}/cloudPCs/{DESK_1}/reboot");
    assert_eq!(scene.world.post(Who::Writer, &path).await.status, 204);
    let reply = scene.world.post(Who::Writer, &path).await;
    assert_eq!(reply.error(), (409, "remoteActionInProgress".into()));
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("reboot is already pending"), "{reply}");
    let failed = format!("{ROOT}/cloudPCs/10000000-0000-4000-8000-0000000000d3/reboot");
    assert_eq!(scene.world.post(Who::Writer, &failed).await.error(), (409, "cloudPcStatusNotAllowed".into()));
}
