//! Tests of the client against a scripted service.

#![cfg(feature = "client")]
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::sync::{Arc, Mutex};

use cloudpc_graph::client::{Client, ClientError, Credentials};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A service that returns these answers in order, and records the requests.
struct Script {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn new(answers: Vec<(u16, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, own) = (Arc::clone(&requests), address.clone());
        tokio::spawn(async move {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                kept.lock().unwrap().push(request);
                let body = body.replace("{address}", &own);
                let head =
                    format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
        });
        Self { address, requests }
    }

    fn client(&self) -> Client {
        Client::with_token(&self.address, "first", None).unwrap()
    }

    /// Returns the first line, token and body of each request.
    fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let requests = requests.iter().map(|request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            let token = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or("-");
            format!("{} [{token}] {body}", head.lines().next().unwrap()).trim_end().to_owned()
        });
        requests.collect()
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> String {
    let mut request = String::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await.unwrap();
        request.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return request;
        }
    }
}

fn page(ids: &[&str], next: Option<&str>) -> (u16, String) {
    let rows: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    let mut page = json!({"value": rows});
    if let Some(next) = next {
        page["@odata.nextLink"] = next.into();
    }
    (200, page.to_string())
}

#[tokio::test]
async fn rows_are_read_from_all_pages_including_empty_ones() {
    let script = Script::new(vec![
        page(&["a", "b"], Some("{address}/beta/things?$top=2&$skiptoken=1")),
        page(&[], Some("{address}/beta/things?$top=2&$skiptoken=2")),
        page(&["c"], None),
    ])
    .await;
    let rows = script.client().rows("/beta/things", &[("$filter", "name eq 'a&b'")], None).await.unwrap();
    assert_eq!(rows, [json!({"id": "a"}), json!({"id": "b"}), json!({"id": "c"})]);
    insta::assert_snapshot!(script.requests().join("\n"), @r#"
    GET /beta/things?$filter=name%20eq%20%27a%26b%27 HTTP/1.1 [first]
    GET /beta/things?$top=2&$skiptoken=1 HTTP/1.1 [first]
    GET /beta/things?$top=2&$skiptoken=2 HTTP/1.1 [first]
    "#);
}

#[tokio::test]
async fn no_further_pages_are_requested_beyond_the_limit() {
    let script = Script::new(vec![page(&["a", "b"], Some("{address}/beta/things?$skiptoken=1"))]).await;
    let rows = script.client().rows("/beta/things", &[], Some(2)).await.unwrap();
    assert_eq!((rows.len(), script.requests().len()), (2, 1));
}

#[tokio::test]
async fn token_is_not_sent_to_another_service() {
    let script = Script::new(vec![page(&["a"], Some("http://elsewhere.test/beta/things"))]).await;
    let error = script.client().rows("/beta/things", &[], None).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreadable { .. }), "{error}");
}

#[tokio::test]
async fn error_envelope_is_parsed() {
    let envelope =
        json!({"error": {"code": "ResourceNotFound", "message": "There is no such Cloud PC.", "target": "id"}});
    let script = Script::new(vec![(404, envelope.to_string())]).await;
    match script.client().get("/beta/things/x").await.unwrap_err() {
        ClientError::Answer(error) => {
            assert_eq!(
                (error.status, error.code.as_str(), error.target.as_deref()),
                (404, "ResourceNotFound", Some("id"))
            );
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn bodies_are_sent_and_empty_answers_are_null() {
    let script = Script::new(vec![(204, String::new()), (200, "{\"value\":1}".into()), (204, String::new())]).await;
    let client = script.client();
    assert_eq!(client.post("/beta/things/x/do", &Value::Null).await.unwrap(), Value::Null);
    assert_eq!(client.patch("/beta/things/x", &json!({"a": 1})).await.unwrap(), json!({"value": 1}));
    client.delete("/beta/things/x").await.unwrap();
    insta::assert_snapshot!(script.requests().join("\n"), @r#"
    POST /beta/things/x/do HTTP/1.1 [first]
    PATCH /beta/things/x HTTP/1.1 [first] {"a":1}
    DELETE /beta/things/x HTTP/1.1 [first]
    "#);
}

#[tokio::test]
async fn expired_token_is_renewed_once() {
    let token = |name: &str| (200, json!({"access_token": name}).to_string());
    let script =
        Script::new(vec![token("first"), (401, "{}".into()), token("second"), (200, "{\"id\":\"x\"}".into())]).await;
    let credentials = Credentials { tenant_id: "t".into(), client_id: "c".into(), client_secret: "s&".into() };
    let client = Client::sign_in(&script.address, credentials, None).await.unwrap();
    assert_eq!(client.get("/beta/things/x").await.unwrap(), json!({"id": "x"}));
    insta::assert_snapshot!(script.requests().join("\n"), @r#"
    POST /t/oauth2/v2.0/token HTTP/1.1 [-] grant_type=client_credentials&client_id=c&client_secret=s%26&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default
    GET /beta/things/x HTTP/1.1 [first]
    POST /t/oauth2/v2.0/token HTTP/1.1 [-] grant_type=client_credentials&client_id=c&client_secret=s%26&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default
    GET /beta/things/x HTTP/1.1 [second]
    "#);
}

#[tokio::test]
async fn unreachable_service_is_named_in_the_error() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let client = Client::with_token(&address, "t", None).unwrap();
    let error = client.get("/beta").await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable { address: named, .. } if *named == address), "{error}");
}

#[test]
fn invalid_urls_and_certificates_are_rejected() {
    for address in ["", "127.0.0.1:8365", "ftp://host", "http://"] {
        assert!(matches!(Client::with_token(address, "t", None), Err(ClientError::Address { .. })), "{address}");
    }
    let error = Client::with_token("https://127.0.0.1:8366", "t", Some(b"no certificate")).err().unwrap();
    assert!(matches!(error, ClientError::Certificate));
}
