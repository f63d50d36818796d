//! The edge: sockets, TLS, limits and request ids.
//!
//! A request that reaches the routes is complete and within the limits, and carries its ids, base
//! address, peer and caller as extensions. The token is checked before the body is read: large
//! bodies need a valid token. The edge refuses to know what any route means, except which routes
//! take a token.

mod body;
mod compression;
mod connections;
mod cors;
mod delivery;
pub mod limits;
mod listen;
mod origin;
pub(crate) mod pool;
pub mod proxy;
mod tls;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{DefaultBodyLimit, MatchedPath, State};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use cloudpc_graph::GraphError;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tower_http::cors::CorsLayer;

use crate::app::App;
use crate::caller::Caller;
use crate::identity::GRAPH_AUDIENCES;
use crate::identity::well_known::MANAGEMENT_HOST;
use crate::request::{
    Authenticated, BaseAddress, CLIENT_REQUEST_ID, OnlyReads, OperationRoute, Peer, REQUEST_ID, RequestIds, WithoutBody,
};
use crate::{admin, desktop, events, exports, identity, management, openapi, pipeline};
use body::Allowance;
use connections::OpenRequest;
use limits::{
    BODY_BYTES_MAX, BODY_TIME_MAX, RETRY_AFTER, STRANGER_BODY_BYTES_MAX, STRANGER_BODY_TIME_MAX, URL_BYTES_MAX,
};
use origin::Origin;
use pool::{Owner, Pool, PoolFull, Pools, Taken};

pub use compression::COMPRESSED_BYTES_MIN;
pub use cors::ANY_ORIGIN;
pub(crate) use listen::serve_tunnel;
pub use listen::{Listener, serve};
pub use origin::{Arrival, Reach, Scheme};
pub use tls::{AUTHORITY_FILE, AUTHORITY_KEY_FILE, TlsError, server_config};

/// The health of background tasks.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether the engine is running.
    pub engine_runs: AtomicBool,
    /// Whether the last `/readyz` failed, which was logged.
    not_ready: AtomicBool,
}

/// Settings of the edge from the configuration.
#[derive(Clone, Debug, Default)]
pub struct EdgeSettings {
    /// Names of the server, and trusted proxies.
    pub reach: Reach,
    /// Origins whose pages may call Graph and the token service; [`ANY_ORIGIN`] allows all.
    pub cors_origins: Vec<String>,
}

/// First path segment of [`admin`] and [`events`].
const ADMINISTRATION: &str = "_cloudpc";

/// Processes requests between a connection and the routes.
pub struct Edge {
    app: App,
    router: Router,
    /// The routes at [`MANAGEMENT_HOST`].
    management: Router,
    cors: CorsLayer,
    callers: Pools,
    strangers: Pools,
    /// Places for anonymous sign-in requests.
    sign_ins: Arc<Pool>,
}

