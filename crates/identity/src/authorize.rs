//! The authorization code flow (RFC 6749 §4.1) with PKCE (RFC 7636): a client on the person's own
//! computer opens the sign-in page in a browser, and gets a code by a redirect to its loopback
//! address.
//!
//! Nothing is stored before a user has signed in. The store holds the hash of the code, bound to
//! the client, the redirect URI and the code challenge.

mod page;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cloudpc_model::{AppId, Error, Timestamp};
use cloudpc_store::{AuthorizationCode, User};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Duration;
use url::{Host, Url};

use super::Identity;
use super::delegated::Scopes;
use super::directory::TenantPath;
use super::oauth::{Form, OAuthError, TokenRequest};

pub(super) use page::routes;

/// Lifetime of a code.
pub(super) const AUTHORIZATION_CODE_LIFETIME: Duration = Duration::from_mins(10);
/// Size limit of a parameter of an authorization request, in bytes.
pub(super) const AUTHORIZATION_PARAMETER_BYTES_MAX: usize = 4 * 1024;
/// Length of a code challenge of method S256: 256 bits in base64url.
const CHALLENGE_CHARS: usize = 43;

/// The parameters of an authorization request. A missing one is empty.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthorizationParameters {
    client_id: String,
    response_type: String,
    redirect_uri: String,
    response_mode: String,
    scope: String,
    state: String,
    nonce: String,
    code_challenge: String,
    code_challenge_method: String,
    prompt: String,
    login_hint: String,
}

/// A valid authorization request.
#[derive(Clone)]
pub(super) struct AuthorizationRequest {
    pub(super) tenant: TenantPath,
    pub(super) client_id: AppId,
    pub(super) client_name: String,
    redirect_uri: String,
    challenge: String,
    scope: String,
    nonce: Option<String>,
    code_hash: [u8; 32],
}

/// Where and how a client wants the response to its authorization request.
struct Redirect {
    url: Url,
    mode: ResponseMode,
    state: String,
}

/// How a response gets to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponseMode {
    Query,
    Fragment,
    FormPost,
}

/// Why there is no sign-in page.
enum AuthorizationError {
    /// Told to the person: the client or its redirect URI is not known.
    Page(OAuthError),
    /// Told to the client.
    Redirect(Box<Redirect>, OAuthError),
}

