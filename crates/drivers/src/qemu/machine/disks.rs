//! Verbs on disks: replace, detach, reattach, grow and copy.

use cloudpc_model::SnapshotId;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::agent::COMMAND_TIME_MAX;
use super::super::disk;
use super::super::image::DISK_FILE;
use super::super::layout::{ASIDE, DISK_FOLDER, SNAPSHOTS_FOLDER, create_owner_only, file_name, remove, rename};
use super::super::qmp::Qmp;
use super::super::record::DiskRecord;
use super::super::wire::WireError;
use super::super::{QemuHost, command};
use super::{Machine, VerbResult, blocking, host_error, qemu_error};
use crate::{DriverError, MachineSpec, Tag, rejected};

/// Number of attempts, and the pause between them, to thaw a guest whose freeze timed out: the
/// guest has minutes to write its buffers.
const THAWS_MAX: u32 = 60;
const THAW_PAUSE: Duration = Duration::from_secs(2);

/// The names of the job that copies a disk and of its target node.
const COPY: &str = "copy";

impl Machine {
    pub fn ensure_disk_aside(self, tag: &Tag) -> VerbResult {
        let disk = self.disk()?;
        // A disk made under this tag proves that the old disk was detached, even if it has been
        // deleted since.
        if self.old_disk(tag).exists() || has_tag(disk.as_ref(), tag) {
            return Ok(());
        }
        if disk.is_none() {
            return Err(DriverError::NotFound(format!("{} has no disk to detach", self.name())));
        }
        self.require_off("detaching its disk")?;
        rename(&self.current_disk(), &self.old_disk(tag)).map_err(host_error)
    }

    pub async fn ensure_disk_from_image(mut self, spec: MachineSpec, tag: Tag) -> VerbResult {
        if has_tag(self.disk()?.as_ref(), &tag) {
            return Ok(());
        }
        self.require_no_disk()?;
        let size = self.record.spec.clone();
        let desired = MachineSpec { image: spec.image, ..size };
        make_disk(&self.host, self.current_disk(), &desired, Some(tag)).await?;
        self.record.spec.image = desired.image;
        self.save()
    }

    pub async fn ensure_disk_from_snapshot(self, snapshot: SnapshotId, tag: Tag) -> VerbResult {
        if has_tag(self.disk()?.as_ref(), &tag) {
            return Ok(());
        }
        let original = self.snapshot(&snapshot);
        if !original.exists() {
            return Err(DriverError::NotFound(format!("restore point {snapshot} of {}", self.name())));
        }
        self.require_no_disk()?;
        self.admit_copy(&original)?;
        let (current_disk, account) = (self.current_disk(), self.host.account);
        blocking(move || disk::make_from_copy(&current_disk, &original, Some(&tag), account)).await
    }

    pub async fn ensure_disk_back(self, tag: &Tag) -> VerbResult {
        let (disk, old_disk) = (self.disk()?, self.old_disk(tag));
        let made_under_tag = has_tag(disk.as_ref(), tag);
        if !old_disk.exists() && !made_under_tag {
            return Ok(());
        }
        self.require_off("reattaching its old disk")?;
        if disk.is_some() && !made_under_tag {
            return Err(DriverError::Conflict(format!(
                "{} has a disk that {tag} did not make; detach that disk before reattaching the old one",
                self.name()
            )));
        }
        let current_disk = self.current_disk();
        blocking(move || {
            remove(&current_disk)?;
            if old_disk.exists() { rename(&old_disk, &current_disk) } else { Ok(()) }
        })
        .await
    }

    pub async fn ensure_aside_dropped(self, tag: &Tag) -> VerbResult {
        let old_disk = self.old_disk(tag);
        blocking(move || remove(&old_disk)).await
    }

    /// Changes the recorded size. The disk itself grows when the machine starts.
    pub fn ensure_size(mut self, spec: &MachineSpec) -> VerbResult {
        let current = &self.record.spec;
        let size = |spec: &MachineSpec| (spec.vcpu_count, spec.ram_gib, spec.storage_gib);
        if size(current) == size(spec) {
            return Ok(());
        }
        if spec.storage_gib < current.storage_gib {
            let message = format!(
                "the disk of {} has {} GiB and cannot shrink to {} GiB",
                self.name(),
                current.storage_gib,
                spec.storage_gib
            );
            return Err(rejected("storageShrinkNotSupported", message));
        }
        self.host.parts.capacity.check_size(spec)?;
        self.require_off("resizing it")?;
        (self.record.spec.vcpu_count, self.record.spec.ram_gib, self.record.spec.storage_gib) = size(spec);
        self.save()
    }

