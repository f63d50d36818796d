//! The edge: sockets, TLS, limits, request ids.
//!
//! What reaches the routes behind it is whole, within limits, and knows its ids and its address. It refuses to know what any route means.

mod listen;
mod tls;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{DefaultBodyLimit, MatchedPath, State};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::{Bytes, BytesMut};
use cloudpc_graph::GraphError;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::percent_decode_str;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::app::App;
use crate::caller::Caller;
use crate::identity::GRAPH_AUDIENCES;
use crate::request::{BaseAddress, CLIENT_REQUEST_ID, REQUEST_ID, RequestIds, Route, WithoutBody};
use crate::{admin, desktop, identity, pipeline};

pub use listen::{CONNECTIONS_MAX, Listener, serve};
pub use tls::{AUTHORITY_FILE, AUTHORITY_KEY_FILE, TlsError, server_config};

/// Longest path and query.
pub const URL_BYTES_MAX: usize = 16 * 1024;
/// Largest head of a request.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Longest wait for the head of a request to be complete.
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// Largest body of a request, as sent.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest wait for the body of a request to be complete.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// Memory for bodies, of requests that are still being read or are being answered. However slow clients are, they hold no more.
pub const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Requests that are answered at the same time. One whose body is still on its way does not count, or slow clients could keep everybody else out.
pub const REQUESTS_MAX: usize = 1_024;
/// How much of a body that is too large is still read, so that the client, which reads only when it has sent everything, gets to read the answer.
const DRAIN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// By which a proxy that ends TLS tells the scheme that the client has used, as all of them do; no RFC has it.
const FORWARDED_PROTO: &str = "x-forwarded-proto";
/// What a client that came when there were too many is told to wait.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

/// Whether the parts that work in the background do.
#[derive(Debug, Default)]
pub struct Health {
    /// The engine claims and runs actions.
    pub engine_runs: AtomicBool,
}

/// Everything between a connection and the routes.
pub struct Edge {
    app: App,
    router: Router,
    requests: Arc<Semaphore>,
    body_bytes: Arc<Semaphore>,
}

impl Edge {
    /// The edge in front of all routes.
    pub fn new(app: App, health: Arc<Health>) -> Self {
        Self {
            router: router(app.clone(), health),
            app,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            body_bytes: Arc::new(Semaphore::new(BODIES_BYTES_MAX)),
        }
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Body>, scheme: Scheme) -> Response<Body> {
        let started = Instant::now();
        let ids = RequestIds::of(request.headers(), self.app.rng.as_ref());
        let (method, base) = (request.method().clone(), base_address(&request, scheme));
        let answer = match &base {
            Ok(base) => self.route(request, ids.clone(), base.clone()).await,
            Err(error) => Err(error.clone()),
        };
        let mut response = answer.unwrap_or_else(|error| pipeline::refuse(&self.app, &ids, &error));
        self.finish(&mut response, &ids, base.ok().as_ref());
        log(&method, &response, &ids, started.elapsed());
        if method == Method::HEAD {
            response = without_body(response);
        }
        response
    }

    /// Brings a request into the form that the routes expect, and hands it to them.
    async fn route(
        &self,
        request: Request<Body>,
        ids: RequestIds,
        base: BaseAddress,
    ) -> Result<Response<Body>, GraphError> {
        let (mut parts, body) = request.into_parts();
        if parts.uri.path_and_query().is_some_and(|text| text.as_str().len() > URL_BYTES_MAX) {
            return Err(url_too_long());
        }
        if percent_decode_str(parts.uri.path()).decode_utf8().is_err() {
            return Err(GraphError::bad_request("The path is not UTF-8 text."));
        }
        // Both are held until the answer is there, even if nobody waits for it any more.
        let (body, room) = self.whole_body(&parts.headers, body).await?;
        let place = Arc::clone(&self.requests)
            .try_acquire_owned()
            .map_err(|_| too_many("Too many requests at once; try again."))?;
        if parts.method == Method::HEAD {
            parts.method = Method::GET;
            parts.extensions.insert(WithoutBody);
        }
        parts.extensions.insert(ids);
        parts.extensions.insert(base);
        let only_looks = parts.method == Method::GET;
        let (app, router) = (self.app.clone(), self.router.clone());
        let answer = AssertUnwindSafe(async move {
            let _held = (room, place);
            routed(app, router, Request::from_parts(parts, Body::from(body))).await
        });
        let answer = if only_looks {
            answer.catch_unwind().await.ok()
        } else {
            Carried(Some(answer.catch_unwind().boxed())).await.ok()
        };
        // What panicked has told standard error where; the caller learns no more than the ids.
        answer.ok_or_else(|| GraphError::new(500, "InternalServerError", "The service could not complete the request."))
    }

