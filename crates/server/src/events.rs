//! `GET /_cloudpc/events`: the change feed of the caller's tenant as server-sent events.
//!
//! ```text
//! id: 3b9f1c55d0a7e642-1041
//! event: cloudPC
//! data: {"type":"cloudPC","id":"…","parent":null,"name":"Ada's desk","change":"updated","time":"…"}
//! ```
//!
//! A stream reads the feed from its position in small pages, whenever a commit has changed the
//! tenant, so that a slow client holds no memory. It shows the types whose lists the caller may
//! read, and its token and roles are checked before each event. This module refuses to know how
//! changes get into the feed.

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use cloudpc_graph::GraphError;
use cloudpc_graph::resolve::Scope;
use cloudpc_model::{Change, ChangeKind, DocumentKey, DocumentType, EntityType, SnapshotId, TenantId};
use cloudpc_store::{FeedEntry, FeedPosition, Reader, ResyncRequired, StoreError};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::caller::Caller;
use crate::config::Fidelity;
use crate::documents::{self, Verb};
use crate::edge::pool::{Owner, Pool, PoolFull, Taken};
use crate::operations;
use crate::pipeline::{self, Problem, access};
use crate::rbac::{self, EffectivePermissions, Requirement, ScopeTags};
use crate::request::RequestIds;

/// Limit of open streams.
pub const EVENT_STREAMS_MAX: usize = 256;
/// Share of each tenant.
pub const TENANT_EVENT_STREAMS_MAX: usize = EVENT_STREAMS_MAX / 2;
/// Share of each caller.
pub const CALLER_EVENT_STREAMS_MAX: usize = 16;
/// Most changes that a stream reads at once.
pub const EVENT_PAGE_MAX: usize = 100;
/// Interval at which a quiet stream sends its position and checks its token again.
pub const EVENT_HEARTBEAT: Duration = Duration::from_secs(15);
/// Least time between two reads of a stream that has sent everything, so that many commits in a row
/// cost one read.
const READ_PAUSE: Duration = Duration::from_millis(50);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx to pass events on at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The open streams of a server.
pub struct EventStreams {
    places: Arc<Pool>,
    stop: CancellationToken,
}

impl Default for EventStreams {
    fn default() -> Self {
        let places = Pool::new(EVENT_STREAMS_MAX, TENANT_EVENT_STREAMS_MAX, CALLER_EVENT_STREAMS_MAX);
        Self { places, stop: CancellationToken::new() }
    }
}

impl EventStreams {
    /// Ends all streams, because the service shuts down.
    pub fn close(&self) {
        self.stop.cancel();
    }
}

/// Returns the route of the streams.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/events", get(answer))
}

/// The query of a stream.
#[derive(Deserialize)]
struct Options {
    /// The position to begin after; `Last-Event-ID` counts first.
    after: Option<String>,
}

async fn answer(State(app): State<App>, Query(options): Query<Options>, request: Request<Body>) -> Response {
    let (head, _) = request.into_parts();
    let ids = head.extensions.get::<RequestIds>().expect("the edge gives every request its ids");
    let mut authenticated = None;
    let open = async {
        let caller = app.caller(&head).await?;
        authenticated = Some(Arc::clone(&caller));
        EventStream::open(&app, caller, &head.headers, options.after.as_deref()).await
    };
    let mut response = match open.await {
        Ok(events) => {
            let events = stream::unfold(events, EventStream::next);
            let mut response = Sse::new(events).into_response();
            response.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
            response
        }
        Err(problem) => pipeline::refuse(&app, ids, &problem.into_graph("events", &ids.request_id)),
    };
    if let Some(caller) = authenticated {
        // For the edge's log.
        response.extensions_mut().insert::<Arc<Caller>>(caller);
    }
    response
}

/// The types whose changes the permissions of a caller allow to see: those whose lists the caller
/// may read.
fn readable(caller: &Caller, fidelity: Fidelity) -> HashSet<EntityType> {
    let may_read = |entity_type: &EntityType| {
        let row = list_operation(*entity_type).and_then(operations::row);
        row.is_some_and(|row| access::check(row.access, caller, &Scope::Tenant, fidelity).is_ok())
    };
    EntityType::all().filter(may_read).collect()
}

