//! The verbs on one machine: inspect its folder and process, act, and leave both so that a repeated
//! call finds the work done.
//!
//! The caller holds the machine's lock. A verb may stop at any await when its process crashes; the
//! next one removes the leftovers and continues from the state in the folder.

mod disks;
mod power;

use cloudpc_model::Power;
use std::io;
use std::sync::Arc;
use tokio::net::UnixStream;

use super::disk;
use super::layout::{
    DISK_FOLDER, ENDED_FILE, MACHINE_FILE, MachineFolder, VNC_SOCKET, create_owner_only, read_json, remove, write_json,
};
use super::process::Process;
use super::record::{EndReason, EndRecord, MachineRecord};
use super::warm::MEMORY_FILE;
use super::wire::WireError;
use super::{QemuHost, Slot, screen, watch};
pub use crate::host::host_error;
use crate::{DriverError, MachineCondition, MachineSpec, NO_DISPLAY, Observed, StopMode, rejected};

/// An existing machine, under its lock.
pub struct Machine {
    pub host: Arc<QemuHost>,
    pub slot: Arc<Slot>,
    pub folder: MachineFolder,
    pub record: MachineRecord,
    /// The boot count in the record's file, which a running process may be ahead of.
    boots_written: u64,
    process: Option<Process>,
}

type VerbResult = Result<(), DriverError>;

impl Machine {
    /// Creates a machine with a new disk. The machine exists once its record does.
    pub async fn make(host: &Arc<QemuHost>, folder: &MachineFolder, spec: &MachineSpec) -> VerbResult {
        if spec.gpu {
            return Err(rejected("gpuNotSupported", "this host has no graphics processor for machines"));
        }
        host.parts.capacity.check_size(spec)?;
        host.parts.capacity.admit_disk(&host.machines)?;
        create_owner_only(folder.path()).map_err(host_error)?;
        folder.sweep().map_err(host_error)?;
        if disk::read(&folder.join(DISK_FOLDER)).map_err(host_error)?.is_none() {
            disks::make_disk(host, folder.join(DISK_FOLDER), spec, None).await?;
        }
        write_json(&folder.join(MACHINE_FILE), &MachineRecord::new(spec)).map_err(host_error)
    }

    /// Loads the current state of a machine; none if it does not exist.
    pub fn load(host: &Arc<QemuHost>, slot: &Arc<Slot>, folder: &MachineFolder) -> Result<Option<Self>, DriverError> {
        let Some(record) = read_json::<MachineRecord>(&folder.join(MACHINE_FILE)).map_err(host_error)? else {
            return Ok(None);
        };
        slot.reap_children();
        let process = Process::find(folder, record.spec.id).map_err(host_error)?;
        let mut machine = Self {
            host: Arc::clone(host),
            slot: Arc::clone(slot),
            folder: folder.clone(),
            boots_written: record.boots,
            record,
            process,
        };
        machine.count_boot();
        machine.ensure_watched()?;
        Ok(Some(machine))
    }

    /// Counts the boot of the running process, because the process that started it may have crashed
    /// before recording it. A process that still has to load its memory runs no guest yet.
    fn count_boot(&mut self) {
        if let Some(process) = &self.process
            && !self.current_disk().join(MEMORY_FILE).exists()
        {
            self.record.boots = self.record.boots.max(process.boot);
        }
    }

    /// Like [`Self::load`], for a verb that changes the machine: removes leftovers of unfinished
    /// work.
    pub fn load_for_change(
        host: &Arc<QemuHost>,
        slot: &Arc<Slot>,
        folder: &MachineFolder,
    ) -> Result<Option<Self>, DriverError> {
        let machine = Self::load(host, slot, folder)?;
        if let Some(machine) = &machine {
            machine.folder.sweep().map_err(host_error)?;
            machine.save_boots()?;
        }
        Ok(machine)
    }

    pub fn observed(&self) -> Result<Observed, DriverError> {
        let disk = self.disk()?;
        let image = disk.as_ref().map_or_else(|| self.record.spec.image.clone(), |disk| disk.image.clone());
        Ok(Observed {
            power: if self.is_running() { Power::Running } else { Power::PoweredOff },
            boots: self.record.boots,
            spec: MachineSpec { image, ..self.record.spec.clone() },
            disk: disk.and_then(|disk| disk.tag),
            asides: disk::old_disks(self.folder.path()).map_err(host_error)?,
            condition: self.condition()?,
        })
    }

    fn condition(&self) -> Result<Option<MachineCondition>, DriverError> {
        let boot = self.record.boots;
        if self.is_running() {
            return Ok(self.slot.watch.condition());
        }
        if self.record.stopped == Some(boot) {
            // The machine was stopped for a restart whose start failed.
            return Ok(self.record.is_restarting().then_some(MachineCondition::Crashed));
        }
        if boot == 0 {
            return Ok(None);
        }
        let ended = read_json::<EndRecord>(&self.folder.join(ENDED_FILE)).map_err(host_error)?;
        Ok(match ended.filter(|ended| ended.boot == boot).map(|ended| ended.how) {
            Some(EndReason::ShutDown) => Some(MachineCondition::ShutDown),
            Some(EndReason::Panicked) => Some(MachineCondition::Panicked),
            None => Some(MachineCondition::Crashed),
        })
    }

    /// Starts a watch of the process unless there is one: the service that started both may have
    /// crashed.
    fn ensure_watched(&self) -> VerbResult {
        match &self.process {
            Some(process) => {
                let id = self.record.spec.id;
                watch::begin(&self.host, &self.slot, &self.folder, id, process).map_err(host_error)
            }
            None => Ok(()),
        }
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Connects to the machine's screen, which QEMU shows to any number of clients at once.
    pub async fn display(&self) -> Result<UnixStream, DriverError> {
        self.require_display()?;
        self.folder.connect(VNC_SOCKET).await.map_err(host_error)
    }

    /// Returns a screenshot, PNG.
    pub async fn screenshot(&self) -> Result<Vec<u8>, DriverError> {
        self.require_display()?;
        screen::screenshot(&self.folder).await.map_err(qemu_error)
    }

    fn require_display(&self) -> VerbResult {
        if self.disk()?.is_some_and(|disk| !disk.info.display) {
            return Err(rejected(NO_DISPLAY, format!("{} has no screen because its image has none", self.name())));
        }
        if !self.is_running() {
            return Err(DriverError::Conflict(format!("{} is off; start it first", self.name())));
        }
        Ok(())
    }

    pub async fn ensure_absent(mut self) -> VerbResult {
        self.stop(StopMode::Force).await?;
        let (folder, network, id) =
            (self.folder.path().to_owned(), self.host.parts.network.clone(), self.record.spec.id);
        blocking(move || {
            network.remove(id)?;
            remove(&folder)
        })
        .await
    }

    fn save_boots(&self) -> VerbResult {
        if self.record.boots > self.boots_written { self.save() } else { Ok(()) }
    }

    fn save(&self) -> VerbResult {
        write_json(&self.folder.join(MACHINE_FILE), &self.record).map_err(host_error)
    }

    fn name(&self) -> String {
        format!("machine {}", self.record.spec.id)
    }
}

/// Runs blocking file work on a thread for such work.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, DriverError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(host_error),
        Err(_) => Err(DriverError::OutcomeUnknown("the work on the host's files was interrupted".into())),
    }
}

fn qemu_error(error: WireError) -> DriverError {
    DriverError::Unavailable(format!("QEMU: {error}"))
}
