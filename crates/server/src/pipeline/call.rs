//! What an operation gets to know about the request.

use cloudpc_engine::RequestContext;
use cloudpc_graph::{Edm, GraphError, LinkSigner, QueryOptions, ResolvedTarget, Version, next_link};
use cloudpc_model::{AuditEntry, AuditResource, AuditVerb, TenantId, Timestamp};
use cloudpc_store::Store;
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value};
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

use super::select::Picked;
use super::{Answer, Problem};
use crate::app::App;
use crate::caller::Caller;
use crate::request::Peer;

/// A request that has passed every check which does not depend on the operation.
pub struct Call {
    /// What it may reach.
    pub app: App,
    /// Who calls.
    pub caller: Arc<Caller>,
    /// When the call was received.
    pub at: Timestamp,
    /// The model of the root it came by.
    pub edm: &'static Edm,
    /// What is called, with keys and arguments.
    pub target: ResolvedTarget,
    /// Query options.
    pub options: QueryOptions,
    /// The body; empty if there is none.
    pub body: Map<String, Value>,
    /// What the client prefers.
    pub prefer: Prefer,
    /// Ours, for the audit log.
    pub request_id: Arc<str>,
    /// Where the request comes from, for the audit log.
    pub peer: Option<Peer>,
    /// Address of the root, e.g. `https://127.0.0.1:8366/beta`.
    pub(super) root: String,
    /// Address of this request, without its query.
    pub(super) address: String,
    /// Its raw query.
    pub(super) query: String,
}

/// The `Prefer` header, as far as it is honoured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// `return=minimal`: no body after a create or update.
    pub minimal: bool,
    /// `include-unknown-enum-members`: enum members declared after `unknownFutureValue` by their
    /// names.
    pub unknown_enum_members: bool,
}

impl Prefer {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let texts = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
        let mut prefer = Self::default();
        for wish in texts.flat_map(|text| text.split([',', ';'])).map(str::trim) {
            prefer.minimal |= wish.eq_ignore_ascii_case("return=minimal");
            prefer.unknown_enum_members |= wish.eq_ignore_ascii_case("include-unknown-enum-members");
        }
        prefer
    }
}

impl Call {
    /// The caller's tenant.
    pub fn tenant(&self) -> TenantId {
        self.caller.tenant_id
    }

    /// Scheme and authority by which the client reached the server.
    pub fn host(&self) -> &str {
        self.root.strip_suffix(self.version().segment()).map_or(&self.root, |host| host.trim_end_matches('/'))
    }

    /// By which root.
    pub fn version(&self) -> Version {
        self.edm.version
    }

    /// Who asks, for the engine.
    pub fn asked(&self) -> RequestContext {
        RequestContext {
            tenant_id: self.tenant(),
            by: self.caller.actor_at(self.peer),
            request_id: self.request_id.to_string(),
        }
    }

    /// The audit row of what this call does.
    pub fn audit(&self, verb: AuditVerb, resource: AuditResource) -> AuditEntry {
        let actor = self.caller.actor_at(self.peer);
        AuditEntry::new(self.tenant(), self.at, actor, verb, resource).by_request(&self.request_id)
    }

    /// The store, whose reads take the turns of the caller. Entries of a batch have the same one.
    pub fn store(&self) -> Store {
        self.app.store.on_behalf_of(self.caller.read_caller())
    }

    /// A key of the path.
    pub fn key(&self, place: usize) -> &str {
        self.target.keys.get(place).map_or("", String::as_str)
    }

    /// A key of the path as an id; a text that is no id names nothing.
    pub fn id<T: FromStr>(&self, place: usize, what: &str) -> Result<T, Problem> {
        self.key(place).parse().map_err(|_| Problem::not_found(what, self.key(place)))
    }

    /// A text of the body; none if it is left out or null.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    /// A text of the body that has to be there.
    pub fn required_text(&self, name: &str) -> Result<&str, Problem> {
        self.text(name).ok_or_else(|| required(name).into())
    }

