//! Tests of TLS: certificates, protocol negotiation, and clients that do not use TLS.

use super::*;

const REQUEST: &[u8] = b"GET /beta/nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_client_that_trusts_the_authority_can_connect() {
    let server = TestServer::new().await;
    for (offered, chosen) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let mut stream = server.secure("localhost", offered).await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
        assert_eq!(agreed.as_deref(), chosen);
        if chosen != Some("h2") {
            stream.write_all(REQUEST).await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
            assert!(answer.contains("authorization_uri=\"https://localhost/common/"), "{answer}");
        }
    }
    assert!(server.secure("localhost", &["spdy/3"]).await.is_err(), "no common protocol");
}

#[tokio::test]
async fn the_certificate_is_not_valid_for_other_names() {
    let server = TestServer::new().await;
    for name in ["graph.microsoft.us", "microsoft.com", "evil.test"] {
        let refused = server.secure(name, &[]).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("not valid for name \"{name}\"")), "{refused}");
    }
    assert!(server.secure("localhost", &[]).await.is_ok(), "other clients are still served");
}

#[tokio::test]
async fn names_of_microsoft_are_served_over_tls_only_and_links_speak_of_them() {
    let server = TestServer::new().await;
    let ask = async |name: &str, host: &str, path: &str| {
        let mut stream = server.secure(name, &[]).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    };
    for name in cloudpc_identity::well_known::HOSTS {
        let answer = ask(name, name, "/beta/nowhere").await;
        assert!(answer.contains(&format!("authorization_uri=\"https://{name}/common/")), "{answer}");
    }
    let discovery = ask(
        "login.microsoftonline.com",
        "login.microsoftonline.com",
        "/common/discovery/instance?authorization_endpoint=https://login.microsoftonline.com/common/oauth2/authorize",
    );
    let discovery = discovery.await;
    assert!(
        discovery.contains("https://login.microsoftonline.com/common/.well-known/openid-configuration"),
        "{discovery}"
    );
    let plain = server.exchange("GET /beta HTTP/1.1\r\nHost: graph.microsoft.com\r\nConnection: close\r\n\r\n").await;
    assert!(plain.starts_with("HTTP/1.1 421 "), "{plain}");
}

#[tokio::test]
async fn azure_resource_manager_has_no_subscriptions_and_answers_at_its_own_name_only() {
    let server = TestServer::new().await;
    let mut outcomes = Vec::new();
    for (host, path) in [
        ("management.azure.com", "/tenants?api-version=2022-12-01"),
        ("management.azure.com", "/subscriptions?api-version=2022-12-01"),
        ("management.azure.com", "/providers"),
        ("graph.microsoft.com", "/subscriptions"),
    ] {
        let mut stream = server.secure(host, &[]).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        outcomes.push(format!("{host}{path} -> {}", outcome(&rest(&mut stream).await)));
    }
    insta::assert_snapshot!(outcomes.join("\n"), @r#"
    management.azure.com/tenants?api-version=2022-12-01 -> 200 OK: {"value":[]}
    management.azure.com/subscriptions?api-version=2022-12-01 -> 200 OK: {"value":[]}
    management.azure.com/providers -> 404 Not Found: ResourceNotFound: No resource at /providers. Graph is below /v1.0 and /beta.
    graph.microsoft.com/subscriptions -> 404 Not Found: ResourceNotFound: No resource at /subscriptions. Graph is below /v1.0 and /beta.
    "#);
}

#[tokio::test]
async fn plain_http_on_the_https_port_gets_an_error() {
    let server = TestServer::new().await;
    let mut outcomes = Vec::new();
    for request in [REQUEST.to_vec(), [REQUEST, &vec![FILLING; 5 * 1024 * 1024]].concat()] {
        let mut stream = TcpStream::connect(server.secured).await.unwrap();
        stream.write_all(&request).await.unwrap();
        outcomes.push(outcome(&rest(&mut stream).await));
    }
    assert_eq!(outcomes[0], outcomes[1], "also for a client that sends everything before it reads");
    insta::assert_snapshot!(outcomes[0], @"400 Bad Request: BadRequest: This port serves HTTPS, but the request came without TLS. Use an https URL.");
}

#[tokio::test]
async fn tls_on_the_http_port_is_closed_at_once() {
    let server = TestServer::new().await;
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00];
    assert_eq!(server.exchange(hello).await, "");
}

#[tokio::test]
async fn a_handshake_must_finish_in_time() {
    let server = TestServer::new().await;
    let clock = StandingClock::new();
    for partial in [&[][..], &[0x16, 0x03, 0x01, 0x02, 0x00]] {
        let mut stream = TcpStream::connect(server.secured).await.unwrap();
        stream.write_all(partial).await.unwrap();
        server.until_open(1).await;
        settle().await;
        clock.advance(HANDSHAKE_TIME_MAX - Duration::from_secs(1)).await;
        settle().await;
        assert_eq!(server.connections.len(), 1);
        clock.advance(Duration::from_secs(2)).await;
        server.until_open(0).await;
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test]
async fn the_authority_survives_restarts_and_malformed_files_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let start = || server_config(directory.path(), &["localhost".into()], SystemClock.now(), &SeededRng::new(1));
    let authority = || std::fs::read(directory.path().join(AUTHORITY_FILE)).unwrap();
    start().unwrap();
    let first = authority();
    start().unwrap();
    assert_eq!(authority(), first);

    let message = |error: TlsError| error.to_string().replace(directory.path().to_str().unwrap(), "<data>");
    std::fs::write(directory.path().join("ca-key.pem"), "").unwrap();
    insta::assert_snapshot!(message(start().unwrap_err()), @"invalid certificate authority file <data>/ca-key.pem (PEM error: malformedframing); delete ca.pem and ca-key.pem to create a new authority, which clients must then trust");
    std::fs::remove_file(directory.path().join("ca-key.pem")).unwrap();
    insta::assert_snapshot!(message(start().unwrap_err()), @"<data>/ca-key.pem cannot be used: No such file or directory (os error 2)");
    // The remedy in the message works.
    std::fs::remove_file(directory.path().join(AUTHORITY_FILE)).unwrap();
    start().unwrap();
    assert_ne!(authority(), first);
}
