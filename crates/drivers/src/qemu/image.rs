//! The images from which disks are made: one folder each, read-only once registered.

mod build;
mod disk_file;
mod import;
mod partitions;

use cloudpc_model::ImageId;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::layout::{
    create_owner_only, file_name, names, original_name, read_json, remove, rename, sync_folder, write_json,
};
use super::warm::{MEMORY_FILE, Shape};
use crate::guest::Downloads;
use crate::{DriverError, GuestOs, IMAGE_NOT_ON_HOST};

pub use build::{ImageProgress, ImageRecipe};
pub use disk_file::{DiskFile, DiskHeader};
pub use import::{Firmware, Import};

pub const DISK_FILE: &str = "disk.qcow2";
pub const KERNEL_FILE: &str = "vmlinuz";
pub const INITRD_FILE: &str = "initrd";
const INFO_FILE: &str = "image.json";
const SOURCE_FILE: &str = "source.json";

/// `image.json`: how a machine with a disk of this image is started and reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageInfo {
    /// The family of the operating system.
    pub os: GuestOs,
    /// Parameters of the kernel in the image's folder; none: the disk has a boot loader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_parameters: Option<String>,
    /// The firmware that starts the boot loader.
    #[serde(default, skip_serializing_if = "Firmware::is_bios")]
    pub firmware: Firmware,
    /// Processor model under software emulation; none: every feature that QEMU can emulate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emulated_cpu: Option<String>,
    /// Whether the machine has a screen.
    #[serde(default)]
    pub display: bool,
    /// How downloads get into the guests.
    #[serde(default, skip_serializing_if = "Downloads::is_pushed")]
    pub downloads: Downloads,
    /// The machine shape whose memory the image includes; see [`super::warm`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<Shape>,
}

/// `source.json`: where the driver imported the image from. An image that was built, or imported by
/// hand, has no such file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceRecord {
    source: String,
}

/// The images of this host.
#[derive(Clone, Debug)]
pub struct Images(PathBuf);

/// A summary of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// The family of the operating system.
    pub os: GuestOs,
    /// Size of the disk, GiB, rounded up.
    pub size_gib: u32,
}

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    pub info: ImageInfo,
    folder: PathBuf,
}

impl Images {
    /// Opens the images in a folder, which is created if needed. Removes leftovers of killed builds
    /// and imports.
    ///
    /// # Errors
    /// The folder cannot be created, or leftovers cannot be removed.
    pub fn open(folder: &Path) -> io::Result<Self> {
        create_owner_only(folder)?;
        for name in names(folder)? {
            // `remove` renames once more, so a leftover may be `gone-.new-…`. No image's folder
            // name starts with a dot.
            if name.trim_start_matches("gone-").starts_with('.') {
                remove_unless_in_use(&folder.join(name))?;
            }
        }
        Ok(Self(folder.to_owned()))
    }

    /// Returns whether there is an image with this id.
    pub fn has(&self, id: &ImageId) -> bool {
        self.folder(id).join(INFO_FILE).exists()
    }

    /// Returns the image with this id.
    pub(super) fn get(&self, id: &ImageId) -> Result<Image, DriverError> {
        let folder = self.folder(id);
        match read_json(&folder.join(INFO_FILE)) {
            Ok(Some(info)) => Ok(Image { info, folder }),
            Ok(None) => Err(DriverError::Rejected {
                code: IMAGE_NOT_ON_HOST.into(),
                message: format!("this host has no image '{id}'; build or import it with `cloudpc image`"),
            }),
            Err(error) => Err(DriverError::Unavailable(error.to_string())),
        }
    }

    /// Returns the source that a device image was imported from at a client's request; none for any
    /// other image.
    ///
    /// # Errors
    /// The record of the source cannot be read.
    pub fn source(&self, id: &ImageId) -> io::Result<Option<String>> {
        Ok(read_json::<SourceRecord>(&self.folder(id).join(SOURCE_FILE))?.map(|record| record.source))
    }

    /// Returns the folder of all images.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives an image a second id.
    ///
    /// # Errors
    /// The image does not exist, or its files cannot be linked.
    pub fn alias(&self, id: &ImageId, alias: &ImageId) -> io::Result<()> {
        let image = self.get(id).map_err(io::Error::other)?;
        self.register(alias, |folder| {
            image.link_to(folder, DISK_FILE)?;
            Ok(image.info.clone())
        })
    }

