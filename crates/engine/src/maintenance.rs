//! Which maintenance windows apply to the Cloud PCs of a user.

use cloudpc_model::{DocumentKey, DocumentType, GroupId, MaintenanceSchedule, TenantId, UserId};
use cloudpc_store::{Reader, StoreError};
use serde::Deserialize as _;

/// Returns the schedules of the maintenance windows that are assigned to a group of a user. Those
/// of several windows apply together; without any, no window ever opens.
///
/// # Errors
/// The store fails, or holds a schedule that no version of this program accepts.
pub fn maintenance_schedules(
    reader: &Reader<'_>,
    tenant: TenantId,
    user: UserId,
) -> Result<Vec<MaintenanceSchedule>, StoreError> {
    let groups: Vec<GroupId> = reader.user_groups(tenant, user)?.into_iter().map(|group| group.id).collect();
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
