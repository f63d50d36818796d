//! What the host gives: its clock and its randomness. Everything else gets them as parameters.

use cloudpc_model::{Clock, Rng, Sleep, Timestamp};
use rand::Rng as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The host's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the host's clock")]
        let now = SystemTime::now();
        Timestamp(0) + now.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn sleep_until(&self, until: Timestamp) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(until.since(self.now())))
    }
}

/// Returns a clock that is never set: the time since it was made.
pub fn monotonic() -> impl Fn() -> Duration + Send + Sync {
    let made = Instant::now();
    move || made.elapsed()
}

/// Random numbers of a generator that each thread has for itself. The operating system seeds it, again and again, and it is fit for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}
