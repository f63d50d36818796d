//! `cloudPcServicePlan`, `cloudPcGalleryImage`, and their names for other views.

use cloudpc_graph::Version;
use cloudpc_model::{GalleryImage, ImageId, Product, ServicePlan, ServicePlanId, TenantId};
use cloudpc_store::{Reader, StoreError};
use serde::Serialize;

use super::{Shown, late_member};

/// The service plans and gallery images of a tenant. There are few, so they are read whole.
#[derive(Debug, Default)]
pub struct Catalog {
    plans: Vec<ServicePlan>,
    images: Vec<GalleryImage>,
}

impl Catalog {
    /// Reads the catalog of a tenant.
    pub fn read(reader: &Reader<'_>, tenant: TenantId) -> Result<Self, StoreError> {
        Ok(Self { plans: reader.service_plan_list(tenant)?, images: reader.gallery_image_list(tenant)? })
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

/// `cloudPcServicePlan`
#[derive(Debug, Serialize)]
pub struct ServicePlanView<'a> {
    id: Shown<ServicePlanId>,
    #[serde(rename = "displayName")]
    display_name: &'a str,
    #[serde(rename = "vCpuCount")]
    vcpu_count: u32,
    #[serde(rename = "ramInGB")]
    ram_gib: u32,
    #[serde(rename = "storageInGB")]
    storage_gib: u32,
    #[serde(flatten)]
    beta: Option<ServicePlanBeta>,
}

#[derive(Debug, Serialize)]
struct ServicePlanBeta {
    #[serde(rename = "type")]
    plan_type: &'static str,
    #[serde(rename = "userProfileInGB")]
    user_profile_gib: u32,
    #[serde(rename = "provisioningType")]
    provisioning_type: &'static str,
    #[serde(rename = "supportedSolution")]
    supported_solution: &'static str,
}

/// Returns the view of a service plan.
pub fn service_plan(plan: &ServicePlan, version: Version, unknown_enum_members: bool) -> ServicePlanView<'_> {
    let beta = || ServicePlanBeta {
        plan_type: match plan.product {
            Product::Enterprise | Product::Frontline => "enterprise",
            Product::Business => "business",
        },
        user_profile_gib: 0,
        provisioning_type: match plan.product {
            Product::Enterprise | Product::Business => "dedicated",
            Product::Frontline => late_member("sharedByUser", unknown_enum_members),
        },
        supported_solution: "windows365",
    };
    ServicePlanView {
        id: Shown(plan.id),
        display_name: &plan.display_name,
        vcpu_count: plan.vcpu_count,
        ram_gib: plan.ram_gib,
        storage_gib: plan.storage_gib,
        beta: (version == Version::Beta).then(beta),
    }
}

/// `cloudPcGalleryImage`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GalleryImageView<'a> {
    id: &'a str,
    display_name: &'a str,
    publisher_name: &'a str,
    offer_name: &'a str,
    sku_name: &'a str,
    #[serde(rename = "sizeInGB")]
    size_gib: u32,
    status: &'static str,
    os_version_number: &'a str,
    start_date: Option<&'a str>,
    end_date: Option<&'a str>,
    expiration_date: Option<&'a str>,
    #[serde(flatten)]
    beta: Option<GalleryImageBeta<'a>>,
}

/// Properties under older names, which beta still has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GalleryImageBeta<'a> {
    publisher: &'a str,
    offer: &'a str,
    offer_display_name: &'a str,
    sku: &'a str,
    sku_display_name: &'a str,
    recommended_sku: Option<&'a str>,
}

/// Returns the view of an image. Publisher, offer and SKU are parts of its id.
pub fn gallery_image(image: &GalleryImage, version: Version) -> GalleryImageView<'_> {
    let mut parts = image.id.0.splitn(3, '_');
    let mut part = || parts.next().unwrap_or_default();
    let (publisher, offer, sku) = (part(), part(), part());
    let beta = || GalleryImageBeta {
        publisher,
        offer,
        offer_display_name: offer,
        sku,
        sku_display_name: sku,
        recommended_sku: None,
    };
    GalleryImageView {
        id: &image.id.0,
        display_name: &image.display_name,
        publisher_name: publisher,
        offer_name: offer,
        sku_name: sku,
        size_gib: image.size_gib,
        status: "supported",
        os_version_number: image.os_version_number.as_deref().unwrap_or_else(|| image.os_version.number()),
        start_date: None,
        end_date: None,
        expiration_date: None,
        beta: (version == Version::Beta).then(beta),
    }
}
