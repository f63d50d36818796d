//! What is known of a request beside its text, handed from the edge to whoever answers.

use cloudpc_model::Rng;
use http::{HeaderMap, HeaderName};
use std::sync::Arc;
use uuid::Uuid;

/// Longest `client-request-id` that is echoed.
pub const CLIENT_REQUEST_ID_BYTES_MAX: usize = 128;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
pub(crate) const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");

/// The ids of a request, in its answer's headers and in every error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestIds {
    /// Ours, a GUID.
    pub request_id: Arc<str>,
    /// The client's own, from the header `client-request-id` if it is a sane one; else ours.
    pub client_request_id: Arc<str>,
}

/// Scheme and authority that the client used, e.g. `https://127.0.0.1:8366`, so that links lead back the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseAddress(pub Arc<str>);

/// What was asked for, as the log names it. Whoever answers puts it into the extensions of the answer, and the [`Caller`](crate::caller::Caller) as an `Arc` beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route(pub String);

impl RequestIds {
    /// Those of a request with these headers.
    pub(crate) fn of(headers: &HeaderMap, rng: &dyn Rng) -> Self {
        let request_id: Arc<str> = Arc::from(&*rng.uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        let is_sane = |id: &&str| {
            (1..=CLIENT_REQUEST_ID_BYTES_MAX).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.{}".contains(&b))
        };
        let own = headers.get(CLIENT_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_sane);
        Self { client_request_id: own.map_or_else(|| Arc::clone(&request_id), Arc::from), request_id }
    }
}

/// The request was HEAD, which is answered as GET: what GET would change must stay as it is.
#[derive(Clone, Copy, Debug)]
pub struct WithoutBody;
