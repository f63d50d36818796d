//! The QEMU driver: virtual machines on this host.
//!
//! ```text
//! qemu.rs            the driver: one lock for each machine, under which every verb runs to completion
//!   host.rs          the state of this process: locks, and the admission of machines
//!   machine.rs       the verbs on one machine's folder and process; machine/power.rs and machine/disks.rs
//!     layout.rs      the file layout, and crash-safe changes of files
//!     record.rs      the stored records of a machine
//!     disk.rs        disks: made from an image or a restore point, grown, copied
//!     process.rs     the QEMU process: found again by its lock, started, ended
//!       command.rs   its command line
//!     accelerator.rs detection of a working KVM
//!     capacity.rs    admission control: memory, processors and disk of the host
//!     limits.rs      resource limits of a process
//!     network.rs     the network of a machine
//!     screen.rs      screenshots
//!   connection.rs    health checks of the machines' network
//!   watch.rs         detection of crashes, panics, shutdowns and silent guests
//!   guest.rs         the channel into the guest, over the guest agent
//!   image.rs         the images from which disks are made
//!   imports.rs       import of images, and temporary machines that show that they boot; sources in sources.rs
//!   warm.rs          images that include a guest's memory, for tests and demonstrations
//!   qmp.rs agent.rs  the protocols of QEMU and of the guest agent, both over wire.rs: bounded lines of JSON
//! ```
//!
//! The state of a machine is its folder and the lock that its QEMU process holds on a file there;
//! nothing is cached in between. So machines keep running when the server exits, and the next
//! server finds them again.

mod accelerator;
mod account;
mod agent;
mod capacity;
mod command;
mod connection;
mod disk;
mod guest;
mod host;
mod image;
mod imports;
mod layout;
mod limits;
mod machine;
mod network;
mod process;
mod qmp;
mod record;
mod screen;
mod sources;
#[cfg(test)]
mod transcript;
mod warm;
mod watch;
mod wire;

use async_trait::async_trait;
use cloudpc_model::{Clock, CloudPcId, ImageId, Rng, SnapshotId};
use futures_util::stream::BoxStream;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::guest::{AgentGuest, Staging};
use crate::{
    Capabilities, Display, Driver, DriverError, Fetcher, Guest, GuestError, GuestOs, ImageFacts, MachineSpec,
    NetworkCheck, NetworkFinding, Observed, SourceImage, StopMode, Tag,
};
use guest::QemuAgent;
use host::{HostResources, QemuHost, Requests, Slot, lock, machines_folder};
use layout::{DISK_FOLDER, MACHINE_FILE};
use machine::{Machine, host_error};

pub use crate::guest::Downloads;
pub use accelerator::{Accelerator, AcceleratorSetting};
pub use capacity::Capacity;
pub use image::{Firmware, ImageInfo, ImageProgress, ImageRecipe, ImageSummary, Images, Import};
pub use limits::LimitsSetting;
pub use network::Network;
pub use sources::SourceSettings;

/// Timeout of a guest shutdown; afterwards the power is cut.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(90);

/// How long a guest may be silent before its condition is reported: longer than most boots.
pub const GUEST_SILENCE_MAX: Duration = Duration::from_secs(300);

/// How long a machine made from an imported image may take to boot. Windows takes minutes under
/// software emulation.
pub const PROBE_TIME_MAX: Duration = Duration::from_mins(10);

/// Dependencies and settings of the driver.
#[derive(Clone)]
pub struct QemuParts {
    /// The driver's folder, which holds the machines.
    pub folder: PathBuf,
    /// The images from which disks are made; on the same file system, so that images are linked and
    /// not copied.
    pub images: Images,
    /// Where images may be imported from.
    pub sources: SourceSettings,
    /// The accelerator of the guests.
    pub accelerator: AcceleratorSetting,
    /// The total resources for machines.
    pub capacity: Capacity,
    /// Enforcement of each machine's resource limits.
    pub limits: LimitsSetting,
    /// The network of the machines.
    pub network: Network,
    /// Timeout of a guest shutdown; afterwards the power is cut.
    pub stop_time_max: Duration,
    /// How long a guest may be silent before its condition is reported.
    pub guest_silence_max: Duration,
    /// How long a machine made from an imported image may take to boot.
    pub probe_time_max: Duration,
    /// The clock of deadlines and silence.
    pub clock: Arc<dyn Clock>,
    /// Random numbers for ids of requests and downloads.
    pub rng: Arc<dyn Rng>,
    /// Downloads for guests.
    pub fetcher: Fetcher,
    /// The runtime on which verbs continue when their callers are gone.
    pub runtime: Handle,
}

