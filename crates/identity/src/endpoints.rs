//! The HTTP endpoints below `/{tenant}/`: discovery, keys and tokens.

use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::directory::TenantPath;
use super::grants::DEVICE_CODE_GRANT;
use super::oauth::{OAuthError, TokenRequest};
use super::{Identity, claims};
use crate::request::{BaseAddress, Peer, RequestIds};
use crate::well_known::LOGIN_HOST;

/// The name under which MSAL caches tokens of [`LOGIN_HOST`]. It is not connected to.
const LOGIN_CACHE: &str = "login.windows.net";

/// Returns the routes of the endpoints.
pub(super) fn routes() -> Router<Arc<Identity>> {
    Router::new()
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(discovery))
        // MSAL for Python writes this when it is not given an authority.
        .route("/{tenant}//v2.0/.well-known/openid-configuration", get(discovery))
        .route("/{tenant}/discovery/v2.0/keys", get(keys))
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .route("/{tenant}/oauth2/v2.0/devicecode", post(device_code))
        .route("/{tenant}/discovery/instance", get(instance_discovery))
        .route("/{tenant}/.well-known/openid-configuration", get(discovery_v1))
        .route("/{tenant}/discovery/keys", get(keys))
        .route("/{tenant}/oauth2/token", post(token_v1))
        .route("/{tenant}/oauth2/devicecode", post(device_code_v1))
        .route("/{tenant}/oauth2/authorize", get(authorize_v1))
}

async fn discovery(
    State(identity): State<Arc<Identity>>,
    Path(tenant): Path<String>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
) -> Response {
    let document = identity.discovery(&base, &tenant).await;
    identity.reply(&ids, document)
}

/// Discovery for clients of the v1 endpoint, which issues tokens only for applications.
async fn discovery_v1(
    State(identity): State<Arc<Identity>>,
    Path(tenant): Path<String>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
) -> Response {
    let document = identity.discovery(&base, &tenant).await.map(|mut document| {
        document["token_endpoint"] = format!("{}/{tenant}/oauth2/token", base.0).into();
        document["jwks_uri"] = format!("{}/{tenant}/discovery/keys", base.0).into();
        document["grant_types_supported"] = json!(["client_credentials"]);
        document
    });
    identity.reply(&ids, document)
}

async fn keys(
    State(identity): State<Arc<Identity>>,
    Path(tenant): Path<String>,
    Extension(ids): Extension<RequestIds>,
) -> Response {
    match identity.tenant(&tenant).await {
        Ok(_) => Json(identity.keys().public()).into_response(),
        Err(error) => identity.reply(&ids, Err(error)),
    }
}

async fn token(State(identity): State<Arc<Identity>>, form: FormRequest) -> Response {
    let answer = identity.token(&form.token_request()).await;
    identity.reply(&form.ids, answer)
}

async fn token_v1(State(identity): State<Arc<Identity>>, form: FormRequest) -> Response {
    let answer = identity.token_v1(&form.token_request()).await;
    identity.reply(&form.ids, answer)
}

async fn device_code(State(identity): State<Arc<Identity>>, form: FormRequest) -> Response {
    let answer = identity.device_code(&form.token_request()).await;
    identity.reply(&form.ids, answer)
}

/// Refuses the device code flow of the v1 endpoint.
async fn device_code_v1(
    State(identity): State<Arc<Identity>>,
    Path(tenant): Path<String>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
) -> Response {
    let problem = format!("The v1 endpoint has no device code flow. Use {}/{tenant}/oauth2/v2.0/devicecode.", base.0);
    identity.reply(&ids, Err(OAuthError::new("invalid_request", 70_003, problem)))
}

/// Refuses sign-in by redirect at the v1 endpoint.
async fn authorize_v1(
    State(identity): State<Arc<Identity>>,
    Path(tenant): Path<String>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
) -> Response {
    let description =
        format!("The v1 endpoint has no sign-in by redirect. Use {}/{tenant}/oauth2/v2.0/authorize.", base.0);
    identity.reply(&ids, Err(OAuthError::new("unsupported_response_type", 700_051, description)))
}

/// The query of instance discovery.
#[derive(Deserialize)]
struct InstanceQuery {
    #[serde(default)]
    authorization_endpoint: String,
}

/// Instance discovery, by which MSAL asks whether it may trust an authority, and for the other
/// names of that authority.
async fn instance_discovery(
    State(identity): State<Arc<Identity>>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
    Query(query): Query<InstanceQuery>,
) -> Response {
    identity.reply(&ids, identity.instances(&base, &query.authorization_endpoint))
}

