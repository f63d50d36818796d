//! What is known of a request beside its text, handed from the edge to whoever answers.

use cloudpc_model::Rng;
use http::{HeaderMap, HeaderName};

/// Longest `client-request-id` that is echoed.
pub const CLIENT_REQUEST_ID_BYTES_MAX: usize = 128;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
pub(crate) const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");

/// The ids of a request, in its answer's headers and in every error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestIds {
    /// Ours, a GUID.
    pub request_id: String,
    /// The client's own, from the header `client-request-id` if it is a sane one; else ours.
    pub client_request_id: String,
}

/// Scheme and authority that the client used, e.g. `https://127.0.0.1:8366`, so that links lead back the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseAddress(pub String);

/// What was asked for, as the log names it. Whoever answers puts it into the extensions of the answer, and the [`Caller`](crate::caller::Caller) as an `Arc` beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route(pub String);

impl RequestIds {
    /// Those of a request with these headers.
    pub(crate) fn of(headers: &HeaderMap, rng: &dyn Rng) -> Self {
        let request_id = rng.uuid().to_string();
        let is_sane = |id: &&str| {
            (1..=CLIENT_REQUEST_ID_BYTES_MAX).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.{}".contains(&b))
        };
        let own = headers.get(CLIENT_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_sane);
        Self { client_request_id: own.unwrap_or(&request_id).to_owned(), request_id }
    }
}

/// The request was HEAD, which is answered as GET: what GET would change must stay as it is.
#[derive(Clone, Copy, Debug)]
pub struct WithoutBody;
