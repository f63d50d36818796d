//! `cloudpc image build`

use clap::{Args, ValueEnum};
use cloudpc_server::images::{ImageId, Images, Recipe};
use std::io::IsTerminal as _;

use crate::failure::Failure;
use crate::output::{print, tell};
use crate::wait::percent_bar;

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
        let bar = percent_bar();
        let (name, shown) = (id.clone(), bar.clone());
        let look = move |come_to: cloudpc_server::images::Progress| {
            // Without somebody who looks at the bar, each step is told once.
            if !std::io::stderr().is_terminal() && shown.message() != come_to.doing {
                tell(&come_to.doing);
            }
            shown.set_position(come_to.percent);
            shown.set_message(come_to.doing);
        };
        let built = super::apart(images, move |images| images.build(recipe, &name, &mut { look })).await;
        bar.finish_and_clear();
        built?;
        print(&format!("{id}\n"))
    }
}
