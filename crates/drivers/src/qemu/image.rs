//! The images that disks are made from: a folder each, read and never written after it was
//! registered.

mod build;
mod import;

use cloudpc_model::ImageId;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::layout::{
    file_name, make_private, names, original_name, read_json, remove, rename, sync_folder, write_json,
};
use super::warm::{MEMORY_FILE, Shape};
use crate::{DriverError, GuestOs, IMAGE_NOT_ON_HOST};

pub use build::{ImageProgress, ImageRecipe};
pub use import::{Firmware, Import};

pub const DISK_FILE: &str = "disk.qcow2";
pub const KERNEL_FILE: &str = "vmlinuz";
pub const INITRD_FILE: &str = "initrd";
const ABOUT_FILE: &str = "image.json";

/// `image.json`: how a machine with a disk of this image is started and spoken to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageInfo {
    /// The family of its operating system.
    pub os: GuestOs,
    /// Parameters of the kernel that comes with the image; none: the disk has a boot loader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_parameters: Option<String>,
    /// What starts its boot loader.
    #[serde(default, skip_serializing_if = "Firmware::is_bios")]
    pub firmware: Firmware,
    /// Processor model under software emulation; none: everything that QEMU can emulate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emulated_cpu: Option<String>,
    /// Whether it has a picture to look at.
    #[serde(default)]
    pub display: bool,
    /// How what its guests are to install comes into them.
    #[serde(default, skip_serializing_if = "Downloads::is_pushed")]
    pub downloads: Downloads,
    /// The machine whose memory it has besides; see [`super::warm`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<Shape>,
}

/// How what a guest is to install comes into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Downloads {
    /// The service downloads it and hands it in over the guest agent's channel. The guest needs no
    /// network.
    #[default]
    Pushed,
    /// The guest downloads it over its own network. A machine that has none has it pushed.
    Inside,
}

impl Downloads {
    fn is_pushed(&self) -> bool {
        *self == Self::Pushed
    }
}

/// All images of this host.
#[derive(Clone, Debug)]
pub struct Images(PathBuf);

/// What is known of an image without making a disk from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnHost {
    /// The family of its operating system.
    pub os: GuestOs,
    /// Size of its disk, GiB, rounded up.
    pub size_gib: u32,
}

/// One image.
#[derive(Clone, Debug)]
pub struct Image {
    pub about: ImageInfo,
    folder: PathBuf,
}

impl Images {
    /// The images under a folder, which is made if it is not there. Removes what killed builds and
    /// imports have left.
    ///
    /// # Errors
    /// The folder cannot be made, or leftovers cannot be removed.
    pub fn open(folder: &Path) -> io::Result<Self> {
        make_private(folder)?;
        for name in names(folder)? {
            // `remove` renames once more, so a leftover may be `gone-.new-…`. No image has a dot in
            // its folder's name.
            if name.trim_start_matches("gone-").starts_with('.') {
                remove_unless_in_use(&folder.join(name))?;
            }
        }
        Ok(Self(folder.to_owned()))
    }

    /// Whether there is an image of this id.
    pub fn has(&self, id: &ImageId) -> bool {
        self.folder(id).join(ABOUT_FILE).exists()
    }

    /// The image of this id.
    pub(super) fn get(&self, id: &ImageId) -> Result<Image, DriverError> {
        let folder = self.folder(id);
        match read_json(&folder.join(ABOUT_FILE)) {
            Ok(Some(about)) => Ok(Image { about, folder }),
            Ok(None) => Err(DriverError::Rejected {
                code: IMAGE_NOT_ON_HOST.into(),
                message: format!("this host has no image '{id}'; build or import it with `cloudpc image`"),
            }),
            Err(error) => Err(DriverError::Unavailable(error.to_string())),
        }
    }

    /// Gives an image a second id.
    ///
    /// # Errors
    /// It is not there, or its files cannot be linked.
    pub fn alias(&self, id: &ImageId, alias: &ImageId) -> io::Result<()> {
        let image = self.get(id).map_err(io::Error::other)?;
        self.register(alias, |folder| {
            image.link_to(folder, DISK_FILE)?;
            Ok(image.about.clone())
        })
    }

    /// Registers what `fill` puts into a new folder, which is locked meanwhile. An image of the
    /// same id is replaced; disks made from it keep its files.
    pub(super) fn register(&self, id: &ImageId, fill: impl FnOnce(&Path) -> io::Result<ImageInfo>) -> io::Result<()> {
        let draft = self.unfinished("new", id);
        if !remove_unless_in_use(&draft)? {
            return Err(io::Error::other(format!("another process is making image '{id}'; wait until it has ended")));
        }
        make_private(&draft)?;
        let lock = File::open(&draft)?;
        lock.try_lock()?;
        let about = fill(&draft).inspect_err(|_| drop(remove(&draft)))?;
        for file in [DISK_FILE, KERNEL_FILE, INITRD_FILE, MEMORY_FILE] {
            let path = draft.join(file);
            if path.exists() {
                File::open(&path)?.sync_all()?;
                fs::set_permissions(&path, Permissions::from_mode(0o444))?;
            }
        }
        write_json(&draft.join(ABOUT_FILE), &about)?;
        match exchange(&draft, &self.folder(id)) {
            // Now it is the image that was there.
            Ok(()) => remove(&draft),
            // There was none, or the file system cannot do it.
            Err(_) => {
                self.remove(id)?;
                rename(&draft, &self.folder(id))
            }
        }
    }

