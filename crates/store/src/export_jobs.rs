//! The files of export jobs. The job itself is a document; here is who asked for it, and what it
//! has produced.

use cloudpc_model::{TenantId, Timestamp};

use crate::connection::{Row, params};
use crate::rows::Columns;
use crate::{Reader, StoreError, Tx};

const TABLE: &str = "export_files";

/// An export that waits or is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingExport {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id of the job.
    pub job_id: String,
    /// Who asked for it, as the server writes it.
    pub caller: String,
}

/// The file of a job that has ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportFile {
    /// Who asked for it, as the server writes it.
    pub caller: String,
    /// The bytes of the file.
    pub content: Vec<u8>,
    /// When the file is deleted.
    pub expires_at: Timestamp,
}

impl Reader<'_> {
    /// Returns the export that has waited longest.
    pub fn export_pending(&self) -> Result<Option<PendingExport>, StoreError> {
        self.row(
            "SELECT tenant_id, job_id, caller FROM export_files WHERE expires_at IS NULL
             ORDER BY requested_at, tenant_id, job_id LIMIT 1",
            params![],
            pending,
        )
    }

    /// Returns when the next file expires.
    pub fn export_next_expiry(&self) -> Result<Option<Timestamp>, StoreError> {
        self.row(
            "SELECT expires_at FROM export_files WHERE expires_at IS NOT NULL
             ORDER BY expires_at, tenant_id, job_id LIMIT 1",
            params![],
            |row| Columns::new(row, TABLE).time(),
        )
    }

    /// Returns the jobs whose files have expired.
    pub fn exports_expired(&self, now: Timestamp) -> Result<Vec<(TenantId, String)>, StoreError> {
        self.rows(
            "SELECT tenant_id, job_id FROM export_files WHERE expires_at IS NOT NULL AND expires_at <= ?1
             ORDER BY expires_at, tenant_id, job_id",
            params![now.0],
            |row| Ok((TenantId(row.get(0)?), row.get(1)?)),
        )
    }

    /// Returns the file of a job; none if there is none, or none yet.
    pub fn export_file(&self, tenant: TenantId, job: &str) -> Result<Option<ExportFile>, StoreError> {
        self.row(
            "SELECT caller, content, expires_at FROM export_files
             WHERE tenant_id = ?1 AND job_id = ?2 AND content IS NOT NULL AND expires_at IS NOT NULL",
            params![tenant.0, job],
            |row| {
                let mut columns = Columns::new(row, TABLE);
                Ok(ExportFile { caller: columns.get()?, content: columns.get()?, expires_at: columns.time()? })
            },
        )
    }
}

impl Tx<'_> {
    /// Adds an export.
    pub fn export_insert(&mut self, export: &PendingExport, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO export_files (tenant_id, job_id, caller, requested_at) VALUES (?1, ?2, ?3, ?4)",
            params![export.tenant_id.0, export.job_id, export.caller, now.0],
        )?;
        Ok(())
    }

    /// Ends an export, with its file or without.
    pub fn export_finish(
        &mut self,
        tenant: TenantId,
        job: &str,
        content: Option<&[u8]>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE export_files SET content = ?3, expires_at = ?4 WHERE tenant_id = ?1 AND job_id = ?2",
            params![tenant.0, job, content, expires_at.0],
        )?;
        Ok(())
    }

    /// Deletes an export and its file.
    pub fn export_delete(&mut self, tenant: TenantId, job: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM export_files WHERE tenant_id = ?1 AND job_id = ?2", params![tenant.0, job])?;
        Ok(())
    }
}

fn pending(row: Row<'_>) -> Result<PendingExport, StoreError> {
    let mut columns = Columns::new(row, TABLE);
    Ok(PendingExport { tenant_id: TenantId(columns.get()?), job_id: columns.get()?, caller: columns.get()? })
}
