//! `GET …/auditEvents`

use cloudpc_model::{AuditEntry, TenantId};
use cloudpc_store::{AUDIT, ListTable, Reader};
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{
    Collection, ListProperty, ListSource, PropertySet, TableCollection, invalid_skip_token, page,
};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::audit::{audit_event, property};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, AuditEvents(call.clone())).await
}

/// The audit log of a tenant, newest first.
pub(super) struct AuditEvents(pub(super) Arc<Call>);

impl Collection for AuditEvents {
    type Row = AuditEntry;

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<AuditEntry>, Problem> {
        let before = position.map(str::parse::<i64>).transpose().map_err(|_| invalid_skip_token())?;
        Ok(reader.audit_list(self.0.tenant(), before, limit)?)
    }

    fn position(&self, row: &AuditEntry) -> String {
        row.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.audit_count(self.0.tenant())?))
    }

    fn source(&self) -> Option<&dyn ListSource<AuditEntry>> {
        Some(self)
    }

    fn view<'a>(&'a self, row: &'a AuditEntry, _: PropertySet) -> impl Serialize + 'a {
        audit_event(row, self.0.version())
    }
}

impl TableCollection for AuditEvents {
    type Stored = AuditEntry;

    fn table(&self) -> &'static ListTable<AuditEntry> {
        &AUDIT
    }

    fn tenant(&self) -> TenantId {
        self.0.tenant()
    }

    fn property(&self, path: &str) -> Option<ListProperty> {
        property(path)
    }

    fn row(&self, _: &Reader<'_>, stored: AuditEntry) -> Result<AuditEntry, Problem> {
        Ok(stored)
    }
}
