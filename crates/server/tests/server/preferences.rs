//! The `Prefer` header.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::scene::{ROOT, Scene};
use crate::world::{BASE, Reply, TestServer, Who};

async fn prefer(world: &TestServer, method: &str, path: &str, body: Option<Value>, prefer: &str) -> Reply {
    let request = Request::builder()
        .method(method)
        .uri(path.strip_prefix(BASE).unwrap_or(path))
        .header("authorization", format!("Bearer {}", world.token(Who::Writer).await))
        .header("content-type", "application/json")
        .header("prefer", prefer);
    world.send(request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()).await
}

fn applied(reply: &Reply) -> Option<&str> {
    reply.headers.get("preference-applied").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_create_and_update_follows_the_preferred_return() {
    for case in cases() {
        let verb = case.key.rsplit_once('.').unwrap().1;
        if !matches!(verb, "create" | "update") || case.path.ends_with("/$ref") || case.writer() == Who::Ada {
            continue;
        }
        for (preference, status) in [("return=minimal", &[204][..]), ("return=representation", &[200, 201, 202])] {
            let scene = Scene::new().await;
            let path = scene.path(&case);
            let reply = prefer(&scene.world, case.method, &path, scene.body(&case), preference).await;
            assert!(status.contains(&reply.status.as_u16()), "{}: {preference}: {reply}", case.key);
            assert_eq!(applied(&reply), Some(preference), "{}: {reply}", case.key);
            if preference == "return=minimal" {
                assert_eq!(reply.body, "", "{}", case.key);
                // The mapping is a single entity at a path that is known.
                let is_new = verb == "create" && case.key != "cloudPcCrossCloudGovernmentOrganizationMapping.create";
                assert_eq!(reply.headers.contains_key("odata-entityid"), is_new, "{}", case.key);
            } else {
                assert!(reply.json()["id"].is_string(), "{}: {reply}", case.key);
            }
        }
    }
}

#[tokio::test]
async fn users_and_groups_are_sent_after_an_update_only_if_preferred() {
    let scene = Scene::new().await;
    for path in ["~/users/{user}", "~/groups/{group}"] {
        let path = scene.fill(path.to_owned());
        let body = || Some(json!({"displayName": "Renamed"}));
        assert_eq!(scene.world.call(Who::Writer, "PATCH", &path, body()).await.status, 204);
        let sent = prefer(&scene.world, "PATCH", &path, body(), "return=representation").await;
        assert_eq!(sent.json()["displayName"], "Renamed", "{sent}");
        assert!(sent.json()["@odata.context"].as_str().unwrap().ends_with("/$entity"), "{sent}");
    }
}

#[tokio::test]
async fn pages_are_as_large_as_preferred() {
    let world = TestServer::new().await;
    let list = format!("{ROOT}/cloudPCs");
    let all = world.get(Who::Writer, &list).await.rows().len();
    assert!(all > 2);
    let page = prefer(&world, "GET", &list, None, "odata.maxpagesize=2").await;
    assert_eq!((page.rows().len(), applied(&page)), (2, Some("odata.maxpagesize=2")));
    // The preference is not in the link, so a client sends it again.
    let next = prefer(&world, "GET", &page.next_link().unwrap(), None, "maxpagesize=1").await;
    assert_eq!(next.rows().len(), 1);
    assert_eq!(world.get(Who::Writer, &page.next_link().unwrap()).await.rows().len(), all - 2);
    let smaller = prefer(&world, "GET", &format!("{list}?$top=1"), None, "odata.maxpagesize=2").await;
    assert_eq!(smaller.rows().len(), 1, "$top is smaller");
    for ignored in ["odata.maxpagesize=0", "odata.maxpagesize=many", "odata.maxpagesize"] {
        let page = prefer(&world, "GET", &list, None, ignored).await;
        assert_eq!((page.rows().len(), applied(&page)), (all, None), "{ignored}");
    }
}
