//! The verbs on one machine: look at its folder and its process, act, and leave both so that a second look finds the work done.
//!
//! Whoever calls them holds the machine's lock. A verb may end at any await with the process that runs it; the next one sweeps up and begins where the folder says.

use cloudpc_model::{ImageId, Power, SnapshotId};
use serde_json::json;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;

use super::accelerator::Accelerator;
use super::disk;
use super::image::About;
use super::layout::{
    ASIDE, DISK_FOLDER, MACHINE_FILE, MachineFolder, SNAPSHOTS_FOLDER, VNC_SOCKET, file_name, make_private,
    original_name, read_json, remove, rename, write_json,
};
use super::process::{self, Process};
use super::qmp::Qmp;
use super::record::{DiskRecord, MachineRecord};
use super::warm::{self, MEMORY_FILE, Shape};
use super::wire::WireError;
use super::{Host, Slot, command};
use crate::{Aside, DriverError, MachineSpec, NO_DISPLAY, Observed, StopMode, Tag};

/// How often a guest that was asked to stop is asked again: one that is only just starting does not hear it.
const ASK_AGAIN: Duration = Duration::from_secs(4);

/// How long QEMU may take to end once told; then its process is killed.
const QUIT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a process that does not answer may take to be gone, if that is why.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a killed process may take to be gone.
const KILL_TIME_MAX: Duration = Duration::from_secs(10);

/// The job that copies a disk, and the node that it copies to.
const COPY: &str = "copy";

/// Whether a machine that has a process can run its guest.
enum Awake {
    Yes,
    /// It waits for a memory that nobody is going to hand to it.
    No,
}

/// A machine that is there, under its lock.
pub struct Machine {
    pub host: Arc<Host>,
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
    pub async fn make(host: &Arc<Host>, folder: &MachineFolder, spec: &MachineSpec) -> Done {
        if spec.gpu {
            return Err(rejected("gpuNotSupported", "this host gives machines no graphics processor".into()));
        }
        host.capacity.could_ever_run(spec)?;
        host.capacity.admit_disk(&host.machines)?;
        make_private(folder.path()).map_err(of_host)?;
        folder.sweep().map_err(of_host)?;
        if disk::read(&folder.join(DISK_FOLDER)).map_err(of_host)?.is_none() {
            make_disk(host, folder.join(DISK_FOLDER), spec, None).await?;
        }
        write_json(&folder.join(MACHINE_FILE), &MachineRecord::new(spec)).map_err(of_host)
    }

    /// The machine as it is now; none if there is none.
    pub fn look(host: &Arc<Host>, slot: &Arc<Slot>, folder: &MachineFolder) -> Result<Option<Self>, DriverError> {
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
        Ok(Some(machine))
    }

    /// Whoever started the process may have died before they could write that down. One that still has to take its memory runs no guest yet.
    fn count_boot(&mut self) {
        if let Some(process) = &self.process
            && !self.present().join(MEMORY_FILE).exists()
        {
            self.record.boots = self.record.boots.max(process.boot);
        }
    }

