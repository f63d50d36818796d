//! `cloudpc image`: what real machines are made from, on this host. Needs no running service.

mod build;

use clap::Subcommand;
use cloudpc_server::images::{self, Images};
use std::path::PathBuf;

use crate::connection::DATA_DEFAULT;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  cloudpc image build desktop
  cloudpc image build test --id cloudpc_linux_test --data /var/lib/cloudpc";

/// Make the images of real machines
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Build(build::Build),
}

impl Command {
    pub async fn run(self, data: Option<PathBuf>) -> Result<(), Failure> {
        let data = data.unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
        let images = images::open(&data)
            .map_err(|error| Failure::local(format!("{} cannot be used: {error}.", data.display())))?;
        match self {
            Self::Build(verb) => verb.run(images).await,
        }
    }
}

/// Does what takes a while beside the runtime.
async fn apart(
    images: Images,
    work: impl FnOnce(Images) -> std::io::Result<()> + Send + 'static,
) -> Result<(), Failure> {
    let done = tokio::task::spawn_blocking(move || work(images)).await;
    let done = done.map_err(|error| Failure::local(format!("The image was not made: {error}.")))?;
    done.map_err(|error| Failure::local(format!("The image was not made: {error}")))
}
