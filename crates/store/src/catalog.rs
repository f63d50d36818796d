//! Service plans and gallery images.

use cloudpc_model::{GalleryImage, ImageId, ServicePlan, ServicePlanId, TenantId};

use crate::connection::dialect::{join_in_order, json_text};
use crate::connection::params;
use crate::rows::{Columns, json};
use crate::{Reader, StoreError, Tx};

impl Reader<'_> {
    /// One service plan.
    pub fn service_plan(&self, tenant: TenantId, id: ServicePlanId) -> Result<Option<ServicePlan>, StoreError> {
        self.row("SELECT plan FROM service_plans WHERE tenant_id = ?1 AND id = ?2", params![tenant.0, id.0], |row| {
            Columns::new(row, "service_plans").json()
        })
    }

    /// All service plans of a tenant, by id; there are few.
    pub fn service_plan_list(&self, tenant: TenantId) -> Result<Vec<ServicePlan>, StoreError> {
        self.rows("SELECT plan FROM service_plans WHERE tenant_id = ?1 ORDER BY id", params![tenant.0], |row| {
            Columns::new(row, "service_plans").json()
        })
    }

    /// One image.
    pub fn gallery_image(&self, tenant: TenantId, id: &ImageId) -> Result<Option<GalleryImage>, StoreError> {
        self.row("SELECT image FROM gallery_images WHERE tenant_id = ?1 AND id = ?2", params![tenant.0, id.0], |row| {
            Columns::new(row, "gallery_images").json()
        })
    }

    /// All images of a tenant, by id; there are few.
    pub fn gallery_image_list(&self, tenant: TenantId) -> Result<Vec<GalleryImage>, StoreError> {
        self.rows("SELECT image FROM gallery_images WHERE tenant_id = ?1 ORDER BY id", params![tenant.0], |row| {
            Columns::new(row, "gallery_images").json()
        })
    }

    /// Counts what prevents the removal of a gallery image.
    pub fn gallery_image_uses(&self, tenant: TenantId, id: &ImageId) -> Result<ImageUses, StoreError> {
        let key = params![tenant.0, id.0];
        Ok(ImageUses {
            cloud_pcs: self.count("SELECT count(*) FROM cloud_pcs WHERE tenant_id = ?1 AND image_id = ?2", key)?,
            reprovisions: self.count(
                concat!(
                    "SELECT count(*) FROM lines ",
                    join_in_order!(),
                    " actions ON line_id = lines.id
                     WHERE lines.tenant_id = ?1 AND open = 1 AND kind = 'reprovision' AND ",
                    json_text!("params", "imageId"),
                    " = ?2"
                ),
                key,
            )?,
            undo_records: self.count(
                concat!(
                    "SELECT count(*) FROM lines ",
                    join_in_order!(),
                    " undo_records ON line_id = lines.id WHERE lines.tenant_id = ?1 AND dropping = 0 AND ",
                    json_text!("before", "imageId"),
                    " = ?2"
                ),
                key,
            )?,
        })
    }
}

/// Numbers of what prevents the removal of a gallery image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageUses {
    /// Cloud PCs made from the image.
    pub cloud_pcs: u64,
    /// Open reprovisions that use the image.
    pub reprovisions: u64,
    /// Undo records that lead back to the image.
    pub undo_records: u64,
}

impl Tx<'_> {
    /// Adds or replaces a service plan.
    pub fn service_plan_put(&mut self, tenant: TenantId, plan: &ServicePlan) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO service_plans (tenant_id, id, plan) VALUES (?1, ?2, ?3)
             ON CONFLICT (tenant_id, id) DO UPDATE SET plan = excluded.plan",
            params![tenant.0, plan.id.0, json(plan)],
        )?;
        Ok(())
    }

    /// Adds an image.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the tenant has one with this id.
    pub fn gallery_image_insert(&mut self, tenant: TenantId, image: &GalleryImage) -> Result<(), StoreError> {
        let inserted = self.execute(
            "INSERT INTO gallery_images (tenant_id, id, image) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![tenant.0, image.id.0, json(image)],
        )?;
        if inserted == 1 { Ok(()) } else { Err(StoreError::Exists("the gallery image")) }
    }

    /// Removes an image if it exists.
    pub fn gallery_image_delete(&mut self, tenant: TenantId, id: &ImageId) -> Result<(), StoreError> {
        self.execute("DELETE FROM gallery_images WHERE tenant_id = ?1 AND id = ?2", params![tenant.0, id.0])?;
        Ok(())
    }

    /// Adds or replaces an image.
    pub fn gallery_image_put(&mut self, tenant: TenantId, image: &GalleryImage) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO gallery_images (tenant_id, id, image) VALUES (?1, ?2, ?3)
             ON CONFLICT (tenant_id, id) DO UPDATE SET image = excluded.image",
            params![tenant.0, image.id.0, json(image)],
        )?;
        Ok(())
    }
}
