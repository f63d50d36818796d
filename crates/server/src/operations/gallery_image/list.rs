//! `GET …/galleryImages`

use cloudpc_model::GalleryImage;
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{Collection, PropertySet, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::catalog::gallery_image;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, GalleryImages(call.clone())).await
}

/// The images of a tenant, by id.
pub(super) struct GalleryImages(pub(super) Arc<Call>);

impl Collection for GalleryImages {
    type Row = GalleryImage;

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<GalleryImage>, Problem> {
        let mut images = reader.gallery_image_list(self.0.tenant())?;
        images.retain(|image| position.is_none_or(|after| image.id.0.as_str() > after));
        images.truncate(limit);
        Ok(images)
    }

    fn position(&self, row: &GalleryImage) -> String {
        row.id.0.clone()
    }

    fn view<'a>(&'a self, row: &'a GalleryImage, _: PropertySet) -> impl Serialize + 'a {
        gallery_image(row, self.0.version())
    }
}
