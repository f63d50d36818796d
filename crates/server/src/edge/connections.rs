//! The open connections of a listener: their limits, and which one is evicted when a limit is
//! reached.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::limits::EdgeLimits;
use crate::request::Peer;

/// The open connections of a listener.
pub(super) struct Connections {
    limits: EdgeLimits,
    open: Mutex<Table>,
    /// Notified when a connection has closed.
    closed: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<OpenConnection>>,
}

/// An open connection.
pub(super) struct OpenConnection {
    /// The peer whose share it counts in; none: a trusted proxy, which has no share.
    peer: Option<Peer>,
    /// Cancelled when the connection is evicted.
    pub(super) evicted: CancellationToken,
    pub(super) activity: Arc<Activity>,
}

/// A place among the open connections, returned when dropped.
pub(super) struct Admitted {
    all: Arc<Connections>,
    number: u64,
    pub(super) connection: Arc<OpenConnection>,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionsFull {
    /// The peer's share is used up, with a complete request on each connection.
    Share,
    /// All connections are open, with a complete request on each.
    All,
}

impl Connections {
    pub(super) fn new(limits: EdgeLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default(), closed: Notify::new() })
    }

    /// Admits a connection of a peer, or of a trusted proxy. If there is no room, a connection
    /// without a complete request is evicted: the longest unused one of the same peer if its share
    /// is used up, or else of the peer with the most connections.
    pub(super) fn admit(self: &Arc<Self>, peer: Option<Peer>) -> Result<Admitted, ConnectionsFull> {
        let mut table = self.table();
        let of_peer = |connection: &OpenConnection| peer.is_some() && connection.peer == peer;
        let share = table.open.values().filter(|connection| of_peer(connection)).count();
        if share >= self.limits.peer_connections {
            table.evict(of_peer).ok_or(ConnectionsFull::Share)?;
        } else if table.open.len() >= self.limits.connections {
            table.evict(|_| true).ok_or(ConnectionsFull::All)?;
        }
        let connection = Arc::new(OpenConnection { peer, evicted: CancellationToken::new(), activity: Arc::default() });
        let number = table.next;
        table.next += 1;
        table.open.insert(number, Arc::clone(&connection));
        Ok(Admitted { all: Arc::clone(self), number, connection })
    }

    /// Waits until a connection has closed.
    pub(super) async fn one_closed(&self) {
        self.closed.notified().await;
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Evicts an unused connection that matches: the longest unused one of the peer with the most
    /// connections. Each connection of a trusted proxy counts as a peer of its own.
    fn evict(&mut self, matches: impl Fn(&OpenConnection) -> bool) -> Option<()> {
        let mut counts = HashMap::<Peer, usize>::new();
        for peer in self.open.values().filter_map(|connection| connection.peer) {
            *counts.entry(peer).or_default() += 1;
        }
        let unused = self.open.iter().filter(|(_, connection)| matches(connection));
        let unused = unused.filter_map(|(number, connection)| {
            let count = connection.peer.map_or(1, |peer| counts[&peer]);
            Some((Reverse(count), connection.activity.unused_since()?, *number))
        });
        let (_, _, number) = unused.min()?;
        self.open.remove(&number)?.evicted.cancel();
        Some(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.all.table().open.remove(&self.number);
        self.all.closed.notify_one();
    }
}

/// Counts the requests of a connection, to detect idle ones. Keep-alives, such as HTTP/2 PINGs, are
/// not requests.
pub(super) struct Activity(Mutex<Requests>);

struct Requests {
    /// Requests whose head has arrived.
    open: usize,
    /// Open requests whose body has arrived.
    complete: usize,
    /// When the connection was opened, or its last request ended.
    idle_since: Instant,
    /// When the connection was opened, or its last complete request ended.
    unused_since: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Requests { open: 0, complete: 0, idle_since: now, unused_since: now }))
    }
}

/// A request, from its head until its response has been sent.
pub(super) struct OpenRequest {
    activity: Arc<Activity>,
    is_complete: AtomicBool,
}

impl OpenRequest {
    /// Marks the body as arrived: from now on, the connection is in use and cannot be evicted.
    pub(super) fn complete(&self) {
        if !self.is_complete.swap(true, Ordering::AcqRel) {
            self.activity.requests().complete += 1;
        }
    }
}

impl Activity {
    pub(super) fn begin(self: &Arc<Self>) -> Arc<OpenRequest> {
        self.requests().open += 1;
        Arc::new(OpenRequest { activity: Arc::clone(self), is_complete: AtomicBool::new(false) })
    }

