//! `cloudpc image add`

use clap::Args;
use cloudpc_server::images::Images;
use std::path::Path;

use super::gallery::{Gallery, GalleryEntry};
use super::image_id;
use crate::failure::{CommandError, ExitStatus};

const EXAMPLES: &str = "\
Examples:
  cloudpc image add cloudpc_linux_test --os-version windows10
  cloudpc image add contoso_windows_11 --name 'Windows 11, Contoso' --size 64";

/// Add an image to the gallery of the running service, or update it
///
/// Real machines need the image on their host: `cloudpc image build` and `import` put it there and
/// add it to the gallery. Simulated machines need no file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Add {
    /// Image id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    entry: GalleryEntry,
    /// Disk size in GiB [default: that of the image on this host]
    #[arg(long, value_name = "GIB")]
    size: Option<u32>,
}

impl Add {
    pub async fn run(self, images: Images, data: &Path) -> Result<(), CommandError> {
        let id = image_id(&self.id)?;
        let gallery = Gallery::of(data).await?.ok_or_else(|| {
            let message = format!(
                "No service is running on {}. Start it with `cloudpc serve`, or pass another data directory with --data.",
                data.display()
            );
            CommandError::new(ExitStatus::Unreachable, message)
        })?;
        let on_host =
            images.describe(&id).map_err(|error| CommandError::local(format!("Cannot read {id}: {error}.")))?;
        let size_gib = self.size.or_else(|| on_host.map(|found| found.size_gib)).ok_or_else(|| {
            CommandError::new(
                ExitStatus::NotFound,
                format!(
                    "{} has no image '{id}'. Build or import it, or pass --size if machines are simulated.",
                    data.display()
                ),
            )
        })?;
        gallery.put(&id, &id.0, self.entry, size_gib).await
    }
}
