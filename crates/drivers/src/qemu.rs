//! The QEMU driver: real virtual machines on this host.
//!
//! ```text
//! qemu.rs            the driver: one lock for each machine, and every verb carried to its end under it
//!   machine.rs       the verbs: look at one machine's folder and process, act, look again; machine/power.rs and machine/disks.rs
//!     layout.rs      where files are, and how they change so that a crash leaves the old or the new
//!     record.rs      what is written down of a machine
//!     disk.rs        disks: made from an image or a restore point, grown, copied
//!     process.rs     the QEMU process: found again by its lock, started, ended
//!       command.rs   its command line
//!     accelerator.rs whether KVM really runs guests here
//!     capacity.rs    whether the host has room
//!     limits.rs      what a process may take of the host
//!     network.rs     what a network card leads to
//!     screen.rs      pictures of the screen
//!   watch.rs         what becomes of a process without being asked for
//!   guest.rs         the operating system inside, over the guest agent; what Linux and Windows are told, in guest/
//!   image.rs         the images that disks are made from
//!   warm.rs          images that hold a guest's memory, for tests and demonstrations
//!   qmp.rs agent.rs  what is said to QEMU and to the agent, both over wire.rs: bounded lines of JSON
//! ```
//!
//! The truth about a machine is its folder and the lock that its QEMU process holds on a file
//! there; nothing is remembered in between. So machines run on when the server ends, and are found
//! again by the next one.

mod accelerator;
mod account;
mod agent;
mod capacity;
mod command;
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
    Capabilities, Display, Driver, DriverError, Fetcher, Guest, GuestError, GuestOs, MachineSpec, Observed, StopMode,
    Tag,
};
use account::Account;
use agent::Channel;
use guest::QemuGuest;
use layout::{DISK_FOLDER, MACHINE_FILE, MachineFolder};
use limits::MachineLimits;
use machine::{Machine, of_host};
use process::Process;
use watch::Watch;

pub use accelerator::{Accelerator, AcceleratorSetting};
pub use capacity::Capacity;
pub use image::{Downloads, Firmware, ImageInfo, ImageProgress, ImageRecipe, Images, Import, OnHost};
pub use limits::LimitsSetting;
pub use network::Network;

/// How long a guest that was asked to shut down may take; then its power is cut.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(90);

/// How long a guest may be silent before that is trouble: longer than most boots.
pub const GUEST_SILENCE_MAX: Duration = Duration::from_secs(300);

/// What the driver is made of.
pub struct QemuParts {
    /// Its folder, which the machines are under.
    pub folder: PathBuf,
    /// What disks are made from; on the same file system, so that disks need no copies.
    pub images: Images,
    /// What runs the guests' instructions.
    pub accelerator: AcceleratorSetting,
    /// What the machines may take of the host together.
    pub capacity: Capacity,
    /// What holds each machine to what it was promised.
    pub limits: LimitsSetting,
    /// What the machines' network cards lead to.
    pub network: Network,
    /// How long a guest that was asked to shut down may take; then its power is cut.
    pub stop_time_max: Duration,
    /// How long a guest may be silent before that is trouble.
    pub guest_silence_max: Duration,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Downloads for guests.
    pub fetcher: Fetcher,
    /// Where verbs go on to their end when their callers have gone.
    pub runtime: Handle,
}

/// Runs machines with QEMU on this host. Cheap to clone.
#[derive(Clone)]
pub struct QemuDriver(Arc<QemuHost>);

/// What all machines share.
struct QemuHost {
    parts: QemuParts,
    machines: PathBuf,
    downloads: PathBuf,
    account: Account,
    limits: MachineLimits,
    accelerator: OnceCell<Accelerator>,
    /// One machine is let in at a time, so that each sees those before it.
    admission: Arc<tokio::sync::Mutex<()>>,
    slots: Mutex<HashMap<CloudPcId, Arc<Slot>>>,
    changes: Changes,
}

/// What we hold of one machine, none of which has to outlive us.
struct Slot {
    /// One verb at a time.
    lock: Arc<tokio::sync::Mutex<()>>,
    /// How many callers wait for the power to be cut.
    forcing: tokio::sync::watch::Sender<usize>,
    channel: Channel,
    watch: Watch,
    /// Processes that we have started and whose end has to be collected.
    children: Mutex<Vec<Child>>,
}

