//! `cloudpc image delete`

use clap::Args;
use cloudpc_server::images::{ImageId, Images};
use std::path::Path;

use super::gallery::Gallery;
use crate::failure::{Exit, Failure};
use crate::output::tell;

/// Take an image out of the gallery of the running service, and remove its files from this host
///
/// One that a Cloud PC is made from, or could be brought back to by an undo, stays. Disks of machines keep what they have of an image.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc image delete contoso_windows_11")]
pub struct Delete {
    /// The id of the image
    #[arg(value_name = "ID")]
    id: String,
}

impl Delete {
    pub async fn run(self, images: Images, data: &Path) -> Result<(), Failure> {
        let id = ImageId(self.id);
        let in_gallery = match Gallery::of(data).await? {
            Some(gallery) => gallery.remove(&id).await?,
            None if data.join("admin.json").exists() => {
                let message = format!(
                    "The service on {} does not run, so that nobody knows whether its Cloud PCs need {id}. Start it first.",
                    data.display()
                );
                return Err(Failure::new(Exit::Unreachable, message));
            }
            None => false,
        };
        let on_host = images.has(&id);
        if !in_gallery && !on_host {
            let message = format!("There is no image '{id}'. `cloudpc image list` shows them all.");
            return Err(Failure::new(Exit::NotFound, message));
        }
        images.remove(&id).map_err(|error| Failure::local(format!("The files of {id} cannot be removed: {error}.")))?;
        tell(&format!("Image {id} is removed."));
        Ok(())
    }
}
