//! The device code flow, from the code to the token, and everything that may come in between.

use super::super::attempts::PEER_WINDOW;
use super::super::device::{
    CODE_ATTEMPTS_MAX, CODE_LIFETIME, CODE_SCOPE_BYTES_MAX, CODES_MAX, CODES_PER_CLIENT_MAX, CODES_PER_PEER_MAX,
    CODES_PER_PEER_PROTECTED, CODES_PER_PEER_WINDOW_MAX, POLL_INTERVAL, POLL_INTERVAL_MAX, code_hash,
};
use super::super::sign_in::{SignIn, SignInRefusal};
use cloudpc_store::{DeviceCode, DeviceCodeShare};

use super::*;

pub(super) const NAME: &str = "ada@contoso.test";
const SCOPE: &str = "https://graph.microsoft.com/CloudPC.Read.All openid offline_access";

/// A pair of codes, as the client that asked for it holds it.
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
        self.identity.sign_in(SignIn { peer, request_id: "r", user_code, user_name, password }).await
    }

    /// What the waiting client is told.
    pub(super) async fn poll(&self, started: &Started) -> Result<Value, OAuthError> {
        self.redeem("organizations", &BUILT_IN_CLIENT.to_string(), started).await
    }

    async fn redeem(&self, tenant: &str, client: &str, started: &Started) -> Result<Value, OAuthError> {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let form = [("grant_type", grant), ("client_id", client), ("device_code", &started.device_code)];
        self.post(tenant, &form).await
    }

    /// Codes that there are, of one client or peer if it is given.
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

    /// Adds codes, each of a client and a peer of its own.
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

    async fn told(&self, started: &Started) -> String {
        shown(&self.poll(started).await.unwrap_err())
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
async fn a_code_is_waited_for_entered_and_redeemed_once() {
    let world = TestIdentity::new().await;
    let mut answer = world.ask_for_code(PEER, &[]).await.unwrap();
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

    let mut told = String::new();
    let mut poll = async |when: &str| told += &format!("{when} -> {}\n", world.told(&started).await);
    poll("at once").await;
    world.clock.advance(POLL_INTERVAL - Duration::from_secs(1)).await;
    poll("too soon").await;
    world.clock.advance(POLL_INTERVAL).await;
    poll("too soon for the longer interval").await;
    world.clock.advance(POLL_INTERVAL * 3).await;
    poll("in time").await;
    assert_eq!(world.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap(), "cloudpc command line");
    assert_eq!(world.sign_in(&started.user_code, NAME, PASSWORD).await, Err(SignInRefusal::Code), "entered once");

    let answer = world.poll(&started).await.unwrap();
    assert_eq!(answer["scope"], "https://graph.microsoft.com/CloudPC.Read.All openid profile");
    let caller = world.identity.authenticate(&bearing(answer["access_token"].as_str().unwrap())).await.unwrap();
    assert_eq!(caller.user.as_ref().unwrap().id, ADA);
    assert_eq!(caller.permissions, BTreeSet::from(["CloudPC.Read.All".to_owned()]), "no more than was asked for");
    poll("again").await;
    insta::assert_snapshot!(told, @"
    at once -> 400 authorization_pending 70016: The code has not been entered yet. Poll again.
    too soon -> 400 slow_down 70016: Polled too often. Wait 10 seconds between two polls.
    too soon for the longer interval -> 400 slow_down 70016: Polled too often. Wait 15 seconds between two polls.
    in time -> 400 authorization_pending 70016: The code has not been entered yet. Poll again.
    again -> 400 expired_token 70020: The device code is unknown, expired or already redeemed. Ask for a new one.
    ");
}

#[tokio::test]
async fn a_code_ends_on_time() {
    let world = TestIdentity::new().await;
    let (entered, waiting) = (world.start().await, world.start().await);
    world.clock.advance(CODE_LIFETIME - Duration::from_secs(1)).await;
    world.sign_in(&entered.user_code, NAME, PASSWORD).await.unwrap();
    world.clock.advance(Duration::from_secs(1)).await;
    assert_eq!(world.sign_in(&waiting.user_code, NAME, PASSWORD).await, Err(SignInRefusal::Code));
    for started in [entered, waiting] {
        assert_eq!(
            world.told(&started).await,
            "400 expired_token 70020: The device code is unknown, expired or already redeemed. Ask for a new one."
        );
    }
}

#[tokio::test]
async fn a_code_is_declined_by_whoever_holds_it() {
    let world = TestIdentity::new().await;
    let started = world.start().await;
    assert_eq!(world.identity.decline(PEER, "BBBBBBBB").await, Err(SignInRefusal::Code));
    world.identity.decline(PEER, &started.user_code).await.unwrap();
    assert_eq!(world.sign_in(&started.user_code, NAME, PASSWORD).await, Err(SignInRefusal::Code));
    insta::assert_snapshot!(world.told(&started).await, @"400 access_denied 65004: The person who has the code declined to sign in.");
    insta::assert_snapshot!(world.told(&started).await, @"400 access_denied 65004: The person who has the code declined to sign in.");
}

#[tokio::test]
async fn a_code_is_good_for_a_few_attempts_and_the_last_one_still_counts() {
    let world = TestIdentity::new().await;
    let (lost, saved) = (world.start().await, world.start().await);
    for started in [&lost, &saved] {
        for _ in 1..CODE_ATTEMPTS_MAX {
            let wrong = world.sign_in(&started.user_code, "nobody@contoso.test", "guess").await;
            assert_eq!(wrong, Err(SignInRefusal::NameOrPassword));
        }
    }
    assert!(world.sign_in(&saved.user_code, NAME, PASSWORD).await.is_ok());
    assert!(world.poll(&saved).await.is_ok());
    let last = world.sign_in(&lost.user_code, NAME, "guess").await;
    assert_eq!(last, Err(SignInRefusal::NameOrPassword));
    assert_eq!(world.sign_in(&lost.user_code, NAME, PASSWORD).await, Err(SignInRefusal::Code));
    insta::assert_snapshot!(world.told(&lost).await, @"400 access_denied 65004: The code was entered 5 times with a wrong password. Ask for a new one.");
}

#[tokio::test]
async fn a_peer_has_a_share_of_the_codes() {
    let world = TestIdentity::new().await;
    let (unpolled, polled) = (world.start().await, world.start().await);
    world.clock.advance(Duration::from_secs(1)).await;
    assert!(world.told(&polled).await.contains("authorization_pending"));
    let mut kept = vec![];
    for _ in 0..CODES_PER_PEER_MAX - 1 {
        kept.push(world.start().await);
    }
    assert!(world.told(&unpolled).await.contains("expired_token"), "the one that was not polled went");
    assert!(world.told(&polled).await.contains("slow_down"), "the one that was polled stays");
    assert_eq!(world.codes(None, Some(PEER)).await, CODES_PER_PEER_MAX);

    // Codes that were tried stay, so that no new attempts are had for new codes.
    kept.push(polled);
    for started in kept {
        world.identity.decline(PEER, &started.user_code).await.unwrap();
    }
    let refused = world.ask_for_code(PEER, &[]).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(CODE_LIFETIME)));
    insta::assert_snapshot!(shown(&refused), @"429 temporarily_unavailable 90055: This address has 50 device codes that were tried and have not expired. Try again in 15 minutes.");
    assert!(world.ask_for_code(OTHER_PEER, &[]).await.is_ok(), "others have shares of their own");
    world.clock.advance(CODE_LIFETIME).await;
    assert!(world.ask_for_code(PEER, &[]).await.is_ok());
}

