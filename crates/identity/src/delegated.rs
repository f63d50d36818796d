//! The tokens of a user who signed in: an access token with the permissions that user and client
//! both have, an id token, and a refresh token.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cloudpc_model::{AppId, TenantId, Timestamp, UserId};
use cloudpc_store::User;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

use super::claims::{self, TokenSubject};
use super::directory::PublicClient;
use super::oauth::OAuthError;
use super::{GRAPH_AUDIENCES, Identity, REFRESH_LIFETIME, TOKEN_LIFETIME};
use crate::permissions::includes;
use crate::request::BaseAddress;

/// The `aud` claim of refresh tokens, which differs from that of access tokens.
const REFRESH_AUDIENCE: &str = "cloudpc:refresh";

/// The scopes that a client requests for a delegated token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scopes {
    /// Audience of the token.
    audience: String,
    /// Each permission, with the client's spelling of the scope; clients look up cached tokens by
    /// their own spelling.
    pub(super) permissions: Vec<(String, String)>,
    /// `…/.default` in the client's spelling: all permissions of the user.
    pub(super) all: Option<String>,
    /// The permissions that the sign-in granted, which limit a refresh; none: no limit.
    granted: Option<BTreeSet<String>>,
    openid: bool,
    pub(super) offline: bool,
}

/// The claims of a refresh token: its user and client, and a fingerprint of the user's password, so
/// that a new password revokes the token.
#[derive(Serialize, Deserialize)]
pub(super) struct RefreshClaims {
    aud: String,
    exp: i64,
    pub(super) tid: TenantId,
    pub(super) oid: UserId,
    pub(super) client: AppId,
    pub(super) scope: String,
    password: String,
    jti: String,
}

