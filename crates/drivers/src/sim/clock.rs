//! A clock that is moved by hand.
//!
//! Everything that sleeps on it is known to it, so that moving it far still lets everything happen
//! in order and at its own time. It refuses to know what the sleepers wait for.

use cloudpc_model::{Clock, Sleep, Timestamp};
use futures_util::future::select;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};

/// How many times in a row [`SimClock::advance`] must give way without anyone going to sleep or
/// giving a sleep up before it takes the woken work to have come to rest. On a runtime of one
/// thread every turn runs all that is ready, so this is also the longest chain of tasks that wake
/// each other without sleeping and are still waited for.
pub const QUIET_YIELDS: u32 = 64;

/// Work may also rest outside the runtime, e.g. in a database's thread. On a runtime of many
/// threads, as long as fewer sleepers have come than were woken, this much real time must pass,
/// too, without a new one.
pub const QUIET_TIME: Duration = Duration::from_millis(20);

/// A clock that follows another one until it is paused or moved. It never goes back.
///
/// A sleep that is dropped is forgotten. Moving waits for work inside the runtime, and for a short
/// time for work outside; a download is not waited for.
#[derive(Clone)]
pub struct SimClock {
    inner: Arc<ClockShared>,
}

impl SimClock {
    /// A clock that shows what `host` shows.
    pub fn following(host: Arc<dyn Clock>) -> Self {
        let shown = host.now();
        Self::new(shown, Some(shown), Some(host))
    }

    /// A clock that stands still at `start`.
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
            registered: 0,
            changes: 0,
        };
        Self { inner: Arc::new(ClockShared { host, state: Mutex::new(state), turn: tokio::sync::Mutex::new(()) }) }
    }

    /// Whether it stands still.
    pub fn is_paused(&self) -> bool {
        self.inner.lock().paused
    }

    /// Stops it.
    pub fn pause(&self) {
        self.inner.change(|state| state.paused = true);
    }

    /// Lets it follow its host again, from where it stands. A clock that has no host stays paused.
    pub fn resume(&self) {
        self.inner.change(|state| state.paused = false);
    }

    /// Moves it on, stopping at each sleeper on the way so that everything happens in order and at
    /// its own time.
    ///
    /// It stands still at each stop until what was woken there is at rest ([`QUIET_YIELDS`],
    /// [`QUIET_TIME`]). Of two movers the second begins where the first ended. A mover that is
    /// dropped leaves the clock at its latest stop.
    pub async fn advance(&self, by: Duration) {
        let _turn = self.inner.turn.lock().await;
        let _moving = Moving::begin(&self.inner);
        let target = self.now() + by;
        self.inner.rest(0, 0).await;
        loop {
            let next = self.next_wake().map_or(target, |next| next.min(target));
            let last = next == target;
            let (woken, registered) = self.inner.set(next);
            self.inner.rest(woken, registered).await;
            // Something may have gone to sleep at the target itself only for later, so nothing else
            // is due.
            if last {
                break;
            }
        }
    }

    /// When the next sleeper wakes, if anyone sleeps.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let mut state = self.inner.lock();
        let now = self.inner.now(&mut state);
        // Those due already have been woken; they have just not run yet.
        state.sleepers.range((now, u64::MAX)..).next().map(|((until, _), _)| *until)
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
                    Wait::Over => return,
                    Wait::Hand => sleeper.stirred().await,
                    Wait::Host(host, until) => {
                        select(host.sleep_until(until), pin!(sleeper.stirred())).await;
                    }
                }
            }
        })
    }
}

struct ClockShared {
    host: Option<Arc<dyn Clock>>,
    state: Mutex<State>,
    /// Held by whoever moves the clock.
    turn: tokio::sync::Mutex<()>,
}

struct State {
    /// What the clock showed when it was last looked at.
    shown: Timestamp,
    /// What the host showed then; none while the clock does not follow it.
    since: Option<Timestamp>,
    paused: bool,
    /// Whether it is being moved by hand just now, and so does not follow its host.
    moving: bool,
    /// By the time of waking, then in the order of going to sleep.
    sleepers: BTreeMap<(Timestamp, u64), SleepSlot>,
    next_number: u64,
    /// How many have gone to sleep, ever.
    registered: u64,
    /// How many have gone to sleep or given it up, ever.
    changes: u64,
}

