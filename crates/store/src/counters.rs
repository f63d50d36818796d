//! Numbers that the rows of one owner are given: 1, 2, 3 and so on without gaps.
//!
//! A counter is a row, which the first transaction that takes a number from it locks until its
//! commit. So the numbers are in the order of the commits, even with several writers.

use cloudpc_model::TenantId;
use strum::IntoStaticStr;
use uuid::Uuid;

use crate::connection::params;
use crate::rows::word;
use crate::{Reader, StoreError, Tx};

/// What is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub(crate) enum Counter {
    /// Rows of the audit log; the owner is the tenant.
    AuditEvent,
    /// Rows of the change feed; the owner is the tenant.
    Change,
    /// Reports of a partner.
    Report,
    /// Health events of a Cloud PC.
    HealthEvent,
    /// Remote sessions of a Cloud PC.
    RemoteSession,
}

impl Reader<'_> {
    /// Returns the last number that an owner was given; zero if there was none.
    pub(crate) fn last_number(&self, tenant: TenantId, counter: Counter, owner: Uuid) -> Result<i64, StoreError> {
        let value = self.row(
            "SELECT value FROM counters WHERE tenant_id = ?1 AND kind = ?2 AND owner_id = ?3",
            params![tenant.0, word(counter), owner],
            |row| row.get(0),
        )?;
        Ok(value.unwrap_or_default())
    }
}

impl Tx<'_> {
    /// Takes the next number of an owner.
    pub(crate) fn next_number(&mut self, tenant: TenantId, counter: Counter, owner: Uuid) -> Result<i64, StoreError> {
        self.take_numbers(tenant, counter, owner, 1)
    }

    /// Takes the next `count` numbers of an owner and returns the last of them.
    pub(crate) fn take_numbers(
        &mut self,
        tenant: TenantId,
        counter: Counter,
        owner: Uuid,
        count: i64,
    ) -> Result<i64, StoreError> {
        self.execute(
            "INSERT INTO counters (tenant_id, kind, owner_id, value) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tenant_id, kind, owner_id) DO UPDATE SET value = counters.value + excluded.value",
            params![tenant.0, word(counter), owner, count],
        )?;
        self.last_number(tenant, counter, owner)
    }
}
