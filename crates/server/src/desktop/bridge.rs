//! `/desktop/{ticket}/screen`: the WebSocket of a page, bridged to the machine's screen.
//!
//! Browsers let any page open a WebSocket to any server and send cookies with it, so the page's
//! origin is checked here. Bytes from a caller who controls the machine are copied unchanged; those
//! from a view-only caller pass a filter.

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::{Bytes, BytesMut};
use cloudpc_drivers::Display;
use cloudpc_identity::html::cookie;
use cloudpc_model::{AuditEntry, AuditResource, AuditVerb, ResourceType};
use cloudpc_store::StoreError;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use super::places::DesktopPlace;
use super::rfb::ViewOnlyFilter;
use super::session::DesktopSession;
use super::{COOKIE, DesktopAdmission, DesktopEntry, OpenError};
use crate::app::App;
use crate::request::{BaseAddress, Peer, RequestIds};

/// Size limit of a message from a browser. The longest messages that noVNC sends hold pasted text.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Interval of pings to a browser, which answers them automatically.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Time without any message or pong after which a browser is disconnected.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Interval at which the permissions of an open desktop's caller are checked again. Changes made by
/// this process take effect at once; the interval is for expired outside tokens, reassigned
/// machines, and changes made elsewhere.
pub const RIGHTS_AGE_MAX: Duration = Duration::from_secs(30);

/// Size limit of a message to a browser.
const CHUNK_BYTES: usize = 64 * 1024;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/desktop/{ticket}/screen", get(open))
}

async fn open(
    State(app): State<App>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
    peer: Option<Extension<Peer>>,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if headers.get(header::ORIGIN).is_none_or(|origin| *origin != *base.0) {
        return refusal(StatusCode::FORBIDDEN, "The page's origin is not this service.").into_response();
    }
    let request = OpeningRequest { request_id: ids.request_id, peer: peer.map(|Extension(peer)| peer) };
    // Subscribed before anything is checked, so that a change in between closes the desktop as soon
    // as it is open.
    let (changes, user_access) = (app.identity.watch(), app.store.user_access_changes());
    let Opened { admission, view_only, place, display, session } = match admit(&app, &request, &ticket, &headers).await
    {
        Ok(opened) => opened,
        Err(refusal) => return refusal.into_response(),
    };
    let open = app.desktops.bridges.token();
    upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX).on_upgrade(async move |socket| {
        let (cloud_pc_id, actor) = (admission.cloud_pc_id, admission.caller.actor());
        let (app_name, user) = (actor.app_name, actor.user_principal_name);
        tracing::info!(%cloud_pc_id, app = app_name, user, view_only, "desktop opened");
        Bridge { app, admission, view_only, changes, user_access, session }.run(socket, display).await;
        tracing::info!(%cloud_pc_id, "desktop closed");
        drop((place, open));
    })
}

/// The request that opens a desktop, for the audit log.
struct OpeningRequest {
    request_id: Arc<str>,
    peer: Option<Peer>,
}

/// A desktop that is authorized and audited.
struct Opened {
    admission: DesktopAdmission,
    view_only: bool,
    place: DesktopPlace,
    display: Box<dyn Display>,
    /// The record of the connection; none while somebody only looks on.
    session: Option<DesktopSession>,
}

/// Status and reason of a refused WebSocket.
type BridgeRefusal = (StatusCode, String);

/// Redeems the key of a page, checks its access and writes the audit row.
async fn admit(
    app: &App,
    request: &OpeningRequest,
    ticket: &str,
    headers: &HeaderMap,
) -> Result<Opened, BridgeRefusal> {
    let admission = match cookie(headers, COOKIE) {
        Some(key) => app.desktops.tickets.open_screen(ticket, key).await.map_err(|error| store_failed(&error))?,
        None => None,
    };
    let admission = admission.ok_or_else(|| {
        refusal(
            StatusCode::FORBIDDEN,
            "The key of this page is missing, was already used or has expired. Request a new URL.",
        )
    })?;
    let entry = super::check(app, &admission).await.map_err(|closed| explain(&closed))?;
    let view_only = entry.view_only;
    let place =
        app.desktops.places.take(admission.holder(view_only)).map_err(|full| (full.status(), full.to_string()))?;
    let display = super::display(app, &admission).await.map_err(|closed| explain(&closed))?;
    let row = audit_row(app, request, &admission, &entry);
    app.store.write("desktop.open", move |tx| tx.audit_insert(&row)).await.map_err(|error| store_failed(&error))?;
    let session = match view_only {
        true => None,
        false => DesktopSession::begin(app, &admission).await.map_err(|closed| explain(&closed))?,
    };
    Ok(Opened { admission, view_only, place, display, session })
}

fn audit_row(app: &App, request: &OpeningRequest, admission: &DesktopAdmission, entry: &DesktopEntry) -> AuditEntry {
    let (tenant, actor) = (admission.caller.tenant_id, admission.caller.actor_at(request.peer));
    let resource = AuditResource::new(ResourceType::CloudPc, admission.cloud_pc_id).named(&entry.name);
    AuditEntry::new(tenant, app.clock.now(), actor, AuditVerb::OpenDesktop, resource)
        .by_request(&request.request_id)
        .detail("mode", if entry.view_only { "viewOnly" } else { "control" })
}

