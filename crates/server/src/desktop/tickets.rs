//! Tickets: each admits whoever shows it to one thing, once, and not for long.
//!
//! They are random and remembered in memory only, so that none can be forged and none outlives the process. This module refuses to know what they admit to.

use cloudpc_model::{Clock, Rng, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::identity::random_text;

/// How long a ticket may lie before it is used.
pub const TICKET_TIME_MAX: Duration = Duration::from_secs(60);

/// Tickets that are good at the same time.
pub const TICKETS_MAX: usize = 10_000;

/// Tickets that admit to things of one kind.
pub struct Tickets<T> {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    good: Mutex<HashMap<String, Ticket<T>>>,
}

struct Ticket<T> {
    admits_to: T,
    ends_at: Timestamp,
}

impl<T> Tickets<T> {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng, good: Mutex::default() }
    }

    /// A new ticket, as text that is safe in an address; none if too many are good already.
    pub fn issue(&self, admits_to: T) -> Option<String> {
        let now = self.clock.now();
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= TICKETS_MAX {
            good.retain(|_, ticket| now < ticket.ends_at);
        }
        if good.len() >= TICKETS_MAX {
            return None;
        }
        let text = random_text(self.rng.as_ref());
        good.insert(text.clone(), Ticket { admits_to, ends_at: now + TICKET_TIME_MAX });
        Some(text)
    }

    /// What a ticket admits to. It is used by this; none if it was used before, has expired or never was one.
    pub fn redeem(&self, text: &str) -> Option<T> {
        let ticket = self.good.lock().unwrap_or_else(PoisonError::into_inner).remove(text)?;
        (self.clock.now() < ticket.ends_at).then_some(ticket.admits_to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_drivers::sim::SimClock;
    use cloudpc_model::SeededRng;

    fn tickets() -> (Tickets<usize>, SimClock) {
        let clock = SimClock::paused(Timestamp(0));
        (Tickets::new(Arc::new(clock.clone()), Arc::new(SeededRng::new(1))), clock)
    }

    #[tokio::test]
    async fn a_ticket_is_good_once_and_not_for_long() {
        let (tickets, clock) = tickets();
        let [one, two, three] = [1, 2, 3].map(|n| tickets.issue(n).unwrap());
        assert_eq!(tickets.redeem(&two), Some(2));
        assert_eq!(tickets.redeem(&two), None, "used");
        for forged in ["", "x", &two[1..], &one.to_ascii_uppercase()] {
            assert_eq!(tickets.redeem(forged), None, "{forged}");
        }
        clock.advance(TICKET_TIME_MAX - Duration::from_micros(1)).await;
        assert_eq!(tickets.redeem(&one), Some(1), "at the last moment");
        clock.advance(Duration::from_micros(1)).await;
        assert_eq!(tickets.redeem(&three), None, "expired");
    }

    #[tokio::test]
    async fn there_are_so_many_and_no_more_until_they_expire() {
        let (tickets, clock) = tickets();
        let first = tickets.issue(0).unwrap();
        assert!((1..TICKETS_MAX).all(|n| tickets.issue(n).is_some()));
        assert_eq!(tickets.issue(0), None);
        assert_eq!(tickets.redeem(&first), Some(0), "those that there are stay good");
        assert!(tickets.issue(0).is_some());
        assert_eq!(tickets.issue(0), None);
        clock.advance(TICKET_TIME_MAX).await;
        assert!(tickets.issue(0).is_some());
    }
}
