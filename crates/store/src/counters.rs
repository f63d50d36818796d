//! Numbers that the rows of one owner are given: 1, 2, 3 and so on without gaps.
//!
//! A counter is a row, which the first transaction that takes a number from it locks until its
//! commit. So the numbers are in the order of the commits, even with several writers.

use cloudpc_model::TenantId;
use strum::IntoStaticStr;
use uuid::Uuid;

use crate::connection::params;
use crate::rows::word;
use crate::{StoreError, Tx};

/// What is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub(crate) enum Counter {
    /// Rows of the audit log; the owner is the tenant.
    AuditEvent,
    /// Reports of a partner.
    Report,
    /// Health events of a Cloud PC.
    HealthEvent,
}

impl Tx<'_> {
    /// Takes the next number of an owner.
    pub(crate) fn next_number(&mut self, tenant: TenantId, counter: Counter, owner: Uuid) -> Result<i64, StoreError> {
        let kind = word(counter);
        let key = params![tenant.0, kind, owner];
        self.execute(
            "INSERT INTO counters (tenant_id, kind, owner_id, value) VALUES (?1, ?2, ?3, 1)
             ON CONFLICT (tenant_id, kind, owner_id) DO UPDATE SET value = counters.value + 1",
            key,
        )?;
        self.value("SELECT value FROM counters WHERE tenant_id = ?1 AND kind = ?2 AND owner_id = ?3", key)
    }
}
