//! Tests of token verification.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;

use super::*;

#[tokio::test]
async fn only_our_own_valid_access_tokens_are_accepted() {
    let service = TestIdentity::new().await;
    let good = service.app_token().await;
    let (head, claims) = (part(&good, 0), part(&good, 1));
    let signature = good.rsplit('.').next().unwrap().to_owned();
    let keys = service.identity.keys();

    // Signed with our own key, so that each check is tested on its own.
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

    // Algorithm confusion: our public key as an HMAC secret.
    let mut hmac_head = Header::new(Algorithm::HS256);
    hmac_head.kid = head["kid"].as_str().map(str::to_owned);
    let public_key = serde_json::to_vec(&keys.public().keys[0]).unwrap();
    let hmac = jsonwebtoken::encode(&hmac_head, &claims, &EncodingKey::from_secret(&public_key)).unwrap();

    // Another key with our key id.
    let stranger = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let stranger = EncodingKey::from_rsa_pem(stranger.serialize_pem().as_bytes()).unwrap();
    let mut stranger_head = Header::new(Algorithm::RS256);
    stranger_head.kid = head["kid"].as_str().map(str::to_owned);
    let forged = jsonwebtoken::encode(&stranger_head, &claims, &stranger).unwrap();
    stranger_head.jwk = Some(jsonwebtoken::jwk::Jwk::from_encoding_key(&stranger, Algorithm::RS256).unwrap());
    let forged_with_key = jsonwebtoken::encode(&stranger_head, &claims, &stranger).unwrap();

    // Headers with a URL of a key. The socket checks that no request is sent to it.
    let lure = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    lure.set_nonblocking(true).unwrap();
    let address = format!("http://{}/keys", lure.local_addr().unwrap());
    stranger_head.jwk = None;
    (stranger_head.jku, stranger_head.x5u) = (Some(address.clone()), Some(address));
    let luring = jsonwebtoken::encode(&stranger_head, &claims, &stranger).unwrap();
    stranger_head.kid = Some("stranger".into());
    let luring_under_its_own_name = jsonwebtoken::encode(&stranger_head, &claims, &stranger).unwrap();

    let mut of_other_tenant = claims.clone();
    of_other_tenant["tid"] = json!(OTHER_TENANT);
    of_other_tenant["iss"] = json!(format!("https://127.0.0.1:8366/{OTHER_TENANT}/v2.0"));

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
        ("a place to find a stranger's key", luring),
        ("the same under its own name", luring_under_its_own_name),
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
        ("issuer of another tenant of ours", with("iss", of_other_tenant["iss"].clone())),
        ("application in another tenant of ours", keys.sign(&of_other_tenant).unwrap()),
        ("foreign tenant", keys.sign(&foreign).unwrap()),
        ("no tenant", with("tid", Value::Null)),
        ("unknown application", with("appid", json!("00000000-0000-0000-0000-000000000009"))),
        ("built-in client without a user", with("appid", json!(BUILT_IN_CLIENT))),
        ("delegated, but no user", with("scp", json!("CloudPC.Read.All"))),
        ("not a JWT", "abc".into()),
        ("five parts", "a.b.c.d.e".into()),
        ("dots", "..".into()),
        ("cut short", good[..good.len() - 1].into()),
        ("without its last part", good.rsplit_once('.').unwrap().0.into()),
        ("one dot more", format!("{good}.")),
        ("one dot more before", format!(".{good}")),
        ("two tokens", format!("{good} {good}")),
        ("padded", format!("{good}==")),
        ("not base64", "%%%.%%%.%%%".into()),
        ("as long as may be", "a".repeat(TOKEN_BYTES_MAX)),
        ("too long", "a".repeat(TOKEN_BYTES_MAX + 1)),
    ];
    let mut table = String::new();
    for (name, token) in &attacks {
        table += &format!("{name}: {}\n", service.refusal(token).await);
    }
    assert!(lure.accept().is_err(), "a URL in a header was fetched");
    insta::assert_snapshot!(table, @"
    alg none: The access token is not a JWT with an accepted signature algorithm.
    alg None, signature kept: The access token is not a JWT with an accepted signature algorithm.
    HS256 with the public key: The signature algorithm of the access token is not accepted.
    RS512 in the header: The signature of the access token is invalid.
    ES256 in the header: The signature of the access token is invalid.
    another kid: The issuer of the access token is not trusted.
    no kid: The access token does not name its key (kid).
    critical header: The access token has unsupported critical header fields.
    more roles: The signature of the access token is invalid.
    no signature: The signature of the access token is invalid.
    a stranger's key: The signature of the access token is invalid.
    a stranger's key in the header: The signature of the access token is invalid.
    a place to find a stranger's key: The signature of the access token is invalid.
    the same under its own name: The issuer of the access token is not trusted.
    expired: The access token has expired. Get a new token.
    no exp: The claims of the access token are malformed.
    exp is text: The claims of the access token are malformed.
    not valid yet: The access token is not valid yet.
    wrong audience: The access token is for another audience.
    audience that only begins like ours: The access token is for another audience.
    our name as a user name: The access token is for another audience.
    no audience: The access token is for another audience.
    audience of a refresh token: The access token is for another audience.
    wrong issuer: The issuer of the access token does not match its tenant.
    issuer of another tenant: The issuer of the access token does not match its tenant.
    issuer of another tenant of ours: The issuer of the access token does not match its tenant.
    application in another tenant of ours: The application of the access token is unknown or disabled.
    foreign tenant: The tenant of the access token is unknown.
    no tenant: The issuer of the access token does not match its tenant.
    unknown application: The application of the access token is unknown or disabled.
    built-in client without a user: The application of the access token is unknown or disabled.
    delegated, but no user: The user of the access token is unknown or disabled.
    not a JWT: The access token is not a JWT with an accepted signature algorithm.
    five parts: The access token is not a JWT with an accepted signature algorithm.
    dots: The access token is not a JWT with an accepted signature algorithm.
    cut short: The signature of the access token is invalid.
    without its last part: The access token is not a JWT with an accepted signature algorithm.
    one dot more: The access token is not a JWT with an accepted signature algorithm.
    one dot more before: The access token is not a JWT with an accepted signature algorithm.
    two tokens: The access token is not a JWT with an accepted signature algorithm.
    padded: The signature of the access token is invalid.
    not base64: The access token is not a JWT with an accepted signature algorithm.
    as long as may be: The access token is not a JWT with an accepted signature algorithm.
    too long: The access token is longer than 16384 bytes.
    ");

    // Tokens just within the limits.
    for good in [with("nbf", json!(now + 60)), with("exp", json!(now + 1)), with("aud", json!(GRAPH_AUDIENCES[1]))] {
        assert!(service.identity.authenticate(&bearer_headers(&good)).await.is_ok());
    }
}

