//! Tests of request lines and headers: size limits, time limits and malformed input.

use super::*;
use crate::request::CLIENT_REQUEST_ID_BYTES_MAX;

/// Limit of headers of an HTTP/1.1 request: the HTTP library's default, which is its fastest
/// setting.
const HEADERS_MAX: usize = 100;

#[tokio::test]
async fn a_url_beyond_its_limit_gets_414() {
    let server = TestServer::new().await;
    let path = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
    let at_limit = server.ask(&format!("GET {}", path(URL_BYTES_MAX)), "").await;
    assert!(at_limit.starts_with("404 Not Found: ResourceNotFound"), "{at_limit}");
    let over = server.ask(&format!("GET {}", path(URL_BYTES_MAX + 1)), "").await;
    assert_eq!(over, "414 URI Too Long: RequestUriTooLong: The path and query are longer than 16384 bytes.");
    // The client reads the response, however long its URL is.
    for megabytes in [1, 10] {
        assert_eq!(server.ask(&format!("GET {}", path(megabytes * 1024 * 1024)), "").await, over);
    }
    // The limit applies to later requests of a connection too.
    let mut stream = server.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("ok"));
    let second = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(URL_BYTES_MAX + 1));
    stream.write_all(second.as_bytes()).await.unwrap();
    assert_eq!(outcome(&answer(&mut stream).await), over);
}

#[tokio::test]
async fn headers_beyond_their_limits_get_431() {
    let server = TestServer::new().await;
    // The count includes Host and Connection.
    let many = |count: usize| (2..count).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    assert_eq!(server.ask("GET /healthz", &many(HEADERS_MAX)).await, "200 OK: ok");
    for count in [HEADERS_MAX + 1, 1_000] {
        assert_eq!(server.ask("GET /healthz", &many(count)).await, "431 Request Header Fields Too Large: ");
    }
    let large = |bytes: usize| format!("x: {}\r\n", "1".repeat(bytes));
    assert_eq!(server.ask("GET /healthz", &large(HEADER_BYTES_MAX - 1024)).await, "200 OK: ok");
    let over = server.ask("GET /healthz", &large(HEADER_BYTES_MAX)).await;
    assert_eq!(over, "431 Request Header Fields Too Large: ");
}

