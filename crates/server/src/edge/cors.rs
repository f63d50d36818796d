//! Cross-origin requests (CORS): which pages of other sites may call Graph and the token service
//! from a browser.
//!
//! Neither of them uses cookies, so a page can do only what its own token allows, and by default
//! any page may read the responses. All other paths, in particular the sign-in page and the
//! desktops, are closed to other origins.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use std::convert::Infallible;

use super::limits::PREFLIGHT_AGE;
use super::{is_administration, is_graph};
use crate::request::{CLIENT_REQUEST_ID, REQUEST_ID};

/// The configuration value that allows every origin.
pub const ANY_ORIGIN: &str = "*";

/// Response headers that pages may read in addition to those that browsers always expose.
const EXPOSED: [HeaderName; 9] = [
    REQUEST_ID,
    CLIENT_REQUEST_ID,
    header::LOCATION,
    header::RETRY_AFTER,
    header::ETAG,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("odata-version"),
    HeaderName::from_static("odata-entityid"),
    HeaderName::from_static("preference-applied"),
];

/// Returns the CORS policy for these origins.
pub(super) fn layer(origins: &[String]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == ANY_ORIGIN) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(PREFLIGHT_AGE)
}

/// Adds CORS headers to the response of `inner`. Preflight requests are answered here, without a
/// token.
pub(super) async fn answer<F>(
    layer: &CorsLayer,
    request: Request<Body>,
    inner: impl FnOnce(Request<Body>) -> F + Send,
) -> Response<Body>
where
    F: Future<Output = Response<Body>> + Send,
{
    let is_preflight = request.method() == Method::OPTIONS;
    let asks = request.headers().contains_key(header::ORIGIN)
        && (!is_preflight || request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD));
    if !asks || !is_open(request.uri().path()) {
        return inner(request).await;
    }
    let mut inner = Some(inner);
    let service = service_fn(move |request| {
        let inner = inner.take().expect("the service is called once");
        async move { Ok::<_, Infallible>(inner(request).await) }
    });
    let Ok(mut response) = layer.layer(service).oneshot(request).await;
    if is_preflight {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

/// Whether pages of other origins may call this path: Graph, and the token service below
/// `/{tenant}/`.
fn is_open(path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    let is_page = is_administration(path) || matches!(segments.next(), Some("desktop" | "devicelogin"));
    is_graph(path) || !is_page && matches!(segments.next(), Some("oauth2" | "v2.0" | "discovery"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_graph_and_the_token_service_are_open_to_other_origins() {
        for path in
            ["/v1.0/me", "/BETA/$batch", "/common/oauth2/v2.0/token", "/t/v2.0/.well-known/openid-configuration"]
        {
            assert!(is_open(path), "{path}");
        }
        for path in [
            "/",
            "/devicelogin",
            "/devicelogin/v2.0",
            "/desktop/x",
            "/desktop/x/screen",
            "/desktop/oauth2",
            "/_cloudpc/apps",
            "/_cloudpc/faults/1",
            "/_cloudpc/oauth2",
            "/healthz",
        ] {
            assert!(!is_open(path), "{path}");
        }
    }
}