#[tokio::test]
async fn a_client_and_all_clients_have_bounded_codes_and_the_longest_unpolled_goes() {
    let world = TestIdentity::new().await;
    world.change(Application { secret_hash: None, ..application() }, ada()).await;
    let client = CLIENT.to_string();
    let others = world.ask_for_code(PEER, &[("client_id", client.as_str())]).await.unwrap();
    let others = Started::of(&others);
    let peer = |number: u64| Peer(Ipv4Addr::from_bits(u32::try_from(number / CODES_PER_PEER_MAX).unwrap()).into());
    world.clock.advance(Duration::from_secs(1)).await;
    let lost = world.start_at(peer(0)).await;
    world.clock.advance(Duration::from_secs(1)).await;
    for number in 1..CODES_PER_CLIENT_MAX + 1 {
        world.start_at(peer(number)).await;
    }
    assert_eq!(world.codes(Some(BUILT_IN_CLIENT), None).await, CODES_PER_CLIENT_MAX);
    assert!(world.told(&lost).await.contains("expired_token"), "the client's own oldest went");
    let kept = world.redeem("common", &client, &others).await.unwrap_err();
    assert_eq!(kept.error, "authorization_pending", "that of the other client did not");

    world.add_codes(CODES_MAX - CODES_PER_CLIENT_MAX - 1).await;
    assert!(world.redeem("common", &client, &others).await.unwrap_err().error == "slow_down", "all of them fit");
    world.ask_for_code(OTHER_PEER, &[("client_id", client.as_str())]).await.unwrap();
    assert_eq!(world.codes(None, None).await, CODES_MAX);
}

