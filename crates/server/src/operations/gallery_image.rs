//! Operations on gallery images. In the real service they are Microsoft's; here the administrator of the installation adds and removes them.

pub(super) mod count;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod list;
mod properties;
pub(super) mod update;

use cloudpc_model::{GalleryImage, ImageId};
use cloudpc_store::{AuditEntry, Reader};

use crate::pipeline::{Call, Problem};

/// The image that the path names.
fn find(call: &Call, reader: &Reader<'_>) -> Result<GalleryImage, Problem> {
    let found = reader.gallery_image(call.tenant(), &ImageId(call.key(0).to_owned()))?;
    found.ok_or_else(|| Problem::not_found("gallery image", call.key(0)))
}

/// The audit row of a change to an image.
fn audit(call: &Call, verb: &str, id: &ImageId) -> AuditEntry {
    AuditEntry {
        id: 0,
        tenant_id: call.tenant(),
        at: call.app.clock.now(),
        actor: call.caller.actor(),
        activity: format!("{verb} CloudPcGalleryImage"),
        resource_type: "CloudPcGalleryImage".into(),
        resource_id: id.0.clone(),
        request_id: call.request_id.to_string(),
    }
}