fn explain(closed: &OpenError) -> BridgeRefusal {
    match closed {
        OpenError::Gone => {
            refusal(StatusCode::NOT_FOUND, "The Cloud PC no longer exists or is assigned to another user.")
        }
        OpenError::Taken(why) => refusal(StatusCode::CONFLICT, why),
        OpenError::Withdrawn => refusal(StatusCode::FORBIDDEN, WITHDRAWN),
        OpenError::Restricted => refusal(StatusCode::FORBIDDEN, super::RESTRICTED),
        OpenError::Store | OpenError::Driver(_) => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "The screen is not reachable at the moment. Request a new URL and try again.",
        ),
    }
}

fn store_failed(error: &StoreError) -> BridgeRefusal {
    tracing::warn!(%error, "opening a desktop failed");
    refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "The service cannot open desktops at the moment. Request a new URL and try again.",
    )
}

fn refusal(status: StatusCode, reason: &str) -> BridgeRefusal {
    (status, reason.to_owned())
}

/// An open desktop.
struct Bridge {
    app: App,
    admission: DesktopAdmission,
    view_only: bool,
    /// Signals that the caller may have lost permissions.
    changes: watch::Receiver<u64>,
    /// Signals that users may have lost access to Cloud PCs.
    user_access: watch::Receiver<()>,
    /// The record of the connection; none while somebody only looks on.
    session: Option<DesktopSession>,
}

impl Bridge {
    /// Copies bytes in both directions until one side closes, the caller loses access or the
    /// service shuts down, and sends the browser the reason.
    async fn run(mut self, socket: WebSocket, display: Box<dyn Display>) {
        let filter = self.view_only.then(ViewOnlyFilter::default);
        let stop = self.app.desktops.stop.clone();
        let (mut to_browser, from_browser) = socket.split();
        let (from_screen, to_screen) = tokio::io::split(display);
        let (code, reason) = tokio::select! {
                    reason = copy_to_screen(from_browser, to_screen, filter) => reason,
        reason = copy_to_browser(from_screen, &mut to_browser) => reason,
                    reason = self.until_withdrawn() => reason,
                    () = stop.cancelled() => (close_code::AWAY, "the service is shutting down".into()),
                };
        if let Some(session) = self.session.take() {
            session.end(&self.app).await;
        }
        let _ = to_browser.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    }

    /// Returns when the caller has less access than the desktop was opened with.
    async fn until_withdrawn(&mut self) -> BridgeEnd {
        loop {
            // The senders live as long as the server.
            tokio::select! {
                _ = self.changes.changed() => {}
                _ = self.user_access.changed() => {}
                () = tokio::time::sleep(RIGHTS_AGE_MAX) => {}
            }
            if let Some(session) = &self.session {
                session.seen(&self.app).await;
            }
            match super::check(&self.app, &self.admission).await {
                Ok(entry) if self.view_only || !entry.view_only => {}
                Ok(_) | Err(OpenError::Withdrawn) => return (close_code::POLICY, WITHDRAWN.into()),
                Err(OpenError::Restricted) => return (close_code::POLICY, super::RESTRICTED.into()),
                Err(OpenError::Gone | OpenError::Taken(_)) => {
                    return (close_code::POLICY, "the Cloud PC no longer exists or is assigned to another user".into());
                }
                Err(OpenError::Store | OpenError::Driver(_)) => {
                    return (close_code::ERROR, "the service cannot check your permissions at the moment".into());
                }
            }
        }
    }
}

/// Reason when the caller has lost the permission.
const WITHDRAWN: &str = "your permission to open this desktop was revoked or has expired";

/// Reason when the machine stopped or QEMU closed the connection.
const SCREEN_ENDED: &str = "the machine closed the connection";

/// WebSocket close code and reason.
type BridgeEnd = (u16, String);

/// Copies messages from the browser to the screen, through a filter if there is one.
async fn copy_to_screen(
    mut from_browser: SplitStream<WebSocket>,
    mut to_screen: impl AsyncWrite + Unpin,
    mut filter: Option<ViewOnlyFilter>,
) -> BridgeEnd {
    let mut passed = BytesMut::new();
    loop {
        let Ok(message) = tokio::time::timeout(SILENCE_MAX, from_browser.next()).await else {
            return (close_code::POLICY, "the browser timed out".into());
        };
        match message {
            Some(Ok(Message::Binary(bytes))) => {
                let bytes = match &mut filter {
                    None => bytes,
                    Some(filter) => {
                        if let Err(error) = filter.filter(&bytes, &mut passed) {
                            return (close_code::PROTOCOL, error.to_string());
                        }
                        passed.split().freeze()
                    }
                };
                if to_screen.write_all(&bytes).await.is_err() {
                    return (close_code::NORMAL, SCREEN_ENDED.into());
                }
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Text(_))) => {
                return (close_code::UNSUPPORTED, "expected binary messages, not text".into());
            }
            Some(Err(_)) => return (close_code::PROTOCOL, "the message is too long or malformed".into()),
            Some(Ok(Message::Close(_))) | None => return (close_code::NORMAL, "closed".into()),
        }
    }
}

/// Copies bytes from the screen to the browser, and pings it.
async fn copy_to_browser(
    mut from_screen: impl AsyncRead + Unpin,
    to_browser: &mut SplitSink<WebSocket, Message>,
) -> BridgeEnd {
    let mut pings = tokio::time::interval(PING_INTERVAL);
    let mut chunk = BytesMut::new();
    loop {
        chunk.reserve(CHUNK_BYTES);
        let message = tokio::select! {
            read = from_screen.read_buf(&mut chunk) => match read {
                Ok(0) | Err(_) => return (close_code::NORMAL, SCREEN_ENDED.into()),
                Ok(_) => Message::Binary(chunk.split().freeze()),
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
        };
        if to_browser.send(message).await.is_err() {
            return (close_code::NORMAL, "the browser disconnected".into());
        }
    }
}
