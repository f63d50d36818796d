//! The request metadata that the handlers of this service read: ids, peer and base address.

use cloudpc_model::Rng;
use http::{HeaderMap, HeaderName};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use uuid::Uuid;

/// Longest `client-request-id` that is echoed.
pub const CLIENT_REQUEST_ID_BYTES_MAX: usize = 128;

/// The header with our own id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The header with the client's id.
pub const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");

/// The ids of a request, sent in the response headers and in every error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestIds {
    /// Our own id, a GUID.
    pub request_id: Arc<str>,
    /// The client's id, from the header `client-request-id` if it is valid; else our own.
    pub client_request_id: Arc<str>,
}

/// The network peer of a request, by which shared limits are counted: the address of the
/// connection, or the one that a trusted proxy reports. An IPv6 address counts as its /64 network,
/// the smallest that a site is assigned, so its last 64 bits are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// Returns the peer of an address. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) counts as
    /// the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        /// Length of an IPv6 interface identifier.
        const INTERFACE_BITS: u32 = 64;
        match address.to_canonical() {
            IpAddr::V6(address) => {
                Self(Ipv6Addr::from_bits(address.to_bits() >> INTERFACE_BITS << INTERFACE_BITS).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// The scheme and authority that the client used, e.g. `https://127.0.0.1:8366`, so that links in
/// responses work for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseAddress(pub Arc<str>);

impl BaseAddress {
    /// Returns the host without its port. An IPv6 address has brackets.
    pub fn host(&self) -> &str {
        let authority = self.0.split_once("://").map_or(&*self.0, |(_, authority)| authority);
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        }
    }
}

impl RequestIds {
    /// Returns the ids of a request with these headers.
    pub fn of(headers: &HeaderMap, rng: &dyn Rng) -> Self {
        let request_id: Arc<str> = Arc::from(&*rng.uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        let is_valid = |id: &&str| {
            (1..=CLIENT_REQUEST_ID_BYTES_MAX).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.{}".contains(&b))
        };
        let own = headers.get(CLIENT_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_valid);
        Self { client_request_id: own.map_or_else(|| Arc::clone(&request_id), Arc::from), request_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_base_address_has_no_port() {
        let host = |text: &str| BaseAddress(text.into()).host().to_owned();
        assert_eq!(host("https://graph.microsoft.com"), "graph.microsoft.com");
        assert_eq!(host("https://graph.microsoft.com:443"), "graph.microsoft.com");
        assert_eq!(host("http://[::1]:8365"), "[::1]");
        assert_eq!(host("http://[::1]"), "[::1]");
    }

    #[test]
    fn ipv6_addresses_of_one_network_are_one_peer() {
        let peer = |address: &str| Peer::of(address.parse().unwrap());
        assert_eq!(peer("2001:db8:1:2:3::4"), peer("2001:db8:1:2:ffff::"));
        assert_ne!(peer("2001:db8:1:2::"), peer("2001:db8:1:3::"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    }
}
