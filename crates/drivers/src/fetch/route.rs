//! Which addresses a download asks, one after another, and what their answers mean: the rules,
//! whoever does the asking.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use url::{Host, Url};

use super::address::is_public;
use super::{FetchPolicy, prefix};
use crate::GuestError;

/// How many redirects are followed.
pub const REDIRECTS_MAX: usize = 5;

/// Longest address, bytes.
pub const URL_BYTES_MAX: usize = 8 << 10;

/// What the caller can do about a host that is not public.
const ALLOW: &str = "an allowed URL prefix that names the host would allow it";

/// Where a host may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostScope {
    Public,
    Anywhere,
}

/// The way of one download.
pub struct FetchRoute<'a> {
    policy: &'a FetchPolicy,
    url: Url,
    whereabouts: HostScope,
    redirects: usize,
}

/// What an answer has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteStep {
    /// The file.
    File,
    /// Another address to ask.
    Redirect,
}

impl<'a> FetchRoute<'a> {
    /// A route that begins at `url`.
    ///
    /// # Errors
    /// Why `policy` does not let it be fetched, for the person who gave the address.
    pub fn from(url: &Url, policy: &'a FetchPolicy) -> Result<Self, String> {
        let whereabouts = whereabouts(url, policy)?;
        Ok(Self { policy, url: url.clone(), whereabouts, redirects: 0 })
    }

    /// The address to ask now.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where its host may be.
    pub fn whereabouts(&self) -> HostScope {
        self.whereabouts
    }

    /// Goes by the answer to where it leads: its status, and its `Location`, which may be relative.
    ///
    /// # Errors
    /// [`GuestError::FileNotFound`]: it is no success, or leads nowhere, too far, or to where the
    /// policy forbids.
    pub fn answered(&mut self, status: u16, location: Option<&str>) -> Result<RouteStep, GuestError> {
        match status {
            200 => return Ok(RouteStep::File),
            301 | 302 | 303 | 307 | 308 => {}
            other => {
                let status =
                    reqwest::StatusCode::from_u16(other).map_or_else(|_| other.to_string(), |known| known.to_string());
                return Err(GuestError::FileNotFound(format!("{} answered {status}", shown(&self.url))));
            }
        }
        let Some(next) = location.and_then(|location| self.url.join(location).ok()) else {
            return Err(GuestError::FileNotFound(format!("{} redirects to nowhere", shown(&self.url))));
        };
        if self.redirects == REDIRECTS_MAX {
            let shown = shown(&self.url);
            return Err(GuestError::FileNotFound(format!("{shown} redirects more than {REDIRECTS_MAX} times")));
        }
        self.whereabouts = whereabouts(&next, self.policy).map_err(GuestError::FileNotFound)?;
        self.url = next;
        self.redirects += 1;
        Ok(RouteStep::Redirect)
    }

    /// No connection came about.
    pub fn unreachable(&self, why: &str) -> GuestError {
        GuestError::Unreachable(format!("{} cannot be reached: {why}", shown(&self.url)))
    }

    /// A connection came about, but no whole file over it.
    pub fn undelivered(&self, why: &str) -> GuestError {
        GuestError::FileNotFound(format!("{} was not delivered: {why}", shown(&self.url)))
    }

    /// The server has sent nothing for this long.
    pub fn stalled(&self, time: Duration) -> GuestError {
        self.undelivered(&format!("the server sent nothing for {} seconds", time.as_secs_f32()))
    }

    /// The file is larger than the policy allows.
    pub fn too_large(&self) -> GuestError {
        let max = self.policy.size_bytes_max;
        GuestError::FileNotFound(format!("{} is larger than the {max} bytes that are taken", shown(&self.url)))
    }
}

/// The file at `url` took longer than the policy allows.
pub fn too_slow(url: &Url, policy: &FetchPolicy) -> GuestError {
    let seconds = policy.time_max.as_secs_f32();
    GuestError::FileNotFound(format!("{} was not delivered within {seconds} seconds", shown(url)))
}

impl HostScope {
    /// Returns those addresses of a name that are allowed.
    ///
    /// # Errors
    /// There are none. The message is that of [`Self::unresolved`].
    pub fn allowed(self, name: &str, all: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
        let allowed: Vec<_> = all.iter().copied().filter(|at| self == Self::Anywhere || is_public(at.ip())).collect();
        match (allowed.is_empty(), all.first()) {
            (true, Some(refused)) => Err(self.unresolved(name, &format!("{} is not public", refused.ip()))),
            (true, None) => Err(self.unresolved(name, "it has no address")),
            (false, _) => Ok(allowed),
        }
    }

    /// What is told of a name that leads to no address that is allowed. Who gave it may be an
    /// outsider, who must not learn which internal names exist, nor their addresses: outside the
    /// allowed URL prefixes the text is the same whatever the reason, which only the log has.
    pub fn unresolved(self, name: &str, why: &str) -> String {
        tracing::info!(host = name, why, "a download was refused for want of an allowed address");
        match self {
            Self::Public => format!("{name} does not resolve to a public address; {ALLOW}"),
            Self::Anywhere => format!("{name} cannot be resolved: {why}"),
        }
    }
}

/// Where the host of `url` may be, if it may be fetched at all.
fn whereabouts(url: &Url, policy: &FetchPolicy) -> Result<HostScope, String> {
    let shown = shown(url);
    if url.as_str().len() > URL_BYTES_MAX {
        return Err(format!("an address has at most {URL_BYTES_MAX} bytes"));
    }
    if !matches!(url.scheme(), "https" | "http") {
        return Err(format!("{shown}: only https addresses can be fetched"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{shown}: an address must not hold a user name or password"));
    }
    if !policy.allowed_urls.is_empty() {
        return match policy.allowed_urls.iter().any(|allowed| prefix::covers(allowed, url)) {
            true => Ok(HostScope::Anywhere),
            false => Err(format!("{shown} is not under any of the allowed URL prefixes")),
        };
    }
    if url.scheme() == "http" {
        return Err(format!("{shown}: http is fetched only if an allowed URL prefix names the host; use https"));
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return Err(format!("{shown}: the address has no host")),
    };
    if let Some(address) = address.filter(|address| !is_public(*address)) {
        return Err(format!("{shown}: {address} is not a public address; {ALLOW}"));
    }
    Ok(HostScope::Public)
}

/// The address for messages: without user, query and fragment, which may hold secrets.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let shown = format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
    shown.chars().take(200).collect()
}
