//! `/_cloudpc/`: administration, apart from Graph: applications, tokens and keys, and for simulated
//! fleets the clock, faults and scenarios.
//!
//! Each call is authenticated, checked for its right and answered here; what it does is in one file
//! per noun. Errors leave in the Graph envelope, and every change writes an audit row. It refuses
//! to know how tokens are made and what a fault does.
//!
//! What reaches beyond a tenant belongs to the owner of the installation ([`crate::installation`]).
//! A tenant's administrator stays within the tenant, and nobody grants a permission that is not
//! theirs to grant.

mod apps;
mod clock;
mod faults;
mod fleet;
mod incidents;
mod keys;
mod tokens;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::{delete, get, patch, post};
use bytes::Bytes;
use cloudpc_graph::GraphError;
use cloudpc_graph::body::{DEPTH_MAX, json};
use cloudpc_model::{AppId, AuditEntry, AuditResource, AuditVerb, Error, ResourceType};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

use crate::app::{App, Simulation};
use crate::caller::Caller;
use crate::installation::{self, GRANTED_BY_OWNER};
use crate::pipeline::{Problem, refuse};
use crate::request::{BaseAddress, Peer, RequestIds};

pub use apps::NAME_CHARS_MAX;
pub use faults::{CLOUD_PCS_MAX, CODE_CHARS_MAX, MESSAGE_CHARS_MAX, RULES_MAX};

/// What a call needs. The owner of the installation may make every call.
#[derive(Clone, Copy)]
enum Right {
    /// To administer one's own tenant.
    Administer,
    /// To use the controls of a simulated fleet.
    Simulate,
    /// To own the installation.
    Own,
}

impl Right {
    fn check(self, caller: &Caller) -> Result<(), GraphError> {
        let permission = match self {
            Self::Administer => "Cloudpc.Administer.All",
            Self::Simulate => "Cloudpc.Simulate.All",
            Self::Own if caller.is_owner => return Ok(()),
            Self::Own => {
                let message = "Only the owner of the installation may do this. Use the credentials in admin.json in the \
                               service's data directory.";
                return Err(forbidden(message));
            }
        };
        match caller.is_owner || caller.permissions.contains(permission) {
            true => Ok(()),
            false => Err(forbidden(format!("The token lacks the permission {permission}."))),
        }
    }
}

/// The routes below `/_cloudpc`.
pub fn routes() -> Router<App> {
    // Every route is a handler of this module's own kind, behind the right that it takes.
    macro_rules! call {
        ($right:ident, $handler:expr) => {
            |State(app): State<App>, request: Request<Body>| answer(app, request, Right::$right, $handler)
        };
    }
    let remove_fault = |State(app): State<App>, Path(number): Path<String>, request: Request<Body>| {
        answer(app, request, Right::Simulate, move |call, _| faults::remove(call, number))
    };
    let change_app = |State(app): State<App>, Path(id): Path<String>, request: Request<Body>| {
        answer(app, request, Right::Administer, move |call, body| apps::change(call, id, body))
    };
    Router::new()
        .route("/apps", get(call!(Administer, apps::list)).post(call!(Administer, apps::create)))
        .route("/apps/{id}", patch(change_app))
        .route("/keys/rotate", post(call!(Own, keys::rotate)))
        .route("/tokens", post(call!(Administer, tokens::create)))
        .route("/clock", get(call!(Simulate, clock::show)))
        .route("/clock/pause", post(call!(Simulate, clock::pause)))
        .route("/clock/resume", post(call!(Simulate, clock::resume)))
        .route("/clock/advance", post(call!(Simulate, clock::advance)))
        .route("/clock/advanceToIdle", post(call!(Simulate, clock::advance_to_idle)))
        .route(
            "/faults",
            get(call!(Simulate, faults::list))
                .post(call!(Simulate, faults::add))
                .delete(call!(Simulate, faults::clear)),
        )
        .route("/faults/{number}", delete(remove_fault))
        .route("/incidents", post(call!(Simulate, incidents::inject)))
        .route("/reset", post(call!(Own, fleet::reset)))
        .route("/scenario", get(call!(Own, fleet::save)).post(call!(Own, fleet::load)))
}

/// A call that may be made: who makes it, and what it reaches.
struct AdminCall {
    app: App,
    caller: Arc<Caller>,
    base: BaseAddress,
    ids: RequestIds,
    peer: Option<Peer>,
}

