//! What is known of a request beside its text, handed from the edge to whoever answers.

use cloudpc_graph::GraphError;
use cloudpc_model::Rng;
use http::{HeaderMap, HeaderName};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

use crate::caller::Caller;

/// Longest `client-request-id` that is echoed.
pub const CLIENT_REQUEST_ID_BYTES_MAX: usize = 128;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
pub(crate) const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");

/// The ids of a request, in its answer's headers and in every error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestIds {
    /// Ours, a GUID.
    pub request_id: Arc<str>,
    /// The client's own, from the header `client-request-id` if it is a sane one; else ours.
    pub client_request_id: Arc<str>,
}

/// The network peer that a request comes from, for shares of what all peers use together: its
/// address, or the one that a trusted proxy names. An IPv6 peer is its /64, the smallest network
/// that a site is given, so its last 64 bits are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// Returns the peer of an address. An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`)
    /// is the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        /// Bits of an IPv6 address that name an interface within its network.
        const INTERFACE_BITS: u32 = 64;
        match address.to_canonical() {
            IpAddr::V6(address) => {
                Self(Ipv6Addr::from_bits(address.to_bits() >> INTERFACE_BITS << INTERFACE_BITS).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// Scheme and authority that the client used, e.g. `https://127.0.0.1:8366`, so that links lead
/// back the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseAddress(pub Arc<str>);

/// What was asked for, as the log names it. Whoever answers puts it into the extensions of the
/// answer, and the [`Caller`](crate::caller::Caller) as an `Arc` beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRoute(pub String);

impl RequestIds {
    /// Those of a request with these headers.
    pub(crate) fn of(headers: &HeaderMap, rng: &dyn Rng) -> Self {
        let request_id: Arc<str> = Arc::from(&*rng.uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        let is_sane = |id: &&str| {
            (1..=CLIENT_REQUEST_ID_BYTES_MAX).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.{}".contains(&b))
        };
        let own = headers.get(CLIENT_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_sane);
        Self { client_request_id: own.map_or_else(|| Arc::clone(&request_id), Arc::from), request_id }
    }
}

/// Who sends a request to a path that takes a token, or why the token is not believed. The edge
/// puts it into the extensions of the request, and reads no body of one that is not believed.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Result<Arc<Caller>, GraphError>);

/// The request was HEAD, which is answered as GET: what GET would change must stay as it is.
#[derive(Clone, Copy, Debug)]
pub struct WithoutBody;

/// Whether a POST turned out to change nothing, so that it may end with its client. The edge puts
/// it into the extensions of the request; whoever answers sets it.
#[derive(Clone, Debug, Default)]
pub struct OnlyReads(Arc<AtomicBool>);

impl OnlyReads {
    /// Says whether the request only reads.
    pub fn set(&self, only_reads: bool) {
        self.0.store(only_reads, Ordering::Relaxed);
    }

    /// What was said; false before.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_of_one_network_are_one_peer() {
        let peer = |address: &str| Peer::of(address.parse().unwrap());
        assert_eq!(peer("2001:db8:1:2:3::4"), peer("2001:db8:1:2:ffff::"));
        assert_ne!(peer("2001:db8:1:2::"), peer("2001:db8:1:3::"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    }
}
