use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use cloudpc_drivers::sim::SimClock;
use cloudpc_model::{SeededRng, UserId};
use cloudpc_store::{App as Application, WriteMode};
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::token::OAuthError;
use super::*;

const START: Timestamp = Timestamp(1_795_000_000_000_000);
const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const CLIENT: AppId = AppId(Uuid::from_u128(2));
const ADA: UserId = UserId(Uuid::from_u128(3));

/// A token service over a real store, on a clock that stands still.
struct World {
    identity: Identity,
    clock: SimClock,
    secret: String,
    _directory: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::trusting(Vec::new()).await
    }

    async fn trusting(issuers: Vec<IssuerConfig>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), WriteMode::Inline).unwrap();
        let rng = SeededRng::new(7);
        let AppSecret { secret, hash } = Identity::new_app_secret(&rng);
        store
            .write(move |tx| {
                tx.tenant_put(TENANT, "Contoso")?;
                tx.app_put(&Application { secret_hash: Some(hash), ..application() })?;
                tx.user_put(&ada())
            })
            .await
            .unwrap();
        let clock = SimClock::paused(START);
        let parts = Parts {
            store,
            clock: Arc::new(clock.clone()),
            rng: Arc::new(rng),
            names: vec!["localhost".into(), "127.0.0.1".into(), "::1".into()],
            issuers,
        };
        Self { identity: Identity::open(parts).await.unwrap(), clock, secret, _directory: directory }
    }

    async fn app_token(&self) -> String {
        self.identity.issue_for_app(&base(), TENANT, CLIENT).await.unwrap().token
    }

    async fn user_token(&self) -> String {
        self.identity.issue_for_user(&base(), TENANT, "ada@contoso.test", None).await.unwrap().token
    }

    async fn refusal(&self, token: &str) -> String {
        let error = self.identity.authenticate(&bearing(token)).await.unwrap_err();
        assert_eq!((error.status, error.code.as_str()), (401, "InvalidAuthenticationToken"), "{error}");
        error.message
    }

    async fn change(&self, app: Application, user: User) {
        self.identity
            .store
            .write(move |tx| {
                tx.app_put(&app)?;
                tx.user_put(&user)
            })
            .await
            .unwrap();
        self.identity.forget_verified();
    }

    /// Posts a form to the token endpoint of a tenant.
    async fn post(&self, tenant: &str, form: &[(&str, &str)]) -> Result<Value, OAuthError> {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.identity.token(&base(), tenant, &form_headers(), &Bytes::from(form)).await
    }

    async fn client_credentials(&self, changes: &[(&str, &str)]) -> Result<Value, OAuthError> {
        let mut form = std::collections::BTreeMap::from([
            ("client_id", "00000000-0000-0000-0000-000000000002"),
            ("client_secret", self.secret.as_str()),
            ("grant_type", "client_credentials"),
            ("scope", "https://graph.microsoft.com/.default"),
            // What azure-identity sends besides.
            ("claims", r#"{"access_token": {"xms_cc": {"values": ["CP1"]}}}"#),
            ("client_info", "1"),
        ]);
        form.extend(changes.iter().copied());
        self.post(&TENANT.to_string(), &form.into_iter().collect::<Vec<_>>()).await
    }
}

fn application() -> Application {
    Application {
        tenant_id: TENANT,
        id: CLIENT,
        name: "Rollout".into(),
        secret_hash: None,
        permissions: vec!["CloudPC.ReadWrite.All".into()],
        enabled: true,
    }
}

fn ada() -> User {
    User {
        tenant_id: TENANT,
        id: ADA,
        user_principal_name: "ada@contoso.test".into(),
        display_name: "Ada".into(),
        password_hash: Some(hash("correct horse")),
        roles: vec!["Global Administrator".into()],
        permissions: vec!["CloudPC.Read.All".into(), "CloudPC.ReadWrite.All".into()],
        enabled: true,
    }
}

fn hash(password: &str) -> String {
    use argon2::password_hash::PasswordHasher as _;
    let hash: argon2::password_hash::phc::PasswordHash =
        argon2::Argon2::default().hash_password_with_salt(password.as_bytes(), &[1; 16]).unwrap();
    hash.to_string()
}

fn base() -> BaseAddress {
    BaseAddress("https://127.0.0.1:8366".into())
}

