//! External partners.

use cloudpc_model::{Change, ChangeKind, EntityType, Partner, PartnerId, TenantId};

use crate::connection::{Row, params};
use crate::rows::{self, Columns, guid_after, json, json_opt, micros};
use crate::{Reader, StoreError, Tx};

impl Reader<'_> {
    /// One partner.
    pub fn partner(&self, tenant: TenantId, id: PartnerId) -> Result<Option<Partner>, StoreError> {
        self.row(
            "SELECT tenant_id, id, partner_id, enable_connection, agent, allowed_urls, last_sync_at FROM partners
             WHERE tenant_id = ?1 AND id = ?2",
            params![tenant.0, id.0],
            partner,
        )
    }

    /// Partners by id, those above `after`.
    pub fn partner_list(
        &self,
        tenant: TenantId,
        after: Option<PartnerId>,
        limit: usize,
    ) -> Result<Vec<Partner>, StoreError> {
        self.rows(
            "SELECT tenant_id, id, partner_id, enable_connection, agent, allowed_urls, last_sync_at FROM partners
             WHERE tenant_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
            params![tenant.0, guid_after(after.map(|id| id.0)), rows::limit(limit)],
            partner,
        )
    }

    /// Number of partners.
    pub fn partner_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM partners WHERE tenant_id = ?1", params![tenant.0])
    }
}

impl Tx<'_> {
    /// Adds a partner.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the tenant has one with this `partner_id`, ignoring case.
    pub fn partner_insert(&mut self, partner: &Partner) -> Result<(), StoreError> {
        const WHAT: &str = "a partner with this partnerId";
        let same = "SELECT count(*) FROM partners WHERE tenant_id = ?1 AND lower(partner_id) = lower(?2)";
        if self.count(same, params![partner.tenant_id.0, partner.partner_id])? > 0 {
            return Err(StoreError::Exists(WHAT));
        }
        let inserted = self.execute(
            "INSERT INTO partners (tenant_id, id, partner_id, enable_connection, agent, allowed_urls, last_sync_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            params![
                partner.tenant_id.0,
                partner.id.0,
                partner.partner_id,
                partner.enable_connection,
                json_opt(partner.agent.as_ref()),
                json(&partner.allowed_urls),
                micros(partner.last_sync_at),
            ],
        )?;
        if inserted == 0 {
            return Err(StoreError::Exists(WHAT));
        }
        self.changed(partner.tenant_id, change(ChangeKind::Created, partner));
        Ok(())
    }

    /// Stores every changeable column of a partner that was read in this transaction: all but its
    /// ids.
    pub fn partner_update(&mut self, partner: &Partner) -> Result<(), StoreError> {
        self.execute(
            "UPDATE partners SET enable_connection = ?3, agent = ?4, allowed_urls = ?5, last_sync_at = ?6
             WHERE tenant_id = ?1 AND id = ?2",
            params![
                partner.tenant_id.0,
                partner.id.0,
                partner.enable_connection,
                json_opt(partner.agent.as_ref()),
                json(&partner.allowed_urls),
                micros(partner.last_sync_at),
            ],
        )?;
        self.changed(partner.tenant_id, change(ChangeKind::Updated, partner));
        Ok(())
    }

    /// Deletes a partner; its results and reports remain.
    pub fn partner_delete(&mut self, tenant: TenantId, id: PartnerId) -> Result<(), StoreError> {
        if let Some(partner) = self.partner(tenant, id)? {
            self.execute("DELETE FROM partners WHERE tenant_id = ?1 AND id = ?2", params![tenant.0, id.0])?;
            self.changed(tenant, change(ChangeKind::Deleted, &partner));
        }
        Ok(())
    }
}

fn change(kind: ChangeKind, partner: &Partner) -> Change {
    Change::new(kind, EntityType::ExternalPartner, partner.id).named(&partner.partner_id)
}

fn partner(row: Row<'_>) -> Result<Partner, StoreError> {
    let mut columns = Columns::new(row, "partners");
    Ok(Partner {
        tenant_id: TenantId(columns.get()?),
        id: PartnerId(columns.get()?),
        partner_id: columns.get()?,
        enable_connection: columns.get()?,
        agent: columns.json_opt()?,
        allowed_urls: columns.json()?,
        last_sync_at: columns.time_opt()?,
    })
}
