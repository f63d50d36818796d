//! What a stop does to connections.

use super::*;

#[tokio::test]
async fn a_stop_lets_requests_end_and_nothing_begin() {
    let world = TestServer::new().await;
    let mut idle = world.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut idle).await.ends_with("ok"));
    let mut silent = world.connect().await;
    let mut shaking = TcpStream::connect(world.secured).await.unwrap();
    let mut waiting = world.connect().await;
    waiting.write_all(b"GET /test/wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut sending = world.connect().await;
    sending.write_all(b"POST /test/length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell").await.unwrap();
    world.until_open(5).await;
    settle().await;

    world.stop.cancel();
    for stream in [&mut idle, &mut silent, &mut shaking] {
        assert_eq!(rest(stream).await, "");
    }
    settle().await;
    assert!(TcpStream::connect(world.plain).await.is_err(), "nobody listens any more");
    assert_eq!(
        told(&rest(&mut sending).await),
        "503 Service Unavailable: ServiceUnavailable: The server stops, and the body was not complete; send the request again.",
        "what has not arrived by then is not waited for"
    );
    world.until_open(1).await;
    world.go_on.notify_one();
    let last = rest(&mut waiting).await;
    assert_eq!(told(&last), "200 OK: gone on");
    assert!(last.contains("connection: close"), "{last}");
    world.until_open(0).await;
}

#[tokio::test]
async fn an_http2_client_is_told_that_this_is_the_end() {
    let world = TestServer::new().await;
    let stream = world.secure("localhost", &["h2"]).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/test/wait").body(()).unwrap();
    let (answer, _) = send.send_request(request, true).unwrap();
    settle().await;
    world.stop.cancel();
    settle().await;
    world.go_on.notify_one();
    assert_eq!(answer.await.unwrap().status(), 200);
    drop(send);
    connection.await.unwrap().unwrap();
    world.until_open(0).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_heads_and_for_what_is_refused() {
    let world = TestServer::new().await;
    let clock = StandingClock::new();
    let mut later = world.connect().await;
    later.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut later).await.ends_with("ok"));
    let mut open = vec![later];
    for begun in [
        "GET /heal",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nx-slow: ",
        "POST /test/length HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nx",
        "POST /beta/$batch HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
    ] {
        let mut stream = world.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        open.push(stream);
    }
    open[0].write_all(b"GET /healthz HT").await.unwrap();
    world.until_open(5).await;
    settle().await;
    world.stop.cancel();
    settle().await;
    clock.advance(CLOSE_TIME_MAX).await;
    settle().await;
    clock.advance(CLOSE_TIME_MAX).await;
    world.until_open(0).await;
}