/// A request whose body is a form.
struct FormRequest {
    tenant: String,
    base: BaseAddress,
    ids: RequestIds,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
}

impl FormRequest {
    fn token_request(&self) -> TokenRequest<'_> {
        TokenRequest {
            base: &self.base,
            peer: self.peer,
            request_id: &self.ids.request_id,
            tenant: &self.tenant,
            headers: &self.headers,
            body: &self.body,
        }
    }
}

type FormParts =
    (Path<String>, Extension<BaseAddress>, Extension<RequestIds>, Option<Extension<Peer>>, HeaderMap, Bytes);

impl FromRequest<Arc<Identity>> for FormRequest {
    type Rejection = Response;

    async fn from_request(request: Request, identity: &Arc<Identity>) -> Result<Self, Response> {
        let (Path(tenant), Extension(base), Extension(ids), peer, headers, body) =
            FormParts::from_request(request, identity).await?;
        Ok(Self { tenant, base, ids, peer: peer_of(peer), headers, body })
    }
}

/// Returns the peer of a request. All requests without a socket count as one peer.
pub(super) fn peer_of(peer: Option<Extension<Peer>>) -> Peer {
    peer.map_or(Peer(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), |Extension(peer)| peer)
}

impl Identity {
    /// Returns the discovery document of a tenant.
    async fn discovery(&self, base: &BaseAddress, tenant: &str) -> Result<Value, OAuthError> {
        let issuer_tenant = match self.tenant(tenant).await? {
            TenantPath::One(id) => id.to_string(),
            TenantPath::Any => "{tenantid}".into(),
        };
        let at = |path: &str| format!("{}/{tenant}/{path}", base.0);
        Ok(json!({
            "issuer": claims::issuer(base, &issuer_tenant),
            "token_endpoint": at("oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "authorization_endpoint": at("oauth2/v2.0/authorize"),
            "device_authorization_endpoint": at("oauth2/v2.0/devicecode"),
            "jwks_uri": at("discovery/v2.0/keys"),
            "grant_types_supported": ["client_credentials", "authorization_code", DEVICE_CODE_GRANT, "refresh_token"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "name", "oid", "preferred_username", "tid", "ver"],
            "request_uri_parameter_supported": false,
        }))
    }

    /// Returns the names of the token service that issues for an authorization endpoint.
    pub(super) fn instances(&self, base: &BaseAddress, endpoint: &str) -> Result<Value, OAuthError> {
        let unknown = || {
            let problem = format!(
                "The authorization endpoint {endpoint:?} is not one of this server. \
                 Use {}/TENANT/oauth2/v2.0/authorize.",
                base.0
            );
            OAuthError::new("invalid_instance", 50_049, problem)
        };
        let url = url::Url::parse(endpoint).map_err(|_| unknown())?;
        let authority = url.origin().ascii_serialization();
        let host = url.host_str().unwrap_or_default();
        let is_named = self.names.iter().any(|name| name.eq_ignore_ascii_case(host.trim_matches(['[', ']'])));
        if authority != *base.0 && host != LOGIN_HOST && !is_named {
            return Err(unknown());
        }
        let tenant = url.path_segments().and_then(|mut segments| segments.next()).unwrap_or_default();
        // MSAL leaves out the version in its question, and adds it to the path in the answer.
        let version = if url.path().contains("/v2.0/") { "/v2.0" } else { "" };
        let name = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let (preferred, cache, aliases) = match host {
            LOGIN_HOST => (LOGIN_HOST, LOGIN_CACHE, json!([LOGIN_HOST, LOGIN_CACHE])),
            _ => (name.as_str(), name.as_str(), json!([name])),
        };
        Ok(json!({
            "tenant_discovery_endpoint": format!("{authority}/{tenant}{version}/.well-known/openid-configuration"),
            "api-version": "1.1",
            "metadata": [{ "preferred_network": preferred, "preferred_cache": cache, "aliases": aliases }],
        }))
    }

    fn reply(&self, ids: &RequestIds, answer: Result<Value, OAuthError>) -> Response {
        let mut retry_after = None;
        let (status, body) = match answer {
            Ok(body) => (StatusCode::OK, body),
            Err(OAuthError { status, error, number, description, retry_after: after }) => {
                retry_after = after;
                let body = json!({
                    "error": error,
                    "error_description": description,
                    "error_codes": [number],
                    "timestamp": self.clock.now().to_string(),
                    "trace_id": &*ids.request_id,
                    "correlation_id": &*ids.client_request_id,
                });
                (status, body)
            }
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if let Some(after) = retry_after {
            headers.insert(header::RETRY_AFTER, after.as_secs().into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"cloudpc\""));
        }
        response
    }
}
