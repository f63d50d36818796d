//! `/_cloudpc/`: administration, apart from Graph: applications, tokens and keys, and for simulated fleets the clock, faults and scenarios.
//!
//! Each call is authenticated, checked for its permission and answered here; what it does is in one file per noun. Errors leave in the Graph envelope, and
//! every change writes an audit row. It refuses to know how tokens are made and what a fault does.

mod apps;
mod clock;
mod faults;
mod fleet;
mod keys;
mod mishaps;
mod tokens;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::{delete, get, patch, post};
use bytes::Bytes;
use cloudpc_graph::GraphError;
use cloudpc_model::Error;
use cloudpc_store::AuditEntry;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

use crate::app::{App, Simulation};
use crate::caller::Caller;
use crate::pipeline::{Problem, refuse};
use crate::request::{BaseAddress, RequestIds};

pub use apps::NAME_CHARS_MAX;

/// May make applications and tokens, and what tokens are signed with.
const ADMINISTER: &str = "Cloudpc.Administer.All";
/// May use the levers of a simulated fleet.
const SIMULATE: &str = "Cloudpc.Simulate.All";

/// The routes below `/_cloudpc`.
pub fn routes() -> Router<App> {
    // Every route is a handler of this module's own kind, behind the permission that it takes.
    macro_rules! call {
        ($permission:expr, $handler:expr) => {
            |State(app): State<App>, request: Request<Body>| answer(app, request, $permission, $handler)
        };
    }
    let remove_fault = |State(app): State<App>, Path(number): Path<String>, request: Request<Body>| {
        answer(app, request, SIMULATE, move |call, _| faults::remove(call, number))
    };
    let change_app = |State(app): State<App>, Path(id): Path<String>, request: Request<Body>| {
        answer(app, request, ADMINISTER, move |call, body| apps::change(call, id, body))
    };
    Router::new()
        .route("/apps", get(call!(ADMINISTER, apps::list)).post(call!(ADMINISTER, apps::create)))
        .route("/apps/{id}", patch(change_app))
        .route("/keys/rotate", post(call!(ADMINISTER, keys::rotate)))
        .route("/tokens", post(call!(ADMINISTER, tokens::create)))
        .route("/clock", get(call!(SIMULATE, clock::show)))
        .route("/clock/pause", post(call!(SIMULATE, clock::pause)))
        .route("/clock/resume", post(call!(SIMULATE, clock::resume)))
        .route("/clock/advance", post(call!(SIMULATE, clock::advance)))
        .route("/clock/advanceToIdle", post(call!(SIMULATE, clock::advance_to_idle)))
        .route(
            "/faults",
            get(call!(SIMULATE, faults::list))
                .post(call!(SIMULATE, faults::add))
                .delete(call!(SIMULATE, faults::clear)),
        )
        .route("/faults/{number}", delete(remove_fault))
        .route("/mishaps", post(call!(SIMULATE, mishaps::befall)))
        .route("/reset", post(call!(SIMULATE, fleet::reset)))
        .route("/scenario", get(call!(SIMULATE, fleet::save)).post(call!(SIMULATE, fleet::load)))
}

/// A call that may be made: who makes it, and what it reaches.
struct Call {
    app: App,
    caller: Arc<Caller>,
    base: BaseAddress,
    ids: RequestIds,
}

/// What a call answers.
enum Reply {
    /// 200 with JSON.
    Json(Value),
    /// 201 with JSON.
    Created(Value),
    /// 200 with TOML.
    Toml(String),
    /// 204.
    Nothing,
}

/// Checks a call, makes it and renders what comes of it.
async fn answer<F, R>(
    app: App,
    request: Request<Body>,
    permission: &'static str,
    handler: impl FnOnce(Call, Bytes) -> F + Send,
) -> Response<Body>
where
    F: Future<Output = Result<R, Problem>> + Send,
    R: Into<Reply>,
{
    let (head, body) = request.into_parts();
    let ids = head.extensions.get::<RequestIds>().cloned().expect("the edge gives every request its ids");
    let base = head.extensions.get::<BaseAddress>().cloned().expect("the edge gives every request its address");
    let mut seen = None;
    let work = async {
        let caller = app.caller(&head).await?;
        seen = Some(Arc::clone(&caller));
        if !caller.permissions.contains(permission) {
            let message = format!("The token lacks the permission {permission}.");
            return Err(GraphError::new(403, "Forbidden", message).into());
        }
        let body = body.collect().await.map_err(|_| GraphError::bad_request("The body cannot be read."))?.to_bytes();
        let call = Call { app: app.clone(), caller, base, ids: ids.clone() };
        handler(call, body).await.map(Into::into)
    };
    let mut response = match work.await {
        Ok(reply) => render(reply),
        Err(problem) => {
            let problem: Problem = problem;
            refuse(&app, &ids, &problem.into_graph(head.uri.path(), &ids.request_id))
        }
    };
    if let Some(caller) = seen {
        // For the edge's log.
        response.extensions_mut().insert::<Arc<Caller>>(caller);
    }
    response
}

fn render(reply: Reply) -> Response<Body> {
    let (status, media_type, body) = match reply {
        Reply::Json(value) => (StatusCode::OK, "application/json", value.to_string()),
        Reply::Created(value) => (StatusCode::CREATED, "application/json", value.to_string()),
        Reply::Toml(text) => (StatusCode::OK, "application/toml", text),
        Reply::Nothing => (StatusCode::NO_CONTENT, "", String::new()),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    response
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

impl From<()> for Reply {
    fn from((): ()) -> Self {
        Self::Nothing
    }
}

impl Call {
    /// The levers of the simulated fleet.
    fn simulation(&self) -> Result<Simulation, Problem> {
        self.app.simulation.clone().ok_or_else(|| {
            let message =
                "The machines of this installation are real; there is no clock to move and no trouble to script.";
            GraphError::new(404, "notSimulated", message).into()
        })
    }

    /// The audit row of what this call does.
    fn audit(&self, activity: &str, resource_type: &str, resource_id: impl Into<String>) -> AuditEntry {
        AuditEntry {
            id: 0,
            tenant_id: self.caller.tenant_id,
            at: self.app.clock.now(),
            actor: self.caller.actor(),
            activity: activity.to_owned(),
            resource_type: resource_type.to_owned(),
            resource_id: resource_id.into(),
            request_id: self.ids.request_id.to_string(),
        }
    }

    /// Writes down what was done to a lever that is not in the store.
    async fn write_audit(
        &self,
        activity: &str,
        resource_type: &str,
        resource_id: impl Into<String>,
    ) -> Result<(), Error> {
        let entry = self.audit(activity, resource_type, resource_id);
        self.app.store.write(move |tx| Ok(tx.audit_insert(&entry)?)).await
    }
}

/// The body as what it has to be.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| GraphError::bad_request(format!("The body cannot be read: {error}.")).into())
}
