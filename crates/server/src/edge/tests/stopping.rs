//! Tests of graceful shutdown.

use super::*;

#[tokio::test]
async fn shutdown_completes_open_requests_and_accepts_no_new_ones() {
    let server = TestServer::new().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut idle).await.ends_with("ok"));
    let mut silent = server.connect().await;
    let mut shaking = TcpStream::connect(server.secured).await.unwrap();
    let mut waiting = server.connect().await;
    waiting.write_all(b"GET /test/wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut sending = server.connect().await;
    sending.write_all(b"POST /test/length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell").await.unwrap();
    server.until_open(5).await;
    settle().await;

    server.stop.cancel();
    for stream in [&mut idle, &mut silent, &mut shaking] {
        assert_eq!(rest(stream).await, "");
    }
    settle().await;
    assert!(TcpStream::connect(server.plain).await.is_err(), "the listen socket is closed");
    assert_eq!(
        outcome(&rest(&mut sending).await),
        "503 Service Unavailable: ServiceUnavailable: The server is shutting down before the body was complete. Send the request again.",
        "a request with an incomplete body is refused"
    );
    server.until_open(1).await;
    server.release.notify_one();
    let last = rest(&mut waiting).await;
    assert_eq!(outcome(&last), "200 OK: released");
    assert!(last.contains("connection: close"), "{last}");
    server.until_open(0).await;
}

#[tokio::test]
async fn shutdown_sends_goaway_to_http2_clients() {
    let server = TestServer::new().await;
    let stream = server.secure("localhost", &["h2"]).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/test/wait").body(()).unwrap();
    let (answer, _) = send.send_request(request, true).unwrap();
    settle().await;
    server.stop.cancel();
    settle().await;
    server.release.notify_one();
    assert_eq!(answer.await.unwrap().status(), 200);
    drop(send);
    connection.await.unwrap().unwrap();
    server.until_open(0).await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_incomplete_heads_or_refused_bodies() {
    let server = TestServer::new().await;
    let clock = StandingClock::new();
    let mut later = server.connect().await;
    later.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut later).await.ends_with("ok"));
    let mut open = vec![later];
    for partial in [
        "GET /heal",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nx-slow: ",
        "POST /test/length HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nx",
        "POST /beta/$batch HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(partial.as_bytes()).await.unwrap();
        open.push(stream);
    }
    open[0].write_all(b"GET /healthz HT").await.unwrap();
    server.until_open(5).await;
    settle().await;
    server.stop.cancel();
    settle().await;
    clock.advance(CLOSE_TIME_MAX).await;
    settle().await;
    clock.advance(CLOSE_TIME_MAX).await;
    server.until_open(0).await;
}
