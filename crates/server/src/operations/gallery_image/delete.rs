//! `DELETE …/galleryImages/{id}`: removes an image from the gallery. Its files stay on the host.

use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, ImageId};
use cloudpc_store::{ImageUses, Tx};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let image = super::find(&request, tx)?;
        if let Some(error) = in_use_error(&image.id, tx.gallery_image_uses(request.tenant(), &image.id)?) {
            return Err(error.into());
        }
        tx.gallery_image_delete(request.tenant(), &image.id)?;
        tx.audit_insert(&super::audit(&request, AuditVerb::Delete, &image))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("galleryImage.delete", write).await?;
    Ok(Answer::NoContent)
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
