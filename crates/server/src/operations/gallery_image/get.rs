//! `GET …/galleryImages/{id}`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::catalog::gallery_image;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let image = call.store().read(move |reader| super::find(&request, reader)).await?;
    Ok(call.entity(&gallery_image(&image, call.version())))
}
