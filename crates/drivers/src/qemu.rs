//! The QEMU driver: virtual machines on this host.
//!
//! ```text
//! qemu.rs            the driver: one lock for each machine, under which every verb runs to completion
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
//!   guest.rs         the guest, over the guest agent; scripts for Linux and Windows in guest/
//!   image.rs         the images from which disks are made
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
mod image;
mod layout;
mod limits;
mod machine;
mod network;
mod process;
mod qmp;
mod record;
mod screen;
#[cfg(test)]
mod transcript;
mod warm;
mod watch;
mod wire;

use async_trait::async_trait;
use cloudpc_model::{Clock, CloudPcId, ImageId, Rng, SnapshotId};
use futures_util::stream::BoxStream;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::changes::Changes;
use crate::{
    Capabilities, Display, Driver, DriverError, Fetcher, Guest, GuestError, GuestOs, MachineSpec, NetworkCheck,
    NetworkFinding, Observed, StopMode, Tag,
};
use account::Account;
use agent::Channel;
use guest::QemuGuest;
use layout::{DISK_FOLDER, MACHINE_FILE, MachineFolder};
use limits::MachineLimits;
use machine::{Machine, host_error};
use process::Process;
use watch::Watch;

pub use accelerator::{Accelerator, AcceleratorSetting};
pub use capacity::Capacity;
pub use image::{Downloads, Firmware, ImageInfo, ImageProgress, ImageRecipe, ImageSummary, Images, Import};
pub use limits::LimitsSetting;
pub use network::Network;

/// Timeout of a guest shutdown; afterwards the power is cut.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(90);

/// How long a guest may be silent before its condition is reported: longer than most boots.
pub const GUEST_SILENCE_MAX: Duration = Duration::from_secs(300);

/// Dependencies and settings of the driver.
pub struct QemuParts {
    /// The driver's folder, which holds the machines.
    pub folder: PathBuf,
    /// The images from which disks are made; on the same file system, so that images are linked and
    /// not copied.
    pub images: Images,
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
pub struct QemuDriver(Arc<QemuHost>);

/// State shared by all machines.
struct QemuHost {
    parts: QemuParts,
    machines: PathBuf,
    downloads: PathBuf,
    account: Account,
    limits: MachineLimits,
    accelerator: OnceCell<Accelerator>,
    /// Machines are admitted one at a time, so that each admission counts the earlier ones.
    admission: Arc<tokio::sync::Mutex<()>>,
    slots: Mutex<HashMap<CloudPcId, Arc<Slot>>>,
    changes: Changes,
}

/// In-memory state of one machine, which need not survive the process.
struct Slot {
    /// Serializes verbs.
    lock: Arc<tokio::sync::Mutex<()>>,
    /// Number of callers that wait for the power to be cut.
    force_requests: tokio::sync::watch::Sender<usize>,
    channel: Channel,
    watch: Watch,
    /// Processes started by this service, to be reaped.
    children: Mutex<Vec<Child>>,
}

impl QemuDriver {
    /// Opens the driver of the machines in a folder, including those that are running.
    ///
    /// # Errors
    /// The folder cannot be used, the configured network does not exist, or the required limits
    /// cannot be enforced.
    pub fn open(parts: QemuParts) -> io::Result<Self> {
        parts.network.check()?;
        let (machines, downloads) = (parts.folder.join("machines"), parts.folder.join("downloads"));
        layout::create_owner_only(&machines)?;
        MachineFolder::at(&machines).sweep()?;
        layout::remove(&downloads)?;
        layout::create_owner_only(&downloads)?;
        let driver = Self(Arc::new(QemuHost {
            limits: parts.limits.resolve()?,
            parts,
            machines,
            downloads,
            account: Account::of_qemu(),
            accelerator: OnceCell::new(),
            admission: Arc::default(),
            slots: Mutex::default(),
            changes: Changes::new(),
        }));
        for id in driver.0.ids()? {
            // Loading a running machine starts its watch. A machine that cannot be loaded now is
            // loaded by a later call.
            let _ = Machine::load(&driver.0, &driver.0.slot(id), &driver.0.folder(id));
        }
        Ok(driver)
    }

