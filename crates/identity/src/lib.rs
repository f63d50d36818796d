//! Identity: the token service, and the verification of every token.
//!
//! The token service has the API of Entra's v2.0 endpoints, so that azure-identity and MSAL work
//! with it unchanged. Tokens of outside issuers are trusted if the configuration lists the issuer.
//!
//! This crate refuses to know which operations a permission allows, how requests arrive, and how an
//! error of Graph looks: it names the [`Caller`] or says why there is none.

mod assertion;
mod attempts;
mod audit;
mod authorize;
pub mod caller;
mod claims;
mod delegated;
mod device;
mod directory;
mod endpoints;
mod grants;
pub mod html;
pub mod installation;
mod issuers;
mod keys;
mod oauth;
mod passwords;
pub mod permissions;
pub mod request;
mod sign_in;
mod sign_in_page;
pub mod well_known;

use axum::Router;
use cloudpc_model::{AppId, Clock, Error, Rng, TenantId, Timestamp, UserId};
use cloudpc_store::{Store, User};
use http::{HeaderMap, header};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

use caller::{Caller, CallerUser, TokenOrigin};
use claims::{Claims, TokenSubject};
use issuers::Issuers;
use keys::Keys;
use passwords::PasswordChecks;
use permissions::includes;
use request::BaseAddress;
use sign_in::SignInPlaces;

pub use assertion::{CERTIFICATE_BYTES_MAX, check_certificate};
pub use issuers::{IssuerConfig, is_trustworthy};
pub use keys::{OldKeys, SIGNING_KEY_AGE_MAX};
pub use passwords::{PASSWORD_BYTES_MAX, hash_password};

/// The audience of Graph: its URL, and the id of its service principal in every tenant.
pub const GRAPH_AUDIENCES: [&str; 2] = ["https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"];

/// The built-in public client: users sign in to it with a device code, and administrators issue
/// tokens for users with it.
pub const BUILT_IN_CLIENT: AppId = AppId(Uuid::from_u128(0x6b1f_09a2_5c0e_4d5b_9a53_2f3c_8e41_7d10));

/// Display name of [`BUILT_IN_CLIENT`].
const BUILT_IN_NAME: &str = "cloudpc command line";

/// Lifetime of an access token: one second less than an hour, as in Entra.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3599);

/// Lifetime of a refresh token.
pub const REFRESH_LIFETIME: Duration = Duration::from_hours(14 * 24);

/// Size limit of a token.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Tolerance for the clock of an issuer that runs ahead of ours.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

/// Time after which a verified token is verified again.
pub const VERIFIED_AGE_MAX: Duration = Duration::from_mins(10);

/// Memory limit of the cache of verified tokens.
pub const VERIFIED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The dependencies of the token service.
pub struct IdentityDependencies {
    /// Holds applications, users and keys.
    pub store: Store,
    /// The host's clock, never a simulated one: clients check the lifetime of a token by their own
    /// clock, and a simulated clock may be years ahead.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub rng: Arc<dyn Rng>,
    /// Hostnames and addresses of the server; tokens can be requested for
    /// `https://<name>/.default`.
    pub names: Vec<String>,
    /// Outside issuers.
    pub issuers: Vec<IssuerConfig>,
    /// Whether the public clients of Microsoft exist in every tenant.
    pub well_known_clients: bool,
    /// URL at which browsers reach the sign-in pages if the client knows the service only by a name
    /// of Microsoft; none: the client's own.
    pub page_address: Option<String>,
}

/// The token service: keys, trusted issuers, and a bounded cache of verified tokens.
pub struct Identity {
    store: Store,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    names: Vec<String>,
    keys: RwLock<Arc<Keys>>,
    issuers: Issuers,
    well_known_clients: bool,
    page_address: Option<BaseAddress>,
    passwords: PasswordChecks,
    sign_in_places: SignInPlaces,
    verified: Cache<Box<str>, Verified, TokenBytes>,
    /// Incremented when a verified token may have become invalid.
    generation: watch::Sender<u64>,
}

/// Why a caller cannot be authenticated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// The token is missing, invalid or no longer valid.
    #[error("{0}")]
    Rejected(String),
    /// The token cannot be checked at the moment.
    #[error("{0}")]
    Unavailable(String),
}

/// A token issued here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// The token as text.
    pub token: String,
    /// Lifetime from now on.
    pub expires_in: Duration,
    /// The permissions in the token.
    pub permissions: Vec<String>,
}

/// A new secret of an application: the text for its owner, and the hash for the store.
pub struct AppSecret {
    /// The secret, with 256 random bits. It is shown only once.
    pub secret: String,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
}

