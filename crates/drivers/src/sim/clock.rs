//! A clock that can be paused and advanced.
//!
//! The clock knows everyone who sleeps on it, so that advancing it far still wakes each sleeper in
//! order and at its own time. It must not depend on what the sleepers wait for.

mod idle;

use cloudpc_model::{Clock, Sleep, Timestamp};
use futures_util::future::select;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// A clock that follows another clock until it is paused or advanced. It never goes back.
///
/// A dropped sleep is forgotten. Advancing waits for work inside the runtime, and for the work
/// outside it that [`SimClock::count_outside_work`] counts; it does not wait for downloads.
#[derive(Clone)]
pub struct SimClock {
    inner: Arc<ClockShared>,
}

impl SimClock {
    /// Creates a clock that follows `host`.
    pub fn following(host: Arc<dyn Clock>) -> Self {
        let shown = host.now();
        Self::new(shown, Some(shown), Some(host))
    }

    /// Creates a clock that is paused at `start`.
    pub fn paused(start: Timestamp) -> Self {
        Self::new(start, None, None)
    }

    fn new(shown: Timestamp, since: Option<Timestamp>, host: Option<Arc<dyn Clock>>) -> Self {
        let state = State {
            shown,
            since,
            paused: host.is_none(),
            moving: false,
            sleepers: BTreeMap::new(),
            next_number: 0,
            changes: 0,
        };
        Self {
            inner: Arc::new(ClockShared {
                host,
                state: Mutex::new(state),
                turn: tokio::sync::Mutex::new(()),
                outside: OnceLock::new(),
                changed: Notify::new(),
            }),
        }
    }

    /// Makes the clock wait at each stop until `count`, the number of open jobs outside the runtime
    /// such as those of a database thread, is 0. A job counts until it has woken who waits for it.
    /// `none_open` is notified whenever the number becomes 0. The first call counts.
    pub fn count_outside_work(&self, count: impl Fn() -> usize + Send + Sync + 'static, none_open: Arc<Notify>) {
        let _ = self.inner.outside.set(OutsideWork { count: Box::new(count), none_open });
    }

    /// Returns whether the clock is paused.
    pub fn is_paused(&self) -> bool {
        self.inner.lock().paused
    }

    /// Pauses the clock.
    pub fn pause(&self) {
        self.inner.change(|state| state.paused = true);
    }

    /// Resumes following the host clock, from the current time. A clock without a host stays
    /// paused.
    pub fn resume(&self) {
        self.inner.change(|state| state.paused = false);
    }

    /// Advances the clock, stopping at each sleeper on the way so that everything happens in order
    /// and at its own time.
    ///
    /// The clock waits at each stop until the work that it woke is finished. Concurrent calls run
    /// one after the other. A dropped call leaves the clock at its latest stop.
    pub async fn advance(&self, by: Duration) {
        let held = self.hold().await;
        let target = self.now() + by;
        while self.now() < target {
            held.advance_to(self.next_wake().map_or(target, |next| next.min(target))).await;
        }
    }

    /// Holds the clock where it is, to advance it stop by stop. It waits for its turn, and for the
    /// work in progress.
    pub async fn hold(&self) -> HeldClock<'_> {
        let turn = self.inner.turn.lock().await;
        let held = HeldClock { moving: Moving::begin(&self.inner), _turn: turn };
        self.inner.wait_until_idle().await;
        held
    }

    /// Returns when the next sleeper wakes, if there is one.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let mut state = self.inner.lock();
        let now = self.inner.now(&mut state);
        // Sleepers that are due have been woken; they have just not run yet.
        state.sleepers.range((now, u64::MAX)..).next().map(|((until, _), _)| *until)
    }
}

/// A clock that only the holder moves.
pub struct HeldClock<'a> {
    // The clock follows its host again before another caller has its turn.
    moving: Moving<'a>,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl HeldClock<'_> {
    /// Sets the clock to `stop`, at most the next time at which a sleeper wakes, and waits until
    /// the work that this wakes is finished.
    pub async fn advance_to(&self, stop: Timestamp) {
        self.moving.0.set(stop);
        self.moving.0.wait_until_idle().await;
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.inner.now(&mut self.inner.lock())
    }

    fn sleep_until(&self, until: Timestamp) -> Sleep<'_> {
        Box::pin(async move {
            let Some(sleeper) = Sleeper::register(&self.inner, until) else { return };
            loop {
                match self.inner.wait(until) {
                    Wait::Elapsed => return,
                    Wait::Manual => sleeper.notified().await,
                    Wait::Host(host, until) => {
                        select(host.sleep_until(until), pin!(sleeper.notified())).await;
                    }
                }
            }
        })
    }
}

