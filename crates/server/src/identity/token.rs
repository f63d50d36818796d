//! The endpoints below `/{tenant}/`: discovery, keys, and tokens against proof of who asks (RFC 6749, RFC 8628).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use cloudpc_model::{AppId, Error, TenantId, Timestamp, UserId};
use cloudpc_store::User;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

use super::claims::{self, Subject};
use super::device::Redeemed;
use super::{BUILT_IN_CLIENT, GRAPH_AUDIENCES, Identity, REFRESH_LIFETIME, TOKEN_LIFETIME};
use crate::app::App;
use crate::edge::{BaseAddress, RequestIds};

/// Name of [`BUILT_IN_CLIENT`].
pub(super) const BUILT_IN_NAME: &str = "cloudpc command line";

/// Largest form that is read.
pub(super) const FORM_BYTES_MAX: usize = 64 * 1024;

const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// `aud` of refresh tokens, which is never that of an access token.
const REFRESH_AUDIENCE: &str = "cloudpc:refresh";

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(discovery))
        .route("/{tenant}/discovery/v2.0/keys", get(keys))
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .route("/{tenant}/oauth2/v2.0/devicecode", post(device_code))
        .route("/{tenant}/oauth2/v2.0/authorize", get(authorize))
}

/// An error as RFC 6749 §5.2 and RFC 8628 §3.5 shape it, with the numbers that Entra's clients know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OAuthError {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) number: u32,
    pub(super) description: String,
}

impl OAuthError {
    pub(super) fn new(error: &'static str, number: u32, description: impl Into<String>) -> Self {
        let status = match error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self { status, error, number, description: description.into() }
    }

    fn missing(parameter: &str) -> Self {
        Self::new("invalid_request", 900_144, format!("The form must have the parameter {parameter:?}."))
    }
}

impl From<Error> for OAuthError {
    fn from(error: Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the token service failed");
        Self::new("server_error", 90_033, "The token service could not complete the request; try again later.")
    }
}

/// The tenant that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TenantPath {
    /// By its id.
    One(TenantId),
    /// `common` or `organizations`: the tenant of whoever signs in.
    Any,
}

/// What a client asks a delegated token for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scopes {
    /// For whom the token is meant.
    audience: String,
    /// Each permission, and how the client wrote it; clients find a kept token by what they wrote.
    permissions: Vec<(String, String)>,
    /// `…/.default` as it was written: all that the user has.
    all: Option<String>,
    openid: bool,
    offline: bool,
}

/// A public client.
pub(super) struct PublicClient {
    id: AppId,
    pub(super) name: String,
    /// None: it may have whatever the user has.
    permissions: Option<Vec<String>>,
}

/// A refresh token: whom it stands for, and a trace of the password it was given for, so that a new password ends it.
#[derive(Serialize, Deserialize)]
struct RefreshClaims {
    aud: String,
    exp: i64,
    tid: TenantId,
    oid: UserId,
    client: AppId,
    scope: String,
    password: String,
    jti: String,
}

struct Form(BTreeMap<String, String>);