/// A place among the concurrent requests. It is stored in the extensions of the response, and held
/// until the response has been sent.
#[derive(Clone)]
struct RequestPlace(#[expect(dead_code, reason = "held until dropped, never read")] Arc<Taken>);

impl Edge {
    /// Returns the edge in front of all routes.
    pub fn new(app: App, health: Arc<Health>) -> Self {
        Self {
            router: router(app.clone(), health),
            management: with_fallbacks(management::routes(), app.clone()),
            cors: cors::layer(&app.edge.cors_origins),
            callers: Pools::of_callers(),
            strangers: Pools::of_strangers(),
            sign_ins: pool::sign_ins(),
            app,
        }
    }

    /// Handles a request.
    pub async fn answer(&self, mut request: Request<Body>, arrival: &Arrival) -> Response<Body> {
        let started = Instant::now();
        let ids = RequestIds::of(request.headers(), self.app.rng.as_ref());
        let method = request.method().clone();
        let Origin { peer, base } = self.app.edge.reach.origin(&mut request, arrival);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(ids.clone());
        let respond = async |request: Request<Body>| {
            let answer = match &base {
                Ok(base) => self.route(request, base.clone(), arrival).await,
                Err(error) => Err(error.clone()),
            };
            answer.unwrap_or_else(|error| pipeline::refuse(&self.app, &ids, &error))
        };
        let accepted = is_graph(request.uri().path()).then(|| compression::accepted(request.headers()));
        let mut response = cors::answer(&self.cors, request, respond).await;
        if let Some(accepted) = accepted {
            response = compression::compress(accepted, response).await;
        }
        self.finish(&mut response, &ids, base.as_ref().ok());
        log(&method, &response, &ids, started.elapsed());
        if method == Method::HEAD {
            response = without_body(response);
        }
        response
    }

    /// Applies the limits to a request, adds its extensions, and passes it to the routes.
    async fn route(
        &self,
        request: Request<Body>,
        base: BaseAddress,
        arrival: &Arrival,
    ) -> Result<Response<Body>, GraphError> {
        let (mut parts, body) = request.into_parts();
        if parts.uri.path_and_query().is_some_and(|text| text.as_str().len() > URL_BYTES_MAX) {
            return Err(url_too_long());
        }
        if percent_decode_str(parts.uri.path()).decode_utf8().is_err() {
            return Err(GraphError::bad_request("The path is not valid UTF-8 after percent-decoding."));
        }
        let mut caller = self.authenticate(&parts).await;
        let (owner, pools, bytes_max, time_max) = self.limits_of(&parts, caller.as_ref());
        let (body, room) = if matches!(caller, Some(Err(_))) {
            // The route refuses the token, with a message and headers of its own, before it reads
            // the body.
            if !body.is_end_stream() {
                body::drain(&parts.headers, body, &arrival.stop).await;
            }
            (Bytes::new(), None)
        } else {
            Allowance { bytes_max, time_max, pool: &pools.body_bytes, owner, stop: &arrival.stop }
                .read(&parts.headers, body)
                .await?
        };
        if room.is_some() {
            // The token may have been revoked while the body was arriving.
            caller = self.authenticate(&parts).await;
        }
        if let Some(open) = parts.extensions.remove::<Arc<OpenRequest>>() {
            open.complete();
        }
        let place = match &caller {
            None if is_probe(&parts) => None,
            None if is_sign_in(&parts) => Some(&self.sign_ins),
            Some(_) | None => Some(&pools.requests),
        };
        let place = place.map(|places| places.take(owner, 1)).transpose().map_err(too_many_requests)?;
        let place = place.map(|taken| RequestPlace(Arc::new(taken)));
        if parts.method == Method::HEAD {
            parts.method = Method::GET;
            parts.extensions.insert(WithoutBody);
        }
        let router = if base.host() == MANAGEMENT_HOST { &self.management } else { &self.router };
        parts.extensions.insert(base);
        if let Some(caller) = caller {
            parts.extensions.insert(Authenticated(caller));
        }
        let is_get = parts.method == Method::GET;
        let only_reads = OnlyReads::default();
        parts.extensions.insert(only_reads.clone());
        let (app, router) = (self.app.clone(), router.clone());
        // Place and body are held until the response is complete, even if the client has
        // disconnected.
        let answer = AssertUnwindSafe(async move {
            let _room = room;
            let mut response = dispatch(app, router, Request::from_parts(parts, Body::from(body))).await;
            if let Some(place) = place {
                response.extensions_mut().insert(place);
            }
            response
        });
        let answer = if is_get {
            answer.catch_unwind().await.ok()
        } else {
            Detached { rest: Some(answer.catch_unwind().boxed()), only_reads }.await.ok()
        };
        // The panic hook has printed the location to standard error; the caller only gets the ids.
        answer.ok_or_else(|| GraphError::new(500, "InternalServerError", "The service could not complete the request."))
    }

    /// Returns the caller of a request to a path that takes a token, or why the token is invalid;
    /// none: the path takes no token.
    async fn authenticate(&self, parts: &Parts) -> Option<Result<Arc<Caller>, GraphError>> {
        let path = parts.uri.path();
        let takes_token = is_graph(path) || is_administration(path);
        if !takes_token {
            return None;
        }
        Some(self.app.identity.authenticate(&parts.headers).await.map_err(pipeline::authentication_error))
    }

    /// Returns the owner of a request's shares, its pools, and the size and time limits of its
    /// body.
    fn limits_of(
        &self,
        parts: &Parts,
        caller: Option<&Result<Arc<Caller>, GraphError>>,
    ) -> (Owner, &Pools, usize, Duration) {
        let peer = *parts.extensions.get::<Peer>().expect("every request has a peer");
        match caller {
            Some(Ok(caller)) if is_graph(parts.uri.path()) => {
                (Owner::of(caller), &self.callers, pipeline::BODY_BYTES_MAX, BODY_TIME_MAX)
            }
            Some(Ok(caller)) => (Owner::of(caller), &self.callers, BODY_BYTES_MAX, BODY_TIME_MAX),
            Some(Err(_)) | None => {
                (Owner::Stranger(peer), &self.strangers, STRANGER_BODY_BYTES_MAX, STRANGER_BODY_TIME_MAX)
            }
        }
    }

    fn finish(&self, response: &mut Response<Body>, ids: &RequestIds, base: Option<&BaseAddress>) {
        let problem = response.extensions().get::<GraphError>().map(|error| error.message.clone());
        let status = response.status();
        let headers = response.headers_mut();
        for (name, id) in [(REQUEST_ID, &ids.request_id), (CLIENT_REQUEST_ID, &ids.client_request_id)] {
            headers.insert(name, HeaderValue::from_str(id).expect("ids are visible ASCII"));
        }
        if let (StatusCode::UNAUTHORIZED, Some(base)) = (status, base) {
            headers.entry(header::WWW_AUTHENTICATE).or_insert_with(|| challenge(base, problem.as_deref()));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.entry(header::RETRY_AFTER).or_insert_with(|| RETRY_AFTER.as_secs().into());
        }
    }
}

/// Completes a change even if its client disconnects, together with everything that follows its
/// commit: dropping this future moves the rest to a task of its own. A request that only reads,
/// such as a batch of GET requests, is cancelled with its client.
struct Detached {
    rest: Option<BoxFuture<'static, std::thread::Result<Response<Body>>>>,
    only_reads: OnlyReads,
}

impl Future for Detached {
    type Output = std::thread::Result<Response<Body>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let change = self.rest.as_mut().expect("a completed future is not polled again");
        let answer = ready!(change.poll_unpin(cx));
        self.rest = None;
        Poll::Ready(answer)
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if self.only_reads.get() {
            return;
        }
        if let (Some(rest), Ok(runtime)) = (self.rest.take(), Handle::try_current()) {
            runtime.spawn(rest);
        }
    }
}

