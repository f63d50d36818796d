//! More than there is room for: connections, requests, bodies, and clients that do not take their answers.

use super::*;
use crate::edge::listen::WRITE_TIME_MAX;

#[tokio::test]
async fn more_connections_than_there_may_be_wait_their_turn() {
    const CONNECTIONS: usize = 3;
    let world = World::with_connections(CONNECTIONS).await;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(world.connect().await);
    }
    world.until_open(CONNECTIONS).await;
    let mut waiting = world.connect().await;
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    settle().await;
    assert_eq!(world.connections.len(), CONNECTIONS);
    assert!(waiting.try_read(&mut [0]).is_err(), "it is not answered yet");
    open.pop();
    assert_eq!(told(&rest(&mut waiting).await), "200 OK: ok");
}

#[tokio::test]
async fn more_requests_than_there_may_be_are_told_to_come_again() {
    let world = World::new().await;
    let ask = |path: &str| Request::get(path).header("host", "a").body(Body::empty()).unwrap();
    let mut under_way: Vec<_> =
        (0..REQUESTS_MAX).map(|_| Box::pin(world.edge.answer(ask("/test/wait"), Scheme::Http))).collect();
    for request in &mut under_way {
        assert!(request.as_mut().now_or_never().is_none());
    }
    let refused = world.exchange("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(told(&refused), "503 Service Unavailable: ServiceUnavailable: Too many requests at once; try again.");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    under_way.pop();
    assert_eq!(world.ask("GET /healthz", "").await, "200 OK: ok");
    world.go_on.notify_waiters();
    for answer in futures_util::future::join_all(under_way).await {
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn a_change_whose_client_has_gone_still_takes_its_place() {
    let world = World::new().await;
    let change = || Request::post("/test/wait").header("host", "a").body(Body::from("x")).unwrap();
    let free = || (world.edge.requests.available_permits(), world.edge.body_bytes.available_permits());
    let mut asked = Box::pin(world.edge.answer(change(), Scheme::Http));
    assert!(asked.as_mut().now_or_never().is_none());
    drop(asked);
    settle().await;
    assert_eq!(free(), (REQUESTS_MAX - 1, BODIES_BYTES_MAX - 1));
    world.go_on.notify_waiters();
    settle().await;
    assert_eq!(free(), (REQUESTS_MAX, BODIES_BYTES_MAX));
}

#[tokio::test]
async fn clients_that_send_slowly_keep_nobody_else_out() {
    let world = World::new().await;
    let slow = || {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let request = Request::post("/test/length").header("host", "a").body(Body::from_stream(never));
        Box::pin(world.edge.answer(request.unwrap(), Scheme::Http))
    };
    let mut slow: Vec<_> = (0..=REQUESTS_MAX).map(|_| slow()).collect();
    for request in &mut slow {
        assert!(request.as_mut().now_or_never().is_none());
    }
    assert_eq!(world.ask("GET /healthz", "").await, "200 OK: ok");
}

#[tokio::test]
async fn bodies_hold_no_more_memory_than_there_is_for_them() {
    let world = World::new().await;
    let held = u32::try_from(BODIES_BYTES_MAX - 10).unwrap();
    let held = world.edge.body_bytes.try_acquire_many(held).unwrap();
    let post = async |bytes: usize| {
        let body = "x".repeat(bytes);
        world.ask("POST /test/length", &format!("Content-Length: {bytes}\r\n\r\n{body}")).await
    };
    assert_eq!(post(10).await, "200 OK: 10");
    assert_eq!(post(11).await, "503 Service Unavailable: ServiceUnavailable: Too many large bodies at once.");
    assert_eq!(world.ask("GET /healthz", "").await, "200 OK: ok", "one without a body needs none");
    drop(held);
    assert_eq!(post(11).await, "200 OK: 11");
    assert_eq!(world.edge.body_bytes.available_permits(), BODIES_BYTES_MAX, "all of it is given back");
}

#[tokio::test]
async fn a_client_has_to_take_its_answer_in_time() {
    const BYTES: usize = 64 * 1024 * 1024;
    let world = World::new().await;
    let clock = StandingClock::new();
    let request = format!("GET /test/large/{BYTES} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (mut slow, mut silent) = (world.connect().await, world.connect().await);
    for stream in [&mut slow, &mut silent] {
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    world.until_open(2).await;
    settle().await;
    // One takes a little of it now and then, which is slow but honest.
    for _ in 0..3 {
        clock.advance(WRITE_TIME_MAX / 2).await;
        let mut some = vec![0; BYTES / 8];
        slow.read_exact(&mut some).await.unwrap();
        settle().await;
    }
    world.until_open(1).await;
    assert!(rest(&mut slow).await.len() > BYTES / 2);
}
