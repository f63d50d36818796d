//! One simulated machine, as a value: its state, the work in progress, and what each verb still
//! requires.
//!
//! Work in progress has an end time and takes effect at that time, whether or not anyone waits:
//! [`Machine::catch_up`] applies everything that is due. This module must not depend on waiting,
//! locks and files.

use cloudpc_model::{Power, SnapshotId, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::ScriptedCondition;
use super::disk::{Disk, Download};
use crate::{Aside, DriverError, Incident, MachineCondition, MachineSpec, Observed, StopMode, Tag, rejected};

/// Free space of a disk that is almost full, bytes.
pub const FULL_DISK_FREE_BYTES: u64 = 16 << 20;

/// Number of restarts that a machine remembers; the actions of older ones have ended long ago.
const RESTARTS_MAX: usize = 16;

/// Exit code of a killed program, as Windows reports it.
const KILLED_EXIT_CODE: i32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub spec: MachineSpec,
    pub power: Power,
    pub boots: u64,
    /// When the guest starts to respond after the latest boot.
    pub ready_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    asides: Vec<(Tag, Disk)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    snapshots: Vec<(SnapshotId, Disk)>,
    /// The latest restarts, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    restarts: Vec<Tag>,
    /// The work of the driver in progress: one operation at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    work: Option<Box<GuestWork>>,
    /// The detected condition.
    #[serde(default, alias = "trouble", skip_serializing_if = "Option::is_none")]
    pub condition: Option<MachineCondition>,
    /// The guest's tasks in progress; lost when the power is cut.
    #[serde(default, alias = "chores", skip_serializing_if = "Vec::is_empty")]
    pub guest_tasks: Vec<GuestTask>,
    #[serde(default, alias = "ailment", skip_serializing_if = "ScriptedCondition::is_none")]
    pub scripted_condition: ScriptedCondition,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct GuestWork {
    change: MachineChange,
    ends_at: Timestamp,
}

/// An operation of the driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineChange {
    PowerOn { boot: Duration },
    PowerOff,
    Restart { tag: Tag, boot: Duration },
    MakeDisk(Disk),
    SetAside(Tag),
    PutBack(Tag),
    DropAside(Tag),
    Resize { vcpu_count: u32, ram_gib: u32, storage_gib: u32 },
    Snapshot(SnapshotId),
    DropSnapshot(SnapshotId),
}

/// A task of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestTask {
    pub what: GuestTaskKind,
    /// None: the task never ends by itself.
    pub ends_at: Option<Timestamp>,
}

/// The kind of a guest's task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestTaskKind {
    Enrol { hostname: String },
    Fetch(Download),
    Run { tag: Tag, exit_code: i32 },
}

/// What a verb still requires.
#[derive(Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The machine meets the requirement.
    Met,
    /// This operation is missing and takes this long.
    Missing(MachineChange, WorkKind),
}

/// The kind of an operation, which determines its duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    Instant,
    Stop,
    Disk,
    Touch,
}

impl Machine {
    /// Creates a machine without a disk, powered off.
    pub fn new(spec: &MachineSpec, scripted_condition: ScriptedCondition) -> Self {
        Self {
            spec: spec.clone(),
            power: Power::PoweredOff,
            boots: 0,
            ready_at: Timestamp(0),
            disk: None,
            asides: Vec::new(),
            snapshots: Vec::new(),
            restarts: Vec::new(),
            work: None,
            condition: None,
            guest_tasks: Vec::new(),
            scripted_condition,
        }
    }

    /// Creates a machine that is running and enrolled at `now`.
    pub fn settled(spec: &MachineSpec, scripted_condition: ScriptedCondition, now: Timestamp) -> Self {
        let mut disk = Disk::blank(spec, None);
        disk.enrolled_as = Some(spec.hostname.clone());
        Self { power: Power::Running, boots: 1, ready_at: now, disk: Some(disk), ..Self::new(spec, scripted_condition) }
    }

    pub fn observed(&self) -> Observed {
        let image = self.disk.as_ref().map_or(&self.spec.image, |disk| &disk.image);
        Observed {
            power: self.power,
            boots: self.boots,
            spec: MachineSpec { image: image.clone(), ..self.spec.clone() },
            disk: self.disk.as_ref().and_then(|disk| disk.tag.clone()),
            asides: self
                .asides
                .iter()
                .map(|(tag, disk)| Aside { tag: tag.clone(), size_bytes: disk.used_bytes() })
                .collect(),
            condition: self.condition,
        }
    }

