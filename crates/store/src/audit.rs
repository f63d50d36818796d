//! The audit log: rows are written in the transaction of the change and never updated.

use cloudpc_model::{AuditEntry, AuditResource, AuditVerb, TenantId};

use crate::connection::{Row, params};
use crate::counters::Counter;
use crate::lists::{ListColumn, ListTable};
use crate::rows::{self, Columns, json, word};
use crate::{Reader, StoreError, Tx};

macro_rules! columns {
    () => {
        "tenant_id, id, at, actor, verb, resource_type, resource_id, resource_name, result, changes, request_id, old_activity"
    };
}

/// The audit log of a tenant, newest first.
pub static AUDIT: ListTable<AuditEntry> = ListTable {
    name: "audit",
    columns: columns!(),
    width: 12,
    id: ListColumn::key("id", 0),
    descending: true,
    map: entry,
};

/// Columns by which the audit log is selected and sorted.
#[expect(missing_docs, reason = "each is named after the field of the entry")]
pub mod audit_columns {
    use super::ListColumn;

    pub const AT: ListColumn = ListColumn::indexed("at", "audit_time", 1);
    pub const RESULT: ListColumn = ListColumn::plain("result");
    /// ASCII letters in lower case.
    pub const REQUEST_ID: ListColumn = ListColumn::plain("lower(request_id)");
}

impl Reader<'_> {
    /// Lists the audit log of a tenant, newest first, rows numbered below `before`.
    pub fn audit_list(
        &self,
        tenant: TenantId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.rows(
            concat!("SELECT ", columns!(), " FROM audit WHERE tenant_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"),
            params![tenant.0, before.unwrap_or(i64::MAX), rows::limit(limit)],
            entry,
        )
    }

    /// Number of rows in the audit log of a tenant: they are numbered without gaps, and none is
    /// deleted from the middle.
    pub fn audit_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        self.count(
            "SELECT coalesce(
                (SELECT max(id) FROM audit WHERE tenant_id = ?1) - (SELECT min(id) FROM audit WHERE tenant_id = ?1) + 1, 0)",
            params![tenant.0],
        )
    }
}

impl Tx<'_> {
    /// Adds a row; the store numbers it within its tenant. The request that did it is remembered,
    /// if it can be repeated.
    pub fn audit_insert(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        let id = self.next_number(entry.tenant_id, Counter::AuditEvent, entry.tenant_id.0)?;
        self.execute(
            "INSERT INTO audit (tenant_id, id, at, actor, verb, resource_type, resource_id, resource_name, result, changes, request_id, old_activity)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                entry.tenant_id.0,
                id,
                entry.at.0,
                json(&entry.actor),
                word(entry.verb),
                entry.resource.kind.name(),
                entry.resource.id,
                entry.resource.display_name,
                word(entry.result),
                json(&entry.changes),
                entry.request_id,
                entry.old_activity,
            ],
        )?;
        match &entry.request_key {
            Some(key) => self.accepted_request_put(key, entry.at),
            None => Ok(()),
        }
    }
}

fn entry(row: Row<'_>) -> Result<AuditEntry, StoreError> {
    let mut columns = Columns::new(row, "audit");
    let tenant = TenantId(columns.get()?);
    let (id, at, actor) = (columns.get()?, columns.time()?, columns.json()?);
    let (verb, kind): (AuditVerb, _) = (columns.word()?, columns.word()?);
    let mut resource = AuditResource::new(kind, "");
    // As they were stored: the texts of old rows were not capped.
    (resource.id, resource.display_name) = (columns.get()?, columns.get()?);
    let mut entry = AuditEntry::new(tenant, at, actor, verb, resource);
    entry.id = id;
    entry.result = columns.word()?;
    entry.changes = columns.json()?;
    entry.request_id = columns.get()?;
    entry.old_activity = columns.get()?;
    Ok(entry)
}
