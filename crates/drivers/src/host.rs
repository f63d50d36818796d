//! What the host gives: its clocks and its randomness. Everything else gets them as parameters.

use cloudpc_model::{Clock, Rng, Sleep, Timestamp};
use rand::Rng as _;
use rustix::time::{ClockId, clock_gettime};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The host's time of day. It jumps when the host's clock is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the host's clock")]
        let now = SystemTime::now();
        match now.duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp(0) + since,
            Err(before) => Timestamp(0) - before.duration(),
        }
    }

    fn sleep_until(&self, until: Timestamp) -> Sleep<'_> {
        Box::pin(sleep_until(self, until))
    }
}

/// By how much a [`SteadyClock`] goes faster or slower than time passes, while it follows a host's
/// clock that was set: one part in this many.
const CATCH_UP: u32 = 10;

/// How far a host's clock has to be off before it is reported.
const REPORTED_OFFSET: Duration = Duration::from_secs(60);

/// The time by which work is done. It begins at the host's time of day and goes on with the time
/// that passes, the host's sleep included, whatever becomes of the host's clock. When that clock is
/// set, this one follows at no more than a tenth of the time that passes: an hour takes it ten
/// hours. So it never jumps and never goes back, and no deadline, lease or undo window ends because
/// a clock was set.
pub struct SteadyClock {
    /// The host's time of day, since 1970.
    wall: Box<dyn Fn() -> Duration + Send + Sync>,
    /// The time that has passed since some moment.
    elapsed: Box<dyn Fn() -> Duration + Send + Sync>,
    last: Mutex<Last>,
}

/// What a steady clock showed last.
struct Last {
    /// The time shown, since 1970. In nanoseconds, or frequent looks would lose fractions.
    shown: Duration,
    elapsed: Duration,
    /// Whether it was reported that the host's clock is off.
    reported: bool,
}

impl SteadyClock {
    /// The clock of this host.
    pub fn of_host() -> Self {
        // Counts the time for which the host sleeps, as the time of day does, so that waking up is
        // not a clock that was set.
        let since_boot = || Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
        Self::new(|| SystemClock.now().since(Timestamp(0)), since_boot)
    }

    fn new(
        wall: impl Fn() -> Duration + Send + Sync + 'static,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        let last = Mutex::new(Last { shown: wall(), elapsed: elapsed(), reported: false });
        Self { wall: Box::new(wall), elapsed: Box::new(elapsed), last }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, elapsed) = ((self.wall)(), (self.elapsed)());
        let passed = elapsed.saturating_sub(last.elapsed);
        let steady = last.shown.saturating_add(passed);
        let offset = wall.abs_diff(steady);
        last.shown = wall.clamp(steady.saturating_sub(passed / CATCH_UP), steady.saturating_add(passed / CATCH_UP));
        last.elapsed = elapsed;
        if offset > REPORTED_OFFSET && !last.reported {
            tracing::warn!(
                offset_s = offset.as_secs(),
                ahead = wall > steady,
                "the host's clock was set; the service follows it slowly, so that no deadline is missed; restart the service to take over its time at once"
            );
        }
        last.reported = offset > REPORTED_OFFSET;
        Timestamp(0) + last.shown
    }

    fn sleep_until(&self, until: Timestamp) -> Sleep<'_> {
        Box::pin(sleep_until(self, until))
    }
}

/// Sleeps until the clock shows `until`. It may go slower than time passes, and be set back, so it
/// is looked at again.
async fn sleep_until(clock: &dyn Clock, until: Timestamp) {
    loop {
        let left = until.since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

/// Returns a clock that is never set: the time since it was made.
pub fn monotonic() -> impl Fn() -> Duration + Send + Sync {
    let made = Instant::now();
    move || made.elapsed()
}

/// Random numbers of a generator that each thread has for itself. The operating system seeds it,
/// again and again, and it is fit for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const HOUR: Duration = Duration::from_secs(3600);
    const YEARS: Duration = Duration::from_secs(30 * 365 * 86_400);
    const START: Duration = Duration::from_secs(1_800_000_000);

    /// A host whose clock can be set.
    #[derive(Clone)]
    struct Host(Arc<Mutex<(Duration, Duration)>>);

    impl Host {
        fn new() -> (Self, SteadyClock) {
            let host = Self(Arc::new(Mutex::new((START, Duration::ZERO))));
            let (wall, elapsed) = (host.clone(), host.clone());
            (host, SteadyClock::new(move || wall.0.lock().unwrap().0, move || elapsed.0.lock().unwrap().1))
        }

        fn pass(&self, time: Duration) {
            let mut now = self.0.lock().unwrap();
            now.0 += time;
            now.1 += time;
        }

        fn set(&self, wall: Duration) {
            self.0.lock().unwrap().0 = wall;
        }

        fn wall(&self) -> Duration {
            self.0.lock().unwrap().0
        }
    }

    fn shown(clock: &SteadyClock) -> Duration {
        clock.now().since(Timestamp(0))
    }

    #[test]
    fn a_clock_that_nobody_sets_is_followed_exactly() {
        let (host, clock) = Host::new();
        for _ in 0..10_000 {
            host.pass(Duration::from_nanos(700));
            assert_eq!(shown(&clock).as_micros(), host.wall().as_micros());
        }
    }

    #[test]
    fn a_jump_is_no_time_that_has_passed_and_is_caught_up_with_slowly() {
        for jump in [HOUR * 48, YEARS] {
            let (host, clock) = Host::new();
            host.set(START + jump);
            assert_eq!(shown(&clock), START);
            host.pass(HOUR);
            assert_eq!(shown(&clock), START + HOUR + HOUR / CATCH_UP);
        }
        let (host, clock) = Host::new();
        host.set(START + HOUR);
        for _ in 0..10 {
            host.pass(HOUR);
            clock.now();
        }
        assert_eq!(shown(&clock), host.wall(), "an hour is caught up with in ten");
    }

    #[test]
    fn a_clock_that_is_set_back_slows_this_one_and_never_turns_it_back() {
        let (host, clock) = Host::new();
        host.set(START - YEARS);
        let mut last = shown(&clock);
        assert_eq!(last, START);
        for _ in 0..1000 {
            host.pass(Duration::from_micros(5));
            let now = shown(&clock);
            assert!(now >= last);
            last = now;
        }
        host.pass(HOUR);
        assert!(shown(&clock) - last >= HOUR - HOUR / CATCH_UP, "time goes on");
    }

    #[test]
    fn a_clock_that_is_set_back_and_right_again_leaves_nothing_behind() {
        for wrong in [START - HOUR, START - YEARS, Duration::ZERO] {
            let (host, clock) = Host::new();
            host.set(wrong);
            assert_eq!(shown(&clock), START);
            host.set(START);
            host.pass(HOUR);
            assert_eq!(shown(&clock), host.wall(), "neither ahead nor behind");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_ends_when_the_clock_shows_its_time_though_it_goes_slowly() {
        let began = tokio::time::Instant::now();
        let passed = move || began.elapsed();
        // The host's clock stands, as one that was set back by years seems to.
        let clock = SteadyClock::new(|| START, passed);
        let until = clock.now() + HOUR;
        clock.sleep_until(until).await;
        assert!(clock.now() >= until);
        assert!(began.elapsed() >= HOUR * 11 / 10);
    }
}
