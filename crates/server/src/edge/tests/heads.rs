//! Lines and headers: how long they may be, how slow, and how strange.

use super::*;
use crate::request::CLIENT_REQUEST_ID_BYTES_MAX;

/// Most headers of an HTTP/1.1 request: the HTTP library's own limit, which is not set anywhere
/// here because it is fastest at that.
const HEADERS_MAX: usize = 100;

#[tokio::test]
async fn a_url_may_be_so_long_and_no_longer() {
    let world = TestServer::new().await;
    let path = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
    let at_limit = world.ask(&format!("GET {}", path(URL_BYTES_MAX)), "").await;
    assert!(at_limit.starts_with("404 Not Found: ResourceNotFound"), "{at_limit}");
    let over = world.ask(&format!("GET {}", path(URL_BYTES_MAX + 1)), "").await;
    assert_eq!(over, "414 URI Too Long: RequestUriTooLong: The path and query are longer than 16384 bytes.");
    // However long, the client gets to read the answer.
    for megabytes in [1, 10] {
        assert_eq!(world.ask(&format!("GET {}", path(megabytes * 1024 * 1024)), "").await, over);
    }
    // A later one on the same connection, too.
    let mut stream = world.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("ok"));
    let second = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(URL_BYTES_MAX + 1));
    stream.write_all(second.as_bytes()).await.unwrap();
    assert_eq!(told(&answer(&mut stream).await), over);
}

#[tokio::test]
async fn headers_may_be_so_many_and_so_large() {
    let world = TestServer::new().await;
    // Host and Connection are among them.
    let many = |count: usize| (2..count).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    assert_eq!(world.ask("GET /healthz", &many(HEADERS_MAX)).await, "200 OK: ok");
    for count in [HEADERS_MAX + 1, 1_000] {
        assert_eq!(world.ask("GET /healthz", &many(count)).await, "431 Request Header Fields Too Large: ");
    }
    let large = |bytes: usize| format!("x: {}\r\n", "1".repeat(bytes));
    assert_eq!(world.ask("GET /healthz", &large(HEADER_BYTES_MAX - 1024)).await, "200 OK: ok");
    let over = world.ask("GET /healthz", &large(HEADER_BYTES_MAX)).await;
    assert_eq!(over, "431 Request Header Fields Too Large: ");
}

#[tokio::test]
async fn a_head_has_to_come_in_time() {
    let world = TestServer::new().await;
    let clock = StandingClock::new();
    for begun in ["", "GET /healthz HT", "GET /healthz HTTP/1.1\r\nHost: a\r\nx-slow: "] {
        let mut stream = world.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        world.until_open(1).await;
        settle().await;
        clock.advance(HEADER_TIME_MAX - Duration::from_secs(1)).await;
        settle().await;
        assert_eq!(world.connections.len(), 1, "{begun:?} still has time");
        clock.advance(Duration::from_secs(2)).await;
        world.until_open(0).await;
        assert_eq!(rest(&mut stream).await, "", "{begun:?}");
    }
}

#[tokio::test]
async fn a_connection_on_which_nothing_more_is_asked_is_closed() {
    let world = TestServer::new().await;
    let mut stream = world.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("ok"));
    let clock = StandingClock::new();
    settle().await;
    clock.advance(HEADER_TIME_MAX + Duration::from_secs(1)).await;
    world.until_open(0).await;
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn links_have_the_scheme_and_host_that_a_trusted_proxy_names() {
    for (trusted, believed) in [(None, false), (Some("192.0.2.0/24"), false), (Some("127.0.0.0/8"), true)] {
        let mut config = Config::default();
        config.server.trusted_proxies.extend(trusted.map(|network| network.parse::<ipnet::IpNet>().unwrap()));
        let world = TestServer::with(EdgeLimits::default(), config).await;
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
            let answer = world.exchange(&request).await;
            assert!(
                answer.contains(&format!("\"{base}/common/oauth2/v2.0/token\"")),
                "{trusted:?} {forwarded}{answer}"
            );
        }
    }
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_misdirected() {
    let world = TestServer::new().await;
    for path in ["/", "/healthz", "/devicelogin", "/beta/$metadata", "/common/oauth2/v2.0/token"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: rebind.evil.test:8365\r\nConnection: close\r\n\r\n");
        let answer = world.exchange(request).await;
        assert!(answer.contains("\r\nrequest-id: "), "{answer}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(told(&answer), @"421 Misdirected Request: MisdirectedRequest: The host 'rebind.evil.test' is not a name of this server. Use localhost, an IP address, the machine's own name or a name from server.names; to serve this name, add it to server.names in the configuration file.");
        }
    }
    for host in ["127.0.0.1:1", "[::1]", "192.0.2.200", "LOCALHOST.:2", "Pc.Test"] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(told(&world.exchange(request).await), "200 OK: ok", "{host}");
    }
}

