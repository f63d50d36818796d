//! One pipeline for every Graph request: authenticate, resolve, authorise, check, call, shape.
//!
//! The order is part of the answer. A caller without a token learns nothing about paths; an unknown
//! path is unknown to everyone; whoever lacks a permission is told so before arguments, options and
//! body are looked at. Which operation needs what stands in one table, [`crate::operations`]. The
//! pipeline refuses to know what any of them does.

pub(crate) mod access;
mod answer;
mod batch;
mod body;
mod call;
pub mod list;
mod problem;
mod response_cache;
mod select;
mod service;

use axum::body::Body;
use cloudpc_graph::{Edm, Endpoint, ErrorEnvelope, GraphError, Method, QueryOptions, ResolvedTarget, Version};
use http::header::ALLOW;
use http::request::Parts;
use http::{Extensions, HeaderName, HeaderValue, Request, Response, StatusCode};
use std::sync::Arc;

use crate::app::App;
use crate::caller::Caller;
use crate::operations;
use crate::request::{BaseAddress, OperationRoute, Peer, RequestIds};

pub use access::{ADMINISTER, Access, PERMISSIONS, READ, READ_SIGNED_IN, WRITE};
pub(crate) use access::{CONFIGURE_AGENT, DEPLOY_AGENT, READ_DEVICES, includes};
pub use answer::Answer;
pub use batch::BATCH_ANSWER_BYTES_MAX;
use batch::InBatch;
pub use body::BODY_BYTES_MAX;
pub(crate) use call::required;
pub use call::{Call, Prefer};
pub use problem::{CODES, Problem};
use response_cache::CacheKeyRef;
pub use response_cache::{LASTING_BYTES_MAX, ResponseCache};

/// How Graph labels its JSON.
pub const CONTENT_TYPE_JSON: &str =
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

const ODATA_VERSION: HeaderName = HeaderName::from_static("odata-version");
const DIAGNOSTIC: HeaderName = HeaderName::from_static("x-ms-ags-diagnostic");
const DIAGNOSTIC_VALUE: HeaderValue = HeaderValue::from_static(
    r#"{"ServerInfo":{"DataCenter":"cloudpc","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"cloudpc"}}"#,
);

/// Answers a request below `/v1.0` or `/beta`. The edge has put [`crate::request::RequestIds`] and
/// [`crate::request::BaseAddress`] into its extensions.
pub async fn handle(app: App, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let ids = head.extensions.get::<RequestIds>().expect("the edge gives every request its ids");
    let mut response = respond(&app, &head, body, ids).await;
    let headers = response.headers_mut();
    headers.insert(ODATA_VERSION, HeaderValue::from_static("4.0"));
    headers.insert(DIAGNOSTIC, DIAGNOSTIC_VALUE);
    response
}

async fn respond(app: &App, head: &Parts, body: Body, ids: &RequestIds) -> Response<Body> {
    let mut seen = Extensions::new();
    let mut response = match route(app, head, body, ids, &mut seen).await {
        Ok(response) => response,
        Err(error) => refuse(app, ids, &error),
    };
    response.extensions_mut().extend(seen);
    response
}

