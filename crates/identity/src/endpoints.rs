//! The HTTP endpoints below `/{tenant}/`: discovery, keys and tokens.

use axum::extract::{FromRequest, Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::directory::TenantPath;
use super::grants::DEVICE_CODE_GRANT;
use super::oauth::{OAuthError, TokenRequest};
use super::{Identity, claims};
use crate::request::{BaseAddress, Peer, RequestIds};

/// Returns the routes of the endpoints.
pub(super) fn routes() -> Router<Arc<Identity>> {
    Router::new()
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(discovery))
        .route("/{tenant}/discovery/v2.0/keys", get(keys))
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .route("/{tenant}/oauth2/v2.0/devicecode", post(device_code))
        .route("/{tenant}/oauth2/v2.0/authorize", get(authorize))
        .route("/{tenant}/.well-known/openid-configuration", get(discovery_v1))
        .route("/{tenant}/discovery/keys", get(keys))
        .route("/{tenant}/oauth2/token", post(token_v1))
        .route("/{tenant}/oauth2/devicecode", post(device_code_v1))
        .route("/{tenant}/oauth2/authorize", get(authorize))
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

/// Refuses sign-in by redirect. The discovery document has to name this endpoint because clients
/// require it.
async fn authorize(State(identity): State<Arc<Identity>>, Extension(ids): Extension<RequestIds>) -> Response {
    let description = "Sign-in by redirect is not supported. Use the device code flow or client credentials.";
    identity.reply(&ids, Err(OAuthError::new("unsupported_response_type", 700_051, description)))
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