#[tokio::test]
async fn what_a_request_may_look_like() {
    let world = TestServer::new().await;
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
        let answer = world.exchange(request).await;
        assert!(!answer.contains("secret"), "{answer}");
        table += &format!("{what} -> {}\n", told(&answer));
    }
    insta::assert_snapshot!(table, @"
    HTTP/1.0 without a host -> HTTP/1.0 400 Bad Request: BadRequest: The Host header is missing, there twice, or not a host and port.
    HTTP/1.0 -> HTTP/1.0 200 OK: ok
    no host -> 400 Bad Request: BadRequest: The Host header is missing, there twice, or not a host and port.
    two hosts -> 400 Bad Request: BadRequest: The Host header is missing, there twice, or not a host and port.
    a host with a user -> 400 Bad Request: BadRequest: The Host header is missing, there twice, or not a host and port.
    a host that is markup -> 400 Bad Request: BadRequest: The Host header is missing, there twice, or not a host and port.
    an absolute address -> 421 Misdirected Request: MisdirectedRequest: The host 'other.test' is not a name of this server. Use localhost, an IP address, the machine's own name or a name from server.names; to serve this name, add it to server.names in the configuration file.
    OPTIONS of the server -> 404 Not Found: ResourceNotFound: There is nothing at *; Graph is below /v1.0 and /beta.
    OPTIONS -> 405 Method Not Allowed: Request_BadRequest: OPTIONS is not supported at /healthz.
    TRACE -> 405 Method Not Allowed: Request_BadRequest: TRACE is not supported at /healthz.
    TRACE of Graph -> 401 Unauthorized: InvalidAuthenticationToken: Access token is empty: the Authorization header is missing.
    CONNECT -> 421 Misdirected Request: MisdirectedRequest: The host 'other.test' is not a name of this server. Use localhost, an IP address, the machine's own name or a name from server.names; to serve this name, add it to server.names in the configuration file.
    no such method -> 405 Method Not Allowed: Request_BadRequest: BREW is not supported at /healthz.
    no such version -> 400 Bad Request: 
    no such protocol -> 400 Bad Request: 
    a folded header -> 400 Bad Request: 
    a blank before the colon -> 400 Bad Request: 
    a zero in a header -> 400 Bad Request: 
    a blank in the path -> 400 Bad Request: 
    dots in the path -> 401 Unauthorized: InvalidAuthenticationToken: Access token is empty: the Authorization header is missing.
    a zero in the path -> 401 Unauthorized: InvalidAuthenticationToken: Access token is empty: the Authorization header is missing.
    no text in the path -> 400 Bad Request: BadRequest: The path is not UTF-8 text.
    nothing there -> 404 Not Found: ResourceNotFound: There is nothing at /nowhere; Graph is below /v1.0 and /beta.
    the root -> 404 Not Found: ResourceNotFound: There is nothing at /; Graph is below /v1.0 and /beta.
    ");
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let world = TestServer::new().await;
    for path in ["/healthz", "/nowhere", "/beta/$metadata", "/beta/me/cloudPCs", "/_cloudpc/clock"] {
        let get = world.exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        let head = world.exchange(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
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
async fn requests_may_follow_each_other_without_waiting() {
    let world = TestServer::new().await;
    let one = "POST /test/length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let last = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = world.exchange(one.repeat(50) + last).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 50);
    assert_eq!(answers.matches("\r\n\r\n5").count(), 50);
    assert_eq!(answers.matches("HTTP/1.1 404 Not Found").count(), 1);
    assert!(answers.rfind("404").unwrap() > answers.rfind("200 OK").unwrap(), "in order");

    // An answer is there as soon as it can be, whatever else has begun to come.
    let mut stream = world.connect().await;
    stream.write_all(format!("{one}POST /test/le").as_bytes()).await.unwrap();
    assert_eq!(told(&answer(&mut stream).await), "200 OK: 5");
    stream.write_all(&one.as_bytes()["POST /test/le".len()..]).await.unwrap();
    assert_eq!(told(&answer(&mut stream).await), "200 OK: 5");
    // Some clients end a body with an empty line that does not belong to it.
    let closing = one.replace("Host", "Connection: close\r\nHost") + "\r\n";
    assert_eq!(told(&world.exchange(closing).await), "200 OK: 5");
}

#[tokio::test]
async fn a_client_that_will_send_no_more_still_gets_its_answer() {
    let world = TestServer::new().await;
    let mut stream = world.connect().await;
    stream.write_all(b"GET /test/wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    settle().await;
    world.go_on.notify_one();
    assert_eq!(told(&rest(&mut stream).await), "200 OK: gone on");
}

#[tokio::test]
async fn a_client_names_its_request_within_reason() {
    let world = TestServer::new().await;
    let longest = "a".repeat(CLIENT_REQUEST_ID_BYTES_MAX);
    let mut echoed = Vec::new();
    for id in [longest.as_str(), &format!("{longest}a"), "with blank", "<script>", ""] {
        let request =
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\nclient-request-id: {id}\r\nConnection: close\r\n\r\n");
        let answer = world.exchange(request).await;
        let header = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        let (ours, theirs) = (header("request-id: "), header("client-request-id: "));
        assert_eq!(ours.len(), 36);
        assert!(theirs == id || theirs == ours, "{id}: {answer}");
        echoed.push(theirs == id);
    }
    assert_eq!(echoed, [true, false, false, false, false]);
}

#[tokio::test]
async fn a_panic_becomes_an_error_with_its_ids() {
    let world = TestServer::new().await;
    let answer = world.exchange("GET /test/panic HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let told = told(&answer);
    assert_eq!(told, "500 Internal Server Error: InternalServerError: The service could not complete the request.");
    let id = answer.lines().find_map(|line| line.strip_prefix("request-id: ")).unwrap();
    assert!(answer.rsplit("\r\n\r\n").next().unwrap().contains(id), "{answer}");
    assert!(!answer.contains("an operation panics"));
    assert_eq!(world.ask("GET /healthz", "").await, "200 OK: ok", "and the next one is answered");
}

#[tokio::test]
async fn a_challenge_is_as_graph_writes_it_and_carries_nothing_of_the_senders() {
    let world = TestServer::new().await;
    let ask = async |authorization: &str| {
        let request =
            format!("GET /beta/me HTTP/1.1\r\nHost: Cloudpc.test:8366\r\nConnection: close\r\n{authorization}\r\n");
        let answer = world.exchange(request).await;
        answer.lines().find_map(|line| line.strip_prefix("www-authenticate: ")).unwrap().to_owned()
    };
    insta::assert_snapshot!(ask("").await, @r#"Bearer realm="", authorization_uri="http://cloudpc.test:8366/common/oauth2/v2.0/authorize", client_id="00000003-0000-0000-c000-000000000000", error="invalid_token", error_description="Access token is empty: the Authorization header is missing.""#);
    let spiteful = ask("Authorization: Bearer a\"b\\c\u{e9}.d.e\r\n").await;
    insta::assert_snapshot!(spiteful, @r#"Bearer realm="", authorization_uri="http://cloudpc.test:8366/common/oauth2/v2.0/authorize", client_id="00000003-0000-0000-c000-000000000000", error="invalid_token", error_description="The Authorization header must be Bearer and an access token.""#);
    let told = world.exchange("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(!told.contains("www-authenticate"), "{told}");
}
