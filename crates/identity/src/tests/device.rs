//! Tests of the device code flow.

use super::super::attempts::PEER_WINDOW;
use super::super::device::{
    CODE_ATTEMPTS_MAX, CODE_LIFETIME, CODE_SCOPE_BYTES_MAX, CODES_MAX, CODES_PER_CLIENT_MAX, CODES_PER_PEER_MAX,
    CODES_PER_PEER_PROTECTED, CODES_PER_PEER_WINDOW_MAX, POLL_INTERVAL, POLL_INTERVAL_MAX, code_hash,
};
use super::super::sign_in::{SignIn, SignInRefusal, SignInTarget};
use cloudpc_store::{DeviceCode, DeviceCodeShare};

use super::*;

pub(super) const NAME: &str = "ada@contoso.test";
const SCOPE: &str = "https://graph.microsoft.com/CloudPC.Read.All openid offline_access";

/// The codes that a client received.
pub(super) struct Started {
    pub(super) user_code: String,
    pub(super) device_code: String,
}

impl Started {
    fn of(answer: &Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Self { user_code: text("user_code"), device_code: text("device_code") }
    }
}

impl TestIdentity {
    pub(super) async fn start(&self) -> Started {
        self.start_at(PEER).await
    }

    pub(super) async fn start_at(&self, peer: Peer) -> Started {
        Started::of(&self.ask_for_code(peer, &[]).await.unwrap())
    }

    async fn ask_for_code(&self, peer: Peer, changes: &[(&str, &str)]) -> Result<Value, OAuthError> {
        let client = BUILT_IN_CLIENT.to_string();
        let mut form = std::collections::BTreeMap::from([("client_id", client.as_str()), ("scope", SCOPE)]);
        form.extend(changes.iter().copied());
        let body = Bytes::from(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish());
        let (base, headers) = (base(), form_headers());
        let request =
            TokenRequest { base: &base, peer, request_id: "r", tenant: "common", headers: &headers, body: &body };
        self.identity.device_code(&request).await
    }

    pub(super) async fn sign_in(
        &self,
        user_code: &str,
        user_name: &str,
        password: &str,
    ) -> Result<String, SignInRefusal> {
        self.sign_in_from(PEER, user_code, user_name, password).await
    }

    pub(super) async fn sign_in_from(
        &self,
        peer: Peer,
        user_code: &str,
        user_name: &str,
        password: &str,
    ) -> Result<String, SignInRefusal> {
        let target = SignInTarget::DeviceCode(code_hash(user_code));
        self.identity.sign_in(SignIn { peer, request_id: "r", target, user_name, password }).await
    }

    /// Polls; returns the error.
    pub(super) async fn poll(&self, started: &Started) -> Result<Value, OAuthError> {
        self.redeem("organizations", &BUILT_IN_CLIENT.to_string(), started).await
    }

    async fn redeem(&self, tenant: &str, client: &str, started: &Started) -> Result<Value, OAuthError> {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let form = [("grant_type", grant), ("client_id", client), ("device_code", &started.device_code)];
        self.post(tenant, &form).await
    }

    /// Counts the codes, of one client or peer if given.
    async fn codes(&self, client: Option<AppId>, peer: Option<Peer>) -> u64 {
        let peer = peer.map(|peer| peer.0.to_string());
        let count = self.identity.store.read(move |reader| {
            let share = match (client, &peer) {
                (Some(client), _) => DeviceCodeShare::Client(client),
                (None, Some(peer)) => DeviceCodeShare::Peer(peer),
                (None, None) => DeviceCodeShare::Installation,
            };
            Ok::<_, Error>(reader.device_code_count(share)?)
        });
        count.await.unwrap()
    }