/// A peer of an attacker who has many.
fn attacker(number: u64) -> Peer {
    Peer(Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(number).unwrap()).into())
}

#[tokio::test]
async fn peers_that_ask_without_pause_push_out_no_code_of_another_peer() {
    let world = TestIdentity::new().await;
    let (fresh, entered) = (world.start_at(OTHER_PEER).await, world.start_at(OTHER_PEER).await);
    world.sign_in_from(OTHER_PEER, &entered.user_code, NAME, PASSWORD).await.unwrap();
    for round in 0..2 {
        world.clock.advance(POLL_INTERVAL).await;
        for number in 0..=CODES_PER_CLIENT_MAX / CODES_PER_PEER_MAX {
            for _ in 0..CODES_PER_PEER_WINDOW_MAX / 2 {
                world.start_at(attacker(number)).await;
            }
        }
        assert!(world.told(&fresh).await.contains("authorization_pending"), "round {round}");
    }
    assert_eq!(world.codes(Some(BUILT_IN_CLIENT), None).await, CODES_PER_CLIENT_MAX);
    assert!(world.poll(&entered).await.is_ok());
}

#[tokio::test]
async fn a_peer_asks_for_a_bounded_number_of_codes() {
    let world = TestIdentity::new().await;
    for _ in 0..CODES_PER_PEER_WINDOW_MAX {
        world.start().await;
    }
    let refused = world.ask_for_code(PEER, &[]).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(PEER_WINDOW)));
    insta::assert_snapshot!(shown(&refused), @"429 temporarily_unavailable 90055: This address has asked for 100 device codes in 15 minutes. Try again in 15 minutes.");
    assert!(world.ask_for_code(OTHER_PEER, &[]).await.is_ok(), "others have shares of their own");
    world.clock.advance(PEER_WINDOW).await;
    assert!(world.ask_for_code(PEER, &[]).await.is_ok());
}

#[tokio::test]
async fn a_client_whose_codes_are_all_in_use_gets_no_more() {
    let world = TestIdentity::new().await;
    for number in 0..CODES_PER_CLIENT_MAX / CODES_PER_PEER_PROTECTED {
        for _ in 0..CODES_PER_PEER_PROTECTED {
            world.start_at(attacker(number)).await;
        }
    }
    let refused = world.ask_for_code(OTHER_PEER, &[]).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(Duration::from_mins(1))));
    insta::assert_snapshot!(shown(&refused), @"429 temporarily_unavailable 90055: All 500 device codes are in use. Try again in 60 seconds.");
    world.clock.advance(POLL_INTERVAL * 2).await;
    assert!(world.ask_for_code(OTHER_PEER, &[]).await.is_ok(), "nobody polls the others");
}

#[tokio::test]
async fn codes_are_kept_as_hashes_and_outlive_a_restart() {
    let world = TestIdentity::new().await;
    let started = world.start().await;
    for file in std::fs::read_dir(world.directory.path()).unwrap() {
        let text = std::fs::read(file.unwrap().path()).unwrap();
        for code in [&started.user_code, &started.device_code] {
            assert!(!text.windows(code.len()).any(|part| part == code.as_bytes()), "{code} is in clear");
        }
    }
    let world = world.restarted().await;
    world.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap();
    let world = world.restarted().await;
    assert!(world.poll(&started).await.is_ok());
}

#[tokio::test]
async fn a_client_that_polls_too_often_is_slowed_down_to_a_bound() {
    let world = TestIdentity::new().await;
    let started = world.start().await;
    for _ in 0..20 {
        world.poll(&started).await.unwrap_err();
    }
    let told = world.told(&started).await;
    assert!(told.contains(&format!("Wait {} seconds", POLL_INTERVAL_MAX.as_secs())), "{told}");
}

