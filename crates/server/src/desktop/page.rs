//! `/desktop/{ticket}`: the page that a ticket opens, and its scripts and styles.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use cloudpc_drivers::DriverError;
use cloudpc_identity::html::{escaped, page};
use http::{HeaderValue, StatusCode, header};
use tower_http::services::ServeDir;

use super::{COOKIE, DesktopEntry, OpenError};
use crate::app::App;
use crate::request::{BaseAddress, WithoutBody};

const SCRIPT: &str = include_str!("page/page.js");
const STYLE: &str = include_str!("page/page.css");

/// A file that must exist in noVNC's folder.
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
    // HEAD does not redeem the ticket: programs that preview links send it.
    if without_body.is_some() {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")]).into_response();
    }
    let (admission, key) = match app.desktops.tickets.open_page(&ticket).await {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            return refuse(
                StatusCode::FORBIDDEN,
                "This URL was already opened, has expired or is invalid. Request a new one.",
            );
        }
        Err(error) => {
            tracing::warn!(%error, "redeeming a desktop ticket failed");
            return explain(&OpenError::Store);
        }
    };
    let entry = match super::check(&app, &admission).await {
        Ok(entry) => entry,
        Err(closed) => return explain(&closed),
    };
    // Held while the connection to the screen is tested. A browser does not tell a page why its
    // WebSocket was refused, so the page reports the reason instead.
    let place = match app.desktops.places.take(admission.holder(entry.view_only)) {
        Ok(place) => place,
        Err(full) => return refuse(full.status(), &full.to_string()),
    };
    if let Err(closed) = super::display(&app, &admission).await {
        return explain(&closed);
    }
    drop(place);
    if !app.desktops.novnc.join(CLIENT).is_file() {
        let folder = app.desktops.novnc.display();
        let problem = format!(
            "noVNC is not installed in {folder} on the server. Install it (on Debian: apt-get install novnc), or set desktop.novnc in the configuration file."
        );
        return refuse(StatusCode::SERVICE_UNAVAILABLE, &problem);
    }
    show(&base, &ticket, &key, &entry)
}

/// Returns the page of a ticket, with the key in a cookie.
fn show(base: &BaseAddress, ticket: &str, key: &str, entry: &DesktopEntry) -> Response {
    let socket = base.0.replacen("http", "ws", 1);
    // noVNC draws the pointer as a data: image.
    let policy =
        format!("script-src 'self'; style-src 'self'; img-src data:; connect-src {socket}; form-action 'none'");
    let mode = if entry.view_only { " data-view-only" } else { "" };
    let content = format!(
        "<link rel=\"stylesheet\" href=\"/desktop/page.css\"><p id=\"state\" role=\"status\">Connecting…</p>\
         <main id=\"screen\"{mode}></main><script type=\"module\" src=\"/desktop/page.js\"></script>"
    );
    let mut response = page(StatusCode::OK, &entry.name, &policy, &content);
    let secure = if base.0.starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={key}; Path=/desktop/{ticket}/screen; HttpOnly; SameSite=Strict{secure}");
    let cookie = HeaderValue::try_from(cookie).expect("valid tickets and keys are base64");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// Returns the page that explains why a desktop was not opened.
fn explain(closed: &OpenError) -> Response {
    match closed {
        OpenError::Gone => {
            refuse(StatusCode::NOT_FOUND, "This Cloud PC no longer exists or is assigned to another user.")
        }
        OpenError::Taken(why) => refuse(StatusCode::CONFLICT, why),
        OpenError::Withdrawn => refuse(
            StatusCode::FORBIDDEN,
            "Your permission to open this desktop was revoked or has expired since the URL was issued.",
        ),
        OpenError::Restricted => refuse(StatusCode::FORBIDDEN, super::RESTRICTED),
        OpenError::Store => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "The service cannot check this URL at the moment. Request a new one and try again.",
        ),
        OpenError::Driver(DriverError::Rejected { message, .. }) => {
            refuse(StatusCode::CONFLICT, &format!("This Cloud PC has no desktop: {message}."))
        }
        OpenError::Driver(DriverError::Conflict(_)) => {
            refuse(StatusCode::CONFLICT, "This Cloud PC is powered off. Power it on and request a new URL.")
        }
        OpenError::Driver(error) => {
            tracing::warn!(%error, "connecting to a screen failed");
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "The screen of this Cloud PC is not reachable at the moment. Request a new URL and try again.",
            )
        }
    }
}

fn refuse(status: StatusCode, problem: &str) -> Response {
    let content = format!(
        "<link rel=\"stylesheet\" href=\"/desktop/page.css\"><p id=\"state\" role=\"alert\">{} A URL is single-use and valid for {} seconds.</p>",
        escaped(problem),
        super::TICKET_TIME_MAX.as_secs(),
    );
    page(status, "Desktop", "style-src 'self'; form-action 'none'", &content).into_response()
}
