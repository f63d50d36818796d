//! The names of service plans and images, for views that show them.

use cloudpc_model::{GalleryImage, ImageId, ServicePlan, ServicePlanId, TenantId};
use cloudpc_store::{Reader, StoreError};

/// The service plans and images of a tenant. There are few, so they are read whole.
#[derive(Debug, Default)]
pub struct Catalog {
    plans: Vec<ServicePlan>,
    images: Vec<GalleryImage>,
}

impl Catalog {
    /// Reads the catalog of a tenant.
    pub fn read(reader: &Reader<'_>, tenant: TenantId) -> Result<Self, StoreError> {
        Ok(Self { plans: reader.service_plan_list(tenant)?, images: reader.image_list(tenant)? })
    }

    /// Returns a service plan by id.
    pub fn plan(&self, id: ServicePlanId) -> Option<&ServicePlan> {
        self.plans.iter().find(|plan| plan.id == id)
    }

    pub(super) fn plans(&self) -> impl Iterator<Item = &ServicePlan> {
        self.plans.iter()
    }

    pub(super) fn images(&self) -> impl Iterator<Item = &GalleryImage> {
        self.images.iter()
    }

    pub(super) fn plan_name(&self, id: ServicePlanId) -> Option<&str> {
        self.plan(id).map(|plan| plan.display_name.as_str())
    }

    pub(super) fn image_name(&self, id: &ImageId) -> Option<&str> {
        self.images.iter().find(|image| image.id == *id).map(|image| image.display_name.as_str())
    }
}
