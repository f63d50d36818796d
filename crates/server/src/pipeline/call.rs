//! The validated request that an operation receives.

use cloudpc_engine::RequestContext;
use cloudpc_graph::options::Expansion;
use cloudpc_graph::{
    Edm, GraphError, LinkSigner, MetadataLevel, QueryOptions, ResolvedTarget, Version, delta_link, next_link,
};
use cloudpc_model::{AuditEntry, AuditResource, AuditVerb, RequestKey, TenantId, Timestamp, UserId};
use cloudpc_store::Store;
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

use super::select::Picked;
use super::{Answer, Problem};
use crate::app::App;
use crate::caller::{Caller, CallerUser, TokenOrigin};
use crate::config::Fidelity;
use crate::rbac::{ADMINISTRATORS, ScopeTags};
use crate::request::Peer;

/// A request that passed all checks that do not depend on the operation.
pub struct Call {
    /// The application's services.
    pub app: App,
    /// The authenticated caller.
    pub caller: Arc<Caller>,
    /// When the call was received.
    pub at: Timestamp,
    /// The model of the API version.
    pub edm: &'static Edm,
    /// The operation, with keys and arguments of the path.
    pub target: ResolvedTarget,
    /// The scope tags that limit what the call reads and changes.
    pub scope_tags: ScopeTags,
    /// Query options.
    pub options: QueryOptions,
    /// Related entities that `$expand` names and that the operation does not expand itself.
    pub(super) related: Vec<Expansion>,
    /// The body; empty if there is none.
    pub body: Map<String, Value>,
    /// Preferences from the `Prefer` header.
    pub prefer: Prefer,
    /// How much control information the answer has once it is complete.
    pub metadata: MetadataLevel,
    /// The entity tag that the client wants the entity to have, from `If-Match`.
    pub if_match: Option<String>,
    /// This server's request id, for the audit log.
    pub request_id: Arc<str>,
    /// What a repeat of this request is recognised by, if it can be.
    pub(crate) request_key: Option<RequestKey>,
    /// The peer address, for the audit log.
    pub peer: Option<Peer>,
    /// URL of the API root, e.g. `https://127.0.0.1:8366/beta`.
    pub(super) root: String,
    /// URL of this request, without its query.
    pub(super) address: String,
    /// The raw query string.
    pub(super) query: String,
}

/// The supported preferences of the `Prefer` header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// `return=minimal`: no response body after a create or update.
    pub minimal: bool,
    /// `include-unknown-enum-members`: send the names of enum members that are declared after
    /// `unknownFutureValue`.
    pub unknown_enum_members: bool,
    /// `return=representation`: the entity in the response to a create or update.
    pub representation: bool,
    /// `odata.maxpagesize`: most rows of a page, at least 1.
    pub page_rows: Option<usize>,
}

impl Prefer {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let texts = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
        let mut prefer = Self::default();
        for wish in texts.flat_map(|text| text.split([',', ';'])).map(str::trim) {
            prefer.minimal |= wish.eq_ignore_ascii_case("return=minimal");
            prefer.representation |= wish.eq_ignore_ascii_case("return=representation");
            prefer.unknown_enum_members |= wish.eq_ignore_ascii_case("include-unknown-enum-members");
            if let Some((name, rows)) = wish.split_once('=')
                && ["odata.maxpagesize", "maxpagesize"].iter().any(|known| name.trim().eq_ignore_ascii_case(known))
            {
                prefer.page_rows = rows.trim().parse().ok().filter(|rows| *rows > 0);
            }
        }
        prefer
    }
}

impl Call {
    /// Returns the call that creates what a scenario states. Its caller is a user named `scenario`,
    /// because a scenario may state what only people can create.
    pub(crate) fn of_scenario(
        app: App,
        tenant_id: TenantId,
        target: ResolvedTarget,
        body: Map<String, Value>,
        at: Timestamp,
    ) -> Self {
        let name = "scenario";
        // Whoever loads a scenario administers the installation.
        let roles = vec![ADMINISTRATORS[0].to_owned()];
        let user = CallerUser { id: UserId(Uuid::nil()), user_principal_name: name.into(), roles };
        let caller = Caller {
            tenant_id,
            app_id: None,
            app_name: name.into(),
            user: Some(user),
            permissions: BTreeSet::new(),
            is_owner: false,
            origin: TokenOrigin::Local { key_id: String::new() },
        };
        Self {
            app,
            caller: Arc::new(caller),
            at,
            edm: Edm::of(Version::Beta),
            target,
            scope_tags: ScopeTags::All,
            options: QueryOptions::default(),
            related: Vec::new(),
            body,
            prefer: Prefer::default(),
            metadata: MetadataLevel::default(),
            if_match: None,
            request_id: Arc::from(""),
            request_key: None,
            peer: None,
            root: String::new(),
            address: String::new(),
            query: String::new(),
        }
    }