    /// Reads a body here, whole, so that one place keeps the limits and no handler waits for a slow client while it holds anything.
    async fn whole_body(
        &self,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), GraphError> {
        if body.is_end_stream() {
            return Ok((Bytes::new(), None));
        }
        let plain = headers.get_all(header::CONTENT_ENCODING).iter().all(|value| value == "identity");
        if !plain {
            // A small one could grow without bounds.
            let problem = "Compressed request bodies are not taken; leave Content-Encoding out.";
            return Err(GraphError::new(415, "UnsupportedMediaType", problem));
        }
        // One that says so itself is refused before it is sent.
        let fits = body.size_hint().lower() <= BODY_BYTES_MAX as u64;
        let read = match fits {
            true => tokio::time::timeout(BODY_TIME_MAX, self.read_body(&mut body)).await.unwrap_or_else(|_| {
                let problem = format!("The body was not complete after {} seconds.", BODY_TIME_MAX.as_secs());
                Err(GraphError::new(408, "RequestTimeout", problem))
            }),
            false => Err(body_too_large()),
        };
        // A client that waits to be told to go on has not sent anything.
        if read.as_ref().is_err_and(|error| error.status == 413) && !headers.contains_key(header::EXPECT) {
            let _ = tokio::time::timeout(DRAIN_TIME_MAX, Limited::new(body, DRAIN_BYTES_MAX).collect()).await;
        }
        read
    }