async fn discovery(
    State(app): State<App>,
    Path(tenant): Path<String>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
) -> Response {
    let document = app.identity.tenant(&tenant).await.map(|found| {
        let issuer_tenant = match found {
            TenantPath::One(id) => id.to_string(),
            TenantPath::Any => "{tenantid}".into(),
        };
        let at = |path: &str| format!("{}/{tenant}/{path}", base.0);
        json!({
            "issuer": claims::issuer(&base, &issuer_tenant),
            "token_endpoint": at("oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "authorization_endpoint": at("oauth2/v2.0/authorize"),
            "device_authorization_endpoint": at("oauth2/v2.0/devicecode"),
            "jwks_uri": at("discovery/v2.0/keys"),
            "grant_types_supported": ["client_credentials", DEVICE_CODE_GRANT, "refresh_token"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "name", "oid", "preferred_username", "tid", "ver"],
            "request_uri_parameter_supported": false,
        })
    });
    app.identity.reply(&ids, document)
}

async fn keys(State(app): State<App>, Path(tenant): Path<String>, Extension(ids): Extension<RequestIds>) -> Response {
    match app.identity.tenant(&tenant).await {
        Ok(_) => Json(app.identity.keys().public()).into_response(),
        Err(error) => app.identity.reply(&ids, Err(error)),
    }
}

async fn token(
    State(app): State<App>,
    Path(tenant): Path<String>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = app.identity.token(&base, &tenant, &headers, &body).await;
    app.identity.reply(&ids, answer)
}

async fn device_code(
    State(app): State<App>,
    Path(tenant): Path<String>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = app.identity.device_code(&base, &tenant, &headers, &body).await;
    app.identity.reply(&ids, answer)
}

/// Named in the discovery document because clients insist on it; a browser that comes here is told what works.
async fn authorize(State(app): State<App>, Extension(ids): Extension<RequestIds>) -> Response {
    let description = "This token service has no sign-in by redirect; use the device code flow or client credentials.";
    app.identity.reply(&ids, Err(OAuthError::new("unsupported_response_type", 700_051, description)))
}

impl Identity {
    pub(super) async fn token(
        &self,
        base: &BaseAddress,
        tenant: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Value, OAuthError> {
        let tenant = self.tenant(tenant).await?;
        let form = Form::read(headers, body)?;
        match form.required("grant_type")? {
            "client_credentials" => self.client_credentials(base, tenant, headers, &form).await,
            // Older MSAL libraries use the name that the grant had before the RFC.
            DEVICE_CODE_GRANT | "device_code" => self.redeem_device_code(base, tenant, &form).await,
            "refresh_token" => self.refresh(base, tenant, &form).await,
            other => Err(OAuthError::new(
                "unsupported_grant_type",
                70_003,
                format!(
                    "The grant type {other:?} is not supported; use client_credentials, device_code or refresh_token."
                ),
            )),
        }
    }

    async fn client_credentials(
        &self,
        base: &BaseAddress,
        tenant: TenantPath,
        headers: &HeaderMap,
        form: &Form,
    ) -> Result<Value, OAuthError> {
        let TenantPath::One(tenant) = tenant else {
            return Err(OAuthError::new(
                "invalid_request",
                50_194,
                "An application gets its token from its own tenant: put the tenant's id in place of \"common\".",
            ));
        };
        let (client_id, secret) = match basic_credentials(headers)? {
            Some((id, secret)) => (id, Some(secret)),
            None => (form.required("client_id")?.to_owned(), form.get("client_secret").map(str::to_owned)),
        };
        let secret = secret.filter(|secret| !secret.is_empty()).ok_or_else(|| {
            OAuthError::new(
                "invalid_client",
                7_000_216,
                "The form must have \"client_secret\"; other proofs are not supported.",
            )
        })?;
        let unknown = || {
            let problem = format!("There is no application {client_id:?} in this tenant.");
            OAuthError::new("unauthorized_client", 700_016, problem)
        };
        let id: AppId = client_id.parse().map_err(|_| unknown())?;
        let app = self.store.read(move |reader| Ok::<_, Error>(reader.app(tenant, id)?)).await?.ok_or_else(unknown)?;
        let given: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let fits = app.secret_hash.is_some_and(|hash| verify_slices_are_equal(&hash, &given).is_ok());
        if !fits {
            return Err(OAuthError::new("invalid_client", 7_000_215, "The client secret is wrong."));
        }
        if !app.enabled {
            return Err(OAuthError::new("unauthorized_client", 7_000_112, "The application is disabled."));
        }
        let audience = self.default_scope(form.required("scope")?)?;
        let token = self.access_token(base, &audience, &Subject::App(&app))?;
        Ok(json!({
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFETIME.as_secs(),
            "ext_expires_in": TOKEN_LIFETIME.as_secs(),
            "access_token": token.token,
        }))
    }

    pub(super) async fn device_code(
        &self,
        base: &BaseAddress,
        tenant: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Value, OAuthError> {
        let tenant = self.tenant(tenant).await?;
        let form = Form::read(headers, body)?;
        let client = self.public_client(tenant, form.required("client_id")?).await?;
        let scope = form.required("scope")?;
        self.scopes(scope)?;
        let code = self.device_codes.start(tenant, client.id, &client.name, scope)?;
        let page = format!("{}/devicelogin", base.0);
        Ok(json!({
            "message": format!("To sign in, open the page {page} and enter the code {}.", code.user_code),
            "user_code": code.user_code,
            "device_code": code.device_code,
            "verification_uri": page,
            "expires_in": code.expires_in.as_secs(),
            "interval": code.interval.as_secs(),
        }))
    }

    async fn redeem_device_code(
        &self,
        base: &BaseAddress,
        tenant: TenantPath,
        form: &Form,
    ) -> Result<Value, OAuthError> {
        let device_code = form.get("device_code").or_else(|| form.get("code"));
        let device_code = device_code.ok_or_else(|| OAuthError::missing("device_code"))?;
        let client_id = form.required("client_id")?;
        let Redeemed { tenant_id, user_id, scope } = self.device_codes.redeem(device_code, tenant, client_id)?;
        let client = self.public_client(TenantPath::One(tenant_id), client_id).await?;
        let user = self.user(tenant_id, user_id).await?;
        self.delegated(base, &user, &client, &scope)
    }

    async fn refresh(&self, base: &BaseAddress, tenant: TenantPath, form: &Form) -> Result<Value, OAuthError> {
        let ended =
            || OAuthError::new("invalid_grant", 700_082, "The refresh token is not valid any more; sign in again.");
        let token = form.required("refresh_token")?;
        let claims = self.read_refresh_token(token).ok_or_else(ended)?;
        let client_id = form.required("client_id")?;
        let fits_tenant = match tenant {
            TenantPath::One(id) => id == claims.tid,
            TenantPath::Any => true,
        };
        if !fits_tenant || client_id.parse() != Ok(claims.client) {
            return Err(ended());
        }
        let client = self.public_client(TenantPath::One(claims.tid), client_id).await?;
        let user = self.user(claims.tid, claims.oid).await?;
        if password_trace(&user) != claims.password {
            return Err(ended());
        }
        self.delegated(base, &user, &client, form.get("scope").unwrap_or(&claims.scope))
    }

    /// The answer to a user's sign-in or its refresh.
    fn delegated(
        &self,
        base: &BaseAddress,
        user: &User,
        client: &PublicClient,
        scope: &str,
    ) -> Result<Value, OAuthError> {
        let scopes = self.scopes(scope)?;
        let may_have = |permission: &String| {
            user.permissions.contains(permission)
                && client.permissions.as_ref().is_none_or(|granted| granted.contains(permission))
        };
        let (granted, mut written): (Vec<String>, Vec<String>) = match &scopes.all {
            Some(default) => {
                let granted: Vec<String> = user.permissions.iter().filter(|name| may_have(name)).cloned().collect();
                let resource = default.trim_end_matches(".default");
                let written = granted.iter().map(|name| format!("{resource}{name}")).chain([default.clone()]).collect();
                (granted, written)
            }
            None => scopes.permissions.iter().filter(|(name, _)| may_have(name)).cloned().unzip(),
        };
        if scopes.openid {
            written.extend(["openid", "profile"].map(str::to_owned));
        }
        let subject = Subject::User { user, client: client.id, client_name: &client.name, permissions: &granted };
        let token = self.access_token(base, &scopes.audience, &subject)?;
        let now = self.clock.now();
        let mut answer = json!({
            "token_type": "Bearer",
            "scope": written.join(" "),
            "expires_in": TOKEN_LIFETIME.as_secs(),
            "ext_expires_in": TOKEN_LIFETIME.as_secs(),
            "access_token": token.token,
            "client_info": client_info(user),
        });
        if scopes.offline {
            answer["refresh_token"] = self.keys().sign(&self.refresh_claims(user, client.id, scope, now))?.into();
        }
        if scopes.openid {
            answer["id_token"] = self.keys().sign(&self.id_claims(base, user, client.id, now))?.into();
        }
        Ok(answer)
    }

    fn refresh_claims(&self, user: &User, client: AppId, scope: &str, now: Timestamp) -> RefreshClaims {
        RefreshClaims {
            aud: REFRESH_AUDIENCE.into(),
            exp: (now + REFRESH_LIFETIME).unix_seconds(),
            tid: user.tenant_id,
            oid: user.id,
            client,
            scope: scope.to_owned(),
            password: password_trace(user),
            jti: self.rng.uuid().to_string(),
        }
    }

    fn id_claims(&self, base: &BaseAddress, user: &User, client: AppId, now: Timestamp) -> Value {
        json!({
            "aud": client,
            "iss": claims::issuer(base, &user.tenant_id.to_string()),
            "iat": now.unix_seconds(),
            "nbf": now.unix_seconds(),
            "exp": (now + TOKEN_LIFETIME).unix_seconds(),
            "name": user.display_name,
            "oid": user.id,
            "preferred_username": user.user_principal_name,
            "sub": user.id,
            "tid": user.tenant_id,
            "uti": self.rng.uuid().simple().to_string(),
            "ver": "2.0",
        })
    }

    fn read_refresh_token(&self, token: &str) -> Option<RefreshClaims> {
        let header = claims::header(token).ok()?;
        let keys = self.keys();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[REFRESH_AUDIENCE]);
        // By the clock that was passed in, below.
        validation.validate_exp = false;
        let claims: RefreshClaims =
            jsonwebtoken::decode(token, keys.verifying(header.kid.as_deref()?)?, &validation).ok()?.claims;
        (self.clock.now().unix_seconds() < claims.exp).then_some(claims)
    }

    /// The tenant of a path.
    pub(super) async fn tenant(&self, path: &str) -> Result<TenantPath, OAuthError> {
        if ["common", "organizations"].contains(&path) {
            return Ok(TenantPath::Any);
        }
        let known = self.tenants().await?;
        path.parse()
            .ok()
            .filter(|id| known.contains(id))
            .map(TenantPath::One)
            .ok_or_else(|| OAuthError::new("invalid_tenant", 90_002, format!("There is no tenant {path:?} here.")))
    }

    pub(super) async fn tenants(&self) -> Result<Vec<TenantId>, Error> {
        self.store.read(|reader| Ok(reader.tenant_list()?.into_iter().map(|(id, _)| id).collect())).await
    }

    async fn user(&self, tenant: TenantId, id: UserId) -> Result<User, OAuthError> {
        self.store
            .read(move |reader| Ok::<_, Error>(reader.user(tenant, id)?))
            .await?
            .filter(|user| user.enabled)
            .ok_or_else(|| OAuthError::new("invalid_grant", 50_057, "The user is disabled or not there any more."))
    }

    /// A client that needs no secret: the built-in one, or a registered one that has none.
    async fn public_client(&self, tenant: TenantPath, client_id: &str) -> Result<PublicClient, OAuthError> {
        let unknown = || {
            let problem = format!("There is no application {client_id:?} in this tenant.");
            OAuthError::new("unauthorized_client", 700_016, problem)
        };
        let id: AppId = client_id.parse().map_err(|_| unknown())?;
        if id == BUILT_IN_CLIENT {
            return Ok(PublicClient { id, name: BUILT_IN_NAME.into(), permissions: None });
        }
        let tenants = match tenant {
            TenantPath::One(tenant) => vec![tenant],
            TenantPath::Any => self.tenants().await?,
        };
        let app = self
            .store
            .read(move |reader| {
                for tenant in tenants {
                    if let Some(app) = reader.app(tenant, id)? {
                        return Ok::<_, Error>(Some(app));
                    }
                }
                Ok(None)
            })
            .await?
            .filter(|app| app.enabled)
            .ok_or_else(unknown)?;
        if app.secret_hash.is_some() {
            let problem = "The application has a secret; users sign in to public clients, which have none.";
            return Err(OAuthError::new("invalid_client", 7_000_218, problem));
        }
        Ok(PublicClient { id, name: app.name, permissions: Some(app.permissions) })
    }

    /// The audience of a scope that must be one `…/.default`.
    fn default_scope(&self, scope: &str) -> Result<String, OAuthError> {
        scope.strip_suffix("/.default").filter(|audience| self.is_our_audience(audience)).map(str::to_owned).ok_or_else(
            || {
                let problem = format!(
                    "The scope {scope:?} is not valid. An application asks for {}/.default, or for https://<name>/.default with one of this server's names.",
                    GRAPH_AUDIENCES[0]
                );
                OAuthError::new("invalid_scope", 70_011, problem)
            },
        )
    }

    /// Reads the scopes that a client asks for on behalf of a user.
    fn scopes(&self, scope: &str) -> Result<Scopes, OAuthError> {
        let invalid = |problem: String| OAuthError::new("invalid_scope", 70_011, problem);
        let mut scopes =
            Scopes { audience: String::new(), permissions: Vec::new(), all: None, openid: false, offline: false };
        for word in scope.split_ascii_whitespace() {
            let (audience, permission) = match word {
                "openid" => {
                    scopes.openid = true;
                    continue;
                }
                "offline_access" => {
                    scopes.offline = true;
                    continue;
                }
                "profile" | "email" => continue,
                _ => word.rsplit_once('/').unwrap_or((GRAPH_AUDIENCES[0], word)),
            };
            if !self.is_our_audience(audience) {
                return Err(invalid(format!("The scope {word:?} is for another service than this one.")));
            }
            if !scopes.audience.is_empty() && scopes.audience != audience {
                return Err(invalid("All scopes of one token must be for the same audience.".into()));
            }
            audience.clone_into(&mut scopes.audience);
            if permission == ".default" {
                scopes.all = Some(word.to_owned());
            } else {
                scopes.permissions.push((permission.to_owned(), word.to_owned()));
            }
        }
        if scopes.audience.is_empty() {
            GRAPH_AUDIENCES[0].clone_into(&mut scopes.audience);
        }
        Ok(scopes)
    }

    fn reply(&self, ids: &RequestIds, answer: Result<Value, OAuthError>) -> Response {
        let (status, body) = match answer {
            Ok(body) => (StatusCode::OK, body),
            Err(OAuthError { status, error, number, description }) => {
                let body = json!({
                    "error": error,
                    "error_description": description,
                    "error_codes": [number],
                    "timestamp": self.clock.now().to_string(),
                    "trace_id": ids.request_id,
                    "correlation_id": ids.client_request_id,
                });
                (status, body)
            }
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"cloudpc\""));
        }
        response
    }
}