    /// Applies an incident. Has no effect on a stopped machine.
    pub fn apply_incident(&mut self, incident: Incident) {
        if self.is_running() {
            self.power_off();
            self.condition = Some(match incident {
                Incident::Crash => MachineCondition::Crashed,
                Incident::Panic => MachineCondition::Panicked,
                Incident::ShutDown => MachineCondition::ShutDown,
            });
        }
    }

    /// Returns when the work in progress ends.
    pub fn work_ends_at(&self) -> Option<Timestamp> {
        self.work.as_ref().map(|work| work.ends_at)
    }

    /// Returns the work in progress.
    pub fn work(&self) -> Option<&MachineChange> {
        self.work.as_ref().map(|work| &work.change)
    }

    /// Cancels the work in progress: it has no effect.
    pub fn cancel_work(&mut self) {
        self.work = None;
    }

    /// Starts work that ends at `ends_at`. No other work may be in progress.
    pub fn begin(&mut self, change: MachineChange, ends_at: Timestamp) {
        debug_assert!(self.work.is_none(), "one operation at a time");
        if let MachineChange::Restart { tag, .. } = &change {
            // The tag is recorded before acting, so that a restart is never repeated.
            self.restarts.push(tag.clone());
            let forgotten = self.restarts.len().saturating_sub(RESTARTS_MAX);
            self.restarts.drain(..forgotten);
        }
        self.work = Some(Box::new(GuestWork { change, ends_at }));
    }

    /// Returns when the next work or task is due.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.guest_tasks.iter().filter_map(|task| task.ends_at).chain(self.work_ends_at()).min()
    }

    /// Applies everything that is due by `now`, in order.
    pub fn catch_up(&mut self, now: Timestamp) {
        while let Some(at) = self.due_at().filter(|at| *at <= now) {
            match self.guest_tasks.iter().position(|task| task.ends_at == Some(at)) {
                Some(task) => {
                    let task = self.guest_tasks.remove(task);
                    self.finish(task.what);
                }
                None => {
                    let work = self.work.take().expect("an operation is due if no task is");
                    self.apply(work.change, at);
                }
            }
        }
    }

    fn apply(&mut self, change: MachineChange, at: Timestamp) {
        match change {
            MachineChange::PowerOn { boot } => self.power_on(at, boot),
            MachineChange::PowerOff => self.power_off(),
            MachineChange::Restart { boot, .. } => {
                self.power_off();
                self.power_on(at, boot);
            }
            MachineChange::MakeDisk(disk) => self.disk = Some(disk),
            MachineChange::SetAside(tag) => self.asides.extend(self.disk.take().map(|disk| (tag, disk))),
            MachineChange::PutBack(tag) => {
                self.disk.take_if(|disk| disk.tag.as_ref() == Some(&tag));
                let position = self.asides.iter().position(|(of, _)| *of == tag);
                if let Some(position) = position {
                    let mut disk = self.asides.remove(position).1;
                    disk.size_gib = disk.size_gib.max(self.spec.storage_gib);
                    self.disk = Some(disk);
                }
            }
            MachineChange::DropAside(tag) => self.asides.retain(|(of, _)| *of != tag),
            MachineChange::Resize { vcpu_count, ram_gib, storage_gib } => {
                self.spec = MachineSpec { vcpu_count, ram_gib, storage_gib, ..self.spec.clone() };
                if let Some(disk) = &mut self.disk {
                    disk.size_gib = storage_gib;
                }
            }
            MachineChange::Snapshot(id) => self.snapshots.extend(self.disk.clone().map(|disk| (id, disk))),
            MachineChange::DropSnapshot(id) => self.snapshots.retain(|(of, _)| *of != id),
        }
    }

    fn power_on(&mut self, at: Timestamp, boot: Duration) {
        self.power = Power::Running;
        self.condition = None;
        self.boots += 1;
        self.ready_at = at + boot;
    }

    fn power_off(&mut self) {
        self.power = Power::PoweredOff;
        self.condition = None;
        self.guest_tasks.clear();
    }

    fn is_running(&self) -> bool {
        self.power == Power::Running
    }

    fn disk_tag_is(&self, tag: &Tag) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.tag.as_ref() == Some(tag))
    }

    fn has_old_disk(&self, tag: &Tag) -> bool {
        self.asides.iter().any(|(of, _)| of == tag)
    }

    fn snapshot(&self, id: &SnapshotId) -> Option<&Disk> {
        self.snapshots.iter().find(|(of, _)| of == id).map(|(_, disk)| disk)
    }

    /// Fails unless the machine is powered off.
    fn require_off(&self, what: &str) -> Result<(), DriverError> {
        match self.is_running() {
            true => Err(DriverError::Conflict(format!("machine {} is running; stop it before {what}", self.spec.id))),
            false => Ok(()),
        }
    }
}

