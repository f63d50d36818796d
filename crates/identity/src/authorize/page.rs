//! The page `/{tenant}/oauth2/v2.0/authorize`: a form with the requested permissions, user name and
//! password, whose response is a redirect to the client.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Form, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::fmt::Write as _;
use std::sync::Arc;

use super::{AuthorizationError, AuthorizationParameters, AuthorizationRequest, Redirect, ResponseMode};
use crate::delegated::Scopes;
use crate::endpoints::peer_of;
use crate::html::{cookie, escaped};
use crate::oauth::OAuthError;
use crate::request::{BaseAddress, Peer, RequestIds};
use crate::sign_in::{SignIn, SignInRefusal, SignInTarget};
use crate::sign_in_page::{alert, explain, html, permission_lines};
use crate::{Identity, random_text};

/// The cookie that holds the anti-forgery token of the form.
const COOKIE: &str = "cloudpc-authorize";

/// Characters of a path segment that are not percent-encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The fields of the form: the parameters again, and what the person entered.
#[derive(Deserialize)]
struct AuthorizationForm {
    #[serde(flatten)]
    parameters: AuthorizationParameters,
    #[serde(default)]
    user_name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    form_token: String,
    /// Set if the button to decline was pressed.
    decline: Option<String>,
}

/// What the page shows.
struct Page<'a> {
    tenant: &'a str,
    parameters: &'a AuthorizationParameters,
    request: &'a AuthorizationRequest,
    redirect: &'a Redirect,
    scopes: &'a Scopes,
    refusal: Option<SignInRefusal>,
}

/// Returns the routes of the page.
pub(crate) fn routes() -> Router<Arc<Identity>> {
    Router::new().route("/{tenant}/oauth2/v2.0/authorize", get(show_page).post(sign_in))
}

async fn show_page(
    State(identity): State<Arc<Identity>>,
    Path(tenant): Path<String>,
    Extension(base): Extension<BaseAddress>,
    Query(parameters): Query<AuthorizationParameters>,
) -> Response {
    let code = random_text(identity.rng.as_ref());
    match identity.authorization_request(&tenant, &parameters, &code).await {
        Ok((request, redirect, scopes)) => {
            let page = Page {
                tenant: &tenant,
                parameters: &parameters,
                request: &request,
                redirect: &redirect,
                scopes: &scopes,
                refusal: None,
            };
            page.response(&identity, &base)
        }
        Err(error) => error.response(&identity),
    }
}

async fn sign_in(
    State(identity): State<Arc<Identity>>,
    Path(tenant): Path<String>,
    Extension(base): Extension<BaseAddress>,
    Extension(ids): Extension<RequestIds>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Form(form): Form<AuthorizationForm>,
) -> Response {
    // The form and the cookie hold the same token. Another site can submit a form here, but can
    // neither read nor set the cookie.
    if form.form_token.is_empty() || cookie(&headers, COOKIE) != Some(form.form_token.as_str()) {
        let problem = "The form has expired or was not sent from this page. Start the sign-in again in your program.";
        return html(StatusCode::FORBIDDEN, "'none'", &alert(problem));
    }
    let code = random_text(identity.rng.as_ref());
    let (request, redirect, scopes) = match identity.authorization_request(&tenant, &form.parameters, &code).await {
        Ok(valid) => valid,
        Err(error) => return error.response(&identity),
    };
    if form.decline.is_some() {
        let error = OAuthError::new("access_denied", 65_004, "The user declined to sign in.");
        return AuthorizationError::Redirect(Box::new(redirect), error).response(&identity);
    }
    let signed_in = identity
        .sign_in(SignIn {
            peer: peer_of(peer),
            request_id: &ids.request_id,
            target: SignInTarget::Redirect(request.clone()),
            user_name: &form.user_name,
            password: &form.password,
        })
        .await;
    match signed_in {
        Ok(_) => redirect.response(&identity, &[("code", &code)]),
        Err(refusal) => {
            let page = Page {
                tenant: &tenant,
                parameters: &form.parameters,
                request: &request,
                redirect: &redirect,
                scopes: &scopes,
                refusal: Some(refusal),
            };
            page.response(&identity, &base)
        }
    }
}

