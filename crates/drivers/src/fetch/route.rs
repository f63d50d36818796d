//! The rules for following a download from URL to URL, independent of who sends the requests.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use url::{Host, Url};

use super::address::is_public;
use super::{FetchPolicy, prefix};
use crate::GuestError;

/// Maximum number of redirects.
pub const REDIRECTS_MAX: usize = 5;

/// Longest URL, bytes.
pub const URL_BYTES_MAX: usize = 8 << 10;

/// Advice for a host that is not public.
const ALLOW: &str = "to allow the host, add a URL prefix that names it to the allowed URLs";

/// The addresses that a host may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostScope {
    Public,
    Anywhere,
}

/// The progress of one download through its redirects.
pub struct FetchRoute<'a> {
    policy: &'a FetchPolicy,
    url: Url,
    scope: HostScope,
    redirects: usize,
}

/// The meaning of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteStep {
    /// The response carries the file.
    File,
    /// Another URL must be requested.
    Redirect,
}

impl<'a> FetchRoute<'a> {
    /// Starts a route at `url`.
    ///
    /// # Errors
    /// The reason why `policy` forbids the URL, for the person who gave it.
    pub fn from(url: &Url, policy: &'a FetchPolicy) -> Result<Self, String> {
        let scope = scope(url, policy)?;
        Ok(Self { policy, url: url.clone(), scope, redirects: 0 })
    }

    /// Returns the URL to request next.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the addresses that the URL's host may have.
    pub fn scope(&self) -> HostScope {
        self.scope
    }

    /// Follows a response: its status, and its `Location`, which may be relative.
    ///
    /// # Errors
    /// [`GuestError::FileNotFound`]: the status is not a success, or the redirect has no valid
    /// target, exceeds the limit, or leads to a URL that the policy forbids.
    pub fn follow(&mut self, status: u16, location: Option<&str>) -> Result<RouteStep, GuestError> {
        match status {
            200 => return Ok(RouteStep::File),
            301 | 302 | 303 | 307 | 308 => {}
            other => {
                let status =
                    reqwest::StatusCode::from_u16(other).map_or_else(|_| other.to_string(), |known| known.to_string());
                return Err(GuestError::FileNotFound(format!("{} returned status {status}", shown(&self.url))));
            }
        }
        let Some(next) = location.and_then(|location| self.url.join(location).ok()) else {
            return Err(GuestError::FileNotFound(format!("{} redirects without a valid Location", shown(&self.url))));
        };
        if self.redirects == REDIRECTS_MAX {
            let shown = shown(&self.url);
            return Err(GuestError::FileNotFound(format!("{shown} exceeds the limit of {REDIRECTS_MAX} redirects")));
        }
        self.scope = scope(&next, self.policy).map_err(GuestError::FileNotFound)?;
        self.url = next;
        self.redirects += 1;
        Ok(RouteStep::Redirect)
    }

    /// The error for a failed connection.
    pub fn unreachable(&self, why: &str) -> GuestError {
        GuestError::Unreachable(format!("{} cannot be reached: {why}", shown(&self.url)))
    }

    /// The error for a connection that did not deliver the whole file.
    pub fn interrupted(&self, why: &str) -> GuestError {
        GuestError::FileNotFound(format!("downloading {} failed: {why}", shown(&self.url)))
    }

    /// The error for a server that sent nothing for this long.
    pub fn stalled(&self, time: Duration) -> GuestError {
        self.interrupted(&format!("the server sent nothing for {} seconds", time.as_secs_f32()))
    }

    /// The error for a file that is larger than the policy allows.
    pub fn too_large(&self) -> GuestError {
        let max = self.policy.size_bytes_max;
        GuestError::FileNotFound(format!("{} exceeds the limit of {max} bytes", shown(&self.url)))
    }
}

/// The error for a download that exceeded the policy's time.
pub fn too_slow(url: &Url, policy: &FetchPolicy) -> GuestError {
    let seconds = policy.time_max.as_secs_f32();
    GuestError::FileNotFound(format!("{} timed out after {seconds} seconds", shown(url)))
}

impl HostScope {
    /// Returns those addresses of a name that are allowed.
    ///
    /// # Errors
    /// No address is allowed. The message is that of [`Self::unresolved`].
    pub fn allowed(self, name: &str, all: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
        let allowed: Vec<_> = all.iter().copied().filter(|at| self == Self::Anywhere || is_public(at.ip())).collect();
        match (allowed.is_empty(), all.first()) {
            (true, Some(refused)) => Err(self.unresolved(name, &format!("{} is not public", refused.ip()))),
            (true, None) => Err(self.unresolved(name, "the name has no address")),
            (false, _) => Ok(allowed),
        }
    }

    /// Returns the message for a name without an allowed address. The caller may be an outsider,
    /// who must not learn which internal names exist nor their addresses: outside the allowed URL
    /// prefixes the text is the same for every reason, and only the log names the reason.
    pub fn unresolved(self, name: &str, why: &str) -> String {
        tracing::info!(host = name, why, "a download was refused: its host has no allowed address");
        match self {
            Self::Public => format!("{name} does not resolve to a public address; {ALLOW}"),
            Self::Anywhere => format!("{name} cannot be resolved: {why}"),
        }
    }
}

/// Returns the addresses that the host of `url` may have, if `policy` allows the URL.
fn scope(url: &Url, policy: &FetchPolicy) -> Result<HostScope, String> {
    let shown = shown(url);
    if url.as_str().len() > URL_BYTES_MAX {
        return Err(format!("a URL has at most {URL_BYTES_MAX} bytes"));
    }
    if !matches!(url.scheme(), "https" | "http") {
        return Err(format!("{shown}: only https URLs can be fetched"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{shown}: a URL must not contain a user name or password"));
    }
    if !policy.allowed_urls.is_empty() {
        return match policy.allowed_urls.iter().any(|allowed| prefix::covers(allowed, url)) {
            true => Ok(HostScope::Anywhere),
            false => Err(format!("{shown} is not under an allowed URL prefix")),
        };
    }
    if url.scheme() == "http" {
        return Err(format!(
            "{shown}: http is allowed only under an allowed URL prefix that names the host; use https"
        ));
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return Err(format!("{shown}: the URL has no host")),
    };
    if let Some(address) = address.filter(|address| !is_public(*address)) {
        return Err(format!("{shown}: {address} is not a public address; {ALLOW}"));
    }
    Ok(HostScope::Public)
}

/// Returns the URL for messages: without user, query and fragment, which may hold secrets.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let shown = format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
    shown.chars().take(200).collect()
}
