//! The audit log: who changed what. Written in the transaction of the change; never updated.

use cloudpc_model::{Actor, TenantId, Timestamp};

use rusqlite::params;

use crate::rows::{self, Columns, json};
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
        tenant: TenantId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.rows(
            "SELECT id, tenant_id, at, actor, activity, resource_type, resource_id, request_id FROM audit
             WHERE tenant_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
            params![tenant.0, before.unwrap_or(i64::MAX), rows::limit(limit)],
            |row| {
                let mut columns = Columns::new(row, "audit");
                Ok(AuditEntry {
                    id: columns.get()?,
                    tenant_id: TenantId(columns.get()?),
                    at: columns.time()?,
                    actor: columns.json()?,
                    activity: columns.get()?,
                    resource_type: columns.get()?,
                    resource_id: columns.get()?,
                    request_id: columns.get()?,
                })
            },
        )
    }
}

impl Tx<'_> {
    /// Adds a row; the store numbers it, within its tenant.
    pub fn audit_insert(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO audit (tenant_id, id, at, actor, activity, resource_type, resource_id, request_id)
             VALUES (?1, (SELECT coalesce(max(id), 0) + 1 FROM audit WHERE tenant_id = ?1), ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                entry.tenant_id.0,
                entry.at.0,
                json(&entry.actor),
                entry.activity,
                entry.resource_type,
                entry.resource_id,
                entry.request_id,
            ],
        )?;
        Ok(())
    }
}
