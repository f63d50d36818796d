//! Requests that were carried out, so that a repeat of one starts nothing twice.
//!
//! The row of a request is written with its audit row, in the transaction of what it changes
//! ([`Tx::audit_insert`]): it is there exactly if the change is. The answer follows once it is
//! known.

use cloudpc_model::{RequestKey, TenantId, Timestamp};
use std::time::Duration;

use crate::connection::params;
use crate::rows::{Columns, limit};
use crate::{Reader, StoreError, Tx};

const TABLE: &str = "accepted_requests";

/// How long a repeat of a request is recognised. The retries of Microsoft's SDKs end within ten
/// minutes: three, each after at most 180 seconds.
pub const ACCEPTED_REQUEST_WINDOW: Duration = Duration::from_mins(15);
/// Most requests of one caller that are remembered. The oldest is forgotten for a newer one.
pub const ACCEPTED_REQUESTS_PER_CALLER_MAX: usize = 256;

/// A request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRequest {
    /// What was answered, as [`Tx::accepted_request_answer`] got it; none if that is not known.
    pub answer: Option<String>,
}

impl Reader<'_> {
    /// The request that was carried out under a key, unless that was too long ago.
    pub fn accepted_request(&self, key: &RequestKey, now: Timestamp) -> Result<Option<AcceptedRequest>, StoreError> {
        self.row(
            "SELECT answer FROM accepted_requests WHERE tenant_id = ?1 AND hash = ?2 AND accepted_at > ?3",
            params![key.tenant_id.0, key.hash, window_start(now).0],
            |row| Ok(AcceptedRequest { answer: Columns::new(row, TABLE).get()? }),
        )
    }

    /// Number of remembered requests of a tenant.
    pub fn accepted_request_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM accepted_requests WHERE tenant_id = ?1", params![tenant.0])
    }
}

impl Tx<'_> {
    /// Notes that a request was carried out, once, and forgets what is too old or too much.
    pub(crate) fn accepted_request_put(&mut self, key: &RequestKey, now: Timestamp) -> Result<(), StoreError> {
        let RequestKey { tenant_id, caller, hash } = key;
        self.execute(
            "DELETE FROM accepted_requests WHERE tenant_id = ?1 AND accepted_at <= ?2",
            params![tenant_id.0, window_start(now).0],
        )?;
        if self.accepted_request(key, now)?.is_some() {
            return Ok(());
        }
        // One is added each time, so it suffices to remove one.
        let oldest_kept = ACCEPTED_REQUESTS_PER_CALLER_MAX - 1;
        self.execute(
            "DELETE FROM accepted_requests WHERE tenant_id = ?1 AND hash = (
                SELECT hash FROM accepted_requests WHERE tenant_id = ?1 AND caller = ?2
                ORDER BY accepted_at DESC, hash DESC LIMIT 1 OFFSET ?3)",
            params![tenant_id.0, *caller, limit(oldest_kept)],
        )?;
        self.execute(
            "INSERT INTO accepted_requests (tenant_id, hash, caller, accepted_at) VALUES (?1, ?2, ?3, ?4)",
            params![tenant_id.0, *hash, *caller, now.0],
        )?;
        Ok(())
    }

    /// Keeps the answer to a request, if the request is remembered.
    pub fn accepted_request_answer(&mut self, key: &RequestKey, answer: &str) -> Result<(), StoreError> {
        self.execute(
            "UPDATE accepted_requests SET answer = ?3 WHERE tenant_id = ?1 AND hash = ?2",
            params![key.tenant_id.0, key.hash, answer],
        )?;
        Ok(())
    }

    /// Forgets a request, so that a repeat is carried out.
    pub fn accepted_request_delete(&mut self, key: &RequestKey) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM accepted_requests WHERE tenant_id = ?1 AND hash = ?2",
            params![key.tenant_id.0, key.hash],
        )?;
        Ok(())
    }
}

/// Requests up to this time are forgotten.
fn window_start(now: Timestamp) -> Timestamp {
    let micros = i64::try_from(ACCEPTED_REQUEST_WINDOW.as_micros()).expect("minutes fit");
    Timestamp(now.0.saturating_sub(micros))
}