    /// Whether members of an enum that are declared after `unknownFutureValue` are sent by name: to
    /// clients that request it, and to all under open fidelity.
    pub fn names_late_members(&self) -> bool {
        self.app.fidelity == Fidelity::Open || self.prefer.unknown_enum_members
    }

    /// Returns the caller's tenant.
    pub fn tenant(&self) -> TenantId {
        self.caller.tenant_id
    }

    /// Returns the scheme and authority that the client used.
    pub fn host(&self) -> &str {
        self.root.strip_suffix(self.version().segment()).map_or(&self.root, |host| host.trim_end_matches('/'))
    }

    /// Returns the API version.
    pub fn version(&self) -> Version {
        self.edm.version
    }

    /// Returns the caller and request id for the engine.
    pub fn request_context(&self) -> RequestContext {
        RequestContext {
            tenant_id: self.tenant(),
            by: self.caller.actor_at(self.peer),
            request_id: self.request_id.to_string(),
            request_key: self.request_key,
            bulk_action_id: None,
        }
    }

    /// Returns an audit entry for this call.
    pub fn audit(&self, verb: AuditVerb, resource: AuditResource) -> AuditEntry {
        let actor = self.caller.actor_at(self.peer);
        let entry = AuditEntry::new(self.tenant(), self.at, actor, verb, resource);
        entry.by_request(&self.request_id).repeatable(self.request_key)
    }

    /// Returns the store with reads scheduled under the caller's share. Requests of a batch use one
    /// share.
    pub fn store(&self) -> Store {
        self.app.store.on_behalf_of(self.caller.read_caller())
    }

    /// Returns a key of the path; empty if there is none.
    pub fn key(&self, place: usize) -> &str {
        self.target.keys.get(place).map_or("", String::as_str)
    }

    /// Parses a key of the path as an id. Returns 404 if it is not an id.
    pub fn id<T: FromStr>(&self, place: usize, what: &str) -> Result<T, Problem> {
        self.key(place).parse().map_err(|_| Problem::not_found(what, self.key(place)))
    }

    /// Returns a string property of the body; `None` if it is absent or null.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    /// Returns a required string property of the body. Returns 400 if it is absent or null.
    pub fn required_text(&self, name: &str) -> Result<&str, Problem> {
        self.text(name).ok_or_else(|| required(name).into())
    }