#[tokio::test]
async fn a_head_must_arrive_in_time() {
    let server = TestServer::new().await;
    let clock = StandingClock::new();
    for partial in ["", "GET /healthz HT", "GET /healthz HTTP/1.1\r\nHost: a\r\nx-slow: "] {
        let mut stream = server.connect().await;
        stream.write_all(partial.as_bytes()).await.unwrap();
        server.until_open(1).await;
        settle().await;
        clock.advance(HEADER_TIME_MAX - Duration::from_secs(1)).await;
        settle().await;
        assert_eq!(server.connections.len(), 1, "{partial:?} still has time");
        clock.advance(Duration::from_secs(2)).await;
        server.until_open(0).await;
        assert_eq!(rest(&mut stream).await, "", "{partial:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = TestServer::new().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("ok"));
    let clock = StandingClock::new();
    settle().await;
    clock.advance(HEADER_TIME_MAX + Duration::from_secs(1)).await;
    server.until_open(0).await;
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn links_use_the_scheme_and_host_of_a_trusted_proxy() {
    for (trusted, believed) in [(None, false), (Some("192.0.2.0/24"), false), (Some("127.0.0.0/8"), true)] {
        let mut config = Config::default();
        config.server.trusted_proxies.extend(trusted.map(|network| network.parse::<ipnet::IpNet>().unwrap()));
        let server = TestServer::with(EdgeLimits::default(), config).await;
        for (forwarded, base) in [
            ("", "http://pc.test"),
            ("X-Forwarded-Proto: http\r\n", "http://pc.test"),
            ("X-Forwarded-Proto: gopher\r\n", "http://pc.test"),
            ("X-Forwarded-Proto: http, https\r\n", "http://pc.test"),
            ("X-Forwarded-Proto: https\r\n", "https://pc.test"),
            ("x-forwarded-proto: HTTPS, http\r\n", "https://pc.test"),
            ("X-Forwarded-Host: cloudpc.test:8443\r\n", "http://cloudpc.test:8443"),
        ] {
            let base = if believed { base } else { "http://pc.test" };
            let request = format!(
                "GET /common/v2.0/.well-known/openid-configuration HTTP/1.1\r\nHost: pc.test\r\n{forwarded}Connection: close\r\n\r\n"
            );
            let answer = server.exchange(&request).await;
            assert!(
                answer.contains(&format!("\"{base}/common/oauth2/v2.0/token\"")),
                "{trusted:?} {forwarded}{answer}"
            );
        }
    }
}

#[tokio::test]
async fn an_unknown_host_gets_421() {
    let server = TestServer::new().await;
    for path in ["/", "/healthz", "/devicelogin", "/beta/$metadata", "/common/oauth2/v2.0/token"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: rebind.evil.test:8365\r\nConnection: close\r\n\r\n");
        let answer = server.exchange(request).await;
        assert!(answer.contains("\r\nrequest-id: "), "{answer}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(outcome(&answer), @"421 Misdirected Request: MisdirectedRequest: The host 'rebind.evil.test' is not a name of this server. Use localhost, an IP address, the machine's hostname or a name in server.names. To serve this host, add it to server.names in the configuration file.");
        }
    }
    for host in ["127.0.0.1:1", "[::1]", "192.0.2.200", "LOCALHOST.:2", "Pc.Test"] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(outcome(&server.exchange(request).await), "200 OK: ok", "{host}");
    }
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let server = TestServer::new().await;
    let mut table = String::new();
    for (what, request) in [
        ("HTTP/1.0 without a host", "GET /healthz HTTP/1.0\r\n\r\n"),
        ("HTTP/1.0", "GET /healthz HTTP/1.0\r\nHost: a\r\n\r\n"),
        ("no host", "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"),
        ("two hosts", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"),
        ("a host with a user", "GET /healthz HTTP/1.1\r\nHost: evil@a\r\nConnection: close\r\n\r\n"),
        ("a host that is markup", "GET /healthz HTTP/1.1\r\nHost: a<b>\r\nConnection: close\r\n\r\n"),
        ("an absolute address", "GET http://other.test/healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ("OPTIONS of the server", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ("OPTIONS", "OPTIONS /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ("TRACE", "TRACE /healthz HTTP/1.1\r\nHost: a\r\nx-secret: 1\r\nConnection: close\r\n\r\n"),
        ("TRACE of Graph", "TRACE /beta/me HTTP/1.1\r\nHost: a\r\nx-secret: 1\r\nConnection: close\r\n\r\n"),
        ("CONNECT", "CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\nConnection: close\r\n\r\n"),
        ("no such method", "BREW /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ("no such version", "GET /healthz HTTP/3.0\r\nHost: a\r\n\r\n"),
        ("no such protocol", "hello\r\n\r\n"),
        ("a folded header", "GET /healthz HTTP/1.1\r\nHost: a\r\nx: 1\r\n 2\r\nConnection: close\r\n\r\n"),
        ("a blank before the colon", "GET /healthz HTTP/1.1\r\nHost: a\r\nx : 1\r\nConnection: close\r\n\r\n"),
        ("a zero in a header", "GET /healthz HTTP/1.1\r\nHost: a\r\nx: \0\r\nConnection: close\r\n\r\n"),
        ("a blank in the path", "GET /health z HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ("dots in the path", "GET /beta/../healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ("a zero in the path", "GET /beta/%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        (
            "no text in the path",
            "GET /%ff%fe/v2.0/.well-known/openid-configuration HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ),
        ("nothing there", "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ("the root", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ] {
        let answer = server.exchange(request).await;
        assert!(!answer.contains("secret"), "{answer}");
        table += &format!("{what} -> {}\n", outcome(&answer));
    }
    insta::assert_snapshot!(table, @"
    HTTP/1.0 without a host -> HTTP/1.0 400 Bad Request: BadRequest: The Host header is missing, repeated or malformed. Expected one HOST:PORT.
    HTTP/1.0 -> HTTP/1.0 200 OK: ok
    no host -> 400 Bad Request: BadRequest: The Host header is missing, repeated or malformed. Expected one HOST:PORT.
    two hosts -> 400 Bad Request: BadRequest: The Host header is missing, repeated or malformed. Expected one HOST:PORT.
    a host with a user -> 400 Bad Request: BadRequest: The Host header is missing, repeated or malformed. Expected one HOST:PORT.
    a host that is markup -> 400 Bad Request: BadRequest: The Host header is missing, repeated or malformed. Expected one HOST:PORT.
    an absolute address -> 421 Misdirected Request: MisdirectedRequest: The host 'other.test' is not a name of this server. Use localhost, an IP address, the machine's hostname or a name in server.names. To serve this host, add it to server.names in the configuration file.
    OPTIONS of the server -> 404 Not Found: ResourceNotFound: No resource at *. Graph is below /v1.0 and /beta.
    OPTIONS -> 405 Method Not Allowed: Request_BadRequest: The method OPTIONS is not allowed at /healthz.
    TRACE -> 405 Method Not Allowed: Request_BadRequest: The method TRACE is not allowed at /healthz.
    TRACE of Graph -> 401 Unauthorized: InvalidAuthenticationToken: Access token is empty: the Authorization header is missing.
    CONNECT -> 421 Misdirected Request: MisdirectedRequest: The host 'other.test' is not a name of this server. Use localhost, an IP address, the machine's hostname or a name in server.names. To serve this host, add it to server.names in the configuration file.
    no such method -> 405 Method Not Allowed: Request_BadRequest: The method BREW is not allowed at /healthz.
    no such version -> 400 Bad Request: 
    no such protocol -> 400 Bad Request: 
    a folded header -> 400 Bad Request: 
    a blank before the colon -> 400 Bad Request: 
    a zero in a header -> 400 Bad Request: 
    a blank in the path -> 400 Bad Request: 
    dots in the path -> 401 Unauthorized: InvalidAuthenticationToken: Access token is empty: the Authorization header is missing.
    a zero in the path -> 401 Unauthorized: InvalidAuthenticationToken: Access token is empty: the Authorization header is missing.
    no text in the path -> 400 Bad Request: BadRequest: The path is not valid UTF-8 after percent-decoding.
    nothing there -> 404 Not Found: ResourceNotFound: No resource at /nowhere. Graph is below /v1.0 and /beta.
    the root -> 404 Not Found: ResourceNotFound: No resource at /. Graph is below /v1.0 and /beta.
    ");
}

#[tokio::test]
async fn head_responds_like_get_without_a_body() {
    let server = TestServer::new().await;
    for path in ["/healthz", "/nowhere", "/beta/$metadata", "/beta/me/cloudPCs", "/_cloudpc/clock"] {
        let get = server.exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        let head = server.exchange(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        let (get, body) = get.split_once("\r\n\r\n").unwrap();
        let (head, nothing) = head.split_once("\r\n\r\n").unwrap();
        assert!(!body.is_empty() && nothing.is_empty(), "{path}");
        let same = |text: &str| {
            let changing = ["request-id", "client-request-id", "date"];
            let keep = |line: &&str| !changing.iter().any(|name| line.starts_with(name));
            let mut lines: Vec<String> = text.lines().filter(keep).map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(same(head), same(get), "{path}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    }
}

#[tokio::test]
async fn requests_can_be_pipelined() {
    let server = TestServer::new().await;
    let one = "POST /test/length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let last = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = server.exchange(one.repeat(50) + last).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 50);
    assert_eq!(answers.matches("\r\n\r\n5").count(), 50);
    assert_eq!(answers.matches("HTTP/1.1 404 Not Found").count(), 1);
    assert!(answers.rfind("404").unwrap() > answers.rfind("200 OK").unwrap(), "in order");

    // A response does not wait for a partial next request.
    let mut stream = server.connect().await;
    stream.write_all(format!("{one}POST /test/le").as_bytes()).await.unwrap();
    assert_eq!(outcome(&answer(&mut stream).await), "200 OK: 5");
    stream.write_all(&one.as_bytes()["POST /test/le".len()..]).await.unwrap();
    assert_eq!(outcome(&answer(&mut stream).await), "200 OK: 5");
    // Some clients send an empty line after a body.
    let closing = one.replace("Host", "Connection: close\r\nHost") + "\r\n";
    assert_eq!(outcome(&server.exchange(closing).await), "200 OK: 5");
}

#[tokio::test]
async fn a_half_closed_client_gets_its_response() {
    let server = TestServer::new().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /test/wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    settle().await;
    server.release.notify_one();
    assert_eq!(outcome(&rest(&mut stream).await), "200 OK: released");
}

#[tokio::test]
async fn only_a_valid_client_request_id_is_echoed() {
    let server = TestServer::new().await;
    let longest = "a".repeat(CLIENT_REQUEST_ID_BYTES_MAX);
    let mut echoed = Vec::new();
    for id in [longest.as_str(), &format!("{longest}a"), "with blank", "<script>", ""] {
        let request =
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\nclient-request-id: {id}\r\nConnection: close\r\n\r\n");
        let answer = server.exchange(request).await;
        let header = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        let (ours, theirs) = (header("request-id: "), header("client-request-id: "));
        assert_eq!(ours.len(), 36);
        assert!(theirs == id || theirs == ours, "{id}: {answer}");
        echoed.push(theirs == id);
    }
    assert_eq!(echoed, [true, false, false, false, false]);
}

#[tokio::test]
async fn a_panic_becomes_a_500_with_the_request_ids() {
    let server = TestServer::new().await;
    let answer = server.exchange("GET /test/panic HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let text = outcome(&answer);
    assert_eq!(text, "500 Internal Server Error: InternalServerError: The service could not complete the request.");
    let id = answer.lines().find_map(|line| line.strip_prefix("request-id: ")).unwrap();
    assert!(answer.rsplit("\r\n\r\n").next().unwrap().contains(id), "{answer}");
    assert!(!answer.contains("an operation panics"));
    assert_eq!(server.ask("GET /healthz", "").await, "200 OK: ok", "the next request is served");
}

#[tokio::test]
async fn the_challenge_matches_graph_and_is_safe_from_injection() {
    let server = TestServer::new().await;
    let ask = async |authorization: &str| {
        let request =
            format!("GET /beta/me HTTP/1.1\r\nHost: Cloudpc.test:8366\r\nConnection: close\r\n{authorization}\r\n");
        let answer = server.exchange(request).await;
        answer.lines().find_map(|line| line.strip_prefix("www-authenticate: ")).unwrap().to_owned()
    };
    insta::assert_snapshot!(ask("").await, @r#"Bearer realm="", authorization_uri="http://cloudpc.test:8366/common/oauth2/v2.0/authorize", client_id="00000003-0000-0000-c000-000000000000", error="invalid_token", error_description="Access token is empty: the Authorization header is missing.""#);
    let malicious = ask("Authorization: Bearer a\"b\\c\u{e9}.d.e\r\n").await;
    insta::assert_snapshot!(malicious, @r#"Bearer realm="", authorization_uri="http://cloudpc.test:8366/common/oauth2/v2.0/authorize", client_id="00000003-0000-0000-c000-000000000000", error="invalid_token", error_description="Invalid Authorization header. Expected Bearer and an access token.""#);
    let text = server.exchange("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(!text.contains("www-authenticate"), "{text}");
}