    /// Adds codes, each of another client and peer.
    async fn add_codes(&self, codes: u64) {
        let seen_at = self.identity.clock.now();
        let code = move |number: u64| DeviceCode {
            tenant_id: None,
            device_code: code_hash(&format!("device {number}")),
            user_code: code_hash(&format!("user {number}")),
            client_id: AppId(Uuid::from_u128(number.into())),
            client_name: "Filler".into(),
            peer: number.to_string(),
            scope: SCOPE.into(),
            attempts: 0,
            declined: false,
            user: None,
            interval: POLL_INTERVAL,
            polled_at: None,
            seen_at,
            expires_at: seen_at + CODE_LIFETIME,
        };
        let add = self.identity.store.write("test.write", move |tx| {
            (1_000..1_000 + codes).try_for_each(|number| tx.device_code_put(&code(number)))
        });
        add.await.unwrap();
    }

    async fn poll_error(&self, started: &Started) -> String {
        summary(&self.poll(started).await.unwrap_err())
    }

    pub(super) async fn signed_in(&self) -> Value {
        let started = self.start().await;
        self.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap();
        self.poll(&started).await.unwrap()
    }

    pub(super) async fn refresh(&self, tenant: &str, client: &str, token: &str) -> Result<Value, OAuthError> {
        self.post(tenant, &[("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)]).await
    }
}

#[tokio::test]
async fn a_code_is_polled_entered_and_redeemed_once() {
    let service = TestIdentity::new().await;
    let mut answer = service.ask_for_code(PEER, &[]).await.unwrap();
    let started = Started::of(&answer);
    answer["device_code"].take();
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

    let mut text = String::new();
    let mut poll = async |when: &str| text += &format!("{when} -> {}\n", service.poll_error(&started).await);
    poll("at once").await;
    service.clock.advance(POLL_INTERVAL - Duration::from_secs(1)).await;
    poll("too soon").await;
    service.clock.advance(POLL_INTERVAL).await;
    poll("too soon for the longer interval").await;
    service.clock.advance(POLL_INTERVAL * 3).await;
    poll("in time").await;
    assert_eq!(service.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap(), "cloudpc command line");
    assert_eq!(
        service.sign_in(&started.user_code, NAME, PASSWORD).await,
        Err(SignInRefusal::Code),
        "a code can be entered only once"
    );

    let answer = service.poll(&started).await.unwrap();
    assert_eq!(answer["scope"], "https://graph.microsoft.com/CloudPC.Read.All openid profile");
    let caller =
        service.identity.authenticate(&bearer_headers(answer["access_token"].as_str().unwrap())).await.unwrap();
    assert_eq!(caller.user.as_ref().unwrap().id, ADA);
    assert_eq!(caller.permissions, BTreeSet::from(["CloudPC.Read.All".to_owned()]), "only the requested permissions");
    poll("again").await;
    insta::assert_snapshot!(text, @"
    at once -> 400 authorization_pending 70016: The code has not been entered yet. Poll again.
    too soon -> 400 slow_down 70016: The client polls too often. Wait 10 seconds between polls.
    too soon for the longer interval -> 400 slow_down 70016: The client polls too often. Wait 15 seconds between polls.
    in time -> 400 authorization_pending 70016: The code has not been entered yet. Poll again.
    again -> 400 expired_token 70020: The device code is unknown, expired or already redeemed. Request a new one.
    ");
}

#[tokio::test]
async fn a_code_expires_on_time() {
    let service = TestIdentity::new().await;
    let (entered, waiting) = (service.start().await, service.start().await);
    service.clock.advance(CODE_LIFETIME - Duration::from_secs(1)).await;
    service.sign_in(&entered.user_code, NAME, PASSWORD).await.unwrap();
    service.clock.advance(Duration::from_secs(1)).await;
    assert_eq!(service.sign_in(&waiting.user_code, NAME, PASSWORD).await, Err(SignInRefusal::Code));
    for started in [entered, waiting] {
        assert_eq!(
            service.poll_error(&started).await,
            "400 expired_token 70020: The device code is unknown, expired or already redeemed. Request a new one."
        );
    }
}

#[tokio::test]
async fn a_code_can_be_declined_without_signing_in() {
    let service = TestIdentity::new().await;
    let started = service.start().await;
    assert_eq!(service.identity.decline(PEER, "BBBBBBBB").await, Err(SignInRefusal::Code));
    service.identity.decline(PEER, &started.user_code).await.unwrap();
    assert_eq!(service.sign_in(&started.user_code, NAME, PASSWORD).await, Err(SignInRefusal::Code));
    insta::assert_snapshot!(service.poll_error(&started).await, @"400 access_denied 65004: The user declined to sign in.");
    insta::assert_snapshot!(service.poll_error(&started).await, @"400 access_denied 65004: The user declined to sign in.");
}

#[tokio::test]
async fn a_code_has_limited_attempts_and_the_last_one_can_succeed() {
    let service = TestIdentity::new().await;
    let (lost, saved) = (service.start().await, service.start().await);
    for started in [&lost, &saved] {
        for _ in 1..CODE_ATTEMPTS_MAX {
            let wrong = service.sign_in(&started.user_code, "nobody@contoso.test", "guess").await;
            assert_eq!(wrong, Err(SignInRefusal::NameOrPassword));
        }
    }
    assert!(service.sign_in(&saved.user_code, NAME, PASSWORD).await.is_ok());
    assert!(service.poll(&saved).await.is_ok());
    let last = service.sign_in(&lost.user_code, NAME, "guess").await;
    assert_eq!(last, Err(SignInRefusal::NameOrPassword));
    assert_eq!(service.sign_in(&lost.user_code, NAME, PASSWORD).await, Err(SignInRefusal::Code));
    insta::assert_snapshot!(service.poll_error(&lost).await, @"400 access_denied 65004: Sign-in with the code failed 5 times, which is the maximum. Request a new code.");
}

#[tokio::test]
async fn codes_of_a_peer_are_limited() {
    let service = TestIdentity::new().await;
    let (unpolled, polled) = (service.start().await, service.start().await);
    service.clock.advance(Duration::from_secs(1)).await;
    assert!(service.poll_error(&polled).await.contains("authorization_pending"));
    let mut kept = vec![];
    for _ in 0..CODES_PER_PEER_MAX - 1 {
        kept.push(service.start().await);
    }
    assert!(service.poll_error(&unpolled).await.contains("expired_token"), "the unpolled code was evicted");
    assert!(service.poll_error(&polled).await.contains("slow_down"), "the polled code was kept");
    assert_eq!(service.codes(None, Some(PEER)).await, CODES_PER_PEER_MAX);

    // Codes with attempts are kept, so that new codes do not give new attempts.
    kept.push(polled);
    for started in kept {
        service.identity.decline(PEER, &started.user_code).await.unwrap();
    }
    let refused = service.ask_for_code(PEER, &[]).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(CODE_LIFETIME)));
    insta::assert_snapshot!(summary(&refused), @"429 temporarily_unavailable 90055: This address has 50 unexpired device codes with sign-in attempts, which is the maximum. Try again in 15 minutes.");
    assert!(service.ask_for_code(OTHER_PEER, &[]).await.is_ok(), "other peers have their own limits");
    service.clock.advance(CODE_LIFETIME).await;
    assert!(service.ask_for_code(PEER, &[]).await.is_ok());
}

#[tokio::test]
async fn codes_are_limited_and_the_least_recently_polled_is_evicted() {
    let service = TestIdentity::new().await;
    service.change(Application { secret_hash: None, ..application() }, ada()).await;
    let client = CLIENT.to_string();
    let others = service.ask_for_code(PEER, &[("client_id", client.as_str())]).await.unwrap();
    let others = Started::of(&others);
    let peer = |number: u64| Peer(Ipv4Addr::from_bits(u32::try_from(number / CODES_PER_PEER_MAX).unwrap()).into());
    service.clock.advance(Duration::from_secs(1)).await;
    let lost = service.start_at(peer(0)).await;
    service.clock.advance(Duration::from_secs(1)).await;
    for number in 1..CODES_PER_CLIENT_MAX + 1 {
        service.start_at(peer(number)).await;
    }
    assert_eq!(service.codes(Some(BUILT_IN_CLIENT), None).await, CODES_PER_CLIENT_MAX);
    assert!(service.poll_error(&lost).await.contains("expired_token"), "the client's own oldest code was evicted");
    let kept = service.redeem("common", &client, &others).await.unwrap_err();
    assert_eq!(kept.error, "authorization_pending", "the other client's code was kept");

    service.add_codes(CODES_MAX - CODES_PER_CLIENT_MAX - 1).await;
    assert!(service.redeem("common", &client, &others).await.unwrap_err().error == "slow_down", "no code was evicted");
    service.ask_for_code(OTHER_PEER, &[("client_id", client.as_str())]).await.unwrap();
    assert_eq!(service.codes(None, None).await, CODES_MAX);
}

/// One of an attacker's many peers.
fn attacker(number: u64) -> Peer {
    Peer(Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(number).unwrap()).into())
}

#[tokio::test]
async fn a_flood_of_codes_does_not_evict_those_of_other_peers() {
    let service = TestIdentity::new().await;
    let (fresh, entered) = (service.start_at(OTHER_PEER).await, service.start_at(OTHER_PEER).await);
    service.sign_in_from(OTHER_PEER, &entered.user_code, NAME, PASSWORD).await.unwrap();
    for round in 0..2 {
        service.clock.advance(POLL_INTERVAL).await;
        for number in 0..=CODES_PER_CLIENT_MAX / CODES_PER_PEER_MAX {
            for _ in 0..CODES_PER_PEER_WINDOW_MAX / 2 {
                service.start_at(attacker(number)).await;
            }
        }
        assert!(service.poll_error(&fresh).await.contains("authorization_pending"), "round {round}");
    }
    assert_eq!(service.codes(Some(BUILT_IN_CLIENT), None).await, CODES_PER_CLIENT_MAX);
    assert!(service.poll(&entered).await.is_ok());
}

#[tokio::test]
async fn code_requests_of_a_peer_are_limited() {
    let service = TestIdentity::new().await;
    for _ in 0..CODES_PER_PEER_WINDOW_MAX {
        service.start().await;
    }
    let refused = service.ask_for_code(PEER, &[]).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(PEER_WINDOW)));
    insta::assert_snapshot!(summary(&refused), @"429 temporarily_unavailable 90055: This address has requested 100 device codes within 15 minutes, which is the maximum. Try again in 15 minutes.");
    assert!(service.ask_for_code(OTHER_PEER, &[]).await.is_ok(), "other peers have their own limits");
    service.clock.advance(PEER_WINDOW).await;
    assert!(service.ask_for_code(PEER, &[]).await.is_ok());
}

