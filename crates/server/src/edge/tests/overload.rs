//! Tests of overload: too many connections, requests and bodies, and clients that do not read their
//! responses.

use super::*;

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

fn limits(connections: usize, peer_connections: usize) -> EdgeLimits {
    EdgeLimits { connections, peer_connections }
}

/// Opens idle connections, each with one finished request.
async fn idle(server: &TestServer, count: usize) -> Vec<TcpStream> {
    let clock = StandingClock::new();
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = server.connect().await;
        stream.write_all(HEALTH).await.unwrap();
        assert!(answer(&mut stream).await.ends_with("ok"));
        settle().await;
        clock.advance(Duration::from_millis(10)).await;
        open.push(stream);
    }
    drop(clock);
    tokio::time::resume();
    open
}

#[tokio::test]
async fn idle_connections_do_not_block_new_ones() {
    for limits in [limits(3, 3), limits(10, 3)] {
        let server = TestServer::with(limits, Config::default()).await;
        let mut open = idle(&server, 3).await;
        assert_eq!(server.ask("GET /healthz", "").await, "200 OK: ok");
        assert_eq!(rest(&mut open[0]).await, "", "the longest idle connection is evicted");
        open[1].write_all(HEALTH).await.unwrap();
        assert!(answer(&mut open[1]).await.ends_with("ok"), "no other connection is evicted");
    }
}

#[tokio::test]
async fn http2_connections_that_only_answer_pings_do_not_block_new_ones() {
    let server = TestServer::with(limits(2, 2), Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let (send, connection) = h2::client::handshake(server.connect().await).await.unwrap();
        clients.push((send, tokio::spawn(connection)));
    }
    server.until_open(2).await;
    assert_eq!(server.ask("GET /healthz", "").await, "200 OK: ok");
}

#[tokio::test]
async fn a_new_connection_waits_when_all_are_in_use() {
    let server = TestServer::with(limits(2, 10), Config::default()).await;
    let mut used = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /test/wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        used.push(stream);
    }
    server.until_open(2).await;
    settle().await;
    let mut waiting = server.connect().await;
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    settle().await;
    assert_eq!(server.connections.len(), 2);
    assert!(waiting.try_read(&mut [0]).is_err(), "the new connection is still waiting");
    server.release.notify_one();
    assert_eq!(outcome(&rest(&mut waiting).await), "200 OK: ok");
}