/// What each verb of the driver still requires.
impl Machine {
    pub fn plan_running(&self, boot: Duration) -> Result<Requirement, DriverError> {
        if self.is_running() {
            return Ok(Requirement::Met);
        }
        if self.disk.is_none() {
            return Err(DriverError::Conflict(format!("machine {} has no disk to boot from", self.spec.id)));
        }
        Ok(Requirement::Missing(MachineChange::PowerOn { boot }, WorkKind::Instant))
    }

    pub fn plan_stopped(&self, how: StopMode) -> Requirement {
        match (self.is_running(), how) {
            (false, _) if self.condition.is_none() => Requirement::Met,
            // Clears the condition: the machine is now off on request.
            (false, _) => Requirement::Missing(MachineChange::PowerOff, WorkKind::Instant),
            (true, StopMode::Graceful) => Requirement::Missing(MachineChange::PowerOff, WorkKind::Stop),
            (true, StopMode::Force) => Requirement::Missing(MachineChange::PowerOff, WorkKind::Instant),
        }
    }

    pub fn plan_restarted(&self, tag: &Tag, boot: Duration) -> Result<Requirement, DriverError> {
        if self.restarts.contains(tag) {
            return Ok(Requirement::Met);
        }
        if !self.is_running() {
            return Err(DriverError::Conflict(format!(
                "machine {} is off and cannot be restarted; start it instead",
                self.spec.id
            )));
        }
        Ok(Requirement::Missing(MachineChange::Restart { tag: tag.clone(), boot }, WorkKind::Stop))
    }

    pub fn plan_disk_aside(&self, tag: &Tag) -> Result<Requirement, DriverError> {
        // A disk made under this tag proves that the old disk was detached, even if it has been
        // deleted since.
        if self.has_old_disk(tag) || self.disk_tag_is(tag) {
            return Ok(Requirement::Met);
        }
        if self.disk.is_none() {
            return Err(DriverError::NotFound(format!("machine {} has no disk to detach", self.spec.id)));
        }
        self.require_off("detaching its disk")?;
        Ok(Requirement::Missing(MachineChange::SetAside(tag.clone()), WorkKind::Touch))
    }

    /// Checks whether the current disk is the one that `spec` and `tag` require.
    pub fn plan_disk_from_image(&self, spec: &MachineSpec, tag: &Tag) -> Result<Requirement, DriverError> {
        if self.disk_tag_is(tag) {
            return Ok(Requirement::Met);
        }
        self.require_no_disk()?;
        let disk = Disk::from_image(spec, Some(tag.clone()))?;
        Ok(Requirement::Missing(MachineChange::MakeDisk(disk), WorkKind::Disk))
    }

    pub fn plan_disk_from_snapshot(&self, snapshot: &SnapshotId, tag: &Tag) -> Result<Requirement, DriverError> {
        if self.disk_tag_is(tag) {
            return Ok(Requirement::Met);
        }
        let Some(disk) = self.snapshot(snapshot) else {
            return Err(DriverError::NotFound(format!("restore point {snapshot} of machine {}", self.spec.id)));
        };
        self.require_no_disk()?;
        let mut disk = disk.clone();
        disk.tag = Some(tag.clone());
        disk.size_gib = disk.size_gib.max(self.spec.storage_gib);
        Ok(Requirement::Missing(MachineChange::MakeDisk(disk), WorkKind::Disk))
    }

    pub fn plan_disk_back(&self, tag: &Tag) -> Result<Requirement, DriverError> {
        if !self.has_old_disk(tag) && !self.disk_tag_is(tag) {
            return Ok(Requirement::Met);
        }
        self.require_off("reattaching its old disk")?;
        if self.disk.is_some() && !self.disk_tag_is(tag) {
            return Err(DriverError::Conflict(format!(
                "machine {} has a disk that {tag} did not make; detach that disk before reattaching the old one",
                self.spec.id
            )));
        }
        Ok(Requirement::Missing(MachineChange::PutBack(tag.clone()), WorkKind::Touch))
    }

