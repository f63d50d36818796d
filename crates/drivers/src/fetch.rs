//! Guarded downloads: outbound requests to addresses that a caller chose.

use std::path::Path;
use std::time::Duration;
use url::Url;

use crate::{GuestError, Sha256Digest};

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

/// What was downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Its first bytes, up to [`HEAD_BYTES`].
    pub head: Vec<u8>,
}

/// How many first bytes of a file are kept to tell its format.
pub const HEAD_BYTES: usize = 512;

/// The client that obeys a [`FetchPolicy`].
#[derive(Clone, Debug)]
pub struct Fetcher {}

impl Fetcher {
    /// A client that trusts public authorities and, besides, those of the PEM file `extra_roots`.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn new(_extra_roots: Option<&Path>) -> std::io::Result<Self> {
        unimplemented!()
    }

    /// Whether `policy` lets `url` be fetched at all: its scheme, prefix and host as written; what the name resolves to is looked at when connecting.
    ///
    /// # Errors
    /// What is wrong, for the person who gave the address.
    pub fn check(_url: &Url, _policy: &FetchPolicy) -> Result<(), String> {
        unimplemented!()
    }

    /// Whether the host of `url` accepts a connection.
    pub async fn reach(&self, _url: &Url, _policy: &FetchPolicy) -> Result<(), GuestError> {
        unimplemented!()
    }

    /// Downloads and hashes; keeps only what [`Fetched`] holds.
    pub async fn fetch(&self, _url: &Url, _policy: &FetchPolicy) -> Result<Fetched, GuestError> {
        unimplemented!()
    }
}
