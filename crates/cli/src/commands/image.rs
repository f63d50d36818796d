//! `cloudpc image`: images of real machines on this host, and the gallery of its service. Building
//! and importing need no running service.

mod add;
mod build;
mod delete;
mod gallery;
mod import;
mod list;

use clap::Subcommand;
use cloudpc_server::images::{self, ImageId, ImageProgress, Images};
use indicatif::ProgressBar;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use crate::connection::DATA_DEFAULT;
use crate::failure::{CommandError, ExitStatus};
use crate::output::{Format, tell};
use crate::wait::percent_bar;

const EXAMPLES: &str = "\
Examples:
  cloudpc image build desktop
  cloudpc image import debian-12-generic-amd64.qcow2 --os linux --check
  cloudpc image build test --id cloudpc_linux_test --data /var/lib/cloudpc
  cloudpc image list";

/// Manage the images of real machines and the gallery
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Build(build::Build),
    Import(import::Import),
    List(list::List),
    Add(add::Add),
    Delete(delete::Delete),
}

impl Command {
    pub async fn run(self, data: Option<PathBuf>, format: Format) -> Result<(), CommandError> {
        let data = data.unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
        let images = images::open(&data)
            .map_err(|error| CommandError::local(format!("Cannot use {}: {error}.", data.display())))?;
        match self {
            Self::Build(verb) => verb.run(images, &data).await,
            Self::Import(verb) => verb.run(images, &data).await,
            Self::List(verb) => verb.run(images, &data, format).await,
            Self::Add(verb) => verb.run(images, &data).await,
            Self::Delete(verb) => verb.run(images, &data).await,
        }
    }
}

/// Parses an image id.
fn image_id(text: &str) -> Result<ImageId, CommandError> {
    ImageId::new(text)
        .ok_or_else(|| CommandError::new(ExitStatus::Usage, format!("Invalid image id '{text}': {}.", ImageId::FORM)))
}

/// Runs the work on a blocking thread with a progress bar.
async fn make(
    images: Images,
    work: impl FnOnce(&Images, &mut dyn FnMut(ImageProgress)) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let bar = percent_bar();
    let shown = bar.clone();
    let made = tokio::task::spawn_blocking(move || work(&images, &mut |come_to| show(&shown, come_to))).await;
    bar.finish_and_clear();
    made.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Prints each step once where there is no terminal for a bar.
fn show(bar: &ProgressBar, come_to: ImageProgress) {
    if !io::stderr().is_terminal() && bar.message() != come_to.doing {
        tell(&come_to.doing);
    }
    bar.set_position(come_to.percent);
    bar.set_message(come_to.doing);
}