#[tokio::test]
async fn connection_share_limits_peers_but_not_trusted_proxies() {
    for trusted in [false, true] {
        let mut config = Config::default();
        if trusted {
            config.server.trusted_proxies.push("127.0.0.0/8".parse().unwrap());
        }
        let server = TestServer::with(limits(10, 1), config).await;
        let mut used = server.connect().await;
        used.write_all(b"GET /test/wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        server.until_open(1).await;
        settle().await;
        let mut more = server.connect().await;
        more.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = Vec::new();
        let _ = more.read_to_end(&mut text).await;
        assert_eq!(!text.is_empty(), trusted);
    }
}

fn ask(path: &str) -> Request<Body> {
    Request::get(path).header("host", "a").body(Body::empty()).unwrap()
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("host", "a").body(body.into()).unwrap()
}

async fn outcome_of(response: Response<Body>) -> String {
    use http_body_util::BodyExt as _;
    let (head, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    outcome(&format!("{}\r\n\r\n{body}", head.status))
}

#[tokio::test]
async fn a_peer_beyond_its_share_of_requests_gets_503() {
    let server = TestServer::new().await;
    let mut under_way: Vec<_> =
        (0..PEER_REQUESTS_MAX).map(|_| Box::pin(server.answer_peer(ask("/test/wait"), 1))).collect();
    for request in &mut under_way {
        assert!(request.as_mut().now_or_never().is_none());
    }
    let refused = server.answer_peer(post("/test/length", "x"), 1).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(
        outcome_of(refused).await,
        "503 Service Unavailable: ServiceUnavailable: Too many concurrent requests from this client. Try again."
    );
    assert_eq!(outcome_of(server.answer_peer(post("/test/length", "x"), 2).await).await, "200 OK: 1");
    under_way.pop();
    assert_eq!(outcome_of(server.answer_peer(post("/test/length", "x"), 1).await).await, "200 OK: 1");
    server.release.notify_waiters();
    for answer in futures_util::future::join_all(under_way).await {
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn strangers_cannot_exhaust_the_places_of_callers() {
    let server = TestServer::new().await;
    let token = server.administrator().await;
    let peers = u8::try_from(STRANGERS_REQUESTS_MAX / PEER_REQUESTS_MAX).unwrap();
    let strangers = (0..peers).flat_map(|peer| std::iter::repeat_n(peer, PEER_REQUESTS_MAX));
    let mut under_way: Vec<_> = strangers.map(|peer| Box::pin(server.answer_peer(ask("/test/wait"), peer))).collect();
    for request in &mut under_way {
        assert!(request.as_mut().now_or_never().is_none());
    }
    let refused = outcome_of(server.answer_peer(post("/test/length", "x"), 99).await).await;
    assert_eq!(refused, "503 Service Unavailable: ServiceUnavailable: Too many concurrent requests. Try again.");
    assert_eq!(outcome_of(server.answer_peer(ask("/healthz"), 99).await).await, "200 OK: ok");
    let ready = outcome_of(server.answer_peer(ask("/readyz"), 99).await).await;
    assert_eq!(
        ready, "503 Service Unavailable: the engine is not running; restart the service",
        "this server has no engine"
    );
    for (path, status) in [("/common/oauth2/v2.0/token", 400), ("/common/oauth2/v2.0/devicecode", 400)] {
        assert_eq!(server.answer_peer(post(path, ""), 99).await.status(), status, "{path}");
    }
    assert_eq!(server.answer_peer(ask("/devicelogin"), 99).await.status(), 200);
    let mut caller = ask("/_cloudpc/apps");
    caller.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    assert_eq!(server.answer_peer(caller, 99).await.status(), 200);
}

#[tokio::test]
async fn sign_ins_have_a_pool_of_their_own_with_a_share_per_peer() {
    let server = TestServer::new().await;
    let sign_in = |peer: u8| Box::pin(server.answer_peer(post("/test/oauth2/wait", Body::empty()), peer));
    let peers = u8::try_from(SIGN_IN_REQUESTS_MAX / PEER_SIGN_IN_REQUESTS_MAX).unwrap();
    let mut under_way = Vec::new();
    for peer in 0..peers {
        for _ in 0..PEER_SIGN_IN_REQUESTS_MAX {
            let mut request = sign_in(peer);
            assert!(request.as_mut().now_or_never().is_none());
            under_way.push(request);
        }
        let refused = outcome_of(sign_in(peer).await).await;
        assert!(refused.ends_with("Too many concurrent requests from this client. Try again."), "{refused}");
    }
    let refused = outcome_of(sign_in(peers).await).await;
    assert_eq!(refused, "503 Service Unavailable: ServiceUnavailable: Too many concurrent requests. Try again.");
    assert_eq!(outcome_of(server.answer_peer(post("/test/length", "x"), 1).await).await, "200 OK: 1");
}

#[tokio::test]
async fn incomplete_requests_do_not_block_others() {
    let server = TestServer::with(limits(3, 10), Config::default()).await;
    let mut stalled = Vec::new();
    for partial in [
        "POST /common/oauth2/v2.0/token HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\na",
        "POST /beta/$batch HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\na",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nx-slow: ",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(partial.as_bytes()).await.unwrap();
        stalled.push(stream);
    }
    server.until_open(3).await;
    settle().await;
    assert_eq!(server.ask("GET /healthz", "").await, "200 OK: ok");
}

#[tokio::test]
async fn a_change_keeps_its_place_after_its_client_disconnects() {
    let server = TestServer::new().await;
    let strangers = &server.edge.strangers;
    let free = || (strangers.requests.free(), strangers.body_bytes.free());
    let mut response = Box::pin(server.answer_peer(post("/test/wait", "x"), 1));
    assert!(response.as_mut().now_or_never().is_none());
    drop(response);
    settle().await;
    let bytes = "host".len() + "a".len() + "x".len();
    assert_eq!(free(), (STRANGERS_REQUESTS_MAX - 1, STRANGERS_BODIES_BYTES_MAX - bytes));
    server.release.notify_waiters();
    settle().await;
    assert_eq!(free(), (STRANGERS_REQUESTS_MAX, STRANGERS_BODIES_BYTES_MAX));
}

#[tokio::test]
async fn a_read_only_batch_is_cancelled_with_its_client() {
    let server = TestServer::new().await;
    let token = server.administrator().await;
    let requests = &server.edge.callers.requests;
    for (methods, left) in [(["get", "GET"], 0), (["GET", "POST"], 1)] {
        let item = |(id, method)| serde_json::json!({"id": id, "method": method, "url": "/deviceManagement/virtualEndpoint/cloudPCs"});
        let items: Vec<_> = ["a", "b"].into_iter().zip(methods).map(item).collect();
        let mut batch = post("/beta/$batch", serde_json::json!({"requests": items}).to_string());
        batch.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        batch.headers_mut().insert("content-type", "application/json".parse().unwrap());
        let mut response = Box::pin(server.answer_peer(batch, 1));
        while requests.free() == CALLERS_REQUESTS_MAX {
            assert!(response.as_mut().now_or_never().is_none(), "the batch has not finished");
            tokio::task::yield_now().await;
        }
        drop(response);
        assert_eq!(CALLERS_REQUESTS_MAX - requests.free(), left, "{methods:?}");
        settle().await;
        assert_eq!(requests.free(), CALLERS_REQUESTS_MAX);
    }
}

/// A body that stalls after this many bytes.
fn stalled(bytes: usize) -> Body {
    let some = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![FILLING; bytes]))]);
    Body::from_stream(futures_util::StreamExt::chain(some, futures_util::stream::pending()))
}

