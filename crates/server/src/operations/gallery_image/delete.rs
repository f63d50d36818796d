//! `DELETE …/galleryImages/{id}`: takes an image out of the gallery. Its files, if there are any,
//! stay on the host.

use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, ImageId};
use cloudpc_store::{ImageUses, Tx};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let image = super::find(&request, tx)?;
        if let Some(refusal) = held(&image.id, tx.gallery_image_uses(request.tenant(), &image.id)?) {
            return Err(refusal.into());
        }
        tx.gallery_image_delete(request.tenant(), &image.id)?;
        tx.audit_insert(&super::audit(&request, AuditVerb::Delete, &image))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("galleryImage.delete", write).await?;
    Ok(Answer::NoContent)
}

/// A Cloud PC without its image could not be reprovisioned, so one that is made from it, or may
/// become so again, holds it.
fn held(id: &ImageId, uses: ImageUses) -> Option<GraphError> {
    let ImageUses { cloud_pcs, reprovisions, ways_back } = uses;
    let why = if reprovisions > 0 {
        format!("open reprovisions make Cloud PCs from it ({reprovisions}). Wait until they have ended, or cancel them")
    } else if cloud_pcs > 0 {
        format!("Cloud PCs are made from it ({cloud_pcs}). Reprovision them with another operating system first")
    } else if ways_back > 0 {
        format!("an undo would bring Cloud PCs back to it ({ways_back}). Wait until the time for that has passed")
    } else {
        return None;
    };
    Some(GraphError::new(409, "imageInUse", format!("The gallery image '{id}' cannot be removed: {why}.")))
}