    /// Parses an enum property of the body; `None` if it is absent or null. Returns 400 for a
    /// member that is not supported.
    pub fn member<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let parse = |text: &str| {
            let error = || GraphError::bad_request(format!("The value '{text}' is not supported here.")).about(name);
            text.parse().map_err(|_| error().into())
        };
        self.text(name).map(parse).transpose()
    }

    /// Returns 400 if a new entity has other non-null properties than `properties`. The service
    /// sets the rest.
    pub fn reject_other_properties(&self, properties: &[&str]) -> Result<(), Problem> {
        let other = |(name, value): &(&String, &Value)| !properties.contains(&name.as_str()) && !value.is_null();
        match self.body.iter().find(other) {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("The service sets the property '{name}'. Omit it.");
                Err(GraphError::bad_request(message).about(name).into())
            }
        }
    }

    /// Returns 400 if an update changes other properties than `properties`. Clients may send
    /// unchanged properties back; a change to a read-only property is never ignored silently.
    pub fn reject_other_changes(&self, properties: &[&str], present: &impl Serialize) -> Result<(), Problem> {
        let present = serde_json::to_value(present).expect("a view is plain data");
        for (name, value) in &self.body {
            if !properties.contains(&name.as_str())
                && !present.get(name).is_some_and(|present| is_unchanged(present, value))
            {
                let message = format!("An update cannot change the property '{name}'.");
                return Err(GraphError::bad_request(message).about(name).into());
            }
        }
        Ok(())
    }

    /// Returns whether `$select`, `$filter` or `$orderby` names a property, so that it must be
    /// read.
    pub fn mentions(&self, property: &str) -> bool {
        let QueryOptions { select, filter_text, orderby, .. } = &self.options;
        let selected =
            select.as_ref().is_some_and(|names| names.iter().any(|name| name == "*" || name.starts_with(property)));
        let filtered =
            filter_text.as_ref().is_some_and(|text| text.to_ascii_lowercase().contains(&property.to_ascii_lowercase()));
        selected || filtered || orderby.iter().any(|(name, _)| name.starts_with(property))
    }

    /// Answers 200 with one entity or complex value, limited to `$select`.
    pub fn entity(&self, view: &impl Serialize) -> Answer {
        Answer::Json(self.write_entity(view))
    }

    /// Answers 201 with a new entity.
    pub fn created(&self, id: &str, view: &impl Serialize) -> Answer {
        let location = format!("{}/{}/{id}", self.root, self.target.canonical_path);
        Answer::Created { location, body: self.write_entity(view) }
    }

    /// Answers 200 with an updated entity.
    pub fn updated(&self, view: &impl Serialize) -> Answer {
        Answer::Updated(self.write_entity(view))
    }

    /// Answers an update of an entity that is sent back only if the client prefers it.
    pub fn updated_quietly(&self, view: &impl Serialize) -> Answer {
        match self.prefer.representation || self.prefer.minimal {
            true => self.updated(view),
            false => Answer::NoContent,
        }
    }

    /// Answers 202 with an entity that is being changed.
    pub fn accepted(&self, view: &impl Serialize) -> Answer {
        Answer::Accepted(self.write_entity(view))
    }

    /// Answers 200 with `{"value": …}`, for a primitive type.
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

    /// Returns all that `$expand` names.
    pub(super) fn expansions(&self) -> Vec<Expansion> {
        self.options.expand.iter().chain(&self.related).cloned().collect()
    }

    /// Whether `$expand` names what the operation does not expand itself, in the answer or within
    /// what it has expanded.
    pub(super) fn expands_further(&self) -> bool {
        !self.related.is_empty() || self.options.expand.iter().any(|own| !own.options.expand.is_empty())
    }

    /// Returns `@odata.context` of the response.
    pub(super) fn context(&self) -> String {
        let expansions = self.expansions();
        let expanded = expansions.iter().map(|expansion| format!("{}()", expansion.property));
        let shown = match &self.options.select {
            Some(selected) => Some(selected.iter().cloned().chain(expanded).collect::<Vec<_>>()),
            None if expansions.is_empty() => None,
            None => Some(expanded.collect()),
        };
        self.target.context(self.edm, &self.root, shown.as_deref()).unwrap_or_default()
    }

    /// The address of what follows the first `skipped` entities of a collection within the entity
    /// `id` of this answer.
    pub(crate) fn address_within(&self, id: &str, collection: &str, skipped: usize) -> String {
        let path = self.target.canonical_path.as_str();
        let above = if path.ends_with(')') { path.rsplit_once('(').map_or(path, |(above, _)| above) } else { path };
        format!("{}/{above}('{id}')/{collection}?$skip={skipped}", self.root)
    }

    /// Verifies the skip token and returns the position at which the previous page ended.
    pub(super) fn position(&self) -> Result<Option<String>, GraphError> {
        let verify = |token: &String| self.signer().verify(&self.binding(), token);
        self.options.skiptoken.as_ref().map(verify).transpose()
    }

    /// Verifies the token of a delta function's link and returns what it holds.
    pub(super) fn delta_position(&self) -> Result<Option<String>, GraphError> {
        match &self.options.deltatoken {
            Some(token) => self.signer().verify_delta(&self.binding(), token).map(Some),
            None => self.position(),
        }
    }

    /// Returns the URL of what changes after `position`.
    pub(super) fn delta_link(&self, position: &str) -> String {
        delta_link(&self.address, &self.query, &self.signer().sign(&self.binding(), position))
    }

    /// Returns the URL of the page after `position`.
    pub(super) fn next_link(&self, position: &str) -> String {
        next_link(&self.address, &self.query, &self.signer().sign(&self.binding(), position))
    }

    fn signer(&self) -> &LinkSigner {
        &self.app.signer
    }

    /// Returns the request that a skip token is bound to: tenant, user, path with arguments, filter
    /// and order.
    fn binding(&self) -> String {
        let ResolvedTarget { operation, scope, keys, arguments, .. } = &self.target;
        let user = self.caller.user.as_ref().map(|user| user.id);
        let QueryOptions { filter_text, orderby, .. } = &self.options;
        let tenant = self.tenant();
        format!("{tenant} {} {scope:?} {user:?} {keys:?} {arguments:?} {filter_text:?} {orderby:?}", operation.key)
    }
}

/// Returns whether a value is unchanged. GUIDs are not case-sensitive.
fn is_unchanged(present: &Value, given: &Value) -> bool {
    match (present.as_str(), given.as_str()) {
        (Some(present), Some(given)) if Uuid::parse_str(present).is_ok() => present.eq_ignore_ascii_case(given),
        _ => present == given,
    }
}

/// Returns 400 for a missing required property.
pub(crate) fn required(name: &str) -> GraphError {
    GraphError::bad_request(format!("The property '{name}' is required.")).about(name)
}

/// Returns 400 for a text of too many characters.
pub(crate) fn check_chars(name: &str, text: &str, most: usize) -> Result<(), GraphError> {
    let chars = text.chars().count();
    if chars <= most {
        return Ok(());
    }
    let message = format!("The property '{name}' has {chars} characters; at most {most} are allowed.");
    Err(GraphError::bad_request(message).about(name))
}

/// Serialises a view. Views are plain data with string keys, so this cannot fail.
pub(super) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a view is plain data")
}
