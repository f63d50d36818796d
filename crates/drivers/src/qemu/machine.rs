//! The verbs on one machine: look at its folder and its process, act, and leave both so that a
//! second look finds the work done.
//!
//! Whoever calls them holds the machine's lock. A verb may end at any await with the process that
//! runs it; the next one sweeps up and begins where the folder says.

mod disks;
mod power;

use cloudpc_model::Power;
use std::io;
use std::sync::Arc;
use tokio::net::UnixStream;

use super::disk;
use super::layout::{
    DISK_FOLDER, ENDED_FILE, MACHINE_FILE, MachineFolder, VNC_SOCKET, make_private, read_json, remove, write_json,
};
use super::process::Process;
use super::record::{EndReason, EndRecord, MachineRecord};
use super::warm::MEMORY_FILE;
use super::wire::WireError;
use super::{QemuHost, Slot, screen, watch};
use crate::{DriverError, MachineCondition, MachineSpec, NO_DISPLAY, Observed, StopMode};

/// A machine that is there, under its lock.
pub struct Machine {
    pub host: Arc<QemuHost>,
    pub slot: Arc<Slot>,
    pub folder: MachineFolder,
    pub record: MachineRecord,
    /// What the record's file says, which a process under way may be ahead of.
    boots_written: u64,
    process: Option<Process>,
}

type Done = Result<(), DriverError>;

impl Machine {
    /// Makes a machine with a fresh disk. It is there once its file is.
    pub async fn make(host: &Arc<QemuHost>, folder: &MachineFolder, spec: &MachineSpec) -> Done {
        if spec.gpu {
            return Err(rejected("gpuNotSupported", "this host gives machines no graphics processor".into()));
        }
        host.parts.capacity.could_ever_run(spec)?;
        host.parts.capacity.admit_disk(&host.machines)?;
        make_private(folder.path()).map_err(of_host)?;
        folder.sweep().map_err(of_host)?;
        if disk::read(&folder.join(DISK_FOLDER)).map_err(of_host)?.is_none() {
            disks::make_disk(host, folder.join(DISK_FOLDER), spec, None).await?;
        }
        write_json(&folder.join(MACHINE_FILE), &MachineRecord::new(spec)).map_err(of_host)
    }

    /// The machine as it is now; none if there is none.
    pub fn look(host: &Arc<QemuHost>, slot: &Arc<Slot>, folder: &MachineFolder) -> Result<Option<Self>, DriverError> {
        let Some(record) = read_json::<MachineRecord>(&folder.join(MACHINE_FILE)).map_err(of_host)? else {
            return Ok(None);
        };
        slot.collect_children();
        let process = Process::find(folder, record.spec.id).map_err(of_host)?;
        let mut machine = Self {
            host: Arc::clone(host),
            slot: Arc::clone(slot),
            folder: folder.clone(),
            boots_written: record.boots,
            record,
            process,
        };
        machine.count_boot();
        machine.have_watched()?;
        Ok(Some(machine))
    }

    /// Whoever started the process may have died before they could write that down. One that still
    /// has to take its memory runs no guest yet.
    fn count_boot(&mut self) {
        if let Some(process) = &self.process
            && !self.present().join(MEMORY_FILE).exists()
        {
            self.record.boots = self.record.boots.max(process.boot);
        }
    }

    /// The same, for a verb that changes it: what unfinished work has left is swept away.
    pub fn take_up(
        host: &Arc<QemuHost>,
        slot: &Arc<Slot>,
        folder: &MachineFolder,
    ) -> Result<Option<Self>, DriverError> {
        let machine = Self::look(host, slot, folder)?;
        if let Some(machine) = &machine {
            machine.folder.sweep().map_err(of_host)?;
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
            asides: disk::asides(self.folder.path()).map_err(of_host)?,
            condition: self.condition()?,
        })
    }

    fn condition(&self) -> Result<Option<MachineCondition>, DriverError> {
        let boot = self.record.boots;
        if self.is_running() {
            return Ok(self.slot.watch.condition());
        }
        if self.record.stopped == Some(boot) {
            // It was stopped for a restart, of which the other half has failed.
            return Ok(self.record.is_restarting().then_some(MachineCondition::Crashed));
        }
        if boot == 0 {
            return Ok(None);
        }
        let ended = read_json::<EndRecord>(&self.folder.join(ENDED_FILE)).map_err(of_host)?;
        Ok(match ended.filter(|ended| ended.boot == boot).map(|ended| ended.how) {
            Some(EndReason::ShutDown) => Some(MachineCondition::ShutDown),
            Some(EndReason::Panicked) => Some(MachineCondition::Panicked),
            None => Some(MachineCondition::Crashed),
        })
    }

    /// Whoever started the process may have died since, and their watch with them.
    fn have_watched(&self) -> Done {
        match &self.process {
            Some(process) => {
                let id = self.record.spec.id;
                watch::begin(&self.host, &self.slot, &self.folder, id, process).map_err(of_host)
            }
            None => Ok(()),
        }
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Connects to its screen, which QEMU shows to any number of clients at the same time.
    pub async fn display(&self) -> Result<UnixStream, DriverError> {
        self.must_show_something()?;
        self.folder.connect(VNC_SOCKET).await.map_err(of_host)
    }

    /// A picture of its screen, PNG.
    pub async fn screenshot(&self) -> Result<Vec<u8>, DriverError> {
        self.must_show_something()?;
        screen::picture(&self.folder).await.map_err(of_wire)
    }

    fn must_show_something(&self) -> Done {
        if self.disk()?.is_some_and(|disk| !disk.about.display) {
            return Err(rejected(NO_DISPLAY, format!("{} has no screen: its image is made without one", self.name())));
        }
        if !self.is_running() {
            return Err(DriverError::Conflict(format!("{} is off and shows nothing", self.name())));
        }
        Ok(())
    }

    pub async fn ensure_absent(mut self) -> Done {
        self.stop(StopMode::Force).await?;
        let (folder, network, id) =
            (self.folder.path().to_owned(), self.host.parts.network.clone(), self.record.spec.id);
        blocking(move || {
            network.remove(id)?;
            remove(&folder)
        })
        .await
    }

    fn save_boots(&self) -> Done {
        if self.record.boots > self.boots_written { self.save() } else { Ok(()) }
    }

    fn save(&self) -> Done {
        write_json(&self.folder.join(MACHINE_FILE), &self.record).map_err(of_host)
    }

    fn name(&self) -> String {
        format!("machine {}", self.record.spec.id)
    }
}

/// Work on files that takes a while, off the threads that serve others.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, DriverError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(of_host),
        Err(_) => Err(DriverError::OutcomeUnknown("the work on the host's files did not come to its end".into())),
    }
}

/// Trouble with the host's files and processes; it may pass.
pub fn of_host(error: io::Error) -> DriverError {
    match error.kind() {
        io::ErrorKind::StorageFull => DriverError::Unavailable(format!("the host's disk is full: {error}")),
        _ => DriverError::Unavailable(error.to_string()),
    }
}

fn of_wire(error: WireError) -> DriverError {
    DriverError::Unavailable(format!("QEMU: {error}"))
}

fn rejected(code: &str, message: String) -> DriverError {
    DriverError::Rejected { code: code.into(), message }
}
