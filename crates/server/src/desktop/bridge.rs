//! `/desktop/{ticket}/screen`: the WebSocket of a page, and the bytes between it and the screen.
//!
//! A browser lets any page open a WebSocket to anywhere and sends cookies along, so the page's
//! origin is checked here. Bytes of a caller who controls the machine are carried as they are;
//! those of a view-only caller pass a filter first.

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::{Bytes, BytesMut};
use cloudpc_drivers::Display;
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
use super::{COOKIE, DesktopAdmission, DesktopEntry, OpenError};
use crate::app::App;
use crate::html::cookie;
use crate::request::{BaseAddress, Peer, RequestIds};

/// Longest message from a browser. The longest that noVNC sends is a text that somebody pastes.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// How often a browser is asked whether it is there. It answers by itself.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long a browser may say nothing at all, not even that it is there.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long a desktop stays open before the permissions of its caller are checked again. A change
/// that this process makes is noticed at once; this is for the expiry of outside tokens, machines
/// that change hands, and changes made elsewhere.
pub const RIGHTS_AGE_MAX: Duration = Duration::from_secs(30);

/// Most bytes of a screen in one message.
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
        return refusal(StatusCode::FORBIDDEN, "The origin of this page is not this service.").into_response();
    }
    let request = OpeningRequest { request_id: ids.request_id, peer: peer.map(|Extension(peer)| peer) };
    // Before anything is checked: a change that comes meanwhile closes the desktop as soon as it is
    // open.
    let changes = app.identity.watch();
    let Opened { admission, view_only, place, display } = match admit(&app, &request, &ticket, &headers).await {
        Ok(opened) => opened,
        Err(refusal) => return refusal.into_response(),
    };
    let open = app.desktops.bridges.token();
    upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX).on_upgrade(async move |socket| {
        let (cloud_pc_id, actor) = (admission.cloud_pc_id, admission.caller.actor());
        let (app_name, user) = (actor.app_name, actor.user_principal_name);
        tracing::info!(%cloud_pc_id, app = app_name, user, view_only, "desktop opened");
        Bridge { app, admission, view_only, changes }.carry(socket, display).await;
        tracing::info!(%cloud_pc_id, "desktop closed");
        drop((place, open));
    })
}

/// The request that opens a desktop, as the audit log names it.
struct OpeningRequest {
    request_id: Arc<str>,
    peer: Option<Peer>,
}

/// A desktop that may be opened, and its audit row is written.
struct Opened {
    admission: DesktopAdmission,
    view_only: bool,
    place: DesktopPlace,
    display: Box<dyn Display>,
}

/// Status and reason of a WebSocket that is not opened.
type BridgeRefusal = (StatusCode, String);

/// Uses the key of a page up, and checks what it is worth.
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
    let admission = admission
        .ok_or_else(|| refusal(StatusCode::FORBIDDEN, "Only the page that a ticket opened may connect, once."))?;
    let entry = super::check(app, &admission).await.map_err(|closed| explain(&closed))?;
    let view_only = entry.view_only;
    let place =
        app.desktops.places.take(admission.holder(view_only)).map_err(|full| (full.status(), full.to_string()))?;
    let display = super::display(app, &admission).await.map_err(|closed| explain(&closed))?;
    let row = audit_row(app, request, &admission, &entry);
    app.store.write("desktop.open", move |tx| tx.audit_insert(&row)).await.map_err(|error| store_failed(&error))?;
    Ok(Opened { admission, view_only, place, display })
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
        OpenError::Gone => refusal(StatusCode::NOT_FOUND, "The Cloud PC does not exist any more."),
        OpenError::Withdrawn => refusal(StatusCode::FORBIDDEN, WITHDRAWN),
        OpenError::Store | OpenError::Driver(_) => {
            refusal(StatusCode::SERVICE_UNAVAILABLE, "The screen cannot be reached now. Try again later.")
        }
    }
}

fn store_failed(error: &StoreError) -> BridgeRefusal {
    tracing::warn!(%error, "open a desktop");
    refusal(StatusCode::SERVICE_UNAVAILABLE, "The service cannot open desktops now. Try again later.")
}

fn refusal(status: StatusCode, reason: &str) -> BridgeRefusal {
    (status, reason.to_owned())
}

/// An open desktop.
struct Bridge {
    app: App,
    admission: DesktopAdmission,
    view_only: bool,
    /// Tells when the caller may have lost permissions.
    changes: watch::Receiver<u64>,
}

impl Bridge {
    /// Carries bytes both ways until either side ends, the caller may not look any more or the
    /// service stops, and tells the browser why.
    async fn carry(mut self, socket: WebSocket, display: Box<dyn Display>) {
        let filter = self.view_only.then(ViewOnlyFilter::default);
        let stop = self.app.desktops.stop.clone();
        let (mut to_browser, from_browser) = socket.split();
        let (from_screen, to_screen) = tokio::io::split(display);
        let (code, reason) = tokio::select! {
            reason = type_and_point(from_browser, to_screen, filter) => reason,
            reason = show(from_screen, &mut to_browser) => reason,
            reason = self.until_withdrawn() => reason,
            () = stop.cancelled() => (close_code::AWAY, "the service is shutting down".into()),
        };
        let _ = to_browser.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    }

    /// Ends when the desktop is worth less than what it was opened for.
    async fn until_withdrawn(&mut self) -> BridgeEnd {
        loop {
            // The sender lives as long as the server.
            let _ = tokio::time::timeout(RIGHTS_AGE_MAX, self.changes.changed()).await;
            match super::check(&self.app, &self.admission).await {
                Ok(entry) if self.view_only || !entry.view_only => {}
                Ok(_) | Err(OpenError::Withdrawn) => return (close_code::POLICY, WITHDRAWN.into()),
                Err(OpenError::Gone) => return (close_code::POLICY, "the Cloud PC does not exist any more".into()),
                Err(OpenError::Store | OpenError::Driver(_)) => {
                    return (close_code::ERROR, "the service cannot check your permissions".into());
                }
            }
        }
    }
}

/// Why a desktop has no place any more for whoever opened it.
const WITHDRAWN: &str = "the permission to open this desktop was withdrawn or has expired";

/// The machine has stopped, or QEMU has closed the connection.
const SCREEN_ENDED: &str = "the machine closed the connection";

/// Close code and reason of a bridge that has ended.
type BridgeEnd = (u16, String);

/// Carries what the browser sends, through a filter if there is one.
async fn type_and_point(
    mut from_browser: SplitStream<WebSocket>,
    mut to_screen: impl AsyncWrite + Unpin,
    mut filter: Option<ViewOnlyFilter>,
) -> BridgeEnd {
    let mut passed = BytesMut::new();
    loop {
        let Ok(message) = tokio::time::timeout(SILENCE_MAX, from_browser.next()).await else {
            return (close_code::POLICY, "the browser did not answer for too long".into());
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
                return (close_code::UNSUPPORTED, "a screen takes binary messages, not text".into());
            }
            Some(Err(_)) => return (close_code::PROTOCOL, "the message is too long or broken".into()),
            Some(Ok(Message::Close(_))) | None => return (close_code::NORMAL, "closed".into()),
        }
    }
}

async fn show(mut from_screen: impl AsyncRead + Unpin, to_browser: &mut SplitSink<WebSocket, Message>) -> BridgeEnd {
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
