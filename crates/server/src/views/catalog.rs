//! The names of service plans, images and connections and the scope tags of policies, for views
//! that show them.

use cloudpc_model::{CloudPc, GalleryImage, ImageId, ServicePlan, ServicePlanId, TenantId};
use cloudpc_store::{Reader, StoreError};
use std::collections::HashMap;
use std::sync::LazyLock;

use crate::rbac::DEFAULT_TAG;

static DEFAULT_TAGS: LazyLock<[String; 1]> = LazyLock::new(|| [DEFAULT_TAG.to_owned()]);

/// The service plans, images and connections of a tenant. There are few, so they are read whole.
#[derive(Debug, Default)]
pub struct Catalog {
    plans: Vec<ServicePlan>,
    images: Vec<GalleryImage>,
    /// The scope tags of policies that have others than the default one, by the policies' ids in
    /// lower case.
    scope_tags: HashMap<String, Vec<String>>,
    /// The names of on-premises connections, by their ids.
    connections: HashMap<String, String>,
}

impl Catalog {
    /// Reads the catalog of a tenant.
    pub fn read(reader: &Reader<'_>, tenant: TenantId) -> Result<Self, StoreError> {
        let tags = reader.policy_scope_tags(tenant)?.into_iter().filter(|(_, tags)| !tags.is_empty());
        Ok(Self {
            plans: reader.service_plan_list(tenant)?,
            images: reader.image_list(tenant)?,
            connections: reader.connection_names(tenant)?.into_iter().collect(),
            scope_tags: tags.map(|(policy, tags)| (policy.to_ascii_lowercase(), tags)).collect(),
        })
    }

    /// Returns a service plan by id.
    pub fn plan(&self, id: ServicePlanId) -> Option<&ServicePlan> {
        self.plans.iter().find(|plan| plan.id == id)
    }

    /// Returns the scope tags of a Cloud PC: those of its policy.
    pub(super) fn scope_tags(&self, cloud_pc: &CloudPc) -> &[String] {
        if self.scope_tags.is_empty() {
            return &DEFAULT_TAGS[..];
        }
        let policy = cloud_pc.provisioning_policy_id.to_ascii_lowercase();
        self.scope_tags.get(&policy).map_or(&DEFAULT_TAGS[..], Vec::as_slice)
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = (&str, &str)> {
        self.connections.iter().map(|(id, name)| (id.as_str(), name.as_str()))
    }

    pub(super) fn connection_name(&self, id: &str) -> Option<&str> {
        self.connections.get(id).map(String::as_str)
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
