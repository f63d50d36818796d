//! The state of this process about the machines and images of the host; nothing of it needs to
//! survive the process.

use cloudpc_model::{CloudPcId, ImageId, Rng};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

use super::accelerator::Accelerator;
use super::account::Account;
use super::agent::Channel;
use super::imports::{IMPORTS_MAX, ImageSlot};
use super::layout::{self, MACHINE_FILE, MachineFolder};
use super::limits::MachineLimits;
use super::machine::{self, Machine, host_error};
use super::process::Process;
use super::watch::Watch;
use super::{QemuParts, record};
use crate::changes::Changes;
use crate::{DriverError, MachineSpec};

/// State shared by the machines in a folder.
pub struct QemuHost {
    pub parts: QemuParts,
    pub machines: PathBuf,
    pub downloads: PathBuf,
    pub account: Account,
    pub resources: Arc<HostResources>,
    pub slots: Mutex<HashMap<CloudPcId, Arc<Slot>>>,
    pub image_slots: Mutex<HashMap<ImageId, Arc<ImageSlot>>>,
    /// The turn of an import or a probe.
    pub imports: tokio::sync::Semaphore,
    pub changes: Changes,
}

/// State shared by all machines on this host, temporary ones included.
pub struct HostResources {
    pub limits: MachineLimits,
    pub accelerator: OnceCell<Accelerator>,
    /// The folders of all machines.
    pub folders: [PathBuf; 2],
    /// Machines are admitted one at a time, so that each admission counts the earlier ones.
    pub admission: Arc<tokio::sync::Mutex<()>>,
}

/// In-memory state of one machine, which need not survive the process.
pub struct Slot {
    /// Serializes verbs.
    pub lock: Arc<tokio::sync::Mutex<()>>,
    /// The callers that wait for the power to be cut.
    pub force_requests: Requests,
    pub channel: Channel,
    pub watch: Watch,
    /// Processes started by this service, to be reaped.
    pub children: Mutex<Vec<Child>>,
}

/// The callers that want work in progress to end early.
#[derive(Default)]
pub struct Requests(Arc<tokio::sync::watch::Sender<usize>>);

/// A request, until it is dropped.
pub struct PendingRequest(Arc<tokio::sync::watch::Sender<usize>>);

/// Returns the folder of all machines.
pub fn machines_folder(parts: &QemuParts) -> PathBuf {
    parts.folder.join("machines")
}

impl QemuHost {
    /// Opens the machines in a folder, including those that are running.
    pub fn open(parts: QemuParts, resources: Arc<HostResources>) -> io::Result<Arc<Self>> {
        let (machines, downloads) = (machines_folder(&parts), parts.folder.join("downloads"));
        layout::create_owner_only(&machines)?;
        MachineFolder::at(&machines).sweep()?;
        layout::remove(&downloads)?;
        layout::create_owner_only(&downloads)?;
        let host = Arc::new(Self {
            parts,
            machines,
            downloads,
            account: Account::of_qemu(),
            resources,
            slots: Mutex::default(),
            image_slots: Mutex::default(),
            imports: tokio::sync::Semaphore::new(IMPORTS_MAX),
            changes: Changes::new(),
        });
        for id in host.ids()? {
            // Loading a running machine starts its watch. A machine that cannot be loaded now is
            // loaded by a later call.
            let _ = Machine::load(&host, &host.slot(id), &host.folder(id));
        }
        Ok(host)
    }

    /// Returns the existing machines.
    pub fn ids(&self) -> io::Result<Vec<CloudPcId>> {
        let names = layout::names(&self.machines)?;
        let ids = names.iter().filter(|name| self.machines.join(name).join(MACHINE_FILE).exists());
        Ok(ids.filter_map(|name| name.parse().ok()).collect())
    }

    pub fn folder(&self, id: CloudPcId) -> MachineFolder {
        MachineFolder::of(&self.machines, id)
    }

    pub fn slot(&self, id: CloudPcId) -> Arc<Slot> {
        let slot = || Arc::new(Slot::new(self.folder(id), Arc::clone(&self.parts.rng)));
        Arc::clone(lock(&self.slots).entry(id).or_insert_with(slot))
    }

    pub fn image_slot(&self, image: &ImageId) -> Arc<ImageSlot> {
        Arc::clone(lock(&self.image_slots).entry(image.clone()).or_default())
    }

    pub async fn accelerator(&self) -> Accelerator {
        let (setting, folder) = (self.parts.accelerator, self.downloads.clone());
        let detect = async || {
            let found = machine::blocking(move || Ok(setting.resolve(&folder))).await;
            let found = found.unwrap_or(Accelerator::Tcg);
            tracing::info!(?setting, ?found, "accelerator selected");
            found
        };
        *self.resources.accelerator.get_or_init(detect).await
    }

    /// Admits a machine if the host has enough memory beside the running ones. Other admissions
    /// wait until the guard is dropped.
    pub async fn admit(&self, spec: &MachineSpec) -> Result<tokio::sync::OwnedMutexGuard<()>, DriverError> {
        let guard = Arc::clone(&self.resources.admission).lock_owned().await;
        let mut others = Vec::new();
        for machines in &self.resources.folders {
            for name in layout::names(machines).map_err(host_error)? {
                let Some(id) = name.parse::<CloudPcId>().ok().filter(|id| *id != spec.id) else { continue };
                let folder = MachineFolder::of(machines, id);
                if Process::find(&folder, id).map_err(host_error)?.is_some()
                    && let Some(record) =
                        layout::read_json::<record::MachineRecord>(&folder.join(MACHINE_FILE)).map_err(host_error)?
                {
                    others.push(record.spec);
                }
            }
        }
        self.parts.capacity.admit(spec, others.into_iter())?;
        Ok(guard)
    }
}

impl Slot {
    pub fn new(folder: MachineFolder, rng: Arc<dyn Rng>) -> Self {
        Self {
            lock: Arc::default(),
            force_requests: Requests::default(),
            channel: Channel::new(folder, rng),
            watch: Watch::default(),
            children: Mutex::default(),
        }
    }

    pub fn add_child(&self, child: Child) {
        lock(&self.children).push(child);
    }

    pub fn reap_children(&self) {
        lock(&self.children).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

impl Requests {
    /// Makes a request, until the guard is dropped.
    pub fn request(&self) -> PendingRequest {
        self.0.send_modify(|count| *count += 1);
        PendingRequest(Arc::clone(&self.0))
    }

    /// Waits until there is a request.
    pub async fn requested(&self) {
        if self.0.subscribe().wait_for(|count| *count > 0).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
