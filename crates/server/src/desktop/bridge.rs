//! `/desktop/{ticket}/screen`: the WebSocket of a page, and the bytes between it and the screen.
//!
//! A browser lets any page open a WebSocket to anywhere and sends cookies along, so whose page it is, is checked here.

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::{Bytes, BytesMut};
use cloudpc_drivers::Display;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::{COOKIE, Closed};
use crate::app::App;
use crate::html::cookie;
use crate::request::BaseAddress;

/// Screens that are looked at at the same time.
pub const BRIDGES_MAX: usize = 128;

/// Longest message from a browser. The longest that noVNC sends is a text that somebody pastes.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// How often a browser is asked whether it is there. It answers by itself.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long a browser may say nothing at all, not even that it is there.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Most bytes of a screen in one message.
const CHUNK_BYTES: usize = 64 * 1024;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/desktop/{ticket}/screen", get(open))
}

async fn open(
    State(app): State<App>,
    Extension(base): Extension<BaseAddress>,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if headers.get(header::ORIGIN).is_none_or(|origin| *origin != *base.0) {
        return refuse(StatusCode::FORBIDDEN, "The page that asks is not ours.");
    }
    let key = cookie(&headers, COOKIE).and_then(|key| app.desktops.keys.redeem(key)).filter(|key| key.ticket == ticket);
    let Some(key) = key else {
        return refuse(StatusCode::FORBIDDEN, "Only the page that a ticket has opened may look, and once.");
    };
    let Ok(place) = Arc::clone(&app.desktops.places).try_acquire_owned() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "Too many screens are looked at; try again later.");
    };
    let display = match super::enter(&app, &key.admission).await {
        Ok((_, display)) => display,
        Err(Closed::Gone) => return refuse(StatusCode::NOT_FOUND, "The machine is not there any more."),
        Err(Closed::Store | Closed::Driver(_)) => {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "The screen cannot be reached now.");
        }
    };
    let (cloud_pc_id, actor) = (key.admission.cloud_pc_id, key.admission.actor);
    let (open, stop) = (app.desktops.bridges.token(), app.desktops.stop.clone());
    upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX).on_upgrade(async move |socket| {
        tracing::info!(%cloud_pc_id, app = actor.app_name, user = actor.user_principal_name, "a desktop is opened");
        carry(socket, display, &stop).await;
        tracing::info!(%cloud_pc_id, "a desktop is closed");
        drop((place, open));
    })
}

fn refuse(status: StatusCode, problem: &'static str) -> Response {
    (status, problem).into_response()
}

/// Carries bytes both ways until either side ends or the service stops, and says so to the browser.
async fn carry(socket: WebSocket, display: Box<dyn Display>, stop: &CancellationToken) {
    let (mut to_browser, from_browser) = socket.split();
    let (from_screen, to_screen) = tokio::io::split(display);
    let (code, reason) = tokio::select! {
        reason = type_and_point(from_browser, to_screen) => reason,
        reason = show(from_screen, &mut to_browser) => reason,
        () = stop.cancelled() => (close_code::AWAY, "the service stops"),
    };
    let _ = to_browser.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

/// Why a bridge has ended.
type Ended = (u16, &'static str);

async fn type_and_point(mut from_browser: SplitStream<WebSocket>, mut to_screen: impl AsyncWrite + Unpin) -> Ended {
    loop {
        let Ok(message) = tokio::time::timeout(SILENCE_MAX, from_browser.next()).await else {
            return (close_code::POLICY, "nothing was heard for too long");
        };
        match message {
            Some(Ok(Message::Binary(bytes))) => {
                if to_screen.write_all(&bytes).await.is_err() {
                    return (close_code::NORMAL, "the screen has ended");
                }
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Text(_))) => return (close_code::UNSUPPORTED, "a screen takes bytes, not text"),
            Some(Err(_)) => return (close_code::PROTOCOL, "the message is too long or broken"),
            Some(Ok(Message::Close(_))) | None => return (close_code::NORMAL, "closed"),
        }
    }
}

async fn show(mut from_screen: impl AsyncRead + Unpin, to_browser: &mut SplitSink<WebSocket, Message>) -> Ended {
    let mut pings = tokio::time::interval(PING_INTERVAL);
    let mut chunk = BytesMut::new();
    loop {
        chunk.reserve(CHUNK_BYTES);
        let message = tokio::select! {
            read = from_screen.read_buf(&mut chunk) => match read {
                Ok(0) | Err(_) => return (close_code::NORMAL, "the screen has ended"),
                Ok(_) => Message::Binary(chunk.split().freeze()),
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
        };
        if to_browser.send(message).await.is_err() {
            return (close_code::NORMAL, "the browser has gone");
        }
    }
}
