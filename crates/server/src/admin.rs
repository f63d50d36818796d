//! `/_cloudpc/`: the administration API, separate from Graph: applications, tokens and keys, and
//! for simulated fleets the clock, faults, incidents, sessions and scenarios.
//!
//! This module authenticates and authorizes each call and renders its reply; the calls themselves
//! are in one file per noun. Errors use Graph's envelope, and every change writes an audit row.
//! This module refuses to know how tokens are issued and what a fault does.
//!
//! Calls that reach beyond a tenant need the owner of the installation ([`crate::installation`]). A
//! tenant's administrator is limited to the tenant, and can grant no permission that is reserved
//! for the owner.

mod apps;
mod clock;
mod faults;
mod fleet;
mod incidents;
mod keys;
mod sessions;
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
pub use sessions::{MEASUREMENT_MAX, SESSION_USER_CHARS_MAX};

/// The right that a call needs. The owner of the installation has every right.
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

/// Returns the routes below `/_cloudpc`.
pub fn routes() -> Router<App> {
    // Every route is a handler of an [`AdminCall`], with the right that the call needs.
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
        .route("/sessions", post(call!(Simulate, sessions::create)))
        .route("/sessions/end", post(call!(Simulate, sessions::end)))
        .route("/reset", post(call!(Own, fleet::reset)))
        .route("/scenario", get(call!(Own, fleet::save)).post(call!(Own, fleet::load)))
}

/// An authorized call and its context.
struct AdminCall {
    app: App,
    caller: Arc<Caller>,
    base: BaseAddress,
    ids: RequestIds,
    peer: Option<Peer>,
}

/// The reply to a call.
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

/// Authorizes a call, runs its handler and renders the reply.
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
    let mut authenticated = None;
    let work = async {
        let caller = app.caller(&head).await?;
        authenticated = Some(Arc::clone(&caller));
        right.check(&caller)?;
        let body = body
            .collect()
            .await
            .map_err(|_| GraphError::bad_request("The body is incomplete. Send the request again."))?
            .to_bytes();
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
    if let Some(caller) = authenticated {
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
    /// Returns the controls of the simulated fleet.
    fn simulation(&self) -> Result<Simulation, Problem> {
        self.app.simulation.clone().ok_or_else(|| {
            let message =
                "This installation runs real machines. The clock, faults, incidents and scenarios are available only with simulated machines.";
            GraphError::new(404, "notSimulated", message).into()
        })
    }

    /// Refuses a change to the application that owns the installation.
    async fn refuse_owner_app(&self, app: AppId) -> Result<(), Problem> {
        let owner = self.app.store.read(installation::owner).await.map_err(Error::from)?;
        match owner == Some((self.caller.tenant_id, app)) {
            true => Err(forbidden(
                "This application owns the installation. No request can change it or issue its tokens. To replace it, delete \
                 admin.json and restart the service.",
            )
            .into()),
            false => Ok(()),
        }
    }

    /// Returns the audit row of this call. `id` is empty for a resource of which there is only one.
    fn audit(&self, verb: AuditVerb, kind: ResourceType, id: impl ToString) -> AuditEntry {
        let (tenant, actor) = (self.caller.tenant_id, self.caller.actor_at(self.peer));
        let resource = AuditResource::new(kind, id);
        AuditEntry::new(tenant, self.app.clock.now(), actor, verb, resource).by_request(&self.ids.request_id)
    }

    /// Writes the audit row of a change outside the store.
    async fn write_audit(&self, entry: AuditEntry) -> Result<(), Error> {
        self.app.store.write("audit.append", move |tx| Ok(tx.audit_insert(&entry)?)).await
    }
}

/// Refuses permissions that the caller cannot grant, to an application or in a token.
fn check_grant(caller: &Caller, permissions: &[String]) -> Result<(), GraphError> {
    match permissions.iter().find(|permission| GRANTED_BY_OWNER.contains(&permission.as_str())) {
        Some(permission) if !caller.is_owner => {
            Err(forbidden(format!("Only the owner of the installation can grant {permission}.")).about("permissions"))
        }
        _ => Ok(()),
    }
}

fn forbidden(message: impl Into<String>) -> GraphError {
    GraphError::new(403, "Forbidden", message)
}

/// Parses a JSON body.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_value(json(body, DEPTH_MAX)?)
        .map_err(|error| GraphError::bad_request(format!("Invalid body: {error}.")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_rejects_duplicate_members_and_deep_nesting() {
        let is_rejected = |body: &str| read::<Value>(body.as_bytes()).is_err();
        assert!(!is_rejected("\u{feff}{\"user\": \"ada\"}"));
        assert!(is_rejected(r#"{"user": "ada", "User": "eve"}"#));
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_rejected(&deep(DEPTH_MAX)) && is_rejected(&deep(DEPTH_MAX + 1)));
    }
}