    /// Returns the accelerator of the guests, detected on first use.
    pub async fn accelerator(&self) -> Accelerator {
        self.0.accelerator().await
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

    /// Runs a verb on a machine to completion, even if the caller is dropped.
    async fn run_verb<F, D>(&self, id: CloudPcId, verb: F) -> Result<(), DriverError>
    where
        F: FnOnce(Machine) -> D + Send + 'static,
        D: Future<Output = Result<(), DriverError>> + Send,
    {
        let (host, folder) = (Arc::clone(&self.0), self.0.folder(id));
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
        let slot = self.0.slot(id);
        // A caller that is dropped while waiting for the lock has no effect.
        let turn = Arc::clone(&slot.lock).lock_owned().await;
        let work = self.0.parts.runtime.spawn(async move {
            let _turn = turn;
            verb(slot).await
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
        self.0.parts.images.get(image).map(drop)
    }

    fn check_size(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        self.0.parts.capacity.check_size(spec)
    }

    async fn check_network(&self, check: &NetworkCheck) -> Result<NetworkFinding, DriverError> {
        connection::run(&self.0.parts.network, &self.0.parts.fetcher, check).await
    }

    async fn observe(&self, id: CloudPcId) -> Result<Observed, DriverError> {
        let machine = Machine::load(&self.0, &self.0.slot(id), &self.0.folder(id))?;
        machine.ok_or_else(|| not_found(id))?.observed()
    }

    async fn ensure_present(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        let (host, folder, spec) = (Arc::clone(&self.0), self.0.folder(spec.id), spec.clone());
        self.run_verb_on_slot(spec.id, async move |slot| match Machine::load(&host, &slot, &folder)? {
            Some(_) => Ok(()),
            None => Machine::make(&host, &folder, &spec).await,
        })
        .await
    }

    async fn ensure_absent(&self, id: CloudPcId) -> Result<(), DriverError> {
        let _force_request = self.0.slot(id).request_force();
        let (host, folder) = (Arc::clone(&self.0), self.0.folder(id));
        self.run_verb_on_slot(id, async move |slot| match Machine::load(&host, &slot, &folder)? {
            Some(machine) => machine.ensure_absent().await,
            // A machine whose creation was not completed.
            None => machine::blocking(move || layout::remove(folder.path())).await,
        })
        .await?;
        lock(&self.0.slots).remove(&id);
        Ok(())
    }

    async fn ensure_running(&self, id: CloudPcId) -> Result<(), DriverError> {
        self.run_verb(id, Machine::ensure_running).await
    }

    async fn ensure_stopped(&self, id: CloudPcId, how: StopMode) -> Result<(), DriverError> {
        let slot = self.0.slot(id);
        let _force_request = (how == StopMode::Force).then(|| slot.request_force());
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
        let folder = self.0.folder(id);
        if !folder.join(MACHINE_FILE).exists() {
            return Err(not_found(id));
        }
        let info = disk::read(&folder.join(DISK_FOLDER)).map_err(host_error)?.map(|disk| disk.info);
        let (os, downloads) = info.map_or((GuestOs::Linux, Downloads::Pushed), |info| (info.os, info.downloads));
        let downloads = if self.0.parts.network.is_connected(id) { downloads } else { Downloads::Pushed };
        Ok(Box::new(QemuGuest { host: Arc::clone(&self.0), slot: self.0.slot(id), id, os, downloads }))
    }

    async fn display(&self, id: CloudPcId) -> Result<Box<dyn Display>, DriverError> {
        let machine = Machine::load(&self.0, &self.0.slot(id), &self.0.folder(id))?;
        Ok(Box::new(machine.ok_or_else(|| not_found(id))?.display().await?))
    }

    async fn screenshot(&self, id: CloudPcId) -> Result<Vec<u8>, DriverError> {
        let machine = Machine::load(&self.0, &self.0.slot(id), &self.0.folder(id))?;
        machine.ok_or_else(|| not_found(id))?.screenshot().await
    }

    fn watch(&self) -> BoxStream<'static, CloudPcId> {
        let host = Arc::clone(&self.0);
        self.0.changes.watch(move || host.ids().unwrap_or_default())
    }

    async fn list(&self) -> Result<Vec<CloudPcId>, DriverError> {
        self.0.ids().map_err(host_error)
    }
}

impl QemuHost {
    /// Returns the existing machines.
    fn ids(&self) -> io::Result<Vec<CloudPcId>> {
        let names = layout::names(&self.machines)?;
        let ids = names.iter().filter(|name| self.machines.join(name).join(MACHINE_FILE).exists());
        Ok(ids.filter_map(|name| name.parse().ok()).collect())
    }

    fn folder(&self, id: CloudPcId) -> MachineFolder {
        MachineFolder::of(&self.machines, id)
    }

    fn slot(&self, id: CloudPcId) -> Arc<Slot> {
        let slot = || Slot {
            lock: Arc::default(),
            force_requests: tokio::sync::watch::Sender::new(0),
            channel: Channel::new(self.folder(id), Arc::clone(&self.parts.rng)),
            watch: Watch::default(),
            children: Mutex::default(),
        };
        Arc::clone(lock(&self.slots).entry(id).or_insert_with(|| Arc::new(slot())))
    }

    async fn accelerator(&self) -> Accelerator {
        let (setting, folder) = (self.parts.accelerator, self.downloads.clone());
        let detect = async || {
            let found = machine::blocking(move || Ok(setting.resolve(&folder))).await;
            let found = found.unwrap_or(Accelerator::Tcg);
            tracing::info!(?setting, ?found, "accelerator selected");
            found
        };
        *self.accelerator.get_or_init(detect).await
    }

    /// Admits a machine if the host has enough memory beside the running ones. Other admissions
    /// wait until the guard is dropped.
    async fn admit(&self, spec: &MachineSpec) -> Result<tokio::sync::OwnedMutexGuard<()>, DriverError> {
        let guard = Arc::clone(&self.admission).lock_owned().await;
        let mut others = Vec::new();
        for name in layout::names(&self.machines).map_err(host_error)? {
            let Some(id) = name.parse::<CloudPcId>().ok().filter(|id| *id != spec.id) else { continue };
            let folder = self.folder(id);
            if Process::find(&folder, id).map_err(host_error)?.is_some()
                && let Some(record) =
                    layout::read_json::<record::MachineRecord>(&folder.join(MACHINE_FILE)).map_err(host_error)?
            {
                others.push(record.spec);
            }
        }
        self.parts.capacity.admit(spec, others.into_iter())?;
        Ok(guard)
    }
}

impl Slot {
    /// Requests that the power is cut, until the guard is dropped.
    fn request_force(self: &Arc<Self>) -> ForcedStop {
        self.force_requests.send_modify(|count| *count += 1);
        ForcedStop(Arc::clone(self))
    }

    /// Waits until a caller requests that the power is cut.
    async fn force_requested(&self) {
        let mut force_requests = self.force_requests.subscribe();
        if force_requests.wait_for(|count| *count > 0).await.is_err() {
            std::future::pending().await
        }
    }

    fn add_child(&self, child: Child) {
        lock(&self.children).push(child);
    }

    fn reap_children(&self) {
        lock(&self.children).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

struct ForcedStop(Arc<Slot>);

impl Drop for ForcedStop {
    fn drop(&mut self) {
        self.0.force_requests.send_modify(|count| *count -= 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found(id: CloudPcId) -> DriverError {
    DriverError::NotFound(format!("machine {id}"))
}