    /// Registers the image that `fill` writes into a new folder, which is locked meanwhile.
    /// Replaces an image with the same id; disks made from that one keep its files.
    pub(super) fn register(&self, id: &ImageId, fill: impl FnOnce(&Path) -> io::Result<ImageInfo>) -> io::Result<()> {
        let draft = self.unfinished("new", id);
        if !remove_unless_in_use(&draft)? {
            return Err(io::Error::other(format!(
                "another process is creating image '{id}'; wait until it has finished"
            )));
        }
        create_owner_only(&draft)?;
        let lock = File::open(&draft)?;
        lock.try_lock()?;
        let info = fill(&draft).inspect_err(|_| drop(remove(&draft)))?;
        for file in [DISK_FILE, KERNEL_FILE, INITRD_FILE, MEMORY_FILE] {
            let path = draft.join(file);
            if path.exists() {
                File::open(&path)?.sync_all()?;
                fs::set_permissions(&path, Permissions::from_mode(0o444))?;
            }
        }
        write_json(&draft.join(INFO_FILE), &info)?;
        match exchange(&draft, &self.folder(id)) {
            // The draft is now the previous image.
            Ok(()) => remove(&draft),
            // No previous image exists, or the file system cannot exchange folders.
            Err(_) => {
                self.remove(id)?;
                rename(&draft, &self.folder(id))
            }
        }
    }

    /// Returns the ids of the images, sorted.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<ImageId>> {
        let mut ids: Vec<_> = names(&self.0)?.iter().map(|name| ImageId(original_name(name))).collect();
        ids.retain(|id| self.has(id));
        ids.sort_unstable();
        Ok(ids)
    }

    /// Returns a summary of an image; none if it does not exist.
    ///
    /// # Errors
    /// The image's files cannot be read.
    pub fn describe(&self, id: &ImageId) -> io::Result<Option<ImageSummary>> {
        let Some(info) = read_json::<ImageInfo>(&self.folder(id).join(INFO_FILE))? else { return Ok(None) };
        let disk_bytes = disk_bytes(&self.folder(id).join(DISK_FILE))?;
        Ok(Some(ImageSummary {
            os: info.os,
            size_gib: u32::try_from(disk_bytes.div_ceil(1 << 30)).unwrap_or(u32::MAX),
        }))
    }

    /// Removes an image, if it exists; disks made from it keep its files.
    ///
    /// # Errors
    /// The image cannot be removed.
    pub fn remove(&self, id: &ImageId) -> io::Result<()> {
        let gone = self.unfinished("gone", id);
        remove(&gone)?;
        match rename(&self.folder(id), &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed.and_then(|()| remove(&gone)),
        }
    }

    fn folder(&self, id: &ImageId) -> PathBuf {
        self.0.join(file_name(&id.0))
    }

    /// Returns a folder name that no image has.
    fn unfinished(&self, what: &str, id: &ImageId) -> PathBuf {
        self.0.join(format!(".{what}-{}", file_name(&id.0)))
    }
}