#[tokio::test]
async fn slow_senders_do_not_block_others() {
    let server = TestServer::new().await;
    let slow = |_| Box::pin(server.answer_peer(post("/test/length", stalled(0)), 1));
    let mut slow: Vec<_> = (0..=PEER_REQUESTS_MAX).map(slow).collect();
    for request in &mut slow {
        assert!(request.as_mut().now_or_never().is_none());
    }
    assert_eq!(outcome_of(server.answer_peer(ask("/healthz"), 1).await).await, "200 OK: ok");
}

#[tokio::test]
async fn endless_bodies_use_up_only_their_peers_share() {
    let server = TestServer::new().await;
    let slow = |_| Box::pin(server.answer_peer(post("/test/length", stalled(STRANGER_BODY_BYTES_MAX)), 1));
    // The heads count too.
    let mut slow: Vec<_> = (1..PEER_BODIES_BYTES_MAX / STRANGER_BODY_BYTES_MAX).map(slow).collect();
    for request in &mut slow {
        assert!(request.as_mut().now_or_never().is_none());
    }
    let large = || post("/test/length", vec![FILLING; STRANGER_BODY_BYTES_MAX]);
    assert_eq!(
        outcome_of(server.answer_peer(large(), 1).await).await,
        "503 Service Unavailable: ServiceUnavailable: Too many large concurrent request bodies from this client. Try again."
    );
    assert_eq!(outcome_of(server.answer_peer(large(), 2).await).await, format!("200 OK: {STRANGER_BODY_BYTES_MAX}"));
    let mut caller = post("/_cloudpc/test/length", "x");
    let token = server.administrator().await;
    caller.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    assert_eq!(outcome_of(server.answer_peer(caller, 1).await).await, "200 OK: 1");
    drop(slow);
    assert_eq!(server.edge.strangers.body_bytes.free(), STRANGERS_BODIES_BYTES_MAX, "all bytes are returned");
}

#[tokio::test]
async fn large_heads_count_in_their_peers_share() {
    let server = TestServer::new().await;
    let slow = |_| {
        let mut request = post("/test/length", stalled(0));
        request.headers_mut().insert("x", "1".repeat(HEADER_BYTES_MAX - 1024).parse().unwrap());
        Box::pin(server.answer_peer(request, 1))
    };
    let mut slow: Vec<_> = (0..=PEER_BODIES_BYTES_MAX / (HEADER_BYTES_MAX - 1024)).map(slow).collect();
    let answered = slow.iter_mut().filter_map(|request| request.as_mut().now_or_never()).count();
    assert_eq!(answered, 1, "the last request exceeds the share");
}

