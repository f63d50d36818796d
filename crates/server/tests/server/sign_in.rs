//! Device sign-in of a user: the token service behind the edge, and the sign-in page.

mod redirect;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use axum::body::Body;
use cloudpc_server::edge::{Edge, Health, Scheme};
use cloudpc_store::User;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

use crate::world::{HOST, START, TestServer, Who, arrival};

const PASSWORD: &str = "correct horse";
const CLIENT: &str = "6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10";

/// A page as the browser receives it.
struct Page {
    status: StatusCode,
    headers: HeaderMap,
    html: String,
}

struct Site {
    world: TestServer,
    edge: Edge,
}

impl Site {
    async fn new() -> Self {
        let world = TestServer::new().await;
        let hash: PasswordHash = Argon2::default().hash_password_with_salt(PASSWORD.as_bytes(), &[1; 16]).unwrap();
        let hash = hash.to_string();
        let set = world.app.store.write("test.write", move |tx| {
            let tenant = "10000000-0000-4000-8000-000000000001".parse().unwrap();
            let ada = tx.user_by_name(tenant, "ada@contoso.test")?.unwrap();
            tx.user_put(&User { password_hash: Some(hash.clone()), ..ada })
        });
        set.await.unwrap();
        let edge = Edge::new(world.app.clone(), Arc::new(Health::default()));
        Self { world, edge }
    }

    async fn send(&self, request: http::request::Builder, scheme: Scheme, body: String) -> Page {
        let request = request.header("host", HOST).body(Body::from(body)).unwrap();
        let (head, body) = self.edge.answer(request, &arrival(scheme)).await.into_parts();
        let html = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Page { status: head.status, headers: head.headers, html }
    }

    async fn open(&self, query: &str) -> Page {
        self.send(Request::get(format!("/devicelogin{query}")), Scheme::Https, String::new()).await
    }

    async fn post(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", format!("other=1; {cookie}"));
        self.send(request, Scheme::Https, body).await
    }

    /// Fills in the form of a page and submits it, as a browser does.
    async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let token = page.form_token();
        let fields = [fields, &[("form_token", token.as_str())]].concat();
        self.post("/devicelogin", &page.cookie(), &fields).await
    }

    async fn json(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        serde_json::from_str(&self.post(path, "", fields).await.html).unwrap()
    }

    async fn start(&self) -> Value {
        self.start_for("https://graph.microsoft.com/.default openid").await
    }

    async fn start_for(&self, scope: &str) -> Value {
        self.json("/common/oauth2/v2.0/devicecode", &[("client_id", CLIENT), ("scope", scope)]).await
    }

    async fn poll(&self, started: &Value) -> Value {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let code = started["device_code"].as_str().unwrap();
        let form = [("grant_type", grant), ("client_id", CLIENT), ("device_code", code)];
        self.json("/common/oauth2/v2.0/token", &form).await
    }
}

