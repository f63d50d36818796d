//! Guarded downloads and deliveries: outbound requests to URLs that a caller chose.
//!
//! A URL is checked twice: as written (`route.rs`, again for every redirect), and by the addresses
//! that its host resolves to, in the resolver of the connection itself, so that a name cannot
//! change between check and connection. Proxy settings of the environment are ignored.
//!
//! Without an allow-list, any `https` URL on the public internet may be fetched. With one, only
//! URLs under its prefixes may be fetched, including private hosts: listing a host means trusting
//! it.

mod address;
mod post;
mod prefix;
mod route;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, LOCATION};
use reqwest::{Certificate, Client, Response, redirect};
use sha2::{Digest, Sha256};
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Host, Url};

use crate::{DriverError, GuestError, Sha256Digest};
pub use post::{ANSWER_BYTES_MAX, POST_TIME_MAX, Post, PostAnswer};
pub(crate) use route::{FetchRoute, HostScope, RouteStep, too_slow};
pub use route::{REDIRECTS_MAX, URL_BYTES_MAX};

/// Limits of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPolicy {
    /// URL prefixes that may be fetched, redirects included; empty: any public https URL. A prefix
    /// that names a private host allows that host.
    ///
    /// A prefix covers its own path and the paths below it by whole segments: `https://a.test/x`
    /// covers `/x`, `/x/` and `/x/y` but not `/xy`; `https://a.test/x/` does not cover `/x`.
    /// Scheme, host and port must be equal. A prefix with a user, a query or a fragment covers
    /// nothing.
    pub allowed_urls: Vec<String>,
    /// Largest file, bytes.
    pub size_bytes_max: u64,
    /// Timeout of the whole download.
    pub time_max: Duration,
}

/// Metadata of a downloaded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Size, bytes.
    pub size_bytes: u64,
    /// SHA-256 digest.
    pub sha256: Sha256Digest,
    /// The first bytes, up to [`HEAD_BYTES`].
    pub head: Vec<u8>,
}

/// The start of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileStart {
    /// Size of the whole file as its server announces it, bytes; none if it does not.
    pub size_bytes: Option<u64>,
    /// The first bytes, up to [`HEAD_BYTES`].
    pub head: Vec<u8>,
}

/// Number of leading bytes kept to detect the file's format.
pub const HEAD_BYTES: usize = 512;

/// Connection timeout.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Read timeout: how long a server may send nothing, before or within its response, before the
/// download fails. Other actions of the machine wait for the download meanwhile.
pub const STALL_TIME_MAX: Duration = Duration::from_secs(30);

/// The `User-Agent` of downloads.
pub(crate) const USER_AGENT: &str = concat!("cloudpc/", env!("CARGO_PKG_VERSION"));

/// A download client that enforces a [`FetchPolicy`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fetcher(Arc<FetcherState>);

#[derive(Debug)]
struct FetcherState {
    extra_roots: Vec<Certificate>,
    /// [`STALL_TIME_MAX`], or less in tests.
    stall_time_max: Duration,
    /// Connects to public addresses only.
    public: OnceLock<Client>,
    /// Connects to any address: for hosts that an allow-list names.
    anywhere: OnceLock<Client>,
}

