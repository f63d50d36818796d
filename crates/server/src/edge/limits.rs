//! Every limit of the edge, in one place. `docs/operations/limits.md` lists them for operators.
//!
//! What all clients use together has a share for each of them, so that none can use it up: for each
//! caller, or for each peer as long as no token has told who calls. Strangers have pools of their
//! own, so that many of them cannot keep callers out either.

use std::time::Duration;

/// Longest path and query.
pub const URL_BYTES_MAX: usize = 16 * 1024;
/// Largest head of a request.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Longest wait for the head of a request to be complete.
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(10);

/// Largest body of a request with a valid token, as sent.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest body of a request that needs no token, such as a form for the token service.
pub const STRANGER_BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest wait for the body of a request with a valid token to be complete.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// Longest wait for the body of a request that needs no token to be complete.
pub const STRANGER_BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// How much of a refused body is still read: a client that sends everything before it reads would
/// not see the answer.
pub(super) const DRAIN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a refused body is still read.
pub(super) const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes of callers' bodies that are being read or answered.
pub const CALLERS_BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// One tenant's share of them, so that the applications of one tenant leave room for the others.
pub const TENANT_BODIES_BYTES_MAX: usize = CALLERS_BODIES_BYTES_MAX / 2;
/// One caller's share of them.
pub const CALLER_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of strangers' bodies that are being read or answered.
pub const STRANGERS_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// One peer's share of them.
pub const PEER_BODIES_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Requests of callers at the same time, each until its answer has been taken. One whose body is
/// still arriving does not count, or slow clients could keep everybody else out.
pub const CALLERS_REQUESTS_MAX: usize = 1_024;
/// One tenant's share of them.
pub const TENANT_REQUESTS_MAX: usize = CALLERS_REQUESTS_MAX / 2;
/// One caller's share of them.
pub const CALLER_REQUESTS_MAX: usize = 256;
/// Requests for tokens, device codes and the sign-in page at the same time. They have places of
/// their own, so that slow readers of anything else do not keep people from signing in.
pub const SIGN_IN_REQUESTS_MAX: usize = 512;
/// One peer's share of them.
pub const PEER_SIGN_IN_REQUESTS_MAX: usize = 64;
/// Other requests of strangers at the same time; `/healthz` and `/readyz` are not counted.
pub const STRANGERS_REQUESTS_MAX: usize = 512;
/// One peer's share of them.
pub const PEER_REQUESTS_MAX: usize = 128;
/// `Retry-After` of an answer 503.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Connections that are open at the same time on each listener. When all are taken, one without a
/// complete request is closed: the longest unused one of the peer with the most connections.
pub const CONNECTIONS_MAX: usize = 4_096;
/// One peer's share of them. When all are taken, the longest unused one of the peer is closed.
pub const PEER_CONNECTIONS_MAX: usize = 1_024;
/// Longest TLS handshake.
pub(super) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Requests at the same time on one HTTP/2 connection.
pub(super) const STREAMS_MAX: u32 = 128;
/// Requests of one HTTP/2 connection that its client has canceled and that are not cleaned up yet;
/// one with more is closed.
pub(super) const RESETS_MAX: usize = 20;
/// How long a connection may be open without a request; one of HTTP/1.1 must begin its next request
/// within [`HEADER_TIME_MAX`] anyway.
pub(super) const IDLE_TIME_MAX: Duration = Duration::from_mins(2);
/// How long a connection without a request stays open after its client has been told that it ends
/// (GOAWAY).
pub(super) const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);
/// How often a silent HTTP/2 connection is sent a PING; without a reply it is closed.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Pause after the system had no connection to give, e.g. because there are too many open files.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often failures to accept connections are logged.
pub(super) const ACCEPT_LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Largest piece of an answer that is handed to the HTTP library at once.
pub(super) const PIECE_BYTES_MAX: usize = 16 * 1024;
/// Longest time in which a client takes nothing of its connection, or not one piece of a stream of
/// HTTP/2.
pub(super) const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// Slowest rate, in bytes per second, at which a client may take an answer as a whole, after the
/// first [`WRITE_TIME_MAX`].
pub(super) const WRITE_RATE_MIN: u32 = 16 * 1024;

/// How long a browser may reuse the answer to a preflight request.
pub(super) const PREFLIGHT_AGE: Duration = Duration::from_hours(1);

/// The limits of the pools and connections; tests use small ones.
#[derive(Clone, Copy, Debug)]
pub struct EdgeLimits {
    /// See [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// See [`PEER_CONNECTIONS_MAX`].
    pub peer_connections: usize,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self { connections: CONNECTIONS_MAX, peer_connections: PEER_CONNECTIONS_MAX }
    }
}
