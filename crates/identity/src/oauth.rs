//! Requests and errors of the token service, in the formats of RFC 6749 and RFC 8628.
//!
//! This module refuses to know what a parameter means.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use cloudpc_model::Error;
use http::{HeaderMap, StatusCode, header};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::request::{BaseAddress, Peer};

/// Size limit of a form.
pub(super) const FORM_BYTES_MAX: usize = 64 * 1024;

/// A request to an endpoint of the token service.
pub(super) struct TokenRequest<'a> {
    pub(super) base: &'a BaseAddress,
    /// The peer whose limits the request counts against.
    pub(super) peer: Peer,
    pub(super) request_id: &'a str,
    /// The tenant segment of the path.
    pub(super) tenant: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
}

/// An error as in RFC 6749 §5.2 and RFC 8628 §3.5, with Entra's error number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OAuthError {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) number: u32,
    pub(super) description: String,
    /// Time after which the client can retry.
    pub(super) retry_after: Option<Duration>,
}

impl OAuthError {
    pub(super) fn new(error: &'static str, number: u32, description: impl Into<String>) -> Self {
        let status = match error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self { status, error, number, description: description.into(), retry_after: None }
    }

    /// Returns a 429 error: the client has reached a limit, and can retry after `retry_after`.
    pub(super) fn too_many(retry_after: Duration, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(retry_after),
            ..Self::new("temporarily_unavailable", 90_055, description)
        }
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self::new("invalid_request", 900_144, format!("The form lacks the parameter {parameter:?}."))
    }
}

impl From<Error> for OAuthError {
    fn from(error: Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a request to the token service failed");
        Self::new("server_error", 90_033, "The token service could not complete the request. Try again later.")
    }
}

/// The parameters of a form, each with one value. Names are case-insensitive, because some clients
/// send `Grant_Type`.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Parses a body as a form.
    pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, OAuthError> {
        let invalid = |problem: &str| OAuthError::new("invalid_request", 9_002_313, problem);
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim();
        if !content_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(invalid("The body is not a form. Send it as application/x-www-form-urlencoded."));
        }
        if body.len() > FORM_BYTES_MAX {
            return Err(invalid(&format!("The form has {} bytes. The maximum is {FORM_BYTES_MAX}.", body.len())));
        }
        let mut form = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            let name = name.to_ascii_lowercase();
            if form.contains_key(&name) {
                return Err(invalid(&format!("The form has the parameter {name:?} more than once. Send it once.")));
            }
            form.insert(name, value.into_owned());
        }
        Ok(Self(form))
    }

    /// Returns a parameter; an empty one counts as missing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns a required parameter.
    pub(super) fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::missing(name))
    }
}

/// Returns the id and secret of a client that authenticates by HTTP Basic (RFC 6749 §2.3.1: both
/// are form-encoded first).
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
                "Invalid Authorization header. Expected \"Basic\" with a client id and secret.",
            )
        })
}
