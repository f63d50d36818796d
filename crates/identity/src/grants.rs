//! Grants: tokens in exchange for an application's secret or assertion, a device code or a refresh
//! token.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use cloudpc_model::{AppId, Error, TenantId};
use cloudpc_store::{Application, StoreError, Tx, User};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::assertion::{ASSERTION_TYPE, ClientAssertion};
use super::attempts::{Attempts, PEER_WINDOW, SECRET_ATTEMPTS};
use super::audit::{Principal, SignInSource};
use super::claims::TokenSubject;
use super::device::{CODE_LIFETIME, POLL_INTERVAL, Redeemed};
use super::directory::{TenantPath, disabled_user};
use super::oauth::{Form, OAuthError, TokenRequest, basic_credentials};
use super::{GRAPH_AUDIENCES, Identity, TOKEN_LIFETIME};

/// Grant type that redeems a device code (RFC 8628 §3.4).
pub(super) const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Scopes of OpenID Connect. MSAL for Java and Go also send them for applications, where they have
/// no meaning.
const OPENID_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

impl Identity {
    /// Handles a request to the token endpoint.
    pub(super) async fn token(&self, request: &TokenRequest<'_>) -> Result<Value, OAuthError> {
        let tenant = self.tenant(request.tenant).await?;
        let form = Form::read(request.headers, request.body)?;
        match form.required("grant_type")? {
            "client_credentials" => self.client_credentials(request, tenant, &form).await,
            // Older MSAL libraries use the grant type's name from before the RFC.
            DEVICE_CODE_GRANT | "device_code" => self.redeem_device_code(request, tenant, &form).await,
            "authorization_code" => self.redeem_authorization_code(request, tenant, &form).await,
            "refresh_token" => self.refresh(request, tenant, &form).await,
            other => Err(OAuthError::new(
                "unsupported_grant_type",
                70_003,
                format!(
                    "Unsupported grant type {other:?}. Use client_credentials, authorization_code, device_code or refresh_token."
                ),
            )),
        }
    }

    /// Handles a request to the v1 token endpoint, where older clients send a `resource` instead of
    /// a scope.
    pub(super) async fn token_v1(&self, request: &TokenRequest<'_>) -> Result<Value, OAuthError> {
        let tenant = self.tenant(request.tenant).await?;
        let form = Form::read(request.headers, request.body)?;
        let grant = form.required("grant_type")?;
        if grant != "client_credentials" {
            let problem = format!(
                "The v1 endpoint does not support the grant type {grant:?}, only client_credentials. \
                 Use {}/{}/oauth2/v2.0/token.",
                request.base.0, request.tenant
            );
            return Err(OAuthError::new("unsupported_grant_type", 70_003, problem));
        }
        let app = self.authenticated_app(request, tenant, &form).await?;
        let resource = form.required("resource")?;
        if !self.is_known_audience(resource) {
            let problem = format!("The resource {resource:?} is unknown. Use {}.", GRAPH_AUDIENCES[0]);
            return Err(OAuthError::new("invalid_resource", 500_011, problem));
        }
        let now = self.clock.now();
        let token = self.access_token(request.base, resource, &TokenSubject::App(&app))?;
        // v1 sends numbers as strings.
        Ok(json!({
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFETIME.as_secs().to_string(),
            "ext_expires_in": TOKEN_LIFETIME.as_secs().to_string(),
            "expires_on": (now + TOKEN_LIFETIME).unix_seconds().to_string(),
            "not_before": now.unix_seconds().to_string(),
            "resource": resource,
            "access_token": token.token,
        }))
    }

    async fn client_credentials(
        &self,
        request: &TokenRequest<'_>,
        tenant: TenantPath,
        form: &Form,
    ) -> Result<Value, OAuthError> {
        let app = self.authenticated_app(request, tenant, form).await?;
        let audience = self.default_scope(form.required("scope")?)?;
        let token = self.access_token(request.base, &audience, &TokenSubject::App(&app))?;
        Ok(json!({
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFETIME.as_secs(),
            "ext_expires_in": TOKEN_LIFETIME.as_secs(),
            "access_token": token.token,
        }))
    }

