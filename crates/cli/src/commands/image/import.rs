//! `cloudpc image import`

use clap::{Args, ValueEnum};
use cloudpc_server::images::{
    self, Downloads, Firmware, GuestOs, ImageId, Images, Import as Disk, TRIAL_TIME_MAX, Trial,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::gallery::{self, Entry};
use super::image_id;
use crate::failure::Failure;
use crate::output::print;
use crate::signals::Signals;
use crate::wait::spinner;

const EXAMPLES: &str = "\
Examples:
  cloudpc image import debian-12-generic-amd64.qcow2 --os linux
  cloudpc image import win11.qcow2 --os windows --id contoso_windows_11 --check

Linux needs the virtio drivers, which most kernels have, and the package qemu-guest-agent. Windows needs the drivers viostor, vioser and NetKVM and the QEMU guest agent,
all of which are on the ISO of virtio-win.";

/// Import a disk that boots by itself as an image, and print its id
///
/// The file is copied. What of it is not as it has to be is told, and nothing is imported then. An image of the same id is replaced; machines that were made from it keep
/// what they have of it. If a service runs on the data directory, the image is put into its gallery; otherwise a scenario can name it, or `cloudpc image add`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// A qcow2 file, such as cloud images are
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The family of its operating system
    #[arg(long, value_enum)]
    os: Os,
    /// The id of the image; otherwise the name of the file without its ending
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// What starts the disk; otherwise what its first sector asks for
    #[arg(long, value_enum)]
    firmware: Option<StartedBy>,
    /// How the agents that are deployed come into machines of it
    #[arg(long, value_enum, default_value_t = Way::Pushed)]
    downloads: Way,
    /// Start a machine from it and see whether its guest agent answers; only then it is put into the gallery
    #[arg(long)]
    check: bool,
    /// How long the guest agent may take to answer; Windows takes minutes under software emulation
    #[arg(long, value_name = "SECONDS", requires = "check", default_value_t = TRIAL_TIME_MAX.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    check_time: u64,
    #[command(flatten)]
    entry: Entry,
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
enum Way {
    /// The service downloads them and hands them in through the guest agent
    Pushed,
    /// The guest downloads them itself, with curl; on a machine without a network they are pushed
    Inside,
}

impl Import {
    pub async fn run(self, images: Images, data: &Path) -> Result<(), Failure> {
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
            Way::Pushed => Downloads::Pushed,
            Way::Inside => Downloads::Inside,
        };
        let (disk, name) = (Disk { file: self.file.clone(), os, firmware, downloads }, id.clone());
        let imported = super::make(images.clone(), move |images, progress| images.import(&disk, &name, progress)).await;
        imported.map_err(|error| Failure::local(format!("{} was not imported: {error}.", self.file.display())))?;
        if self.check {
            check(data, &id, os, Duration::from_secs(self.check_time)).await?;
        }
        gallery::enter(data, &images, &id, &id.0, self.entry).await?;
        print(&format!("{id}\n"))
    }
}

/// Fails if the guest agent of an image does not answer; leaves a picture of its screen then.
async fn check(data: &Path, id: &ImageId, os: GuestOs, time_max: Duration) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let spinner = spinner(&format!("A machine is started from {id}; waiting for its guest agent"));
    let tried = images::try_out(data, id, time_max, signals.next()).await;
    spinner.finish_and_clear();
    let tried = tried.map_err(|error| Failure::local(format!("{id} is imported and could not be tried: {error}.")))?;
    let screen = match tried {
        Trial::Good => return Ok(()),
        Trial::CutShort => {
            return Err(Failure::local(format!(
                "{id} is imported. Its trial was cut short; the machine of it is gone."
            )));
        }
        Trial::Silent { screen } => screen,
    };
    let missing = match os {
        GuestOs::Linux => "the package qemu-guest-agent, and a kernel with virtio drivers",
        GuestOs::Windows => "the drivers viostor and vioser and the QEMU guest agent, all on the ISO of virtio-win",
    };
    let mut problem = format!(
        "{id} is imported, and its guest agent did not answer within {} seconds, so that it is put into no gallery. It needs {missing}.",
        time_max.as_secs()
    );
    let picture = PathBuf::from(format!("{}.png", id.0.replace('/', "_")));
    if let Some(screen) = screen
        && std::fs::write(&picture, screen).is_ok()
    {
        problem += &format!(" What its screen showed is in {}.", picture.display());
    }
    Err(Failure::local(problem))
}
