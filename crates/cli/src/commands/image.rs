//! `cloudpc image`: what real machines are made from, on this host. Needs no running service.

use clap::{Args, Subcommand, ValueEnum};
use cloudpc_server::start::build_test_image;
use std::path::PathBuf;

use crate::connection::DATA_DEFAULT;
use crate::failure::Failure;
use crate::output::{print, tell};

const EXAMPLES: &str = "\
Examples:
  cloudpc image build test
  cloudpc image build test --id cloudpc_linux_test --data /var/lib/cloudpc";

/// Make the images of real machines
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Build(Build),
}

/// Build an image from Debian packages
///
/// An image of the same id is replaced; machines that were made from it keep what they have of it. A gallery image of a scenario that has this id is made from it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Build {
    /// What to build
    #[arg(value_enum)]
    kind: Kind,
    /// The id of the image
    #[arg(long, value_name = "ID", default_value = "cloudpc_linux_test")]
    id: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A small Linux without a desktop, up in three seconds
    Test,
}

impl Command {
    pub async fn run(self, data: Option<PathBuf>) -> Result<(), Failure> {
        let Self::Build(Build { kind: Kind::Test, id }) = self;
        let data = data.unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
        tell("Building the image; it takes about half a minute and downloads Debian packages.");
        let (folder, name) = (data.clone(), id.clone());
        let built = tokio::task::spawn_blocking(move || build_test_image(&folder, &name)).await;
        let built = built.map_err(|error| Failure::local(format!("The image was not built: {error}.")))?;
        built.map_err(|error| Failure::local(format!("Building failed: {error}")))?;
        print(&format!("{id}\n"))
    }
}