impl Fetcher {
    /// Creates a client that trusts the certificate authorities of this host and those of the PEM
    /// file `extra_roots`.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn new(extra_roots: Option<&Path>) -> io::Result<Self> {
        let extra_roots = extra_roots.map(read_roots).transpose()?.unwrap_or_default();
        Ok(Self::with(extra_roots, STALL_TIME_MAX))
    }

    fn with(extra_roots: Vec<Certificate>, stall_time_max: Duration) -> Self {
        let (public, anywhere) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(FetcherState { extra_roots, stall_time_max, public, anywhere }))
    }

    /// Returns the client for a scope, created on first use: reading the host's certificate
    /// authorities takes milliseconds, and small containers may have none.
    fn client(&self, scope: HostScope) -> Result<&Client, GuestError> {
        let place = match scope {
            HostScope::Public => &self.0.public,
            HostScope::Anywhere => &self.0.anywhere,
        };
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIME_MAX)
            .read_timeout(self.0.stall_time_max)
            .pool_max_idle_per_host(0)
            .tls_certs_merge(self.0.extra_roots.clone())
            .dns_resolver(Arc::new(scope))
            .user_agent(USER_AGENT)
            .build()
            .map_err(|error| {
                let why = innermost(&error);
                GuestError::Unreachable(format!(
                    "the service cannot download files: {why}; check that the package ca-certificates is installed on its host"
                ))
            })?;
        Ok(place.get_or_init(|| client))
    }

    /// Checks that `policy` allows `url`: its scheme, prefix and host as written. The addresses
    /// that the name resolves to are checked when connecting.
    ///
    /// # Errors
    /// The reason, for the person who gave the URL.
    pub fn check(url: &Url, policy: &FetchPolicy) -> Result<(), String> {
        FetchRoute::from(url, policy).map(drop)
    }

    /// Checks that the host of `url` accepts a connection.
    ///
    /// # Errors
    /// [`GuestError::Unreachable`], also if `policy` forbids the URL.
    pub async fn reach(&self, url: &Url, policy: &FetchPolicy) -> Result<(), GuestError> {
        let route = FetchRoute::from(url, policy).map_err(GuestError::Unreachable)?;
        let port = url.port_or_known_default().expect("http and https have a default port");
        let connect = async {
            let addresses = match url.host().expect("a checked address has a host") {
                Host::Ipv4(address) => vec![SocketAddr::from((address, port))],
                Host::Ipv6(address) => vec![SocketAddr::from((address, port))],
                Host::Domain(name) => resolve(route.scope(), name, port).await?,
            };
            TcpStream::connect(addresses.as_slice()).await.map(drop)
        };
        match timeout(CONNECT_TIME_MAX.min(policy.time_max), connect).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(route.unreachable(&error.to_string())),
            Err(_) => Err(route.unreachable("the connection timed out")),
        }
    }

    /// Downloads and hashes a file; keeps only what [`Fetched`] holds.
    ///
    /// # Errors
    /// [`GuestError::Unreachable`] if no connection was established; [`GuestError::FileNotFound`]
    /// if the connection delivered no acceptable file: an error status, too large, timed out,
    /// stalled, interrupted, or a redirect that `policy` forbids; also if it forbids the URL
    /// itself.
    pub async fn fetch(&self, url: &Url, policy: &FetchPolicy) -> Result<Fetched, GuestError> {
        self.fetch_into(url, policy, &mut tokio::io::sink()).await
    }

    /// Like [`Fetcher::fetch`], but writes the bytes to `sink` as they arrive.
    ///
    /// # Errors
    /// Those of [`Fetcher::fetch`]; [`DriverError::Unavailable`] if writing to `sink` fails.
    pub async fn fetch_into(
        &self,
        url: &Url,
        policy: &FetchPolicy,
        sink: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<Fetched, GuestError> {
        let fetched = async {
            let mut route = FetchRoute::from(url, policy).map_err(GuestError::FileNotFound)?;
            let response = self.follow(&mut route).await?;
            self.keep(&route, response, policy, sink).await
        };
        timeout(policy.time_max, fetched).await.unwrap_or_else(|_| Err(too_slow(url, policy)))
    }

    /// Downloads only the start of a file, of any size.
    ///
    /// # Errors
    /// Those of [`Fetcher::fetch`].
    pub(crate) async fn start(&self, url: &Url, policy: &FetchPolicy) -> Result<FileStart, GuestError> {
        let start = async {
            let mut route = FetchRoute::from(url, policy).map_err(GuestError::FileNotFound)?;
            let mut response = self.follow(&mut route).await?;
            let (size_bytes, mut head) = (response.content_length(), Vec::new());
            while head.len() < HEAD_BYTES
                && let Some(chunk) = response.chunk().await.map_err(|error| self.failure(&route, &error))?
            {
                head.extend_from_slice(&chunk[..chunk.len().min(HEAD_BYTES - head.len())]);
            }
            Ok(FileStart { size_bytes, head })
        };
        timeout(policy.time_max, start).await.unwrap_or_else(|_| Err(too_slow(url, policy)))
    }

    /// Follows redirects to the response that carries the file.
    async fn follow(&self, route: &mut FetchRoute<'_>) -> Result<Response, GuestError> {
        loop {
            let client = self.client(route.scope())?;
            // The digest must be that of the bytes as served, so no compression is accepted.
            let request = client.get(route.url().clone()).header(ACCEPT_ENCODING, "identity");
            let response = request.send().await.map_err(|error| self.failure(route, &error))?;
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            match route.follow(response.status().as_u16(), location)? {
                RouteStep::File => return Ok(response),
                RouteStep::Redirect => {}
            }
        }
    }

    async fn keep(
        &self,
        route: &FetchRoute<'_>,
        mut response: Response,
        policy: &FetchPolicy,
        sink: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<Fetched, GuestError> {
        if response.content_length().is_some_and(|length| length > policy.size_bytes_max) {
            return Err(route.too_large());
        }
        let (mut size_bytes, mut hasher, mut head) = (0, Sha256::new(), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(route, &error))? {
            size_bytes += chunk.len() as u64;
            if size_bytes > policy.size_bytes_max {
                return Err(route.too_large());
            }
            hasher.update(&chunk);
            sink.write_all(&chunk).await.map_err(|error| DriverError::Unavailable(error.to_string()))?;
            let wanted = chunk.len().min(HEAD_BYTES - head.len());
            head.extend_from_slice(&chunk[..wanted]);
        }
        sink.flush().await.map_err(|error| DriverError::Unavailable(error.to_string()))?;
        Ok(Fetched { size_bytes, sha256: hasher.finalize().into(), head })
    }

    /// Converts a connection or transfer error.
    fn failure(&self, route: &FetchRoute<'_>, error: &reqwest::Error) -> GuestError {
        match error {
            error if error.is_connect() => route.unreachable(&innermost(error)),
            error if error.is_timeout() => route.stalled(self.0.stall_time_max),
            error => route.interrupted(&innermost(error)),
        }
    }
}

/// Resolves a name and returns its allowed addresses.
async fn resolve(scope: HostScope, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((name, port)).await;
    let found = found.map_err(|error| scope.unresolved(name, &error.to_string())).map(Vec::from_iter);
    found.and_then(|all| scope.allowed(name, &all)).map_err(io::Error::other)
}

impl Resolve for HostScope {
    fn resolve(&self, name: Name) -> Resolving {
        let scope = *self;
        Box::pin(async move {
            let addresses = resolve(scope, name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Returns the innermost cause, which is the most specific; the outer ones repeat the URL, query
/// included.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn read_roots(path: &Path) -> io::Result<Vec<Certificate>> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
    let roots = Certificate::from_pem_bundle(&std::fs::read(path)?).map_err(|error| wrong(error.to_string()))?;
    if roots.is_empty() {
        return Err(wrong("the file holds no certificate".into()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
