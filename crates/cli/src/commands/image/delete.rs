//! `cloudpc image delete`

use clap::Args;
use cloudpc_server::images::{ImageId, Images};
use std::path::Path;

use super::gallery::Gallery;
use crate::failure::{CommandError, ExitStatus};
use crate::output::tell;

/// Delete an image from the gallery of the running service and from this host
///
/// An image that a Cloud PC uses, or that an undo could bring back, cannot be deleted, nor can a
/// device image, which a client deletes through the service. Existing machines keep their disks.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc image delete contoso_windows_11")]
pub struct Delete {
    /// Image id
    #[arg(value_name = "ID")]
    id: String,
}

impl Delete {
    pub async fn run(self, images: Images, data: &Path) -> Result<(), CommandError> {
        let id = ImageId(self.id);
        require_no_device_image(&images, &id)?;
        let in_gallery = match Gallery::of(data).await? {
            Some(gallery) => gallery.remove(&id).await?,
            None if data.join("admin.json").exists() => {
                let message = format!(
                    "Cannot tell whether Cloud PCs use {id}: the service on {} is not running. Start it first.",
                    data.display()
                );
                return Err(CommandError::new(ExitStatus::Unreachable, message));
            }
            None => false,
        };
        let on_host = images.has(&id);
        if !in_gallery && !on_host {
            let message = format!("No image has the id '{id}'. Run `cloudpc image list` to see all images.");
            return Err(CommandError::new(ExitStatus::NotFound, message));
        }
        images
            .remove(&id)
            .map_err(|error| CommandError::local(format!("Cannot remove the files of {id}: {error}.")))?;
        tell(&format!("Deleted image {id}."));
        Ok(())
    }
}

/// Refuses a device image: Cloud PCs and policies of tenants may use it, which only the service
/// knows.
fn require_no_device_image(images: &Images, id: &ImageId) -> Result<(), CommandError> {
    let source = images.source(id).map_err(|error| CommandError::local(format!("Cannot read image {id}: {error}.")))?;
    let Some(source) = source else { return Ok(()) };
    let message = format!(
        "Image {id} is a device image that was imported from {source} at a client's request. Delete it with \
         DELETE /beta/deviceManagement/virtualEndpoint/deviceImages/{id}."
    );
    Err(CommandError::new(ExitStatus::Refused, message))
}
