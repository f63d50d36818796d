//! Tests of grants.

use base64::prelude::BASE64_STANDARD;

use super::super::attempts::{PEER_WINDOW, SECRET_ATTEMPTS};
use super::super::oauth::FORM_BYTES_MAX;
use super::*;

#[tokio::test]
async fn client_credentials_give_a_valid_token() {
    let service = TestIdentity::new().await;
    let mut answer = service.client_credentials(&[]).await.unwrap();
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

    let caller = service.identity.authenticate(&bearer_headers(token)).await.unwrap();
    assert_eq!(
        *caller,
        Caller {
            tenant_id: TENANT,
            app_id: Some(CLIENT),
            app_name: "Rollout".into(),
            user: None,
            permissions: BTreeSet::from(["CloudPC.ReadWrite.All".into()]),
            origin: TokenOrigin::Local { key_id: part(token, 0)["kid"].as_str().unwrap().into() },
            is_owner: false,
        }
    );
}

#[tokio::test]
async fn basic_authentication_is_supported() {
    let service = TestIdentity::new().await;
    let form = "grant_type=client_credentials&scope=https%3A%2F%2F127.0.0.1%3A8366%2F.default";
    let mut headers = form_headers();
    let credentials = BASE64_STANDARD.encode(format!("{CLIENT}:{}", service.secret.replace('_', "%5F")));
    headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Basic {credentials}")).unwrap());
    let answer = service.token(&TENANT.to_string(), PEER, &headers, form).await.unwrap();
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(part(token, 1)["aud"], "https://127.0.0.1:8366");
    assert!(service.identity.authenticate(&bearer_headers(token)).await.is_ok());
}

#[tokio::test]
async fn invalid_token_requests_get_oauth_errors() {
    let service = TestIdentity::new().await;
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
        let error = service.client_credentials(&[changes]).await.unwrap_err();
        table += &format!("{changes:?} -> {}\n", summary(&error));
    }
    for tenant in ["common", "00000000-0000-0000-0000-000000000009", "unknown.test"] {
        let form = [("grant_type", "client_credentials"), ("client_id", "x"), ("client_secret", "x")];
        let error = service.post(tenant, &form).await.unwrap_err();
        table += &format!("{tenant} -> {}\n", summary(&error));
    }
    let twice = [("grant_type", "client_credentials"), ("grant_type", "client_credentials")];
    table += &format!("twice -> {}\n", summary(&service.post("common", &twice).await.unwrap_err()));
    insta::assert_snapshot!(table, @r#"
    ("client_secret", "wrong") -> 401 invalid_client 7000215: The client secret is wrong. Use the application's current secret.
    ("client_secret", "") -> 401 invalid_client 7000216: The form lacks the parameter "client_secret", or "client_assertion" with the type urn:ietf:params:oauth:client-assertion-type:jwt-bearer. Other client authentication is not supported.
    ("client_id", "00000000-0000-0000-0000-000000000009") -> 400 unauthorized_client 700016: This tenant has no application "00000000-0000-0000-0000-000000000009". Use the client id of a registered application.
    ("client_id", "rollout") -> 400 unauthorized_client 700016: This tenant has no application "rollout". Use the client id of a registered application.
    ("client_id", "") -> 400 invalid_request 900144: The form lacks the parameter "client_id".
    ("scope", "") -> 400 invalid_request 900144: The form lacks the parameter "scope".
    ("scope", "https://graph.microsoft.com/CloudPC.Read.All") -> 400 invalid_scope 70011: Invalid scope "https://graph.microsoft.com/CloudPC.Read.All" for an application. Use https://graph.microsoft.com/.default, or https://NAME/.default with a name of this server.
    ("scope", "https://vault.example.com/.default") -> 400 invalid_scope 70011: Invalid scope "https://vault.example.com/.default" for an application. Use https://graph.microsoft.com/.default, or https://NAME/.default with a name of this server.
    ("grant_type", "password") -> 400 unsupported_grant_type 70003: Unsupported grant type "password". Use client_credentials, authorization_code, device_code or refresh_token.
    ("grant_type", "") -> 400 invalid_request 900144: The form lacks the parameter "grant_type".
    common -> 400 invalid_request 50194: The path segment "common" does not name a tenant. An application must use its own tenant; put the tenant's id there.
    00000000-0000-0000-0000-000000000009 -> 400 invalid_tenant 90002: Unknown tenant "00000000-0000-0000-0000-000000000009". Use the tenant's id, or a domain of its users' names.
    unknown.test -> 400 invalid_tenant 90002: Unknown tenant "unknown.test". Use the tenant's id, or a domain of its users' names.
    twice -> 400 invalid_request 9002313: The form has the parameter "grant_type" more than once. Send it once.
    "#);
}

