//! `cloudpc image build`

use clap::{Args, ValueEnum};
use cloudpc_server::images::{ImageId, Images, Recipe};

use crate::failure::Failure;
use crate::output::print;

const EXAMPLES: &str = "\
Examples:
  cloudpc image build desktop
  cloudpc image build test --id cloudpc_linux_test --data /var/lib/cloudpc";

/// Build an image from Debian packages, and print its id
///
/// An image of the same id is replaced; machines that were made from it keep what they have of it. A gallery image of a scenario that has this id is made from it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Build {
    /// What to build
    #[arg(value_enum)]
    kind: Kind,
    /// The id of the image; otherwise cloudpc_linux_ and what is built
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A small Linux without a desktop, up in three seconds
    Test,
    /// The same with a window manager, a terminal and a clock
    Desktop,
}

impl Build {
    pub async fn run(self, images: Images) -> Result<(), Failure> {
        let (recipe, id) = match self.kind {
            Kind::Test => (Recipe::Test, "cloudpc_linux_test"),
            Kind::Desktop => (Recipe::Desktop, "cloudpc_linux_desktop"),
        };
        let id = ImageId(self.id.unwrap_or_else(|| id.to_owned()));
        let name = id.clone();
        let built = super::make(images, move |images, progress| images.build(recipe, &name, progress)).await;
        built.map_err(|error| Failure::local(format!("The image was not built: {error}")))?;
        print(&format!("{id}\n"))
    }
}
