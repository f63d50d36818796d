//! Real machines, run by QEMU on this host, below the data directory.

use cloudpc_drivers::qemu::{Capacity, Network, PROBE_TIME_MAX, QemuDriver, QemuParts, SourceSettings};
use cloudpc_model::{Clock, Rng};
use std::sync::Arc;
use std::time::Duration;

use super::{Machines, StartError, StartOptions, fetcher};
use crate::images;

/// Opens the machines of a data directory; machines that are already running are adopted.
pub(super) fn machines(
    options: &StartOptions,
    clock: &Arc<dyn Clock>,
    rng: &Arc<dyn Rng>,
) -> Result<Machines, StartError> {
    let folder = options.data.join("qemu");
    let cannot_use = |source| StartError::File { path: folder.clone(), source };
    let settings = &options.config.qemu;
    let host = Capacity::of_host().map_err(cannot_use)?;
    let driver = QemuDriver::open(QemuParts {
        folder: folder.clone(),
        images: images::open(&options.data).map_err(cannot_use)?,
        sources: SourceSettings { folder: settings.source_images.clone(), allowed_urls: settings.source_urls.clone() },
        accelerator: settings.accelerator,
        capacity: Capacity { ram_gib: settings.ram_gib_max.unwrap_or(host.ram_gib), ..host },
        limits: settings.limits,
        network: settings.bridge.clone().map_or(Network::Closed, Network::Bridge),
        stop_time_max: Duration::from_secs(settings.stop_time_max_s),
        guest_silence_max: Duration::from_secs(settings.guest_silence_max_s),
        probe_time_max: PROBE_TIME_MAX,
        clock: Arc::clone(clock),
        rng: Arc::clone(rng),
        fetcher: fetcher(&options.config)?,
        runtime: tokio::runtime::Handle::current(),
    })
    .map_err(cannot_use)?;
    Ok(Machines::Real { driver: Arc::new(driver), clock: Arc::clone(clock) })
}