/// Runs machines with QEMU on this host. Cheap to clone.
#[derive(Clone)]
pub struct QemuDriver {
    host: Arc<QemuHost>,
    /// The temporary machines that show whether an image boots.
    probe_host: Arc<QemuHost>,
}

impl QemuDriver {
    /// Opens the driver of the machines in a folder, including those that are running.
    ///
    /// # Errors
    /// The folder cannot be used, the configured network does not exist, or the required limits
    /// cannot be enforced.
    pub fn open(parts: QemuParts) -> io::Result<Self> {
        parts.network.check()?;
        let probes = QemuParts { folder: parts.folder.join("probes"), network: Network::Closed, ..parts.clone() };
        let resources = Arc::new(HostResources {
            limits: parts.limits.resolve()?,
            accelerator: OnceCell::new(),
            folders: [&parts, &probes].map(machines_folder),
            admission: Arc::default(),
        });
        Ok(Self {
            host: QemuHost::open(parts, Arc::clone(&resources))?,
            probe_host: QemuHost::open(probes, resources)?,
        })
    }

    /// Returns the driver of the temporary machines.
    fn probes(&self) -> Self {
        Self { host: Arc::clone(&self.probe_host), probe_host: Arc::clone(&self.probe_host) }
    }

    /// Returns the accelerator of the guests, detected on first use.
    pub async fn accelerator(&self) -> Accelerator {
        self.host.accelerator().await
    }

    /// Makes a warm image `warm` of a machine of this spec; see [`ImageInfo::warm`]. Takes as long
    /// as a boot.
    ///
    /// # Errors
    /// The machine cannot be created or run, or the image cannot be saved.
    pub async fn warm_up(&self, spec: &MachineSpec, warm: &ImageId) -> Result<(), GuestError> {
        self.ensure_present(spec).await?;
        self.ensure_running(spec.id).await?;
        self.guest(spec.id).await?.wait_ready().await?;
        let warm = warm.clone();
        self.run_verb(spec.id, move |machine| machine.become_image(warm)).await?;
        Ok(self.ensure_absent(spec.id).await?)
    }

    fn agent_guest(&self, id: CloudPcId) -> Result<AgentGuest<QemuAgent>, DriverError> {
        let folder = self.host.folder(id);
        if !folder.join(MACHINE_FILE).exists() {
            return Err(not_found(id));
        }
        let info = disk::read(&folder.join(DISK_FOLDER)).map_err(host_error)?.map(|disk| disk.info);
        let (os, downloads) = info.map_or((GuestOs::Linux, Downloads::Pushed), |info| (info.os, info.downloads));
        let downloads = if self.host.parts.network.is_connected(id) { downloads } else { Downloads::Pushed };
        let parts = &self.host.parts;
        let staging =
            Staging { folder: self.host.downloads.clone(), free_bytes_min: parts.capacity.free_disk_bytes_min };
        Ok(AgentGuest {
            channel: QemuAgent { slot: self.host.slot(id), folder, id },
            id,
            os,
            downloads,
            fetcher: parts.fetcher.clone(),
            rng: Arc::clone(&parts.rng),
            staging,
        })
    }

    /// Runs a verb on a machine to completion, even if the caller is dropped.
    async fn run_verb<F, D>(&self, id: CloudPcId, verb: F) -> Result<(), DriverError>
    where
        F: FnOnce(Machine) -> D + Send + 'static,
        D: Future<Output = Result<(), DriverError>> + Send,
    {
        let (host, folder) = (Arc::clone(&self.host), self.host.folder(id));
        self.run_verb_on_slot(id, async move |slot| match Machine::load_for_change(&host, &slot, &folder)? {
            Some(machine) => verb(machine).await,
            None => Err(not_found(id)),
        })
        .await
    }

