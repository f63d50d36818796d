//! The page `/devicelogin`, as a person sees it in a browser.

use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Form, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use std::sync::Arc;

use super::Refusal;
use crate::html::{cookie, escaped};
use crate::identity::{Identity, random_text};
use crate::request::BaseAddress;

/// Holds the form's token, so that only this page's own form is taken.
const COOKIE: &str = "cloudpc-devicelogin";

/// What the page is asked for.
#[derive(Deserialize)]
struct PageQuery {
    #[serde(default)]
    user_code: String,
}

/// What the page's form sends. What is left out is wrong in the same way as what is left empty.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SignIn {
    user_code: String,
    user_name: String,
    password: String,
    form_token: String,
    /// There if the button to decline was pressed.
    decline: Option<String>,
}

/// The routes.
pub(in crate::identity) fn routes() -> Router<Arc<Identity>> {
    Router::new().route("/devicelogin", get(show_page).post(sign_in))
}

async fn show_page(
    State(identity): State<Arc<Identity>>,
    Extension(base): Extension<BaseAddress>,
    Query(query): Query<PageQuery>,
) -> Response {
    page(&identity, &base, StatusCode::OK, &query.user_code, "")
}

async fn sign_in(
    State(identity): State<Arc<Identity>>,
    Extension(base): Extension<BaseAddress>,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Response {
    // The form carries what the page's cookie holds. Another site can send a form here, but can neither read nor set that cookie.
    if form.form_token.is_empty() || cookie(&headers, COOKIE) != Some(form.form_token.as_str()) {
        let problem = "The form has expired or was not sent from this page. Please try again.";
        return page(&identity, &base, StatusCode::FORBIDDEN, &form.user_code, problem);
    }
    let code: String = form.user_code.chars().filter(char::is_ascii_alphanumeric).collect();
    let code = code.to_ascii_uppercase();
    let ended = if form.decline.is_some() {
        identity.decline(&code).map(|()| "You have declined. Nobody was signed in; you may close this page.".into())
    } else {
        let client = identity.sign_in(&code, &form.user_name, &form.password).await;
        client.map(|client| format!("You have signed in to {client}. You may close this page."))
    };
    match ended {
        Ok(text) => html(StatusCode::OK, &format!("<p>{}</p>", escaped(&text))),
        Err(refusal) => {
            let (status, problem) = explain(refusal);
            page(&identity, &base, status, &code, problem)
        }
    }
}

/// What a person is told.
fn explain(refusal: Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::Code => (StatusCode::BAD_REQUEST, "That code is not known or has expired."),
        Refusal::NameOrPassword => (StatusCode::FORBIDDEN, "The user name or the password is wrong."),
        Refusal::TooManyFailures => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many wrong passwords for this user; try again in a quarter of an hour.",
        ),
        Refusal::Service => (StatusCode::SERVICE_UNAVAILABLE, "The service does not answer; try again later."),
    }
}

fn page(identity: &Identity, base: &BaseAddress, status: StatusCode, user_code: &str, problem: &str) -> Response {
    let form_token = random_text(identity.rng.as_ref());
    let problem =
        if problem.is_empty() { String::new() } else { format!("<p role=\"alert\">{}</p>", escaped(problem)) };
    let mut response = html(
        status,
        &format!(
            "{problem}<form method=\"post\" action=\"/devicelogin\">\
             <label>Code <input name=\"user_code\" value=\"{code}\" required autocomplete=\"off\"></label>\
             <label>User name <input name=\"user_name\" required autocomplete=\"username\"></label>\
             <label>Password <input name=\"password\" type=\"password\" required autocomplete=\"current-password\"></label>\
             <input type=\"hidden\" name=\"form_token\" value=\"{form_token}\"><button>Sign in</button> \
             <button name=\"decline\" value=\"yes\" formnovalidate>I did not ask for this</button></form>\
             <p>Enter a code only if you have asked for it yourself, on a device of yours.</p>",
            code = escaped(user_code),
        ),
    );
    let secure = if base.0.starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={form_token}; Path=/devicelogin; HttpOnly; SameSite=Strict{secure}");
    let cookie = HeaderValue::try_from(cookie).expect("the token is base64");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

fn html(status: StatusCode, content: &str) -> Response {
    const STYLE: &str = "body{font:1.1em sans-serif;max-width:26em;margin:4em auto;padding:0 1em}label{display:block;margin:1em 0}input{display:block;width:100%;font:inherit}[role=alert]{color:#a00}";
    let content = format!("<style>{STYLE}</style><h1>Sign in</h1>{content}");
    crate::html::page(status, "Sign in to cloudpc", "style-src 'unsafe-inline'; form-action 'self'", &content)
}
