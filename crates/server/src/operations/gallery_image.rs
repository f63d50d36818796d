//! Operations on gallery images. An administrator of the installation adds and removes them; in the
//! real service, Microsoft does.

pub(super) mod count;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod list;
mod properties;
pub(super) mod update;

use cloudpc_model::{AuditEntry, AuditResource, AuditVerb, GalleryImage, ImageId, ResourceType};
use cloudpc_store::Reader;

use crate::pipeline::{Call, Problem};

/// Returns the image in the path.
fn find(call: &Call, reader: &Reader<'_>) -> Result<GalleryImage, Problem> {
    let found = reader.gallery_image(call.tenant(), &ImageId(call.key(0).to_owned()))?;
    found.ok_or_else(|| Problem::not_found("gallery image", call.key(0)))
}

/// Returns the audit entry of a change to an image.
fn audit(call: &Call, verb: AuditVerb, image: &GalleryImage) -> AuditEntry {
    call.audit(verb, AuditResource::new(ResourceType::GalleryImage, &image.id).named(&image.display_name))
}
