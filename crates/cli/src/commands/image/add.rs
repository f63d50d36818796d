//! `cloudpc image add`

use clap::Args;
use cloudpc_server::images::Images;
use std::path::Path;

use super::gallery::{Entry, Gallery};
use super::image_id;
use crate::failure::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  cloudpc image add cloudpc_linux_test --os-version windows10
  cloudpc image add contoso_windows_11 --name 'Windows 11, Contoso' --size 64";

/// Add an image to the gallery of the running service, or say something else of one that is there
///
/// Real machines need the image on their host; `cloudpc image build` and `import` bring it there and add it by themselves. Simulated machines need none.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Add {
    /// The id of the image
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    entry: Entry,
    /// Size of its disk, GiB; otherwise what that of the image on this host has
    #[arg(long, value_name = "GIB")]
    size: Option<u32>,
}

impl Add {
    pub async fn run(self, images: Images, data: &Path) -> Result<(), Failure> {
        let id = image_id(&self.id)?;
        let gallery = Gallery::of(data).await?.ok_or_else(|| {
            let message = format!(
                "No service runs on {}. Start it with `cloudpc serve`, or name another data directory with --data.",
                data.display()
            );
            Failure::new(Exit::Unreachable, message)
        })?;
        let on_host = images.look(&id).map_err(|error| Failure::local(format!("{id} cannot be read: {error}.")))?;
        let size_gib = self.size.or_else(|| on_host.map(|found| found.size_gib)).ok_or_else(|| {
            Failure::new(
                Exit::NotFound,
                format!(
                    "{} has no image '{id}'. Build or import it, or give its --size if machines are simulated.",
                    data.display()
                ),
            )
        })?;
        gallery.put(&id, &id.0, self.entry, size_gib).await
    }
}
