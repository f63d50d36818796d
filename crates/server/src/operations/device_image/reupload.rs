//! `POST …/deviceImages/{id}/reupload`: import the image again from its source, which may have
//! changed.

use cloudpc_graph::GraphError;
use cloudpc_model::{ImageId, Params};
use cloudpc_store::Tx;
use std::sync::Arc;

use super::{find, import_again};
use crate::documents::device_image::{accept, refuse_pending};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let work = move |tx: &mut Tx<'_>| {
        let image = find(tx, &request)?;
        refuse_pending(&image, "uploaded again")?;
        let uses = tx.image_uses(request.tenant(), &ImageId(image.key.id.clone()))?;
        let machines = uses.cloud_pcs + uses.reprovisions + uses.undo_records;
        if machines > 0 {
            let message = format!(
                "The disks of {machines} Cloud PCs are made from the device image '{}', so it cannot be replaced. Create another image.",
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
