//! The pipeline of every Graph request: authenticate, resolve, authorise, validate, call,
//! serialise.
//!
//! The order determines the response. A caller without a token learns nothing about paths. An
//! unknown path gets 404 whatever the caller's permissions are. A missing permission is reported
//! before arguments, query options and body are validated. The table in [`crate::operations`] holds
//! the permissions of each operation. The pipeline does not know what an operation does.

pub(crate) mod access;
mod answer;
mod batch;
mod body;
mod call;
pub mod list;
mod problem;
mod related;
mod repeat;
mod response_cache;
mod select;
mod service;
mod throttle;

use axum::body::Body;
use cloudpc_graph::edm::Deprecation;
use cloudpc_graph::edm::ResponseShape;
use cloudpc_graph::options::Expansion;
use cloudpc_graph::{
    Edm, Endpoint, ErrorEnvelope, GraphError, MetadataLevel, Method, OperationKind, QueryOptions, ResolvedTarget,
    Version,
};
use cloudpc_model::Timestamp;
use http::header::{ACCEPT, ALLOW, IF_MATCH, RETRY_AFTER};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;
use std::sync::Arc;

use crate::app::App;
use crate::caller::Caller;
use crate::documents::{self, DocumentKind};
use crate::operations::{self, Row};
use crate::rbac;
use crate::request::{BaseAddress, OperationRoute, Peer, RequestIds};

pub use access::{ADMINISTER, Access, READ, READ_SIGNED_IN, WRITE};
pub(crate) use access::{
    CONFIGURE_AGENT, DEPLOY_AGENT, LICENSE_GROUPS, LICENSE_USERS, READ_ASSIGNMENTS, READ_DEVICES, READ_GROUPS,
    READ_OF_USER, READ_OWN_ROLES, READ_ROLES, READ_SKUS, READ_USER, READ_USERS, WHOLE_USERS, WRITE_ASSIGNMENTS,
    WRITE_GROUPS, WRITE_MEMBERS, WRITE_ROLES, WRITE_SIGNED_IN, WRITE_USERS,
};
pub use answer::Answer;
pub use batch::BATCH_ANSWER_BYTES_MAX;
use batch::InBatch;
pub use body::BODY_BYTES_MAX;
pub use call::{Call, Prefer};
pub(crate) use call::{check_chars, required};
pub(crate) use problem::authentication_error;
pub use problem::{CODES, Problem};
pub use related::RELATED_READS_MAX;
use related::RelatedReads;
pub use repeat::{KEPT_ANSWER_BYTES_MAX, Repeats};
use response_cache::CacheKeyRef;
pub use response_cache::{RESPONSE_CACHE_BYTES_MAX, ResponseCache};
pub use throttle::{Throttle, ThrottleLimits};

/// The content type that Graph sends with JSON of minimal control information.
pub const CONTENT_TYPE_JSON: &str =
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

/// Returns the content type of JSON with this level of control information.
fn content_type(level: MetadataLevel) -> &'static str {
    match level {
        MetadataLevel::None => {
            "application/json;odata.metadata=none;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
        }
        MetadataLevel::Minimal => CONTENT_TYPE_JSON,
        MetadataLevel::Full => {
            "application/json;odata.metadata=full;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
        }
    }
}

/// Returns the level of control information that a request asks for, or why there is no such level.
fn metadata_level(head: &Parts) -> Result<MetadataLevel, GraphError> {
    let accept = head.headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    MetadataLevel::of(accept, head.uri.query().unwrap_or_default())
}

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
const ODATA_VERSION: HeaderName = HeaderName::from_static("odata-version");
const DIAGNOSTIC: HeaderName = HeaderName::from_static("x-ms-ags-diagnostic");
const DIAGNOSTIC_VALUE: HeaderValue = HeaderValue::from_static(
    r#"{"ServerInfo":{"DataCenter":"cloudpc","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"cloudpc"}}"#,
);

/// Handles a request below `/v1.0` or `/beta`. Its extensions must hold
/// [`crate::request::RequestIds`] and [`crate::request::BaseAddress`], which the edge inserts.
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
    let mut log_fields = Extensions::new();
    let mut response = match route(app, head, body, ids, &mut log_fields).await {
        Ok(response) => response,
        Err(error) => refuse(app, ids, &error),
    };
    response.extensions_mut().extend(log_fields);
    response
}

