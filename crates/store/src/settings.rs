//! Small values that belong to the installation, such as signing keys.

use crate::connection::params;
use crate::{Reader, StoreError, Tx};

/// Every table but the settings and the workers that run, referring tables first.
const BELONGINGS: &[&str] = &[
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
    "counters",
    "action_events",
    "actions",
    "lines",
    "partners",
    "snapshots",
    "cloud_pc_name_parts",
    "cloud_pcs",
    "document_references",
    "document_names",
    "documents",
    "device_codes",
    "sign_in_counters",
    "provisioning_queue",
    "entitlements",
    "rollout_cloud_pcs",
    "rollouts",
    "policy_schedules",
    "licenses",
    "license_assignments",
    "subscriptions",
    "group_members",
    "groups",
    "users",
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

#[cfg(test)]
mod tests {
    use super::BELONGINGS;
    use crate::{Store, WriteMode};
    use std::collections::BTreeSet;

    #[test]
    fn a_reset_empties_every_table_but_those_of_the_installation() {
        let directory = tempfile::tempdir().unwrap();
        drop(Store::open(directory.path(), WriteMode::Inline).unwrap());
        let database = rusqlite::Connection::open(directory.path().join("cloudpc.db")).unwrap();
        let mut query = database
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            .unwrap();
        let tables: BTreeSet<String> =
            query.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        let emptied = BELONGINGS.iter().map(|table| (*table).to_owned());
        let kept = ["settings", "workers"].map(str::to_owned);
        assert_eq!(tables, emptied.chain(kept).collect());
    }
}