    /// The same, for a verb that changes it: what unfinished work has left is swept away.
    pub fn take_up(host: &Arc<Host>, slot: &Arc<Slot>, folder: &MachineFolder) -> Result<Option<Self>, DriverError> {
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
            asides: self.asides().map_err(of_host)?,
        })
    }

    fn asides(&self) -> io::Result<Vec<Aside>> {
        let mut names = super::layout::names(self.folder.path())?;
        names.sort();
        let aside = |name: &String| {
            let tag = Tag(original_name(name.strip_prefix(ASIDE)?));
            Some(disk::size_bytes(&self.folder.join(name)).map(|size_bytes| Aside { tag, size_bytes }))
        };
        names.iter().filter_map(aside).collect()
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Connects to its screen, which QEMU shows to any number of clients at the same time.
    pub async fn display(&self) -> Result<UnixStream, DriverError> {
        if self.disk()?.is_some_and(|disk| !disk.about.display) {
            return Err(rejected(NO_DISPLAY, format!("{} has no screen: its image is made without one", self.name())));
        }
        if !self.is_running() {
            return Err(DriverError::Conflict(format!("{} is off and shows nothing", self.name())));
        }
        self.folder.connect(VNC_SOCKET).await.map_err(of_host)
    }

    pub async fn ensure_absent(mut self) -> Done {
        self.stop(StopMode::Force).await?;
        let folder = self.folder.path().to_owned();
        blocking(move || remove(&folder)).await
    }

    pub async fn ensure_running(mut self) -> Done {
        let Some(process) = &self.process else { return self.start().await };
        let woken = self.wake().await;
        // Whoever was handing it its memory has died.
        if let Ok(Awake::No) = woken {
            self.stop(StopMode::Force).await?;
            return self.start().await;
        }
        // It may have been about to end when we looked.
        if woken.is_err() && tokio::time::timeout(END_TIME_MAX, process.ended()).await.is_ok() {
            self.process = None;
            return self.start().await;
        }
        woken?;
        self.count_boot();
        self.save_boots()
    }

    pub async fn ensure_stopped(mut self, how: StopMode) -> Done {
        self.stop(how).await
    }

    pub async fn ensure_restarted(mut self, tag: Tag) -> Done {
        match self.record.restart(&tag) {
            Some(restart) if self.record.boots >= restart.boots => return Ok(()),
            Some(_) => {}
            None if !self.is_running() => {
                return Err(DriverError::Conflict(format!("{} is off and cannot be restarted", self.name())));
            }
            None => {
                self.record.begin_restart(&tag);
                self.save()?;
            }
        }
        self.stop(StopMode::Graceful).await?;
        self.start().await
    }

    pub fn ensure_disk_aside(self, tag: &Tag) -> Done {
        let disk = self.disk()?;
        // A disk made under this tag shows that the old one was set aside, even if that has been dropped since.
        if self.aside(tag).exists() || is_of(disk.as_ref(), tag) {
            return Ok(());
        }
        if disk.is_none() {
            return Err(DriverError::NotFound(format!("{} has no disk to set aside", self.name())));
        }
        self.must_be_off("its disk is set aside")?;
        rename(&self.present(), &self.aside(tag)).map_err(of_host)
    }

    pub async fn ensure_disk_from_image(mut self, spec: MachineSpec, tag: Tag) -> Done {
        if is_of(self.disk()?.as_ref(), &tag) {
            return Ok(());
        }
        self.must_take_disk()?;
        let size = self.record.spec.clone();
        let wanted = MachineSpec { image: spec.image, ..size };
        make_disk(&self.host, self.present(), &wanted, Some(tag)).await?;
        self.record.spec.image = wanted.image;
        self.save()
    }

    pub async fn ensure_disk_from_snapshot(self, snapshot: SnapshotId, tag: Tag) -> Done {
        if is_of(self.disk()?.as_ref(), &tag) {
            return Ok(());
        }
        let original = self.snapshot(&snapshot);
        if !original.exists() {
            return Err(DriverError::NotFound(format!("restore point {snapshot} of {}", self.name())));
        }
        self.must_take_disk()?;
        self.host.capacity.admit_disk(self.folder.path())?;
        let (present, account) = (self.present(), self.host.account);
        blocking(move || disk::make_from_copy(&present, &original, Some(&tag), account)).await
    }

    pub async fn ensure_disk_back(self, tag: &Tag) -> Done {
        let (disk, aside) = (self.disk()?, self.aside(tag));
        let made_by_it = is_of(disk.as_ref(), tag);
        if !aside.exists() && !made_by_it {
            return Ok(());
        }
        self.must_be_off("its disk is put back")?;
        if disk.is_some() && !made_by_it {
            return Err(DriverError::Conflict(format!(
                "{} has a disk that {tag} did not make; it is in the way of the one set aside",
                self.name()
            )));
        }
        let present = self.present();
        blocking(move || {
            remove(&present)?;
            if aside.exists() { rename(&aside, &present) } else { Ok(()) }
        })
        .await
    }

    pub async fn ensure_aside_dropped(self, tag: &Tag) -> Done {
        let aside = self.aside(tag);
        blocking(move || remove(&aside)).await
    }

    /// The disk itself grows when the machine starts.
    pub fn ensure_size(mut self, spec: &MachineSpec) -> Done {
        let present = &self.record.spec;
        let size = |spec: &MachineSpec| (spec.vcpu_count, spec.ram_gib, spec.storage_gib);
        if size(present) == size(spec) {
            return Ok(());
        }
        if spec.storage_gib < present.storage_gib {
            let message = format!(
                "{} has a disk of {} GiB, which cannot be made smaller ({} GiB)",
                self.name(),
                present.storage_gib,
                spec.storage_gib
            );
            return Err(rejected("storageShrinkNotSupported", message));
        }
        self.host.capacity.could_ever_run(spec)?;
        self.must_be_off("its size is changed")?;
        (self.record.spec.vcpu_count, self.record.spec.ram_gib, self.record.spec.storage_gib) = size(spec);
        self.save()
    }

    pub async fn ensure_snapshot(self, snapshot: &SnapshotId) -> Done {
        let target = self.snapshot(snapshot);
        if target.exists() {
            return Ok(());
        }
        if self.disk()?.is_none() {
            return Err(DriverError::Conflict(format!("{} has no disk to copy", self.name())));
        }
        self.host.capacity.admit_disk(self.folder.path())?;
        let snapshots = self.folder.join(SNAPSHOTS_FOLDER);
        make_private(&snapshots).map_err(of_host)?;
        self.host.account.let_in(&snapshots).map_err(of_host)?;
        if self.is_running() {
            return self.copy_running(target).await;
        }
        let (present, account) = (self.present(), self.host.account);
        blocking(move || {
            let tag = disk::read(&present)?.and_then(|disk| disk.tag);
            disk::make_from_copy(&target, &present, tag.as_ref(), account)
        })
        .await
    }

    pub async fn ensure_snapshot_absent(self, snapshot: &SnapshotId) -> Done {
        let target = self.snapshot(snapshot);
        blocking(move || remove(&target)).await
    }
}

