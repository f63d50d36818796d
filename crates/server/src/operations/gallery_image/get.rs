//! `GET …/galleryImages/{id}`

use cloudpc_model::ImageId;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::catalog::gallery_image;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (tenant, id) = (call.tenant(), ImageId(call.key(0).to_owned()));
    let found = call.app.store.read(move |reader| Ok::<_, Problem>(reader.gallery_image(tenant, &id)?)).await?;
    let image = found.ok_or_else(|| Problem::not_found("gallery image", call.key(0)))?;
    Ok(call.entity(&gallery_image(&image, call.version())))
}
