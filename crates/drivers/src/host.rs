//! The host's clocks and random numbers, which all other code gets as parameters, and its free
//! space.

use cloudpc_model::{Clock, Rng, Sleep, Timestamp};
use rand::Rng as _;
use rustix::fs::statvfs;
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::DriverError;

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

/// Rate at which a [`SteadyClock`] follows a host clock that was set: it runs faster or slower than
/// real time by one part in this many.
const CATCH_UP: u32 = 10;

/// Offset of the host's clock above which a warning is logged.
const REPORTED_OFFSET: Duration = Duration::from_secs(60);

/// The clock that schedules work. It starts at the host's time of day and advances with elapsed
/// time, including time in which the host is suspended. When the host's clock is set, this clock
/// follows it at no more than a tenth of the elapsed time: a change of one hour takes ten hours. It
/// never jumps or goes back, so no deadline, lease or undo window expires because a clock was set.
pub struct SteadyClock {
    /// The host's time of day, since 1970.
    wall: Box<dyn Fn() -> Duration + Send + Sync>,
    /// Time elapsed since an arbitrary moment.
    elapsed: Box<dyn Fn() -> Duration + Send + Sync>,
    last: Mutex<Last>,
}

/// The latest reading of a steady clock.
struct Last {
    /// The time returned, since 1970, in nanoseconds: microseconds would lose fractions when the
    /// clock is read often.
    shown: Duration,
    elapsed: Duration,
    /// Whether a warning about the current offset was logged.
    reported: bool,
}

impl SteadyClock {
    /// Returns the clock of this host.
    pub fn of_host() -> Self {
        // Boottime includes suspended time, as the time of day does, so that resuming does not look
        // like a clock that was set.
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
                "the host's clock was set; the service adjusts to it slowly so that no deadline expires early; restart the service to adopt the new time at once"
            );
        }
        last.reported = offset > REPORTED_OFFSET;
        Timestamp(0) + last.shown
    }

    fn sleep_until(&self, until: Timestamp) -> Sleep<'_> {
        Box::pin(sleep_until(self, until))
    }
}

/// Sleeps until the clock shows `until`. The clock may run slower than real time or be set back, so
/// it is read again after each sleep.
async fn sleep_until(clock: &dyn Clock, until: Timestamp) {
    loop {
        let left = until.since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

/// Returns a monotonic clock: the time since this call.
pub fn monotonic() -> impl Fn() -> Duration + Send + Sync {
    let made = Instant::now();
    move || made.elapsed()
}

/// Random numbers from a per-thread generator that the operating system seeds and reseeds. Suitable
/// for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}

/// Converts an error of the host's files and processes, which may be transient.
pub fn host_error(error: io::Error) -> DriverError {
    match error.kind() {
        io::ErrorKind::StorageFull => DriverError::Unavailable(format!("the host's disk is full: {error}")),
        _ => DriverError::Unavailable(error.to_string()),
    }
}

/// Checks that a folder's file system has this much free space.
pub fn require_free_bytes(folder: &Path, required: u64) -> Result<(), DriverError> {
    let stat = statvfs(folder).map_err(|error| DriverError::Unavailable(error.to_string()))?;
    let free = stat.f_bavail * stat.f_frsize;
    match free >= required {
        true => Ok(()),
        false => Err(DriverError::Unavailable(format!(
            "the host's disk is full: {free} bytes are free in {}; {required} bytes are required",
            folder.display(),
        ))),
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
    fn an_unchanged_host_clock_is_followed_exactly() {
        let (host, clock) = Host::new();
        for _ in 0..10_000 {
            host.pass(Duration::from_nanos(700));
            assert_eq!(shown(&clock).as_micros(), host.wall().as_micros());
        }
    }

    #[test]
    fn a_forward_jump_of_the_host_clock_is_followed_slowly() {
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
        assert_eq!(shown(&clock), host.wall(), "one hour is absorbed in ten hours");
    }

    #[test]
    fn a_host_clock_set_back_slows_the_steady_clock_but_never_reverses_it() {
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
        assert!(shown(&clock) - last >= HOUR - HOUR / CATCH_UP, "the clock keeps advancing");
    }

    #[test]
    fn a_host_clock_set_back_and_corrected_leaves_no_offset() {
        for wrong in [START - HOUR, START - YEARS, Duration::ZERO] {
            let (host, clock) = Host::new();
            host.set(wrong);
            assert_eq!(shown(&clock), START);
            host.set(START);
            host.pass(HOUR);
            assert_eq!(shown(&clock), host.wall(), "no offset remains");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_lasts_until_a_slowed_clock_reaches_its_time() {
        let started_at = tokio::time::Instant::now();
        let passed = move || started_at.elapsed();
        // A host clock that stands still, as one set back by years appears to.
        let clock = SteadyClock::new(|| START, passed);
        let until = clock.now() + HOUR;
        clock.sleep_until(until).await;
        assert!(clock.now() >= until);
        assert!(started_at.elapsed() >= HOUR * 11 / 10);
    }
}