/// Returns an error response: Graph's envelope with the request ids. The edge adds the headers that
/// the status requires.
pub fn refuse(app: &App, ids: &RequestIds, error: &GraphError) -> Response<Body> {
    let mut response = answer::with_body(envelope(app, ids, error), CONTENT_TYPE_JSON);
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.extensions_mut().insert(error.clone());
    if let Some(wait) = error.retry_after {
        // A part of a second would be too early.
        response.headers_mut().insert(
            RETRY_AFTER,
            wait.as_secs_f64().ceil().max(1.0).to_string().parse().expect("a number is plain text"),
        );
    }
    if error.status == 405 {
        let allow: Vec<_> = error.allow.iter().map(|method| method.name()).collect();
        let allow = HeaderValue::from_str(&allow.join(", ")).expect("names of methods are plain text");
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// Writes the body of an error response.
fn envelope(app: &App, ids: &RequestIds, error: &GraphError) -> Vec<u8> {
    debug_assert!(CODES.contains(&error.code.as_str()), "{} is not in the list of codes", error.code);
    let now = app.clock.now().to_string();
    let date = now.split_once('.').map_or(now.as_str(), |(seconds, _)| seconds);
    ErrorEnvelope { request_id: &ids.request_id, client_request_id: &ids.client_request_id, date }.render(error)
}

/// Routes a request. Adds the caller and the operation to `log_fields`, as far as they are known,
/// for the edge's access log.
async fn route(
    app: &App,
    head: &Parts,
    body: Body,
    ids: &RequestIds,
    log_fields: &mut Extensions,
) -> Result<Response<Body>, GraphError> {
    let (version, path) = split_root(head.uri.path())?;
    let edm = Edm::of(version);
    let base = head.extensions.get::<BaseAddress>().expect("the edge gives every request its base address");
    let root = format!("{}/{}", base.0, version.segment());
    let endpoint = Endpoint::at(path);
    let metadata = metadata_level(head);
    if head.method == http::Method::GET
        && let Some(endpoint) = endpoint
        && let Some(response) = service::public(edm, &root, endpoint, &metadata)?
    {
        if head.extensions.get::<InBatch>().is_some() {
            // Each copy of the metadata in a batch would take megabytes.
            let message =
                "The metadata and the service document are not available in a batch. Request them separately.";
            return Err(GraphError::bad_request(message));
        }
        return Ok(response);
    }
    let caller = app.caller(head).await?;
    log_fields.insert(Arc::clone(&caller));
    if endpoint == Some(Endpoint::Batch) {
        log_fields.insert(OperationRoute("$batch".into()));
        return batch::answer(app, edm, head, body, ids).await;
    }
    if head.extensions.get::<RelatedReads>().is_none() {
        app.throttle.admit(&caller, &head.method)?;
    }
    let prefer = Prefer::of(&head.headers);
    // Cached pages are of the ordinary form and size.
    let is_ordinary = metadata == Ok(MetadataLevel::Minimal) && prefer.page_rows.is_none();
    if head.method == http::Method::GET
        && is_ordinary
        && let Some(cached) = app.response_cache.get(&CacheKeyRef::by(&caller, base, head))
    {
        log_fields.insert(OperationRoute(cached.row.key.into()));
        access::check(cached.row.access, &caller, &cached.scope, app.fidelity)?;
        let authorized = rbac::authorize(app, &caller, cached.row.key, &cached.scope).await;
        authorized.map_err(|problem| problem.into_graph(cached.row.key, &ids.request_id))?;
        return Ok(Answer::Immutable(cached.body).into_response(prefer, MetadataLevel::Minimal));
    }
    let query = head.uri.query().unwrap_or_default();
    let target = resolve(edm, &head.method, path, query)?;
    log_fields.insert(OperationRoute(target.operation.key.clone()));
    let address = format!("{}{}", base.0, head.uri.path());
    let request = Incoming { edm, caller, target, base, root, address, query, head, ids, metadata, prefer };
    request.answer(app, body).await
}

/// An authenticated request with a resolved target.
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
    /// What `Accept` and `$format` ask for.
    metadata: Result<MetadataLevel, GraphError>,
    prefer: Prefer,
}

impl Incoming<'_> {
    async fn answer(self, app: &App, body: Body) -> Result<Response<Body>, GraphError> {
        let (operation, base, head, ids) = (self.target.operation, self.base, self.head, self.ids);
        let row = operations::row(&operation.key).ok_or_else(|| not_served(self.edm, operation))?;
        let call = Arc::new(self.check(app, row, body).await?);
        let generation = app.response_cache.generation();
        let answer = repeat::once(&call, row).await;
        let answer = answer.map_err(|problem| problem.into_graph(&operation.key, &ids.request_id))?;
        if let Answer::Immutable(body) = &answer
            && call.prefer.page_rows.is_none()
        {
            let key = CacheKeyRef::by(&call.caller, base, head);
            app.response_cache.insert(&key, body.clone(), row, call.target.scope.clone(), generation);
        }
        let answer = related::complete(app, head, &call, answer).await?;
        let (metadata, model) = (call.metadata, (call.root.as_str(), is_served as fn(&_) -> bool));
        let answer = answer.rewritten(|body| metadata.rewrite(call.edm, &call.target, model, body));
        let mut response = answer.into_response(call.prefer, metadata);
        if let Some(deprecation) = operation.deprecation {
            announce(response.headers_mut(), deprecation, call.at);
        }
        Ok(response)
    }

    /// Checks the request against the operation's permissions and the model.
    async fn check(self, app: &App, row: &Row, body: Body) -> Result<Call, GraphError> {
        let operation = self.target.operation;
        documents::check_served_below(&self.target.scope, &operation.key)?;
        let kind = documents::binding(&operation.key).map(|binding| binding.kind);
        access::check(row.access, &self.caller, &self.target.scope, app.fidelity)?;
        let scope_tags = rbac::authorize(app, &self.caller, &operation.key, &self.target.scope).await;
        let scope_tags = scope_tags.map_err(|problem| problem.into_graph(&operation.key, &self.ids.request_id))?;
        self.target.check_arguments()?;
        let (options, related) = self.options(kind)?;
        let metadata = match operation.response {
            ResponseShape::Stream => MetadataLevel::Minimal,
            _ => self.metadata?,
        };
        let mut request_key = None;
        let body = match operation.method {
            Method::Get | Method::Delete => serde_json::Map::new(),
            Method::Post | Method::Patch | Method::Put => {
                let bytes = body::read(&self.head.headers, body).await?;
                request_key = repeat::key(app, &self.caller, self.head, &bytes);
                let leniency = kind.map(|kind| documents::leniency(kind, self.edm));
                let leniency = leniency.unwrap_or_else(|| operations::leniency(&operation.key));
                cloudpc_graph::body::parse_leniently(self.edm, operation, &leniency, &bytes)?
            }
        };
        Ok(Call {
            app: app.clone(),
            caller: self.caller,
            at: app.clock.now(),
            edm: self.edm,
            target: self.target,
            scope_tags,
            options,
            related,
            body,
            prefer: self.prefer,
            metadata,
            if_match: self.head.headers.get(IF_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned),
            request_id: Arc::clone(&self.ids.request_id),
            request_key,
            peer: self.head.extensions.get::<Peer>().copied(),
            root: self.root,
            address: self.address,
            query: self.query.to_owned(),
        })
    }

    /// Reads the query options. The expansions that the operation does not make itself are apart.
    fn options(&self, kind: Option<&DocumentKind>) -> Result<(QueryOptions, Vec<Expansion>), GraphError> {
        let operation = self.target.operation;
        let expandable = kind.map(|kind| kind.expands).unwrap_or_default();
        let mut options = QueryOptions::parse(self.edm, operation, expandable, self.query)?;
        kind.map_or(Ok(()), |kind| documents::check_options(kind, &options))?;
        let itself = |own: &Expansion| expandable.contains(&own.property.as_str());
        let (expand, related): (Vec<_>, Vec<_>) = options.expand.into_iter().partition(itself);
        options.expand = expand;
        if operation.kind == OperationKind::List {
            options.top = match (options.top, self.prefer.page_rows) {
                (Some(top), Some(most)) => Some(top.min(most)),
                (top, most) => top.or(most),
            };
            if !related.is_empty() {
                let affordable = RELATED_READS_MAX / related.len();
                options.top = Some(options.top.unwrap_or(list::PAGE_ROWS).min(affordable));
            }
        }
        Ok((options, related))
    }
}