/// Power.
impl Machine {
    async fn start(&mut self) -> Done {
        let Some(disk) = self.disk()? else {
            return Err(DriverError::Conflict(format!("{} has no disk to start from", self.name())));
        };
        self.host.capacity.admit_disk(self.folder.path())?;
        let _admission = self.host.admit(&self.record.spec).await?;
        let (present, size_gib) = (self.present(), self.record.spec.storage_gib);
        blocking(move || disk::grow(&present, size_gib)).await?;
        let accelerator = self.host.accelerator().await;
        let fits = accelerator == Accelerator::Tcg && disk.about.warm == Some(Shape::of(&self.record.spec));
        if fits && self.present().join(MEMORY_FILE).exists() {
            self.start_process(&disk, accelerator, true).await?;
            match warm::load(&self.folder, &self.present().join(MEMORY_FILE)).await {
                Ok(()) => {
                    self.wake().await?;
                    self.count_boot();
                    return self.save();
                }
                Err(error) => tracing::warn!(%error, "{} cannot take its image's memory and boots", self.name()),
            }
            self.stop(StopMode::Force).await?;
        }
        warm::forget(&self.present()).map_err(of_host)?;
        self.start_process(&disk, accelerator, false).await
    }

    async fn start_process(&mut self, disk: &DiskRecord, accelerator: Accelerator, waits_for_memory: bool) -> Done {
        let boot = self.record.boots + 1;
        let arguments = command::arguments(&self.record.spec, disk, accelerator, boot, waits_for_memory);
        let child = process::start(&self.folder, &arguments, self.host.account)
            .await
            .map_err(|error| DriverError::Unavailable(error.to_string()))?;
        self.slot.keep_child(child);
        self.process = Process::find(&self.folder, self.record.spec.id).map_err(of_host)?;
        self.count_boot();
        self.save()
    }

    /// Makes a warm image of it: its memory and its disk at one moment. It ends with that.
    pub async fn become_image(mut self, id: ImageId) -> Done {
        let Some(record) = self.disk()? else {
            return Err(DriverError::Conflict(format!("{} has no disk", self.name())));
        };
        let memory = self.folder.join(MEMORY_FILE);
        warm::save(&self.folder, &memory, self.host.account).await.map_err(of_wire)?;
        self.stop(StopMode::Force).await?;
        let (images, present, shape) = (self.host.images.clone(), self.present(), Shape::of(&self.record.spec));
        blocking(move || {
            images.register(&id, |draft| {
                disk::flatten(&present, draft)?;
                std::fs::rename(&memory, draft.join(MEMORY_FILE))?;
                Ok(About { warm: Some(shape), ..record.about })
            })
        })
        .await
    }

    /// Lets a machine that stands still go on: one whose host's disk was full, or that was paused by hand.
    async fn wake(&self) -> Result<Awake, DriverError> {
        let mut qmp = Qmp::connect(&self.folder).await.map_err(of_wire)?;
        match qmp.status().await.map_err(of_wire)?.as_str() {
            "inmigrate" => return Ok(Awake::No),
            "paused" | "io-error" | "prelaunch" => {
                self.host.capacity.admit_disk(self.folder.path())?;
                warm::forget(&self.present()).map_err(of_host)?;
                qmp.execute("cont", json!({})).await.map_err(of_wire)?;
            }
            _ => {}
        }
        Ok(Awake::Yes)
    }

    async fn stop(&mut self, how: StopMode) -> Done {
        let Some(process) = self.process.take() else { return Ok(()) };
        if how == StopMode::Graceful && self.ended_when_asked(&process).await? {
            return Ok(());
        }
        if let Ok(mut qmp) = Qmp::connect(&self.folder).await {
            // What is in QEMU's own memory gets to the disk. It may end before it can answer.
            let _ = tokio::time::timeout(QUIT_TIME_MAX, qmp.execute("quit", json!({}))).await;
            if tokio::time::timeout(QUIT_TIME_MAX, process.ended()).await.is_ok() {
                return Ok(());
            }
        }
        process.kill().map_err(of_host)?;
        match tokio::time::timeout(KILL_TIME_MAX, process.ended()).await {
            Ok(ended) => ended.map_err(of_host),
            Err(_) => Err(DriverError::OutcomeUnknown(format!("{} was killed and is not gone yet", self.name()))),
        }
    }

