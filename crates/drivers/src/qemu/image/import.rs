//! Imports images: disks made elsewhere that boot by themselves.

use cloudpc_model::ImageId;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::disk_file::{DiskFile, invalid};
use super::{DISK_FILE, ImageInfo, ImageProgress, Images, SOURCE_FILE, SourceRecord};
use crate::GuestOs;
use crate::guest::Downloads;
use crate::qemu::command::UEFI_FILE;
use crate::qemu::layout::write_json;

/// The firmware of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Firmware {
    /// Legacy BIOS.
    #[default]
    Bios,
    /// UEFI without secure boot. Its variables are lost when the machine is off; it starts the
    /// default boot file of the disk.
    Uefi,
}

impl Firmware {
    pub(super) fn is_bios(&self) -> bool {
        *self == Self::Bios
    }
}

/// A disk to import.
#[derive(Clone, Debug)]
pub struct Import {
    /// Path of a qcow2 file or a raw disk.
    pub file: PathBuf,
    /// The family of the operating system.
    pub os: GuestOs,
    /// The firmware; none: detected from the partition table.
    pub firmware: Option<Firmware>,
    /// How downloads get into the guests.
    pub downloads: Downloads,
}

impl Images {
    /// Imports a disk as an image, replacing an existing one. Copies the file, which may be deleted
    /// afterwards. Blocks.
    ///
    /// # Errors
    /// The file cannot be used for a machine, or cannot be copied; the message says what is wrong
    /// and what to do.
    pub fn import(&self, import: &Import, id: &ImageId, progress: &mut dyn FnMut(ImageProgress)) -> io::Result<()> {
        let mut step = |percent, doing: &str| progress(ImageProgress { percent, doing: doing.to_owned() });
        let path = fs::canonicalize(&import.file)?;
        let disk = DiskFile::open(&path, &File::open(&path)?)?;
        self.register(id, |folder| {
            step(0, "Checking the file");
            disk.check()?;
            let firmware = match import.firmware {
                Some(firmware) => firmware,
                None => disk.partitions(folder)?.firmware(),
            };
            fill(folder, &disk, import.os, firmware, import.downloads, &mut |percent| step(percent, "Copying the disk"))
        })
    }

    /// Imports a checked disk from a source, which is recorded. The partition table says what is on
    /// the disk. Blocks.
    ///
    /// # Errors
    /// Those of [`Images::import`].
    pub(in crate::qemu) fn import_from_source(&self, disk: &DiskFile, source: &str, id: &ImageId) -> io::Result<()> {
        self.register(id, |folder| {
            let partitions = disk.partitions(folder)?;
            write_json(&folder.join(SOURCE_FILE), &SourceRecord { source: source.to_owned() })?;
            fill(folder, disk, partitions.os(), partitions.firmware(), Downloads::default(), &mut |_| {})
        })
    }
}

/// Copies a disk into the folder of a new image.
fn fill(
    folder: &Path,
    disk: &DiskFile,
    os: GuestOs,
    firmware: Firmware,
    downloads: Downloads,
    progress: &mut dyn FnMut(u64),
) -> io::Result<ImageInfo> {
    if firmware == Firmware::Uefi && !Path::new(UEFI_FILE).exists() {
        return invalid(&format!("the disk boots by UEFI, but this host has no {UEFI_FILE}; on Debian, install ovmf"));
    }
    disk.copy(&folder.join(DISK_FILE), progress)?;
    Ok(ImageInfo { os, kernel_parameters: None, firmware, emulated_cpu: None, display: true, downloads, warm: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_a_disk_is_refused_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let images = Images::open(&root.path().join("images")).unwrap();
        let file = root.path().join("disk.img");
        let import = Import { file: file.clone(), os: GuestOs::Linux, firmware: None, downloads: Downloads::Pushed };
        let id = ImageId("a".into());
        assert!(images.import(&import, &id, &mut |_| {}).is_err(), "the file does not exist");
        for content in ["", "QFI", "a text"] {
            fs::write(&file, content).unwrap();
            let refused = images.import(&import, &id, &mut |_| {}).unwrap_err();
            assert!(refused.to_string().contains("qemu-img convert"), "{refused}");
        }
        assert_eq!(fs::read_dir(root.path().join("images")).unwrap().count(), 0);
    }
}