struct ClockShared {
    host: Option<Arc<dyn Clock>>,
    state: Mutex<State>,
    /// Held by the task that advances the clock.
    turn: tokio::sync::Mutex<()>,
    outside: OnceLock<OutsideWork>,
    /// Notified when a sleep was started or dropped.
    changed: Notify,
}

/// The open jobs outside the runtime.
struct OutsideWork {
    count: Box<dyn Fn() -> usize + Send + Sync>,
    none_open: Arc<Notify>,
}

struct State {
    /// The time that the clock showed when it was last read.
    shown: Timestamp,
    /// The host's time of that reading; none while the clock does not follow a host.
    since: Option<Timestamp>,
    paused: bool,
    /// Whether the clock is being advanced, and so does not follow its host.
    moving: bool,
    /// Sleepers, ordered by wake time and then by registration.
    sleepers: BTreeMap<(Timestamp, u64), SleepSlot>,
    next_number: u64,
    /// Total number of sleeps started or dropped.
    changes: u64,
}

/// The registration of a sleeper.
#[derive(Default)]
struct SleepSlot {
    waker: Option<Waker>,
    /// The sleeper must read the clock again.
    notified: bool,
}

/// What a sleeper waits for.
enum Wait<'a> {
    /// The time has come.
    Elapsed,
    /// Somebody must advance or resume the clock.
    Manual,
    /// The host's clock must reach this time, or somebody must advance this clock.
    Host(&'a dyn Clock, Timestamp),
}

impl ClockShared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self, state: &mut State) -> Timestamp {
        if let (Some(host), Some(since)) = (&self.host, state.since) {
            // If the host's clock was set back, this clock stands still until the host's has
            // advanced again.
            let host_now = host.now();
            state.shown = state.shown + host_now.since(since);
            state.since = Some(host_now);
        }
        state.shown
    }

    fn wait(&self, until: Timestamp) -> Wait<'_> {
        let mut state = self.lock();
        let now = self.now(&mut state);
        match (&self.host, state.since) {
            _ if now >= until => Wait::Elapsed,
            (Some(host), Some(since)) => Wait::Host(host.as_ref(), since + until.since(now)),
            _ => Wait::Manual,
        }
    }

    /// Changes whether the clock follows its host, and wakes every sleeper to read it again.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        self.now(&mut state);
        change(&mut state);
        let follows = !state.paused && !state.moving;
        state.since = self.host.as_ref().filter(|_| follows).map(|host| host.now());
        state.paused |= self.host.is_none();
        let wakers: Vec<Waker> = state.sleepers.values_mut().filter_map(SleepSlot::notify).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sets the clock and wakes the sleepers that are due.
    fn set(&self, now: Timestamp) {
        let mut state = self.lock();
        let before = state.shown;
        state.shown = now;
        let due = state.sleepers.range_mut((before, u64::MAX)..=(now, u64::MAX));
        let wakers: Vec<Waker> = due.filter_map(|(_, slot)| slot.notify()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl SleepSlot {
    /// Makes the sleeper read the clock again.
    fn notify(&mut self) -> Option<Waker> {
        self.notified = true;
        self.waker.take()
    }
}

/// A registered sleeper; dropping it removes the registration.
struct Sleeper<'a> {
    inner: &'a ClockShared,
    key: (Timestamp, u64),
}

impl<'a> Sleeper<'a> {
    /// Registers a sleep until `until`; none if that time has come.
    fn register(inner: &'a ClockShared, until: Timestamp) -> Option<Self> {
        let mut state = inner.lock();
        if inner.now(&mut state) >= until {
            return None;
        }
        let key = (until, state.next_number);
        state.next_number += 1;
        state.changes += 1;
        state.sleepers.insert(key, SleepSlot::default());
        inner.changed.notify_one();
        Some(Self { inner, key })
    }

    /// Waits until the sleeper must read the clock again.
    async fn notified(&self) {
        poll_fn(|context| self.poll_notified(context)).await;
    }

    fn poll_notified(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.inner.lock();
        let slot = state.sleepers.get_mut(&self.key).expect("a sleeper keeps its place until it is dropped");
        if std::mem::take(&mut slot.notified) {
            return Poll::Ready(());
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.sleepers.remove(&self.key);
        state.changes += 1;
        self.inner.changed.notify_one();
    }
}

/// While this guard lives, the clock does not follow its host.
struct Moving<'a>(&'a ClockShared);

impl<'a> Moving<'a> {
    fn begin(inner: &'a ClockShared) -> Self {
        inner.change(|state| state.moving = true);
        Self(inner)
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.moving = false);
    }
}

#[cfg(test)]
mod tests;
