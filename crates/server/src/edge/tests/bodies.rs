//! Tests of request bodies: size limits, time limits and framing.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

use super::*;

const HEAD: &str = "POST /test/length HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";

/// The head of a request to a path that takes a token.
fn with_token(token: &str) -> String {
    format!("{}Authorization: Bearer {token}\r\n", HEAD.replace("/test", "/_cloudpc/test"))
}

fn declared(head: &str, bytes: usize) -> Vec<u8> {
    let mut request = format!("{head}Content-Length: {bytes}\r\n\r\n").into_bytes();
    request.resize(request.len() + bytes, FILLING);
    request
}

fn chunked(head: &str, bytes: usize) -> Vec<u8> {
    const CHUNK: usize = 64 * 1024;
    let mut request = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    let mut left = bytes;
    while left > 0 {
        let chunk = left.min(CHUNK);
        request.extend(format!("{chunk:x}\r\n").into_bytes());
        request.resize(request.len() + chunk, FILLING);
        request.extend(b"\r\n");
        left -= chunk;
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[tokio::test]
async fn a_body_beyond_its_limit_gets_413() {
    let server = TestServer::new().await;
    let caller = with_token(&server.administrator().await);
    for (head, bytes_max) in [(caller.as_str(), BODY_BYTES_MAX), (HEAD, STRANGER_BODY_BYTES_MAX)] {
        let over = format!(
            "413 Payload Too Large: RequestEntityTooLarge: The body is larger than {bytes_max} bytes, which is the maximum."
        );
        for framed in [declared, chunked] {
            let at_limit = outcome(&server.exchange(framed(head, bytes_max)).await);
            assert_eq!(at_limit, format!("200 OK: {bytes_max}"));
            // The client reads the response, even if it sends everything first.
            for bytes in [bytes_max + 1, 3 * BODY_BYTES_MAX] {
                assert_eq!(outcome(&server.exchange(framed(head, bytes)).await), over, "{bytes}");
            }
        }
        // A huge declared length is refused without reading the body.
        let mut stream = server.connect().await;
        let head = format!("{head}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", u64::MAX / 2);
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(outcome(&rest(&mut stream).await), over);
    }
}

#[tokio::test]
async fn a_token_is_checked_before_the_body_is_read() {
    let server = TestServer::new().await;
    for path in ["/beta/$batch", "/v1.0/deviceManagement/virtualEndpoint/externalPartners", "/_cloudpc/scenario"] {
        for token in ["", "Authorization: Bearer forged\r\n"] {
            let mut stream = server.connect().await;
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\n{token}Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let refused = answer(&mut stream).await;
            assert!(refused.starts_with("HTTP/1.1 401"), "the body is not requested: {refused}");
        }
        // A body that is sent anyway counts in no share, and its client reads the response.
        let head = HEAD.replace("/test/length", path);
        let refused = outcome(&server.exchange(declared(&head, BODY_BYTES_MAX)).await);
        assert!(refused.starts_with("401 Unauthorized: InvalidAuthenticationToken"), "{refused}");
    }
}

#[tokio::test]
async fn expect_100_continue_is_supported() {
    let server = TestServer::new().await;
    let ask = async |bytes: usize| {
        let mut stream = server.connect().await;
        let head = format!("{HEAD}Content-Length: {bytes}\r\nExpect: 100-continue\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        (stream, answer)
    };
    let (mut stream, interim) = ask(5).await;
    assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    assert_eq!(outcome(&rest(&mut stream).await), "200 OK: 5");
    let (_, refused) = ask(BODY_BYTES_MAX + 1).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "refused before the body is sent: {refused}");
}

#[tokio::test]
async fn a_body_must_arrive_in_time() {
    let server = TestServer::new().await;
    let clock = StandingClock::new();
    let partial = format!("{HEAD}Content-Length: 5\r\n\r\nhell");
    let (mut slow, mut slower) = (server.connect().await, server.connect().await);
    for stream in [&mut slow, &mut slower] {
        stream.write_all(partial.as_bytes()).await.unwrap();
    }
    server.until_open(2).await;
    settle().await;
    clock.advance(STRANGER_BODY_TIME_MAX - Duration::from_secs(1)).await;
    slow.write_all(b"o").await.unwrap();
    assert_eq!(outcome(&rest(&mut slow).await), "200 OK: 5");
    settle().await;
    clock.advance(Duration::from_secs(2)).await;
    let refused = outcome(&rest(&mut slower).await);
    assert_eq!(refused, "408 Request Timeout: RequestTimeout: The body did not arrive within 10 seconds.");
}

#[tokio::test]
async fn malformed_framing_is_refused() {
    let server = TestServer::new().await;
    let mut table = String::new();
    for (what, headers_and_body) in [
        ("no body", "\r\n"),
        ("chunks with extensions", "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("a trailer", "Transfer-Encoding: chunked\r\nTrailer: x\r\n\r\n5\r\nhello\r\n0\r\nx: 1\r\n\r\n"),
        ("both lengths", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ("one length twice", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ("a negative length", "Content-Length: -5\r\n\r\nhello"),
        ("a length that is no number", "Content-Length: five\r\n\r\nhello"),
        ("a length with a sign", "Content-Length: +5\r\n\r\nhello"),
        ("an unknown coding", "Transfer-Encoding: gzip\r\n\r\nhello"),
        ("chunked, but not last", "Transfer-Encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("a chunk whose length is no number", "Transfer-Encoding: chunked\r\n\r\nfive\r\nhello\r\n0\r\n\r\n"),
        ("a chunk longer than anything", "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello"),
    ] {
        table += &format!("{what} -> {}\n", outcome(&server.exchange(format!("{HEAD}{headers_and_body}")).await));
    }
    for (what, headers_and_body) in [
        ("cut off", "Content-Length: 5\r\n\r\nhell"),
        ("cut off in a chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"),
        ("cut off between chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    ] {
        let mut stream = server.connect().await;
        stream.write_all(format!("{HEAD}{headers_and_body}").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        table += &format!("{what} -> {}\n", outcome(&rest(&mut stream).await));
    }
    insta::assert_snapshot!(table, @"
    no body -> 200 OK: 0
    chunks with extensions -> 200 OK: 5
    a trailer -> 200 OK: 5
    both lengths -> 200 OK: 5
    two lengths -> 400 Bad Request: 
    one length twice -> 200 OK: 5
    a negative length -> 400 Bad Request: 
    a length that is no number -> 400 Bad Request: 
    a length with a sign -> 400 Bad Request: 
    an unknown coding -> 400 Bad Request: 
    chunked, but not last -> 400 Bad Request: 
    a chunk whose length is no number -> 400 Bad Request: BadRequest: The body is incomplete. Send the request again.
    a chunk longer than anything -> 400 Bad Request: BadRequest: The body is incomplete. Send the request again.
    cut off -> 400 Bad Request: BadRequest: The body is incomplete. Send the request again.
    cut off in a chunk -> 400 Bad Request: BadRequest: The body is incomplete. Send the request again.
    cut off between chunks -> 400 Bad Request: BadRequest: The body is incomplete. Send the request again.
    ");
}

#[tokio::test]
async fn compressed_bodies_are_refused() {
    let server = TestServer::new().await;
    let token = server.administrator().await;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        bomb.write_all(&[b' '; 1024 * 1024]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let paths = [
        "/beta/deviceManagement/virtualEndpoint/externalPartners",
        "/beta/$batch",
        "/_cloudpc/apps",
        "/_cloudpc/scenario",
        "/common/oauth2/v2.0/token",
    ];
    let mut outcomes = Vec::new();
    for path in paths {
        for encoding in ["gzip", "deflate", "br", "zstd", "identity, gzip"] {
            let mut request = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
                bomb.len()
            )
            .into_bytes();
            request.extend(&bomb);
            outcomes.push(outcome(&server.exchange(request).await));
        }
    }
    outcomes.dedup();
    insta::assert_snapshot!(outcomes.join("\n"), @"415 Unsupported Media Type: UnsupportedMediaType: Compressed request bodies are not supported. Remove Content-Encoding and send the body uncompressed.");
}