impl Page<'_> {
    fn response(&self, identity: &Identity, base: &BaseAddress) -> Response {
        let (status, problem) = self.refusal.map_or((StatusCode::OK, String::new()), explain);
        let form_token = random_text(identity.rng.as_ref());
        let mut hidden = String::new();
        for (name, value) in self.parameters.fields().into_iter().chain([("form_token", form_token.as_str())]) {
            let _ = write!(hidden, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value));
        }
        let asks: String =
            permission_lines(self.scopes).iter().map(|line| format!("<li>{}</li>", escaped(line))).collect();
        let content = format!(
            "{problem}<p>If you sign in, {client} will be able to:</p><ul>{asks}</ul>\
             <form method=\"post\" action=\"/{tenant}/oauth2/v2.0/authorize\">{hidden}\
             <label>User name <input name=\"user_name\" value=\"{hint}\" required autocomplete=\"username\"></label>\
             <label>Password <input name=\"password\" type=\"password\" required autocomplete=\"current-password\"></label>\
             <button>Sign in</button> <button name=\"decline\" value=\"yes\" formnovalidate>Decline</button></form>\
             <p>Sign in only if you have just started the sign-in yourself in a program on this computer.</p>",
            problem = alert(&problem),
            client = escaped(&self.request.client_name),
            tenant = utf8_percent_encode(self.tenant, SEGMENT),
            hint = escaped(&self.parameters.login_hint),
        );
        // Browsers apply the policy of a form to the redirect that follows it, too.
        let target = format!("'self' {}", self.redirect.url.origin().ascii_serialization());
        let mut response = html(status, &target, &content);
        let secure = if base.0.starts_with("https:") { "; Secure" } else { "" };
        let cookie = format!("{COOKIE}={form_token}; Path=/; HttpOnly; SameSite=Strict{secure}");
        let cookie = HeaderValue::try_from(cookie).expect("the token is base64");
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        if let Some(SignInRefusal::TooMany(after)) = self.refusal {
            response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().into());
        }
        response
    }
}

impl AuthorizationError {
    fn response(&self, identity: &Identity) -> Response {
        match self {
            Self::Page(error) => {
                html(error.status, "'none'", &alert(&format!("AADSTS{}: {}", error.number, error.description)))
            }
            Self::Redirect(redirect, error) => {
                let description = format!("AADSTS{}: {}", error.number, error.description);
                redirect.response(identity, &[("error", error.error), ("error_description", &description)])
            }
        }
    }
}

impl Redirect {
    /// Returns the response that sends the browser to the client with these parameters.
    fn response(&self, identity: &Identity, parameters: &[(&str, &str)]) -> Response {
        let state = Some(("state", self.state.as_str())).filter(|(_, state)| !state.is_empty());
        let parameters: Vec<(&str, &str)> = parameters.iter().copied().chain(state).collect();
        let mut url = self.url.clone();
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
        match self.mode {
            ResponseMode::Query => url.set_query(Some(&encoded)),
            ResponseMode::Fragment => url.set_fragment(Some(&encoded)),
            ResponseMode::FormPost => return self.form(&random_text(identity.rng.as_ref()), &parameters),
        }
        let headers = [(header::LOCATION, url.as_str()), (header::CACHE_CONTROL, "no-store")];
        (StatusCode::SEE_OTHER, headers).into_response()
    }

    /// Returns a page that posts the parameters to the client. `nonce` allows its script.
    fn form(&self, nonce: &str, parameters: &[(&str, &str)]) -> Response {
        let mut hidden = String::new();
        for (name, value) in parameters {
            let _ = write!(hidden, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value));
        }
        let content = format!(
            "<form method=\"post\" action=\"{}\">{hidden}<button>Continue</button></form>\
             <script nonce=\"{nonce}\">document.forms[0].submit()</script>",
            escaped(self.url.as_str()),
        );
        let policy = format!("script-src 'nonce-{nonce}'; form-action {}", self.url.origin().ascii_serialization());
        crate::html::page(StatusCode::OK, "Sign in to cloudpc", &policy, &content)
    }
}