#[tokio::test]
async fn a_client_with_all_codes_in_use_gets_429() {
    let service = TestIdentity::new().await;
    for number in 0..CODES_PER_CLIENT_MAX / CODES_PER_PEER_PROTECTED {
        for _ in 0..CODES_PER_PEER_PROTECTED {
            service.start_at(attacker(number)).await;
        }
    }
    let refused = service.ask_for_code(OTHER_PEER, &[]).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(Duration::from_mins(1))));
    insta::assert_snapshot!(summary(&refused), @"429 temporarily_unavailable 90055: All 500 device codes are in use. Try again in 60 seconds.");
    service.clock.advance(POLL_INTERVAL * 2).await;
    assert!(service.ask_for_code(OTHER_PEER, &[]).await.is_ok(), "the other codes are not polled");
}

#[tokio::test]
async fn codes_are_stored_as_hashes_and_survive_a_restart() {
    let service = TestIdentity::new().await;
    let started = service.start().await;
    for file in std::fs::read_dir(service.directory.path()).unwrap() {
        let text = std::fs::read(file.unwrap().path()).unwrap();
        for code in [&started.user_code, &started.device_code] {
            assert!(!text.windows(code.len()).any(|part| part == code.as_bytes()), "{code} is in clear");
        }
    }
    let service = service.restarted().await;
    service.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap();
    let service = service.restarted().await;
    assert!(service.poll(&started).await.is_ok());
}