#[tokio::test]
async fn authorization_headers_without_a_token_are_rejected() {
    let service = TestIdentity::new().await;
    let token = service.app_token().await;
    let good = |scheme: &str| HeaderValue::try_from(format!("{scheme} {token}")).unwrap();
    assert!(
        service.identity.authenticate(&HeaderMap::from_iter([(header::AUTHORIZATION, good("bearer"))])).await.is_ok()
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
        let error = service.identity.authenticate(&headers).await.unwrap_err();
        table += &format!("{}: {error}\n", values.len());
    }
    insta::assert_snapshot!(table, @r#"
    0: Access token is empty: the Authorization header is missing.
    2: The request has more than one Authorization header. Send one.
    1: Invalid Authorization header. Expected "Bearer" and an access token.
    1: Invalid Authorization header. Expected "Bearer" and an access token.
    1: Access token is empty.
    1: Invalid Authorization header. Expected "Bearer" and an access token.
    "#);
}

#[tokio::test]
async fn a_cached_token_expires_on_time() {
    let service = TestIdentity::new().await;
    let token = service.app_token().await;
    assert!(service.identity.authenticate(&bearer_headers(&token)).await.is_ok());
    service.clock.advance(TOKEN_LIFETIME - Duration::from_secs(1)).await;
    assert!(service.identity.authenticate(&bearer_headers(&token)).await.is_ok());
    service.clock.advance(Duration::from_secs(1)).await;
    assert_eq!(service.refusal(&token).await, "The access token has expired. Get a new token.");
}

#[tokio::test]
async fn the_cache_of_verified_tokens_is_bounded() {
    let service = TestIdentity::new().await;
    let token = service.app_token().await;
    let caller = service.identity.authenticate(&bearer_headers(&token)).await.unwrap();
    let verified = &service.identity.verified;
    assert_eq!(verified.len(), 1);
    let until = START + TOKEN_LIFETIME;
    for n in 0..2 * VERIFIED_BYTES_MAX / TOKEN_BYTES_MAX as u64 {
        let token = format!("{n:0>TOKEN_BYTES_MAX$}").into_boxed_str();
        verified.insert(token, Verified { caller: Arc::clone(&caller), until, generation: 0 });
        assert!(verified.weight() <= VERIFIED_BYTES_MAX, "{n}");
    }
    assert!(verified.len() > 1);
    assert!(service.identity.authenticate(&bearer_headers(&token)).await.is_ok(), "an evicted token is verified again");
}

#[tokio::test]
async fn revocations_take_effect_at_once() {
    let service = TestIdentity::new().await;
    let (app_token, user_token) = (service.app_token().await, service.user_token().await);
    let permissions = async |token: &str| {
        let caller = service.identity.authenticate(&bearer_headers(token)).await.unwrap();
        caller.permissions.iter().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(permissions(&app_token).await, "CloudPC.ReadWrite.All");
    assert_eq!(permissions(&user_token).await, "CloudPC.Read.All CloudPC.ReadWrite.All");

    service
        .change(
            Application { permissions: vec![], ..application() },
            User { permissions: vec!["CloudPC.Read.All".into()], ..ada() },
        )
        .await;
    assert_eq!(permissions(&app_token).await, "");
    assert_eq!(permissions(&user_token).await, "CloudPC.Read.All");

    service.change(Application { enabled: false, ..application() }, User { enabled: false, ..ada() }).await;
    insta::assert_snapshot!(service.refusal(&app_token).await, @"The application of the access token is unknown or disabled.");
    insta::assert_snapshot!(service.refusal(&user_token).await, @"The user of the access token is unknown or disabled.");
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
        ("https://graph.microsoft.com/\0", false),
        ("https://graph.microsoft.com\t", false),
        ("https://graph.microsoft.com ", false),
        (" https://graph.microsoft.com", false),
        ("ht\ntps://graph.microsoft.com", false),
        ("https://graph.microsoft.com//", false),
        ("https://graph.microsoft.com/.", false),
        ("https://graph.microsoft.com\\", false),
        ("https:/graph.microsoft.com", false),
        ("https:///graph.microsoft.com", false),
        ("https://gr%61ph.microsoft.com", false),
        ("https://eve@graph.microsoft.com", false),
        ("https://:secret@graph.microsoft.com", false),
        ("https://graph.microsoft.com?", false),
        ("https://graph.microsoft.com/#", false),
        ("https://cloudpc.example.com.evil.test", false),
        ("", false),
    ] {
        assert_eq!(is_our_audience(&names, audience), expected, "{audience}");
    }
}
