//! Request metadata that the edge passes to the handlers in the extensions of a request.

use cloudpc_graph::GraphError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::caller::Caller;

pub use cloudpc_identity::request::{
    BaseAddress, CLIENT_REQUEST_ID, CLIENT_REQUEST_ID_BYTES_MAX, Peer, REQUEST_ID, RequestIds,
};

/// The name of the requested operation in the log. The handler inserts it into the extensions of
/// the response, together with the [`Caller`](crate::caller::Caller) as an `Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRoute(pub String);

/// The caller of a request to a path that takes a token, or why the token was rejected. The edge
/// inserts it into the extensions of the request, and discards the body if the token was rejected.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Result<Arc<Caller>, GraphError>);

/// Marks a HEAD request, which is handled as GET but must not change any state.
#[derive(Clone, Copy, Debug)]
pub struct WithoutBody;

/// Whether a POST changes nothing, so that it can be cancelled when its client disconnects. The
/// edge inserts it into the extensions of the request; the handler sets it.
#[derive(Clone, Debug, Default)]
pub struct OnlyReads(Arc<AtomicBool>);

impl OnlyReads {
    /// Sets whether the request only reads.
    pub fn set(&self, only_reads: bool) {
        self.0.store(only_reads, Ordering::Relaxed);
    }

    /// Returns whether the request only reads; false until set.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
