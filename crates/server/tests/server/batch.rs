//! Batches through the complete pipeline.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{DESK_1, TestServer, Who};

const BASE_OF_BETA: &str = "https://cloudpc.test/beta";

fn item(id: &str, method: &str, url: &str) -> Value {
    json!({"id": id, "method": method, "url": url})
}

#[tokio::test]
async fn each_item_gets_its_own_response() {
    let world = TestServer::new().await;
    let body = json!({"requests": [
        item("count", "GET", "/deviceManagement/managedDevices/$count"),
        item("named", "get", "deviceManagement/virtualEndpoint/cloudPCs?$filter=displayName eq 'desk-2'&$select=displayName"),
        item("missing", "GET", "/deviceManagement/virtualEndpoint/cloudPCs/10000000-0000-4000-8000-0000000000d9?$select=id"),
        {"id": "rename", "method": "POST", "url": format!("/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}/rename"),
         "headers": {"Content-Type": "application/json"}, "body": {"displayName": "one"}},
        {"id": "untyped", "method": "POST", "url": format!("/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}/rename"),
         "body": {"displayName": "two"}},
        {"id": "late", "method": "GET", "url": "/deviceManagement/managedDevices/$count", "dependsOn": ["missing"]},
        item("nested", "POST", "/$batch"),
    ]});
    let reply = world.call(Who::Writer, "POST", "/beta/$batch", Some(body)).await;
    assert_snapshot!(reply, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "responses": [
        {
          "body": "3",
          "headers": {
            "Content-Type": "text/plain"
          },
          "id": "count",
          "status": 200
        },
        {
          "body": {
            "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs(displayName)",
            "value": [
              {
                "displayName": "desk-2"
              }
            ]
          },
          "headers": {
            "Content-Type": "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
          },
          "id": "named",
          "status": 200
        },
        {
          "body": {
            "error": {
              "code": "ResourceNotFound",
              "innerError": {
                "client-request-id": "00000000-0000-4000-8000-000000000001",
                "date": "2026-03-01T12:00:00",
                "request-id": "00000000-0000-4000-8000-000000000001"
              },
              "message": "There is no Cloud PC with the id '10000000-0000-4000-8000-0000000000d9'."
            }
          },
          "headers": {
            "Content-Type": "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
          },
          "id": "missing",
          "status": 404
        },
        {
          "headers": {},
          "id": "rename",
          "status": 204
        },
        {
          "body": {
            "error": {
              "code": "UnsupportedMediaType",
              "innerError": {
                "client-request-id": "00000000-0000-4000-8000-000000000001",
                "date": "2026-03-01T12:00:00",
                "request-id": "00000000-0000-4000-8000-000000000001"
              },
              "message": "A request body requires the header 'Content-Type: application/json'."
            }
          },
          "headers": {
            "Content-Type": "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
          },
          "id": "untyped",
          "status": 415
        },
        {
          "body": {
            "error": {
              "code": "FailedDependency",
              "innerError": {
                "client-request-id": "00000000-0000-4000-8000-000000000001",
                "date": "2026-03-01T12:00:00",
                "request-id": "00000000-0000-4000-8000-000000000001"
              },
              "message": "A request that 'late' depends on failed."
            }
          },
          "headers": {
            "Content-Type": "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
          },
          "id": "late",
          "status": 424
        },
        {
          "body": {
            "error": {
              "code": "BadRequest",
              "innerError": {
                "client-request-id": "00000000-0000-4000-8000-000000000001",
                "date": "2026-03-01T12:00:00",
                "request-id": "00000000-0000-4000-8000-000000000001"
              },
              "message": "A batch cannot contain a batch. Send all requests in one batch, or send the batches one after another."
            }
          },
          "headers": {
            "Content-Type": "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
          },
          "id": "nested",
          "status": 400
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn metadata_is_not_available_in_a_batch() {
    let world = TestServer::new().await;
    for url in [
        "/$metadata",
        "$METADATA",
        "//%24metadata/",
        "/$metadata?$format=xml",
        "",
        "/",
        "https://cloudpc.test/beta/$metadata",
    ] {
        let body = json!({"requests": [item("a", "get", url)]});
        let reply = world.call(Who::Reader, "POST", "/beta/$batch", Some(body)).await;
        let answer = &reply.json()["responses"][0];
        assert!(answer["status"].as_u64().is_some_and(|status| status >= 400), "{url}: {reply}");
        assert!(reply.body.len() < 1_000, "{url}: {} bytes", reply.body.len());
    }
}

/// Spellings of the URL of a batch. The last ones do not resolve at all.
const NESTED: [&str; 45] = [
    "/$batch",
    "$batch",
    "//$batch",
    "///$batch//",
    "/$batch/",
    "/$batch?",
    "/$batch?$top=1",
    "/$batch/?x",
    "/$batch#",
    "$batch#",
    "/$batch#fragment",
    "/$batch?#",
    "/$batch/#",
    "/$batch#?a=b",
    "/%24batch",
    "%24batch",
    "/%24batch#",
    "/%24BATCH",
    "/$%62atch",
    "/$b%61tch",
    "/$batc%68",
    "/%24%62%61%74%63%68",
    "/%24%42%41%54%43%48",
    "/$BATCH",
    "/$Batch/",
    "/$BaTcH?x=1",
    "//%24batch//",
    "/%24batch?%24top=1",
    "https://cloudpc.test/beta/$batch",
    "https://cloudpc.test/beta//$batch",
    "https://cloudpc.test/beta/%24batch",
    "https://cloudpc.test/beta/$batch#",
    "HTTPS://CLOUDPC.TEST/BETA/$BATCH",
    "https://cloudpc.test/beta/$batch?x=y",
    "/$batch ",
    " /$batch",
    "/$batch%20",
    "/%2524batch",
    "/./$batch",
    "/x/../$batch",
    "/$batch()",
    "/$batch;a=b",
    "/beta/$batch",
    "/v1.0/$batch",
    "https://elsewhere.test/beta/$batch",
];

#[tokio::test]
async fn nested_batch_is_rejected_in_every_spelling() {
    let world = TestServer::new().await;
    let inner = json!({"requests": [item("inner", "GET", "/deviceManagement/managedDevices/$count")]});
    for spellings in NESTED.chunks(20) {
        let nested = |(id, url): (usize, &&str)| json!({"id": id, "method": "POST", "url": url, "headers": {"Content-Type": "application/json"}, "body": inner});
        let body = json!({"requests": spellings.iter().enumerate().map(nested).collect::<Vec<_>>()});
        let reply = world.call(Who::Writer, "POST", "/beta/$batch", Some(body)).await;
        let answers = reply.json()["responses"].as_array().unwrap().clone();
        assert_eq!(answers.len(), spellings.len());
        for (spelling, answer) in spellings.iter().zip(answers) {
            assert_eq!(answer["status"], 400, "{spelling}: {answer}");
        }
    }
}

/// A base64 body is one JSON string, so the JSON depth limit does not apply.
#[tokio::test]
async fn batches_do_not_nest_at_any_depth() {
    let world = TestServer::new().await;
    for url in ["/$batch", "/$batch#", "/%24batch"] {
        let mut nested = json!({"requests": [item("1", "GET", "x")]});
        for level in 0..80 {
            let body = match level % 8 {
                0 => Value::from(URL_SAFE_NO_PAD.encode(nested.to_string())),
                _ => nested,
            };
            nested = json!({"requests": [{"id": "1", "method": "POST", "url": url,
                                          "headers": {"Content-Type": "application/json"}, "body": body}]});
        }
        let reply = world.call(Who::Nobody, "POST", "/beta/$batch", Some(nested)).await;
        assert_eq!(reply.json()["responses"][0]["status"], 400, "{url}: {}", reply.body);
    }
}

/// PowerShell sends member names in any case, and numbers as ids.
#[tokio::test]
async fn batch_names_are_case_insensitive_and_ids_may_be_numbers() {
    let world = TestServer::new().await;
    let body =
        r#"{"requests":[{"method":"GET","URL":"/deviceManagement/virtualEndpoint/cloudPCs/$count","id":731904}]}"#;
    for mark in ["", "\u{feff}"] {
        let request = http::Request::post("/v1.0/$batch")
            .header("authorization", format!("Bearer {}", world.token(Who::Reader).await))
            .header("content-type", "application/json")
            .body(axum::body::Body::from(format!("{mark}{body}")))
            .unwrap();
        let reply = world.send(request).await.json();
        assert_eq!((&reply["responses"][0]["id"], &reply["responses"][0]["body"]), (&json!("731904"), &json!("3")));
    }
}

/// `msgraph-core` 1.5.2 sends absolute URLs, and `depends_on` instead of `dependsOn`.
#[tokio::test]
async fn batch_of_the_python_sdk_is_accepted() {
    let world = TestServer::new().await;
    let count = |id: &str, address: &str, depends_on: &[&str]| {
        json!({"id": id, "method": "GET", "url": format!("{address}/deviceManagement/managedDevices/$count"), "depends_on": depends_on,
               "headers": {"accept": "text/plain"}})
    };
    let body = json!({"requests": [
        count("here", BASE_OF_BETA, &[]),
        count("shouted", "HTTPS://CLOUDPC.TEST/BETA", &[]),
        count("another root", "https://cloudpc.test/v1.0", &[]),
        count("another host", "https://elsewhere.test/beta", &[]),
        count("late", BASE_OF_BETA, &["another host"]),
    ]});
    let reply = world.call(Who::Writer, "POST", "/beta/$batch", Some(body)).await;
    let answers = reply.json()["responses"].as_array().unwrap().clone();
    let statuses: Vec<_> = answers.iter().map(|answer| (answer["id"].clone(), answer["status"].clone())).collect();
    let expected = [("here", 200), ("shouted", 200), ("another root", 400), ("another host", 400), ("late", 424)];
    assert_eq!(statuses, expected.map(|(id, status)| (json!(id), json!(status))));
}

#[tokio::test]
async fn batch_requires_a_token_and_a_valid_envelope() {
    let world = TestServer::new().await;
    let request = http::Request::post("/beta/$batch").body(axum::body::Body::empty()).unwrap();
    assert_eq!(world.send(request).await.error().0, 401);
    assert_eq!(world.get(Who::Writer, "/beta/$batch").await.error().0, 405);
    let twice = json!({"requests": [item("1", "GET", "/me/cloudPCs"), item("1", "GET", "/me/cloudPCs")]});
    assert_eq!(world.call(Who::Writer, "POST", "/v1.0/$batch", Some(twice)).await.error(), (400, "BadRequest".into()));
}