    /// A member of an enum in the body; none if it is left out or null.
    pub fn member<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let parse = |text: &str| {
            let error = || GraphError::bad_request(format!("'{text}' cannot be asked for here.")).about(name);
            text.parse().map_err(|_| error().into())
        };
        self.text(name).map(parse).transpose()
    }

    /// Refuses a new entity that is given more than these of its properties; the rest is the
    /// service's to set.
    pub fn must_only_give(&self, properties: &[&str]) -> Result<(), Problem> {
        let other = |(name, value): &(&String, &Value)| !properties.contains(&name.as_str()) && !value.is_null();
        match self.body.iter().find(other) {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("The property '{name}' is set by the service; leave it out.");
                Err(GraphError::bad_request(message).about(name).into())
            }
        }
    }

    /// Refuses an update that changes more than these properties of an entity. Clients send back
    /// what they were sent, which is fine as long as it is the same; what cannot be changed is not
    /// passed over in silence.
    pub fn must_only_change(&self, properties: &[&str], present: &impl Serialize) -> Result<(), Problem> {
        let present = serde_json::to_value(present).expect("a view is plain data");
        for (name, value) in &self.body {
            if !properties.contains(&name.as_str()) && !present.get(name).is_some_and(|present| same(present, value)) {
                let message = format!("The property '{name}' cannot be changed by an update.");
                return Err(GraphError::bad_request(message).about(name).into());
            }
        }
        Ok(())
    }

    /// Whether the options speak of a property, so that it has to be looked up.
    pub fn mentions(&self, property: &str) -> bool {
        let QueryOptions { select, filter_text, orderby, .. } = &self.options;
        let selected =
            select.as_ref().is_some_and(|names| names.iter().any(|name| name == "*" || name.starts_with(property)));
        let filtered =
            filter_text.as_ref().is_some_and(|text| text.to_ascii_lowercase().contains(&property.to_ascii_lowercase()));
        selected || filtered || orderby.iter().any(|(name, _)| name.starts_with(property))
    }

    /// 200 with one entity or complex value, cut to `$select`.
    pub fn entity(&self, view: &impl Serialize) -> Answer {
        Answer::Json(self.write_entity(view))
    }

    /// 201 with a new entity.
    pub fn created(&self, id: &str, view: &impl Serialize) -> Answer {
        let location = format!("{}/{}/{id}", self.root, self.target.canonical_path);
        Answer::Created { location, body: self.write_entity(view) }
    }

    /// 200 with a changed entity.
    pub fn updated(&self, view: &impl Serialize) -> Answer {
        Answer::Updated(self.write_entity(view))
    }

    /// 200 with `{"value": …}` of a primitive type.
    pub fn value(&self, value: &impl Serialize) -> Answer {
        #[derive(Serialize)]
        struct Wrapped<'a, T> {
            #[serde(rename = "@odata.context")]
            context: &'a str,
            value: T,
        }
        Answer::Json(to_json(&Wrapped { context: &self.context(), value }))
    }

    fn write_entity(&self, view: &impl Serialize) -> Vec<u8> {
        #[derive(Serialize)]
        struct Entity<'a, T> {
            #[serde(rename = "@odata.context")]
            context: &'a str,
            #[serde(flatten)]
            view: T,
        }
        let context = &self.context();
        match &self.options.select {
            Some(names) => to_json(&Entity { context, view: Picked::new(self, view, names) }),
            None => to_json(&Entity { context, view }),
        }
    }

    /// `@odata.context` of the answer.
    pub(super) fn context(&self) -> String {
        self.target.context(self.edm, &self.root, self.options.select.as_deref()).unwrap_or_default()
    }

    /// Where the previous page ended, from the skip token.
    pub(super) fn position(&self) -> Result<Option<String>, GraphError> {
        let verify = |token: &String| self.signer().verify(&self.binding(), token);
        self.options.skiptoken.as_ref().map(verify).transpose()
    }

    /// The address of the page after `position`.
    pub(super) fn next_link(&self, position: &str) -> String {
        next_link(&self.address, &self.query, &self.signer().sign(&self.binding(), position))
    }

    fn signer(&self) -> &LinkSigner {
        &self.app.signer
    }

    /// What a skip token is good for: this tenant, this path with its arguments, this filter and
    /// this order.
    fn binding(&self) -> String {
        let ResolvedTarget { operation, scope, keys, arguments, .. } = &self.target;
        let user = self.caller.user.as_ref().map(|user| user.id);
        let QueryOptions { filter_text, orderby, .. } = &self.options;
        let tenant = self.tenant();
        format!("{tenant} {} {scope:?} {user:?} {keys:?} {arguments:?} {filter_text:?} {orderby:?}", operation.key)
    }
}

/// Whether a value that is sent back is the one that was sent; a GUID is the same in any case.
fn same(present: &Value, given: &Value) -> bool {
    match (present.as_str(), given.as_str()) {
        (Some(present), Some(given)) if Uuid::parse_str(present).is_ok() => present.eq_ignore_ascii_case(given),
        _ => present == given,
    }
}

/// 400 for a property that has to be there.
pub(crate) fn required(name: &str) -> GraphError {
    GraphError::bad_request(format!("The property '{name}' is required.")).about(name)
}

/// Views are plain data with text keys, which JSON can always hold.
pub(super) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a view is plain data")
}