impl Page {
    fn cookie(&self) -> String {
        self.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    fn form_token(&self) -> String {
        self.html.split("name=\"form_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    /// Returns the visible text of the page, line by line.
    fn text(&self) -> String {
        let (mut text, mut in_tag) = (String::new(), false);
        let body = self.html.split_once("</style>").unwrap().1;
        for c in body.chars() {
            match c {
                '<' => in_tag = true,
                '>' => {
                    in_tag = false;
                    text.push('\n');
                }
                c if !in_tag => text.push(c),
                _ => {}
            }
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        format!("{}\n{}", self.status, lines.collect::<Vec<_>>().join("\n"))
    }
}

#[tokio::test]
async fn user_signs_a_device_in() {
    let site = Site::new().await;
    let started = site.start().await;
    let code = started["user_code"].as_str().unwrap();
    assert_eq!(started["verification_uri"], "https://cloudpc.test/devicelogin");
    assert_eq!(site.poll(&started).await["error"], "authorization_pending");

    let first = site.open("").await;
    insta::assert_snapshot!(first.text(), @"
    200 OK
    Sign in
    Code
    Next
    Enter a code only if you requested it yourself on your own device.
    ");
    // As users type it: lower case, a space, a hyphen.
    let written = format!("{}%20{}-{}", &code[..3].to_lowercase(), &code[3..6], &code[6..]);
    let page = site.open(&format!("?user_code={written}")).await;
    insta::assert_snapshot!(page.text().replace(code, "<code>"), @"
    200 OK
    Sign in
    If you sign in with the code <code>, cloudpc command line will be able to:
    see your name and user name
    use every permission that both you and this client have
    User name
    Password
    Sign in
    Decline
    Sign in only if you requested the code yourself on your own device.
    ");
    let header = |name: &str| page.headers[name].to_str().unwrap().to_owned();
    let lines = ["cache-control", "content-security-policy", "referrer-policy", "x-content-type-options"].map(header);
    insta::assert_snapshot!(lines.join("\n"), @"
    no-store
    default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'
    no-referrer
    nosniff
    ");
    let cookie = header("set-cookie").replace(&page.form_token(), "<token>");
    insta::assert_snapshot!(cookie, @"cloudpc-devicelogin=<token>; Path=/devicelogin; HttpOnly; SameSite=Strict; Secure");

    let name = ("user_name", " ADA@contoso.test ");
    let wrong = site.submit(&page, &[("user_code", code), name, ("password", "guess")]).await;
    insta::assert_snapshot!(wrong.text().replace(code, "<code>"), @"
    403 Forbidden
    Sign in
    The user name or password is wrong, or there were too many attempts. Check both, or try again in 15 minutes.
    If you sign in with the code <code>, cloudpc command line will be able to:
    see your name and user name
    use every permission that both you and this client have
    User name
    Password
    Sign in
    Decline
    Sign in only if you requested the code yourself on your own device.
    ");
    assert!(wrong.html.contains(&format!("value=\"{code}\"")), "the form keeps the code: {}", wrong.html);
    let done = site.submit(&wrong, &[("user_code", code), name, ("password", PASSWORD)]).await;
    insta::assert_snapshot!(done.text(), @"
    200 OK
    Sign in
    You are signed in to cloudpc command line. You can close this page.
    ");
    let gone = site.submit(&wrong, &[("user_code", code), name, ("password", PASSWORD)]).await;
    insta::assert_snapshot!(gone.text(), @"
    400 Bad Request
    Sign in
    The code is unknown, expired or already used. Check the code, or request a new one on your device.
    Code
    Next
    Enter a code only if you requested it yourself on your own device.
    ");

    site.world.host_clock.advance(Duration::from_secs(5)).await;
    let token = site.poll(&started).await["access_token"].as_str().unwrap().to_owned();
    let request =
        Request::get("/beta/me/cloudPCs?$select=displayName").header("authorization", format!("Bearer {token}"));
    let mine = site.send(request, Scheme::Https, String::new()).await;
    assert_eq!(mine.status, 200, "{}", mine.html);
    assert!(mine.html.contains("desk-1") && !mine.html.contains("desk-2"), "{}", mine.html);
}

#[tokio::test]
async fn user_declines_a_sign_in() {
    let site = Site::new().await;
    let started = site.start().await;
    let code = started["user_code"].as_str().unwrap();
    let page = site.open(&format!("?user_code={code}")).await;
    let declined = site.submit(&page, &[("user_code", code), ("decline", "yes")]).await;
    insta::assert_snapshot!(declined.text(), @"
    200 OK
    Sign in
    You declined the request. Nobody was signed in. You can close this page.
    ");
    assert_eq!(site.poll(&started).await["error"], "access_denied");
}

#[tokio::test]
async fn form_without_its_token_or_cookie_is_rejected() {
    let site = Site::new().await;
    let started = site.start().await;
    let page = site.open(&format!("?user_code={}", started["user_code"].as_str().unwrap())).await;
    let (token, cookie) = (page.form_token(), page.cookie());
    let code = ("user_code", started["user_code"].as_str().unwrap());
    let (name, password) = (("user_name", "ada@contoso.test"), ("password", PASSWORD));
    for (what, cookie, token) in [
        ("without the cookie", "", Some(token.as_str())),
        ("without the token", cookie.as_str(), None),
        ("with an empty token", "cloudpc-devicelogin=", Some("")),
        ("with another token", cookie.as_str(), Some("other")),
    ] {
        let fields: Vec<_> =
            [code, name, password].into_iter().chain(token.map(|token| ("form_token", token))).collect();
        let page = site.post("/devicelogin", cookie, &fields).await;
        assert_eq!(page.status, 403, "{what}");
        assert!(page.html.contains("was not sent from this page"), "{what}: {}", page.html);
    }
    assert_eq!(site.poll(&started).await["error"], "authorization_pending");
    let nothing = site.submit(&page, &[]).await;
    assert_eq!(nothing.status, 400, "{}", nothing.html);
}

#[tokio::test]
async fn page_escapes_untrusted_input() {
    let site = Site::new().await;
    let attack = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E%27%26";
    let page = site.open(&format!("?user_code={attack}")).await;
    assert_eq!(page.status, 400);
    assert!(page.html.contains("value=\"SCRIPTALERT1SCRIPT\""), "a code has letters and digits only: {}", page.html);
    let started = site.start_for("openid \"><script>x<b>").await;
    let page = site.open(&format!("?user_code={}", started["user_code"].as_str().unwrap())).await;
    let code = ("user_code", started["user_code"].as_str().unwrap());
    let entered = site.submit(&page, &[code, ("user_name", "<b>"), ("password", "<i>")]).await;
    for html in [page.html, entered.html] {
        assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains("<i>"), "{html}");
    }
}

#[tokio::test]
async fn page_shows_the_requested_permissions_before_sign_in() {
    let site = Site::new().await;
    let started = site.start_for("CloudPC.Read.All https://graph.microsoft.com/User.Read offline_access").await;
    let code = started["user_code"].as_str().unwrap();
    let page = site.open(&format!("?user_code={code}")).await;
    insta::assert_snapshot!(page.text().replace(code, "<code>"), @"
    200 OK
    Sign in
    If you sign in with the code <code>, cloudpc command line will be able to:
    see your name and user name
    use your permission CloudPC.Read.All
    use your permission User.Read
    stay signed in for 14 days after each use
    User name
    Password
    Sign in
    Decline
    Sign in only if you requested the code yourself on your own device.
    ");
}

#[tokio::test]
async fn rate_limited_sign_in_has_retry_after() {
    let site = Site::new().await;
    let mut page = site.open("?user_code=XXXX").await;
    while page.status == 400 {
        page = site.open("?user_code=XXXX").await;
    }
    assert_eq!((page.status.as_u16(), page.headers["retry-after"].to_str().unwrap()), (429, "900"));
    insta::assert_snapshot!(page.text(), @"
    429 Too Many Requests
    Sign in
    Too many sign-in attempts. Try again in 15 minutes.
    Code
    Next
    Enter a code only if you requested it yourself on your own device.
    ");
}

#[tokio::test]
async fn token_expiry_uses_the_host_clock() {
    let site = Site::new().await;
    let token = site.world.token(Who::Writer).await;
    let status = async || {
        let request = Request::get("/beta/deviceManagement/virtualEndpoint/cloudPCs/$count");
        let request = request.header("authorization", format!("Bearer {token}"));
        site.send(request, Scheme::Http, String::new()).await.status
    };
    assert_eq!(status().await, 200);
    site.world.clock.advance(Duration::from_secs(366 * 24 * 3600)).await;
    assert_eq!(status().await, 200, "the simulated clock does not expire tokens");
    assert_eq!(cloudpc_model::Clock::now(&site.world.host_clock), START);
    site.world.host_clock.advance(Duration::from_secs(3600)).await;
    assert_eq!(status().await, 401);
}
