//! Identity: the token service, and the check of every token.
//!
//! The token service is shaped like Entra's v2.0 endpoints, so that azure-identity and MSAL work
//! against it unchanged. Tokens of outside issuers are believed if the configuration names them.
//! Nothing here knows what a permission allows or includes; that is the pipeline's business.

mod attempts;
mod audit;
mod claims;
mod delegated;
mod device;
mod directory;
mod endpoints;
mod grants;
mod issuers;
mod keys;
mod oauth;
mod passwords;
mod sign_in;

use axum::Router;
use cloudpc_graph::GraphError;
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

use crate::caller::{Caller, CallerUser, TokenOrigin};
use crate::config::IssuerConfig;
use crate::installation;
use crate::pipeline::includes;
use crate::request::BaseAddress;
use claims::{Claims, TokenSubject};
use issuers::Issuers;
use keys::Keys;
use passwords::PasswordChecks;
use sign_in::SignInPlaces;

pub use keys::{OldKeys, SIGNING_KEY_AGE_MAX};

/// The audience of Graph, as an address and as the id that its service principal has in every
/// tenant.
pub const GRAPH_AUDIENCES: [&str; 2] = ["https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"];

/// The public client that is there without being registered: people sign in with it by device code,
/// and administrators make tokens for users with it.
pub const BUILT_IN_CLIENT: AppId = AppId(Uuid::from_u128(0x6b1f_09a2_5c0e_4d5b_9a53_2f3c_8e41_7d10));

/// Name of [`BUILT_IN_CLIENT`].
const BUILT_IN_NAME: &str = "cloudpc command line";

/// How long an access token is good. One second short of an hour, as Entra says it.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3599);

/// How long a refresh token is good.
pub const REFRESH_LIFETIME: Duration = Duration::from_hours(14 * 24);

/// Longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How far an issuer's clock may be off ours.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

/// How long a verified token is believed without being looked at again.
pub const VERIFIED_AGE_MAX: Duration = Duration::from_mins(10);

/// Memory for verified tokens.
pub const VERIFIED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the token service is made of.
pub struct IdentityDependencies {
    /// Applications, users, keys.
    pub store: Store,
    /// The host's clock, never a simulated one: clients judge the lifetime of a token by their own
    /// clock, and a simulated one may be years ahead of it.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Host names and addresses that are ours; a token may be asked for `https://<name>/.default`.
    pub names: Vec<String>,
    /// Outside issuers.
    pub issuers: Vec<IssuerConfig>,
}

/// The token service: keys, trusted issuers, and a bounded cache of verified tokens.
pub struct Identity {
    store: Store,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    names: Vec<String>,
    keys: RwLock<Arc<Keys>>,
    issuers: Issuers,
    passwords: PasswordChecks,
    sign_in_places: SignInPlaces,
    verified: Cache<Box<str>, Verified, TokenBytes>,
    /// Rises whenever something may have made a verified token worthless.
    generation: watch::Sender<u64>,
}

/// A token made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// The token.
    pub token: String,
    /// How long it is good from now on.
    pub expires_in: Duration,
    /// The permissions that it carries.
    pub permissions: Vec<String>,
}

