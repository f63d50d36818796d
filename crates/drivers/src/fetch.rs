//! Guarded downloads: outbound requests to addresses that a caller chose.

use std::time::Duration;

/// What a download may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPolicy {
    /// URL prefixes that may be fetched, redirects included; empty: any public https address. A prefix that names a private host allows that host.
    pub allowed_urls: Vec<String>,
    /// Largest file, bytes.
    pub size_bytes_max: u64,
    /// Longest time for the whole download.
    pub time_max: Duration,
}

/// The client that obeys a [`FetchPolicy`].
#[derive(Debug)]
pub struct Fetcher {}
