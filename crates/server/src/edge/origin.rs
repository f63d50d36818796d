//! Who sends a request and by which address: the connection's peer and the `Host` header, or what a
//! trusted proxy says.

use axum::body::Body;
use cloudpc_graph::GraphError;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Request, header};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use tokio_util::sync::CancellationToken;

use crate::request::{BaseAddress, Peer};

/// The client's address, and after it that of each proxy but the last one.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme that the client has used.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host that the client has used.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// The connection that a request comes from.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// What is spoken on it.
    pub scheme: Scheme,
    /// The address at its other end.
    pub address: IpAddr,
    /// Cancelled when the server stops.
    pub stop: CancellationToken,
}

/// By which names the server is reached, and through whom.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Host names and addresses that are ours, in lower case.
    pub names: Vec<String>,
    /// Proxies whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Who sends a request, and by which address.
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

    /// Returns the origin of a request, and removes the headers of proxies, which nothing behind
    /// the edge may believe.
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

    /// The address of the client: what the last trusted proxy has seen.
    fn client_address(&self, headers: &HeaderMap, connection: IpAddr) -> IpAddr {
        let mut address = connection;
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        for hop in lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',')) {
            // Whatever an untrusted sender has written is only what it says.
            let (true, Some(before)) = (self.is_trusted(address), hop_address(hop)) else { break };
            address = before;
        }
        address
    }

    fn base_address(&self, https: bool, authority: &Authority) -> Result<BaseAddress, GraphError> {
        // It is written into links and headers, so only what a host name, an address and a port are
        // made of may be in it.
        let sane = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b);
        if authority.host().is_empty() || authority.as_str().len() > 255 || !authority.as_str().bytes().all(sane) {
            return Err(invalid_host());
        }
        if !self.is_ours(authority.host()) {
            return Err(misdirected(authority.host()));
        }
        let scheme = if https { "https" } else { "http" };
        let mut base = [scheme, "://", authority.as_str()].concat();
        base.make_ascii_lowercase();
        Ok(BaseAddress(base.into()))
    }

    /// Whether this host may be ours. A name of somebody else's may have been made to lead here, by
    /// which pages of theirs would be of our origin (DNS rebinding). An address cannot: it is the
    /// one that the client has connected to.
    fn is_ours(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = host.strip_suffix('.').unwrap_or(host);
        host.parse::<IpAddr>().is_ok() || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The first value of a header that is a list.
fn first(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim)
}

/// An entry of `X-Forwarded-For`. Some proxies write the port too.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// The host that a request names. HTTP/2 has it in the request's own URI, HTTP/1.1 in a header.
fn authority(request: &Request<Body>) -> Result<Authority, GraphError> {
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.clone());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none());
    host.and_then(|host| host.to_str().ok()?.parse().ok()).ok_or_else(invalid_host)
}

fn invalid_host() -> GraphError {
    GraphError::bad_request("The Host header is missing, there twice, or not a host and port.")
}

fn misdirected(host: &str) -> GraphError {
    let message = format!(
        "The host '{host}' is not a name of this server. Use localhost, an IP address, the machine's own name or a name from server.names; to serve this name, add it to server.names in the configuration file."
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
    fn the_peer_behind_a_trusted_proxy_is_who_the_proxy_has_seen() {
        for (address, forwarded, peer) in [
            ("10.0.0.1", &["192.0.2.1"][..], "192.0.2.1"),
            ("::ffff:10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // What the client has written is on the left.
            ("10.0.0.1", &["203.0.113.7, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.7", "192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.7, 192.0.2.1, 10.0.0.2,10.9.9.9"], "192.0.2.1"),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("2001:db8::1", &["[2001:dc8:1:2:3::4]:4711"], "2001:dc8:1:2::"),
            ("10.0.0.1", &["2001:dc8:1:2:3::4"], "2001:dc8:1:2::"),
            ("10.0.0.1", &["192.0.2.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            // Anyone else is believed nothing.
            ("192.0.2.9", &["203.0.113.7"], "192.0.2.9"),
            ("192.0.2.9", &["203.0.113.7, 10.0.0.1"], "192.0.2.9"),
        ] {
            let headers: Vec<_> = forwarded.iter().map(|line| ("x-forwarded-for", *line)).collect();
            assert_eq!(origin(address, &headers).0, peer, "{address} {forwarded:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_scheme_and_host() {
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
    fn a_host_is_an_address_or_one_of_our_names() {
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
