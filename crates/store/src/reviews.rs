//! Reviews of Cloud PCs that are under way.

use cloudpc_model::{CloudPcId, EntityType, Review, TenantId, Timestamp};

use crate::connection::{Row, params};
use crate::rows::{Columns, micros, word};
use crate::{Reader, StoreError, Tx};

impl Reader<'_> {
    /// Returns the review of a Cloud PC; none if it is not under review.
    pub fn review(&self, tenant: TenantId, cloud_pc: CloudPcId) -> Result<Option<Review>, StoreError> {
        self.row(
            "SELECT tenant_id, cloud_pc_id, user_access_level, subscription_id, storage_account_id, access_tier,
             started_at, restore_point_at FROM cloud_pc_reviews WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            params![tenant.0, cloud_pc.0],
            review,
        )
    }
}

impl Tx<'_> {
    /// Begins or changes the review of a Cloud PC.
    pub fn review_put(&mut self, review: &Review) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO cloud_pc_reviews (tenant_id, cloud_pc_id, user_access_level, subscription_id,
               storage_account_id, access_tier, started_at, restore_point_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (tenant_id, cloud_pc_id) DO UPDATE SET user_access_level = excluded.user_access_level,
               subscription_id = excluded.subscription_id, storage_account_id = excluded.storage_account_id,
               access_tier = excluded.access_tier, started_at = excluded.started_at,
               restore_point_at = excluded.restore_point_at",
            params![
                review.tenant_id.0,
                review.cloud_pc_id.0,
                word(review.user_access),
                review.subscription_id.as_deref(),
                review.storage_account_id.as_deref(),
                word(review.access_tier),
                review.started_at.0,
                micros(review.restore_point_at),
            ],
        )?;
        self.updated(review.tenant_id, EntityType::CloudPc, review.cloud_pc_id);
        self.signal_user_access();
        Ok(())
    }

    /// Records when the restore point of a review was taken. Has no effect if the review has ended.
    pub fn review_restore_point(
        &mut self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE cloud_pc_reviews SET restore_point_at = ?3 WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            params![tenant.0, cloud_pc.0, at.0],
        )?;
        Ok(())
    }

    /// Ends the review of a Cloud PC.
    pub fn review_delete(&mut self, tenant: TenantId, cloud_pc: CloudPcId) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM cloud_pc_reviews WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            params![tenant.0, cloud_pc.0],
        )?;
        self.updated(tenant, EntityType::CloudPc, cloud_pc);
        Ok(())
    }
}

fn review(row: Row<'_>) -> Result<Review, StoreError> {
    let mut columns = Columns::new(row, "cloud_pc_reviews");
    Ok(Review {
        tenant_id: TenantId(columns.get()?),
        cloud_pc_id: CloudPcId(columns.get()?),
        user_access: columns.word()?,
        subscription_id: columns.get()?,
        storage_account_id: columns.get()?,
        access_tier: columns.word()?,
        started_at: columns.time()?,
        restore_point_at: columns.time_opt()?,
    })
}