impl Identity {
    /// Returns the token response to a sign-in or a refresh. `sign_in_scope` is the scope of the
    /// sign-in, which a new refresh token keeps; the id token repeats `nonce`.
    pub(super) fn delegated(
        &self,
        base: &BaseAddress,
        user: &User,
        client: &PublicClient,
        scopes: &Scopes,
        sign_in_scope: &str,
        nonce: Option<&str>,
    ) -> Result<Value, OAuthError> {
        let is_allowed = |permission: &str| {
            includes(&user.permissions, permission)
                && scopes.granted.as_ref().is_none_or(|granted| includes(granted, permission))
                && client.permissions.as_ref().is_none_or(|granted| includes(granted, permission))
        };
        let is_foreign = !self.is_our_audience(&scopes.audience);
        let (granted, mut written): (Vec<String>, Vec<String>) = match &scopes.all {
            _ if is_foreign => {
                let permissions = scopes.permissions.iter().map(|(_, written)| written);
                (Vec::new(), scopes.all.iter().chain(permissions).cloned().collect())
            }
            Some(default) => {
                // The client may have a narrower permission than the user's, which includes it.
                let mut granted: Vec<String> = Vec::new();
                let limits = client.permissions.iter().flatten().chain(scopes.granted.iter().flatten());
                for name in user.permissions.iter().chain(limits).filter(|name| is_allowed(name)) {
                    if !granted.contains(name) {
                        granted.push(name.clone());
                    }
                }
                let resource = default.trim_end_matches(".default");
                let written = granted.iter().map(|name| format!("{resource}{name}")).chain([default.clone()]).collect();
                (granted, written)
            }
            None => scopes.permissions.iter().filter(|(name, _)| is_allowed(name)).cloned().unzip(),
        };
        if !is_foreign && scopes.all.is_none() && granted.is_empty() && !scopes.permissions.is_empty() {
            return Err(nothing_granted(user, client, scopes));
        }
        if scopes.openid {
            written.extend(["openid", "profile"].map(str::to_owned));
        }
        let subject = TokenSubject::User { user, client: client.id, client_name: &client.name, permissions: &granted };
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
            answer["refresh_token"] =
                self.keys().sign(&self.refresh_claims(user, client.id, sign_in_scope, now))?.into();
        }
        if scopes.openid {
            answer["id_token"] = self.keys().sign(&self.id_claims(base, user, client.id, nonce, now))?.into();
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
            password: password_fingerprint(user),
            jti: self.rng.uuid().to_string(),
        }
    }

    fn id_claims(&self, base: &BaseAddress, user: &User, client: AppId, nonce: Option<&str>, now: Timestamp) -> Value {
        let mut claims = json!({
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
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        claims
    }

    /// Returns the claims of a refresh token, if it is valid now.
    pub(super) fn read_refresh_token(&self, token: &str) -> Option<RefreshClaims> {
        let header = claims::header(token).ok()?;
        let keys = self.keys();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[REFRESH_AUDIENCE]);
        // The expiry is checked below with the injected clock.
        validation.validate_exp = false;
        let claims: RefreshClaims =
            jsonwebtoken::decode(token, keys.verifying(header.kid.as_deref()?)?, &validation).ok()?.claims;
        (self.clock.now().unix_seconds() < claims.exp).then_some(claims)
    }

    /// Parses the scopes that a client requests on behalf of a user.
    pub(super) fn scopes(&self, scope: &str) -> Result<Scopes, OAuthError> {
        let invalid = |problem: String| OAuthError::new("invalid_scope", 70_011, problem);
        let mut scopes = Scopes {
            audience: String::new(),
            permissions: Vec::new(),
            all: None,
            granted: None,
            openid: false,
            offline: false,
        };
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
            if !self.is_known_audience(audience) {
                return Err(invalid(format!(
                    "The scope {word:?} belongs to another service. Request scopes of {}.",
                    GRAPH_AUDIENCES[0]
                )));
            }
            if !scopes.audience.is_empty() && scopes.audience != audience {
                return Err(invalid(
                    "The scopes belong to several services. Request the scopes of one service at a time.".into(),
                ));
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
}

impl Scopes {
    /// Limits the scopes of a refresh to those of the sign-in, `granted` (RFC 6749 §6); `.default`
    /// is limited too.
    pub(super) fn within(mut self, granted: &Self) -> Result<Self, OAuthError> {
        if granted.all.is_none() {
            let names: BTreeSet<String> = granted.permissions.iter().map(|(name, _)| name.clone()).collect();
            if let Some((_, wider)) = self.permissions.iter().find(|(name, _)| !includes(&names, name)) {
                let problem =
                    format!("The scope {wider:?} was not granted at the sign-in. Sign in again and request it.");
                return Err(OAuthError::new("invalid_grant", 65_001, problem));
            }
            self.granted = Some(names);
        }
        self.openid &= granted.openid;
        Ok(self)
    }
}

impl RefreshClaims {
    /// Whether the user's password has not changed since the token was issued.
    pub(super) fn matches_password(&self, user: &User) -> bool {
        self.password == password_fingerprint(user)
    }
}

/// Returns the error for a token that would have no permission.
fn nothing_granted(user: &User, client: &PublicClient, scopes: &Scopes) -> OAuthError {
    let requested: Vec<&str> = scopes.permissions.iter().map(|(_, written)| written.as_str()).collect();
    let problem = format!(
        "The user {:?} and the client {:?} have no common permission of the scope {:?}. \
Request other permissions, or ask an administrator to grant them to both.",
        user.user_principal_name,
        client.name,
        requested.join(" ")
    );
    OAuthError::new("invalid_grant", 65_001, problem)
}

/// Returns a fingerprint of a user's password hash: enough to detect a change, and useless for
/// guessing the password, because the hash is salted and slow.
fn password_fingerprint(user: &User) -> String {
    let digest = Sha256::digest(user.password_hash.as_deref().unwrap_or_default());
    hex::encode(&digest[..8])
}

/// Returns the `client_info` of a user, by which MSAL identifies the account.
fn client_info(user: &User) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json!({"uid": user.id, "utid": user.tenant_id}).to_string())
}
