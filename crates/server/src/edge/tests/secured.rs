//! TLS: who is believed, what is spoken, and what happens to those who do not speak it.

use super::*;

const REQUEST: &[u8] = b"GET /beta/nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_answered() {
    let world = TestServer::new().await;
    for (offered, chosen) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let mut stream = world.secure("localhost", offered).await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
        assert_eq!(agreed.as_deref(), chosen);
        if chosen != Some("h2") {
            stream.write_all(REQUEST).await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
            assert!(answer.contains("authorization_uri=\"https://localhost/common/"), "{answer}");
        }
    }
    assert!(world.secure("localhost", &["spdy/3"]).await.is_err(), "nothing that both speak");
}

#[tokio::test]
async fn a_client_that_expects_another_name_goes_away() {
    let world = TestServer::new().await;
    let refused = world.secure("graph.microsoft.com", &[]).await.unwrap_err().to_string();
    assert!(refused.contains("not valid for name \"graph.microsoft.com\""), "{refused}");
    assert!(world.secure("localhost", &[]).await.is_ok(), "and others are served as before");
}

#[tokio::test]
async fn plain_http_on_the_secured_port_is_told_so() {
    let world = TestServer::new().await;
    let mut told_so = Vec::new();
    for request in [REQUEST.to_vec(), [REQUEST, &vec![FILLING; 5 * 1024 * 1024]].concat()] {
        let mut stream = TcpStream::connect(world.secured).await.unwrap();
        stream.write_all(&request).await.unwrap();
        told_so.push(told(&rest(&mut stream).await));
    }
    assert_eq!(told_so[0], told_so[1], "however much the client sends before it looks");
    insta::assert_snapshot!(told_so[0], @"400 Bad Request: BadRequest: This port speaks HTTPS, and the request came without TLS; use an https address.");
}

#[tokio::test]
async fn tls_on_the_plain_port_ends_at_once() {
    let world = TestServer::new().await;
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00];
    assert_eq!(world.exchange(hello).await, "");
}

#[tokio::test]
async fn a_handshake_has_to_come_in_time() {
    let world = TestServer::new().await;
    let clock = StandingClock::new();
    for begun in [&[][..], &[0x16, 0x03, 0x01, 0x02, 0x00]] {
        let mut stream = TcpStream::connect(world.secured).await.unwrap();
        stream.write_all(begun).await.unwrap();
        world.until_open(1).await;
        settle().await;
        clock.advance(HANDSHAKE_TIME_MAX - Duration::from_secs(1)).await;
        settle().await;
        assert_eq!(world.connections.len(), 1);
        clock.advance(Duration::from_secs(2)).await;
        world.until_open(0).await;
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test]
async fn the_authority_outlives_a_start_and_says_when_it_is_broken() {
    let directory = tempfile::tempdir().unwrap();
    let start = || server_config(directory.path(), &["localhost".into()], SystemClock.now(), &SeededRng::new(1));
    let authority = || std::fs::read(directory.path().join(AUTHORITY_FILE)).unwrap();
    start().unwrap();
    let first = authority();
    start().unwrap();
    assert_eq!(authority(), first);

    let told = |error: TlsError| error.to_string().replace(directory.path().to_str().unwrap(), "<data>");
    std::fs::write(directory.path().join("ca-key.pem"), "").unwrap();
    insta::assert_snapshot!(told(start().unwrap_err()), @"<data>/ca-key.pem does not hold what was written there (PEM error: malformedframing); delete ca.pem and ca-key.pem to make a new authority, which clients have to trust anew");
    std::fs::remove_file(directory.path().join("ca-key.pem")).unwrap();
    insta::assert_snapshot!(told(start().unwrap_err()), @"<data>/ca-key.pem cannot be used: No such file or directory (os error 2)");
    // What the message says helps.
    std::fs::remove_file(directory.path().join(AUTHORITY_FILE)).unwrap();
    start().unwrap();
    assert_ne!(authority(), first);
}