#[tokio::test]
async fn polling_too_often_slows_a_client_down_to_a_maximum() {
    let service = TestIdentity::new().await;
    let started = service.start().await;
    for _ in 0..20 {
        service.poll(&started).await.unwrap_err();
    }
    let text = service.poll_error(&started).await;
    assert!(text.contains(&format!("Wait {} seconds", POLL_INTERVAL_MAX.as_secs())), "{text}");
}

#[tokio::test]
async fn a_scope_beyond_its_limit_is_refused() {
    let service = TestIdentity::new().await;
    let scope = |bytes: usize| format!("openid{}", " ".repeat(bytes - "openid".len()));
    assert!(service.ask_for_code(PEER, &[("scope", &scope(CODE_SCOPE_BYTES_MAX))]).await.is_ok());
    let refused = service.ask_for_code(PEER, &[("scope", &scope(CODE_SCOPE_BYTES_MAX + 1))]).await.unwrap_err();
    assert_eq!(refused.error, "invalid_scope");
}

#[tokio::test]
async fn a_refresh_is_limited_to_the_scopes_of_the_sign_in() {
    let service = TestIdentity::new().await;
    let answer = service.signed_in().await;
    let client = BUILT_IN_CLIENT.to_string();
    let refresh = async |token: &Value, scope: &str| {
        let form = [("refresh_token", token.as_str().unwrap()), ("scope", scope), ("client_id", client.as_str())];
        service.post("common", &[&form[..], &[("grant_type", "refresh_token")]].concat()).await
    };
    let scp = |answer: &Value| part(answer["access_token"].as_str().unwrap(), 1)["scp"].clone();
    let all = "https://graph.microsoft.com/.default openid offline_access";
    let renewed = refresh(&answer["refresh_token"], all).await.unwrap();
    assert_eq!(scp(&renewed), "CloudPC.Read.All", "not CloudPC.ReadWrite.All, which the user has");
    let again = refresh(&renewed["refresh_token"], all).await.unwrap();
    assert_eq!(scp(&again), "CloudPC.Read.All", "the next token is limited too");
    let wider = refresh(&answer["refresh_token"], "CloudPC.ReadWrite.All").await.unwrap_err();
    insta::assert_snapshot!(summary(&wider), @r#"400 invalid_grant 65001: The scope "CloudPC.ReadWrite.All" was not granted at the sign-in. Sign in again and request it."#);

    let started = Started::of(&service.ask_for_code(PEER, &[("scope", all)]).await.unwrap());
    service.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap();
    let answer = service.poll(&started).await.unwrap();
    let narrowed = refresh(&answer["refresh_token"], "CloudPC.Read.All offline_access").await.unwrap();
    assert_eq!(scp(&narrowed), "CloudPC.Read.All");
    let whole = refresh(&narrowed["refresh_token"], all).await.unwrap();
    assert_eq!(scp(&whole), "CloudPC.Read.All CloudPC.ReadWrite.All", "a narrow token does not narrow the sign-in");
}

#[tokio::test]
async fn a_code_is_bound_to_its_client_and_tenant() {
    let service = TestIdentity::new().await;
    let started = service.start().await;
    let other = CLIENT.to_string();
    let refused = service.redeem("common", &other, &started).await.unwrap_err();
    assert_eq!(
        summary(&refused),
        "400 expired_token 70020: The device code is unknown, expired or already redeemed. Request a new one."
    );
    assert!(service.sign_in(&started.user_code, NAME, PASSWORD).await.is_ok(), "the code was not used up");
    let built_in = BUILT_IN_CLIENT.to_string();
    let refused = service.redeem(&OTHER_TENANT.to_string(), &built_in, &started).await.unwrap_err();
    insta::assert_snapshot!(summary(&refused), @"400 invalid_grant 70000: The user who signed in belongs to another tenant. Request a new code at the user's tenant.");

    let mut text = String::new();
    for changes in [
        ("client_id", other.as_str()),
        ("client_id", "00000000-0000-0000-0000-000000000009"),
        ("client_id", ""),
        ("scope", ""),
        ("scope", "https://vault.example.com/Secrets.Read"),
        ("scope", "CloudPC.Read.All https://localhost/CloudPC.Read.All"),
    ] {
        let refused = service.ask_for_code(PEER, &[changes]).await.unwrap_err();
        text += &format!("{changes:?} -> {}\n", summary(&refused));
    }
    insta::assert_snapshot!(text, @r#"
    ("client_id", "00000000-0000-0000-0000-000000000002") -> 401 invalid_client 7000218: The application has a secret. Users can sign in only to public clients, which have none.
    ("client_id", "00000000-0000-0000-0000-000000000009") -> 400 unauthorized_client 700016: This tenant has no enabled application "00000000-0000-0000-0000-000000000009". Use the client id of a registered application.
    ("client_id", "") -> 400 invalid_request 900144: The form lacks the parameter "client_id".
    ("scope", "") -> 400 invalid_request 900144: The form lacks the parameter "scope".
    ("scope", "https://vault.example.com/Secrets.Read") -> 400 invalid_scope 70011: The scope "https://vault.example.com/Secrets.Read" belongs to another service. Request scopes of https://graph.microsoft.com.
    ("scope", "CloudPC.Read.All https://localhost/CloudPC.Read.All") -> 400 invalid_scope 70011: The scopes belong to several services. Request the scopes of one service at a time.
    "#);
}

#[tokio::test]
async fn a_public_client_is_limited_to_its_permissions() {
    let service = TestIdentity::new().await;
    let granted = vec!["CloudPC.Read.All".to_owned(), "Other.Read".to_owned()];
    service.change(Application { secret_hash: None, permissions: granted, ..application() }, ada()).await;
    let client = CLIENT.to_string();
    let parameters = [("client_id", client.as_str()), ("scope", "https://graph.microsoft.com/.default")];
    let answer = service.ask_for_code(PEER, &parameters).await.unwrap();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let started = Started { user_code: text("user_code"), device_code: text("device_code") };
    assert_eq!(service.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap(), "Rollout");
    let answer = service.redeem("common", &client, &started).await.unwrap();
    assert_eq!(part(answer["access_token"].as_str().unwrap(), 1)["scp"], "CloudPC.Read.All");
    assert!(answer.get("refresh_token").is_none() && answer.get("id_token").is_none(), "not requested");
}

#[tokio::test]
async fn write_permission_includes_read_permission() {
    let service = TestIdentity::new().await;
    let writer = User { permissions: vec!["CloudPC.ReadWrite.All".into()], ..ada() };
    let reader = Application { secret_hash: None, permissions: vec!["CloudPC.Read.All".into()], ..application() };
    service.change(reader, writer).await;
    let (built_in, client) = (BUILT_IN_CLIENT.to_string(), CLIENT.to_string());
    let token = async |client: &str, scope: &str| {
        let answer = service.ask_for_code(PEER, &[("client_id", client), ("scope", scope)]).await.unwrap();
        let started = Started::of(&answer);
        service.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap();
        service.redeem("common", client, &started).await
    };
    let permissions = async |answer: &Value| {
        let caller =
            service.identity.authenticate(&bearer_headers(answer["access_token"].as_str().unwrap())).await.unwrap();
        caller.permissions.iter().cloned().collect::<Vec<_>>().join(" ")
    };
    let read = "CloudPC.Read.All";
    let answer = token(&built_in, "CloudPC.Read.All offline_access").await.unwrap();
    assert_eq!((answer["scope"].as_str(), permissions(&answer).await.as_str()), (Some(read), read));
    let refresh = async |scope: &str| {
        let token = answer["refresh_token"].as_str().unwrap();
        let form =
            [("grant_type", "refresh_token"), ("client_id", &built_in), ("refresh_token", token), ("scope", scope)];
        service.post("common", &form).await
    };
    let all = "https://graph.microsoft.com/.default";
    assert_eq!(permissions(&refresh(all).await.unwrap()).await, read, "limited to the scopes of the sign-in");
    assert!(refresh("CloudPC.ReadWrite.All").await.is_err());
    assert_eq!(permissions(&token(&client, all).await.unwrap()).await, read, "limited to the client's permissions");

    let answer = token(&built_in, "CloudPC.ReadWrite.All offline_access").await.unwrap();
    let narrowed = [
        ("grant_type", "refresh_token"),
        ("client_id", &built_in),
        ("scope", read),
        ("refresh_token", answer["refresh_token"].as_str().unwrap()),
    ];
    assert_eq!(permissions(&service.post("common", &narrowed).await.unwrap()).await, read);
    let issued = service.identity.issue_for_user(&base(), TENANT, NAME, Some(&[read.to_owned()])).await.unwrap();
    assert_eq!(issued.permissions, [read]);

    let refused = token(&client, "CloudPC.ReadWrite.All Cloudpc.Administer.All").await.unwrap_err();
    insta::assert_snapshot!(summary(&refused), @r#"400 invalid_grant 65001: The user "ada@contoso.test" and the client "Rollout" have no common permission of the scope "CloudPC.ReadWrite.All Cloudpc.Administer.All". Request other permissions, or ask an administrator to grant them to both."#);
    assert!(token(&client, "openid").await.is_ok(), "a scope without permissions");
}

#[tokio::test]
async fn refresh_tokens_work_until_revoked_or_expired() {
    let service = TestIdentity::new().await;
    let answer = service.signed_in().await;
    let first = answer["refresh_token"].as_str().unwrap();
    let (client, tenant) = (BUILT_IN_CLIENT.to_string(), TENANT.to_string());
    let renewed = service.refresh("common", &client, first).await.unwrap();
    assert!(service.identity.authenticate(&bearer_headers(renewed["access_token"].as_str().unwrap())).await.is_ok());
    assert!(service.refresh(&tenant, &client, first).await.is_ok(), "also with the name of the tenant");

    // Access, id and refresh tokens are not interchangeable.
    let access = answer["access_token"].as_str().unwrap();
    let id = answer["id_token"].as_str().unwrap();
    assert_eq!(service.refusal(first).await, "The claims of the access token are malformed.");
    assert_eq!(service.refusal(id).await, "The access token is for another audience.");
    let mut text = String::new();
    for (what, tenant, client, token) in [
        ("an access token", "common", client.as_str(), access),
        ("an id token", "common", client.as_str(), id),
        ("another client", "common", "00000000-0000-0000-0000-000000000002", first),
        ("another tenant", &OTHER_TENANT.to_string(), client.as_str(), first),
        ("cut short", "common", client.as_str(), &first[..first.len() - 1]),
    ] {
        text += &format!("{what} -> {}\n", summary(&service.refresh(tenant, client, token).await.unwrap_err()));
    }

    service.clock.advance(REFRESH_LIFETIME - Duration::from_secs(1)).await;
    assert!(service.refresh("common", &client, first).await.is_ok());
    service.clock.advance(Duration::from_secs(1)).await;
    text += &format!("at its end -> {}\n", summary(&service.refresh("common", &client, first).await.unwrap_err()));

    let answer = service.signed_in().await;
    let second = answer["refresh_token"].as_str().unwrap();
    service.change(application(), User { password_hash: Some(hash("another")), ..ada() }).await;
    text += &format!("a new password -> {}\n", summary(&service.refresh("common", &client, second).await.unwrap_err()));
    service.change(application(), User { enabled: false, ..ada() }).await;
    text +=
        &format!("a disabled user -> {}\n", summary(&service.refresh("common", &client, second).await.unwrap_err()));
    insta::assert_snapshot!(text, @"
    an access token -> 400 invalid_grant 700082: The refresh token is invalid, expired or revoked. Sign in again.
    an id token -> 400 invalid_grant 700082: The refresh token is invalid, expired or revoked. Sign in again.
    another client -> 400 invalid_grant 700082: The refresh token is invalid, expired or revoked. Sign in again.
    another tenant -> 400 invalid_grant 700082: The refresh token is invalid, expired or revoked. Sign in again.
    cut short -> 400 invalid_grant 700082: The refresh token is invalid, expired or revoked. Sign in again.
    at its end -> 400 invalid_grant 700082: The refresh token is invalid, expired or revoked. Sign in again.
    a new password -> 400 invalid_grant 700082: The refresh token is invalid, expired or revoked. Sign in again.
    a disabled user -> 400 invalid_grant 50057: The user is disabled or was deleted. Sign in as another user.
    ");
}