    /// Presses the power button until the guest has shut down; whether it has, before the deadline and before someone wants it forced.
    async fn ended_when_asked(&self, process: &Process) -> Result<bool, DriverError> {
        let asked = async {
            loop {
                // A guest that stands still cannot hear.
                if self.wake().await.is_ok()
                    && let Ok(mut qmp) = Qmp::connect(&self.folder).await
                {
                    let _ = qmp.execute("system_powerdown", json!({})).await;
                }
                if let Ok(ended) = tokio::time::timeout(ASK_AGAIN, process.ended()).await {
                    return ended.map_err(of_host);
                }
            }
        };
        tokio::select! {
            biased;
            ended = asked => ended.map(|()| true),
            () = self.slot.forced() => Ok(false),
            () = self.host.clock.sleep_until(self.host.clock.now() + self.host.stop_time_max) => Ok(false),
        }
    }
}

/// Disks.
impl Machine {
    /// Copies the disk of a running machine, as it is at one moment, with what the guest still held in memory.
    async fn copy_running(&self, target: PathBuf) -> Done {
        let name = target.file_name().expect("a restore point has a name").to_string_lossy();
        let draft = target.with_file_name(format!("new-{name}"));
        let (present, account, copy) = (self.present(), self.host.account, draft.clone());
        blocking(move || disk::begin_draft(&copy, &present, account)).await?;
        let file = format!("../{SNAPSHOTS_FOLDER}/new-{name}/{}", super::image::DISK_FILE);
        self.copy_to(&file).await.map_err(of_wire)?;
        blocking(move || disk::finish_draft(&draft, &target)).await
    }

    async fn copy_to(&self, file: &str) -> Result<(), WireError> {
        let mut qmp = Qmp::connect(&self.folder).await?;
        // A copy that a dead one of us had begun.
        for (command, arguments) in [
            ("job-cancel", json!({ "id": COPY })),
            ("job-dismiss", json!({ "id": COPY })),
            ("blockdev-del", json!({ "node-name": COPY })),
        ] {
            let _ = qmp.execute(command, arguments).await;
        }
        let node = json!({ "driver": "qcow2", "node-name": COPY, "backing": null, "file": { "driver": "file", "filename": file } });
        qmp.execute("blockdev-add", node).await?;
        // A guest without an agent is copied as if its power had been cut.
        let frozen = self.slot.channel.execute("guest-fsfreeze-freeze", json!({})).await.is_ok();
        let begun = qmp
            .execute(
                "blockdev-backup",
                json!({ "job-id": COPY, "device": command::DISK_NODE, "target": COPY, "sync": "top", "auto-dismiss": false }),
            )
            .await;
        if frozen {
            self.slot.channel.execute("guest-fsfreeze-thaw", json!({})).await?;
        }
        begun?;
        let finished = qmp.finish_job(COPY).await;
        qmp.execute("blockdev-del", json!({ "node-name": COPY })).await?;
        finished
    }

    fn disk(&self) -> Result<Option<DiskRecord>, DriverError> {
        disk::read(&self.present()).map_err(of_host)
    }

    fn present(&self) -> PathBuf {
        self.folder.join(DISK_FOLDER)
    }

    fn aside(&self, tag: &Tag) -> PathBuf {
        self.folder.join(format!("{ASIDE}{}", file_name(&tag.0)))
    }

    fn snapshot(&self, id: &SnapshotId) -> PathBuf {
        self.folder.join(SNAPSHOTS_FOLDER).join(file_name(&id.0))
    }

    fn must_be_off(&self, what: &str) -> Done {
        match self.is_running() {
            true => Err(DriverError::Conflict(format!("{} is running; stop it before {what}", self.name()))),
            false => Ok(()),
        }
    }

    fn must_take_disk(&self) -> Done {
        if self.present().exists() {
            return Err(DriverError::Conflict(format!("{} has a disk; set it aside first", self.name())));
        }
        self.must_be_off("it is given a disk")
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

async fn make_disk(host: &Arc<Host>, folder: PathBuf, spec: &MachineSpec, tag: Option<Tag>) -> Done {
    let image = host.images.get(&spec.image)?;
    host.capacity.admit_disk(&host.machines)?;
    let (id, size_gib, account) = (spec.image.clone(), spec.storage_gib, host.account);
    blocking(move || disk::make_from_image(&folder, &image, &id, tag.as_ref(), size_gib, account)).await
}

fn is_of(disk: Option<&DiskRecord>, tag: &Tag) -> bool {
    disk.is_some_and(|disk| disk.tag.as_ref() == Some(tag))
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