/// Returns a change as the roles of a caller let them see it; none if they do not. Of an entity
/// that was deleted, a caller with scope tags learns the id alone, because its tags are gone.
pub(crate) fn seen_by(
    reader: &Reader<'_>,
    tenant: TenantId,
    permissions: &EffectivePermissions,
    change: Change,
) -> Result<Option<Change>, StoreError> {
    let Ok(tags) = rbac::check(permissions, requirement_of(change.entity_type)) else { return Ok(None) };
    if tags.is_all() {
        return Ok(Some(change));
    }
    if change.kind == ChangeKind::Deleted {
        return Ok(Some(Change { name: String::new(), ..change }));
    }
    Ok(is_reached(reader, tenant, &tags, &change)?.then_some(change))
}

/// Whether a right with these tags reaches an entity that was not deleted.
fn is_reached(reader: &Reader<'_>, tenant: TenantId, tags: &ScopeTags, change: &Change) -> Result<bool, StoreError> {
    let cloud_pc = |id: &str| match id.parse() {
        Ok(id) => reader.cloud_pc(tenant, id)?.map_or(Ok(false), |found| tags.reaches_cloud_pc(reader, &found)),
        Err(_) => Ok(false),
    };
    let document = |key: &DocumentKey| match (reader.document(tenant, key)?, documents::kind(key.kind)) {
        (Some(found), Some(kind)) => documents::reaches(tags, reader, kind, &found),
        _ => Ok(false),
    };
    match change.entity_type {
        EntityType::CloudPc => cloud_pc(&change.id),
        EntityType::Snapshot => match reader.snapshot(tenant, &SnapshotId(change.id.clone()))? {
            Some(snapshot) => cloud_pc(&snapshot.cloud_pc_id.to_string()),
            None => Ok(false),
        },
        // An action is on a Cloud PC, a device image or a connection.
        EntityType::Action => {
            let kinds = [DocumentType::CloudPcDeviceImage, DocumentType::CloudPcOnPremisesConnection];
            for kind in kinds {
                if document(&DocumentKey::new(kind, &change.parent))? {
                    return Ok(true);
                }
            }
            cloud_pc(&change.parent)
        }
        EntityType::Document(of) => document(&DocumentKey::within(of, &change.parent, &change.id)),
        EntityType::User
        | EntityType::Group
        | EntityType::SubscribedSku
        | EntityType::ExternalPartner
        | EntityType::BulkAction => Ok(false),
    }
}

/// Checks that the roles of a caller allow to read any of these types.
async fn check_roles(app: &App, caller: &Arc<Caller>, types: HashSet<EntityType>) -> Result<(), Problem> {
    if !rbac::is_limited(caller) {
        return Ok(());
    }
    let request = Arc::clone(caller);
    let read = move |reader: &Reader<'_>| EffectivePermissions::of(reader, &request);
    let permissions = app.store.on_behalf_of(caller.read_caller()).read(read).await?;
    if types.into_iter().any(|of| rbac::check(&permissions, requirement_of(of)).is_ok()) {
        return Ok(());
    }
    rbac::check(&permissions, requirement_of(EntityType::CloudPc))?;
    Ok(())
}

/// What role-based access control requires to see the changes of a type.
pub(crate) fn requirement_of(entity_type: EntityType) -> Option<&'static Requirement> {
    list_operation(entity_type).and_then(rbac::requirement)
}

/// The operation that reads the entities of a type.
fn list_operation(entity_type: EntityType) -> Option<&'static str> {
    Some(match entity_type {
        EntityType::User => "users.list",
        EntityType::Group => "groups.list",
        EntityType::SubscribedSku => "subscribedSku.list",
        EntityType::ExternalPartner => "cloudPcExternalPartner.list",
        EntityType::CloudPc => "cloudPC.list",
        EntityType::Snapshot => "cloudPcSnapshot.list",
        EntityType::BulkAction => "cloudPcBulkAction.list",
        EntityType::Action => "cloudPC.actions",
        EntityType::Document(of) => {
            let reads = |binding: documents::Binding| matches!(binding.verb, Verb::List | Verb::Get);
            documents::keys().find(|(_, binding)| binding.kind.of == of && reads(*binding))?.0
        }
    })
}

