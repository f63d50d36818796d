//! All limits of the edge. `docs/operations/limits.md` lists them for operators.
//!
//! Every shared resource has a share for each client, so that no client can exhaust it: for each
//! caller of a valid token, or else for each peer. Requests without a valid token ("strangers")
//! have pools of their own, so that they cannot exhaust those of callers.

use std::time::Duration;

/// Size limit of the path and query.
pub const URL_BYTES_MAX: usize = 16 * 1024;
/// Size limit of a request's head.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Time limit for the head of a request to arrive.
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(10);

/// Size limit of a body with a valid token.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Size limit of a body without a token, such as a form for the token service.
pub const STRANGER_BODY_BYTES_MAX: usize = 64 * 1024;
/// Time limit for a body with a valid token to arrive.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// Time limit for a body without a token to arrive.
pub const STRANGER_BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// How much of a refused body is still read, so that a client that sends everything before it reads
/// sees the response.
pub(super) const DRAIN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a refused body is still read.
pub(super) const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Limit of bytes in callers' bodies that are being read or handled.
pub const CALLERS_BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Share of each tenant, so that the applications of one tenant leave room for the others.
pub const TENANT_BODIES_BYTES_MAX: usize = CALLERS_BODIES_BYTES_MAX / 2;
/// Share of each caller.
pub const CALLER_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Limit of bytes in strangers' bodies that are being read or handled.
pub const STRANGERS_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Share of each peer.
pub const PEER_BODIES_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Limit of callers' concurrent requests, each until its response has been sent. A request whose
/// body is still arriving does not count, or slow clients could exhaust the limit.
pub const CALLERS_REQUESTS_MAX: usize = 1_024;
/// Share of each tenant.
pub const TENANT_REQUESTS_MAX: usize = CALLERS_REQUESTS_MAX / 2;
/// Share of each caller.
pub const CALLER_REQUESTS_MAX: usize = 256;
/// Limit of concurrent requests for tokens, device codes and the sign-in page. They have a pool of
/// their own, so that slow clients of other paths cannot prevent sign-ins.
pub const SIGN_IN_REQUESTS_MAX: usize = 512;
/// Share of each peer.
pub const PEER_SIGN_IN_REQUESTS_MAX: usize = 64;
/// Limit of strangers' other concurrent requests; `/healthz` and `/readyz` do not count.
pub const STRANGERS_REQUESTS_MAX: usize = 512;
/// Share of each peer.
pub const PEER_REQUESTS_MAX: usize = 128;
/// `Retry-After` of a 503 response.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Limit of open connections of each listener. Beyond it, a connection without a complete request
/// is evicted: the longest unused one of the peer with the most connections.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Share of each peer. Beyond it, the peer's longest unused connection is evicted.
pub const PEER_CONNECTIONS_MAX: usize = 1_024;
/// Time limit of a TLS handshake.
pub(super) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Limit of concurrent requests on an HTTP/2 connection.
pub(super) const STREAMS_MAX: u32 = 128;
/// Limit of canceled requests of an HTTP/2 connection that are not cleaned up yet; beyond it, the
/// connection is closed.
pub(super) const RESETS_MAX: usize = 20;
/// Time without a request after which a connection is closed; with HTTP/1.1, the next request must
/// also begin within [`HEADER_TIME_MAX`].
pub(super) const IDLE_TIME_MAX: Duration = Duration::from_mins(2);
/// Time that a connection without a request stays open after GOAWAY.
pub(super) const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);
/// Interval of PINGs on a silent HTTP/2 connection; without a reply, the connection is closed.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Pause after accepting a connection failed, e.g. because too many files are open.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Interval at which failures to accept connections are logged.
pub(super) const ACCEPT_LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Size limit of a piece of a response that is passed to the HTTP library at once.
pub(super) const PIECE_BYTES_MAX: usize = 16 * 1024;
/// Time limit for a client to read anything from its connection, and to read a piece of an HTTP/2
/// stream.
pub(super) const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// Minimum rate, in bytes per second, at which a client must read a response on average, after the
/// first [`WRITE_TIME_MAX`].
pub(super) const WRITE_RATE_MIN: u32 = 16 * 1024;

/// Limit of open connections of the forward proxy, tunnels included. Beyond it, a connection gets
/// 503.
pub const PROXY_CONNECTIONS_MAX: usize = 1_024;
/// Share of each peer.
pub const PROXY_PEER_CONNECTIONS_MAX: usize = 256;
/// Time limit for a CONNECT request to arrive.
pub const PROXY_HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Size limit of a CONNECT request.
pub const PROXY_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Time limit for the connection to the other side of a tunnel.
pub const PROXY_CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Time for which a browser may cache the response to a preflight request.
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
