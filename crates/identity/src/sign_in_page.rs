//! What the pages for sign-in have in common.

use axum::response::Response;
use http::StatusCode;

use super::REFRESH_LIFETIME;
use super::delegated::Scopes;
use super::html::escaped;
use super::sign_in::SignInRefusal;

/// Returns the status and message of a refusal.
pub(super) fn explain(refusal: SignInRefusal) -> (StatusCode, String) {
    match refusal {
        SignInRefusal::Code => (
            StatusCode::BAD_REQUEST,
            "The code is unknown, expired or already used. Check the code, or request a new one on your device.".into(),
        ),
        SignInRefusal::NameOrPassword => (
            StatusCode::FORBIDDEN,
            "The user name or password is wrong, or there were too many attempts. Check both, or try again in 15 minutes.".into(),
        ),
        SignInRefusal::TooMany(after) => {
            let seconds = after.as_secs();
            let when = if seconds < 60 { format!("{seconds} seconds") } else { format!("{} minutes", seconds / 60) };
            (StatusCode::TOO_MANY_REQUESTS, format!("Too many sign-in attempts. Try again in {when}."))
        }
        SignInRefusal::Service => {
            (StatusCode::SERVICE_UNAVAILABLE, "The service cannot check the sign-in at the moment. Try again later.".into())
        }
    }
}

/// Returns what the client can do after the sign-in, one line for each permission.
pub(super) fn permission_lines(scopes: &Scopes) -> Vec<String> {
    let mut lines = vec!["see your name and user name".to_owned()];
    match &scopes.all {
        Some(_) => lines.push("use every permission that both you and this client have".to_owned()),
        None => lines.extend(scopes.permissions.iter().map(|(name, _)| format!("use your permission {name}"))),
    }
    if scopes.offline {
        let days = REFRESH_LIFETIME.as_secs() / (24 * 3600);
        lines.push(format!("stay signed in for {days} days after each use"));
    }
    lines
}

/// Returns a paragraph that tells what went wrong; nothing if nothing did.
pub(super) fn alert(problem: &str) -> String {
    if problem.is_empty() { String::new() } else { format!("<p role=\"alert\">{}</p>", escaped(problem)) }
}

/// Returns a page for sign-in, whose forms may be sent to `form_action`.
pub(super) fn html(status: StatusCode, form_action: &str, content: &str) -> Response {
    const STYLE: &str = "body{font:1.1em sans-serif;max-width:26em;margin:4em auto;padding:0 1em}label{display:block;margin:1em 0}input{display:block;width:100%;font:inherit}[role=alert]{color:#a00}";
    let content = format!("<style>{STYLE}</style><h1>Sign in</h1>{content}");
    let policy = format!("style-src 'unsafe-inline'; form-action {form_action}");
    super::html::page(status, "Sign in to cloudpc", &policy, &content)
}
