//! Tests of the token service with a real store and a manual clock.

mod attacks;
mod audit;
mod device;
mod grants;
mod issuers;
mod keys;
mod recheck;
mod sign_in;
mod well_known;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use cloudpc_drivers::sim::SimClock;
use cloudpc_model::{SeededRng, UserId};
use cloudpc_store::{Application, UserProfile, WriteMode, testing};
use http::HeaderValue;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use tempfile::TempDir;

use super::oauth::{OAuthError, TokenRequest};
use super::*;
use crate::request::Peer;

const START: Timestamp = Timestamp(1_795_000_000_000_000);
const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const OTHER_TENANT: TenantId = TenantId(Uuid::from_u128(4));
const CLIENT: AppId = AppId(Uuid::from_u128(2));
const ADA: UserId = UserId(Uuid::from_u128(3));
const PEER: Peer = Peer(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
const OTHER_PEER: Peer = Peer(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
const PASSWORD: &str = "correct horse";

/// A token service with a real store and a manual clock.
struct TestIdentity {
    identity: Identity,
    clock: SimClock,
    secret: String,
    directory: TempDir,
}

impl TestIdentity {
    async fn new() -> Self {
        Self::trusting(Vec::new()).await
    }

    async fn trusting(issuers: Vec<IssuerConfig>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = testing::open(directory.path(), WriteMode::InlineTwice).unwrap();
        let rng = SeededRng::new(7);
        let AppSecret { secret, hash } = Identity::new_app_secret(&rng);
        store
            .write("test.write", move |tx| {
                tx.tenant_put(TENANT, "Contoso")?;
                tx.tenant_put(OTHER_TENANT, "Fabrikam")?;
                tx.app_put(&Application { secret_hash: Some(hash), ..application() })?;
                tx.user_put(&ada())
            })
            .await
            .unwrap();
        let clock = SimClock::paused(START);
        let identity = Identity::open(parts(store, &clock, rng, issuers)).await.unwrap();
        Self { identity, clock, secret, directory }
    }

    /// Restarts the token service.
    async fn restarted(self) -> Self {
        let Self { identity, clock, secret, directory } = self;
        drop(identity);
        let store = testing::open(directory.path(), WriteMode::InlineTwice).unwrap();
        let identity = Identity::open(parts(store, &clock, SeededRng::new(8), Vec::new())).await.unwrap();
        Self { identity, clock, secret, directory }
    }

    async fn app_token(&self) -> String {
        self.identity.issue_for_app(&base(), TENANT, CLIENT).await.unwrap().token
    }

    async fn user_token(&self) -> String {
        self.identity.issue_for_user(&base(), TENANT, "ada@contoso.test", None).await.unwrap().token
    }

    async fn refusal(&self, token: &str) -> String {
        match self.identity.authenticate(&bearer_headers(token)).await {
            Err(AuthenticationError::Rejected(why)) => why,
            other => panic!("the token is not rejected: {other:?}"),
        }
    }

    async fn change(&self, app: Application, user: User) {
        self.identity
            .store
            .write("test.write", move |tx| {
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
        self.token(tenant, PEER, &form_headers(), &form).await
    }

    async fn token(&self, tenant: &str, peer: Peer, headers: &HeaderMap, form: &str) -> Result<Value, OAuthError> {
        let (base, body) = (base(), Bytes::from(form.to_owned()));
        self.identity.token(&TokenRequest { base: &base, peer, request_id: "r", tenant, headers, body: &body }).await
    }

    async fn client_credentials(&self, changes: &[(&str, &str)]) -> Result<Value, OAuthError> {
        let mut form = std::collections::BTreeMap::from([
            ("client_id", "00000000-0000-0000-0000-000000000002"),
            ("client_secret", self.secret.as_str()),
            ("grant_type", "client_credentials"),
            ("scope", "https://graph.microsoft.com/.default"),
            // Additional parameters of azure-identity.
            ("claims", r#"{"access_token": {"xms_cc": {"values": ["CP1"]}}}"#),
            ("client_info", "1"),
        ]);
        form.extend(changes.iter().copied());
        self.post(&TENANT.to_string(), &form.into_iter().collect::<Vec<_>>()).await
    }
}

fn parts(store: Store, clock: &SimClock, rng: SeededRng, issuers: Vec<IssuerConfig>) -> IdentityDependencies {
    IdentityDependencies {
        store,
        clock: Arc::new(clock.clone()),
        rng: Arc::new(rng),
        names: vec!["localhost".into(), "127.0.0.1".into(), "::1".into()],
        issuers,
        well_known_clients: true,
        page_address: Some("http://127.0.0.1:8365".into()),
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
        password_hash: Some(hash(PASSWORD)),
        roles: vec!["Global Administrator".into()],
        permissions: vec!["CloudPC.Read.All".into(), "CloudPC.ReadWrite.All".into()],
        enabled: true,
        profile: UserProfile::default(),
        created_at: None,
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

fn bearer_headers(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap())])
}

fn form_headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))])
}

fn part(token: &str, n: usize) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(n).unwrap()).unwrap()).unwrap()
}

fn summary(error: &OAuthError) -> String {
    format!("{} {} {}: {}", error.status.as_u16(), error.error, error.number, error.description)
}

fn encoded(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}
