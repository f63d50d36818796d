//! Tests of CORS headers.

use super::*;

const ORIGIN: &str = "Origin: https://portal.test\r\n";

/// Returns the CORS headers of a response, in order.
async fn cors_headers(server: &TestServer, line: &str, headers: &str) -> String {
    let answer = server.exchange(format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n")).await;
    let mut lines = answer.lines().take_while(|line| !line.is_empty());
    let status = lines.next().unwrap().to_owned();
    let mut about: Vec<_> =
        lines.filter(|line| line.starts_with("access-control-") || line.starts_with("vary")).collect();
    about.sort_unstable();
    [vec![status.as_str()], about].concat().join("\n")
}

fn open_to(origins: &[&str]) -> Config {
    let mut config = Config::default();
    config.server.cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    config
}

#[tokio::test]
async fn a_preflight_request_needs_no_token() {
    let server = TestServer::new().await;
    let asks = format!(
        "{ORIGIN}Access-Control-Request-Method: PATCH\r\nAccess-Control-Request-Headers: authorization,content-type\r\n"
    );
    for path in ["/beta/deviceManagement/virtualEndpoint/cloudPCs", "/v1.0/$batch", "/common/oauth2/v2.0/token"] {
        let text = cors_headers(&server, &format!("OPTIONS {path}"), &asks).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(text, @"
            HTTP/1.1 204 No Content
            access-control-allow-headers: authorization,content-type
            access-control-allow-methods: GET,HEAD,POST,PATCH,PUT,DELETE
            access-control-allow-origin: *
            access-control-max-age: 3600
            vary: access-control-request-headers
            ");
        }
    }
    // Without the headers of a preflight request, OPTIONS is an ordinary request.
    for headers in ["", ORIGIN, "Access-Control-Request-Method: GET\r\n"] {
        let text = cors_headers(&server, "OPTIONS /beta/me/cloudPCs", headers).await;
        assert!(text.starts_with("HTTP/1.1 401"), "{headers} {text}");
    }
}

#[tokio::test]
async fn pages_can_read_responses_and_errors() {
    let server = TestServer::new().await;
    for line in ["GET /beta/$metadata", "GET /beta/me/cloudPCs", "POST /common/oauth2/v2.0/token"] {
        let text = cors_headers(&server, line, ORIGIN).await;
        let (_, about) = text.split_once('\n').unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(about, @"
            access-control-allow-origin: *
            access-control-expose-headers: request-id,client-request-id,location,retry-after,etag,www-authenticate,odata-version,odata-entityid,preference-applied
            vary: access-control-request-headers
            ");
        }
    }
}

#[tokio::test]
async fn pages_and_administration_are_closed_to_other_origins() {
    let server = TestServer::new().await;
    for line in ["GET /devicelogin", "GET /desktop/x", "GET /_cloudpc/apps", "GET /healthz", "GET /"] {
        let text = cors_headers(&server, line, ORIGIN).await;
        assert!(!text.contains("access-control"), "{line} {text}");
        let asks = format!("{ORIGIN}Access-Control-Request-Method: POST\r\n");
        let text = cors_headers(&server, &line.replace("GET", "OPTIONS"), &asks).await;
        assert!(!text.contains("access-control") && !text.contains(" 20"), "{line} {text}");
    }
}

#[tokio::test]
async fn allowed_origins_can_be_listed_or_empty() {
    let named = TestServer::with(EdgeLimits::default(), open_to(&["https://portal.test"])).await;
    let closed = TestServer::with(EdgeLimits::default(), open_to(&[])).await;
    let allows = async |server: &TestServer, origin: &str| {
        let text = cors_headers(server, "GET /beta/$metadata", &format!("Origin: {origin}\r\n")).await;
        assert!(!text.contains("credentials"), "{text}");
        text.lines().find_map(|line| line.strip_prefix("access-control-allow-origin: ").map(str::to_owned))
    };
    assert_eq!(allows(&named, "https://portal.test").await.as_deref(), Some("https://portal.test"));
    for origin in ["https://evil.test", "http://portal.test", "https://portal.test:8443", "null"] {
        assert_eq!(allows(&named, origin).await, None, "{origin}");
        assert_eq!(allows(&closed, origin).await, None, "{origin}");
    }
}