/// Where a sleeper lies.
#[derive(Default)]
struct SleepSlot {
    waker: Option<Waker>,
    /// It was told to look at the clock again.
    stirred: bool,
}

/// What a sleeper has to wait for.
enum Wait<'a> {
    /// Nothing.
    Over,
    /// Somebody has to move or resume the clock.
    Hand,
    /// The host's clock has to show this, or somebody moves ours.
    Host(&'a dyn Clock, Timestamp),
}

impl ClockShared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self, state: &mut State) -> Timestamp {
        if let (Some(host), Some(since)) = (&self.host, state.since) {
            // A host that was put back counts from there; ours stands until it has gone on.
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
            _ if now >= until => Wait::Over,
            (Some(host), Some(since)) => Wait::Host(host.as_ref(), since + until.since(now)),
            _ => Wait::Hand,
        }
    }

    /// Changes whether the clock follows, and has every sleeper look again.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        self.now(&mut state);
        change(&mut state);
        let follows = !state.paused && !state.moving;
        state.since = self.host.as_ref().filter(|_| follows).map(|host| host.now());
        state.paused |= self.host.is_none();
        let wakers: Vec<Waker> = state.sleepers.values_mut().filter_map(SleepSlot::stir).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sets the clock and wakes those who are due: returns how many, and how many had ever gone to
    /// sleep before.
    fn set(&self, now: Timestamp) -> (u64, u64) {
        let mut state = self.lock();
        let before = state.shown;
        state.shown = now;
        let mut woken = 0;
        let mut wakers = Vec::new();
        for (_, bed) in state.sleepers.range_mut((before, u64::MAX)..=(now, u64::MAX)) {
            woken += 1;
            wakers.extend(bed.stir());
        }
        let registered = state.registered;
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        (woken, registered)
    }

    /// Ends when the work of `woken` sleepers, woken when `registered` had ever gone to sleep, is
    /// at rest.
    async fn rest(&self, woken: u64, registered: u64) {
        let many_threads = Handle::try_current().is_ok_and(|h| h.runtime_flavor() != RuntimeFlavor::CurrentThread);
        let slice = Duration::from_millis(1);
        let mut changes = self.lock().changes;
        let mut quiet_yields = 0;
        let mut quiet_time = Duration::ZERO;
        loop {
            if quiet_yields < QUIET_YIELDS {
                tokio::task::yield_now().await;
                quiet_yields += 1;
            } else if many_threads && quiet_time < QUIET_TIME && self.lock().registered - registered < woken {
                tokio::time::sleep(slice).await;
                quiet_time += slice;
            } else {
                return;
            }
            let latest = self.lock().changes;
            if latest != changes {
                (changes, quiet_yields, quiet_time) = (latest, 0, Duration::ZERO);
            }
        }
    }
}

impl SleepSlot {
    /// Has the sleeper look at the clock again.
    fn stir(&mut self) -> Option<Waker> {
        self.stirred = true;
        self.waker.take()
    }
}

/// A sleeper's place; dropped, it is free.
struct Sleeper<'a> {
    inner: &'a ClockShared,
    key: (Timestamp, u64),
}

impl<'a> Sleeper<'a> {
    /// A place for a sleep until `until`; none if it has come.
    fn register(inner: &'a ClockShared, until: Timestamp) -> Option<Self> {
        let mut state = inner.lock();
        if inner.now(&mut state) >= until {
            return None;
        }
        let key = (until, state.next_number);
        state.next_number += 1;
        state.registered += 1;
        state.changes += 1;
        state.sleepers.insert(key, SleepSlot::default());
        Some(Self { inner, key })
    }

    /// Ends when the sleeper has to look at the clock again.
    async fn stirred(&self) {
        poll_fn(|context| self.poll_stirred(context)).await;
    }

    fn poll_stirred(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.inner.lock();
        let bed = state.sleepers.get_mut(&self.key).expect("a sleeper keeps its place until it is dropped");
        if std::mem::take(&mut bed.stirred) {
            return Poll::Ready(());
        }
        bed.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.sleepers.remove(&self.key);
        state.changes += 1;
    }
}

/// While it lives, the clock does not follow its host.
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