    /// The images, by id.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<ImageId>> {
        let mut ids: Vec<_> = names(&self.0)?.iter().map(|name| ImageId(original_name(name))).collect();
        ids.retain(|id| self.has(id));
        ids.sort_unstable();
        Ok(ids)
    }

    /// What is known of an image; none if it is not there.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub fn look(&self, id: &ImageId) -> io::Result<Option<OnHost>> {
        let Some(about) = read_json::<ImageInfo>(&self.folder(id).join(ABOUT_FILE))? else { return Ok(None) };
        let disk_bytes = disk_bytes(&self.folder(id).join(DISK_FILE))?;
        Ok(Some(OnHost { os: about.os, size_gib: u32::try_from(disk_bytes.div_ceil(1 << 30)).unwrap_or(u32::MAX) }))
    }

    /// Removes an image, which need not be there; disks made from it keep its files.
    ///
    /// # Errors
    /// It cannot be removed.
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

    /// A name that no image has.
    fn unfinished(&self, what: &str, id: &ImageId) -> PathBuf {
        self.0.join(format!(".{what}-{}", file_name(&id.0)))
    }
}

/// Removes an unfinished folder, which need not be there; `false` if a process is at work in it.
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

/// Two folders change names, so that each name has a whole folder at any time.
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?;
    sync_folder(one.parent().expect("what is renamed is in a folder"))
}

/// The size of the disk in a qcow2 file, as its header tells it.
fn disk_bytes(file: &Path) -> io::Result<u64> {
    const SIZE_AT: usize = 24;
    let mut header = [0; SIZE_AT + 8];
    File::open(file)?.read_exact(&mut header)?;
    Ok(u64::from_be_bytes(header[SIZE_AT..].try_into().expect("it is eight bytes")))
}

impl Image {
    /// Links its files into a folder, its disk under the name `disk`.
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

    fn about() -> ImageInfo {
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
    fn images_are_listed_looked_at_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let images = Images::open(&root.path().join("images")).unwrap();
        // The first is named like what is unfinished elsewhere, the last is removed and made anew
        // beside it.
        let ids = ["gone-a", "a.b", "a"].map(|id| ImageId(id.into()));
        let mut header = *b"QFI\xfb\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\x40\0\0\x01";
        for id in &ids {
            let fill = |folder: &Path| fs::write(folder.join(DISK_FILE), header).map(|()| about());
            images.register(id, fill).unwrap();
        }
        let failed = images.register(&ImageId("unfinished".into()), |_| Err(io::Error::other("no")));
        assert!(failed.is_err());
        assert_eq!(images.list().unwrap(), ["a", "a.b", "gone-a"].map(|id| ImageId(id.into())));
        assert_eq!(images.look(&ids[2]).unwrap(), Some(OnHost { os: GuestOs::Linux, size_gib: 2 }));
        header[31] = 0;
        images.register(&ids[2], |folder| fs::write(folder.join(DISK_FILE), header).map(|()| about())).unwrap();
        assert_eq!(images.look(&ids[2]).unwrap(), Some(OnHost { os: GuestOs::Linux, size_gib: 1 }));
        for _ in 0..2 {
            images.remove(&ids[2]).unwrap();
        }
        assert_eq!(images.list().unwrap(), ["a.b", "gone-a"].map(|id| ImageId(id.into())));
        assert_eq!(images.look(&ids[2]).unwrap(), None);
        assert_eq!(names(&root.path().join("images")).unwrap().len(), 2, "nothing else is left");
    }

    #[test]
    fn leftovers_of_killed_builds_are_removed_at_the_next_start_and_work_under_way_is_not() {
        let root = tempfile::tempdir().unwrap();
        let (images, id) = (Images::open(root.path()).unwrap(), ImageId("gone-a".into()));
        images.register(&id, |folder| fs::write(folder.join(DISK_FILE), "").map(|()| about())).unwrap();
        for leftover in [".new-killed", ".gone-killed", "gone-.new-killed"] {
            fs::create_dir_all(root.path().join(leftover).join("build")).unwrap();
        }
        let under_way = ImageId("b".into());
        let fill = |folder: &Path| {
            let other = Images::open(root.path()).unwrap();
            assert!(folder.exists(), "another start leaves it alone");
            let refused = other.register(&under_way, |_| panic!("two at a time")).unwrap_err();
            assert_eq!(refused.to_string(), "another process is making image 'b'; wait until it has ended");
            fs::write(folder.join(DISK_FILE), "").map(|()| about())
        };
        images.register(&under_way, fill).unwrap();
        let mut left = names(root.path()).unwrap();
        left.sort();
        assert_eq!(left, ["b", "gone-a"]);
    }

    #[test]
    fn images_of_before_downloads_could_be_chosen_have_them_pushed() {
        let old = r#"{ "os": "linux", "display": true }"#;
        let old: ImageInfo = serde_json::from_str(old).unwrap();
        assert_eq!(old.downloads, Downloads::Pushed);
        assert!(!serde_json::to_string(&old).unwrap().contains("downloads"), "and programs of before can read it");
        let new = ImageInfo { downloads: Downloads::Inside, ..old };
        let told = serde_json::to_string(&new).unwrap();
        assert!(told.contains(r#""downloads":"inside""#), "{told}");
        assert_eq!(serde_json::from_str::<ImageInfo>(&told).unwrap(), new);
    }

    #[test]
    fn an_image_is_whole_or_not_there_and_links_outlive_it() {
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
                    Ok(about())
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
