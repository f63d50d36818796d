//! Users whose Cloud PCs may no longer be those that policies ask for.
//!
//! Every transaction that changes a membership, a licence or an assignment puts the users that it
//! touches into the queue. A user is in it once, however often they were put there.

use cloudpc_model::{GroupId, SkuId, TenantId, Timestamp, UserId};

use crate::connection::{Row, params};
use crate::rows::{self, Columns, guid_after};
use crate::{Reader, StoreError, Tx};

macro_rules! columns {
    () => {
        "tenant_id, user_id, queued_at"
    };
}

/// A user in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedUser {
    /// Tenant.
    pub tenant_id: TenantId,
    /// User; they may have been deleted.
    pub user_id: UserId,
    /// When they were queued first.
    pub queued_at: Timestamp,
}

impl Reader<'_> {
    /// Up to `limit` users of all tenants, by tenant, and by how long they have waited.
    pub fn provisioning_queue_next(&self, limit: usize) -> Result<Vec<QueuedUser>, StoreError> {
        self.rows(
            concat!("SELECT ", columns!(), " FROM provisioning_queue ORDER BY tenant_id, queued_at, user_id LIMIT ?1"),
            params![rows::limit(limit)],
            queued_user,
        )
    }

    /// Up to `limit` users of the first tenant after `after` that has any, those that have waited
    /// longest first.
    pub fn provisioning_queue_turn(
        &self,
        after: Option<TenantId>,
        limit: usize,
    ) -> Result<Vec<QueuedUser>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM provisioning_queue
                 WHERE tenant_id = (
                     SELECT tenant_id FROM provisioning_queue WHERE tenant_id > ?1 ORDER BY tenant_id LIMIT 1
                 )
                 ORDER BY queued_at, user_id LIMIT ?2"
            ),
            params![guid_after(after.map(|tenant| tenant.0)), rows::limit(limit)],
            queued_user,
        )
    }
}

fn queued_user(row: Row<'_>) -> Result<QueuedUser, StoreError> {
    let mut columns = Columns::new(row, "provisioning_queue");
    Ok(QueuedUser { tenant_id: TenantId(columns.get()?), user_id: UserId(columns.get()?), queued_at: columns.time()? })
}

impl Tx<'_> {
    /// Queues users; those who are queued keep their place.
    pub fn provisioning_queue_put(
        &mut self,
        tenant: TenantId,
        users: &[UserId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for user in users {
            self.execute(
                "INSERT INTO provisioning_queue (tenant_id, user_id, queued_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO NOTHING",
                params![tenant.0, user.0, now.0],
            )?;
        }
        self.signal_provisioning();
        Ok(())
    }

    /// Queues the members of a group; those who are queued keep their place.
    pub fn provisioning_queue_put_members(
        &mut self,
        tenant: TenantId,
        group: GroupId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO provisioning_queue (tenant_id, user_id, queued_at)
             SELECT tenant_id, user_id, ?3 FROM group_members WHERE tenant_id = ?1 AND group_id = ?2
             ON CONFLICT DO NOTHING",
            params![tenant.0, group.0, now.0],
        )?;
        self.signal_provisioning();
        Ok(())
    }

    /// Queues the users whose Cloud PCs of a product wait until fewer of the product are in their
    /// grace period.
    pub fn provisioning_queue_put_pending(
        &mut self,
        tenant: TenantId,
        sku: SkuId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO provisioning_queue (tenant_id, user_id, queued_at)
             SELECT entitlements.tenant_id, entitlements.user_id, ?3 FROM cloud_pcs JOIN entitlements
               ON entitlements.tenant_id = cloud_pcs.tenant_id AND entitlements.cloud_pc_id = cloud_pcs.id
             WHERE cloud_pcs.tenant_id = ?1 AND status = 'pendingProvision' AND sku_id = ?2
             ON CONFLICT DO NOTHING",
            params![tenant.0, sku.0, now.0],
        )?;
        self.signal_provisioning();
        Ok(())
    }

    /// Signals [`crate::Store::provisioning_due`] after the commit.
    pub(crate) fn signal_provisioning(&mut self) {
        let queued = self.provisioning_due();
        self.after_commit(move || queued.notify_one());
    }

    /// Takes a user out of the queue. Belongs in the transaction that reads the user's groups and
    /// licences: a change after it queues the user again.
    pub fn provisioning_queue_remove(&mut self, tenant: TenantId, user: UserId) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM provisioning_queue WHERE tenant_id = ?1 AND user_id = ?2",
            params![tenant.0, user.0],
        )?;
        Ok(())
    }
}
