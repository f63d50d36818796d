//! What browsers are told about pages of other origins.

use super::*;

const ORIGIN: &str = "Origin: https://portal.test\r\n";

/// The headers of an answer that are about origins, in order.
async fn told_to_browsers(world: &TestServer, line: &str, headers: &str) -> String {
    let answer = world.exchange(format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n")).await;
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
    let world = TestServer::new().await;
    let asks = format!(
        "{ORIGIN}Access-Control-Request-Method: PATCH\r\nAccess-Control-Request-Headers: authorization,content-type\r\n"
    );
    for path in ["/beta/deviceManagement/virtualEndpoint/cloudPCs", "/v1.0/$batch", "/common/oauth2/v2.0/token"] {
        let told = told_to_browsers(&world, &format!("OPTIONS {path}"), &asks).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(told, @"
            HTTP/1.1 204 No Content
            access-control-allow-headers: authorization,content-type
            access-control-allow-methods: GET,HEAD,POST,PATCH,PUT,DELETE
            access-control-allow-origin: *
            access-control-max-age: 3600
            vary: access-control-request-headers
            ");
        }
    }
    // Without what a browser sends it is a request like any other.
    for headers in ["", ORIGIN, "Access-Control-Request-Method: GET\r\n"] {
        let told = told_to_browsers(&world, "OPTIONS /beta/me/cloudPCs", headers).await;
        assert!(told.starts_with("HTTP/1.1 401"), "{headers} {told}");
    }
}

#[tokio::test]
async fn answers_and_refusals_may_be_read_by_pages() {
    let world = TestServer::new().await;
    for line in ["GET /beta/$metadata", "GET /beta/me/cloudPCs", "POST /common/oauth2/v2.0/token"] {
        let told = told_to_browsers(&world, line, ORIGIN).await;
        let (_, about) = told.split_once('\n').unwrap();
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
async fn pages_of_people_and_administration_are_closed_to_other_origins() {
    let world = TestServer::new().await;
    for line in ["GET /devicelogin", "GET /desktop/x", "GET /_cloudpc/apps", "GET /healthz", "GET /"] {
        let told = told_to_browsers(&world, line, ORIGIN).await;
        assert!(!told.contains("access-control"), "{line} {told}");
        let asks = format!("{ORIGIN}Access-Control-Request-Method: POST\r\n");
        let told = told_to_browsers(&world, &line.replace("GET", "OPTIONS"), &asks).await;
        assert!(!told.contains("access-control") && !told.contains(" 20"), "{line} {told}");
    }
}

#[tokio::test]
async fn origins_may_be_named_or_none_allowed() {
    let named = TestServer::with(EdgeLimits::default(), open_to(&["https://portal.test"])).await;
    let closed = TestServer::with(EdgeLimits::default(), open_to(&[])).await;
    let allows = async |world: &TestServer, origin: &str| {
        let told = told_to_browsers(world, "GET /beta/$metadata", &format!("Origin: {origin}\r\n")).await;
        assert!(!told.contains("credentials"), "{told}");
        told.lines().find_map(|line| line.strip_prefix("access-control-allow-origin: ").map(str::to_owned))
    };
    assert_eq!(allows(&named, "https://portal.test").await.as_deref(), Some("https://portal.test"));
    for origin in ["https://evil.test", "http://portal.test", "https://portal.test:8443", "null"] {
        assert_eq!(allows(&named, origin).await, None, "{origin}");
        assert_eq!(allows(&closed, origin).await, None, "{origin}");
    }
}
