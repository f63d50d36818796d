//! `POST …/deviceImages/{id}/reupload`: import the image again from its source, which may have
//! changed.

use cloudpc_graph::GraphError;
use cloudpc_model::{ImageId, Params};
use cloudpc_store::{ImageUses, Tx};
use std::sync::Arc;

use super::{find, import_again};
use crate::documents::device_image::{accept, refuse_pending, refuse_used};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let work = move |tx: &mut Tx<'_>| {
        let image = find(tx, &request)?;
        refuse_pending(&image, "replaced")?;
        refuse_used(tx, &image, "replaced")?;
        let uses = tx.image_uses(request.tenant(), &ImageId(image.key.id.clone()))?;
        let ImageUses { cloud_pcs, reprovisions, undo_records } = uses;
        if cloud_pcs + reprovisions + undo_records > 0 {
            let message = format!(
                "The device image '{}' cannot be replaced: Cloud PCs ({cloud_pcs}), open reprovisions ({reprovisions}) or undo records ({undo_records}) use it. Create another image.",
                image.key.id
            );
            return Err(GraphError::new(409, "imageInUse", message).into());
        }
        accept(tx, &request, &image, Params::RemoveImage)?;
        import_again(tx, &request, &image)
    };
    call.app.store.write("deviceImage.reupload", work).await?;
    Ok(Answer::NoContent)
}