/// Returns the error for a position that the feed does not reach back to.
pub(crate) fn resync_required() -> GraphError {
    let message = "The change feed does not reach back to this position. Read everything anew, and follow the feed from \
                   a new position.";
    GraphError::new(410, "resyncRequired", message)
}

/// A change as clients see it.
#[derive(Serialize)]
struct EventData<'a> {
    #[serde(rename = "type")]
    entity_type: &'static str,
    id: &'a str,
    parent: Option<&'a str>,
    name: Option<&'a str>,
    change: &'static str,
    time: String,
}

impl<'a> EventData<'a> {
    fn new(FeedEntry { change, at, .. }: &'a FeedEntry) -> Self {
        let filled = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        Self {
            entity_type: change.entity_type.name(),
            id: &change.id,
            parent: filled(&change.parent),
            name: filled(&change.name),
            change: match change.kind {
                ChangeKind::Created => "created",
                ChangeKind::Updated => "updated",
                ChangeKind::Deleted => "deleted",
            },
            time: at.to_string(),
        }
    }
}

/// An open stream.
struct EventStream {
    app: App,
    /// The token, which is checked again.
    authorization: HeaderMap,
    tenant: TenantId,
    /// The position of the last event, or where the stream began.
    position: FeedPosition,
    /// Read, but not sent yet.
    page: VecDeque<FeedEntry>,
    heads: watch::Receiver<HashMap<TenantId, FeedPosition>>,
    rights: watch::Receiver<u64>,
    /// When the position is sent next.
    heartbeat_at: Instant,
    _place: Taken,
}