    /// Like [`Self::run_verb`], for a machine that may not exist.
    async fn run_verb_on_slot<F, D>(&self, id: CloudPcId, verb: F) -> Result<(), DriverError>
    where
        F: FnOnce(Arc<Slot>) -> D + Send + 'static,
        D: Future<Output = Result<(), DriverError>> + Send,
    {
        let slot = self.host.slot(id);
        self.run_to_completion(&Arc::clone(&slot.lock), async move { verb(slot).await }).await
    }

    /// Runs work under a lock to completion, even if the caller is dropped.
    async fn run_to_completion<T: Send + 'static>(
        &self,
        lock: &Arc<tokio::sync::Mutex<()>>,
        work: impl Future<Output = Result<T, DriverError>> + Send + 'static,
    ) -> Result<T, DriverError> {
        // A caller that is dropped while waiting for the lock has no effect.
        let turn = Arc::clone(lock).lock_owned().await;
        let work = self.host.parts.runtime.spawn(async move {
            let _turn = turn;
            work.await
        });
        work.await.unwrap_or_else(|_| Err(DriverError::OutcomeUnknown("the operation was interrupted".into())))
    }
}

#[async_trait]
impl Driver for QemuDriver {
    fn capabilities(&self, _spec: &MachineSpec) -> Capabilities {
        Capabilities { resize: true, snapshots: true }
    }

    async fn check_image(&self, image: &ImageId) -> Result<(), DriverError> {
        self.host.parts.images.get(image).map(drop)
    }

    async fn source_images(&self) -> Result<Vec<SourceImage>, DriverError> {
        let sources = self.host.parts.sources.clone();
        machine::blocking(move || Ok(sources.list())).await?
    }

    async fn check_source(&self, source: &str) -> Result<SourceImage, DriverError> {
        self.host.check_source(source).await
    }

    async fn ensure_image(&self, image: &ImageId, source: &str) -> Result<(), DriverError> {
        let (host, slot) = (Arc::clone(&self.host), self.host.image_slot(image));
        let (image, source) = (image.clone(), source.to_owned());
        self.run_to_completion(&Arc::clone(&slot.lock), async move { host.import(&slot, image, source).await }).await
    }

    async fn probe_image(&self, image: &ImageId) -> Result<ImageFacts, DriverError> {
        self.check_image(image).await?;
        let (driver, slot, image) = (self.clone(), self.host.image_slot(image), image.clone());
        self.run_to_completion(&Arc::clone(&slot.lock), async move { driver.probe(&slot, image).await }).await
    }

    async fn ensure_image_absent(&self, image: &ImageId) -> Result<(), DriverError> {
        let (driver, slot, removed) = (self.clone(), self.host.image_slot(image), image.clone());
        let _removal = slot.removals.request();
        self.run_to_completion(&slot.lock, async move {
            driver.remove_probe(&removed).await?;
            driver.host.remove_image(removed).await
        })
        .await
    }

    fn check_size(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        self.host.parts.capacity.check_size(spec)
    }

    async fn check_network(&self, check: &NetworkCheck) -> Result<NetworkFinding, DriverError> {
        connection::run(&self.host.parts.network, &self.host.parts.fetcher, check).await
    }

    async fn observe(&self, id: CloudPcId) -> Result<Observed, DriverError> {
        let machine = Machine::load(&self.host, &self.host.slot(id), &self.host.folder(id))?;
        machine.ok_or_else(|| not_found(id))?.observed()
    }

    async fn ensure_present(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        let (host, folder, spec) = (Arc::clone(&self.host), self.host.folder(spec.id), spec.clone());
        self.run_verb_on_slot(spec.id, async move |slot| match Machine::load(&host, &slot, &folder)? {
            Some(_) => Ok(()),
            None => Machine::make(&host, &folder, &spec).await,
        })
        .await
    }

