//! Real machines, run by QEMU on this host, below the data directory.

use cloudpc_drivers::qemu::{Capacity, Images, QemuDriver, QemuParts};
use cloudpc_model::{Clock, ImageId, Rng};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Machines, Options, StartError, fetcher};

/// The machines of a data directory; those that run already are found again.
pub(super) fn machines(options: &Options, clock: &Arc<dyn Clock>, rng: &Arc<dyn Rng>) -> Result<Machines, StartError> {
    let folder = folder(&options.data);
    let cannot_use = |source| StartError::File { path: folder.clone(), source };
    let settings = &options.config.qemu;
    let host = Capacity::of_host().map_err(cannot_use)?;
    let driver = QemuDriver::open(QemuParts {
        folder: folder.clone(),
        images: Images::open(&images(&options.data)).map_err(cannot_use)?,
        accelerator: settings.accelerator,
        capacity: Capacity { ram_gib: settings.ram_gib_max.unwrap_or(host.ram_gib), ..host },
        stop_time_max: Duration::from_secs(settings.stop_time_max_s),
        clock: Arc::clone(clock),
        rng: Arc::clone(rng),
        fetcher: fetcher(&options.config)?,
        runtime: tokio::runtime::Handle::current(),
    })
    .map_err(cannot_use)?;
    Ok(Machines::Real(Arc::new(driver)))
}

/// Builds the small guest of tests and demonstrations as an image of a data directory. Blocks for some seconds.
///
/// # Errors
/// A program that it needs is missing or fails; the message holds what it said.
pub fn build_test_image(data: &Path, id: &str) -> io::Result<()> {
    Images::open(&images(data))?.build_test(&ImageId(id.to_owned()))
}

fn folder(data: &Path) -> PathBuf {
    data.join("qemu")
}

fn images(data: &Path) -> PathBuf {
    folder(data).join("images")
}
