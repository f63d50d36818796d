//! Workers: the engines that run, each with a lease. A worker that runs many actions renews one row.
//!
//! A lease that has expired says that the worker runs nothing any more: its actions can be claimed
//! again.

use cloudpc_model::Timestamp;

use crate::connection::params;
use crate::rows::Columns;
use crate::{Reader, StoreError, Tx};

const TABLE: &str = "workers";

/// The id of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId(pub i64);

impl Reader<'_> {
    /// Whether a worker has its lease. One whose lease expired keeps it until another worker
    /// notices.
    pub fn worker_exists(&self, id: WorkerId) -> Result<bool, StoreError> {
        Ok(self.row("SELECT id FROM workers WHERE id = ?1", params![id.0], |row| row.get::<i64>(0))?.is_some())
    }

    /// The earliest time at which the lease of a worker expires that has actions, other than `own`.
    pub fn worker_next_expiry(&self, own: Option<WorkerId>) -> Result<Option<Timestamp>, StoreError> {
        let expiries = self.rows(
            "SELECT lease_until FROM workers WHERE id <> ?1
             AND EXISTS (SELECT 1 FROM actions WHERE worker_id = workers.id AND worker_id <> 0)",
            params![own.map_or(0, |own| own.0)],
            |row| Columns::new(row, TABLE).time(),
        )?;
        Ok(expiries.into_iter().min())
    }
}

impl Tx<'_> {
    /// Adds a worker.
    pub fn worker_insert(&mut self, lease_until: Timestamp) -> Result<WorkerId, StoreError> {
        let id = self.insert("INSERT INTO workers (lease_until) VALUES (?1)", params![lease_until.0])?;
        id.map(WorkerId).ok_or(StoreError::Exists("the worker"))
    }

    /// Extends the lease of a worker.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another worker has noticed that it expired.
    pub fn worker_renew(&mut self, id: WorkerId, lease_until: Timestamp) -> Result<(), StoreError> {
        let changed =
            self.execute("UPDATE workers SET lease_until = ?2 WHERE id = ?1", params![id.0, lease_until.0])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
    }

    /// Removes the workers other than `own` whose lease has expired by `now`. Their actions can be
    /// claimed again, as of then.
    pub fn worker_expire(&mut self, own: Option<WorkerId>, now: Timestamp) -> Result<(), StoreError> {
        let expired = self.rows(
            "SELECT id, lease_until FROM workers WHERE id <> ?1 AND lease_until <= ?2",
            params![own.map_or(0, |own| own.0), now.0],
            |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)),
        )?;
        for (id, lease_until) in expired {
            self.execute(
                "UPDATE actions SET worker_id = 0, claim_at = ?2 WHERE worker_id = ?1 AND worker_id <> 0",
                params![id, lease_until],
            )?;
            self.execute("DELETE FROM workers WHERE id = ?1", params![id])?;
        }
        Ok(())
    }

    /// Removes all workers. At startup the lock of the directory proves that none of them runs any
    /// more.
    pub fn worker_expire_all(&mut self) -> Result<(), StoreError> {
        self.execute(
            "UPDATE actions SET worker_id = 0, claim_at = updated_at WHERE worker_id > 0 AND worker_id <> 0",
            params![],
        )?;
        self.execute("DELETE FROM workers", params![])?;
        Ok(())
    }
}
