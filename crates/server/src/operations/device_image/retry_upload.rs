//! `POST …/deviceImages/{id}/retryUpload`

use cloudpc_graph::GraphError;
use cloudpc_store::Tx;
use std::sync::Arc;

use super::{find, import_again};
use crate::documents::device_image::status;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let work = move |tx: &mut Tx<'_>| {
        let image = find(tx, &request)?;
        if status(&image) != "failed" {
            let message = format!(
                "The status of the device image is '{}'. Only an upload whose status is 'failed' can be retried.",
                status(&image)
            );
            return Err(GraphError::new(409, "imageStatusNotAllowed", message).into());
        }
        import_again(tx, &request, &image)
    };
    call.app.store.write("deviceImage.retryUpload", work).await?;
    Ok(Answer::NoContent)
}