impl Form {
    fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, OAuthError> {
        let invalid = |problem: &str| OAuthError::new("invalid_request", 9_002_313, problem);
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim();
        if !content_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(invalid("The body must be a form: application/x-www-form-urlencoded."));
        }
        if body.len() > FORM_BYTES_MAX {
            return Err(invalid("The form is too large."));
        }
        let mut form = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            if form.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(invalid(&format!("The form has the parameter {name:?} twice.")));
            }
        }
        Ok(Self(form))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::missing(name))
    }
}

/// Id and secret of a client that authenticates by HTTP Basic (RFC 6749 §2.3.1: both form-encoded first).
fn basic_credentials(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(|text| text.into_owned())
    };
    value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Basic"))
        .and_then(|(_, credentials)| BASE64_STANDARD.decode(credentials.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.split_once(':').and_then(|(id, secret)| Some((decoded(id)?, decoded(secret)?))))
        .map(Some)
        .ok_or_else(|| {
            OAuthError::new(
                "invalid_client",
                7_000_216,
                "The Authorization header must be \"Basic\" with id and secret.",
            )
        })
}

/// What a refresh token remembers of a password: enough to see that it has changed, useless for guessing it, since the hash is salted and slow.
fn password_trace(user: &User) -> String {
    let digest = Sha256::digest(user.password_hash.as_deref().unwrap_or_default());
    hex::encode(&digest[..8])
}

/// Who has signed in, in the form by which MSAL files the account.
fn client_info(user: &User) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json!({"uid": user.id, "utid": user.tenant_id}).to_string())
}