/// Adds the headers by which clients learn that an operation is deprecated, from the day on since
/// which it is: dates of HTTP, as Graph sends them in both.
fn announce(headers: &mut HeaderMap, deprecation: Deprecation, now: Timestamp) {
    let now = jiff::Timestamp::from_microsecond(now.0).unwrap_or(jiff::Timestamp::MAX);
    if deprecation.since > now.to_zoned(TimeZone::UTC).date() {
        return;
    }
    for (name, day) in [(DEPRECATION, deprecation.since), (SUNSET, deprecation.sunset)] {
        let end = day.at(23, 59, 59, 0).to_zoned(TimeZone::UTC);
        let text = end.and_then(|end| DateTimePrinter::new().timestamp_to_rfc9110_string(&end.timestamp()));
        if let Ok(value) = text.map(|text| HeaderValue::from_str(&text).expect("a date is plain text")) {
            headers.insert(name, value);
        }
    }
}

/// Whether an operation of the contract is served.
fn is_served(operation: &cloudpc_graph::Operation) -> bool {
    operations::row(&operation.key).is_some()
}

/// Why an operation of the contract is not served: writes that nobody may make, and those that a
/// kind of document does not take, are 405; anything else is 501.
fn not_served(edm: &Edm, operation: &cloudpc_graph::Operation) -> GraphError {
    if let Some(allow) = documents::shut(edm, operation).or_else(|| shut(edm, operation)) {
        let accepted: Vec<_> = allow.iter().map(|method| method.name()).collect();
        let accepted = if accepted.is_empty() { "no method".to_owned() } else { accepted.join(", ") };
        let message = format!("{} is not offered. This path accepts {accepted}.", operation.key);
        return GraphError { allow, ..GraphError::new(405, "Request_BadRequest", message) };
    }
    let message = format!("This server does not implement the operation '{}' ({}) yet.", operation.key, operation.path);
    GraphError::new(501, "NotImplemented", message)
}

