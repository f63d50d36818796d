//! Tests of HTTP/2 with clients that misuse the protocol.

use futures_util::future::join_all;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};

use super::*;

/// Opens an HTTP/2 connection over TLS; the connection runs in the background and returns why it
/// ended.
async fn client(server: &TestServer) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = server.secure("localhost", &["h2"]).await.unwrap();
    // A higher initial limit than the server's, so that the client can exceed the server's limit.
    let builder =
        h2::client::Builder::new().initial_max_send_streams(10_000).max_concurrent_reset_streams(10_000).clone();
    let (send, connection) = builder.handshake(stream).await.unwrap();
    (send, tokio::spawn(connection))
}

fn request(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).unwrap()
}

async fn text(mut body: RecvStream) -> String {
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text.extend(data);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let server = TestServer::new().await;
    let (send, _connection) = client(&server).await;
    let responses = (0..50).map(|_| {
        let mut send = send.clone();
        async move {
            let (answer, _) = send.send_request(request("/beta/me/cloudPCs"), true).unwrap();
            let (head, body) = answer.await.unwrap().into_parts();
            assert_eq!(head.status, 401);
            let challenge = head.headers["www-authenticate"].to_str().unwrap();
            assert!(challenge.contains("authorization_uri=\"https://localhost/common/"), "{challenge}");
            serde_json::from_str::<Value>(&text(body).await).unwrap()
        }
    });
    let ids: std::collections::HashSet<String> = join_all(responses)
        .await
        .iter()
        .map(|envelope| envelope["error"]["innerError"]["request-id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 50, "request ids are unique");
}

#[tokio::test]
async fn bodies_and_urls_have_the_same_limits() {
    let server = TestServer::new().await;
    let (mut send, _connection) = client(&server).await;
    let authorization = format!("Bearer {}", server.administrator().await);
    let mut post = async |path: &str, bytes: usize| {
        let request = Request::post(format!("https://localhost{path}")).header("authorization", &authorization);
        let (answer, mut body) = send.send_request(request.body(()).unwrap(), false).unwrap();
        // The body is buffered and sent as the server reads it.
        body.send_data(vec![FILLING; bytes].into(), true).unwrap();
        let (head, body) = answer.await.unwrap().into_parts();
        format!("{}: {}", head.status.as_u16(), text(body).await)
    };
    for (path, bytes_max) in [("/_cloudpc/test/length", BODY_BYTES_MAX), ("/test/length", STRANGER_BODY_BYTES_MAX)] {
        assert_eq!(post(path, bytes_max).await, format!("200: {bytes_max}"));
        assert!(post(path, bytes_max + 1).await.starts_with("413: {\"error\""));
    }
    let long = request(&format!("/{}", "a".repeat(URL_BYTES_MAX)));
    let (answer, _) = send.send_request(long, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 414);
    let mut large = request("/healthz");
    large.headers_mut().insert("x", "1".repeat(HEADER_BYTES_MAX).parse().unwrap());
    let (answer, _) = send.send_request(large, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 431);
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let server = TestServer::new().await;
    let (mut send, _connection) = client(&server).await;
    let responses: Vec<_> =
        (0..STREAMS_MAX + 10).map(|_| send.send_request(request("/test/wait"), true).unwrap().0).collect();
    let mut responses: Vec<_> = responses.into_iter().map(Box::pin).collect();
    let mut refused = 0;
    while refused < 10 {
        let (answer, place, _) = futures_util::future::select_all(responses.iter_mut()).await;
        assert_eq!(answer.unwrap_err().reason(), Some(Reason::REFUSED_STREAM));
        drop(responses.remove(place));
        refused += 1;
    }
    settle().await;
    server.release.notify_waiters();
    for answer in join_all(responses).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn rapid_resets_close_the_connection() {
    let server = TestServer::new().await;
    let (mut send, connection) = client(&server).await;
    for _ in 0..RESETS_MAX * 10 {
        let Ok((_, mut stream)) = send.send_request(request("/test/wait"), true) else { break };
        stream.send_reset(Reason::CANCEL);
    }
    // The client may still be sending when the server closes, and then sees no reason.
    let ended = connection.await.unwrap().unwrap_err();
    assert!([None, Some(Reason::ENHANCE_YOUR_CALM)].contains(&ended.reason()), "{ended}");
    assert_eq!(server.ask("GET /healthz", "").await, "200 OK: ok");
}

#[tokio::test]
async fn http2_with_prior_knowledge_works_without_tls() {
    let server = TestServer::new().await;
    let (mut send, connection) = h2::client::handshake(server.connect().await).await.unwrap();
    tokio::spawn(connection);
    let (answer, _) = send.send_request(request("/healthz"), true).unwrap();
    assert_eq!(text(answer.await.unwrap().into_body()).await, "ok");
}

#[tokio::test]
async fn a_connection_that_answers_no_ping_is_closed() {
    let server = TestServer::new().await;
    let mut stream = server.connect().await;
    // The client completes the handshake and then answers no ping.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    server.until_open(1).await;
    let clock = StandingClock::new();
    settle().await;
    for _ in 0..2 {
        clock.advance(PING_INTERVAL + Duration::from_secs(1)).await;
        settle().await;
    }
    server.until_open(0).await;
}

#[tokio::test]
async fn only_an_idle_connection_is_closed() {
    let server = TestServer::new().await;
    let (mut idle, idle_connection) = client(&server).await;
    let (answer, _) = idle.send_request(request("/healthz"), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let (mut used, _used_connection) = client(&server).await;
    let (waiting, _) = used.send_request(request("/test/wait"), true).unwrap();
    settle().await;
    let clock = StandingClock::new();
    // In steps, so that both sides keep answering pings.
    for _ in 0..2 * IDLE_TIME_MAX.as_secs() / 10 + 1 {
        clock.advance(Duration::from_secs(10)).await;
        settle().await;
    }
    server.until_open(1).await;
    idle_connection.await.unwrap().unwrap();
    server.release.notify_one();
    assert_eq!(waiting.await.unwrap().status(), 200);
}

/// A client with a closed receive window that requests this path on the maximum of streams.
async fn silent(
    server: &TestServer,
    path: &str,
) -> (Vec<h2::client::ResponseFuture>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = server.connect().await;
    let builder = h2::client::Builder::new().initial_window_size(0).clone();
    let (send, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    let responses = (0..STREAMS_MAX).map(|_| send.send_request(request(path), true).unwrap().0).collect();
    settle().await;
    (responses, connection)
}

#[tokio::test]
async fn stalled_streams_are_reset_and_their_connection_is_closed() {
    let server = TestServer::new().await;
    for path in ["/beta/$metadata", "/beta/me/cloudPCs"] {
        let (responses, connection) = silent(&server, path).await;
        let mut bodies = Vec::new();
        for answer in responses {
            bodies.push(answer.await.unwrap().into_body());
        }
        let taken = STRANGERS_REQUESTS_MAX - server.edge.strangers.requests.free();
        assert_eq!(taken, STREAMS_MAX as usize, "a place is held until the response has been read");
        let clock = StandingClock::new();
        clock.advance(WRITE_TIME_MAX + Duration::from_secs(1)).await;
        for body in &mut bodies {
            let reset = body.data().await.unwrap().unwrap_err();
            assert_eq!(reset.reason(), Some(Reason::CANCEL));
        }
        assert_eq!(server.edge.strangers.requests.free(), STRANGERS_REQUESTS_MAX);
        // Answering PINGs does not keep the connection open.
        for _ in 0..2 * IDLE_TIME_MAX.as_secs() / 10 + 1 {
            clock.advance(Duration::from_secs(10)).await;
            settle().await;
        }
        server.until_open(0).await;
        connection.await.unwrap().unwrap();
        drop(clock);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_stream_that_stalls_halfway_is_reset() {
    let server = TestServer::new().await;
    let (mut send, _connection) = client(&server).await;
    let (answer, _) = send.send_request(request(&format!("/test/large/{}", 1024 * 1024)), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    // The window of 65,535 bytes ends within a piece.
    let first = body.data().await.unwrap().unwrap();
    assert!(!first.is_empty());
    settle().await;
    let clock = StandingClock::new();
    clock.advance(WRITE_TIME_MAX + Duration::from_secs(1)).await;
    let ended = loop {
        match body.data().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(ended.reason(), Some(Reason::CANCEL));
    // Other streams continue once there is room in the connection's window.
    drop(body);
    let (answer, _) = send.send_request(request("/healthz"), true).unwrap();
    assert_eq!(text(answer.await.unwrap().into_body()).await, "ok");
}

#[tokio::test]
async fn a_slow_client_within_the_limits_gets_its_whole_response() {
    const BYTES: usize = 200_000;
    let server = TestServer::new().await;
    let (mut send, _connection) = client(&server).await;
    let (answer, _) = send.send_request(request(&format!("/test/large/{BYTES}")), true).unwrap();
    let (head, mut body) = answer.await.unwrap().into_parts();
    assert_eq!(head.headers["content-length"], BYTES.to_string());
    let clock = StandingClock::new();
    let mut taken = 0;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        taken += data.len();
        settle().await;
        clock.advance(Duration::from_secs(2)).await;
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(taken, BYTES);
    assert!(body.is_end_stream());
    settle().await;
    assert_eq!(server.edge.strangers.requests.free(), STRANGERS_REQUESTS_MAX);
}

#[tokio::test]
async fn a_stream_below_the_minimum_rate_is_reset() {
    let server = TestServer::new().await;
    let (mut send, _connection) = client(&server).await;
    let (answer, _) = send.send_request(request(&format!("/test/large/{}", 1024 * 1024)), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let clock = StandingClock::new();
    let mut taken = 0;
    let ended = loop {
        match body.data().await.expect("the answer does not arrive whole") {
            Ok(data) => {
                taken += data.len();
                settle().await;
                clock.advance(WRITE_TIME_MAX / 4).await;
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            Err(error) => break error,
        }
    };
    assert_eq!(ended.reason(), Some(Reason::CANCEL));
    assert!(taken > 2 * PIECE_BYTES_MAX, "each piece was read in time: {taken}");
    settle().await;
    assert_eq!(server.edge.strangers.requests.free(), STRANGERS_REQUESTS_MAX);
}

#[tokio::test]
async fn a_client_that_ignores_goaway_is_disconnected() {
    let server = TestServer::new().await;
    let mut stream = server.connect().await;
    // The client only answers PINGs, and does not close the connection on GOAWAY.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    server.until_open(1).await;
    let clock = StandingClock::new();
    let answering = tokio::spawn(async move {
        const ACK: u8 = 1;
        const PING: u8 = 6;
        const GOAWAY: u8 = 7;
        let mut went_away = false;
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await.unwrap();
            went_away |= head[3] == GOAWAY;
            if head[3] == PING && head[4] & ACK == 0 {
                head[4] |= ACK;
                let _ = stream.write_all(&[&head[..], &payload].concat()).await;
            }
        }
        went_away
    });
    settle().await;
    for _ in 0..2 * IDLE_TIME_MAX.as_secs() / 10 + 2 {
        clock.advance(Duration::from_secs(10)).await;
        settle().await;
    }
    server.until_open(0).await;
    assert!(answering.await.unwrap(), "GOAWAY is sent before the connection is closed");
}
