//! The peer and base address of a request: from the connection and the `Host` header, or from a
//! trusted proxy.

use axum::body::Body;
use cloudpc_graph::GraphError;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Request, header};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use tokio_util::sync::CancellationToken;

use crate::identity::well_known;
use crate::request::{BaseAddress, Peer};

/// The client's address, followed by that of each proxy except the last.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme that the client used.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host that the client used.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// The connection of a request.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The protocol of the connection.
    pub scheme: Scheme,
    /// The remote address of the connection.
    pub address: IpAddr,
    /// Cancelled when the server stops.
    pub stop: CancellationToken,
}

/// The names of the server, and its trusted proxies.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Hostnames and addresses of the server, in lower case.
    pub names: Vec<String>,
    /// Proxies whose `X-Forwarded-*` headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
}

/// The peer and base address of a request.
pub(super) struct Origin {
    pub(super) peer: Peer,
    pub(super) base: Result<BaseAddress, GraphError>,
}

impl Reach {
    /// Whether this is the address of a trusted proxy.
    pub(super) fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// Returns the origin of a request, and removes the proxy headers, which nothing behind the
    /// edge may trust.
    pub(super) fn origin(&self, request: &mut Request<Body>, arrival: &Arrival) -> Origin {
        let trusted = self.is_trusted(arrival.address);
        let headers = request.headers();
        let peer = Peer::of(self.client_address(headers, arrival.address));
        let forwarded = |name| if trusted { first(headers, name) } else { None };
        let https = arrival.scheme == Scheme::Https
            || forwarded(FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let authority = match forwarded(FORWARDED_HOST) {
            Some(host) => host.parse().map_err(|_| invalid_host()),
            None => authority(request),
        };
        let base = authority.and_then(|authority| self.base_address(https, &authority));
        for name in [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST] {
            request.headers_mut().remove(name);
        }
        Origin { peer, base }
    }

    /// Returns the address of the client, as seen by the first trusted proxy in an unbroken chain.
    fn client_address(&self, headers: &HeaderMap, connection: IpAddr) -> IpAddr {
        let mut address = connection;
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        for hop in lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',')) {
            // Entries from an untrusted sender can be forged.
            let (true, Some(before)) = (self.is_trusted(address), hop_address(hop)) else { break };
            address = before;
        }
        address
    }

    fn base_address(&self, https: bool, authority: &Authority) -> Result<BaseAddress, GraphError> {
        // The authority is written into links and headers, so it may only contain characters of
        // hostnames, addresses and ports.
        let is_valid = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b);
        if authority.host().is_empty() || authority.as_str().len() > 255 || !authority.as_str().bytes().all(is_valid) {
            return Err(invalid_host());
        }
        if !(self.is_ours(authority.host()) || https && well_known::is_host(authority.host())) {
            return Err(misdirected(authority.host()));
        }
        let scheme = if https { "https" } else { "http" };
        let mut base = [scheme, "://", authority.as_str()].concat();
        base.make_ascii_lowercase();
        Ok(BaseAddress(base.into()))
    }

    /// Whether a host names this server. Foreign names are refused because of DNS rebinding: a page
    /// of a foreign name that resolves to this server would have our origin. An IP address is safe:
    /// the client connected to it.
    fn is_ours(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = host.strip_suffix('.').unwrap_or(host);
        host.parse::<IpAddr>().is_ok() || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Returns the first value of a list header.
fn first(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim)
}

/// Parses an entry of `X-Forwarded-For`. Some proxies add the port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Returns the authority of a request, from the URI (HTTP/2) or the `Host` header (HTTP/1.1).
fn authority(request: &Request<Body>) -> Result<Authority, GraphError> {
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.clone());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none());
    host.and_then(|host| host.to_str().ok()?.parse().ok()).ok_or_else(invalid_host)
}

fn invalid_host() -> GraphError {
    GraphError::bad_request("The Host header is missing, repeated or malformed. Expected one HOST:PORT.")
}