#[derive(Clone)]
struct Verified {
    caller: Arc<Caller>,
    until: Timestamp,
    generation: u64,
}

#[derive(Clone)]
struct TokenBytes;

impl Weighter<Box<str>, Verified> for TokenBytes {
    fn weight(&self, token: &Box<str>, _: &Verified) -> u64 {
        const CALLER_BYTES: u64 = 512;
        token.len() as u64 + CALLER_BYTES
    }
}

impl Identity {
    /// Opens the token service of this installation, and creates the first signing key if there is
    /// none.
    ///
    /// # Errors
    /// The store fails, or the client for an outside issuer cannot be created.
    pub async fn open(parts: IdentityDependencies) -> Result<Self, Error> {
        let keys = Keys::load(&parts.store, parts.clock.now()).await?;
        Ok(Self {
            keys: RwLock::new(Arc::new(keys)),
            issuers: Issuers::new(parts.issuers, &parts.clock)?,
            well_known_clients: parts.well_known_clients,
            page_address: parts.page_address.map(|address| BaseAddress(address.into())),
            passwords: PasswordChecks::new(),
            sign_in_places: SignInPlaces::default(),
            verified: Cache::with_weighter(1_024, VERIFIED_BYTES_MAX, TokenBytes),
            generation: watch::Sender::new(0),
            store: parts.store,
            clock: parts.clock,
            rng: parts.rng,
            names: parts.names,
        })
    }

    /// Returns the hash of a new password, when one of the few places for password checks is free.
    ///
    /// # Errors
    /// Internal.
    pub async fn hash_password(&self, password: &str) -> Result<String, Error> {
        self.passwords.hash(&self.rng, password).await
    }

