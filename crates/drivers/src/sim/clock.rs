//! A clock that is moved by hand.

use cloudpc_model::{Clock, Sleep, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// A clock that follows another one until it is paused or moved. It never goes back.
#[derive(Clone)]
pub struct SimClock {}

impl SimClock {
    /// A clock that shows what `host` shows.
    pub fn following(_host: Arc<dyn Clock>) -> Self {
        unimplemented!()
    }

    /// A clock that stands still at `start`.
    pub fn paused(_start: Timestamp) -> Self {
        unimplemented!()
    }

    /// Whether it stands still.
    pub fn is_paused(&self) -> bool {
        unimplemented!()
    }

    /// Stops it.
    pub fn pause(&self) {
        unimplemented!()
    }

    /// Lets it follow its host again, from where it stands. A clock that has no host stays paused.
    pub fn resume(&self) {
        unimplemented!()
    }

    /// Moves it on, stopping at each sleeper on the way so that everything happens in order and at its own time.
    pub async fn advance(&self, _by: Duration) {
        unimplemented!()
    }

    /// When the next sleeper wakes, if anyone sleeps.
    pub fn next_wake(&self) -> Option<Timestamp> {
        unimplemented!()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        unimplemented!()
    }

    fn sleep_until(&self, _until: Timestamp) -> Sleep<'_> {
        unimplemented!()
    }
}