fn misdirected(host: &str) -> GraphError {
    let message = format!(
        "The host '{host}' is not a name of this server. Use localhost, an IP address, the machine's hostname or a name in server.names. To serve this host, add it to server.names in the configuration file."
    );
    GraphError::new(421, "MisdirectedRequest", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        Reach {
            names: vec!["localhost".into(), "pc.test".into()],
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        }
    }

    fn origin(address: &str, headers: &[(&'static str, &'static str)]) -> (String, Result<String, u16>) {
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let stop = CancellationToken::new();
        let arrival = Arrival { scheme: Scheme::Http, address: address.parse().unwrap(), stop };
        let origin = reach().origin(&mut request, &arrival);
        assert!(request.headers().keys().all(|name| name == header::HOST), "{request:?}");
        (origin.peer.0.to_string(), origin.base.map(|base| base.0.to_string()).map_err(|error| error.status))
    }

    #[test]
    fn the_peer_behind_a_trusted_proxy_is_the_address_it_forwards() {
        for (address, forwarded, peer) in [
            ("10.0.0.1", &["192.0.2.1"][..], "192.0.2.1"),
            ("::ffff:10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // Entries from the client are on the left.
            ("10.0.0.1", &["203.0.113.7, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.7", "192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.7, 192.0.2.1, 10.0.0.2,10.9.9.9"], "192.0.2.1"),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("2001:db8::1", &["[2001:dc8:1:2:3::4]:4711"], "2001:dc8:1:2::"),
            ("10.0.0.1", &["2001:dc8:1:2:3::4"], "2001:dc8:1:2::"),
            ("10.0.0.1", &["192.0.2.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            // Headers of untrusted senders are ignored.
            ("192.0.2.9", &["203.0.113.7"], "192.0.2.9"),
            ("192.0.2.9", &["203.0.113.7, 10.0.0.1"], "192.0.2.9"),
        ] {
            let headers: Vec<_> = forwarded.iter().map(|line| ("x-forwarded-for", *line)).collect();
            assert_eq!(origin(address, &headers).0, peer, "{address} {forwarded:?}");
        }
    }

    #[test]
    fn forwarded_scheme_and_host_are_trusted_only_from_a_trusted_proxy() {
        let base = |address, headers: &[_]| origin(address, headers).1;
        let forwarded =
            [("host", "localhost:1"), ("x-forwarded-proto", "HTTPS, http"), ("x-forwarded-host", "pc.test")];
        assert_eq!(base("10.0.0.1", &forwarded), Ok("https://pc.test".into()));
        assert_eq!(base("192.0.2.1", &forwarded), Ok("http://localhost:1".into()));
        let other = [("host", "localhost"), ("x-forwarded-host", "evil.test")];
        assert_eq!(base("10.0.0.1", &other), Err(421));
        assert_eq!(base("192.0.2.1", &other), Ok("http://localhost".into()));
        let inner = [("host", "backend"), ("x-forwarded-host", "192.0.2.7, pc.test")];
        assert_eq!(base("10.0.0.1", &inner), Ok("http://192.0.2.7".into()));
        assert_eq!(base("192.0.2.1", &inner), Err(421));
    }

    #[test]
    fn a_host_must_be_an_address_or_a_name_of_the_server() {
        for (host, expected) in [
            ("localhost", Ok("http://localhost")),
            ("LocalHost:8365", Ok("http://localhost:8365")),
            ("localhost.", Ok("http://localhost.")),
            ("pc.test.:8365", Ok("http://pc.test.:8365")),
            ("127.0.0.1", Ok("http://127.0.0.1")),
            ("203.0.113.9:80", Ok("http://203.0.113.9:80")),
            ("[::1]:8365", Ok("http://[::1]:8365")),
            ("evil.test", Err(421)),
            ("pc.test.evil.test", Err(421)),
            ("evil.pc.test", Err(421)),
            ("localhost..", Err(421)),
            ("127.0.0.1.evil.test", Err(421)),
            ("2130706433", Err(421)),
            ("0x7f.1", Err(421)),
            ("user@localhost", Err(400)),
            ("", Err(400)),
        ] {
            let base = origin("192.0.2.1", &[("host", host)]).1;
            assert_eq!(base, expected.map(str::to_owned), "{host}");
        }
    }
}