    /// Returns the application that authenticates with its secret or an assertion.
    async fn authenticated_app(
        &self,
        request: &TokenRequest<'_>,
        tenant: TenantPath,
        form: &Form,
    ) -> Result<Application, OAuthError> {
        let TenantPath::One(tenant) = tenant else {
            let problem = format!(
                "The path segment {:?} does not name a tenant. An application must use its own tenant; put the tenant's id there.",
                request.tenant
            );
            return Err(OAuthError::new("invalid_request", 50_194, problem));
        };
        let (client_id, secret) = match basic_credentials(request.headers)? {
            Some((id, secret)) => (id, Some(secret)),
            None => (form.required("client_id")?.to_owned(), form.get("client_secret").map(str::to_owned)),
        };
        let unknown = || {
            let problem =
                format!("This tenant has no application {client_id:?}. Use the client id of a registered application.");
            OAuthError::new("unauthorized_client", 700_016, problem)
        };
        let id: AppId = client_id.parse().map_err(|_| unknown())?;
        let credential = match (secret.filter(|secret| !secret.is_empty()), form.get("client_assertion")) {
            (Some(secret), _) => AppCredential::Secret(Sha256::digest(secret.as_bytes()).into()),
            (None, Some(token)) if form.get("client_assertion_type") == Some(ASSERTION_TYPE) => {
                let at = |path: &str| format!("{}/{}/{path}", request.base.0, request.tenant);
                let audiences = ["oauth2/v2.0/token", "oauth2/token", "v2.0"].map(at).to_vec();
                AppCredential::Assertion(ClientAssertion { token: token.to_owned(), client_id: id, audiences })
            }
            (None, _) => {
                let problem = format!(
                    "The form lacks the parameter \"client_secret\", or \"client_assertion\" with the type {ASSERTION_TYPE}. \
                     Other client authentication is not supported."
                );
                return Err(OAuthError::new("invalid_client", 7_000_216, problem));
            }
        };
        let source = self.source(request);
        self.store
            .write("app.checkSecret", move |tx| Ok::<_, Error>(check_credential(tx, &source, tenant, id, &credential)?))
            .await?
            .ok_or_else(unknown)?
    }

    /// Handles a device authorization request (RFC 8628 §3.1).
    pub(super) async fn device_code(&self, request: &TokenRequest<'_>) -> Result<Value, OAuthError> {
        let tenant = self.tenant(request.tenant).await?;
        let form = Form::read(request.headers, request.body)?;
        let client = self.public_client(tenant, form.required("client_id")?).await?;
        let scope = form.required("scope")?;
        self.scopes(scope)?;
        let code = self.start_device_code(request.peer, tenant, client, scope).await?;
        let page = format!("{}/devicelogin", self.page_base(request.base).0);
        Ok(json!({
            "message": format!("To sign in, open the page {page} and enter the code {}.", code.user_code),
            "user_code": code.user_code,
            "device_code": code.device_code,
            "verification_uri": page,
            "expires_in": CODE_LIFETIME.as_secs(),
            "interval": POLL_INTERVAL.as_secs(),
        }))
    }

    async fn redeem_device_code(
        &self,
        request: &TokenRequest<'_>,
        tenant: TenantPath,
        form: &Form,
    ) -> Result<Value, OAuthError> {
        let device_code = form.get("device_code").or_else(|| form.get("code"));
        let device_code = device_code.ok_or_else(|| OAuthError::missing("device_code"))?;
        let client_id = form.required("client_id")?;
        let Redeemed { tenant_id, user_id, scope } = self.redeem(device_code, tenant, client_id).await?;
        let client = self.public_client(TenantPath::One(tenant_id), client_id).await?;
        let user = self.user(tenant_id, user_id).await?;
        self.delegated(request.base, &user, &client, &self.scopes(&scope)?, &scope, None)
    }

    async fn refresh(&self, request: &TokenRequest<'_>, tenant: TenantPath, form: &Form) -> Result<Value, OAuthError> {
        let invalid = || {
            let problem = "The refresh token is invalid, expired or revoked. Sign in again.";
            OAuthError::new("invalid_grant", 700_082, problem)
        };
        let claims = self.read_refresh_token(form.required("refresh_token")?).ok_or_else(invalid)?;
        let client_id = form.required("client_id")?;
        let (tid, oid) = (claims.tid, claims.oid);
        let user = self.store.read(move |reader| Ok::<_, Error>(reader.user(tid, oid)?)).await?;
        let refused = match &user {
            _ if tenant.id().is_some_and(|id| id != tid) || client_id.parse() != Ok(claims.client) => {
                Some(("otherClient", invalid()))
            }
            Some(user) if !claims.matches_password(user) => Some(("passwordChanged", invalid())),
            Some(user) if user.enabled => None,
            _ => Some(("userDisabled", disabled_user())),
        };
        if let Some((reason, error)) = refused {
            self.record_refused_refresh(request, tid, user, reason).await?;
            return Err(error);
        }
        let user = user.ok_or_else(disabled_user)?;
        let client = self.public_client(TenantPath::One(tid), client_id).await?;
        let granted = self.scopes(&claims.scope)?;
        let wanted = self.scopes(form.get("scope").unwrap_or(&claims.scope))?.within(&granted)?;
        self.delegated(request.base, &user, &client, &wanted, &claims.scope, None)
    }

