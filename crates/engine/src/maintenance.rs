//! Which maintenance windows apply to a Cloud PC.

use cloudpc_model::{CloudPc, DocumentKey, DocumentType, MaintenanceSchedule};
use cloudpc_store::{Reader, StoreError};
use serde::Deserialize as _;

use crate::policy::groups_of;

/// Returns the schedules of the maintenance windows that are assigned to a group of a Cloud PC's
/// user, or to the group that shares it. Those of several windows apply together; without any, no
/// window ever opens.
///
/// # Errors
/// The store fails, or holds a schedule that no version of this program accepts.
pub fn maintenance_schedules(reader: &Reader<'_>, cloud_pc: &CloudPc) -> Result<Vec<MaintenanceSchedule>, StoreError> {
    let (tenant, groups) = (cloud_pc.tenant_id, groups_of(reader, cloud_pc)?);
    let assignments = reader.document_assignments(tenant, DocumentType::CloudPcMaintenanceWindowAssignment, &groups)?;
    let mut schedules = Vec::new();
    for assigned in assignments.chunk_by(|a, b| a.key.parent == b.key.parent) {
        let key = DocumentKey::new(DocumentType::CloudPcMaintenanceWindow, &assigned[0].key.parent);
        let Some(window) = reader.document(tenant, &key)? else { continue };
        let Some(stored) = window.body.get("schedules") else { continue };
        let parsed = Vec::<MaintenanceSchedule>::deserialize(stored);
        schedules.extend(
            parsed.map_err(|error| StoreError::Corrupt { table: "documents", what: format!("schedules: {error}") })?,
        );
    }
    Ok(schedules)
}
