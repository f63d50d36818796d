//! The audit log: who changed what. Written in the transaction of the change; never updated.

use cloudpc_model::{Actor, TenantId, Timestamp};

use crate::{Reader, StoreError, Tx};

/// One row of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, made by the store; zero before it is stored.
    pub id: i64,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What was done, e.g. `Reprovision CloudPC`.
    pub activity: String,
    /// To what kind of thing, e.g. `CloudPC`.
    pub resource_type: String,
    /// To which.
    pub resource_id: String,
    /// The request that did it, so that a log line can be found; empty for cloudpc's own work.
    pub request_id: String,
}

impl Reader<'_> {
    /// The audit log of a tenant, newest first, rows numbered below `before`.
    pub fn audit_list(
        &self,
        _tenant: TenantId,
        _before: Option<i64>,
        _limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        unimplemented!()
    }
}

impl Tx<'_> {
    /// Adds a row.
    pub fn audit_insert(&mut self, _entry: &AuditEntry) -> Result<(), StoreError> {
        unimplemented!()
    }
}
