//! The edge: sockets, TLS, limits, request ids.

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
