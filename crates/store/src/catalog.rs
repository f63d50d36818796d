//! What Cloud PCs are chosen from: service plans and gallery images.

use cloudpc_model::{GalleryImage, ImageId, ServicePlan, ServicePlanId, TenantId};

use crate::{Reader, StoreError, Tx};

impl Reader<'_> {
    /// One service plan.
    pub fn service_plan(&self, _tenant: TenantId, _id: ServicePlanId) -> Result<Option<ServicePlan>, StoreError> {
        unimplemented!()
    }

    /// All service plans of a tenant, by id; there are few.
    pub fn service_plan_list(&self, _tenant: TenantId) -> Result<Vec<ServicePlan>, StoreError> {
        unimplemented!()
    }

    /// One image.
    pub fn gallery_image(&self, _tenant: TenantId, _id: &ImageId) -> Result<Option<GalleryImage>, StoreError> {
        unimplemented!()
    }

    /// All images of a tenant, by id; there are few.
    pub fn gallery_image_list(&self, _tenant: TenantId) -> Result<Vec<GalleryImage>, StoreError> {
        unimplemented!()
    }
}

impl Tx<'_> {
    /// Adds or replaces a service plan.
    pub fn service_plan_put(&mut self, _tenant: TenantId, _plan: &ServicePlan) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Adds or replaces an image.
    pub fn gallery_image_put(&mut self, _tenant: TenantId, _image: &GalleryImage) -> Result<(), StoreError> {
        unimplemented!()
    }
}