    /// Returns the caller of a request with these headers.
    ///
    /// # Errors
    /// Rejected, with the reason. Unavailable: the token cannot be checked.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Caller>, AuthenticationError> {
        let token = bearer(headers)?;
        let now = self.clock.now();
        // Read before the lookups: a change in between invalidates the cache entry below.
        let generation = *self.generation.borrow();
        if let Some(verified) = self.verified.get(token)
            && verified.generation == generation
            && now < verified.until
        {
            return Ok(verified.caller);
        }
        // Only valid tokens are cached, so that forged ones cannot evict them.
        let (caller, expires) = self.verify(token, now).await?;
        let caller = Arc::new(caller);
        let until = expires.min(now + VERIFIED_AGE_MAX);
        self.verified.insert(token.into(), Verified { caller: Arc::clone(&caller), until, generation });
        Ok(caller)
    }

    /// Invalidates the cache of verified tokens. Call this after an application or a user has lost
    /// access, so that the change takes effect at once.
    pub fn forget_verified(&self) {
        self.generation.send_modify(|generation| *generation += 1);
        self.verified.clear();
    }

    /// Signals that a verified token may have become invalid, so that holders of long-lived access
    /// call [`recheck`](Self::recheck).
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Returns a caller that was authenticated before, with the permissions that it still has.
    ///
    /// # Errors
    /// Rejected: the token is no longer valid; the age of a token issued here is not checked, that
    /// of an outside issuer's token is. Unavailable: the store fails.
    pub async fn recheck(&self, caller: &Caller) -> Result<Caller, AuthenticationError> {
        match &caller.origin {
            TokenOrigin::Local { key_id } => {
                if self.keys().verifying(key_id).is_none() {
                    return Err(rejected("The key that signed the access token was dropped. Get a new token."));
                }
                let app_id =
                    caller.app_id.ok_or_else(|| rejected("The access token does not name its application."))?;
                let user_id = caller.user.as_ref().map(|user| user.id);
                self.local_caller(caller.tenant_id, app_id, user_id, caller.permissions.clone(), key_id).await
            }
            TokenOrigin::Outside { issuer, expires_at } => {
                if self.clock.now() >= *expires_at {
                    return Err(rejected("The access token has expired. Get a new token."));
                }
                if !self.issuers.trusts(issuer, caller.tenant_id) {
                    return Err(rejected("The issuer of the access token is no longer trusted."));
                }
                Ok(caller.clone())
            }
        }
    }

    /// Creates a new signing key.
    ///
    /// # Errors
    /// The store fails.
    pub async fn rotate_keys(&self, old: OldKeys) -> Result<(), Error> {
        let keys = Keys::rotate(&self.store, self.clock.now(), old).await?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.forget_verified();
        if old == OldKeys::Drop {
            self.store.empty_log().await?;
        }
        Ok(())
    }

    /// Issues a token for an application itself, with all its permissions.
    ///
    /// # Errors
    /// Not found: the tenant has no such application, or it is disabled.
    pub async fn issue_for_app(&self, base: &BaseAddress, tenant: TenantId, app: AppId) -> Result<AccessToken, Error> {
        let app = self
            .store
            .read(move |reader| Ok::<_, Error>(reader.app(tenant, app)?))
            .await?
            .filter(|app| app.enabled)
            .ok_or_else(|| Error::not_found(format!("This tenant has no enabled application {app}.")))?;
        self.access_token(base, GRAPH_AUDIENCES[0], &TokenSubject::App(&app))
    }

    /// Issues a token on behalf of a local user, named by `user_principal_name`, as if they had
    /// signed in to [`BUILT_IN_CLIENT`]. `permissions` limits the token; none: all permissions of
    /// the user.
    ///
    /// # Errors
    /// Not found: the tenant has no such user, or the user is disabled. Invalid: the user lacks a
    /// permission.
    pub async fn issue_for_user(
        &self,
        base: &BaseAddress,
        tenant: TenantId,
        user: &str,
        permissions: Option<&[String]>,
    ) -> Result<AccessToken, Error> {
        let name = user.to_owned();
        let user: User = self
            .store
            .read(move |reader| Ok::<_, Error>(reader.user_by_name(tenant, &name)?))
            .await?
            .filter(|user| user.enabled)
            .ok_or_else(|| Error::not_found(format!("This tenant has no enabled user {user:?}.")))?;
        if let Some(missing) = permissions.into_iter().flatten().find(|wanted| !includes(&user.permissions, wanted)) {
            return Err(Error::invalid(format!(
                "The user {} does not have the permission {missing}.",
                user.user_principal_name
            )));
        }
        let permissions = permissions.unwrap_or(&user.permissions);
        let subject =
            TokenSubject::User { user: &user, client: BUILT_IN_CLIENT, client_name: BUILT_IN_NAME, permissions };
        self.access_token(base, GRAPH_AUDIENCES[0], &subject)
    }

    /// Generates a secret for an application.
    pub fn new_app_secret(rng: &dyn Rng) -> AppSecret {
        // Secret scanners recognise the prefix.
        let secret = format!("cloudpc_{}", random_text(rng));
        AppSecret { hash: Sha256::digest(&secret).into(), secret }
    }

    fn access_token(
        &self,
        base: &BaseAddress,
        audience: &str,
        subject: &TokenSubject<'_>,
    ) -> Result<AccessToken, Error> {
        let mut claims = Claims::access(base, audience, subject, self.clock.now(), self.rng.as_ref());
        if !self.is_our_audience(audience) {
            claims.make_foreign();
        }
        let permissions = claims.permissions().map(str::to_owned).collect();
        Ok(AccessToken { token: self.keys().sign(&claims)?, expires_in: TOKEN_LIFETIME, permissions })
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Verifies a token; returns its caller and its expiry.
    async fn verify(&self, token: &str, now: Timestamp) -> Result<(Caller, Timestamp), AuthenticationError> {
        let header = claims::header(token)?;
        let kid = header.kid.as_deref().ok_or_else(|| rejected("The access token does not name its key (kid)."))?;
        if let Some(key) = self.keys().verifying(kid) {
            let claims = claims::open(token, key, header.alg)?;
            claims.check_times(now)?;
            let tenant = claims.check_local(|audience| self.is_our_audience(audience))?;
            let app_id = claims.app_id().ok_or_else(|| rejected("The access token does not name its application."))?;
            let permissions = claims.permissions().map(str::to_owned).collect();
            let caller = self.local_caller(tenant, app_id, claims.user_id(), permissions, kid).await?;
            return Ok((caller, claims.expires()));
        }
        let issuer = self.issuers.of(token)?;
        let key = issuer.key(kid).await?;
        let claims = key.open(token, header.alg)?;
        claims.check_times(now)?;
        claims.check_outside(issuer.config())?;
        Ok((claims.outside_caller(issuer.config())?, claims.expires()))
    }

    /// Returns the caller of a token issued here, without permissions that were revoked since.
    async fn local_caller(
        &self,
        tenant: TenantId,
        app_id: AppId,
        user_id: Option<UserId>,
        mut permissions: BTreeSet<String>,
        key_id: &str,
    ) -> Result<Caller, AuthenticationError> {
        let (tenant_known, app, user, owner) = self
            .store
            .read(move |reader| {
                let tenant_known = reader.tenant_list()?.iter().any(|(id, _)| *id == tenant);
                let user = user_id.map(|id| reader.user(tenant, id)).transpose()?.flatten();
                Ok::<_, Error>((tenant_known, reader.app(tenant, app_id)?, user, installation::owner(reader)?))
            })
            .await
            .map_err(unavailable)?;
        if !tenant_known {
            return Err(rejected("The tenant of the access token is unknown."));
        }
        match &app {
            Some(app) if app.enabled => permissions.retain(|permission| includes(&app.permissions, permission)),
            None if self.built_in_client(app_id).is_some() && user_id.is_some() => {}
            _ => return Err(rejected("The application of the access token is unknown or disabled.")),
        }
        let user = match (user_id, user) {
            (None, _) => None,
            (Some(_), Some(user)) if user.enabled => {
                permissions.retain(|permission| includes(&user.permissions, permission));
                Some(CallerUser { id: user.id, user_principal_name: user.user_principal_name, roles: user.roles })
            }
            (Some(_), _) => return Err(rejected("The user of the access token is unknown or disabled.")),
        };
        let is_owner = user.is_none() && owner == Some((tenant, app_id));
        let app_name = app.map(|app| app.name);
        let app_name = app_name.unwrap_or_else(|| self.built_in_client(app_id).unwrap_or_default().to_owned());
        let origin = TokenOrigin::Local { key_id: key_id.to_owned() };
        Ok(Caller { tenant_id: tenant, app_id: Some(app_id), app_name, user, permissions, origin, is_owner })
    }

    fn is_our_audience(&self, audience: &str) -> bool {
        is_our_audience(&self.names, audience)
    }

    /// Whether tokens are issued for an audience: this service, or Azure Resource Manager.
    fn is_known_audience(&self, audience: &str) -> bool {
        self.is_our_audience(audience) || well_known::is_management(audience)
    }

    /// Returns the name of a public client that needs no registration.
    fn built_in_client(&self, id: AppId) -> Option<&'static str> {
        match id {
            BUILT_IN_CLIENT => Some(BUILT_IN_NAME),
            _ if self.well_known_clients => well_known::client_name(id),
            _ => None,
        }
    }

    /// Returns the address of the sign-in pages for a person whose client used `base`. The person's
    /// browser does not reach this service by a name of Microsoft.
    fn page_base<'a>(&'a self, base: &'a BaseAddress) -> &'a BaseAddress {
        self.page_address.as_ref().filter(|_| well_known::is_host(base.host())).unwrap_or(base)
    }
}

