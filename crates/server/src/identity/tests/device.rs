//! The device code flow, from the code to the token, and everything that may come in between.

use super::super::device::{
    CODE_ATTEMPTS_MAX, CODE_LIFETIME, CODES_MAX, PASSWORD_BYTES_MAX, PASSWORD_CHECKS_MAX, POLL_INTERVAL, Refusal,
    USER_FAILURES_MAX, USER_FAILURES_WINDOW,
};
use futures_util::FutureExt as _;

use super::*;

const NAME: &str = "ada@contoso.test";
const SCOPE: &str = "https://graph.microsoft.com/CloudPC.Read.All openid offline_access";

/// A pair of codes, as the client that asked for it holds it.
struct Started {
    user_code: String,
    device_code: String,
}

impl World {
    async fn start(&self) -> Started {
        let answer = self.ask_for_code(&[]).await.unwrap();
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Started { user_code: text("user_code"), device_code: text("device_code") }
    }

    async fn ask_for_code(&self, changes: &[(&str, &str)]) -> Result<Value, OAuthError> {
        let client = BUILT_IN_CLIENT.to_string();
        let mut form = std::collections::BTreeMap::from([("client_id", client.as_str()), ("scope", SCOPE)]);
        form.extend(changes.iter().copied());
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.identity.device_code(&base(), "common", &form_headers(), &Bytes::from(body)).await
    }

    /// What the waiting client is told.
    async fn poll(&self, started: &Started) -> Result<Value, OAuthError> {
        self.redeem("organizations", &BUILT_IN_CLIENT.to_string(), started).await
    }

    async fn redeem(&self, tenant: &str, client: &str, started: &Started) -> Result<Value, OAuthError> {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let form = [("grant_type", grant), ("client_id", client), ("device_code", &started.device_code)];
        self.post(tenant, &form).await
    }

    async fn told(&self, started: &Started) -> String {
        shown(&self.poll(started).await.unwrap_err())
    }

    async fn signed_in(&self) -> Value {
        let started = self.start().await;
        self.identity.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap();
        self.poll(&started).await.unwrap()
    }

