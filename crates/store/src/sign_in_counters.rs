//! Counts of authentication attempts within a window of time, for the limits of the token service.

use cloudpc_model::{TenantId, Timestamp};
use std::time::Duration;
use uuid::Uuid;

use crate::connection::dialect::greater;
use crate::connection::params;
use crate::{Reader, StoreError, Tx};

/// Most counters. Beyond it the one that expires first is deleted, so that invented names take a
/// bounded amount of disk.
pub const SIGN_IN_COUNTERS_MAX: u64 = 100_000;

/// What a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignInCounter {
    /// Tenant of what is counted, if any.
    pub tenant_id: Option<TenantId>,
    /// SHA-256 of what is counted.
    pub subject: [u8; 32],
    /// Length of the window, which begins with the first event.
    pub window: Duration,
}

impl Reader<'_> {
    /// The count within the current window.
    pub fn sign_in_count(&self, counter: &SignInCounter, now: Timestamp) -> Result<u64, StoreError> {
        self.count(
            "SELECT coalesce((SELECT count FROM sign_in_counters
             WHERE tenant_id = ?1 AND subject = ?2 AND expires_at > ?3 AND expires_at <= ?4), 0)",
            params![counter.tenant(), counter.subject, now.0, (now + counter.window).0],
        )
    }
}

impl Tx<'_> {
    /// Counts one event; returns the count with it. A window that cannot have begun yet, because
    /// the clock was set back, begins anew.
    pub fn sign_in_count_add(&mut self, counter: &SignInCounter, now: Timestamp) -> Result<u64, StoreError> {
        let count = self.sign_in_count(counter, now)?;
        let expires = (now + counter.window).0;
        if count == 0 {
            self.sign_in_counters_sweep(now, SIGN_IN_COUNTERS_MAX - 1)?;
            self.execute(
                "INSERT INTO sign_in_counters (tenant_id, subject, count, expires_at) VALUES (?1, ?2, 1, ?3)
                 ON CONFLICT (tenant_id, subject) DO UPDATE SET count = excluded.count, expires_at = excluded.expires_at",
                params![counter.tenant(), counter.subject, expires],
            )?;
        } else {
            self.execute(
                "UPDATE sign_in_counters SET count = count + 1 WHERE tenant_id = ?1 AND subject = ?2",
                params![counter.tenant(), counter.subject],
            )?;
        }
        Ok(count + 1)
    }

    /// Subtracts `events` from a count.
    pub fn sign_in_count_subtract(&mut self, counter: &SignInCounter, events: u64) -> Result<(), StoreError> {
        self.execute(
            concat!(
                "UPDATE sign_in_counters SET count = ",
                greater!("count - ?3", "0"),
                " WHERE tenant_id = ?1 AND subject = ?2"
            ),
            params![counter.tenant(), counter.subject, events.cast_signed()],
        )?;
        Ok(())
    }

    /// Deletes counters whose window has ended, and beyond `kept` those that expire first.
    pub fn sign_in_counters_sweep(&mut self, now: Timestamp, kept: u64) -> Result<(), StoreError> {
        self.execute("DELETE FROM sign_in_counters WHERE expires_at <= ?1", params![now.0])?;
        let surplus = self.count("SELECT count(*) FROM sign_in_counters", params![])?.saturating_sub(kept);
        if surplus > 0 {
            self.execute(
                "DELETE FROM sign_in_counters WHERE (tenant_id, subject) IN
                 (SELECT tenant_id, subject FROM sign_in_counters ORDER BY expires_at LIMIT ?1)",
                params![surplus.cast_signed()],
            )?;
        }
        Ok(())
    }
}

impl SignInCounter {
    fn tenant(&self) -> Uuid {
        self.tenant_id.map_or(Uuid::nil(), |tenant| tenant.0)
    }
}