fn router(app: App, health: Arc<Health>) -> Router {
    let ready = |State(app): State<App>| async move { ready(&app, &health).await };
    let routes = Router::new()
        .merge(identity::routes().with_state(Arc::clone(&app.identity)))
        .merge(desktop::routes(&app))
        .nest(
            &format!("/{ADMINISTRATION}"),
            admin::routes().merge(events::routes()).merge(exports::routes()).merge(openapi::routes()),
        )
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready));
    with_fallbacks(routes, app)
}

fn with_fallbacks(routes: Router<App>, app: App) -> Router {
    routes
        .layer(from_fn(name_route))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown)
        // The edge enforces the limit itself, with errors in Graph's format.
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

/// Passes a request to its route. Graph's paths are resolved by the pipeline instead of the router,
/// because there are many of them, in any case and with double slashes.
async fn dispatch(app: App, router: Router, request: Request<Body>) -> Response<Body> {
    if is_graph(request.uri().path()) {
        return pipeline::handle(app, request).await;
    }
    match tower::ServiceExt::oneshot(router, request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Whether this is a path of Graph.
fn is_graph(path: &str) -> bool {
    let root = path.split('/').nth(1).unwrap_or_default();
    ["v1.0", "beta"].iter().any(|known| known.eq_ignore_ascii_case(root))
}

/// Whether this is a path of [`admin`].
fn is_administration(path: &str) -> bool {
    path.split('/').nth(1) == Some(ADMINISTRATION)
}

/// Whether this is a health probe. Probes take no place in the pools: a supervisor restarts a
/// service that does not answer them.
fn is_probe(parts: &Parts) -> bool {
    matches!(parts.uri.path(), "/healthz" | "/readyz")
}

/// Whether this is a sign-in, or a request for a token or device code.
fn is_sign_in(parts: &Parts) -> bool {
    let mut segments = parts.uri.path().split('/').skip(1);
    let is_page = segments.next() == Some("devicelogin");
    is_page || parts.method == Method::POST && segments.next() == Some("oauth2")
}

async fn unknown(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    let problem = format!("No resource at {}. Graph is below /v1.0 and /beta.", request.uri().path());
    refuse(&app, &request, &GraphError::new(404, "ResourceNotFound", problem))
}

async fn method_not_allowed(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    let problem = format!("The method {} is not allowed at {}.", request.method(), request.uri().path());
    refuse(&app, &request, &GraphError::new(405, "Request_BadRequest", problem))
}

async fn ready(app: &App, health: &Health) -> Response<Body> {
    let store = app.store.read(|reader| reader.tenant_list()).await;
    let problem = match store {
        _ if app.store.damage().is_some() => {
            Some("the database is damaged; see the log, stop the service and restore the last backup".into())
        }
        Err(error) => Some(format!("the database cannot be read: {error}")),
        Ok(_) if !health.engine_runs.load(Ordering::Acquire) => {
            Some("the engine is not running; restart the service".into())
        }
        Ok(_) => None,
    };
    match problem {
        None => {
            health.not_ready.store(false, Ordering::Relaxed);
            "ready".into_response()
        }
        Some(problem) => {
            // Logged once per outage, because anonymous clients can send any number of probes.
            if !health.not_ready.swap(true, Ordering::Relaxed) {
                tracing::warn!(problem, "not ready");
            }
            (StatusCode::SERVICE_UNAVAILABLE, problem).into_response()
        }
    }
}

async fn name_route(request: Request<Body>, next: Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().map(|path| OperationRoute(path.as_str().to_owned()));
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().get_or_insert(route);
    }
    response
}

fn refuse(app: &App, request: &Request<Body>, error: &GraphError) -> Response<Body> {
    let ids = request.extensions().get::<RequestIds>().expect("the edge inserts the request ids");
    pipeline::refuse(app, ids, error)
}

fn too_many(problem: &str) -> GraphError {
    GraphError::new(503, "ServiceUnavailable", problem)
}

fn too_many_requests(full: PoolFull) -> GraphError {
    too_many(match full {
        PoolFull::Share => "Too many concurrent requests from this client. Try again.",
        PoolFull::Tenant => "Too many concurrent requests from this tenant. Try again.",
        PoolFull::Pool => "Too many concurrent requests. Try again.",
    })
}

fn url_too_long() -> GraphError {
    GraphError::new(414, "RequestUriTooLong", format!("The path and query are longer than {URL_BYTES_MAX} bytes."))
}

/// Returns `WWW-Authenticate` as Graph sends it (RFC 6750 §3).
fn challenge(base: &BaseAddress, problem: Option<&str>) -> HeaderValue {
    // The message may quote client input, so only characters that are safe in a quoted string are
    // kept.
    let is_safe = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    let problem: String = problem.unwrap_or("The access token is invalid.").chars().filter(is_safe).collect();
    let text = format!(
        "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/v2.0/authorize\", client_id=\"{}\", error=\"invalid_token\", error_description=\"{problem}\"",
        base.0, GRAPH_AUDIENCES[1]
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
}

/// Returns the response to HEAD: the response to GET without its body, but with its length.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}

fn log(method: &Method, response: &Response<Body>, ids: &RequestIds, took: Duration) {
    let extensions = response.extensions();
    let app_id = extensions.get::<Arc<Caller>>().and_then(|caller| caller.app_id).map(tracing::field::display);
    tracing::info!(
        %method,
        route = extensions.get::<OperationRoute>().map_or("-", |route| route.0.as_str()),
        status = response.status().as_u16(),
        duration_ms = took.as_secs_f64() * 1_000.0,
        app_id,
        error = extensions.get::<GraphError>().map(|error| error.code.as_str()),
        request_id = &*ids.request_id,
        "request",
    );
}

#[cfg(test)]
mod tests;