    async fn record_refused_refresh(
        &self,
        request: &TokenRequest<'_>,
        tenant: TenantId,
        user: Option<User>,
        reason: &'static str,
    ) -> Result<(), Error> {
        let source = self.source(request);
        self.store
            .write("signIn.refuse", move |tx| {
                let principal = user.as_ref().map_or(Principal::UnknownUser, Principal::User);
                Ok::<_, Error>(source.failed(tx, Some(tenant), principal, reason)?)
            })
            .await
    }

    fn source(&self, request: &TokenRequest<'_>) -> SignInSource {
        SignInSource { peer: request.peer, request_id: request.request_id.to_owned(), at: self.clock.now() }
    }

    /// Returns the audience of an application's scope, which is one `…/.default`, with any scopes
    /// of OpenID Connect.
    fn default_scope(&self, scope: &str) -> Result<String, OAuthError> {
        let mut rest = scope.split_ascii_whitespace().filter(|word| !OPENID_SCOPES.contains(word));
        let audience = match (rest.next(), rest.next()) {
            (Some(word), None) => word.strip_suffix("/.default"),
            _ => None,
        };
        audience.filter(|audience| self.is_known_audience(audience)).map(str::to_owned).ok_or_else(|| {
            let problem = format!(
                "Invalid scope {scope:?} for an application. Use {}/.default, or https://NAME/.default with a name of this server.",
                GRAPH_AUDIENCES[0]
            );
            OAuthError::new("invalid_scope", 70_011, problem)
        })
    }
}

/// What an application authenticates with.
enum AppCredential {
    /// The hash of a secret.
    Secret([u8; 32]),
    /// A token signed with the key of a certificate.
    Assertion(ClientAssertion),
}

/// Checks an application's credential; none: the tenant has no such application. The check is in
/// the transaction that counts the attempt, so that concurrent attempts are counted like sequential
/// ones.
fn check_credential(
    tx: &mut Tx<'_>,
    source: &SignInSource,
    tenant: TenantId,
    id: AppId,
    credential: &AppCredential,
) -> Result<Option<Result<Application, OAuthError>>, StoreError> {
    let (peer, now) = (source.peer, source.at);
    let Some(app) = tx.app(tenant, id)? else {
        // All unknown ids are counted together, so that an anonymous client cannot fill the audit
        // log.
        let unknown = Attempts::on(&SECRET_ATTEMPTS, Some(tenant), "", peer);
        if unknown.is_allowed(tx, now)? {
            unknown.count(tx, now)?;
            source.failed(tx, Some(tenant), Principal::UnknownApp, "unknownApplication")?;
        }
        return Ok(None);
    };
    let attempts = Attempts::on(&SECRET_ATTEMPTS, Some(tenant), &id.to_string(), peer);
    if !attempts.is_allowed(tx, now)? {
        let problem = format!(
            "Too many requests with a wrong client secret from this address. Try again in {} minutes.",
            PEER_WINDOW.as_secs() / 60
        );
        return Ok(Some(Err(OAuthError::too_many(PEER_WINDOW, problem))));
    }
    let (fits, reason, number, problem) = match credential {
        AppCredential::Secret(given) => (
            app.secret_hash.is_some_and(|hash| verify_slices_are_equal(&hash, given).is_ok()),
            "wrongSecret",
            7_000_215,
            "The client secret is wrong. Use the application's current secret.",
        ),
        AppCredential::Assertion(assertion) => (
            tx.app_certificate(tenant, id)?.is_some_and(|certificate| assertion.fits(&certificate, now)),
            "wrongAssertion",
            700_027,
            "The client assertion is not for this endpoint now, or not signed with the key of the application's certificate.",
        ),
    };
    if !fits {
        attempts.count(tx, now)?;
        source.failed(tx, Some(tenant), Principal::App(&app), reason)?;
        return Ok(Some(Err(OAuthError::new("invalid_client", number, problem))));
    }
    attempts.refund(tx, now)?;
    if !app.enabled {
        source.failed(tx, Some(tenant), Principal::App(&app), "applicationDisabled")?;
        let problem = "The application is disabled. Ask an administrator to enable it.";
        return Ok(Some(Err(OAuthError::new("unauthorized_client", 7_000_112, problem))));
    }
    Ok(Some(Ok(app)))
}
