//! The claims of a token, and the rules by which they are verified.

use cloudpc_model::{AppId, Rng, TenantId, Timestamp, UserId};
use cloudpc_store::{Application, User};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AuthenticationError, CLOCK_SKEW_MAX, TOKEN_LIFETIME, rejected};
use crate::caller::{Caller, CallerUser, TokenOrigin};
use crate::installation::GRANTED_BY_OWNER;
use crate::issuers::IssuerConfig;
use crate::request::BaseAddress;
use crate::well_known::MANAGEMENT_PERMISSION;

/// Accepted signature algorithms. All are asymmetric: with a shared secret, anyone who can verify a
/// token could forge one.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Directory roles, with the template ids that tokens name them by.
const DIRECTORY_ROLES: [(&str, &str); 4] = [
    ("Global Administrator", "62e90394-69f5-4237-9190-012177145e10"),
    ("Global Reader", "f2ef992c-3afb-46b9-b7cf-a126ee74c451"),
    ("Intune Administrator", "3a2c62db-5318-420d-8d74-23affee5d9d5"),
    ("Windows 365 Administrator", "11451d60-acb2-45eb-a7d6-43d0f0125c13"),
];

/// The subject of a token.
pub(super) enum TokenSubject<'a> {
    /// An application itself.
    App(&'a Application),
    /// An application on behalf of a user.
    User {
        /// The user.
        user: &'a User,
        /// The application's client id.
        client: AppId,
        /// Display name of the application.
        client_name: &'a str,
        /// The permissions on behalf of the user.
        permissions: &'a [String],
    },
}

/// The claims of an access token that are used here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Claims {
    aud: Audiences,
    iss: String,
    #[serde(default)]
    iat: i64,
    #[serde(default)]
    nbf: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app_displayname: Option<String>,
    /// The application in v1.0 tokens. Tokens have both `appid` and `azp`, because clients read
    /// either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    appid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    azp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idtyp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preferred_username: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uti: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ver: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wids: Vec<String>,
}

/// The `aud` claim: one or several audiences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// Returns the header of a token, if its algorithm is accepted.
pub(super) fn header(token: &str) -> Result<Header, AuthenticationError> {
    // Parsing the header fails for algorithms that the library does not know, including `none`.
    let header = jsonwebtoken::decode_header(token)
        .map_err(|_| rejected("The access token is not a JWT with an accepted signature algorithm."))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(rejected("The signature algorithm of the access token is not accepted."));
    }
    if header.crit.is_some() {
        return Err(rejected("The access token has unsupported critical header fields."));
    }
    Ok(header)
}

/// Returns the claims of a token signed by `key`. Only the signature is checked.
pub(super) fn open(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, AuthenticationError> {
    let mut validation = Validation::new(algorithm);
    // Times, audience and issuer are checked by `Claims`, with the injected clock and a message for
    // each.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode(token, key, &validation).map(|data| data.claims).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::Json(_) => rejected("The claims of the access token are malformed."),
        _ => rejected("The signature of the access token is invalid."),
    })
}

/// Returns the `iss` claim of an unverified token, to find the issuer that can verify it.
pub(super) fn unchecked_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    jsonwebtoken::dangerous::insecure_decode_claims::<Issuer>(token).ok().map(|claims| claims.iss)
}

/// Returns the issuer of a tenant's tokens for clients that use this base address.
pub(super) fn issuer(base: &BaseAddress, tenant: &str) -> String {
    format!("{}/{tenant}/v2.0", base.0)
}

impl Claims {
    /// Returns the claims of a new access token.
    pub(super) fn access(
        base: &BaseAddress,
        audience: &str,
        subject: &TokenSubject<'_>,
        now: Timestamp,
        rng: &dyn Rng,
    ) -> Self {
        let tenant = match subject {
            TokenSubject::App(app) => app.tenant_id,
            TokenSubject::User { user, .. } => user.tenant_id,
        };
        let common = Self {
            aud: Audiences::One(audience.to_owned()),
            iss: issuer(base, &tenant.to_string()),
            iat: now.unix_seconds(),
            nbf: now.unix_seconds(),
            exp: (now + TOKEN_LIFETIME).unix_seconds(),
            tid: Some(tenant.to_string()),
            uti: Some(rng.uuid().simple().to_string()),
            ver: Some("2.0".into()),
            ..Self::default()
        };
        match subject {
            TokenSubject::App(app) => Self {
                app_displayname: Some(app.name.clone()),
                appid: Some(app.id.to_string()),
                azp: Some(app.id.to_string()),
                idtyp: Some("app".into()),
                oid: Some(app.id.to_string()),
                sub: Some(app.id.to_string()),
                roles: app.permissions.clone(),
                ..common
            },
            TokenSubject::User { user, client, client_name, permissions } => Self {
                app_displayname: Some((*client_name).to_owned()),
                appid: Some(client.to_string()),
                azp: Some(client.to_string()),
                idtyp: Some("user".into()),
                name: Some(user.display_name.clone()),
                oid: Some(user.id.to_string()),
                preferred_username: Some(user.user_principal_name.clone()),
                sub: Some(user.id.to_string()),
                scp: Some(permissions.join(" ")),
                upn: Some(user.user_principal_name.clone()),
                wids: user.roles.iter().filter_map(|name| role_template(name)).map(str::to_owned).collect(),
                ..common
            },
        }
    }