impl QemuDriver {
    /// The driver of the machines in a folder, those that run already included.
    ///
    /// # Errors
    /// The folder cannot be used, the host has no such network, or cannot limit machines and has
    /// to.
    pub fn open(parts: QemuParts) -> io::Result<Self> {
        parts.network.check()?;
        let (machines, downloads) = (parts.folder.join("machines"), parts.folder.join("downloads"));
        layout::make_private(&machines)?;
        MachineFolder::at(&machines).sweep()?;
        layout::remove(&downloads)?;
        layout::make_private(&downloads)?;
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
            // Looking at a machine that runs is what has it watched. One that cannot be looked at
            // now is looked at later.
            let _ = Machine::look(&driver.0, &driver.0.slot(id), &driver.0.folder(id));
        }
        Ok(driver)
    }

    /// What runs the guests' instructions; found out at the first question.
    pub async fn accelerator(&self) -> Accelerator {
        self.0.accelerator().await
    }

    /// Makes a warm image `warm` of a machine of this spec: see [`ImageInfo::warm`]. Takes a boot.
    ///
    /// # Errors
    /// The machine cannot be made or run, or the image cannot be kept.
    pub async fn warm_up(&self, spec: &MachineSpec, warm: &ImageId) -> Result<(), GuestError> {
        self.ensure_present(spec).await?;
        self.ensure_running(spec.id).await?;
        self.guest(spec.id).await?.wait_ready().await?;
        let warm = warm.clone();
        self.carry(spec.id, move |machine| machine.become_image(warm)).await?;
        Ok(self.ensure_absent(spec.id).await?)
    }

    /// Carries a verb on a machine to its end, even if the caller goes away.
    async fn carry<F, D>(&self, id: CloudPcId, verb: F) -> Result<(), DriverError>
    where
        F: FnOnce(Machine) -> D + Send + 'static,
        D: Future<Output = Result<(), DriverError>> + Send,
    {
        let (host, folder) = (Arc::clone(&self.0), self.0.folder(id));
        self.carry_maybe(id, async move |slot| match Machine::take_up(&host, &slot, &folder)? {
            Some(machine) => verb(machine).await,
            None => Err(not_found(id)),
        })
        .await
    }

    /// The same for a machine that need not be there.
    async fn carry_maybe<F, D>(&self, id: CloudPcId, verb: F) -> Result<(), DriverError>
    where
        F: FnOnce(Arc<Slot>) -> D + Send + 'static,
        D: Future<Output = Result<(), DriverError>> + Send,
    {
        let slot = self.0.slot(id);
        // A caller that goes away while it waits for its turn has not called.
        let turn = Arc::clone(&slot.lock).lock_owned().await;
        let work = self.0.parts.runtime.spawn(async move {
            let _turn = turn;
            verb(slot).await
        });
        work.await.unwrap_or_else(|_| Err(DriverError::OutcomeUnknown("the work was cut short".into())))
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
        self.0.parts.capacity.could_ever_run(spec)
    }

    async fn observe(&self, id: CloudPcId) -> Result<Observed, DriverError> {
        let machine = Machine::look(&self.0, &self.0.slot(id), &self.0.folder(id))?;
        machine.ok_or_else(|| not_found(id))?.observed()
    }

    async fn ensure_present(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        let (host, folder, spec) = (Arc::clone(&self.0), self.0.folder(spec.id), spec.clone());
        self.carry_maybe(spec.id, async move |slot| match Machine::look(&host, &slot, &folder)? {
            Some(_) => Ok(()),
            None => Machine::make(&host, &folder, &spec).await,
        })
        .await
    }

    async fn ensure_absent(&self, id: CloudPcId) -> Result<(), DriverError> {
        let _forcing = self.0.slot(id).force();
        let (host, folder) = (Arc::clone(&self.0), self.0.folder(id));
        self.carry_maybe(id, async move |slot| match Machine::look(&host, &slot, &folder)? {
            Some(machine) => machine.ensure_absent().await,
            // A machine that was never finished.
            None => machine::blocking(move || layout::remove(folder.path())).await,
        })
        .await?;
        lock(&self.0.slots).remove(&id);
        Ok(())
    }

    async fn ensure_running(&self, id: CloudPcId) -> Result<(), DriverError> {
        self.carry(id, Machine::ensure_running).await
    }

    async fn ensure_stopped(&self, id: CloudPcId, how: StopMode) -> Result<(), DriverError> {
        let slot = self.0.slot(id);
        let _forcing = (how == StopMode::Force).then(|| slot.force());
        self.carry(id, move |machine| machine.ensure_stopped(how)).await
    }

    async fn ensure_restarted(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        let tag = tag.clone();
        self.carry(id, move |machine| machine.ensure_restarted(tag)).await
    }

    async fn ensure_disk_aside(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        let tag = tag.clone();
        self.carry(id, async move |machine| machine.ensure_disk_aside(&tag)).await
    }

    async fn ensure_disk_from_image(&self, spec: &MachineSpec, tag: &Tag) -> Result<(), DriverError> {
        let (spec, tag) = (spec.clone(), tag.clone());
        self.carry(spec.id, move |machine| machine.ensure_disk_from_image(spec, tag)).await
    }

    async fn ensure_disk_from_snapshot(
        &self,
        id: CloudPcId,
        snapshot: &SnapshotId,
        tag: &Tag,
    ) -> Result<(), DriverError> {
        let (snapshot, tag) = (snapshot.clone(), tag.clone());
        self.carry(id, move |machine| machine.ensure_disk_from_snapshot(snapshot, tag)).await
    }

    async fn ensure_disk_back(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        let tag = tag.clone();
        self.carry(id, async move |machine| machine.ensure_disk_back(&tag).await).await
    }

    async fn ensure_aside_dropped(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        let tag = tag.clone();
        self.carry(id, async move |machine| machine.ensure_aside_dropped(&tag).await).await
    }

    async fn ensure_size(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        let spec = spec.clone();
        self.carry(spec.id, async move |machine| machine.ensure_size(&spec)).await
    }

    async fn ensure_snapshot(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError> {
        let snapshot = snapshot.clone();
        self.carry(id, async move |machine| machine.ensure_snapshot(&snapshot).await).await
    }

    async fn ensure_snapshot_absent(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError> {
        let snapshot = snapshot.clone();
        self.carry(id, async move |machine| machine.ensure_snapshot_absent(&snapshot).await).await
    }

    async fn guest(&self, id: CloudPcId) -> Result<Box<dyn Guest>, DriverError> {
        let folder = self.0.folder(id);
        if !folder.join(MACHINE_FILE).exists() {
            return Err(not_found(id));
        }
        let about = disk::read(&folder.join(DISK_FOLDER)).map_err(of_host)?.map(|disk| disk.about);
        let (os, downloads) = about.map_or((GuestOs::Linux, Downloads::Pushed), |about| (about.os, about.downloads));
        let downloads = if self.0.parts.network.leads_out(id) { downloads } else { Downloads::Pushed };
        Ok(Box::new(QemuGuest { host: Arc::clone(&self.0), slot: self.0.slot(id), id, os, downloads }))
    }

    async fn display(&self, id: CloudPcId) -> Result<Box<dyn Display>, DriverError> {
        let machine = Machine::look(&self.0, &self.0.slot(id), &self.0.folder(id))?;
        Ok(Box::new(machine.ok_or_else(|| not_found(id))?.display().await?))
    }

    async fn screenshot(&self, id: CloudPcId) -> Result<Vec<u8>, DriverError> {
        let machine = Machine::look(&self.0, &self.0.slot(id), &self.0.folder(id))?;
        machine.ok_or_else(|| not_found(id))?.screenshot().await
    }

    fn watch(&self) -> BoxStream<'static, CloudPcId> {
        let host = Arc::clone(&self.0);
        self.0.changes.watch(move || host.ids().unwrap_or_default())
    }

    async fn list(&self) -> Result<Vec<CloudPcId>, DriverError> {
        self.0.ids().map_err(of_host)
    }
}

