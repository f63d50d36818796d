//! Service plans and gallery images.

use cloudpc_model::{Document, DocumentKey, DocumentType, GalleryImage, ImageId, ServicePlan, ServicePlanId, TenantId};

use crate::connection::dialect::{join_in_order, json_text};
use crate::connection::params;
use crate::{DocumentIndex, Reader, StoreError, Tx};

/// Most rows of a catalogue that are read at once; more than a tenant may have.
const CATALOGUE_ROWS_MAX: usize = 10_000;

impl Reader<'_> {
    /// One service plan.
    pub fn service_plan(&self, tenant: TenantId, id: ServicePlanId) -> Result<Option<ServicePlan>, StoreError> {
        let key = DocumentKey::new(DocumentType::CloudPcServicePlan, &id.to_string());
        self.document(tenant, &key)?.map(|document| known(ServicePlan::of(&document), &document)).transpose()
    }

    /// All service plans of a tenant, by id; there are few.
    pub fn service_plan_list(&self, tenant: TenantId) -> Result<Vec<ServicePlan>, StoreError> {
        let rows = self.document_list(tenant, DocumentType::CloudPcServicePlan, "", None, CATALOGUE_ROWS_MAX)?;
        rows.iter().map(|document| known(ServicePlan::of(document), document)).collect()
    }

    /// One image.
    pub fn gallery_image(&self, tenant: TenantId, id: &ImageId) -> Result<Option<GalleryImage>, StoreError> {
        let key = DocumentKey::new(DocumentType::CloudPcGalleryImage, &id.0);
        self.document(tenant, &key)?.map(|document| known(GalleryImage::of(&document), &document)).transpose()
    }

    /// All images of a tenant, by id; there are few.
    pub fn gallery_image_list(&self, tenant: TenantId) -> Result<Vec<GalleryImage>, StoreError> {
        let rows = self.document_list(tenant, DocumentType::CloudPcGalleryImage, "", None, CATALOGUE_ROWS_MAX)?;
        rows.iter().map(|document| known(GalleryImage::of(document), document)).collect()
    }

    /// One image that disks can be made from: of the gallery, or a custom image that is ready.
    pub fn image(&self, tenant: TenantId, id: &ImageId) -> Result<Option<GalleryImage>, StoreError> {
        if let Some(image) = self.gallery_image(tenant, id)? {
            return Ok(Some(image));
        }
        let key = DocumentKey::new(DocumentType::CloudPcDeviceImage, &id.0);
        Ok(self.document(tenant, &key)?.and_then(|document| GalleryImage::of_custom(&document)))
    }

    /// All images of a tenant that disks can be made from; there are few.
    pub fn image_list(&self, tenant: TenantId) -> Result<Vec<GalleryImage>, StoreError> {
        let kinds = [DocumentType::CloudPcGalleryImage, DocumentType::CloudPcDeviceImage];
        let (gallery, custom): (Vec<_>, Vec<_>) =
            self.document_list_of(tenant, kinds)?.into_iter().partition(|document| document.key.kind == kinds[0]);
        let gallery = gallery.iter().map(|document| known(GalleryImage::of(document), document));
        gallery.chain(custom.iter().filter_map(GalleryImage::of_custom).map(Ok)).collect()
    }

    /// Counts what is made from an image.
    pub fn image_uses(&self, tenant: TenantId, id: &ImageId) -> Result<ImageUses, StoreError> {
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
        self.catalogue_put(plan.document(tenant))
    }

    /// Adds or replaces an image.
    pub fn gallery_image_put(&mut self, tenant: TenantId, image: &GalleryImage) -> Result<(), StoreError> {
        self.catalogue_put(image.document(tenant))
    }

    fn catalogue_put(&mut self, document: Document) -> Result<(), StoreError> {
        let index = DocumentIndex::default();
        let written = match self.document(document.tenant_id, &document.key)? {
            Some(held) => self.document_update(&Document { revision: held.revision, ..document }, &index)?.map(drop),
            None => self.document_insert(&document, &index)?,
        };
        written.map_err(|conflict| StoreError::Corrupt { table: "documents", what: format!("{conflict:?}") })
    }
}

fn known<T>(read: Option<T>, document: &Document) -> Result<T, StoreError> {
    let corrupt = || StoreError::Corrupt { table: "documents", what: format!("the body of {:?}", document.key) };
    read.ok_or_else(corrupt)
}
