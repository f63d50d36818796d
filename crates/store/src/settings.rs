//! Small values that belong to the installation, such as signing keys.

use crate::connection::params;
use crate::{Reader, StoreError, Tx};

/// Every table but the settings and the workers that run, referring tables first.
pub(crate) const BELONGINGS: &[&str] = &[
    "accepted_requests",
    "alert_evaluations",
    "active_alerts",
    "changes",
    "webhook_deliveries",
    "desktop_tickets",
    "audit",
    "reports",
    "partner_totals",
    "activities",
    "deployment_pages",
    "deployments",
    "undo_records",
    "health_checks",
    "health_events",
    "remote_sessions",
    "counters",
    "action_events",
    "actions",
    "lines",
    "partners",
    "snapshots",
    "cloud_pc_reviews",
    "frontline_activations",
    "restore_point_schedules",
    "export_files",
    "cloud_pc_name_parts",
    "cloud_pcs",
    "document_references",
    "document_names",
    "documents",
    "device_codes",
    "authorization_codes",
    "sign_in_counters",
    "provisioning_queue",
    "shared_assignment_queue",
    "entitlements",
    "rollout_cloud_pcs",
    "rollouts",
    "bulk_action_items",
    "bulk_actions",
    "policy_schedules",
    "licenses",
    "license_assignments",
    "subscriptions",
    "group_members",
    "groups",
    "users",
    "app_certificates",
    "apps",
    "tenants",
];

impl Reader<'_> {
    /// Returns a value.
    pub fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.row("SELECT value FROM settings WHERE name = ?1", params![name], |row| row.get(0))
    }
}

impl Tx<'_> {
    /// Stores a value.
    pub fn setting_put(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            params![name, value],
        )?;
        Ok(())
    }

    /// Deletes all rows but the settings and the workers.
    pub fn reset(&mut self) -> Result<(), StoreError> {
        self.audit_count_dropped()?;
        self.changes_begin_anew()?;
        for table in BELONGINGS {
            self.execute(&format!("DELETE FROM {table}"), params![])?;
        }
        Ok(())
    }
}