    async fn read_body(&self, body: &mut Body) -> Result<(Bytes, Option<OwnedSemaphorePermit>), GraphError> {
        let (mut bytes, mut room) = (BytesMut::new(), None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| GraphError::bad_request("The body was not sent to its end."))?;
            // What is not data comes after it, and nobody asks for it.
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > BODY_BYTES_MAX {
                return Err(body_too_large());
            }
            let more = u32::try_from(data.len()).expect("it is no longer than a body");
            let more = Arc::clone(&self.body_bytes)
                .try_acquire_many_owned(more)
                .map_err(|_| too_many("Too many large bodies at once."))?;
            match &mut room {
                None => room = Some(more),
                Some(room) => room.merge(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok((bytes.freeze(), room))
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

/// A change that was begun is carried to its end even if the client goes away, with all that has to follow its commit: by a task of its own from then on.
struct Carried(Option<BoxFuture<'static, std::thread::Result<Response<Body>>>>);

impl Future for Carried {
    type Output = std::thread::Result<Response<Body>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let change = self.0.as_mut().expect("what has ended is not polled again");
        let answer = ready!(change.poll_unpin(cx));
        self.0 = None;
        Poll::Ready(answer)
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if let (Some(rest), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(rest);
        }
    }
}

fn router(app: App, health: Arc<Health>) -> Router {
    let ready = |State(app): State<App>| async move { ready(&app, &health).await };
    Router::new()
        .merge(identity::routes().with_state(Arc::clone(&app.identity)))
        .merge(desktop::routes(&app))
        .nest("/_cloudpc", admin::routes())
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .layer(from_fn(name_route))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown)
        // The edge has kept the limit, and says so in a form that clients read.
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

/// Graph's own paths are many and oddly spelled (any case, double slashes), so they are resolved by the pipeline and not by the router.
async fn routed(app: App, router: Router, request: Request<Body>) -> Response<Body> {
    let root = request.uri().path().split('/').nth(1).unwrap_or_default();
    if ["v1.0", "beta"].iter().any(|known| known.eq_ignore_ascii_case(root)) {
        return pipeline::handle(app, request).await;
    }
    match tower::ServiceExt::oneshot(router, request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn unknown(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    let problem = format!("There is nothing at {}; Graph is below /v1.0 and /beta.", request.uri().path());
    refuse(&app, &request, &GraphError::new(404, "ResourceNotFound", problem))
}

async fn method_not_allowed(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    let problem = format!("{} is not supported at {}.", request.method(), request.uri().path());
    refuse(&app, &request, &GraphError::new(405, "Request_BadRequest", problem))
}

async fn ready(app: &App, health: &Health) -> Response<Body> {
    let store = app.store.read(|reader| reader.tenant_list()).await;
    let problem = match store {
        _ if app.store.damage().is_some() => {
            Some("the database is damaged; the log says where; stop the service and restore the last backup".into())
        }
        Err(error) => Some(format!("the store does not answer: {error}")),
        Ok(_) if !health.engine_runs.load(Ordering::Acquire) => Some("the engine does not run".into()),
        Ok(_) => None,
    };
    match problem {
        None => "ready".into_response(),
        Some(problem) => {
            tracing::warn!(problem, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, problem).into_response()
        }
    }
}

async fn name_route(request: Request<Body>, next: Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().map(|path| Route(path.as_str().to_owned()));
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().get_or_insert(route);
    }
    response
}

fn refuse(app: &App, request: &Request<Body>, error: &GraphError) -> Response<Body> {
    let ids = request.extensions().get::<RequestIds>().expect("the edge has put them there");
    pipeline::refuse(app, ids, error)
}

fn too_many(problem: &str) -> GraphError {
    GraphError::new(503, "ServiceUnavailable", problem)
}

fn body_too_large() -> GraphError {
    GraphError::new(413, "RequestEntityTooLarge", format!("The body is larger than {BODY_BYTES_MAX} bytes."))
}

fn url_too_long() -> GraphError {
    GraphError::new(414, "RequestUriTooLong", format!("The path and query are longer than {URL_BYTES_MAX} bytes."))
}

/// The address by which the client knows us. HTTP/2 has it in the request's own URI, HTTP/1.1 in a header.
fn base_address(request: &Request<Body>, scheme: Scheme) -> Result<BaseAddress, GraphError> {
    let invalid = || GraphError::bad_request("The Host header is missing, there twice, or not a host and port.");
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => {
            let mut hosts = request.headers().get_all(header::HOST).iter();
            let host = hosts.next().filter(|_| hosts.next().is_none()).ok_or_else(invalid)?;
            host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).ok_or_else(invalid)?
        }
    };
    // It is written into links and headers, so only what a host name, an address and a port are made of may be in it.
    let sane = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b);
    if authority.host().is_empty() || authority.as_str().len() > 255 || !authority.as_str().bytes().all(sane) {
        return Err(invalid());
    }
    let scheme = match scheme {
        Scheme::Http if !is_behind_https(request.headers()) => "http",
        Scheme::Http | Scheme::Https => "https",
    };
    let mut base = [scheme, "://", authority.as_str()].concat();
    base.make_ascii_lowercase();
    Ok(BaseAddress(base.into()))
}

/// Whether a proxy says that the client has spoken TLS with it (`X-Forwarded-Proto`, the client's own scheme first). Whoever lies gets the wrong links back, and nobody else does.
fn is_behind_https(headers: &HeaderMap) -> bool {
    let told = headers.get(FORWARDED_PROTO).and_then(|told| told.to_str().ok()).unwrap_or_default();
    told.split(',').next().is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

/// `WWW-Authenticate` as Graph sends it (RFC 6750 §3).
fn challenge(base: &BaseAddress, problem: Option<&str>) -> HeaderValue {
    // The message may quote what a stranger sent; only what is safe inside a quoted string of a header goes in.
    let is_safe = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    let problem: String = problem.unwrap_or("The access token is not valid.").chars().filter(is_safe).collect();
    let text = format!(
        "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/v2.0/authorize\", client_id=\"{}\", error=\"invalid_token\", error_description=\"{problem}\"",
        base.0, GRAPH_AUDIENCES[1]
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
}

/// The answer to HEAD: that of GET without its body, but with its length.
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
        route = extensions.get::<Route>().map_or("-", |route| route.0.as_str()),
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