impl EventStream {
    async fn open(app: &App, caller: Arc<Caller>, headers: &HeaderMap, after: Option<&str>) -> Result<Self, Problem> {
        let types = readable(&caller, app.fidelity);
        if types.is_empty() {
            let message = "The token lacks a permission to read any type of entity, for example CloudPC.Read.All.";
            return Err(GraphError::new(403, "Forbidden", message).into());
        }
        check_roles(app, &caller, types).await?;
        let place = app.events.places.take(Owner::of(&caller), 1).map_err(too_many_streams)?;
        // Subscribed before anything is read, so that no change is missed.
        let (heads, rights) = (app.store.change_heads(), app.identity.watch());
        let last = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default()).filter(|id| !id.is_empty());
        let after = last.or(after).map(position).transpose()?;
        let tenant = caller.tenant_id;
        let store = app.store.on_behalf_of(caller.read_caller());
        let position = store.read(move |reader| match after {
            None => Ok(Ok(reader.change_head(tenant)?)),
            Some(after) => Ok::<_, StoreError>(reader.changes_after(tenant, after, 1)?.map(|_| after)),
        });
        let position = position.await?.map_err(|ResyncRequired| resync_required())?;
        let token = headers.get(header::AUTHORIZATION);
        Ok(Self {
            app: app.clone(),
            authorization: token.map(|token| (header::AUTHORIZATION, token.clone())).into_iter().collect(),
            tenant,
            position,
            page: VecDeque::new(),
            heads,
            rights,
            heartbeat_at: Instant::now(),
            _place: place,
        })
    }

    /// Waits for the next event. The stream ends with the token, with the service, when the feed
    /// begins anew, and when the store cannot be read.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let stop = self.app.events.stop.clone();
        let event = stop.run_until_cancelled(self.event()).await??;
        Some((Ok(event), self))
    }

    async fn event(&mut self) -> Option<Event> {
        loop {
            // A token that has expired or was revoked shows nothing more.
            let caller = self.app.identity.authenticate(&self.authorization).await.ok()?;
            let types = readable(&caller, self.app.fidelity);
            while let Some(entry) = self.page.pop_front() {
                self.position.number = entry.number;
                if types.contains(&entry.change.entity_type)
                    && let Some(entry) = self.seen(&caller, entry).await?
                {
                    return Some(self.render(&entry));
                }
            }
            if Instant::now() >= self.heartbeat_at {
                // The id alone changes a client's position and is no event to it.
                self.heartbeat_at = Instant::now() + EVENT_HEARTBEAT;
                return Some(Event::default().id(self.position.to_string()).comment(""));
            }
            self.heads.mark_unchanged();
            self.rights.mark_unchanged();
            self.page = self.read(&caller).await?;
            if self.page.is_empty() {
                self.wait().await;
            }
        }
    }

    /// Returns a change as the caller may see it now; `Some(None)` if they may not, and none if the
    /// stream has to end.
    async fn seen(&self, caller: &Arc<Caller>, entry: FeedEntry) -> Option<Option<FeedEntry>> {
        if !rbac::is_limited(caller) {
            return Some(Some(entry));
        }
        let (tenant, request) = (self.tenant, Arc::clone(caller));
        let store = self.app.store.on_behalf_of(caller.read_caller());
        let read = move |reader: &Reader<'_>| {
            let permissions = EffectivePermissions::of(reader, &request)?;
            let change = seen_by(reader, tenant, &permissions, entry.change)?;
            Ok::<_, StoreError>(change.map(|change| FeedEntry { change, ..entry }))
        };
        match store.read(read).await {
            Ok(seen) => Some(seen),
            Err(error) => {
                tracing::warn!(%error, "reading the rights of a caller failed; an event stream ends");
                None
            }
        }
    }

    fn render(&mut self, entry: &FeedEntry) -> Event {
        self.heartbeat_at = Instant::now() + EVENT_HEARTBEAT;
        let data = serde_json::to_string(&EventData::new(entry)).expect("texts have a JSON form");
        Event::default().id(self.position.to_string()).event(entry.change.entity_type.name()).data(data)
    }

    /// Reads the next page; none if the stream has to end.
    async fn read(&self, caller: &Caller) -> Option<VecDeque<FeedEntry>> {
        let (tenant, position) = (self.tenant, self.position);
        let store = self.app.store.on_behalf_of(caller.read_caller());
        match store.read(move |reader| reader.changes_after(tenant, position, EVENT_PAGE_MAX)).await {
            Ok(Ok(page)) => Some(page.into()),
            // The client connects again, and learns what is wrong.
            Ok(Err(ResyncRequired)) => None,
            Err(error) => {
                tracing::warn!(%error, "reading the change feed failed; an event stream ends");
                None
            }
        }
    }

    /// Waits until the tenant's feed may have moved on, the token may have become invalid, or a
    /// heartbeat is due.
    async fn wait(&mut self) {
        let (tenant, position) = (self.tenant, self.position);
        let has_moved = |heads: &HashMap<_, _>| heads.get(&tenant).is_some_and(|head| *head != position);
        let moved = async {
            tokio::time::sleep(READ_PAUSE).await;
            let _ = self.heads.wait_for(has_moved).await;
        };
        tokio::select! {
            () = moved => {}
            _ = self.rights.changed() => {}
            () = tokio::time::sleep_until(self.heartbeat_at) => {}
        }
    }
}

fn position(text: &str) -> Result<FeedPosition, GraphError> {
    text.parse().map_err(|_| {
        let message = format!("'{text}' is not the id of an event. Send the id of an event of this service, or none.");
        GraphError::bad_request(message).about("after")
    })
}

fn too_many_streams(full: PoolFull) -> GraphError {
    match full {
        PoolFull::Share => GraphError::new(
            429,
            "TooManyRequests",
            format!("This client has {CALLER_EVENT_STREAMS_MAX} open event streams. Close one, then try again."),
        ),
        PoolFull::Tenant => {
            GraphError::new(503, "ServiceUnavailable", "Too many open event streams in this tenant. Try again later.")
        }
        PoolFull::Pool => GraphError::new(503, "ServiceUnavailable", "Too many open event streams. Try again later."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_feed_has_an_operation_that_reads_it() {
        for entity_type in EntityType::all() {
            let key = list_operation(entity_type).unwrap_or_else(|| panic!("nothing reads {}", entity_type.name()));
            assert!(operations::row(key).is_some(), "{key}");
        }
    }
}