    /// Makes this a token for a service other than this one, without permissions here.
    pub(super) fn make_foreign(&mut self) {
        self.roles.clear();
        if let Some(scp) = &mut self.scp {
            MANAGEMENT_PERMISSION.clone_into(scp);
        }
    }

    /// Returns the expiry of the token.
    pub(super) fn expires(&self) -> Timestamp {
        Timestamp(self.exp.saturating_mul(1_000_000))
    }

    /// Checks that the token is valid now.
    pub(super) fn check_times(&self, now: Timestamp) -> Result<(), AuthenticationError> {
        if now >= self.expires() {
            return Err(rejected("The access token has expired. Get a new token."));
        }
        if Timestamp(self.nbf.saturating_mul(1_000_000)) > now + CLOCK_SKEW_MAX {
            return Err(rejected("The access token is not valid yet."));
        }
        Ok(())
    }

    /// Checks that a token signed by our own key is an access token for this service; returns its
    /// tenant.
    pub(super) fn check_local(&self, is_ours: impl Fn(&str) -> bool) -> Result<TenantId, AuthenticationError> {
        self.check_audience(is_ours)?;
        let tenant = self.tid.as_deref().and_then(|tid| tid.parse::<TenantId>().ok());
        // The host part depends on the address that the client used; our signature covers the rest.
        tenant
            .filter(|tenant| self.iss.ends_with(&format!("/{tenant}/v2.0")))
            .ok_or_else(|| rejected("The issuer of the access token does not match its tenant."))
    }

    /// Checks that a token signed by an outside issuer's key is from that issuer and for this
    /// service.
    pub(super) fn check_outside(&self, issuer: &IssuerConfig) -> Result<(), AuthenticationError> {
        if self.iss != issuer.issuer {
            return Err(rejected("The issuer of the access token does not match the key that signed it."));
        }
        self.check_audience(|audience| is_same_audience(audience, &issuer.audience))
    }

    /// Returns `appid` or `azp`, if it is a GUID.
    pub(super) fn app_id(&self) -> Option<AppId> {
        self.client()?.parse().ok()
    }

    /// Returns the user of a delegated token: `oid`, or `sub`, if it is a GUID.
    pub(super) fn user_id(&self) -> Option<UserId> {
        self.scp.as_ref()?;
        [&self.oid, &self.sub].into_iter().flatten().find_map(|id| id.parse().ok())
    }

    /// Returns `scp` of a delegated token, `roles` of an application's token.
    pub(super) fn permissions(&self) -> impl Iterator<Item = &str> {
        let roles = if self.scp.is_none() { self.roles.as_slice() } else { &[] };
        self.scp.as_deref().unwrap_or_default().split_ascii_whitespace().chain(roles.iter().map(String::as_str))
    }

    /// Returns the caller of an outside issuer's token.
    pub(super) fn outside_caller(&self, issuer: &IssuerConfig) -> Result<Caller, AuthenticationError> {
        let user = match (&self.scp, self.user_id()) {
            (None, _) => None,
            (Some(_), None) => return Err(rejected("The user id of the access token is not a GUID.")),
            (Some(_), Some(id)) => Some(CallerUser {
                id,
                user_principal_name: self.upn.clone().or_else(|| self.preferred_username.clone()).unwrap_or_default(),
                roles: self.wids.iter().map(|id| role_name(id).unwrap_or(id).to_owned()).collect(),
            }),
        };
        Ok(Caller {
            tenant_id: issuer.tenant,
            app_id: self.app_id(),
            app_name: self.app_displayname.as_deref().or_else(|| self.client()).unwrap_or_default().to_owned(),
            user,
            // An outside issuer grants permissions only within its tenant, never those reserved for
            // the owner.
            permissions: self
                .permissions()
                .filter(|name| !GRANTED_BY_OWNER.contains(name))
                .map(str::to_owned)
                .collect(),
            is_owner: false,
            origin: TokenOrigin::Outside { issuer: issuer.issuer.clone(), expires_at: self.expires() },
        })
    }

    fn client(&self) -> Option<&str> {
        self.appid.as_deref().or(self.azp.as_deref())
    }

    fn check_audience(&self, is_ours: impl Fn(&str) -> bool) -> Result<(), AuthenticationError> {
        let ours = match &self.aud {
            Audiences::One(audience) => is_ours(audience),
            Audiences::Several(audiences) => audiences.iter().any(|audience| is_ours(audience)),
        };
        if ours { Ok(()) } else { Err(rejected("The access token is for another audience.")) }
    }
}

fn role_template(name: &str) -> Option<&'static str> {
    DIRECTORY_ROLES.iter().find(|(known, _)| *known == name).map(|(_, id)| *id)
}

fn role_name(template: &str) -> Option<&'static str> {
    DIRECTORY_ROLES.iter().find(|(_, id)| id.eq_ignore_ascii_case(template)).map(|(name, _)| *name)
}

/// Whether two audiences are the same; GUIDs are compared case-insensitively.
fn is_same_audience(a: &str, b: &str) -> bool {
    a == b || Uuid::parse_str(a).is_ok_and(|a| Uuid::parse_str(b) == Ok(a))
}