    async fn ensure_absent(&self, id: CloudPcId) -> Result<(), DriverError> {
        let _force_request = self.host.slot(id).force_requests.request();
        let (host, folder) = (Arc::clone(&self.host), self.host.folder(id));
        self.run_verb_on_slot(id, async move |slot| match Machine::load(&host, &slot, &folder)? {
            Some(machine) => machine.ensure_absent().await,
            // A machine whose creation was not completed.
            None => machine::blocking(move || layout::remove(folder.path())).await,
        })
        .await?;
        lock(&self.host.slots).remove(&id);
        Ok(())
    }

    async fn ensure_running(&self, id: CloudPcId) -> Result<(), DriverError> {
        self.run_verb(id, Machine::ensure_running).await
    }

    async fn ensure_stopped(&self, id: CloudPcId, how: StopMode) -> Result<(), DriverError> {
        let slot = self.host.slot(id);
        let _force_request = (how == StopMode::Force).then(|| slot.force_requests.request());
        self.run_verb(id, move |machine| machine.ensure_stopped(how)).await
    }

    async fn ensure_restarted(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        let tag = tag.clone();
        self.run_verb(id, move |machine| machine.ensure_restarted(tag)).await
    }

    async fn ensure_disk_aside(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        let tag = tag.clone();
        self.run_verb(id, async move |machine| machine.ensure_disk_aside(&tag)).await
    }

    async fn ensure_disk_from_image(&self, spec: &MachineSpec, tag: &Tag) -> Result<(), DriverError> {
        let (spec, tag) = (spec.clone(), tag.clone());
        self.run_verb(spec.id, move |machine| machine.ensure_disk_from_image(spec, tag)).await
    }

    async fn ensure_disk_from_snapshot(
        &self,
        id: CloudPcId,
        snapshot: &SnapshotId,
        tag: &Tag,
    ) -> Result<(), DriverError> {
        let (snapshot, tag) = (snapshot.clone(), tag.clone());
        self.run_verb(id, move |machine| machine.ensure_disk_from_snapshot(snapshot, tag)).await
    }

    async fn ensure_disk_back(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        let tag = tag.clone();
        self.run_verb(id, async move |machine| machine.ensure_disk_back(&tag).await).await
    }

    async fn ensure_aside_dropped(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        let tag = tag.clone();
        self.run_verb(id, async move |machine| machine.ensure_aside_dropped(&tag).await).await
    }

    async fn ensure_size(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        let spec = spec.clone();
        self.run_verb(spec.id, async move |machine| machine.ensure_size(&spec)).await
    }

    async fn ensure_snapshot(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError> {
        let snapshot = snapshot.clone();
        self.run_verb(id, async move |machine| machine.ensure_snapshot(&snapshot).await).await
    }

    async fn ensure_snapshot_absent(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError> {
        let snapshot = snapshot.clone();
        self.run_verb(id, async move |machine| machine.ensure_snapshot_absent(&snapshot).await).await
    }

    async fn guest(&self, id: CloudPcId) -> Result<Box<dyn Guest>, DriverError> {
        Ok(Box::new(self.agent_guest(id)?))
    }

    async fn display(&self, id: CloudPcId) -> Result<Box<dyn Display>, DriverError> {
        let machine = Machine::load(&self.host, &self.host.slot(id), &self.host.folder(id))?;
        Ok(Box::new(machine.ok_or_else(|| not_found(id))?.display().await?))
    }

    async fn screenshot(&self, id: CloudPcId) -> Result<Vec<u8>, DriverError> {
        let machine = Machine::load(&self.host, &self.host.slot(id), &self.host.folder(id))?;
        machine.ok_or_else(|| not_found(id))?.screenshot().await
    }

    fn watch(&self) -> BoxStream<'static, CloudPcId> {
        let host = Arc::clone(&self.host);
        self.host.changes.watch(move || host.ids().unwrap_or_default())
    }

    async fn list(&self) -> Result<Vec<CloudPcId>, DriverError> {
        self.host.ids().map_err(host_error)
    }
}

fn not_found(id: CloudPcId) -> DriverError {
    DriverError::NotFound(format!("machine {id}"))
}
