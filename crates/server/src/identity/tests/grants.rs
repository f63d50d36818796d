//! How tokens are got.

use base64::prelude::BASE64_STANDARD;

use super::super::oauth::FORM_BYTES_MAX;
use super::*;

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
            is_owner: false,
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
async fn only_a_form_of_bearable_size_is_read() {
    let world = World::new().await;
    let ask = async |content_type: Option<&'static str>, body: String| {
        let headers = content_type.map(|value| (header::CONTENT_TYPE, HeaderValue::from_static(value)));
        let headers = HeaderMap::from_iter(headers);
        world.identity.token(&base(), &TENANT.to_string(), &headers, &Bytes::from(body)).await
    };
    let form = format!(
        "client_id={CLIENT}&client_secret={}&grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
        world.secret
    );
    let long = |bytes: usize| format!("{form}&padding={}", "x".repeat(bytes - form.len() - "&padding=".len()));
    let good = Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8");
    assert!(ask(good, long(FORM_BYTES_MAX)).await.is_ok());
    let mut told = String::new();
    for (what, content_type, body) in [
        ("too long", good, long(FORM_BYTES_MAX + 1)),
        ("JSON", Some("application/json"), r#"{"grant_type": "client_credentials"}"#.into()),
        ("no content type", None, form.clone()),
        ("empty", good, String::new()),
        ("not text", good, "%ff%fe=%00".into()),
    ] {
        told += &format!("{what} -> {}\n", shown(&ask(content_type, body).await.unwrap_err()));
    }
    insta::assert_snapshot!(told, @r#"
    too long -> 400 invalid_request 9002313: The form is too large.
    JSON -> 400 invalid_request 9002313: The body must be a form: application/x-www-form-urlencoded.
    no content type -> 400 invalid_request 9002313: The body must be a form: application/x-www-form-urlencoded.
    empty -> 400 invalid_request 900144: The form must have the parameter "grant_type".
    not text -> 400 invalid_request 900144: The form must have the parameter "grant_type".
    "#);
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
        is_owner: false,
    }
    "#);

    insta::assert_snapshot!(issue("eve@contoso.test", None).await.unwrap_err(), @r#"There is no enabled user "eve@contoso.test" in this tenant."#);
    insta::assert_snapshot!(issue("ada@contoso.test", Some(&["Root".into()])).await.unwrap_err(), @"ada@contoso.test does not have the permission Root.");
}
