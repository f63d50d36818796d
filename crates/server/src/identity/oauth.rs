//! What the token service is sent and what it refuses with, in the shapes of RFC 6749 and RFC 8628.
//!
//! It refuses to know what any parameter means.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use cloudpc_model::Error;
use http::{HeaderMap, StatusCode, header};
use std::collections::BTreeMap;

/// Largest form that is read.
pub(super) const FORM_BYTES_MAX: usize = 64 * 1024;

/// An error as RFC 6749 §5.2 and RFC 8628 §3.5 shape it, with the numbers that Entra's clients know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OAuthError {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) number: u32,
    pub(super) description: String,
}

impl OAuthError {
    pub(super) fn new(error: &'static str, number: u32, description: impl Into<String>) -> Self {
        let status = match error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self { status, error, number, description: description.into() }
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self::new("invalid_request", 900_144, format!("The form must have the parameter {parameter:?}."))
    }
}

impl From<Error> for OAuthError {
    fn from(error: Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the token service failed");
        Self::new("server_error", 90_033, "The token service could not complete the request; try again later.")
    }
}

/// The parameters of a request, each there once.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a body that must be a form.
    pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, OAuthError> {
        let invalid = |problem: &str| OAuthError::new("invalid_request", 9_002_313, problem);
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim();
        if !content_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(invalid("The body must be a form: application/x-www-form-urlencoded."));
        }
        if body.len() > FORM_BYTES_MAX {
            return Err(invalid("The form is too large."));
        }
        let mut form = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            if form.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(invalid(&format!("The form has the parameter {name:?} twice.")));
            }
        }
        Ok(Self(form))
    }

    /// A parameter; one that is empty counts as left out.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::missing(name))
    }
}

/// Id and secret of a client that authenticates by HTTP Basic (RFC 6749 §2.3.1: both form-encoded first).
pub(super) fn basic_credentials(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(|text| text.into_owned())
    };
    value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Basic"))
        .and_then(|(_, credentials)| BASE64_STANDARD.decode(credentials.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.split_once(':').and_then(|(id, secret)| Some((decoded(id)?, decoded(secret)?))))
        .map(Some)
        .ok_or_else(|| {
            OAuthError::new(
                "invalid_client",
                7_000_216,
                "The Authorization header must be \"Basic\" with id and secret.",
            )
        })
}
