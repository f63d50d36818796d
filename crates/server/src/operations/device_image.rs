//! Operations on device images other than those of every document.

pub(super) mod retry_upload;
pub(super) mod reupload;
pub(super) mod source_images;

use cloudpc_model::{Document, DocumentType};
use cloudpc_store::Tx;
use serde_json::json;

use crate::documents::{self, device_image};
use crate::pipeline::{Call, Problem};

/// Returns the image that a request names.
fn find(tx: &Tx<'_>, call: &Call) -> Result<Document, Problem> {
    documents::find_reached(call, tx, DocumentType::CloudPcDeviceImage, call.key(0))
}

/// Accepts another import of an image, which is pending from now on.
fn import_again(tx: &mut Tx<'_>, call: &Call, image: &Document) -> Result<(), Problem> {
    let mut status = image.status.clone();
    status.insert("status".into(), json!("pending"));
    for name in ["errorCode", "statusDetails"] {
        status.remove(name);
    }
    tx.document_status_put(image.tenant_id, &image.key, &status)?;
    device_image::accept(tx, call, image, device_image::import(image))
}