#[tokio::test]
async fn only_forms_within_the_size_limit_are_read() {
    let service = TestIdentity::new().await;
    let ask = async |content_type: Option<&'static str>, body: String| {
        let headers = content_type.map(|value| (header::CONTENT_TYPE, HeaderValue::from_static(value)));
        let headers = HeaderMap::from_iter(headers);
        service.token(&TENANT.to_string(), PEER, &headers, &body).await
    };
    let form = format!(
        "client_id={CLIENT}&client_secret={}&grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
        service.secret
    );
    let long = |bytes: usize| format!("{form}&padding={}", "x".repeat(bytes - form.len() - "&padding=".len()));
    let good = Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8");
    assert!(ask(good, long(FORM_BYTES_MAX)).await.is_ok());
    let mut text = String::new();
    for (what, content_type, body) in [
        ("too long", good, long(FORM_BYTES_MAX + 1)),
        ("JSON", Some("application/json"), r#"{"grant_type": "client_credentials"}"#.into()),
        ("no content type", None, form.clone()),
        ("empty", good, String::new()),
        ("not text", good, "%ff%fe=%00".into()),
    ] {
        text += &format!("{what} -> {}\n", summary(&ask(content_type, body).await.unwrap_err()));
    }
    insta::assert_snapshot!(text, @r#"
    too long -> 400 invalid_request 9002313: The form has 65537 bytes. The maximum is 65536.
    JSON -> 400 invalid_request 9002313: The body is not a form. Send it as application/x-www-form-urlencoded.
    no content type -> 400 invalid_request 9002313: The body is not a form. Send it as application/x-www-form-urlencoded.
    empty -> 400 invalid_request 900144: The form lacks the parameter "grant_type".
    not text -> 400 invalid_request 900144: The form lacks the parameter "grant_type".
    "#);
}

#[tokio::test]
async fn an_administrator_can_issue_tokens_for_users() {
    let service = TestIdentity::new().await;
    let wanted = ["CloudPC.Read.All".to_owned()];
    let issue = async |user: &str, permissions: Option<&[String]>| {
        service.identity.issue_for_user(&base(), TENANT, user, permissions).await
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
    let caller = service.identity.authenticate(&bearer_headers(&token.token)).await.unwrap();
    let origin = TokenOrigin::Local { key_id: "KEY".into() };
    insta::assert_debug_snapshot!(Caller { origin, ..(*caller).clone() }, @r#"
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
        is_owner: false,
        origin: Local {
            key_id: "KEY",
        },
    }
    "#);

    insta::assert_snapshot!(issue("eve@contoso.test", None).await.unwrap_err(), @r#"This tenant has no enabled user "eve@contoso.test"."#);
    insta::assert_snapshot!(issue("ada@contoso.test", Some(&["Root".into()])).await.unwrap_err(), @"The user ada@contoso.test does not have the permission Root.");
}

#[tokio::test]
async fn openid_scopes_are_ignored_for_applications() {
    let service = TestIdentity::new().await;
    for scope in [
        "https://graph.microsoft.com/.default openid profile offline_access",
        "openid offline_access profile https://graph.microsoft.com/.default",
        "email https://graph.microsoft.com/.default openid",
        "00000003-0000-0000-C000-000000000000/.default",
        "https://Graph.Microsoft.com/.default",
    ] {
        assert!(service.client_credentials(&[("scope", scope)]).await.is_ok(), "{scope}");
    }
    for scope in [
        "openid profile offline_access",
        "https://graph.microsoft.com/.default CloudPC.Read.All",
        "https://graph.microsoft.com/.default https://graph.microsoft.com/.default",
        "https://graph.microsoft.com/.default address",
        "https://graph.microsoft.com/.default?x=1 openid",
    ] {
        let refused = service.client_credentials(&[("scope", scope)]).await.unwrap_err();
        assert_eq!((refused.error, refused.number), ("invalid_scope", 70_011), "{scope}");
    }
}

#[tokio::test]
async fn parameter_names_are_case_insensitive() {
    let service = TestIdentity::new().await;
    let form = format!(
        "Grant_Type=client_credentials&SCOPE=https://graph.microsoft.com/.default&Client_Id={CLIENT}&Client_Secret={}",
        service.secret
    );
    assert!(service.token(&TENANT.to_string(), PEER, &form_headers(), &form).await.is_ok());
    let twice = service.token(&TENANT.to_string(), PEER, &form_headers(), &format!("{form}&grant_type=password")).await;
    insta::assert_snapshot!(summary(&twice.unwrap_err()), @r#"400 invalid_request 9002313: The form has the parameter "grant_type" more than once. Send it once."#);
}

#[tokio::test]
async fn a_tenant_can_be_named_by_its_users_domain() {
    let service = TestIdentity::new().await;
    let ask = async |tenant: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "00000000-0000-0000-0000-000000000002"),
            ("client_secret", service.secret.as_str()),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        service.post(tenant, &form).await
    };
    for tenant in ["contoso.test", "Contoso.TEST", &TENANT.to_string().to_uppercase()] {
        assert!(ask(tenant).await.is_ok(), "{tenant}");
    }
    let guest = User { tenant_id: OTHER_TENANT, id: UserId(Uuid::from_u128(8)), ..ada() };
    service.change(application(), User { user_principal_name: "guest@contoso.test".into(), ..guest }).await;
    let mut text = String::new();
    for tenant in ["contoso.test", "ada@contoso.test", "test", ""] {
        text += &format!("{tenant} -> {}\n", summary(&ask(tenant).await.unwrap_err()));
    }
    insta::assert_snapshot!(text, @r#"
    contoso.test -> 400 invalid_tenant 90002: More than one tenant has users in the domain "contoso.test". Use the tenant's id.
    ada@contoso.test -> 400 invalid_tenant 90002: Unknown tenant "ada@contoso.test". Use the tenant's id, or a domain of its users' names.
    test -> 400 invalid_tenant 90002: Unknown tenant "test". Use the tenant's id, or a domain of its users' names.
     -> 400 invalid_tenant 90002: Unknown tenant "". Use the tenant's id, or a domain of its users' names.
    "#);
}

#[tokio::test]
async fn the_v1_endpoint_issues_application_tokens() {
    let service = TestIdentity::new().await;
    let ask = async |changes: &[(&str, &str)]| {
        let mut form = std::collections::BTreeMap::from([
            ("client_id", "00000000-0000-0000-0000-000000000002"),
            ("client_secret", service.secret.as_str()),
            ("grant_type", "client_credentials"),
            ("resource", "https://graph.microsoft.com/"),
        ]);
        form.extend(changes.iter().copied());
        let body = Bytes::from(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish());
        let (base, headers) = (base(), form_headers());
        let request = TokenRequest {
            base: &base,
            peer: PEER,
            request_id: "r",
            tenant: "contoso.test",
            headers: &headers,
            body: &body,
        };
        service.identity.token_v1(&request).await
    };
    let mut answer = ask(&[]).await.unwrap();
    let token = answer["access_token"].take();
    assert!(service.identity.authenticate(&bearer_headers(token.as_str().unwrap())).await.is_ok());
    insta::assert_json_snapshot!(answer, @r#"
    {
      "access_token": null,
      "expires_in": "3599",
      "expires_on": "1795003599",
      "ext_expires_in": "3599",
      "not_before": "1795000000",
      "resource": "https://graph.microsoft.com/",
      "token_type": "Bearer"
    }
    "#);
    assert!(ask(&[("resource", "https://graph.microsoft.com")]).await.is_ok());
    let mut text = String::new();
    for changes in [
        ("resource", ""),
        ("resource", "https://vault.example.com"),
        ("grant_type", "refresh_token"),
        ("client_secret", "wrong"),
    ] {
        text += &format!("{changes:?} -> {}\n", summary(&ask(&[changes]).await.unwrap_err()));
    }
    insta::assert_snapshot!(text, @r#"
    ("resource", "") -> 400 invalid_request 900144: The form lacks the parameter "resource".
    ("resource", "https://vault.example.com") -> 400 invalid_resource 500011: The resource "https://vault.example.com" is unknown. Use https://graph.microsoft.com.
    ("grant_type", "refresh_token") -> 400 unsupported_grant_type 70003: The v1 endpoint does not support the grant type "refresh_token", only client_credentials. Use https://127.0.0.1:8366/contoso.test/oauth2/v2.0/token.
    ("client_secret", "wrong") -> 401 invalid_client 7000215: The client secret is wrong. Use the application's current secret.
    "#);
}

#[tokio::test]
async fn concurrent_secret_guesses_are_limited() {
    let service = TestIdentity::new().await;
    let client = CLIENT.to_string();
    let ask = async |peer: Peer, secret: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client.as_str()),
            ("client_secret", secret),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        service.token(&TENANT.to_string(), peer, &form_headers(), &form).await
    };
    let guesses = futures_util::future::join_all((0..301).map(|_| ask(PEER, "guess"))).await;
    let looked_at = guesses.iter().filter(|answer| answer.as_ref().unwrap_err().number == 7_000_215).count();
    assert_eq!(looked_at as u64, SECRET_ATTEMPTS.peer_max);
    let refused = ask(PEER, &service.secret).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(PEER_WINDOW)));
    insta::assert_snapshot!(summary(&refused), @"429 temporarily_unavailable 90055: Too many requests with a wrong client secret from this address. Try again in 15 minutes.");
    assert!(ask(OTHER_PEER, &service.secret).await.is_ok(), "nobody locks an application out for others");
    service.clock.advance(PEER_WINDOW).await;
    assert!(ask(PEER, &service.secret).await.is_ok());
}