    /// Returns since when the connection has no request; none: it has one.
    fn idle_since(&self) -> Option<Instant> {
        let requests = self.requests();
        (requests.open == 0).then_some(requests.idle_since)
    }

    /// Returns since when the connection has no complete request; none: it has one. A request that
    /// never becomes complete does not count as use.
    fn unused_since(&self) -> Option<Instant> {
        let requests = self.requests();
        (requests.complete == 0).then_some(requests.unused_since)
    }

    /// Waits until the connection has had no request for this time.
    pub(super) async fn idle_for(&self, time: Duration) {
        loop {
            match self.idle_since() {
                None => sleep(time).await,
                Some(since) if since + time <= Instant::now() => return,
                Some(since) => sleep_until(since + time).await,
            }
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut requests = self.activity.requests();
        let now = Instant::now();
        requests.open -= 1;
        requests.idle_since = now;
        if *self.is_complete.get_mut() {
            requests.complete -= 1;
            requests.unused_since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Option<Peer> {
        Some(Peer::of([192, 0, 2, last].into()))
    }

    fn complete(admitted: &Admitted) -> Arc<OpenRequest> {
        let request = admitted.connection.activity.begin();
        request.complete();
        request
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_peer_is_evicted_despite_incomplete_requests() {
        let all = Connections::new(EdgeLimits { connections: 5, peer_connections: 3 });
        let small = all.admit(peer(1)).unwrap();
        let _arriving = small.connection.activity.begin();
        sleep(Duration::from_secs(1)).await;
        let large = [(); 3].map(|()| all.admit(peer(2)).unwrap());
        let _stalled = large.each_ref().map(|open| open.connection.activity.begin());
        let proxy = all.admit(None).unwrap();
        let _used = complete(&large[0]);
        let _new = all.admit(peer(3)).unwrap();
        assert_eq!(large.each_ref().map(|open| open.connection.evicted.is_cancelled()), [false, true, false]);
        assert!(!small.connection.evicted.is_cancelled() && !proxy.connection.evicted.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_incomplete_request_does_not_count_as_use() {
        let all = Connections::new(EdgeLimits { connections: 2, peer_connections: 2 });
        let first = all.admit(peer(1)).unwrap();
        sleep(Duration::from_secs(1)).await;
        let second = all.admit(peer(1)).unwrap();
        drop(complete(&second));
        sleep(Duration::from_secs(1)).await;
        drop(first.connection.activity.begin());
        let _third = all.admit(peer(1)).unwrap();
        assert!(first.connection.evicted.is_cancelled() && !second.connection.evicted.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peers_longest_idle_connection_is_evicted_for_its_next_one() {
        let all = Connections::new(EdgeLimits { connections: 10, peer_connections: 2 });
        let first = all.admit(peer(1)).unwrap();
        sleep(Duration::from_secs(1)).await;
        let second = all.admit(peer(1)).unwrap();
        let other = all.admit(peer(2)).unwrap();
        let request = complete(&first);
        let third = all.admit(peer(1)).unwrap();
        assert!(second.connection.evicted.is_cancelled(), "the first one is older, but in use");
        let another = complete(&third);
        assert_eq!(all.admit(peer(1)).err(), Some(ConnectionsFull::Share));
        drop((request, another));
        assert!(all.admit(peer(1)).is_ok());
        assert!(first.connection.evicted.is_cancelled() || third.connection.evicted.is_cancelled());
        assert!(!other.connection.evicted.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_is_evicted_when_all_are_taken() {
        let all = Connections::new(EdgeLimits { connections: 2, peer_connections: 2 });
        let first = all.admit(peer(1)).unwrap();
        sleep(Duration::from_secs(1)).await;
        let second = all.admit(None).unwrap();
        let third = all.admit(peer(2)).unwrap();
        assert!(first.connection.evicted.is_cancelled() && !second.connection.evicted.is_cancelled());
        let _used = (complete(&second), complete(&third));
        assert_eq!(all.admit(peer(3)).err(), Some(ConnectionsFull::All));
        drop(first);
        assert_eq!(
            all.admit(peer(3)).err(),
            Some(ConnectionsFull::All),
            "an evicted connection returns its place only once"
        );
        drop(third);
        assert!(all.admit(peer(3)).is_ok());
    }

    #[tokio::test]
    async fn a_trusted_proxy_has_no_share() {
        let all = Connections::new(EdgeLimits { connections: 3, peer_connections: 1 });
        let _open = [all.admit(None).unwrap(), all.admit(None).unwrap()];
        assert!(_open.iter().all(|open| !open.connection.evicted.is_cancelled()));
    }
}
