//! `cloudpc image import`

use clap::{Args, ValueEnum};
use cloudpc_server::images::{
    self, Downloads, Firmware, GuestOs, ImageId, Images, Import as Disk, TRIAL_TIME_MAX, Trial,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::gallery::{self, GalleryEntry};
use super::image_id;
use crate::failure::CommandError;
use crate::output::print;
use crate::signals::Signals;
use crate::wait::spinner;

const EXAMPLES: &str = "\
Examples:
  cloudpc image import debian-12-generic-amd64.qcow2 --os linux
  cloudpc image import win11.qcow2 --os windows --id contoso_windows_11 --check

Linux needs the virtio drivers, which most kernels include, and the package qemu-guest-agent. Windows needs the
drivers viostor, vioser and NetKVM and the QEMU guest agent, all from the virtio-win ISO.";

/// Import a bootable disk as an image, and print its id
///
/// Checks and copies the file. Replaces an image with the same id; existing machines keep their
/// disks. If a service is running on the data directory, the image is added to its gallery;
/// otherwise add it later with `cloudpc image add`, or name it in a scenario.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// A disk in qcow2 or raw format, such as a cloud image
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Operating system family
    #[arg(long, value_enum)]
    os: Os,
    /// Image id [default: the file name without its extension]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Firmware [default: detected from the partition table]
    #[arg(long, value_enum)]
    firmware: Option<StartedBy>,
    /// How agents get into machines of this image
    #[arg(long, value_enum, default_value_t = AgentDownload::Pushed)]
    downloads: AgentDownload,
    /// Boot a machine from the image and wait for its guest agent before adding it to the gallery
    #[arg(long)]
    check: bool,
    /// Timeout for the guest agent; Windows takes minutes under software emulation
    #[arg(long, value_name = "SECONDS", requires = "check", default_value_t = TRIAL_TIME_MAX.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    check_time: u64,
    #[command(flatten)]
    entry: GalleryEntry,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Os {
    Linux,
    Windows,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StartedBy {
    Bios,
    Uefi,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AgentDownload {
    /// The service downloads agents and copies them in through the guest agent
    Pushed,
    /// The guest downloads agents with curl; machines without a network get them pushed
    Inside,
}

impl Import {
    pub async fn run(self, images: Images, data: &Path) -> Result<(), CommandError> {
        let named = || self.file.file_stem().map(|name| name.to_string_lossy().into_owned());
        let id = image_id(&self.id.clone().or_else(named).unwrap_or_default())?;
        let os = match self.os {
            Os::Linux => GuestOs::Linux,
            Os::Windows => GuestOs::Windows,
        };
        let firmware = self.firmware.map(|by| match by {
            StartedBy::Bios => Firmware::Bios,
            StartedBy::Uefi => Firmware::Uefi,
        });
        let downloads = match self.downloads {
            AgentDownload::Pushed => Downloads::Pushed,
            AgentDownload::Inside => Downloads::Inside,
        };
        let (disk, name) = (Disk { file: self.file.clone(), os, firmware, downloads }, id.clone());
        let imported = super::make(images.clone(), move |images, progress| images.import(&disk, &name, progress)).await;
        imported.map_err(|error| CommandError::local(format!("Importing {} failed: {error}.", self.file.display())))?;
        if self.check {
            check(data, &id, os, Duration::from_secs(self.check_time)).await?;
        }
        gallery::enter(data, &images, &id, &id.0, self.entry).await?;
        print(&format!("{id}\n"))
    }
}

/// Fails if the guest agent of an image does not answer, and saves a screenshot.
async fn check(data: &Path, id: &ImageId, os: GuestOs, time_max: Duration) -> Result<(), CommandError> {
    let mut signals = Signals::new()?;
    let spinner = spinner(&format!("Booting a machine from {id}; waiting for its guest agent"));
    let tried = images::try_out(data, id, time_max, signals.next()).await;
    spinner.finish_and_clear();
    let tried =
        tried.map_err(|error| CommandError::local(format!("Imported {id}, but could not boot it: {error}.")))?;
    let screen = match tried {
        Trial::Good => return Ok(()),
        Trial::CutShort => {
            return Err(CommandError::local(format!(
                "Imported {id}. The check was interrupted; its machine is removed."
            )));
        }
        Trial::Silent { screen } => screen,
    };
    let missing = match os {
        GuestOs::Linux => "the package qemu-guest-agent, and a kernel with virtio drivers",
        GuestOs::Windows => "the drivers viostor and vioser and the QEMU guest agent, all from the virtio-win ISO",
    };
    let mut problem = format!(
        "Imported {id}, but did not add it to the gallery: its guest agent did not answer within {} seconds. The image needs {missing}.",
        time_max.as_secs()
    );
    let picture = PathBuf::from(format!("{}.png", id.0.replace('/', "_")));
    if let Some(screen) = screen
        && std::fs::write(&picture, screen).is_ok()
    {
        problem += &format!(" Its last screen is in {}.", picture.display());
    }
    Err(CommandError::local(problem))
}
