//! Tests of outside issuers with a scripted issuer on the loopback interface.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use std::sync::Mutex;

use super::super::issuers::{DOCUMENT_BYTES_MAX, FETCHED_AGE_MAX, ISSUER_TIME_MAX, REFETCH_INTERVAL_MIN};
use super::*;

const AUDIENCE: &str = "api://cloudpc";

/// An outside issuer.
struct OutsideIssuer {
    name: String,
    script: Arc<Mutex<IssuerScript>>,
}

/// How the issuer responds.
struct IssuerScript {
    discovery: Value,
    keys: Value,
    /// Size to which responses are padded with blanks.
    padding: usize,
    fault: IssuerFault,
    /// Number of requested documents.
    asked: usize,
}

#[derive(Clone, Copy)]
enum IssuerFault {
    None,
    Down,
    Silent,
    Moved,
    Nonsense,
}

/// A key of an issuer, and its JWK.
struct SigningKey {
    encoding: EncodingKey,
    jwk: Value,
}

impl SigningKey {
    fn new(kid: &str) -> Self {
        let pair = KeyPair::generate().unwrap();
        let encoding = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&encoding, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        Self { encoding, jwk }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: self.jwk["kid"].as_str().map(str::to_owned), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.encoding).unwrap()
    }
}

impl OutsideIssuer {
    async fn start(key: &SigningKey) -> Self {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = format!("http://{}/realm", socket.local_addr().unwrap());
        let script = Arc::new(Mutex::new(IssuerScript {
            discovery: json!({"issuer": name, "jwks_uri": format!("{name}/keys")}),
            keys: json!({"keys": [key.jwk]}),
            padding: 0,
            fault: IssuerFault::None,
            asked: 0,
        }));
        let discovery =
            async |State(script): State<Arc<Mutex<IssuerScript>>>| answer(&script, |script| &script.discovery).await;
        let keys = async |State(script): State<Arc<Mutex<IssuerScript>>>| answer(&script, |script| &script.keys).await;
        let routes = Router::new()
            .route("/realm/.well-known/openid-configuration", get(discovery))
            .route("/realm/keys", get(keys))
            .with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(socket, routes).await });
        Self { name, script }
    }

    fn config(&self) -> IssuerConfig {
        IssuerConfig { issuer: self.name.clone(), audience: AUDIENCE.into(), tenant: TENANT }
    }

    fn script(&self, change: impl FnOnce(&mut IssuerScript)) {
        change(&mut self.script.lock().unwrap());
    }

    /// Returns the number of requests since the last call.
    fn take_request_count(&self) -> usize {
        std::mem::take(&mut self.script.lock().unwrap().asked)
    }

    /// Claims of an application's token.
    fn claims(&self) -> Value {
        let now = START.unix_seconds();
        json!({
            "iss": self.name, "aud": AUDIENCE, "nbf": now, "exp": now + 365 * 24 * 3600, "azp": CLIENT, "oid": CLIENT,
            "roles": ["CloudPC.Read.All"],
        })
    }
}

async fn answer(script: &Mutex<IssuerScript>, of: fn(&IssuerScript) -> &Value) -> Response {
    let (fault, text) = {
        let mut script = script.lock().unwrap();
        script.asked += 1;
        (script.fault, of(&script).to_string() + &" ".repeat(script.padding))
    };
    match fault {
        IssuerFault::None => text.into_response(),
        IssuerFault::Down => StatusCode::BAD_GATEWAY.into_response(),
        IssuerFault::Silent => std::future::pending().await,
        IssuerFault::Moved => Redirect::temporary("http://127.0.0.1:1/").into_response(),
        IssuerFault::Nonsense => "<html>".into_response(),
    }
}

