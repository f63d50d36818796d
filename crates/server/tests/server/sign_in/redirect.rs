//! Sign-in by redirect: the authorization code flow with PKCE.

use super::*;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The client of the Azure CLI, which exists in every tenant.
const AZURE_CLI: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const PATH: &str = "/organizations/oauth2/v2.0/authorize";
const VERIFIER: &str = "a-verifier-of-a-client-has-43-characters-at-least";
const LOOPBACK: &str = "http://localhost:8400";

fn challenge() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

/// Returns the parameters of an authorization request, with changes; an empty value removes one.
fn parameters(changes: &[(&str, &str)]) -> String {
    let challenge = challenge();
    let mut fields = std::collections::BTreeMap::from([
        ("client_id", AZURE_CLI),
        ("response_type", "code"),
        ("redirect_uri", LOOPBACK),
        ("scope", "https://graph.microsoft.com/.default openid offline_access"),
        ("state", "a state"),
        ("nonce", "a nonce"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ]);
    fields.extend(changes.iter().copied());
    let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

impl Site {
    async fn authorize(&self, changes: &[(&str, &str)]) -> Page {
        self.send(Request::get(format!("{PATH}?{}", parameters(changes))), Scheme::Https, String::new()).await
    }

    /// Submits the page's form as a browser does, with its hidden fields.
    async fn enter(&self, page: &Page, entered: &[(&str, &str)]) -> Page {
        let hidden = page.hidden();
        let fields: Vec<(&str, &str)> =
            hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(entered.iter().copied()).collect();
        self.post(PATH, &page.cookie(), &fields).await
    }

    /// Signs Ada in; returns the code.
    async fn code(&self, changes: &[(&str, &str)]) -> String {
        let page = self.authorize(changes).await;
        let entered = [("user_name", "ada@contoso.test"), ("password", PASSWORD)];
        self.enter(&page, &entered).await.redirected()["code"].clone()
    }

    async fn redeem(&self, code: &str, changes: &[(&str, &str)]) -> Value {
        let mut fields = std::collections::BTreeMap::from([
            ("grant_type", "authorization_code"),
            ("client_id", AZURE_CLI),
            ("code", code),
            ("redirect_uri", LOOPBACK),
            ("code_verifier", VERIFIER),
        ]);
        fields.extend(changes.iter().copied());
        self.json("/organizations/oauth2/v2.0/token", &fields.into_iter().collect::<Vec<_>>()).await
    }
}

impl Page {
    /// Returns the hidden fields of the form.
    fn hidden(&self) -> Vec<(String, String)> {
        let unescaped = |text: &str| text.replace("&quot;", "\"").replace("&lt;", "<").replace("&amp;", "&");
        let fields = self.html.split("<input type=\"hidden\" name=\"").skip(1);
        fields
            .map(|field| {
                let (name, rest) = field.split_once("\" value=\"").unwrap();
                (name.to_owned(), unescaped(rest.split_once("\">").unwrap().0))
            })
            .collect()
    }

    /// Returns the query of the redirect to the client.
    fn redirected(&self) -> std::collections::BTreeMap<String, String> {
        assert_eq!(self.status, 303, "{}", self.html);
        let url = url::Url::parse(self.headers["location"].to_str().unwrap()).unwrap();
        assert_eq!((url.host_str(), url.port()), (Some("localhost"), Some(8400)));
        url.query_pairs().into_owned().collect()
    }
}

fn outcome(answer: &Value) -> String {
    format!("{} {}: {}", answer["error"], answer["error_codes"], answer["error_description"])
}

#[tokio::test]
async fn a_user_signs_in_to_a_program_on_the_same_computer() {
    let site = Site::new().await;
    let page = site.authorize(&[("login_hint", "ada@contoso.test")]).await;
    insta::assert_snapshot!(page.text(), @"
    200 OK
    Sign in
    If you sign in, Microsoft Azure CLI will be able to:
    see your name and user name
    use every permission that both you and this client have
    stay signed in for 14 days after each use
    User name
    Password
    Sign in
    Decline
    Sign in only if you have just started the sign-in yourself in a program on this computer.
    ");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' http://localhost:8400;"), "{policy}");

    let wrong = site.enter(&page, &[("user_name", "ada@contoso.test"), ("password", "guess")]).await;
    assert_eq!(wrong.status, 403);
    assert!(wrong.text().contains("The user name or password is wrong"), "{}", wrong.text());
    let done = site.enter(&wrong, &[("user_name", "ADA@contoso.test"), ("password", PASSWORD)]).await;
    let query = done.redirected();
    assert_eq!(query["state"], "a state");

    let answer = site.redeem(&query["code"], &[]).await;
    let claims = |token: &Value| -> Value {
        let part = token.as_str().unwrap().split('.').nth(1).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(claims(&answer["id_token"])["nonce"], "a nonce");
    assert_eq!(claims(&answer["access_token"])["app_displayname"], "Microsoft Azure CLI");
    let token = answer["access_token"].as_str().unwrap();
    let request = Request::get("/beta/me/cloudPCs").header("authorization", format!("Bearer {token}"));
    assert_eq!(site.send(request, Scheme::Https, String::new()).await.status, 200);
    let refreshed = [("grant_type", "refresh_token"), ("refresh_token", answer["refresh_token"].as_str().unwrap())];
    assert!(site.redeem("", &refreshed).await["access_token"].is_string());
}

#[tokio::test]
async fn a_code_is_redeemed_once_by_its_client_with_its_redirect_uri_and_verifier() {
    let site = Site::new().await;
    let mut outcomes = String::new();
    for changes in [
        ("code_verifier", "another verifier, which has as many characters"),
        ("redirect_uri", "http://localhost:8401"),
        ("client_id", CLIENT),
        ("code", "guess"),
        ("code_verifier", ""),
    ] {
        let code = site.code(&[]).await;
        outcomes += &format!("{changes:?} -> {}\n", outcome(&site.redeem(&code, &[changes]).await));
        if !matches!(changes, ("code", _) | ("code_verifier", "")) {
            let again = site.redeem(&code, &[]).await;
            assert_eq!(again["error_codes"][0], 70_008, "a wrong attempt uses the code up: {again}");
        }
    }
    let code = site.code(&[]).await;
    assert!(site.redeem(&code, &[]).await["access_token"].is_string());
    outcomes += &format!("twice -> {}\n", outcome(&site.redeem(&code, &[]).await));
    let code = site.code(&[]).await;
    site.world.host_clock.advance(Duration::from_mins(10)).await;
    outcomes += &format!("late -> {}\n", outcome(&site.redeem(&code, &[]).await));
    insta::assert_snapshot!(outcomes, @r#"
    ("code_verifier", "another verifier, which has as many characters") -> "invalid_grant" [501481]: "The code verifier does not match the code challenge."
    ("redirect_uri", "http://localhost:8401") -> "invalid_grant" [500112]: "The redirect URI differs from that of the authorization request."
    ("client_id", "6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10") -> "invalid_grant" [70000]: "The authorization code was issued to another client. Sign in again."
    ("code", "guess") -> "invalid_grant" [70008]: "The authorization code is unknown, expired or already redeemed. Sign in again."
    ("code_verifier", "") -> "invalid_request" [900144]: "The form lacks the parameter \"code_verifier\"."
    twice -> "invalid_grant" [70008]: "The authorization code is unknown, expired or already redeemed. Sign in again."
    late -> "invalid_grant" [70008]: "The authorization code is unknown, expired or already redeemed. Sign in again."
    "#);
}

#[tokio::test]
async fn only_loopback_redirect_uris_are_allowed_and_others_get_nothing() {
    let site = Site::new().await;
    for allowed in [
        "http://localhost",
        "http://localhost:1",
        "http://localhost:8400/",
        "http://127.0.0.1:8400",
        "http://[::1]:8400",
    ] {
        assert_eq!(site.authorize(&[("redirect_uri", allowed)]).await.status, 200, "{allowed}");
    }
    for refused in [
        "",
        "https://localhost:8400",
        "http://localhost:8400/path",
        "http://localhost:8400/?query",
        "http://localhost:8400/#fragment",
        "http://user@localhost:8400",
        "http://localhost.evil.test:8400",
        "http://evil.test",
        "http://127.0.0.1.evil.test",
        "http://localhost:8400@evil.test",
        "//localhost:8400",
        "javascript:alert(1)",
        "urn:ietf:wg:oauth:2.0:oob",
    ] {
        let page = site.authorize(&[("redirect_uri", refused)]).await;
        assert_eq!(page.status, 400, "{refused}");
        assert!(page.headers.get("location").is_none(), "{refused}");
    }
}

#[tokio::test]
async fn other_errors_are_sent_to_the_client() {
    let site = Site::new().await;
    let mut outcomes = String::new();
    for changes in [
        ("response_type", "token"),
        ("code_challenge", ""),
        ("code_challenge", "short"),
        ("code_challenge_method", "plain"),
        ("scope", ""),
        ("scope", "https://vault.example.com/.default"),
        ("prompt", "none"),
    ] {
        let query = site.authorize(&[changes]).await.redirected();
        assert_eq!(query["state"], "a state");
        outcomes += &format!("{changes:?} -> {}: {}\n", query["error"], query["error_description"]);
    }
    let page = site.authorize(&[]).await;
    let declined = site.enter(&page, &[("decline", "yes")]).await.redirected();
    outcomes += &format!("declined -> {}: {}\n", declined["error"], declined["error_description"]);
    for changes in [("client_id", "00000000-0000-0000-0000-000000000009"), ("response_mode", "web_message")] {
        let page = site.authorize(&[changes]).await;
        outcomes += &format!("{changes:?} -> {}\n", page.text().replace('\n', " "));
    }
    let long = "x".repeat(4_096);
    assert_eq!(site.authorize(&[("state", &long)]).await.status, 200);
    let page = site.authorize(&[("state", &format!("{long}x"))]).await;
    outcomes += &format!("long -> {}\n", page.text().replace('\n', " "));
    insta::assert_snapshot!(outcomes, @r#"
    ("response_type", "token") -> unsupported_response_type: AADSTS700051: Unsupported response type "token". Use code.
    ("code_challenge", "") -> invalid_request: AADSTS9002325: Public clients must send a code_challenge with the code_challenge_method S256 (RFC 7636).
    ("code_challenge", "short") -> invalid_request: AADSTS9002325: Public clients must send a code_challenge with the code_challenge_method S256 (RFC 7636).
    ("code_challenge_method", "plain") -> invalid_request: AADSTS9002325: Public clients must send a code_challenge with the code_challenge_method S256 (RFC 7636).
    ("scope", "") -> invalid_request: AADSTS900144: The request lacks the parameter "scope".
    ("scope", "https://vault.example.com/.default") -> invalid_scope: AADSTS70011: The scope "https://vault.example.com/.default" belongs to another service. Request scopes of https://graph.microsoft.com.
    ("prompt", "none") -> login_required: AADSTS50058: No user is signed in, because the service keeps no browser sessions. Leave out prompt=none.
    declined -> access_denied: AADSTS65004: The user declined to sign in.
    ("client_id", "00000000-0000-0000-0000-000000000009") -> 400 Bad Request Sign in AADSTS700016: This tenant has no enabled application &quot;00000000-0000-0000-0000-000000000009&quot;. Use the client id of a registered application.
    ("response_mode", "web_message") -> 400 Bad Request Sign in AADSTS50011: Unsupported response mode &quot;web_message&quot;. Use query, fragment or form_post.
    long -> 400 Bad Request Sign in AADSTS50011: The parameter &quot;state&quot; has 4097 bytes. The maximum is 4096.
    "#);
}

#[tokio::test]
async fn a_response_can_be_posted_or_be_a_fragment() {
    let site = Site::new().await;
    let entered = [("user_name", "ada@contoso.test"), ("password", PASSWORD)];
    let page = site.authorize(&[("response_mode", "form_post"), ("state", "\"><script>")]).await;
    let posted = site.enter(&page, &entered).await;
    let fields: std::collections::BTreeMap<_, _> = posted.hidden().into_iter().collect();
    assert_eq!(fields["state"], "\"><script>".replace('>', "&gt;"));
    assert!(!posted.html.contains("\"><script>"), "{}", posted.html);
    assert!(posted.html.contains("<form method=\"post\" action=\"http://localhost:8400/\">"), "{}", posted.html);
    assert!(site.redeem(&fields["code"], &[]).await["access_token"].is_string());

    let page = site.authorize(&[("response_mode", "fragment")]).await;
    let answer = site.enter(&page, &entered).await;
    let location = answer.headers["location"].to_str().unwrap();
    assert!(location.starts_with("http://localhost:8400/#code="), "{location}");
}

#[tokio::test]
async fn the_form_of_another_site_is_refused() {
    let site = Site::new().await;
    let page = site.authorize(&[]).await;
    let hidden = page.hidden();
    let fields: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let forged = site.post(PATH, "", &fields).await;
    assert_eq!(forged.status, 403);
    assert!(forged.text().contains("The form has expired"), "{}", forged.text());
}

#[tokio::test]
async fn guesses_count_as_for_device_codes() {
    let site = Site::new().await;
    let mut page = site.authorize(&[]).await;
    for _ in 0..10 {
        page = site.enter(&page, &[("user_name", "ada@contoso.test"), ("password", "guess")]).await;
        assert_eq!(page.status, 403);
    }
    let right = site.enter(&page, &[("user_name", "ada@contoso.test"), ("password", PASSWORD)]).await;
    assert_eq!(right.status, 403, "ten wrong passwords use up the attempts of a peer on a user");
}