    pub async fn ensure_snapshot(self, snapshot: &SnapshotId) -> VerbResult {
        let target = self.snapshot(snapshot);
        if target.exists() {
            return Ok(());
        }
        if self.disk()?.is_none() {
            return Err(DriverError::Conflict(format!("{} has no disk to copy", self.name())));
        }
        self.admit_copy(&self.current_disk())?;
        let snapshots = self.folder.join(SNAPSHOTS_FOLDER);
        create_owner_only(&snapshots).map_err(host_error)?;
        self.host.account.grant_traverse(&snapshots).map_err(host_error)?;
        if self.is_running() {
            return self.copy_running(target).await;
        }
        let (current_disk, account) = (self.current_disk(), self.host.account);
        blocking(move || {
            let tag = disk::read(&current_disk)?.and_then(|disk| disk.tag);
            disk::make_from_copy(&target, &current_disk, tag.as_ref(), account)
        })
        .await
    }

    pub async fn ensure_snapshot_absent(self, snapshot: &SnapshotId) -> VerbResult {
        let target = self.snapshot(snapshot);
        blocking(move || remove(&target)).await
    }

    /// Checks that the host has space for a copy of the disk in a folder.
    fn admit_copy(&self, folder: &Path) -> VerbResult {
        let bytes = disk::size_bytes(folder).map_err(host_error)?;
        self.host.parts.capacity.admit_bytes(self.folder.path(), bytes)
    }

    /// Copies the disk of a running machine at one point in time, including data that the guest
    /// still buffered.
    async fn copy_running(&self, target: PathBuf) -> VerbResult {
        let name = target.file_name().expect("a restore point has a name").to_string_lossy();
        let draft = target.with_file_name(format!("new-{name}"));
        let (current_disk, account, copy) = (self.current_disk(), self.host.account, draft.clone());
        blocking(move || disk::begin_draft(&copy, &current_disk, account)).await?;
        let file = format!("../{SNAPSHOTS_FOLDER}/new-{name}/{}", DISK_FILE);
        self.copy_to(&file).await.map_err(qemu_error)?;
        blocking(move || disk::finish_draft(&draft, &target)).await
    }

    async fn copy_to(&self, file: &str) -> Result<(), WireError> {
        let mut qmp = Qmp::connect(&self.folder).await?;
        // Removes a copy that a crashed service had started.
        for (command, arguments) in [
            ("job-cancel", json!({ "id": COPY })),
            ("job-dismiss", json!({ "id": COPY })),
            ("blockdev-del", json!({ "node-name": COPY })),
        ] {
            let _ = qmp.execute(command, arguments).await;
        }
        let node = json!({ "driver": "qcow2", "node-name": COPY, "backing": null, "file": { "driver": "file", "filename": file } });
        qmp.execute("blockdev-add", node).await?;
        // A guest without an agent is copied in a crash-consistent state.
        let frozen = self.slot.channel.execute("guest-fsfreeze-freeze", json!({})).await;
        let started = qmp
            .execute(
                "blockdev-backup",
                json!({ "job-id": COPY, "device": command::DISK_NODE, "target": COPY, "sync": "top", "auto-dismiss": false }),
            )
            .await;
        match frozen {
            Ok(_) => self.thaw().await?,
            // The guest received the command and may still freeze after the timeout.
            Err(WireError::TimedOut(COMMAND_TIME_MAX)) => self.thaw_late().await?,
            Err(_) => {}
        }
        started?;
        let finished = qmp.wait_job(COPY).await;
        qmp.execute("blockdev-del", json!({ "node-name": COPY })).await?;
        finished
    }

    async fn thaw(&self) -> Result<(), WireError> {
        self.slot.channel.execute("guest-fsfreeze-thaw", json!({})).await.map(drop)
    }

    /// Thaws a guest that may still be freezing, and does not respond until it is frozen.
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
        disk::read(&self.current_disk()).map_err(host_error)
    }

    pub(super) fn current_disk(&self) -> PathBuf {
        self.folder.join(DISK_FOLDER)
    }

    fn old_disk(&self, tag: &Tag) -> PathBuf {
        self.folder.join(format!("{ASIDE}{}", file_name(&tag.0)))
    }

    fn snapshot(&self, id: &SnapshotId) -> PathBuf {
        self.folder.join(SNAPSHOTS_FOLDER).join(file_name(&id.0))
    }

    fn require_off(&self, what: &str) -> VerbResult {
        match self.is_running() {
            true => Err(DriverError::Conflict(format!("{} is running; stop it before {what}", self.name()))),
            false => Ok(()),
        }
    }

    fn require_no_disk(&self) -> VerbResult {
        if self.current_disk().exists() {
            return Err(DriverError::Conflict(format!("{} has a disk; detach it first", self.name())));
        }
        self.require_off("attaching a disk")
    }
}

pub(super) async fn make_disk(
    host: &Arc<QemuHost>,
    folder: PathBuf,
    spec: &MachineSpec,
    tag: Option<Tag>,
) -> VerbResult {
    let image = host.parts.images.get(&spec.image)?;
    host.parts.capacity.admit_disk(&host.machines)?;
    let (id, size_gib, account) = (spec.image.clone(), spec.storage_gib, host.account);
    blocking(move || disk::make_from_image(&folder, &image, &id, tag.as_ref(), size_gib, account)).await
}

fn has_tag(disk: Option<&DiskRecord>, tag: &Tag) -> bool {
    disk.is_some_and(|disk| disk.tag.as_ref() == Some(tag))
}
