//! What Cloud PCs are chosen from: service plans and gallery images.

use cloudpc_model::{GalleryImage, ImageId, ServicePlan, ServicePlanId, TenantId};

use rusqlite::params;

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