/// Returns the routes of discovery, keys and tokens below `/{tenant}/`, and of the sign-in page.
pub fn routes() -> Router<Arc<Identity>> {
    endpoints::routes().merge(device::routes()).merge(authorize::routes())
}

/// Whether an audience is this service: Graph's, or `http(s)://<name of the server>`. GUIDs and
/// hosts are compared case-insensitively. The text is checked before it is parsed, because URL
/// parsing drops and rewrites parts: control characters, blanks, `/.`, `%61`.
fn is_our_audience(names: &[String], audience: &str) -> bool {
    if let Ok(id) = Uuid::parse_str(audience) {
        return Uuid::parse_str(GRAPH_AUDIENCES[1]) == Ok(id);
    }
    let Some((scheme, rest)) = audience.split_once("://") else { return false };
    let is_scheme = ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme));
    let is_authority = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c));
    if !is_scheme || !is_authority(rest.strip_suffix('/').unwrap_or(rest)) {
        return false;
    }
    url::Url::parse(audience).is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_graph = url.origin().ascii_serialization() == GRAPH_AUDIENCES[0];
        let is_ours = names.iter().any(|name| name.eq_ignore_ascii_case(host));
        is_graph || is_ours
    })
}

/// Returns 256 random bits as base64url text.
pub fn random_text(rng: &dyn Rng) -> String {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..4).flat_map(|_| rng.next_u64().to_be_bytes()).collect();
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn bearer(headers: &HeaderMap) -> Result<&str, AuthenticationError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| rejected("Access token is empty: the Authorization header is missing."))?;
    if values.next().is_some() {
        return Err(rejected("The request has more than one Authorization header. Send one."));
    }
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| rejected("Invalid Authorization header. Expected \"Bearer\" and an access token."))?;
    match token.len() {
        0 => Err(rejected("Access token is empty.")),
        1..=TOKEN_BYTES_MAX => Ok(token),
        _ => Err(rejected(format!("The access token is longer than {TOKEN_BYTES_MAX} bytes."))),
    }
}

/// Returns the error of an invalid token.
fn rejected(message: impl Into<String>) -> AuthenticationError {
    AuthenticationError::Rejected(message.into())
}

fn unavailable(error: Error) -> AuthenticationError {
    tracing::error!(error = &error as &dyn std::error::Error, "checking a token failed");
    AuthenticationError::Unavailable("The access token cannot be checked at the moment. Try again later.".into())
}

#[cfg(test)]
mod tests;
