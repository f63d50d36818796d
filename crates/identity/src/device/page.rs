//! The page `/devicelogin`: a form for the code, then a form with the requested permissions, user
//! name and password.

use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Form, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use std::sync::Arc;

use super::code_hash;
use crate::endpoints::peer_of;
use crate::html::{cookie, escaped};
use crate::request::{BaseAddress, Peer, RequestIds};
use crate::sign_in::{SignIn, SignInRefusal, SignInTarget};
use crate::sign_in_page::{alert, explain, html, permission_lines};
use crate::{Identity, random_text};

/// The cookie that holds the anti-forgery token of the form.
const COOKIE: &str = "cloudpc-devicelogin";

/// The query of the page.
#[derive(Deserialize)]
struct PageQuery {
    #[serde(default)]
    user_code: String,
}

/// The fields of the form. A missing field counts as empty.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SignInForm {
    user_code: String,
    user_name: String,
    password: String,
    form_token: String,
    /// Set if the button to decline was pressed.
    decline: Option<String>,
}

/// Returns the routes of the page.
pub(crate) fn routes() -> Router<Arc<Identity>> {
    Router::new().route("/devicelogin", get(show_page).post(sign_in))
}

async fn show_page(
    State(identity): State<Arc<Identity>>,
    Extension(base): Extension<BaseAddress>,
    peer: Option<Extension<Peer>>,
    Query(query): Query<PageQuery>,
) -> Response {
    let code = normalized(&query.user_code);
    if code.is_empty() {
        code_page(StatusCode::OK, "", "")
    } else {
        sign_in_page(&identity, &base, peer_of(peer), &code, None).await
    }
}

async fn sign_in(
    State(identity): State<Arc<Identity>>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Form(form): Form<SignInForm>,
) -> Response {
    let code = normalized(&form.user_code);
    // The form and the cookie hold the same token. Another site can submit a form here, but can
    // neither read nor set the cookie.
    if form.form_token.is_empty() || cookie(&headers, COOKIE) != Some(form.form_token.as_str()) {
        let problem = "The form has expired or was not sent from this page. Enter the code again.";
        return code_page(StatusCode::FORBIDDEN, &code, problem);
    }
    let peer = peer_of(peer);
    let ended = if form.decline.is_some() {
        let declined = identity.decline(peer, &code).await;
        declined.map(|()| "You declined the request. Nobody was signed in. You can close this page.".to_owned())
    } else {
        let (user_name, password) = (form.user_name.as_str(), form.password.as_str());
        let target = SignInTarget::DeviceCode(code_hash(&code));
        let sign_in = SignIn { peer, request_id: &ids.request_id, target, user_name, password };
        let client = identity.sign_in(sign_in).await;
        client.map(|client| format!("You are signed in to {client}. You can close this page."))
    };
    match ended {
        Ok(text) => html(StatusCode::OK, "'self'", &format!("<p>{}</p>", escaped(&text))),
        Err(SignInRefusal::NameOrPassword) => {
            sign_in_page(&identity, &base, peer, &code, Some(SignInRefusal::NameOrPassword)).await
        }
        Err(refusal) => refused_page(&code, refusal),
    }
}

/// Normalizes a code: upper case, without blanks and dashes.
fn normalized(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase()
}

fn refused_page(code: &str, refusal: SignInRefusal) -> Response {
    let (status, problem) = explain(refusal);
    let mut response = code_page(status, code, &problem);
    if let SignInRefusal::TooMany(after) = refusal {
        response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().into());
    }
    response
}

/// Returns the page with the form for the code.
fn code_page(status: StatusCode, code: &str, problem: &str) -> Response {
    let content = format!(
        "{problem}<form method=\"get\" action=\"/devicelogin\">\
         <label>Code <input name=\"user_code\" value=\"{code}\" required autocomplete=\"off\"></label>\
         <button>Next</button></form>\
         <p>Enter a code only if you requested it yourself on your own device.</p>",
        problem = alert(problem),
        code = escaped(code),
    );
    html(status, "'self'", &content)
}

/// Returns the page with the requested permissions and the form for user name and password.
async fn sign_in_page(
    identity: &Identity,
    base: &BaseAddress,
    peer: Peer,
    code: &str,
    refusal: Option<SignInRefusal>,
) -> Response {
    let request = match identity.code_request(peer, code).await {
        Ok(request) => request,
        Err(other) => return refused_page(code, refusal.unwrap_or(other)),
    };
    let (status, problem) = refusal.map_or((StatusCode::OK, String::new()), explain);
    let form_token = random_text(identity.rng.as_ref());
    let asks: String =
        permission_lines(&request.scopes).iter().map(|line| format!("<li>{}</li>", escaped(line))).collect();
    let content = format!(
        "{problem}<p>If you sign in with the code {code}, {client} will be able to:</p><ul>{asks}</ul>\
         <form method=\"post\" action=\"/devicelogin\"><input type=\"hidden\" name=\"user_code\" value=\"{code}\">\
         <label>User name <input name=\"user_name\" required autocomplete=\"username\"></label>\
         <label>Password <input name=\"password\" type=\"password\" required autocomplete=\"current-password\"></label>\
         <input type=\"hidden\" name=\"form_token\" value=\"{form_token}\"><button>Sign in</button> \
         <button name=\"decline\" value=\"yes\" formnovalidate>Decline</button></form>\
         <p>Sign in only if you requested the code yourself on your own device.</p>",
        problem = alert(&problem),
        client = escaped(&request.client_name),
        code = escaped(code),
    );
    let mut response = html(status, "'self'", &content);
    let secure = if base.0.starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={form_token}; Path=/devicelogin; HttpOnly; SameSite=Strict{secure}");
    let cookie = HeaderValue::try_from(cookie).expect("the token is base64");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}