/// What a call answers.
enum AdminReply {
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
    right: Right,
    handler: impl FnOnce(AdminCall, Bytes) -> F + Send,
) -> Response<Body>
where
    F: Future<Output = Result<R, Problem>> + Send,
    R: Into<AdminReply>,
{
    let (head, body) = request.into_parts();
    let ids = head.extensions.get::<RequestIds>().cloned().expect("the edge gives every request its ids");
    let base = head.extensions.get::<BaseAddress>().cloned().expect("the edge gives every request its address");
    let mut seen = None;
    let work = async {
        let caller = app.caller(&head).await?;
        seen = Some(Arc::clone(&caller));
        right.check(&caller)?;
        let body = body.collect().await.map_err(|_| GraphError::bad_request("The body cannot be read."))?.to_bytes();
        let peer = head.extensions.get::<Peer>().copied();
        let call = AdminCall { app: app.clone(), caller, base, ids: ids.clone(), peer };
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

fn render(reply: AdminReply) -> Response<Body> {
    let (status, media_type, body) = match reply {
        AdminReply::Json(value) => (StatusCode::OK, "application/json", value.to_string()),
        AdminReply::Created(value) => (StatusCode::CREATED, "application/json", value.to_string()),
        AdminReply::Toml(text) => (StatusCode::OK, "application/toml", text),
        AdminReply::Nothing => (StatusCode::NO_CONTENT, "", String::new()),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    response
}

impl From<Value> for AdminReply {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

impl From<()> for AdminReply {
    fn from((): ()) -> Self {
        Self::Nothing
    }
}

impl AdminCall {
    /// The levers of the simulated fleet.
    fn simulation(&self) -> Result<Simulation, Problem> {
        self.app.simulation.clone().ok_or_else(|| {
            let message =
                "The machines of this installation are real; there is no clock to move and no trouble to script.";
            GraphError::new(404, "notSimulated", message).into()
        })
    }

    /// Refuses to touch the application that owns the installation.
    async fn must_not_be_the_owners(&self, app: AppId) -> Result<(), Problem> {
        let owner = self.app.store.read(installation::owner).await.map_err(Error::from)?;
        match owner == Some((self.caller.tenant_id, app)) {
            true => Err(forbidden(
                "This application owns the installation, and no request changes it or gets its tokens. To replace it, delete \
                 admin.json and restart the service.",
            )
            .into()),
            false => Ok(()),
        }
    }

    /// The audit row of what this call does. `id` is empty for what there is one of.
    fn audit(&self, verb: AuditVerb, kind: ResourceType, id: impl ToString) -> AuditEntry {
        let (tenant, actor) = (self.caller.tenant_id, self.caller.actor_at(self.peer));
        let resource = AuditResource::new(kind, id);
        AuditEntry::new(tenant, self.app.clock.now(), actor, verb, resource).by_request(&self.ids.request_id)
    }

    /// Writes the row of a change that is not in the store.
    async fn write_audit(&self, entry: AuditEntry) -> Result<(), Error> {
        self.app.store.write("audit.append", move |tx| Ok(tx.audit_insert(&entry)?)).await
    }
}

/// Refuses what a caller may not hand on, be it in an application or in a token.
fn may_grant(caller: &Caller, permissions: &[String]) -> Result<(), GraphError> {
    match permissions.iter().find(|permission| GRANTED_BY_OWNER.contains(&permission.as_str())) {
        Some(permission) if !caller.is_owner => {
            Err(forbidden(format!("Only the owner of the installation grants {permission}.")).about("permissions"))
        }
        _ => Ok(()),
    }
}

fn forbidden(message: impl Into<String>) -> GraphError {
    GraphError::new(403, "Forbidden", message)
}

/// The body as what it has to be.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_value(json(body, DEPTH_MAX)?)
        .map_err(|error| GraphError::bad_request(format!("The body cannot be read: {error}.")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_by_the_rules_of_every_json_body() {
        let refused = |body: &str| read::<Value>(body.as_bytes()).is_err();
        assert!(!refused("\u{feff}{\"user\": \"ada\"}"));
        assert!(refused(r#"{"user": "ada", "User": "eve"}"#));
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!refused(&deep(DEPTH_MAX)) && refused(&deep(DEPTH_MAX + 1)));
    }
}