impl AuthorizationParameters {
    /// Returns the parameters with their names, to repeat them in a form.
    fn fields(&self) -> [(&'static str, &str); 9] {
        [
            ("client_id", &self.client_id),
            ("response_type", &self.response_type),
            ("redirect_uri", &self.redirect_uri),
            ("response_mode", &self.response_mode),
            ("scope", &self.scope),
            ("state", &self.state),
            ("nonce", &self.nonce),
            ("code_challenge", &self.code_challenge),
            ("code_challenge_method", &self.code_challenge_method),
        ]
    }

    fn redirect(&self) -> Result<Redirect, OAuthError> {
        let invalid = |problem: String| OAuthError::new("invalid_request", 50_011, problem);
        if let Some((name, value)) =
            self.fields().into_iter().find(|(_, value)| value.len() > AUTHORIZATION_PARAMETER_BYTES_MAX)
        {
            let bytes = value.len();
            return Err(invalid(format!(
                "The parameter {name:?} has {bytes} bytes. The maximum is {AUTHORIZATION_PARAMETER_BYTES_MAX}."
            )));
        }
        let url = loopback(&self.redirect_uri).ok_or_else(|| {
            invalid(format!(
                "The redirect URI {:?} is not allowed. Public clients use http://localhost with any port and no path.",
                self.redirect_uri
            ))
        })?;
        let mode = match self.response_mode.as_str() {
            "" | "query" => ResponseMode::Query,
            "fragment" => ResponseMode::Fragment,
            "form_post" => ResponseMode::FormPost,
            other => {
                return Err(invalid(format!("Unsupported response mode {other:?}. Use query, fragment or form_post.")));
            }
        };
        Ok(Redirect { url, mode, state: self.state.clone() })
    }

    /// Checks what the client can be told about by a redirect.
    fn check(&self) -> Result<(), OAuthError> {
        if self.response_type != "code" {
            let problem = format!("Unsupported response type {:?}. Use code.", self.response_type);
            return Err(OAuthError::new("unsupported_response_type", 700_051, problem));
        }
        let is_base64url = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        let challenge = self.code_challenge.as_bytes();
        if self.code_challenge_method != "S256"
            || challenge.len() != CHALLENGE_CHARS
            || !challenge.iter().all(|b| is_base64url(*b))
        {
            let problem = "Public clients must send a code_challenge with the code_challenge_method S256 (RFC 7636).";
            return Err(OAuthError::new("invalid_request", 9_002_325, problem));
        }
        if self.scope.is_empty() {
            let problem = "The request lacks the parameter \"scope\".";
            return Err(OAuthError::new("invalid_request", 900_144, problem));
        }
        if self.prompt == "none" {
            let problem = "No user is signed in, because the service keeps no browser sessions. Leave out prompt=none.";
            return Err(OAuthError::new("login_required", 50_058, problem));
        }
        Ok(())
    }
}

/// Parses a redirect URI of a public client: the loopback interface with any port (RFC 8252 §7.3).
fn loopback(uri: &str) -> Option<Url> {
    let url = Url::parse(uri).ok()?;
    let is_loopback = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    (url.scheme() == "http" && is_loopback && is_plain).then_some(url)
}

impl AuthorizationRequest {
    /// Returns the stored form of the request's code, for a user who signed in now.
    pub(super) fn code(&self, user: &User, now: Timestamp) -> AuthorizationCode {
        AuthorizationCode {
            tenant_id: user.tenant_id,
            code: self.code_hash,
            user_id: user.id,
            client_id: self.client_id,
            redirect_uri: self.redirect_uri.clone(),
            challenge: self.challenge.clone(),
            scope: self.scope.clone(),
            nonce: self.nonce.clone(),
            expires_at: now + AUTHORIZATION_CODE_LIFETIME,
        }
    }
}

impl Identity {
    /// Checks an authorization request whose code will be `code`.
    async fn authorization_request(
        &self,
        tenant: &str,
        parameters: &AuthorizationParameters,
        code: &str,
    ) -> Result<(AuthorizationRequest, Redirect, Scopes), AuthorizationError> {
        let page = AuthorizationError::Page;
        let tenant = self.tenant(tenant).await.map_err(page)?;
        let client = self.public_client(tenant, &parameters.client_id).await.map_err(page)?;
        let redirect = parameters.redirect().map_err(page)?;
        let scopes = match parameters.check().and_then(|()| self.scopes(&parameters.scope)) {
            Ok(scopes) => scopes,
            Err(error) => return Err(AuthorizationError::Redirect(Box::new(redirect), error)),
        };
        let request = AuthorizationRequest {
            tenant,
            client_id: client.id,
            client_name: client.name,
            redirect_uri: parameters.redirect_uri.clone(),
            challenge: parameters.code_challenge.clone(),
            scope: parameters.scope.clone(),
            nonce: Some(parameters.nonce.clone()).filter(|nonce| !nonce.is_empty()),
            code_hash: Sha256::digest(code).into(),
        };
        Ok((request, redirect, scopes))
    }

    /// Handles the grant of an authorization code. The code is used up even if the rest of the
    /// request is wrong.
    pub(super) async fn redeem_authorization_code(
        &self,
        request: &TokenRequest<'_>,
        tenant: TenantPath,
        form: &Form,
    ) -> Result<Value, OAuthError> {
        let invalid = |number, problem: &str| OAuthError::new("invalid_grant", number, problem);
        let (hash, now) = (Sha256::digest(form.required("code")?).into(), self.clock.now());
        let (client_id, redirect_uri) = (form.required("client_id")?, form.required("redirect_uri")?);
        let verifier = form.required("code_verifier")?;
        let code = self
            .store
            .write("authorizationCode.take", move |tx| Ok::<_, Error>(tx.authorization_code_take(&hash)?))
            .await?
            .filter(|code| now < code.expires_at)
            .ok_or_else(|| {
                invalid(70_008, "The authorization code is unknown, expired or already redeemed. Sign in again.")
            })?;
        if client_id.parse() != Ok(code.client_id) {
            return Err(invalid(70_000, "The authorization code was issued to another client. Sign in again."));
        }
        if redirect_uri != code.redirect_uri {
            return Err(invalid(500_112, "The redirect URI differs from that of the authorization request."));
        }
        if BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != code.challenge {
            return Err(invalid(501_481, "The code verifier does not match the code challenge."));
        }
        if tenant.id().is_some_and(|id| id != code.tenant_id) {
            return Err(invalid(70_000, "The user who signed in belongs to another tenant. Use the user's tenant."));
        }
        let client = self.public_client(TenantPath::One(code.tenant_id), client_id).await?;
        let user = self.user(code.tenant_id, code.user_id).await?;
        let granted = self.scopes(&code.scope)?;
        let wanted = self.scopes(form.get("scope").unwrap_or(&code.scope))?.within(&granted)?;
        self.delegated(request.base, &user, &client, &wanted, &code.scope, code.nonce.as_deref())
    }
}
