//! Time as a parameter.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::ops::{Add, Sub};
use std::pin::Pin;
use std::time::Duration;

/// A point in time: microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns the time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns whole seconds since 1970-01-01 UTC, as in tokens.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// The first moment of the year 0, in microseconds since 1970.
const YEAR_0: i64 = -62_167_219_200_000_000;

/// `2026-04-25T02:04:53.4722000Z`: UTC with seven fractional digits, as .NET formats a
/// DateTimeOffset. Formatted by hand because a page of results has two hundred of them.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only years of four digits have this form: other times are written as the nearest one that
        // has.
        let instant = jiff::Timestamp::from_microsecond(self.0.max(YEAR_0)).unwrap_or(jiff::Timestamp::MAX);
        let time = jiff::tz::Offset::UTC.to_datetime(instant);
        let mut text = *b"0000-00-00T00:00:00.0000000Z";
        put(&mut text[0..4], time.year().unsigned_abs().into());
        put(&mut text[5..7], time.month().unsigned_abs().into());
        put(&mut text[8..10], time.day().unsigned_abs().into());
        put(&mut text[11..13], time.hour().unsigned_abs().into());
        put(&mut text[14..16], time.minute().unsigned_abs().into());
        put(&mut text[17..19], time.second().unsigned_abs().into());
        put(&mut text[20..27], time.subsec_nanosecond().unsigned_abs() / 100);
        f.write_str(std::str::from_utf8(&text).expect("digits and punctuation are ASCII"))
    }
}

/// Writes a number right-aligned into `digits`.
fn put(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a digit is small");
        number /= 10;
    }
}

/// The future of [`Clock::sleep_until`].
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A clock. Durable times (leases, deadlines, simulated work) use only this clock, so that a
/// simulated fleet can run on a virtual one.
pub trait Clock: Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Waits until `now()` has reached `until`.
    fn sleep_until(&self, until: Timestamp) -> Sleep<'_>;
}
