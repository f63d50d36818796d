//! `/desktop/{ticket}`: the page that a ticket opens, and what it loads.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use cloudpc_drivers::DriverError;
use http::{HeaderValue, StatusCode, header};
use tower_http::services::ServeDir;

use super::{COOKIE, Closed, Key};
use crate::app::App;
use crate::html::{escaped, page};
use crate::request::{BaseAddress, WithoutBody};

const SCRIPT: &str = include_str!("page/page.js");
const STYLE: &str = include_str!("page/page.css");

/// What noVNC's folder has to hold.
const CLIENT: &str = "core/rfb.js";

pub(super) fn routes(app: &App) -> Router<App> {
    let part = |name: &str| ServeDir::new(app.desktops.novnc.join(name));
    Router::new()
        .route("/desktop/{ticket}", get(open))
        .route("/desktop/page.js", get(async || ([(header::CONTENT_TYPE, "text/javascript")], SCRIPT)))
        .route("/desktop/page.css", get(async || ([(header::CONTENT_TYPE, "text/css")], STYLE)))
        .nest_service("/desktop/novnc/core", part("core"))
        .nest_service("/desktop/novnc/vendor", part("vendor"))
}

async fn open(
    State(app): State<App>,
    Extension(base): Extension<BaseAddress>,
    without_body: Option<Extension<WithoutBody>>,
    Path(ticket): Path<String>,
) -> Response {
    // Whoever only looks whether something is there, as programs do that show a link to people, does not use the ticket up.
    if without_body.is_some() {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")]).into_response();
    }
    let Some(admission) = app.desktops.tickets.redeem(&ticket) else {
        return refuse(
            StatusCode::FORBIDDEN,
            "This address has been opened before, or has expired, or was never given out.",
        );
    };
    let cloud_pc = match super::enter(&app, &admission).await {
        // The page's own connection comes later.
        Ok((cloud_pc, _)) => cloud_pc,
        Err(closed) => return explain(&closed),
    };
    if !app.desktops.novnc.join(CLIENT).is_file() {
        let folder = app.desktops.novnc.display();
        let problem = format!(
            "noVNC, which shows screens in browsers, is not installed in {folder} on the server. On Debian: apt-get install novnc"
        );
        return refuse(StatusCode::SERVICE_UNAVAILABLE, &problem);
    }
    let Some(key) = app.desktops.keys.issue(Key { ticket: ticket.clone(), admission }) else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "Too many desktops are being opened; try again later.");
    };
    let socket = base.0.replacen("http", "ws", 1);
    // noVNC makes pictures of its own for the pointer.
    let policy =
        format!("script-src 'self'; style-src 'self'; img-src data:; connect-src {socket}; form-action 'none'");
    let content = "<link rel=\"stylesheet\" href=\"/desktop/page.css\"><p id=\"state\" role=\"status\">Connecting…</p>\
                   <main id=\"screen\"></main><script type=\"module\" src=\"/desktop/page.js\"></script>";
    let mut response = page(StatusCode::OK, &cloud_pc, &policy, content);
    let secure = if base.0.starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={key}; Path=/desktop/{ticket}/screen; HttpOnly; SameSite=Strict{secure}");
    let cookie = HeaderValue::try_from(cookie).expect("a ticket that was good, and a key, are base64");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// What a person is told.
fn explain(closed: &Closed) -> Response {
    match closed {
        Closed::Gone => refuse(StatusCode::NOT_FOUND, "This Cloud PC is not there any more."),
        Closed::Store => refuse(StatusCode::SERVICE_UNAVAILABLE, "The service does not answer; try again later."),
        Closed::Driver(DriverError::Rejected { message, .. }) => {
            refuse(StatusCode::CONFLICT, &format!("There is nothing to see here: {message}."))
        }
        Closed::Driver(DriverError::Conflict(_)) => {
            refuse(StatusCode::CONFLICT, "This Cloud PC is powered off. Power it on and ask for a new address.")
        }
        Closed::Driver(error) => {
            tracing::warn!(%error, "open a desktop");
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "The screen of this Cloud PC cannot be reached now; try again later.",
            )
        }
    }
}

fn refuse(status: StatusCode, problem: &str) -> Response {
    let content = format!(
        "<link rel=\"stylesheet\" href=\"/desktop/page.css\"><p id=\"state\" role=\"alert\">{} An address is good for {} seconds, and once.</p>",
        escaped(problem),
        super::TICKET_TIME_MAX.as_secs(),
    );
    page(status, "Desktop", "style-src 'self'; form-action 'none'", &content).into_response()
}
