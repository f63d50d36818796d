//! Response headers that depend on the operation or on `Accept-Encoding`, and `$search`.

use axum::body::Body;
use cloudpc_server::edge::{COMPRESSED_BYTES_MIN, Edge, Health, Scheme};
use flate2::read::GzDecoder;
use http::{Request, Response};
use http_body_util::BodyExt;
use std::io::Read;
use std::sync::Arc;

use crate::world::{DEVICE_1, HOST, TestServer, Who, arrival};

/// Sends a GET through the edge.
async fn ask(server: &TestServer, path: &str, encoding: &str) -> (Response<()>, Vec<u8>) {
    let edge = Edge::new(server.app.clone(), Arc::new(Health::default()));
    let request = Request::get(path)
        .header("host", HOST)
        .header("accept-encoding", encoding)
        .header("authorization", format!("Bearer {}", server.token(Who::Owner).await));
    let response = edge.answer(request.body(Body::empty()).unwrap(), &arrival(Scheme::Http)).await;
    let (head, body) = response.into_parts();
    (Response::from_parts(head, ()), body.collect().await.unwrap().to_bytes().to_vec())
}

fn header<'a>(response: &'a Response<()>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn responses_of_graph_are_compressed_for_clients_that_accept_it() {
    let server = TestServer::new().await;
    let path = "/beta/deviceManagement/virtualEndpoint/cloudPCs";
    let (plain, whole) = ask(&server, path, "identity").await;
    assert_eq!(header(&plain, "content-encoding"), None);
    assert!(whole.len() as u64 > COMPRESSED_BYTES_MIN, "{}", whole.len());
    let (packed, bytes) = ask(&server, path, "br;q=0.5, gzip").await;
    assert_eq!((header(&packed, "content-encoding"), header(&packed, "vary")), (Some("gzip"), Some("accept-encoding")));
    assert_eq!(header(&packed, "content-length"), None);
    let mut unpacked = Vec::new();
    GzDecoder::new(&*bytes).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, whole);
    let (packed, bytes) = ask(&server, path, "br").await;
    assert_eq!(header(&packed, "content-encoding"), Some("br"));
    assert!(bytes.len() < whole.len());
    let (small, _) = ask(&server, &format!("{path}?$select=id"), "gzip").await;
    assert_eq!(header(&small, "content-encoding"), None, "a small response is not");
    let (other, bytes) = ask(&server, "/_cloudpc/apps", "gzip").await;
    assert_eq!((other.status().as_u16(), header(&other, "content-encoding")), (200, None));
    assert!(!bytes.is_empty());
}

#[tokio::test]
async fn deprecated_operations_say_since_when_and_until_when() {
    let server = TestServer::new().await;
    let path = format!("/beta/deviceManagement/managedDevices/{DEVICE_1}/getCloudPcRemoteActionResults");
    let reply = server.get(Who::Writer, &path).await;
    assert_eq!(reply.headers["deprecation"], "Wed, 08 May 2024 23:59:59 GMT");
    assert_eq!(reply.headers["sunset"], "Mon, 30 Sep 2024 23:59:59 GMT");
    let reply = server.get(Who::Writer, "/beta/deviceManagement/virtualEndpoint/cloudPCs").await;
    assert!(!reply.headers.contains_key("deprecation"));
}

#[tokio::test]
async fn search_finds_a_text_in_names_and_is_paged_and_counted() {
    let server = TestServer::new().await;
    let list = "/beta/deviceManagement/virtualEndpoint/cloudPCs";
    let names = async |path: String| {
        let rows = server.get(Who::Reader, &path).await.rows();
        rows.iter().map(|row| row["displayName"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = names(list.to_owned()).await;
    let wanted = all[0].to_uppercase();
    assert_eq!(names(format!("{list}?$search=%22{wanted}%22")).await, [all[0].clone()]);
    let reply = server.get(Who::Reader, &format!("{list}?$search=desk&$top=1&$count=true")).await.json();
    let matching = all.iter().filter(|name| name.to_lowercase().contains("desk")).count();
    assert_eq!(reply["@odata.count"], matching);
    let next = reply["@odata.nextLink"].as_str().unwrap();
    assert_eq!(names(next.to_owned()).await.len(), 1);
    let both = "$search=desk&$filter=userPrincipalName%20eq%20'ada@contoso.test'";
    assert_eq!(names(format!("{list}?{both}")).await.len(), 1);
    let count = server.get(Who::Reader, &format!("{list}/$count?$search=desk")).await;
    assert_eq!(count.body, matching.to_string());
}
