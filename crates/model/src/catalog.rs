//! Service plans and gallery images, which are kept as documents.

use serde_json::{Value, json};

use crate::{
    Document, DocumentKey, DocumentType, GalleryImage, ImageId, Object, OsVersion, Product, ServicePlan, TenantId,
    Timestamp,
};

impl ServicePlan {
    /// Returns the document of the plan. Product and GPU are the service's own, in its status.
    pub fn document(&self, tenant_id: TenantId) -> Document {
        let (plan_type, provisioning) = match self.product {
            Product::Enterprise => ("enterprise", "dedicated"),
            Product::Business => ("business", "dedicated"),
            Product::Frontline => ("enterprise", "sharedByUser"),
        };
        let product: &str = self.product.into();
        let body = json!({
            "displayName": self.display_name,
            "vCpuCount": self.vcpu_count,
            "ramInGB": self.ram_gib,
            "storageInGB": self.storage_gib,
            "userProfileInGB": 0,
            "type": plan_type,
            "provisioningType": provisioning,
            "supportedSolution": "windows365",
        });
        let key = DocumentKey::new(DocumentType::CloudPcServicePlan, &self.id.to_string());
        made(tenant_id, key, body, json!({"product": product, "gpu": self.gpu}))
    }

    /// Returns the plan of a document; none if the document is not one.
    pub fn of(document: &Document) -> Option<Self> {
        let (body, status) = (&document.body, &document.status);
        Some(Self {
            id: document.key.id.parse().ok()?,
            display_name: text(body, "displayName")?.to_owned(),
            vcpu_count: number(body, "vCpuCount")?,
            ram_gib: number(body, "ramInGB")?,
            storage_gib: number(body, "storageInGB")?,
            product: text(status, "product")?.parse().ok()?,
            gpu: status.get("gpu")?.as_bool()?,
        })
    }
}

impl GalleryImage {
    /// Returns the document of the image.
    pub fn document(&self, tenant_id: TenantId) -> Document {
        let number = self.os_version_number.as_deref().unwrap_or_else(|| self.os_version.number());
        let body = json!({"displayName": self.display_name, "sizeInGB": self.size_gib, "osVersionNumber": number});
        made(tenant_id, DocumentKey::new(DocumentType::CloudPcGalleryImage, &self.id.0), body, json!({}))
    }

    /// Returns the image of a device image; none unless that is ready. An image whose operating
    /// system is not Windows counts as Windows 11, as in the gallery.
    pub fn of_custom(document: &Document) -> Option<Self> {
        let status = &document.status;
        if document.key.kind != DocumentType::CloudPcDeviceImage || text(status, "status")? != "ready" {
            return None;
        }
        Some(Self {
            id: ImageId(document.key.id.clone()),
            display_name: text(&document.body, "displayName")?.to_owned(),
            size_gib: self::number(status, "sizeInGB")?,
            os_version: text(status, "osVersionNumber").and_then(OsVersion::of_number).unwrap_or(OsVersion::Windows11),
            os_version_number: text(status, "osVersionNumber").map(str::to_owned),
        })
    }

    /// Returns the image of a document; none if the document is not one.
    pub fn of(document: &Document) -> Option<Self> {
        let number = text(&document.body, "osVersionNumber")?;
        let os_version = OsVersion::of_number(number)?;
        Some(Self {
            id: ImageId(document.key.id.clone()),
            display_name: text(&document.body, "displayName")?.to_owned(),
            size_gib: self::number(&document.body, "sizeInGB")?,
            os_version,
            os_version_number: (number != os_version.number()).then(|| number.to_owned()),
        })
    }
}

/// Catalogues show no times of their rows.
fn made(tenant_id: TenantId, key: DocumentKey, body: Value, status: Value) -> Document {
    let object = |value: Value| match value {
        Value::Object(object) => object,
        _ => Object::new(),
    };
    Document {
        tenant_id,
        key,
        revision: 1,
        body: object(body),
        status: object(status),
        secret_counts: Object::new(),
        created_at: Timestamp(0),
        modified_at: Timestamp(0),
    }
}

fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

fn number(object: &Object, name: &str) -> Option<u32> {
    u32::try_from(object.get(name)?.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServicePlanId;
    use strum::IntoEnumIterator;
    use uuid::Uuid;

    #[test]
    fn plans_and_images_read_back_as_written() {
        let tenant = TenantId(Uuid::nil());
        for product in Product::iter() {
            let plan = ServicePlan {
                id: ServicePlanId(Uuid::from_u128(7)),
                display_name: "Large".into(),
                vcpu_count: 8,
                ram_gib: 32,
                storage_gib: 512,
                product,
                gpu: true,
            };
            assert_eq!(ServicePlan::of(&plan.document(tenant)), Some(plan));
        }
        for number in [None, Some("10.0.22631.3880".to_owned())] {
            let image = GalleryImage {
                id: ImageId("Publisher_offer_sku".into()),
                display_name: "Windows 11".into(),
                size_gib: 64,
                os_version: OsVersion::Windows11,
                os_version_number: number,
            };
            assert_eq!(GalleryImage::of(&image.document(tenant)), Some(image));
        }
    }
}
