//! `cloudPcGalleryImage`: the images that Cloud PCs are made from. An administrator of the
//! installation adds and removes them; in the real service, Microsoft does.

use cloudpc_drivers::{DriverError, IMAGE_NOT_ON_HOST};
use cloudpc_graph::{GraphError, is_control_or_bidi};
use cloudpc_model::{Document, DocumentType, ImageId, Object, OsVersion};
use cloudpc_store::{ImageUses, Reader};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::documents::kind::Fact::{CharsMax, Computed, Old, Range, Required};
use crate::documents::kind::{DocumentChange, DocumentKind, Hooks, Rights, WRITABLE};
use crate::pipeline::{ADMINISTER, Call, Problem, READ, required};

static RIGHTS: Rights = Rights { resource: "DeviceImages", read: &READ, write: &ADMINISTER };

/// Longest display name, in characters.
pub const NAME_CHARS_MAX: usize = 128;

/// `cloudPcGalleryImage`
pub(super) static GALLERY_IMAGE: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcGalleryImage,
    "/deviceManagement/virtualEndpoint/galleryImages",
    &RIGHTS,
    WRITABLE,
    &[
        Required("displayName"),
        CharsMax("displayName", NAME_CHARS_MAX),
        Required("sizeInGB"),
        Range("sizeInGB", 1, u32::MAX as i64),
        Required("osVersionNumber"),
        Computed("status"),
        Computed("publisherName"),
        Computed("offerName"),
        Computed("skuName"),
        Computed("recommendedSku"),
        Old { old: "publisher", newest: "publisherName", values: &[] },
        Old { old: "offer", newest: "offerName", values: &[] },
        Old { old: "offerDisplayName", newest: "offerName", values: &[] },
        Old { old: "sku", newest: "skuName", values: &[] },
        Old { old: "skuDisplayName", newest: "skuName", values: &[] },
    ],
)
.hooks(&Gallery);

struct Gallery;

impl Hooks for Gallery {
    /// The id says who published the image, and which of their offers it is.
    fn id(&self, _reader: &Reader<'_>, call: &Call, _document: &Document, _guid: &str) -> Result<String, Problem> {
        image_id(call).map(|id| id.0)
    }

    fn prepare<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            let checked = call.app.driver.check_image(&image_id(call)?).await;
            checked.map_err(|error| image_error(error).into())
        })
    }

    fn check(&self, _reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        let text = |name: &str| change.new.body.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("displayName").contains(is_control_or_bidi) {
            let message = "The display name contains a control or text-direction character. Remove it.";
            return Err(GraphError::bad_request(message).about("displayName").into());
        }
        let number = text("osVersionNumber");
        if OsVersion::of_number(number).is_none() {
            let message = format!(
                "'{number}' is not a Windows 10 or 11 version number. Reprovisioning selects images by it. Use one such as {} or {}, also for a Linux image.",
                OsVersion::Windows10.number(),
                OsVersion::Windows11.number()
            );
            return Err(GraphError::bad_request(message).about("osVersionNumber").into());
        }
        Ok(())
    }

    fn check_delete(&self, reader: &Reader<'_>, call: &Call, image: &Document) -> Result<(), Problem> {
        let id = ImageId(image.key.id.clone());
        in_use_error(&id, reader.image_uses(call.tenant(), &id)?).map_or(Ok(()), |error| Err(error.into()))
    }

    fn computed(&self, _reader: &Reader<'_>, call: &Call, page: &mut [Document]) -> Result<(), Problem> {
        let today = call.at.to_string().chars().take("2026-01-01".len()).collect::<String>();
        for image in page {
            let mut parts = image.key.id.splitn(3, '_').map(str::to_owned).collect::<Vec<_>>().into_iter();
            for name in ["publisherName", "offerName", "skuName"] {
                image.status.insert(name.into(), json!(parts.next().unwrap_or_default()));
            }
            image.status.insert("status".into(), json!(support(&image.body, &today)));
        }
        Ok(())
    }
}

/// Support ends in two steps: from `endDate` on with a warning, from `expirationDate` on for good.
fn support(body: &Object, today: &str) -> &'static str {
    let is_past = |name: &str| body.get(name).and_then(Value::as_str).is_some_and(|date| date <= today);
    if is_past("expirationDate") {
        "notSupported"
    } else if is_past("endDate") {
        "supportedWithWarning"
    } else {
        "supported"
    }
}

fn image_id(call: &Call) -> Result<ImageId, Problem> {
    let id = call.text("id").ok_or_else(|| required("id"))?;
    ImageId::new(id).ok_or_else(|| {
        let message = format!("Invalid gallery image id '{id}': {}.", ImageId::FORM);
        GraphError::bad_request(message).about("id").into()
    })
}

fn image_error(error: DriverError) -> GraphError {
    match error {
        DriverError::Rejected { code, message } if code == IMAGE_NOT_ON_HOST => {
            let message = format!("The gallery image cannot be added: {message}, then add it.");
            GraphError::new(409, IMAGE_NOT_ON_HOST, message).about("id")
        }
        error => {
            tracing::warn!(%error, "image lookup failed");
            let message = "The images of the host are temporarily unavailable. Retry later.";
            GraphError::new(503, "ServiceUnavailable", message)
        }
    }
}

/// Returns the error for an image that Cloud PCs use, or would use again after an undo: without it,
/// they could not be reprovisioned.
fn in_use_error(id: &ImageId, uses: ImageUses) -> Option<GraphError> {
    let ImageUses { cloud_pcs, reprovisions, undo_records } = uses;
    let why = if reprovisions > 0 {
        format!("open reprovisions use it ({reprovisions}). Wait for them to end, or cancel them")
    } else if cloud_pcs > 0 {
        format!("Cloud PCs use it ({cloud_pcs}). Reprovision them with another operating system first")
    } else if undo_records > 0 {
        format!("undo records refer to it ({undo_records}). Wait until they expire")
    } else {
        return None;
    };
    Some(GraphError::new(409, "imageInUse", format!("The gallery image '{id}' cannot be removed: {why}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_ends_in_two_steps() {
        let body = json!({"endDate": "2026-03-01", "expirationDate": "2026-09-01"});
        let on = |today| support(body.as_object().unwrap(), today);
        assert_eq!(on("2026-02-28"), "supported");
        assert_eq!((on("2026-03-01"), on("2026-08-31")), ("supportedWithWarning", "supportedWithWarning"));
        assert_eq!(on("2026-09-01"), "notSupported");
        assert_eq!(support(&Object::new(), "2026-01-01"), "supported");
    }
}