/// For a write that nobody may make: the methods that its path takes.
fn shut(edm: &Edm, operation: &cloudpc_graph::Operation) -> Option<Vec<Method>> {
    if !operations::SHUT.contains(&operation.key.as_str()) {
        return None;
    }
    let same_path = edm.operations.iter().filter(|other| other.path == operation.path);
    Some(same_path.filter(|other| operations::ALL.contains_key(other.key.as_str())).map(|other| other.method).collect())
}

/// Splits a path into the API version and the rest. The version is not case-sensitive.
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
    Err(GraphError::bad_request("The path must start with /v1.0 or /beta."))
}

fn resolve(edm: &'static Edm, method: &http::Method, path: &str, query: &str) -> Result<ResolvedTarget, GraphError> {
    let resolved = match Method::named(method.as_str()) {
        Some(method) => edm.resolve(method, path, query),
        // No operation accepts this method. Resolving with PUT, which no operation accepts either,
        // finds errors in the path and the allowed methods.
        None => edm.resolve(Method::Put, path, query).and_then(|_| Err(method_not_allowed(method))).map_err(|error| {
            let allow = error.allow.clone();
            if error.status == 405 { GraphError { allow, ..method_not_allowed(method) } } else { error }
        }),
    };
    resolved.map_err(|mut error| {
        error.allow.retain(|method| is_served_at(edm, *method, path, query));
        error
    })
}

fn method_not_allowed(method: &http::Method) -> GraphError {
    GraphError::new(405, "Request_BadRequest", format!("This path does not accept the method {method}."))
}

/// Whether a method of the contract is served at a path, not only listed there.
fn is_served_at(edm: &'static Edm, method: Method, path: &str, query: &str) -> bool {
    edm.resolve(method, path, query).is_ok_and(|target| {
        operations::row(&target.operation.key).is_some()
            && documents::is_served_below(&target.scope, &target.operation.key)
    })
}
