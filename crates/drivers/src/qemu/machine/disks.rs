//! Disks: the present one exchanged, set aside, brought back, grown and copied.

use cloudpc_model::SnapshotId;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::agent::COMMAND_TIME_MAX;
use super::super::disk;
use super::super::image::DISK_FILE;
use super::super::layout::{ASIDE, DISK_FOLDER, SNAPSHOTS_FOLDER, file_name, make_private, remove, rename};
use super::super::qmp::Qmp;
use super::super::record::DiskRecord;
use super::super::wire::WireError;
use super::super::{QemuHost, command};
use super::{Done, Machine, blocking, of_host, of_wire, rejected};
use crate::{DriverError, MachineSpec, Tag};

/// How often a guest that was late to freeze is thawed, and the pauses between. It has minutes to
/// write what it holds in memory.
const THAWS_MAX: u32 = 60;
const THAW_PAUSE: Duration = Duration::from_secs(2);

/// The job that copies a disk, and the node that it copies to.
const COPY: &str = "copy";

impl Machine {
    pub fn ensure_disk_aside(self, tag: &Tag) -> Done {
        let disk = self.disk()?;
        // A disk made under this tag shows that the old one was set aside, even if that has been
        // dropped since.
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
        self.admit_copy(&original)?;
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
        self.host.parts.capacity.could_ever_run(spec)?;
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
        self.admit_copy(&self.present())?;
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

    /// Whether the host has room for a copy of the disk in a folder.
    fn admit_copy(&self, folder: &Path) -> Done {
        let bytes = disk::size_bytes(folder).map_err(of_host)?;
        self.host.parts.capacity.admit_bytes(self.folder.path(), bytes)
    }

    /// Copies the disk of a running machine, as it is at one moment, with what the guest still held
    /// in memory.
    async fn copy_running(&self, target: PathBuf) -> Done {
        let name = target.file_name().expect("a restore point has a name").to_string_lossy();
        let draft = target.with_file_name(format!("new-{name}"));
        let (present, account, copy) = (self.present(), self.host.account, draft.clone());
        blocking(move || disk::begin_draft(&copy, &present, account)).await?;
        let file = format!("../{SNAPSHOTS_FOLDER}/new-{name}/{}", DISK_FILE);
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
        let frozen = self.slot.channel.execute("guest-fsfreeze-freeze", json!({})).await;
        let begun = qmp
            .execute(
                "blockdev-backup",
                json!({ "job-id": COPY, "device": command::DISK_NODE, "target": COPY, "sync": "top", "auto-dismiss": false }),
            )
            .await;
        match frozen {
            Ok(_) => self.thaw().await?,
            // It was told, and freezes later than it had time to say so.
            Err(WireError::Late(COMMAND_TIME_MAX)) => self.thaw_late().await?,
            Err(_) => {}
        }
        begun?;
        let finished = qmp.finish_job(COPY).await;
        qmp.execute("blockdev-del", json!({ "node-name": COPY })).await?;
        finished
    }

    async fn thaw(&self) -> Result<(), WireError> {
        self.slot.channel.execute("guest-fsfreeze-thaw", json!({})).await.map(drop)
    }

    /// Thaws a guest that may still be freezing, and answers nothing until it has.
    async fn thaw_late(&self) -> Result<(), WireError> {
        let mut thawed = self.thaw().await;
        for _ in 1..THAWS_MAX {
            if thawed.is_ok() {
                break;
            }
            tokio::time::sleep(THAW_PAUSE).await;
            thawed = self.thaw().await;
        }
        thawed
    }

    pub(super) fn disk(&self) -> Result<Option<DiskRecord>, DriverError> {
        disk::read(&self.present()).map_err(of_host)
    }

    pub(super) fn present(&self) -> PathBuf {
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
}

pub(super) async fn make_disk(host: &Arc<QemuHost>, folder: PathBuf, spec: &MachineSpec, tag: Option<Tag>) -> Done {
    let image = host.parts.images.get(&spec.image)?;
    host.parts.capacity.admit_disk(&host.machines)?;
    let (id, size_gib, account) = (spec.image.clone(), spec.storage_gib, host.account);
    blocking(move || disk::make_from_image(&folder, &image, &id, tag.as_ref(), size_gib, account)).await
}

fn is_of(disk: Option<&DiskRecord>, tag: &Tag) -> bool {
    disk.is_some_and(|disk| disk.tag.as_ref() == Some(tag))
}