/// Removes an unfinished folder, if it exists; returns `false` if a process is using it.
fn remove_unless_in_use(folder: &Path) -> io::Result<bool> {
    let lock = match File::open(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        opened => opened?,
    };
    match lock.try_lock() {
        Ok(()) => remove(folder).map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Exchanges the names of two folders atomically.
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?;
    sync_folder(one.parent().expect("what is renamed is in a folder"))
}

/// Returns the size of the disk in a qcow2 file, read from its header.
fn disk_bytes(file: &Path) -> io::Result<u64> {
    const SIZE_AT: usize = 24;
    let mut header = [0; SIZE_AT + 8];
    File::open(file)?.read_exact(&mut header)?;
    Ok(u64::from_be_bytes(header[SIZE_AT..].try_into().expect("it is eight bytes")))
}

impl Image {
    /// Links the image's files into a folder, the disk under the name `disk`.
    pub fn link_to(&self, folder: &Path, disk: &str) -> io::Result<()> {
        super::layout::link(&self.folder.join(DISK_FILE), &folder.join(disk))?;
        for file in [KERNEL_FILE, INITRD_FILE, MEMORY_FILE] {
            if self.folder.join(file).exists() {
                super::layout::link(&self.folder.join(file), &folder.join(file))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ImageInfo {
        ImageInfo {
            os: GuestOs::Linux,
            kernel_parameters: None,
            firmware: Firmware::Bios,
            emulated_cpu: None,
            display: false,
            downloads: Downloads::Pushed,
            warm: None,
        }
    }

    #[test]
    fn images_are_listed_described_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let images = Images::open(&root.path().join("images")).unwrap();
        // The first id looks like an unfinished folder of a machine; the last one is removed and
        // created again.
        let ids = ["gone-a", "a.b", "a"].map(|id| ImageId(id.into()));
        let mut header = *b"QFI\xfb\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\x40\0\0\x01";
        for id in &ids {
            let fill = |folder: &Path| fs::write(folder.join(DISK_FILE), header).map(|()| info());
            images.register(id, fill).unwrap();
        }
        let failed = images.register(&ImageId("unfinished".into()), |_| Err(io::Error::other("no")));
        assert!(failed.is_err());
        assert_eq!(images.list().unwrap(), ["a", "a.b", "gone-a"].map(|id| ImageId(id.into())));
        assert_eq!(images.describe(&ids[2]).unwrap(), Some(ImageSummary { os: GuestOs::Linux, size_gib: 2 }));
        header[31] = 0;
        images.register(&ids[2], |folder| fs::write(folder.join(DISK_FILE), header).map(|()| info())).unwrap();
        assert_eq!(images.describe(&ids[2]).unwrap(), Some(ImageSummary { os: GuestOs::Linux, size_gib: 1 }));
        for _ in 0..2 {
            images.remove(&ids[2]).unwrap();
        }
        assert_eq!(images.list().unwrap(), ["a.b", "gone-a"].map(|id| ImageId(id.into())));
        assert_eq!(images.describe(&ids[2]).unwrap(), None);
        assert_eq!(names(&root.path().join("images")).unwrap().len(), 2, "no other file remains");
    }

    #[test]
    fn opening_removes_leftovers_of_killed_builds_but_not_running_builds() {
        let root = tempfile::tempdir().unwrap();
        let (images, id) = (Images::open(root.path()).unwrap(), ImageId("gone-a".into()));
        images.register(&id, |folder| fs::write(folder.join(DISK_FILE), "").map(|()| info())).unwrap();
        for leftover in [".new-killed", ".gone-killed", "gone-.new-killed"] {
            fs::create_dir_all(root.path().join(leftover).join("build")).unwrap();
        }
        let in_progress = ImageId("b".into());
        let fill = |folder: &Path| {
            let other = Images::open(root.path()).unwrap();
            assert!(folder.exists(), "another start must not remove the draft");
            let refused = other.register(&in_progress, |_| panic!("concurrent registration")).unwrap_err();
            assert_eq!(refused.to_string(), "another process is creating image 'b'; wait until it has finished");
            fs::write(folder.join(DISK_FILE), "").map(|()| info())
        };
        images.register(&in_progress, fill).unwrap();
        let mut remaining = names(root.path()).unwrap();
        remaining.sort();
        assert_eq!(remaining, ["b", "gone-a"]);
    }

    #[test]
    fn an_image_without_a_downloads_setting_has_pushed_downloads() {
        let old = r#"{ "os": "linux", "display": true }"#;
        let old: ImageInfo = serde_json::from_str(old).unwrap();
        assert_eq!(old.downloads, Downloads::Pushed);
        assert!(
            !serde_json::to_string(&old).unwrap().contains("downloads"),
            "older versions must be able to read the file"
        );
        let new = ImageInfo { downloads: Downloads::Inside, ..old };
        let written = serde_json::to_string(&new).unwrap();
        assert!(written.contains(r#""downloads":"inside""#), "{written}");
        assert_eq!(serde_json::from_str::<ImageInfo>(&written).unwrap(), new);
    }

    #[test]
    fn registration_is_atomic_and_links_outlive_the_image() {
        let root = tempfile::tempdir().unwrap();
        let images = Images::open(&root.path().join("images")).unwrap();
        let (id, alias) = (ImageId("a_b_c".into()), ImageId("a/../b".into()));
        assert!(matches!(images.get(&id), Err(DriverError::Rejected { code, .. }) if code == IMAGE_NOT_ON_HOST));
        let failed = images.register(&id, |folder| {
            fs::write(folder.join(DISK_FILE), "half")?;
            Err(io::Error::other("no"))
        });
        assert!(failed.is_err() && !images.has(&id));
        for content in ["one", "two"] {
            images
                .register(&id, |folder| {
                    fs::write(folder.join(DISK_FILE), content)?;
                    Ok(info())
                })
                .unwrap();
            if content == "one" {
                images.alias(&id, &alias).unwrap();
            }
        }
        assert!(images.has(&id) && images.has(&alias));
        for (id, content) in [(id, "two"), (alias, "one")] {
            let folder = root.path().join(content);
            fs::create_dir(&folder).unwrap();
            images.get(&id).unwrap().link_to(&folder, "base.qcow2").unwrap();
            assert_eq!(fs::read_to_string(folder.join("base.qcow2")).unwrap(), content);
        }
    }
}