fn bearing(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap())])
}

fn form_headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))])
}

fn part(token: &str, n: usize) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(n).unwrap()).unwrap()).unwrap()
}

fn shown(error: &OAuthError) -> String {
    format!("{} {} {}: {}", error.status.as_u16(), error.error, error.number, error.description)
}

fn encoded(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn an_application_gets_a_token_that_is_believed() {
    let world = World::new().await;
    let mut answer = world.client_credentials(&[]).await.unwrap();
    let token = answer["access_token"].take();
    let token = token.as_str().unwrap();
    insta::assert_json_snapshot!(answer, @r#"
    {
      "access_token": null,
      "expires_in": 3599,
      "ext_expires_in": 3599,
      "token_type": "Bearer"
    }
    "#);
    insta::assert_json_snapshot!(part(token, 1), @r#"
    {
      "app_displayname": "Rollout",
      "appid": "00000000-0000-0000-0000-000000000002",
      "aud": "https://graph.microsoft.com",
      "azp": "00000000-0000-0000-0000-000000000002",
      "exp": 1795003599,
      "iat": 1795000000,
      "idtyp": "app",
      "iss": "https://127.0.0.1:8366/00000000-0000-0000-0000-000000000001/v2.0",
      "nbf": 1795000000,
      "oid": "00000000-0000-0000-0000-000000000002",
      "roles": [
        "CloudPC.ReadWrite.All"
      ],
      "sub": "00000000-0000-0000-0000-000000000002",
      "tid": "00000000-0000-0000-0000-000000000001",
      "uti": "99ec1c5f12374b889bff4da3cf99fe26",
      "ver": "2.0"
    }
    "#);
    assert_eq!(part(token, 0)["alg"], "RS256");

    let caller = world.identity.authenticate(&bearing(token)).await.unwrap();
    assert_eq!(
        *caller,
        Caller {
            tenant_id: TENANT,
            app_id: Some(CLIENT),
            app_name: "Rollout".into(),
            user: None,
            permissions: BTreeSet::from(["CloudPC.ReadWrite.All".into()]),
        }
    );
}

#[tokio::test]
async fn a_client_may_prove_itself_by_basic_authentication() {
    let world = World::new().await;
    let form = "grant_type=client_credentials&scope=https%3A%2F%2F127.0.0.1%3A8366%2F.default";
    let mut headers = form_headers();
    let credentials = BASE64_STANDARD.encode(format!("{CLIENT}:{}", world.secret.replace('_', "%5F")));
    headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Basic {credentials}")).unwrap());
    let answer = world.identity.token(&base(), &TENANT.to_string(), &headers, &Bytes::from(form)).await.unwrap();
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(part(token, 1)["aud"], "https://127.0.0.1:8366");
    assert!(world.identity.authenticate(&bearing(token)).await.is_ok());
}

#[tokio::test]
async fn what_is_wrong_with_a_token_request_is_said_as_oauth_says_it() {
    let world = World::new().await;
    let mut table = String::new();
    for changes in [
        ("client_secret", "wrong"),
        ("client_secret", ""),
        ("client_id", "00000000-0000-0000-0000-000000000009"),
        ("client_id", "rollout"),
        ("client_id", ""),
        ("scope", ""),
        ("scope", "https://graph.microsoft.com/CloudPC.Read.All"),
        ("scope", "https://vault.example.com/.default"),
        ("grant_type", "password"),
        ("grant_type", ""),
    ] {
        let error = world.client_credentials(&[changes]).await.unwrap_err();
        table += &format!("{changes:?} -> {}\n", shown(&error));
    }
    for tenant in ["common", "00000000-0000-0000-0000-000000000009", "contoso"] {
        let form = [("grant_type", "client_credentials"), ("client_id", "x"), ("client_secret", "x")];
        let error = world.post(tenant, &form).await.unwrap_err();
        table += &format!("{tenant} -> {}\n", shown(&error));
    }
    let twice = [("grant_type", "client_credentials"), ("grant_type", "client_credentials")];
    table += &format!("twice -> {}\n", shown(&world.post("common", &twice).await.unwrap_err()));
    insta::assert_snapshot!(table, @r#"
    ("client_secret", "wrong") -> 401 invalid_client 7000215: The client secret is wrong.
    ("client_secret", "") -> 401 invalid_client 7000216: The form must have "client_secret"; other proofs are not supported.
    ("client_id", "00000000-0000-0000-0000-000000000009") -> 400 unauthorized_client 700016: There is no application "00000000-0000-0000-0000-000000000009" in this tenant.
    ("client_id", "rollout") -> 400 unauthorized_client 700016: There is no application "rollout" in this tenant.
    ("client_id", "") -> 400 invalid_request 900144: The form must have the parameter "client_id".
    ("scope", "") -> 400 invalid_request 900144: The form must have the parameter "scope".
    ("scope", "https://graph.microsoft.com/CloudPC.Read.All") -> 400 invalid_scope 70011: The scope "https://graph.microsoft.com/CloudPC.Read.All" is not valid. An application asks for https://graph.microsoft.com/.default, or for https://<name>/.default with one of this server's names.
    ("scope", "https://vault.example.com/.default") -> 400 invalid_scope 70011: The scope "https://vault.example.com/.default" is not valid. An application asks for https://graph.microsoft.com/.default, or for https://<name>/.default with one of this server's names.
    ("grant_type", "password") -> 400 unsupported_grant_type 70003: The grant type "password" is not supported; use client_credentials, device_code or refresh_token.
    ("grant_type", "") -> 400 invalid_request 900144: The form must have the parameter "grant_type".
    common -> 400 invalid_request 50194: An application gets its token from its own tenant: put the tenant's id in place of "common".
    00000000-0000-0000-0000-000000000009 -> 400 invalid_tenant 90002: There is no tenant "00000000-0000-0000-0000-000000000009" here.
    contoso -> 400 invalid_tenant 90002: There is no tenant "contoso" here.
    twice -> 400 invalid_request 9002313: The form has the parameter "grant_type" twice.
    "#);
}

#[tokio::test]
async fn only_what_we_signed_for_ourselves_is_believed() {
    let world = World::new().await;
    let good = world.app_token().await;
    let (head, claims) = (part(&good, 0), part(&good, 1));
    let signature = good.rsplit('.').next().unwrap().to_owned();
    let keys = world.identity.keys();

    // With our own key, as if we had made a mistake, so that each check is seen to work alone.
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.into(), value),
        };
        keys.sign(&claims).unwrap()
    };
    let raw =
        |head: &Value, claims: &Value, signature: &str| format!("{}.{}.{signature}", encoded(head), encoded(claims));
    let replaced = |name: &str, value: Value| {
        let mut head = head.clone();
        head[name] = value;
        head
    };
    let mut more = claims.clone();
    more["roles"] = json!(["Cloudpc.Administer.All"]);

    let mut foreign = claims.clone();
    foreign["tid"] = json!("00000000-0000-0000-0000-000000000009");
    foreign["iss"] = json!("https://127.0.0.1:8366/00000000-0000-0000-0000-000000000009/v2.0");

    // The classic confusion: our public key, which anybody can fetch, used as the secret of an HMAC.
    let mut hmac_head = Header::new(Algorithm::HS256);
    hmac_head.kid = head["kid"].as_str().map(str::to_owned);
    let public_key = serde_json::to_vec(&keys.public().keys[0]).unwrap();
    let hmac = jsonwebtoken::encode(&hmac_head, &claims, &EncodingKey::from_secret(&public_key)).unwrap();

    // A stranger's key under the name of ours.
    let stranger = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let stranger = EncodingKey::from_rsa_pem(stranger.serialize_pem().as_bytes()).unwrap();
    let mut stranger_head = Header::new(Algorithm::RS256);
    stranger_head.kid = head["kid"].as_str().map(str::to_owned);
    let forged = jsonwebtoken::encode(&stranger_head, &claims, &stranger).unwrap();
    stranger_head.jwk = Some(jsonwebtoken::jwk::Jwk::from_encoding_key(&stranger, Algorithm::RS256).unwrap());
    let forged_with_key = jsonwebtoken::encode(&stranger_head, &claims, &stranger).unwrap();

    let now = START.unix_seconds();
    let attacks = [
        ("alg none", raw(&replaced("alg", json!("none")), &claims, "")),
        ("alg None, signature kept", raw(&replaced("alg", json!("None")), &claims, &signature)),
        ("HS256 with the public key", hmac),
        ("RS512 in the header", raw(&replaced("alg", json!("RS512")), &claims, &signature)),
        ("ES256 in the header", raw(&replaced("alg", json!("ES256")), &claims, &signature)),
        ("another kid", raw(&replaced("kid", json!("other")), &claims, &signature)),
        ("no kid", raw(&json!({"alg": "RS256", "typ": "JWT"}), &claims, &signature)),
        ("critical header", raw(&replaced("crit", json!(["exp"])), &claims, &signature)),
        ("more roles", raw(&head, &more, &signature)),
        ("no signature", raw(&head, &claims, "")),
        ("a stranger's key", forged),
        ("a stranger's key in the header", forged_with_key),
        ("expired", with("exp", json!(now))),
        ("no exp", with("exp", Value::Null)),
        ("exp is text", with("exp", json!("tomorrow"))),
        ("not valid yet", with("nbf", json!(now + 61))),
        ("wrong audience", with("aud", json!("https://vault.example.com"))),
        ("audience that only begins like ours", with("aud", json!("https://graph.microsoft.com.evil.test"))),
        ("our name as a user name", with("aud", json!("https://localhost@evil.test"))),
        ("no audience", with("aud", json!([]))),
        ("audience of a refresh token", with("aud", json!("cloudpc:refresh"))),
        ("wrong issuer", with("iss", json!("https://login.example.com/"))),
        (
            "issuer of another tenant",
            with("iss", json!("https://127.0.0.1:8366/00000000-0000-0000-0000-000000000009/v2.0")),
        ),
        ("foreign tenant", keys.sign(&foreign).unwrap()),
        ("no tenant", with("tid", Value::Null)),
        ("unknown application", with("appid", json!("00000000-0000-0000-0000-000000000009"))),
        ("built-in client without a user", with("appid", json!(BUILT_IN_CLIENT))),
        ("delegated, but no user", with("scp", json!("CloudPC.Read.All"))),
        ("not a JWT", "abc".into()),
        ("five parts", "a.b.c.d.e".into()),
        ("dots", "..".into()),
        ("not base64", "%%%.%%%.%%%".into()),
        ("too long", "a".repeat(TOKEN_BYTES_MAX + 1)),
    ];
    let mut table = String::new();
    for (name, token) in &attacks {
        table += &format!("{name}: {}\n", world.refusal(token).await);
    }
    insta::assert_snapshot!(table, @"
    alg none: The access token is not a JWT signed with an algorithm that is accepted here.
    alg None, signature kept: The access token is not a JWT signed with an algorithm that is accepted here.
    HS256 with the public key: The access token is signed with an algorithm that is not accepted here.
    RS512 in the header: The signature of the access token is not valid.
    ES256 in the header: The signature of the access token is not valid.
    another kid: The access token is signed by nobody who is trusted here.
    no kid: The access token does not name its key.
    critical header: The access token has critical header fields that are not understood here.
    more roles: The signature of the access token is not valid.
    no signature: The signature of the access token is not valid.
    a stranger's key: The signature of the access token is not valid.
    a stranger's key in the header: The signature of the access token is not valid.
    expired: The access token has expired.
    no exp: The claims of the access token cannot be read.
    exp is text: The claims of the access token cannot be read.
    not valid yet: The access token is not valid yet.
    wrong audience: The access token is meant for another audience.
    audience that only begins like ours: The access token is meant for another audience.
    our name as a user name: The access token is meant for another audience.
    no audience: The access token is meant for another audience.
    audience of a refresh token: The access token is meant for another audience.
    wrong issuer: The issuer of the access token does not fit its tenant.
    issuer of another tenant: The issuer of the access token does not fit its tenant.
    foreign tenant: The tenant of the access token is not known here.
    no tenant: The issuer of the access token does not fit its tenant.
    unknown application: The application of the access token is not known here, or disabled.
    built-in client without a user: The application of the access token is not known here, or disabled.
    delegated, but no user: The user of the access token is not known here, or disabled.
    not a JWT: The access token is not a JWT signed with an algorithm that is accepted here.
    five parts: The access token is not a JWT signed with an algorithm that is accepted here.
    dots: The access token is not a JWT signed with an algorithm that is accepted here.
    not base64: The access token is not a JWT signed with an algorithm that is accepted here.
    too long: The access token is too long.
    ");

    // At the limits, on the good side of each.
    for good in [with("nbf", json!(now + 60)), with("exp", json!(now + 1)), with("aud", json!(GRAPH_AUDIENCES[1]))] {
        assert!(world.identity.authenticate(&bearing(&good)).await.is_ok());
    }
}

#[tokio::test]
async fn authorization_headers_that_carry_no_token_are_refused() {
    let world = World::new().await;
    let token = world.app_token().await;
    let good = |scheme: &str| HeaderValue::try_from(format!("{scheme} {token}")).unwrap();
    assert!(
        world.identity.authenticate(&HeaderMap::from_iter([(header::AUTHORIZATION, good("bearer"))])).await.is_ok()
    );

    let mut table = String::new();
    for values in [
        vec![],
        vec![good("Bearer"), good("Bearer")],
        vec![good("Basic")],
        vec![HeaderValue::from_static("Bearer")],
        vec![HeaderValue::from_static("Bearer ")],
        vec![HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap()],
    ] {
        let headers = values.iter().map(|value| (header::AUTHORIZATION, value.clone())).collect();
        let error = world.identity.authenticate(&headers).await.unwrap_err();
        table += &format!("{}: {error}\n", values.len());
    }
    insta::assert_snapshot!(table, @r#"
    0: 401 InvalidAuthenticationToken: Access token is empty: the Authorization header is missing.
    2: 401 InvalidAuthenticationToken: There is more than one Authorization header.
    1: 401 InvalidAuthenticationToken: The Authorization header must be "Bearer" and an access token.
    1: 401 InvalidAuthenticationToken: The Authorization header must be "Bearer" and an access token.
    1: 401 InvalidAuthenticationToken: Access token is empty.
    1: 401 InvalidAuthenticationToken: The Authorization header must be "Bearer" and an access token.
    "#);
}

#[tokio::test]
async fn a_token_ends_on_time_even_if_it_is_kept() {
    let world = World::new().await;
    let token = world.app_token().await;
    assert!(world.identity.authenticate(&bearing(&token)).await.is_ok());
    world.clock.advance(TOKEN_LIFETIME - Duration::from_secs(1)).await;
    assert!(world.identity.authenticate(&bearing(&token)).await.is_ok());
    world.clock.advance(Duration::from_secs(1)).await;
    assert_eq!(world.refusal(&token).await, "The access token has expired.");
}

#[tokio::test]
async fn what_is_taken_away_is_gone_at_once() {
    let world = World::new().await;
    let (app_token, user_token) = (world.app_token().await, world.user_token().await);
    let permissions = async |token: &str| {
        let caller = world.identity.authenticate(&bearing(token)).await.unwrap();
        caller.permissions.iter().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(permissions(&app_token).await, "CloudPC.ReadWrite.All");
    assert_eq!(permissions(&user_token).await, "CloudPC.Read.All CloudPC.ReadWrite.All");

    world
        .change(
            Application { permissions: vec![], ..application() },
            User { permissions: vec!["CloudPC.Read.All".into()], ..ada() },
        )
        .await;
    assert_eq!(permissions(&app_token).await, "");
    assert_eq!(permissions(&user_token).await, "CloudPC.Read.All");

    world.change(Application { enabled: false, ..application() }, User { enabled: false, ..ada() }).await;
    insta::assert_snapshot!(world.refusal(&app_token).await, @"The application of the access token is not known here, or disabled.");
    insta::assert_snapshot!(world.refusal(&user_token).await, @"The user of the access token is not known here, or disabled.");
}

#[tokio::test]
async fn keys_rotate_and_old_ones_can_be_dropped() {
    let world = World::new().await;
    let first = world.app_token().await;
    world.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    let second = world.app_token().await;
    assert_ne!(part(&first, 0)["kid"], part(&second, 0)["kid"]);
    assert_eq!(world.identity.keys().public().keys.len(), 2);
    for token in [&first, &second] {
        assert!(world.identity.authenticate(&bearing(token)).await.is_ok());
    }

    world.identity.rotate_keys(OldKeys::Drop).await.unwrap();
    for token in [&first, &second] {
        assert_eq!(world.refusal(token).await, "The access token is signed by nobody who is trusted here.");
    }
    assert!(world.identity.authenticate(&bearing(&world.app_token().await)).await.is_ok());

    // A retired key goes when nothing that it has signed can still be good.
    world.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    world.clock.advance(REFRESH_LIFETIME).await;
    world.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    assert_eq!(world.identity.keys().public().keys.len(), 2);
}

#[tokio::test]
async fn keys_outlive_the_process_until_they_are_old() {
    let world = World::new().await;
    let now = world.clock.now();
    let kid = |keys: &Keys| keys.public().keys[0].common.key_id.clone();
    let made = kid(&world.identity.keys());
    let store = &world.identity.store;
    assert_eq!(kid(&Keys::load(store, now + SIGNING_KEY_AGE_MAX - Duration::from_secs(1)).await.unwrap()), made);
    assert_ne!(kid(&Keys::load(store, now + SIGNING_KEY_AGE_MAX).await.unwrap()), made);
}

#[tokio::test]
async fn an_administrator_gets_tokens_for_users() {
    let world = World::new().await;
    let wanted = ["CloudPC.Read.All".to_owned()];
    let issue = async |user: &str, permissions: Option<&[String]>| {
        world.identity.issue_for_user(&base(), TENANT, user, permissions).await
    };
    let token = issue("ADA@contoso.test", Some(&wanted)).await.unwrap();
    assert_eq!(token.expires_in, TOKEN_LIFETIME);
    insta::assert_json_snapshot!(part(&token.token, 1), @r#"
    {
      "app_displayname": "cloudpc command line",
      "appid": "6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10",
      "aud": "https://graph.microsoft.com",
      "azp": "6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10",
      "exp": 1795003599,
      "iat": 1795000000,
      "idtyp": "user",
      "iss": "https://127.0.0.1:8366/00000000-0000-0000-0000-000000000001/v2.0",
      "name": "Ada",
      "nbf": 1795000000,
      "oid": "00000000-0000-0000-0000-000000000003",
      "preferred_username": "ada@contoso.test",
      "scp": "CloudPC.Read.All",
      "sub": "00000000-0000-0000-0000-000000000003",
      "tid": "00000000-0000-0000-0000-000000000001",
      "upn": "ada@contoso.test",
      "uti": "99ec1c5f12374b889bff4da3cf99fe26",
      "ver": "2.0",
      "wids": [
        "62e90394-69f5-4237-9190-012177145e10"
      ]
    }
    "#);
    let caller = world.identity.authenticate(&bearing(&token.token)).await.unwrap();
    insta::assert_debug_snapshot!(caller, @r#"
    Caller {
        tenant_id: TenantId(00000000-0000-0000-0000-000000000001),
        app_id: Some(
            AppId(6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10),
        ),
        app_name: "cloudpc command line",
        user: Some(
            CallerUser {
                id: UserId(00000000-0000-0000-0000-000000000003),
                user_principal_name: "ada@contoso.test",
                roles: [
                    "Global Administrator",
                ],
            },
        ),
        permissions: {
            "CloudPC.Read.All",
        },
    }
    "#);

    insta::assert_snapshot!(issue("eve@contoso.test", None).await.unwrap_err(), @r#"There is no enabled user "eve@contoso.test" in this tenant."#);
    insta::assert_snapshot!(issue("ada@contoso.test", Some(&["Root".into()])).await.unwrap_err(), @"ada@contoso.test does not have the permission Root.");
}

#[test]
fn audiences_of_ours() {
    let names = ["localhost".to_owned(), "::1".into(), "cloudpc.example.com".into()];
    for (audience, expected) in [
        ("https://graph.microsoft.com", true),
        ("https://graph.microsoft.com/", true),
        ("00000003-0000-0000-c000-000000000000", true),
        ("https://localhost:8366", true),
        ("http://LOCALHOST:1", true),
        ("https://[::1]:8366", true),
        ("https://cloudpc.example.com/", true),
        ("https://cloudpc.example.com/beta", false),
        ("ftp://localhost", false),
        ("localhost", false),
        ("https://cloudpc.example.com.evil.test", false),
        ("", false),
    ] {
        assert_eq!(is_our_audience(&names, audience), expected, "{audience}");
    }
}