impl QemuHost {
    /// The machines that are there.
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
            forcing: tokio::sync::watch::Sender::new(0),
            channel: Channel::new(self.folder(id), Arc::clone(&self.parts.rng)),
            watch: Watch::default(),
            children: Mutex::default(),
        };
        Arc::clone(lock(&self.slots).entry(id).or_insert_with(|| Arc::new(slot())))
    }

    async fn accelerator(&self) -> Accelerator {
        let (setting, folder) = (self.parts.accelerator, self.downloads.clone());
        let find = async || {
            let found = machine::blocking(move || Ok(setting.resolve(&folder))).await;
            let found = found.unwrap_or(Accelerator::Tcg);
            tracing::info!(?setting, ?found, "what runs the guests' instructions");
            found
        };
        *self.accelerator.get_or_init(find).await
    }

    /// Lets a machine in if there is room for it beside those that run. Others wait until the guard
    /// is dropped.
    async fn admit(&self, spec: &MachineSpec) -> Result<tokio::sync::OwnedMutexGuard<()>, DriverError> {
        let guard = Arc::clone(&self.admission).lock_owned().await;
        let mut others = Vec::new();
        for name in layout::names(&self.machines).map_err(of_host)? {
            let Some(id) = name.parse::<CloudPcId>().ok().filter(|id| *id != spec.id) else { continue };
            let folder = self.folder(id);
            if Process::find(&folder, id).map_err(of_host)?.is_some()
                && let Some(record) =
                    layout::read_json::<record::MachineRecord>(&folder.join(MACHINE_FILE)).map_err(of_host)?
            {
                others.push(record.spec);
            }
        }
        self.parts.capacity.admit(spec, others.into_iter())?;
        Ok(guard)
    }
}

impl Slot {
    /// Says that somebody wants the power cut, until the guard is dropped.
    fn force(self: &Arc<Self>) -> ForcedStop {
        self.forcing.send_modify(|count| *count += 1);
        ForcedStop(Arc::clone(self))
    }

    /// Ends when somebody wants the power cut.
    async fn forced(&self) {
        let mut forcing = self.forcing.subscribe();
        if forcing.wait_for(|count| *count > 0).await.is_err() {
            std::future::pending().await
        }
    }

    fn keep_child(&self, child: Child) {
        lock(&self.children).push(child);
    }

    fn collect_children(&self) {
        lock(&self.children).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

struct ForcedStop(Arc<Slot>);

impl Drop for ForcedStop {
    fn drop(&mut self) {
        self.0.forcing.send_modify(|count| *count -= 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found(id: CloudPcId) -> DriverError {
    DriverError::NotFound(format!("machine {id}"))
}
