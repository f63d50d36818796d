//! Alerts: which tenants' rules have to be evaluated, and which alerts are active. The rules and
//! the records are documents.
//!
//! Every write that changes what a rule may watch (a Cloud PC that becomes or no longer is `failed`
//! or `inGracePeriod`, a device image, a connection, a rule) queues its tenant. A tenant is queued
//! once, however often it is put there.

use cloudpc_model::{CloudPc, CloudPcStatus, DocumentType, TenantId};

use crate::connection::params;
use crate::rows::{Columns, guid_after, limit as row_limit, word};
use crate::{Reader, StoreError, Tx};

impl Reader<'_> {
    /// The first tenant after `after` whose rules have to be evaluated.
    pub fn alert_evaluation_next(&self, after: Option<TenantId>) -> Result<Option<TenantId>, StoreError> {
        self.row(
            "SELECT tenant_id FROM alert_evaluations WHERE tenant_id > ?1 ORDER BY tenant_id LIMIT 1",
            params![guid_after(after.map(|tenant| tenant.0))],
            |row| Ok(TenantId(Columns::new(row, "alert_evaluations").get()?)),
        )
    }

    /// The active alerts of a tenant: the rule and the record of each, by rule.
    pub fn active_alert_list(&self, tenant: TenantId) -> Result<Vec<(String, String)>, StoreError> {
        self.rows(
            "SELECT rule_id, record_id FROM active_alerts WHERE tenant_id = ?1 ORDER BY rule_id",
            params![tenant.0],
            |row| {
                let mut columns = Columns::new(row, "active_alerts");
                Ok((columns.get()?, columns.get()?))
            },
        )
    }

    /// Number of Cloud PCs with a status; counting stops at `most`.
    pub fn cloud_pc_count_with_status(
        &self,
        tenant: TenantId,
        status: CloudPcStatus,
        most: usize,
    ) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM (SELECT 1 FROM cloud_pcs WHERE tenant_id = ?1 AND status = ?2 LIMIT ?3)",
            params![tenant.0, word(status), row_limit(most)],
        )
    }
}

impl Tx<'_> {
    /// Queues a tenant for the evaluation of its rules.
    pub(crate) fn alert_evaluation_put(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        let queued = self.execute(
            "INSERT INTO alert_evaluations (tenant_id) VALUES (?1) ON CONFLICT DO NOTHING",
            params![tenant.0],
        )?;
        if queued == 1 {
            self.signal_provisioning();
        }
        Ok(())
    }

    /// Queues the tenant of a Cloud PC whose stored status is about to change, if rules watch its
    /// old or its new one.
    pub(crate) fn alert_evaluation_put_by_status(&mut self, cloud_pc: &CloudPc) -> Result<(), StoreError> {
        let queued = self.execute(
            "INSERT INTO alert_evaluations (tenant_id) SELECT tenant_id FROM cloud_pcs
             WHERE tenant_id = ?1 AND id = ?2 AND status <> ?3
               AND (status IN ('failed', 'inGracePeriod') OR ?3 IN ('failed', 'inGracePeriod'))
             ON CONFLICT DO NOTHING",
            params![cloud_pc.tenant_id.0, cloud_pc.id.0, word(cloud_pc.status)],
        )?;
        if queued == 1 {
            self.signal_provisioning();
        }
        Ok(())
    }

    /// Queues a tenant if rules watch documents of this type.
    pub(crate) fn alert_evaluation_put_by_document(
        &mut self,
        tenant: TenantId,
        kind: DocumentType,
    ) -> Result<(), StoreError> {
        use DocumentType::{AlertRule, CloudPcDeviceImage, CloudPcOnPremisesConnection};
        match kind {
            AlertRule | CloudPcDeviceImage | CloudPcOnPremisesConnection => self.alert_evaluation_put(tenant),
            _ => Ok(()),
        }
    }

    /// Takes a tenant out of the queue. Belongs in the transaction that evaluates its rules.
    pub fn alert_evaluation_remove(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        self.execute("DELETE FROM alert_evaluations WHERE tenant_id = ?1", params![tenant.0])?;
        Ok(())
    }

    /// Notes the record of a rule's active alert.
    pub fn active_alert_put(&mut self, tenant: TenantId, rule: &str, record: &str) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO active_alerts (tenant_id, rule_id, record_id) VALUES (?1, ?2, ?3)
             ON CONFLICT (tenant_id, rule_id) DO UPDATE SET record_id = excluded.record_id",
            params![tenant.0, rule, record],
        )?;
        Ok(())
    }

    /// Notes that a rule has no active alert.
    pub fn active_alert_remove(&mut self, tenant: TenantId, rule: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM active_alerts WHERE tenant_id = ?1 AND rule_id = ?2", params![tenant.0, rule])?;
        Ok(())
    }
}

/// Whether rules watch Cloud PCs with this status.
pub(crate) fn is_watched(status: CloudPcStatus) -> bool {
    matches!(status, CloudPcStatus::Failed | CloudPcStatus::InGracePeriod)
}