#[tokio::test]
async fn a_code_keeps_no_more_than_a_bounded_scope() {
    let world = TestIdentity::new().await;
    let scope = |bytes: usize| format!("openid{}", " ".repeat(bytes - "openid".len()));
    assert!(world.ask_for_code(PEER, &[("scope", &scope(CODE_SCOPE_BYTES_MAX))]).await.is_ok());
    let refused = world.ask_for_code(PEER, &[("scope", &scope(CODE_SCOPE_BYTES_MAX + 1))]).await.unwrap_err();
    assert_eq!(refused.error, "invalid_scope");
}

#[tokio::test]
async fn a_refresh_gives_no_more_than_the_sign_in_did() {
    let world = TestIdentity::new().await;
    let answer = world.signed_in().await;
    let client = BUILT_IN_CLIENT.to_string();
    let refresh = async |token: &Value, scope: &str| {
        let form = [("refresh_token", token.as_str().unwrap()), ("scope", scope), ("client_id", client.as_str())];
        world.post("common", &[&form[..], &[("grant_type", "refresh_token")]].concat()).await
    };
    let scp = |answer: &Value| part(answer["access_token"].as_str().unwrap(), 1)["scp"].clone();
    let all = "https://graph.microsoft.com/.default openid offline_access";
    let renewed = refresh(&answer["refresh_token"], all).await.unwrap();
    assert_eq!(scp(&renewed), "CloudPC.Read.All", "not CloudPC.ReadWrite.All, which the user has");
    let again = refresh(&renewed["refresh_token"], all).await.unwrap();
    assert_eq!(scp(&again), "CloudPC.Read.All", "nor the token after it");
    let wider = refresh(&answer["refresh_token"], "CloudPC.ReadWrite.All").await.unwrap_err();
    insta::assert_snapshot!(shown(&wider), @r#"400 invalid_grant 65001: The scope "CloudPC.ReadWrite.All" was not granted at the sign-in. Sign in again and ask for it."#);

    let started = Started::of(&world.ask_for_code(PEER, &[("scope", all)]).await.unwrap());
    world.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap();
    let answer = world.poll(&started).await.unwrap();
    let narrowed = refresh(&answer["refresh_token"], "CloudPC.Read.All offline_access").await.unwrap();
    assert_eq!(scp(&narrowed), "CloudPC.Read.All");
    let whole = refresh(&narrowed["refresh_token"], all).await.unwrap();
    assert_eq!(scp(&whole), "CloudPC.Read.All CloudPC.ReadWrite.All", "a narrow token does not narrow the sign-in");
}

#[tokio::test]
async fn a_code_is_for_its_client_and_its_tenant() {
    let world = TestIdentity::new().await;
    let started = world.start().await;
    let other = CLIENT.to_string();
    let refused = world.redeem("common", &other, &started).await.unwrap_err();
    assert_eq!(
        shown(&refused),
        "400 expired_token 70020: The device code is unknown, expired or already redeemed. Ask for a new one."
    );
    assert!(world.sign_in(&started.user_code, NAME, PASSWORD).await.is_ok(), "it was not used up by that");
    let built_in = BUILT_IN_CLIENT.to_string();
    let refused = world.redeem(&OTHER_TENANT.to_string(), &built_in, &started).await.unwrap_err();
    insta::assert_snapshot!(shown(&refused), @"400 invalid_grant 70000: The user who signed in belongs to another tenant. Ask for a new code at the user's tenant.");

    let mut told = String::new();
    for changes in [
        ("client_id", other.as_str()),
        ("client_id", "00000000-0000-0000-0000-000000000009"),
        ("client_id", ""),
        ("scope", ""),
        ("scope", "https://vault.example.com/Secrets.Read"),
        ("scope", "CloudPC.Read.All https://localhost/CloudPC.Read.All"),
    ] {
        let refused = world.ask_for_code(PEER, &[changes]).await.unwrap_err();
        told += &format!("{changes:?} -> {}\n", shown(&refused));
    }
    insta::assert_snapshot!(told, @r#"
    ("client_id", "00000000-0000-0000-0000-000000000002") -> 401 invalid_client 7000218: The application has a secret. Users sign in to public clients, which have none.
    ("client_id", "00000000-0000-0000-0000-000000000009") -> 400 unauthorized_client 700016: There is no enabled application "00000000-0000-0000-0000-000000000009" in this tenant. Use the client id of a registered one.
    ("client_id", "") -> 400 invalid_request 900144: The form lacks the parameter "client_id".
    ("scope", "") -> 400 invalid_request 900144: The form lacks the parameter "scope".
    ("scope", "https://vault.example.com/Secrets.Read") -> 400 invalid_scope 70011: The scope "https://vault.example.com/Secrets.Read" is of another service. Ask for scopes of https://graph.microsoft.com.
    ("scope", "CloudPC.Read.All https://localhost/CloudPC.Read.All") -> 400 invalid_scope 70011: The scopes are of several services. Ask for the scopes of one service at a time.
    "#);
}

#[tokio::test]
async fn a_public_client_gets_no_more_than_it_was_granted() {
    let world = TestIdentity::new().await;
    let granted = vec!["CloudPC.Read.All".to_owned(), "Other.Read".to_owned()];
    world.change(Application { secret_hash: None, permissions: granted, ..application() }, ada()).await;
    let client = CLIENT.to_string();
    let asked = [("client_id", client.as_str()), ("scope", "https://graph.microsoft.com/.default")];
    let answer = world.ask_for_code(PEER, &asked).await.unwrap();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let started = Started { user_code: text("user_code"), device_code: text("device_code") };
    assert_eq!(world.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap(), "Rollout");
    let answer = world.redeem("common", &client, &started).await.unwrap();
    assert_eq!(part(answer["access_token"].as_str().unwrap(), 1)["scp"], "CloudPC.Read.All");
    assert!(answer.get("refresh_token").is_none() && answer.get("id_token").is_none(), "not asked for");
}

#[tokio::test]
async fn a_permission_to_write_gives_the_one_to_read_that_was_asked_for() {
    let world = TestIdentity::new().await;
    let writer = User { permissions: vec!["CloudPC.ReadWrite.All".into()], ..ada() };
    let reader = Application { secret_hash: None, permissions: vec!["CloudPC.Read.All".into()], ..application() };
    world.change(reader, writer).await;
    let (built_in, client) = (BUILT_IN_CLIENT.to_string(), CLIENT.to_string());
    let token = async |client: &str, scope: &str| {
        let answer = world.ask_for_code(PEER, &[("client_id", client), ("scope", scope)]).await.unwrap();
        let started = Started::of(&answer);
        world.sign_in(&started.user_code, NAME, PASSWORD).await.unwrap();
        world.redeem("common", client, &started).await
    };
    let permissions = async |answer: &Value| {
        let caller = world.identity.authenticate(&bearing(answer["access_token"].as_str().unwrap())).await.unwrap();
        caller.permissions.iter().cloned().collect::<Vec<_>>().join(" ")
    };
    let read = "CloudPC.Read.All";
    let answer = token(&built_in, "CloudPC.Read.All offline_access").await.unwrap();
    assert_eq!((answer["scope"].as_str(), permissions(&answer).await.as_str()), (Some(read), read));
    let refresh = async |scope: &str| {
        let token = answer["refresh_token"].as_str().unwrap();
        let form =
            [("grant_type", "refresh_token"), ("client_id", &built_in), ("refresh_token", token), ("scope", scope)];
        world.post("common", &form).await
    };
    let all = "https://graph.microsoft.com/.default";
    assert_eq!(permissions(&refresh(all).await.unwrap()).await, read, "no more than at the sign-in");
    assert!(refresh("CloudPC.ReadWrite.All").await.is_err());
    assert_eq!(permissions(&token(&client, all).await.unwrap()).await, read, "no more than the client has");

    let answer = token(&built_in, "CloudPC.ReadWrite.All offline_access").await.unwrap();
    let narrowed = [
        ("grant_type", "refresh_token"),
        ("client_id", &built_in),
        ("scope", read),
        ("refresh_token", answer["refresh_token"].as_str().unwrap()),
    ];
    assert_eq!(permissions(&world.post("common", &narrowed).await.unwrap()).await, read);
    let issued = world.identity.issue_for_user(&base(), TENANT, NAME, Some(&[read.to_owned()])).await.unwrap();
    assert_eq!(issued.permissions, [read]);

    let refused = token(&client, "CloudPC.ReadWrite.All Cloudpc.Administer.All").await.unwrap_err();
    insta::assert_snapshot!(shown(&refused), @r#"400 invalid_grant 65001: The user "ada@contoso.test" and the client "Rollout" do not both have a permission of the scope "CloudPC.ReadWrite.All Cloudpc.Administer.All". Ask for other permissions, or have an administrator grant one of these to both."#);
    assert!(token(&client, "openid").await.is_ok(), "asks for no permission");
}

#[tokio::test]
async fn a_sign_in_is_renewed_until_something_changes() {
    let world = TestIdentity::new().await;
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