/// An error as an answer: Graph's envelope with the ids of the request. The edge adds the headers
/// that its status needs.
pub fn refuse(app: &App, ids: &RequestIds, error: &GraphError) -> Response<Body> {
    let mut response = answer::with_body(envelope(app, ids, error), CONTENT_TYPE_JSON);
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.extensions_mut().insert(error.clone());
    if error.status == 405 {
        let allow: Vec<_> = error.allow.iter().map(|method| method.name()).collect();
        let allow = HeaderValue::from_str(&allow.join(", ")).expect("names of methods are plain text");
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// The body of an error.
fn envelope(app: &App, ids: &RequestIds, error: &GraphError) -> Vec<u8> {
    debug_assert!(CODES.contains(&error.code.as_str()), "{} is not in the list of codes", error.code);
    let now = app.clock.now().to_string();
    let date = now.split_once('.').map_or(now.as_str(), |(seconds, _)| seconds);
    ErrorEnvelope { request_id: &ids.request_id, client_request_id: &ids.client_request_id, date }.render(error)
}

/// Notes in `seen` who called what, as far as that is known, for the edge's log.
async fn route(
    app: &App,
    head: &Parts,
    body: Body,
    ids: &RequestIds,
    seen: &mut Extensions,
) -> Result<Response<Body>, GraphError> {
    let (version, path) = split_root(head.uri.path())?;
    let edm = Edm::of(version);
    let base = head.extensions.get::<BaseAddress>().expect("the edge gives every request its base address");
    let root = format!("{}/{}", base.0, version.segment());
    let endpoint = Endpoint::at(path);
    if head.method == http::Method::GET
        && let Some(response) = endpoint.and_then(|endpoint| service::public(edm, &root, endpoint))
    {
        if head.extensions.get::<InBatch>().is_some() {
            // Each copy of the metadata in a batch would have megabytes.
            let message = "The metadata and the service document are not answered within a batch. Request them alone.";
            return Err(GraphError::bad_request(message));
        }
        return Ok(response);
    }
    let caller = app.caller(head).await?;
    seen.insert(Arc::clone(&caller));
    if endpoint == Some(Endpoint::Batch) {
        seen.insert(OperationRoute("$batch".into()));
        return batch::answer(app, edm, head, body, ids).await;
    }
    if head.method == http::Method::GET
        && let Some(response_cache) = app.response_cache.get(&CacheKeyRef::by(&caller, base, head))
    {
        seen.insert(OperationRoute(response_cache.row.key.into()));
        access::check(response_cache.row.access, &caller, &response_cache.scope, app.fidelity)?;
        return Ok(Answer::Immutable(response_cache.body).into_response(Prefer::of(&head.headers)));
    }
    let query = head.uri.query().unwrap_or_default();
    let target = resolve(edm, &head.method, path, query)?;
    seen.insert(OperationRoute(target.operation.key.clone()));
    let address = format!("{}{}", base.0, head.uri.path());
    let request = Incoming { edm, caller, target, base, root, address, query, head, ids };
    request.answer(app, body).await
}

/// A request whose sender and target are known.
struct Incoming<'a> {
    edm: &'static Edm,
    caller: Arc<Caller>,
    target: ResolvedTarget,
    base: &'a BaseAddress,
    root: String,
    address: String,
    query: &'a str,
    head: &'a Parts,
    ids: &'a RequestIds,
}

impl Incoming<'_> {
    async fn answer(self, app: &App, body: Body) -> Result<Response<Body>, GraphError> {
        let operation = self.target.operation;
        let row = operations::row(&operation.key).ok_or_else(|| not_implemented(operation))?;
        access::check(row.access, &self.caller, &self.target.scope, app.fidelity)?;
        self.target.check_arguments()?;
        let options = QueryOptions::parse(self.edm, operation, self.query)?;
        let body = match operation.method {
            Method::Get | Method::Delete => serde_json::Map::new(),
            Method::Post | Method::Patch | Method::Put => {
                let bytes = body::read(&self.head.headers, body).await?;
                cloudpc_graph::body::parse(self.edm, operation, &bytes)?
            }
        };
        let prefer = Prefer::of(&self.head.headers);
        let generation = app.response_cache.generation();
        let call = Arc::new(Call {
            app: app.clone(),
            caller: self.caller,
            at: app.clock.now(),
            edm: self.edm,
            target: self.target,
            options,
            body,
            prefer,
            request_id: Arc::clone(&self.ids.request_id),
            peer: self.head.extensions.get::<Peer>().copied(),
            root: self.root,
            address: self.address,
            query: self.query.to_owned(),
        });
        let answer = (row.handler)(Arc::clone(&call))
            .await
            .map_err(|problem| problem.into_graph(&operation.key, &self.ids.request_id))?;
        if let Answer::Immutable(body) = &answer {
            let asked = CacheKeyRef::by(&call.caller, self.base, self.head);
            app.response_cache.keep(&asked, body.clone(), row, call.target.scope.clone(), generation);
        }
        Ok(answer.into_response(prefer))
    }
}

fn not_implemented(operation: &cloudpc_graph::Operation) -> GraphError {
    let message = format!(
        "The operation '{}' ({}) is part of the contract, and this server does not implement it yet.",
        operation.key, operation.path
    );
    GraphError::new(501, "NotImplemented", message)
}

/// Takes the root off a path, in any case.
fn split_root(path: &str) -> Result<(Version, &str), GraphError> {
    for version in [Version::Beta, Version::V1] {
        let name = version.segment();
        if let Some((head, rest)) = path.strip_prefix('/').and_then(|path| path.split_at_checked(name.len()))
            && head.eq_ignore_ascii_case(name)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return Ok((version, rest));
        }
    }
    Err(GraphError::bad_request("The path has to begin with /v1.0 or /beta."))
}

fn resolve(edm: &'static Edm, method: &http::Method, path: &str, query: &str) -> Result<ResolvedTarget, GraphError> {
    if let Some(method) = Method::named(method.as_str()) {
        return edm.resolve(method, path, query);
    }
    // No operation takes this method, nor PUT, which stands in for it here: the path has its say
    // first.
    let mut error = GraphError::new(405, "Request_BadRequest", format!("This path does not take the method {method}."));
    match edm.resolve(Method::Put, path, query) {
        Err(refusal) if refusal.status == 405 => error.allow = refusal.allow,
        Err(refusal) => return Err(refusal),
        Ok(_) => {}
    }
    Err(error)
}
