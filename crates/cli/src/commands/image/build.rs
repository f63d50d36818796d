//! `cloudpc image build`

use clap::{Args, ValueEnum};
use cloudpc_server::images::{ImageRecipe, Images};
use std::path::Path;

use super::gallery::{self, GalleryEntry};
use super::image_id;
use crate::failure::CommandError;
use crate::output::print;

const EXAMPLES: &str = "\
Examples:
  cloudpc image build desktop
  cloudpc image build test --id cloudpc_linux_test --data /var/lib/cloudpc";

/// Build an image from Debian packages, and print its id
///
/// Replaces an image with the same id; existing machines keep their disks. If a service is running
/// on the data directory, the image is added to its gallery; otherwise add it later with `cloudpc
/// image add`, or name it in a scenario.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Build {
    /// What to build
    #[arg(value_enum)]
    kind: ImageKind,
    /// Image id [default: cloudpc_linux_test or cloudpc_linux_desktop]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    entry: GalleryEntry,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ImageKind {
    /// A small Linux without a desktop that boots in three seconds
    Test,
    /// The same with a window manager, a terminal and a clock
    Desktop,
}

impl Build {
    pub async fn run(self, images: Images, data: &Path) -> Result<(), CommandError> {
        let (recipe, id, called) = match self.kind {
            ImageKind::Test => (ImageRecipe::Test, "cloudpc_linux_test", "Linux, small, without a desktop"),
            ImageKind::Desktop => (ImageRecipe::Desktop, "cloudpc_linux_desktop", "Linux, small, with a desktop"),
        };
        let id = image_id(self.id.as_deref().unwrap_or(id))?;
        let name = id.clone();
        let work = move |images: &Images, progress: &mut dyn FnMut(_)| images.build(recipe, &name, progress);
        let built = super::make(images.clone(), work).await;
        built.map_err(|error| CommandError::local(format!("Building the image failed: {error}")))?;
        gallery::enter(data, &images, &id, called, self.entry).await?;
        print(&format!("{id}\n"))
    }
}
