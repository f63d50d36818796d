//! Tokens against proof of who asks: an application's secret, a code that a person has entered, or a refresh token.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use cloudpc_model::{AppId, Error};
use http::HeaderMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::claims::Subject;
use super::device::Redeemed;
use super::directory::TenantPath;
use super::oauth::{Form, OAuthError, basic_credentials};
use super::{GRAPH_AUDIENCES, Identity, TOKEN_LIFETIME};
use crate::request::BaseAddress;

/// Name of the grant by which a device code is redeemed (RFC 8628 §3.4).
pub(super) const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

impl Identity {
    /// Answers the token endpoint.
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

    /// Answers the endpoint at which a device begins to sign someone in (RFC 8628 §3.1).
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
        if !claims.fits_password(&user) {
            return Err(ended());
        }
        self.delegated(base, &user, &client, form.get("scope").unwrap_or(&claims.scope))
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
}