/// Returns a key with another id.
fn named(kid: &str, key: &SigningKey) -> SigningKey {
    SigningKey { jwk: json!({"kid": kid}), encoding: key.encoding.clone() }
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

impl TestIdentity {
    async fn caller(&self, token: &str) -> Result<Caller, AuthenticationError> {
        self.identity.authenticate(&bearer_headers(token)).await.map(|caller| (*caller).clone())
    }

    /// Returns whether a token is accepted, or else why not.
    async fn verdict(&self, token: &str) -> String {
        match self.caller(token).await {
            Ok(_) => "accepted".into(),
            Err(AuthenticationError::Rejected(why)) => format!("rejected: {why}"),
            Err(AuthenticationError::Unavailable(why)) => format!("unavailable: {why}"),
        }
    }
}

#[tokio::test]
async fn tokens_of_a_configured_issuer_are_accepted() {
    let key = SigningKey::new("one");
    let issuer = OutsideIssuer::start(&key).await;
    let service = TestIdentity::trusting(vec![issuer.config()]).await;

    let application = service.caller(&key.sign(&issuer.claims())).await.unwrap();
    let expected = Caller {
        tenant_id: TENANT,
        app_id: Some(CLIENT),
        app_name: CLIENT.to_string(),
        user: None,
        permissions: BTreeSet::from(["CloudPC.Read.All".into()]),
        origin: TokenOrigin::Outside {
            issuer: issuer.config().issuer,
            expires_at: Timestamp(issuer.claims()["exp"].as_i64().unwrap() * 1_000_000),
        },
        is_owner: false,
    };
    assert_eq!(application, expected);

    let mut claims = issuer.claims();
    claims["scp"] = "CloudPC.ReadWrite.All openid".into();
    claims["oid"] = ADA.to_string().into();
    claims["preferred_username"] = "ada@idp.test".into();
    claims["app_displayname"] = "Rollout".into();
    claims["wids"] = json!(["62e90394-69f5-4237-9190-012177145e10", "11111111-1111-1111-1111-111111111111"]);
    // The tenant comes from the configuration; the token's own tenant is ignored.
    claims["tid"] = OTHER_TENANT.to_string().into();
    let user = service.caller(&key.sign(&claims)).await.unwrap();
    let expected = Caller {
        app_name: "Rollout".into(),
        user: Some(CallerUser {
            id: ADA,
            user_principal_name: "ada@idp.test".into(),
            roles: vec!["Global Administrator".into(), "11111111-1111-1111-1111-111111111111".into()],
        }),
        permissions: BTreeSet::from(["CloudPC.ReadWrite.All".into(), "openid".into()]),
        ..expected
    };
    assert_eq!(user, expected);
    assert_eq!(issuer.take_request_count(), 2, "discovery and keys are fetched once");
}

#[tokio::test]
async fn an_outside_issuer_cannot_make_an_owner() {
    let key = SigningKey::new("one");
    let issuer = OutsideIssuer::start(&key).await;
    let service = TestIdentity::trusting(vec![issuer.config()]).await;
    let own = |tx: &mut cloudpc_store::Tx<'_>| crate::installation::set_owner(tx, TENANT, CLIENT);
    service.identity.store.write::<_, cloudpc_store::StoreError, _>("test.write", own).await.unwrap();
    let mut claims = issuer.claims();
    claims["roles"] = json!(["CloudPC.Read.All", "Cloudpc.Simulate.All"]);
    let caller = service.caller(&key.sign(&claims)).await.unwrap();
    assert_eq!((caller.app_id, caller.is_owner), (Some(CLIENT), false), "the token names the owner's application");
    assert_eq!(
        caller.permissions,
        BTreeSet::from(["CloudPC.Read.All".into()]),
        "what only the owner grants is dropped"
    );
}

#[tokio::test]
async fn an_outside_issuers_tokens_are_verified() {
    let (key, other_key) = (SigningKey::new("one"), SigningKey::new("two"));
    let (issuer, other) = (OutsideIssuer::start(&key).await, OutsideIssuer::start(&other_key).await);
    let service = TestIdentity::trusting(vec![issuer.config(), other.config()]).await;
    let local = service.app_token().await;
    let ours = part(&local, 0)["kid"].as_str().unwrap().to_owned();
    let claims = issuer.claims();
    let now = START.unix_seconds();

    let mut table = String::new();
    for (what, token) in [
        ("its own", key.sign(&claims)),
        ("signed by another key under its name", named("one", &other_key).sign(&claims)),
        ("signed by another trusted issuer", other_key.sign(&claims)),
        ("in the name of another trusted issuer", key.sign(&other.claims())),
        ("in the name of ours", key.sign(&part(&local, 1))),
        ("under the name of our key", named(&ours, &key).sign(&claims)),
        ("in the name of a stranger", key.sign(&with(claims.clone(), "iss", json!("http://127.0.0.1:1/realm")))),
        (
            "of an issuer whose name begins like its",
            key.sign(&with(claims.clone(), "iss", json!(format!("{}/", issuer.name)))),
        ),
        ("without an issuer", key.sign(&with(claims.clone(), "iss", Value::Null))),
        ("for another audience", key.sign(&with(claims.clone(), "aud", json!(GRAPH_AUDIENCES[0])))),
        ("for us among others", key.sign(&with(claims.clone(), "aud", json!(["other", AUDIENCE])))),
        ("expired", key.sign(&with(claims.clone(), "exp", json!(now)))),
        ("not valid yet", key.sign(&with(claims.clone(), "nbf", json!(now + 24 * 3600)))),
        ("for a user without a GUID", key.sign(&with(with(claims.clone(), "scp", json!("a")), "oid", json!("ada")))),
        ("without a key's name", jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key.encoding).unwrap()),
    ] {
        // Each token gets a fresh service, or the limit on fetching would hide the reason.
        service.clock.advance(REFETCH_INTERVAL_MIN).await;
        table += &format!("{what} -> {}\n", service.verdict(&token).await);
    }
    insta::assert_snapshot!(table, @"
    its own -> accepted
    signed by another key under its name -> rejected: The signature of the access token is invalid.
    signed by another trusted issuer -> rejected: The issuer of the access token has no such key.
    in the name of another trusted issuer -> rejected: The issuer of the access token has no such key.
    in the name of ours -> rejected: The issuer of the access token is not trusted.
    under the name of our key -> rejected: The signature of the access token is invalid.
    in the name of a stranger -> rejected: The issuer of the access token is not trusted.
    of an issuer whose name begins like its -> rejected: The issuer of the access token is not trusted.
    without an issuer -> rejected: The issuer of the access token is not trusted.
    for another audience -> rejected: The access token is for another audience.
    for us among others -> accepted
    expired -> rejected: The access token has expired. Get a new token.
    not valid yet -> rejected: The access token is not valid yet.
    for a user without a GUID -> rejected: The user id of the access token is not a GUID.
    without a key's name -> rejected: The access token does not name its key (kid).
    ");
}

#[tokio::test]
async fn a_rotated_key_is_fetched_with_a_rate_limit() {
    let (first, second) = (SigningKey::new("one"), SigningKey::new("two"));
    let issuer = OutsideIssuer::start(&first).await;
    let service = TestIdentity::trusting(vec![issuer.config()]).await;
    assert_eq!(service.verdict(&first.sign(&issuer.claims())).await, "accepted");
    assert_eq!(issuer.take_request_count(), 2);

    issuer.script(|script| script.keys = json!({"keys": [second.jwk]}));
    let rotated = second.sign(&issuer.claims());
    service.clock.advance(REFETCH_INTERVAL_MIN - Duration::from_secs(1)).await;
    for _ in 0..3 {
        let verdict = service.verdict(&rotated).await;
        assert_eq!(verdict, "rejected: The issuer of the access token has no such key.");
    }
    assert_eq!(issuer.take_request_count(), 0, "within the shortest interval");
    service.clock.advance(Duration::from_secs(1)).await;
    assert_eq!(service.verdict(&rotated).await, "accepted");
    assert_eq!(issuer.take_request_count(), 2);

    for n in 0..100 {
        let made_up = named(&format!("made-up-{n}"), &first);
        assert!(service.verdict(&made_up.sign(&issuer.claims())).await.starts_with("rejected"));
    }
    assert_eq!(issuer.take_request_count(), 0);
    service.identity.forget_verified();
    assert!(service.verdict(&first.sign(&issuer.claims())).await.starts_with("rejected"), "a revoked key is rejected");
}

#[tokio::test]
async fn revoked_keys_are_rejected_after_the_cache_expires() {
    let (first, second) = (SigningKey::new("one"), SigningKey::new("two"));
    let issuer = OutsideIssuer::start(&first).await;
    let service = TestIdentity::trusting(vec![issuer.config()]).await;
    let token = first.sign(&issuer.claims());
    assert_eq!(service.verdict(&token).await, "accepted");
    issuer.script(|script| script.keys = json!({"keys": [second.jwk]}));
    service.clock.advance(FETCHED_AGE_MAX - Duration::from_secs(1)).await;
    assert_eq!(service.verdict(&token).await, "accepted");
    service.clock.advance(VERIFIED_AGE_MAX).await;
    assert_eq!(service.verdict(&token).await, "rejected: The issuer of the access token has no such key.");
}

#[tokio::test]
async fn an_unavailable_issuer_affects_only_its_own_callers() {
    let key = SigningKey::new("one");
    let issuer = OutsideIssuer::start(&key).await;
    let service = TestIdentity::trusting(vec![issuer.config()]).await;
    let token = key.sign(&issuer.claims());
    issuer.script(|script| script.fault = IssuerFault::Down);
    let verdict = service.verdict(&token).await.replace(&issuer.name, "<issuer>");
    insta::assert_snapshot!(verdict, @"unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.");
    assert_eq!(issuer.take_request_count(), 1);
    assert!(service.verdict(&token).await.starts_with("unavailable"));
    assert_eq!(issuer.take_request_count(), 0, "an unavailable issuer is not contacted again at once");
    assert_eq!(service.verdict(&service.app_token().await).await, "accepted");

    issuer.script(|script| script.fault = IssuerFault::None);
    service.clock.advance(REFETCH_INTERVAL_MIN).await;
    assert_eq!(service.verdict(&token).await, "accepted");
    issuer.script(|script| script.fault = IssuerFault::Down);
    service.clock.advance(FETCHED_AGE_MAX * 5).await;
    assert_eq!(service.verdict(&token).await, "accepted", "cached keys stay valid while the issuer is unavailable");
    issuer.take_request_count();
    assert!(service.verdict(&SigningKey::new("new").sign(&issuer.claims())).await.starts_with("unavailable"));
    assert_eq!(issuer.take_request_count(), 0);
}

#[tokio::test]
async fn malformed_issuer_documents_are_rejected() {
    let key = SigningKey::new("one");
    let issuer = OutsideIssuer::start(&key).await;
    let token = key.sign(&issuer.claims());
    let elsewhere = OutsideIssuer::start(&key).await;
    let (name, base) =
        (issuer.name.clone(), json!({"issuer": issuer.name, "jwks_uri": format!("{}/keys", issuer.name)}));
    let room = |document: &Value| DOCUMENT_BYTES_MAX - document.to_string().len();
    let foreign = [
        json!({"kty": "oct", "kid": "one", "k": "c2VjcmV0"}),
        json!({"kty": "quantum", "kid": "two"}),
        json!("not even a key"),
    ];
    let keys = |more: &[Value]| json!({"keys": Value::Array([more, std::slice::from_ref(&key.jwk)].concat())});
    let for_encryption = json!({"keys": [with(key.jwk.clone(), "use", json!("enc"))]});
    let for_another_algorithm = json!({"keys": [with(key.jwk.clone(), "alg", json!("RS256"))]});
    let (good, longest) = (keys(&[]), room(&keys(&[])));
    let jwks_at = |address: String| with(base.clone(), "jwks_uri", json!(address));
    let mut table = String::new();
    for (what, discovery, keys, padding, fault) in [
        ("as it should", base.clone(), good.clone(), 0, IssuerFault::None),
        ("keys of unknown kinds among them", base.clone(), keys(&foreign), 0, IssuerFault::None),
        ("as much as may be", base.clone(), good.clone(), longest, IssuerFault::None),
        ("too much", base.clone(), good.clone(), longest + 1, IssuerFault::None),
        (
            "about another issuer",
            with(base.clone(), "issuer", json!(elsewhere.name)),
            good.clone(),
            0,
            IssuerFault::None,
        ),
        ("keys at a plain address", jwks_at("http://keys.example.com/".into()), good.clone(), 0, IssuerFault::None),
        ("keys in a file", jwks_at("file:///etc/passwd".into()), good.clone(), 0, IssuerFault::None),
        ("keys at nobody", jwks_at("http://127.0.0.1:1/".into()), good.clone(), 0, IssuerFault::None),
        (
            "keys at an address that is not there",
            jwks_at(format!("{name}/nowhere")),
            good.clone(),
            0,
            IssuerFault::None,
        ),
        ("without keys", base.clone(), json!({"keys": []}), 0, IssuerFault::None),
        ("a secret as a key", base.clone(), json!({"keys": [&foreign[0]]}), 0, IssuerFault::None),
        ("a key for encryption", base.clone(), for_encryption, 0, IssuerFault::None),
        ("a key for another algorithm", base.clone(), for_another_algorithm, 0, IssuerFault::None),
        ("no discovery", json!({}), good.clone(), 0, IssuerFault::None),
        ("no list of keys", base.clone(), json!([]), 0, IssuerFault::None),
        ("a redirect", base.clone(), good.clone(), 0, IssuerFault::Moved),
        ("not JSON", base.clone(), good.clone(), 0, IssuerFault::Nonsense),
    ] {
        issuer.script(|script| {
            (script.discovery, script.keys, script.padding, script.fault) = (discovery, keys, padding, fault);
        });
        let service = TestIdentity::trusting(vec![issuer.config()]).await;
        table += &format!("{what} -> {}\n", service.verdict(&token).await.replace(&name, "<issuer>"));
    }
    insta::assert_snapshot!(table, @"
    as it should -> accepted
    keys of unknown kinds among them -> accepted
    as much as may be -> accepted
    too much -> unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.
    about another issuer -> unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.
    keys at a plain address -> unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.
    keys in a file -> unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.
    keys at nobody -> unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.
    keys at an address that is not there -> unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.
    without keys -> rejected: The issuer of the access token has no such key.
    a secret as a key -> rejected: The issuer of the access token has no such key.
    a key for encryption -> rejected: The issuer of the access token has no such key.
    a key for another algorithm -> rejected: The signature algorithm of the access token does not match its key.
    no discovery -> unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.
    no list of keys -> unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.
    a redirect -> unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.
    not JSON -> unavailable: The keys of the issuer <issuer> cannot be fetched at the moment. Try again later.
    ");
}

#[tokio::test(start_paused = true)]
async fn a_slow_issuer_times_out_and_is_contacted_once() {
    let key = SigningKey::new("one");
    let issuer = OutsideIssuer::start(&key).await;
    let service = TestIdentity::trusting(vec![issuer.config()]).await;
    issuer.script(|script| script.fault = IssuerFault::Silent);
    let token = key.sign(&issuer.claims());
    let began = tokio::time::Instant::now();
    let verdicts = futures_util::future::join_all((0..20).map(|_| service.verdict(&token))).await;
    assert!(verdicts.iter().all(|verdict| verdict.starts_with("unavailable")), "{verdicts:?}");
    assert!(began.elapsed() >= ISSUER_TIME_MAX && began.elapsed() < ISSUER_TIME_MAX * 2, "{:?}", began.elapsed());
    assert_eq!(issuer.take_request_count(), 1);
}