#[tokio::test]
async fn a_token_revoked_while_the_body_arrives_is_rejected() {
    let server = TestServer::new().await;
    let token = server.administrator().await;
    let (send, body) = tokio::sync::mpsc::channel(1);
    let body = futures_util::stream::unfold(body, async |mut body| Some((body.recv().await?, body)));
    let mut request = post("/_cloudpc/apps", Body::from_stream(body));
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let mut response = Box::pin(server.answer_peer(request, 1));
    while server.edge.callers.body_bytes.free() == CALLERS_BODIES_BYTES_MAX {
        assert!(response.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    server.edge.app.identity.rotate_keys(crate::identity::OldKeys::Drop).await.unwrap();
    send.send(Ok::<_, std::io::Error>(Bytes::from("{}"))).await.unwrap();
    drop(send);
    assert_eq!(response.await.status(), 401);
}

#[tokio::test]
async fn a_callers_share_of_bodies_spans_all_its_peers() {
    let server = TestServer::new().await;
    let token = server.administrator().await;
    let send = |body: Body, peer: u8| {
        let mut request = post("/_cloudpc/test/length", body);
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        Box::pin(server.answer_peer(request, peer))
    };
    let count = u8::try_from(CALLER_BODIES_BYTES_MAX / BODY_BYTES_MAX).unwrap();
    let mut slow: Vec<_> = (1..count).map(|peer| send(stalled(BODY_BYTES_MAX), peer)).collect();
    for request in &mut slow {
        // The token is first checked against the store.
        while server.edge.callers.body_bytes.free() == CALLERS_BODIES_BYTES_MAX {
            assert!(request.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        assert!(request.as_mut().now_or_never().is_none());
    }
    assert_eq!(
        outcome_of(send(vec![FILLING; BODY_BYTES_MAX].into(), 200).await).await,
        "503 Service Unavailable: ServiceUnavailable: Too many large concurrent request bodies from this client. Try again."
    );
}

#[tokio::test]
async fn a_client_must_read_its_response_in_time() {
    const BYTES: usize = 64 * 1024 * 1024;
    let server = TestServer::new().await;
    let clock = StandingClock::new();
    let request = format!("GET /test/large/{BYTES} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (mut slow, mut silent) = (server.connect().await, server.connect().await);
    for stream in [&mut slow, &mut silent] {
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    server.until_open(2).await;
    settle().await;
    // One client reads slowly, but within the limits.
    for _ in 0..3 {
        clock.advance(WRITE_TIME_MAX / 2).await;
        let mut some = vec![0; BYTES / 8];
        slow.read_exact(&mut some).await.unwrap();
        settle().await;
    }
    server.until_open(1).await;
    assert!(rest(&mut slow).await.len() > BYTES / 2);
}

#[tokio::test]
async fn a_client_below_the_minimum_rate_is_disconnected() {
    const BYTES: usize = 1024 * 1024;
    let server = TestServer::new().await;
    let edge = Arc::clone(&server.edge);
    // A socket would buffer megabytes.
    let (mut slow, service) = tokio::io::duplex(PIECE_BYTES_MAX);
    tokio::spawn(async move { listen::serve_http(&edge, service, arrival(1), &Arc::default()).await });
    let clock = StandingClock::new();
    let request = format!("GET /test/large/{BYTES} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    slow.write_all(request.as_bytes()).await.unwrap();
    let (mut taken, mut some) = (0, vec![0; PIECE_BYTES_MAX]);
    loop {
        settle().await;
        match slow.read(&mut some).await.unwrap() {
            0 => break,
            bytes => taken += bytes,
        }
        clock.advance(WRITE_TIME_MAX / 4).await;
    }
    assert!(taken > 2 * PIECE_BYTES_MAX && taken < BYTES / 2, "each piece was read in time: {taken}");
    settle().await;
    assert_eq!(server.edge.strangers.requests.free(), STRANGERS_REQUESTS_MAX);
}