    pub fn plan_aside_dropped(&self, tag: &Tag) -> Requirement {
        match self.has_old_disk(tag) {
            true => Requirement::Missing(MachineChange::DropAside(tag.clone()), WorkKind::Touch),
            false => Requirement::Met,
        }
    }

    pub fn plan_size(&self, spec: &MachineSpec) -> Result<Requirement, DriverError> {
        let MachineSpec { vcpu_count, ram_gib, storage_gib, .. } = *spec;
        if (vcpu_count, ram_gib, storage_gib) == (self.spec.vcpu_count, self.spec.ram_gib, self.spec.storage_gib) {
            return Ok(Requirement::Met);
        }
        if self.spec.gpu {
            return Err(rejected(
                "gpuResizeNotSupported",
                format!("machine {} has a graphics processor; such machines cannot be resized", self.spec.id),
            ));
        }
        if storage_gib < self.spec.storage_gib {
            return Err(rejected(
                "storageShrinkNotSupported",
                format!(
                    "the disk of machine {} has {} GiB and cannot shrink to {storage_gib} GiB",
                    self.spec.id, self.spec.storage_gib
                ),
            ));
        }
        self.require_off("resizing it")?;
        Ok(Requirement::Missing(MachineChange::Resize { vcpu_count, ram_gib, storage_gib }, WorkKind::Touch))
    }

    pub fn plan_snapshot(&self, snapshot: &SnapshotId) -> Result<Requirement, DriverError> {
        if self.snapshot(snapshot).is_some() {
            return Ok(Requirement::Met);
        }
        if self.disk.is_none() {
            return Err(DriverError::Conflict(format!("machine {} has no disk to copy", self.spec.id)));
        }
        Ok(Requirement::Missing(MachineChange::Snapshot(snapshot.clone()), WorkKind::Touch))
    }

    pub fn plan_snapshot_absent(&self, snapshot: &SnapshotId) -> Requirement {
        match self.snapshot(snapshot) {
            Some(_) => Requirement::Missing(MachineChange::DropSnapshot(snapshot.clone()), WorkKind::Touch),
            None => Requirement::Met,
        }
    }

    fn require_no_disk(&self) -> Result<(), DriverError> {
        if self.disk.is_some() {
            return Err(DriverError::Conflict(format!("machine {} has a disk; detach it first", self.spec.id)));
        }
        self.require_off("attaching a disk")
    }
}

/// Operations of the guest.
impl Machine {
    /// Returns the disk of a guest that responds at `now`.
    pub fn answering(&self, now: Timestamp) -> Option<&Disk> {
        let disk = self.disk.as_ref()?;
        let stopping = matches!(self.work(), Some(MachineChange::PowerOff | MachineChange::Restart { .. }));
        let answers = self.is_running() && self.ready_at <= now && !stopping && !self.scripted_condition.guest_hangs;
        answers.then_some(disk)
    }

    pub fn free_disk_bytes(&self, disk: &Disk) -> u64 {
        let free = (u64::from(disk.size_gib) << 30).saturating_sub(disk.used_bytes());
        if self.scripted_condition.disk_full { free.min(FULL_DISK_FREE_BYTES) } else { free }
    }

    pub fn task(&self, is_it: impl Fn(&GuestTaskKind) -> bool) -> Option<&GuestTask> {
        self.guest_tasks.iter().find(|task| is_it(&task.what))
    }

    fn finish(&mut self, task: GuestTaskKind) {
        let Some(disk) = &mut self.disk else { return };
        match task {
            GuestTaskKind::Enrol { hostname } => disk.enrolled_as = Some(hostname),
            GuestTaskKind::Fetch(download) => disk.put_download(download),
            GuestTaskKind::Run { tag, exit_code } => disk.record_exit(&tag, exit_code),
        }
    }

    /// Kills the run of `tag`, if there is one.
    pub fn kill(&mut self, tag: &Tag) {
        let before = self.guest_tasks.len();
        self.guest_tasks.retain(|task| !matches!(&task.what, GuestTaskKind::Run { tag: of, .. } if of == tag));
        if let Some(disk) = self.disk.as_mut().filter(|_| self.guest_tasks.len() < before) {
            disk.record_exit(tag, KILLED_EXIT_CODE);
        }
    }
}

impl MachineChange {
    /// Returns whether this change makes the disk of `tag`.
    pub fn makes_disk_of(&self, tag: &Tag) -> bool {
        matches!(self, Self::MakeDisk(disk) if disk.tag.as_ref() == Some(tag))
    }
}