    async fn refresh(&self, tenant: &str, client: &str, token: &str) -> Result<Value, OAuthError> {
        self.post(tenant, &[("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)]).await
    }
}

#[tokio::test]
async fn a_code_is_waited_for_entered_and_redeemed_once() {
    let world = World::new().await;
    let mut answer = world.ask_for_code(&[]).await.unwrap();
    let started = Started {
        user_code: answer["user_code"].as_str().unwrap().into(),
        device_code: answer["device_code"].take().as_str().unwrap().into(),
    };
    insta::assert_json_snapshot!(answer, @r#"
    {
      "device_code": null,
      "expires_in": 900,
      "interval": 5,
      "message": "To sign in, open the page https://127.0.0.1:8366/devicelogin and enter the code BXPNWTVT.",
      "user_code": "BXPNWTVT",
      "verification_uri": "https://127.0.0.1:8366/devicelogin"
    }
    "#);

    let mut told = String::new();
    let mut poll = async |when: &str| told += &format!("{when} -> {}\n", world.told(&started).await);
    poll("at once").await;
    world.clock.advance(POLL_INTERVAL - Duration::from_secs(1)).await;
    poll("too soon").await;
    world.clock.advance(POLL_INTERVAL).await;
    poll("too soon for the longer interval").await;
    world.clock.advance(POLL_INTERVAL * 3).await;
    poll("in time").await;
    assert_eq!(world.identity.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap(), "cloudpc command line");
    assert_eq!(world.identity.sign_in(&started.user_code, NAME, PASSWORD).await, Err(Refusal::Code), "entered once");

    let answer = world.poll(&started).await.unwrap();
    assert_eq!(answer["scope"], "https://graph.microsoft.com/CloudPC.Read.All openid profile");
    let caller = world.identity.authenticate(&bearing(answer["access_token"].as_str().unwrap())).await.unwrap();
    assert_eq!(caller.user.as_ref().unwrap().id, ADA);
    assert_eq!(caller.permissions, BTreeSet::from(["CloudPC.Read.All".to_owned()]), "no more than was asked for");
    poll("again").await;
    insta::assert_snapshot!(told, @"
    at once -> 400 authorization_pending 70016: The code has not been entered yet.
    too soon -> 400 slow_down 70016: Ask every 10 seconds only.
    too soon for the longer interval -> 400 slow_down 70016: Ask every 15 seconds only.
    in time -> 400 authorization_pending 70016: The code has not been entered yet.
    again -> 400 expired_token 70020: The device code is not known or has expired.
    ");
}

#[tokio::test]
async fn a_code_ends_on_time() {
    let world = World::new().await;
    let (entered, waiting) = (world.start().await, world.start().await);
    world.clock.advance(CODE_LIFETIME - Duration::from_secs(1)).await;
    world.identity.sign_in(&entered.user_code, NAME, PASSWORD).await.unwrap();
    world.clock.advance(Duration::from_secs(1)).await;
    assert_eq!(world.identity.sign_in(&waiting.user_code, NAME, PASSWORD).await, Err(Refusal::Code));
    for started in [entered, waiting] {
        assert_eq!(world.told(&started).await, "400 expired_token 70020: The device code is not known or has expired.");
    }
}

#[tokio::test]
async fn a_code_is_declined_by_whoever_holds_it() {
    let world = World::new().await;
    let started = world.start().await;
    assert_eq!(world.identity.decline("BBBBBBBB"), Err(Refusal::Code));
    world.identity.decline(&started.user_code).unwrap();
    assert_eq!(world.identity.sign_in(&started.user_code, NAME, PASSWORD).await, Err(Refusal::Code));
    insta::assert_snapshot!(world.told(&started).await, @"400 access_denied 65004: Whoever has the code has declined to sign in.");
    insta::assert_snapshot!(world.told(&started).await, @"400 expired_token 70020: The device code is not known or has expired.");
}

#[tokio::test]
async fn a_code_is_good_for_a_few_attempts_and_the_last_one_still_counts() {
    let world = World::new().await;
    let (lost, saved) = (world.start().await, world.start().await);
    for started in [&lost, &saved] {
        for _ in 1..CODE_ATTEMPTS_MAX {
            let wrong = world.identity.sign_in(&started.user_code, "nobody@contoso.test", "guess").await;
            assert_eq!(wrong, Err(Refusal::NameOrPassword));
        }
    }
    assert!(world.identity.sign_in(&saved.user_code, NAME, PASSWORD).await.is_ok());
    assert!(world.poll(&saved).await.is_ok());
    let last = world.identity.sign_in(&lost.user_code, NAME, "guess").await;
    assert_eq!(last, Err(Refusal::NameOrPassword));
    assert_eq!(world.identity.sign_in(&lost.user_code, NAME, PASSWORD).await, Err(Refusal::Code));
    insta::assert_snapshot!(world.told(&lost).await, @"400 access_denied 65004: The code was entered with a wrong password too often.");
}

#[tokio::test]
async fn passwords_of_one_user_cannot_be_guessed_with_many_codes() {
    let world = World::new().await;
    let guess = async |password: &str| {
        let started = world.start().await;
        world.identity.sign_in(&started.user_code, NAME, password).await.map(drop)
    };
    for _ in 0..USER_FAILURES_MAX {
        assert_eq!(guess("wrong").await, Err(Refusal::NameOrPassword));
    }
    world.clock.advance(USER_FAILURES_WINDOW - Duration::from_secs(1)).await;
    assert_eq!(guess(PASSWORD).await, Err(Refusal::TooManyFailures), "not even the right one is looked at");
    world.clock.advance(Duration::from_secs(1)).await;
    assert_eq!(guess("wrong").await, Err(Refusal::NameOrPassword));
    assert_eq!(guess(PASSWORD).await, Ok(()));
    for _ in 0..USER_FAILURES_MAX {
        assert_eq!(guess("wrong").await, Err(Refusal::NameOrPassword), "a success begins the count anew");
    }
}

#[tokio::test]
async fn who_may_not_sign_in_is_told_no_more_than_who_is_not_there() {
    let world = World::new().await;
    world.change(application(), User { enabled: false, ..ada() }).await;
    for (name, password) in [(NAME, PASSWORD), ("nobody@contoso.test", PASSWORD), (NAME, "")] {
        let started = world.start().await;
        let refused = world.identity.sign_in(&started.user_code, name, password).await;
        assert_eq!(refused, Err(Refusal::NameOrPassword), "{name}");
    }
    world.change(application(), User { password_hash: None, ..ada() }).await;
    for password in ["", PASSWORD] {
        let started = world.start().await;
        let refused = world.identity.sign_in(&started.user_code, NAME, password).await;
        assert_eq!(refused, Err(Refusal::NameOrPassword), "a user without a password");
    }
}

#[tokio::test]
async fn limits_of_passwords_and_codes() {
    let world = World::new().await;
    let longest = "x".repeat(PASSWORD_BYTES_MAX);
    let longer = "x".repeat(PASSWORD_BYTES_MAX + 1);
    for (password, fits) in [(&longest, true), (&longer, false)] {
        world.change(application(), User { password_hash: Some(hash(password)), ..ada() }).await;
        let started = world.start().await;
        assert_eq!(world.identity.sign_in(&started.user_code, NAME, password).await.is_ok(), fits);
    }

    let world = World::new().await;
    let checks = &world.identity.device_codes.password_checks;
    assert_eq!(checks.available_permits(), PASSWORD_CHECKS_MAX);
    let started = world.start().await;
    let under_way = checks.acquire_many(u32::try_from(PASSWORD_CHECKS_MAX).unwrap()).await.unwrap();
    let mut sign_in = Box::pin(world.identity.sign_in(&started.user_code, NAME, PASSWORD));
    assert!(sign_in.as_mut().now_or_never().is_none(), "it waits for its turn");
    drop(under_way);
    assert!(sign_in.await.is_ok());

    let world = World::new().await;
    for _ in 0..CODES_MAX {
        world.start().await;
    }
    insta::assert_snapshot!(shown(&world.ask_for_code(&[]).await.unwrap_err()), @"503 temporarily_unavailable 90033: Too many sign-ins wait for their code to be entered; try again later.");
    world.clock.advance(CODE_LIFETIME).await;
    assert!(world.ask_for_code(&[]).await.is_ok());
}

#[tokio::test]
async fn a_code_is_for_its_client_and_its_tenant() {
    let world = World::new().await;
    let started = world.start().await;
    let other = CLIENT.to_string();
    let refused = world.redeem("common", &other, &started).await.unwrap_err();
    assert_eq!(shown(&refused), "400 expired_token 70020: The device code is not known or has expired.");
    assert!(world.identity.sign_in(&started.user_code, NAME, PASSWORD).await.is_ok(), "it was not used up by that");
    let built_in = BUILT_IN_CLIENT.to_string();
    let refused = world.redeem(&OTHER_TENANT.to_string(), &built_in, &started).await.unwrap_err();
    insta::assert_snapshot!(shown(&refused), @"400 invalid_grant 70000: The user belongs to another tenant.");

    let mut told = String::new();
    for changes in [
        ("client_id", other.as_str()),
        ("client_id", "00000000-0000-0000-0000-000000000009"),
        ("client_id", ""),
        ("scope", ""),
        ("scope", "https://vault.example.com/Secrets.Read"),
        ("scope", "CloudPC.Read.All https://localhost/CloudPC.Read.All"),
    ] {
        let refused = world.ask_for_code(&[changes]).await.unwrap_err();
        told += &format!("{changes:?} -> {}\n", shown(&refused));
    }
    insta::assert_snapshot!(told, @r#"
    ("client_id", "00000000-0000-0000-0000-000000000002") -> 401 invalid_client 7000218: The application has a secret; users sign in to public clients, which have none.
    ("client_id", "00000000-0000-0000-0000-000000000009") -> 400 unauthorized_client 700016: There is no application "00000000-0000-0000-0000-000000000009" in this tenant.
    ("client_id", "") -> 400 invalid_request 900144: The form must have the parameter "client_id".
    ("scope", "") -> 400 invalid_request 900144: The form must have the parameter "scope".
    ("scope", "https://vault.example.com/Secrets.Read") -> 400 invalid_scope 70011: The scope "https://vault.example.com/Secrets.Read" is for another service than this one.
    ("scope", "CloudPC.Read.All https://localhost/CloudPC.Read.All") -> 400 invalid_scope 70011: All scopes of one token must be for the same audience.
    "#);
}

#[tokio::test]
async fn a_public_client_gets_no_more_than_it_was_granted() {
    let world = World::new().await;
    let granted = vec!["CloudPC.Read.All".to_owned(), "Other.Read".to_owned()];
    world.change(Application { secret_hash: None, permissions: granted, ..application() }, ada()).await;
    let client = CLIENT.to_string();
    let asked = [("client_id", client.as_str()), ("scope", "https://graph.microsoft.com/.default")];
    let answer = world.ask_for_code(&asked).await.unwrap();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let started = Started { user_code: text("user_code"), device_code: text("device_code") };
    assert_eq!(world.identity.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap(), "Rollout");
    let answer = world.redeem("common", &client, &started).await.unwrap();
    assert_eq!(part(answer["access_token"].as_str().unwrap(), 1)["scp"], "CloudPC.Read.All");
    assert!(answer.get("refresh_token").is_none() && answer.get("id_token").is_none(), "not asked for");
}

#[tokio::test]
async fn a_sign_in_is_renewed_until_something_changes() {
    let world = World::new().await;
    let answer = world.signed_in().await;
    let first = answer["refresh_token"].as_str().unwrap();
    let (client, tenant) = (BUILT_IN_CLIENT.to_string(), TENANT.to_string());
    let renewed = world.refresh("common", &client, first).await.unwrap();
    assert!(world.identity.authenticate(&bearing(renewed["access_token"].as_str().unwrap())).await.is_ok());
    assert!(world.refresh(&tenant, &client, first).await.is_ok(), "by the name of its tenant too");

    // None of the three kinds stands in for another.
    let access = answer["access_token"].as_str().unwrap();
    let id = answer["id_token"].as_str().unwrap();
    assert_eq!(world.refusal(first).await, "The claims of the access token cannot be read.");
    assert_eq!(world.refusal(id).await, "The access token is meant for another audience.");
    let mut told = String::new();
    for (what, tenant, client, token) in [
        ("an access token", "common", client.as_str(), access),
        ("an id token", "common", client.as_str(), id),
        ("another client", "common", "00000000-0000-0000-0000-000000000002", first),
        ("another tenant", &OTHER_TENANT.to_string(), client.as_str(), first),
        ("cut short", "common", client.as_str(), &first[..first.len() - 1]),
    ] {
        told += &format!("{what} -> {}\n", shown(&world.refresh(tenant, client, token).await.unwrap_err()));
    }

    world.clock.advance(REFRESH_LIFETIME - Duration::from_secs(1)).await;
    assert!(world.refresh("common", &client, first).await.is_ok());
    world.clock.advance(Duration::from_secs(1)).await;
    told += &format!("at its end -> {}\n", shown(&world.refresh("common", &client, first).await.unwrap_err()));

    let answer = world.signed_in().await;
    let second = answer["refresh_token"].as_str().unwrap();
    world.change(application(), User { password_hash: Some(hash("another")), ..ada() }).await;
    told += &format!("a new password -> {}\n", shown(&world.refresh("common", &client, second).await.unwrap_err()));
    world.change(application(), User { enabled: false, ..ada() }).await;
    told += &format!("a disabled user -> {}\n", shown(&world.refresh("common", &client, second).await.unwrap_err()));
    insta::assert_snapshot!(told, @"
    an access token -> 400 invalid_grant 700082: The refresh token is not valid any more; sign in again.
    an id token -> 400 invalid_grant 700082: The refresh token is not valid any more; sign in again.
    another client -> 400 invalid_grant 700082: The refresh token is not valid any more; sign in again.
    another tenant -> 400 invalid_grant 700082: The refresh token is not valid any more; sign in again.
    cut short -> 400 invalid_grant 700082: The refresh token is not valid any more; sign in again.
    at its end -> 400 invalid_grant 700082: The refresh token is not valid any more; sign in again.
    a new password -> 400 invalid_grant 700082: The refresh token is not valid any more; sign in again.
    a disabled user -> 400 invalid_grant 50057: The user is disabled or not there any more.
    ");
}
