//! Retries of a loop after errors of the store.

use cloudpc_model::Timestamp;
use cloudpc_store::StoreError;
use std::time::Duration;

/// Pause after the first error; it doubles with each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The errors of a loop since its last success.
#[derive(Default)]
pub(super) struct StoreRetry {
    failures: u32,
    last: Option<String>,
}

impl StoreRetry {
    /// Logs an error unless it repeats the one before, or the store has logged it; returns when to
    /// retry.
    pub fn after(&mut self, error: &StoreError, what: &'static str, now: Timestamp) -> Timestamp {
        if self.is_news(error) && !error.is_disk_refusal() {
            tracing::error!(%error, "{what}; retrying");
        }
        let pause = PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        now + pause
    }

    /// Notes a success: the next error is logged again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn is_news(&mut self, error: &StoreError) -> bool {
        let text = error.to_string();
        let is_news = self.last.as_ref() != Some(&text);
        self.last = Some(text);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_limit_until_a_success() {
        let mut retry = StoreRetry::default();
        let mut pause = || retry.after(&StoreError::Closed, "x", Timestamp(0)).since(Timestamp(0)).as_secs();
        assert_eq!([pause(), pause(), pause(), pause(), pause(), pause()], [1, 2, 4, 8, 16, 30]);
        for _ in 0..100 {
            assert_eq!(pause(), PAUSE_MAX.as_secs());
        }
        retry.reset();
        assert_eq!(retry.after(&StoreError::Closed, "x", Timestamp(0)), Timestamp(0) + PAUSE);
    }

    #[test]
    fn an_error_that_repeats_is_logged_once() {
        let mut retry = StoreRetry::default();
        let (first, second) = (StoreError::Exists("a row"), StoreError::Exists("another row"));
        let news = [&first, &first, &second, &first].map(|error| retry.is_news(error));
        assert_eq!(news, [true, false, true, true]);
        retry.reset();
        assert!(retry.is_news(&first));
    }
}