/// A new secret of an application: what its owner is told, and what the store keeps.
pub struct AppSecret {
    /// 256 random bits. Shown once.
    pub secret: String,
    /// Its SHA-256.
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
    /// The token service of this installation. Makes its first key if there is none.
    ///
    /// # Errors
    /// The store fails.
    pub async fn open(parts: IdentityDependencies) -> Result<Self, Error> {
        let keys = Keys::load(&parts.store, parts.clock.now()).await?;
        Ok(Self {
            keys: RwLock::new(Arc::new(keys)),
            issuers: Issuers::new(parts.issuers, &parts.clock)?,
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

    /// Who sends these headers.
    ///
    /// # Errors
    /// 401 `InvalidAuthenticationToken` saying what is wrong with the token; the edge adds
    /// `WWW-Authenticate`.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Caller>, GraphError> {
        let token = bearer(headers)?;
        let now = self.clock.now();
        // Read before anything is looked up: whatever changes meanwhile makes what is put into the
        // cache below worthless.
        let generation = *self.generation.borrow();
        if let Some(verified) = self.verified.get(token)
            && verified.generation == generation
            && now < verified.until
        {
            return Ok(verified.caller);
        }
        // Only good tokens are kept, so that made-up ones cannot push them out.
        let (caller, expires) = self.verify(token, now).await?;
        let caller = Arc::new(caller);
        let until = expires.min(now + VERIFIED_AGE_MAX);
        self.verified.insert(token.into(), Verified { caller: Arc::clone(&caller), until, generation });
        Ok(caller)
    }

    /// Makes every token be looked at anew. To be called after an application or a user has lost
    /// something, so that it takes effect at once.
    pub fn forget_verified(&self) {
        self.generation.send_modify(|generation| *generation += 1);
        self.verified.clear();
    }

    /// Tells whenever something may have made a verified token worthless, so that whoever holds
    /// what a caller has obtained calls [`recheck`](Self::recheck).
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// A caller that has been authenticated before, with those of its permissions that it still
    /// has.
    ///
    /// # Errors
    /// 401 if its token is worthless by now for another reason than its age, or an outside issuer's
    /// and expired; 503 if that cannot be found out.
    pub async fn recheck(&self, caller: &Caller) -> Result<Caller, GraphError> {
        match &caller.origin {
            TokenOrigin::Local { key_id } => {
                if self.keys().verifying(key_id).is_none() {
                    return Err(rejected("The key that signed the access token is not used any more."));
                }
                let app_id = caller.app_id.ok_or_else(|| rejected("The caller has no application."))?;
                let user_id = caller.user.as_ref().map(|user| user.id);
                self.local_caller(caller.tenant_id, app_id, user_id, caller.permissions.clone(), key_id).await
            }
            TokenOrigin::Outside { issuer, expires_at } => {
                if self.clock.now() >= *expires_at {
                    return Err(rejected("The access token has expired."));
                }
                if !self.issuers.trusts(issuer, caller.tenant_id) {
                    return Err(rejected("The issuer of the access token is not trusted any more."));
                }
                Ok(caller.clone())
            }
        }
    }

    /// Makes a new signing key.
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

    /// A token for an application itself, with all its permissions.
    ///
    /// # Errors
    /// Not found: the tenant has no such application, or it is disabled.
    pub async fn issue_for_app(&self, base: &BaseAddress, tenant: TenantId, app: AppId) -> Result<AccessToken, Error> {
        let app = self
            .store
            .read(move |reader| Ok::<_, Error>(reader.app(tenant, app)?))
            .await?
            .filter(|app| app.enabled)
            .ok_or_else(|| Error::not_found(format!("There is no enabled application {app} in this tenant.")))?;
        self.access_token(base, GRAPH_AUDIENCES[0], &TokenSubject::App(&app))
    }

    /// A token on behalf of a local user, named by `user_principal_name`, as if they had signed in
    /// to [`BUILT_IN_CLIENT`]. `permissions`: only these; none: all that they have.
    ///
    /// # Errors
    /// Not found: the tenant has no such user, or they are disabled. Invalid: a permission that
    /// they do not have.
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
            .ok_or_else(|| Error::not_found(format!("There is no enabled user {user:?} in this tenant.")))?;
        if let Some(missing) = permissions.into_iter().flatten().find(|wanted| !includes(&user.permissions, wanted)) {
            return Err(Error::invalid(format!(
                "{} does not have the permission {missing}.",
                user.user_principal_name
            )));
        }
        let permissions = permissions.unwrap_or(&user.permissions);
        let subject =
            TokenSubject::User { user: &user, client: BUILT_IN_CLIENT, client_name: BUILT_IN_NAME, permissions };
        self.access_token(base, GRAPH_AUDIENCES[0], &subject)
    }

    /// A new secret for an application.
    pub fn new_app_secret(rng: &dyn Rng) -> AppSecret {
        // The prefix lets scanners of repositories and logs recognise it.
        let secret = format!("cloudpc_{}", random_text(rng));
        AppSecret { hash: Sha256::digest(&secret).into(), secret }
    }

    fn access_token(
        &self,
        base: &BaseAddress,
        audience: &str,
        subject: &TokenSubject<'_>,
    ) -> Result<AccessToken, Error> {
        let claims = Claims::access(base, audience, subject, self.clock.now(), self.rng.as_ref());
        let permissions = claims.permissions().map(str::to_owned).collect();
        Ok(AccessToken { token: self.keys().sign(&claims)?, expires_in: TOKEN_LIFETIME, permissions })
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The caller that a token stands for, and when it ends.
    async fn verify(&self, token: &str, now: Timestamp) -> Result<(Caller, Timestamp), GraphError> {
        let header = claims::header(token)?;
        let kid = header.kid.as_deref().ok_or_else(|| rejected("The access token does not name its key."))?;
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

    /// The caller of a token made here: what it says, less what has been taken away since.
    async fn local_caller(
        &self,
        tenant: TenantId,
        app_id: AppId,
        user_id: Option<UserId>,
        mut permissions: BTreeSet<String>,
        key_id: &str,
    ) -> Result<Caller, GraphError> {
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
            return Err(rejected("The tenant of the access token is not known here."));
        }
        match &app {
            Some(app) if app.enabled => permissions.retain(|permission| includes(&app.permissions, permission)),
            None if app_id == BUILT_IN_CLIENT && user_id.is_some() => {}
            _ => return Err(rejected("The application of the access token is not known here, or disabled.")),
        }
        let user = match (user_id, user) {
            (None, _) => None,
            (Some(_), Some(user)) if user.enabled => {
                permissions.retain(|permission| includes(&user.permissions, permission));
                Some(CallerUser { id: user.id, user_principal_name: user.user_principal_name, roles: user.roles })
            }
            (Some(_), _) => return Err(rejected("The user of the access token is not known here, or disabled.")),
        };
        let is_owner = user.is_none() && owner == Some((tenant, app_id));
        let app_name = app.map_or_else(|| BUILT_IN_NAME.to_owned(), |app| app.name);
        let origin = TokenOrigin::Local { key_id: key_id.to_owned() };
        Ok(Caller { tenant_id: tenant, app_id: Some(app_id), app_name, user, permissions, origin, is_owner })
    }

    fn is_our_audience(&self, audience: &str) -> bool {
        is_our_audience(&self.names, audience)
    }
}

/// Discovery, keys, tokens and the device code page, below `/{tenant}/…`.
pub fn routes() -> Router<Arc<Identity>> {
    endpoints::routes().merge(device::routes())
}

/// Whether tokens for this audience are meant for us: Graph's, or `http(s)://<one of our names>`.
/// GUIDs and hosts are compared without case. The text is checked before it is parsed, because
/// parsing drops and rewrites parts of it: control characters, blanks, `/.`, `%61`.
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

/// 256 random bits as text.
pub(crate) fn random_text(rng: &dyn Rng) -> String {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..4).flat_map(|_| rng.next_u64().to_be_bytes()).collect();
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn bearer(headers: &HeaderMap) -> Result<&str, GraphError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| rejected("Access token is empty: the Authorization header is missing."))?;
    if values.next().is_some() {
        return Err(rejected("There is more than one Authorization header."));
    }
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| rejected("The Authorization header must be \"Bearer\" and an access token."))?;
    match token.len() {
        0 => Err(rejected("Access token is empty.")),
        1..=TOKEN_BYTES_MAX => Ok(token),
        _ => Err(rejected("The access token is too long.")),
    }
}

/// 401, the one answer to a token that is not believed.
fn rejected(message: impl Into<String>) -> GraphError {
    GraphError::new(401, "InvalidAuthenticationToken", message)
}

fn unavailable(error: Error) -> GraphError {
    tracing::error!(error = &error as &dyn std::error::Error, "the token could not be checked");
    GraphError::new(503, "ServiceUnavailable", "The access token cannot be checked at the moment; try again later.")
}

#[cfg(test)]
mod tests;
