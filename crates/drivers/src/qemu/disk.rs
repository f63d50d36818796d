//! Disks: folders that hold a qcow2 file and links to the files it depends on.
//!
//! A disk is made in a folder of another name and renamed when complete. This module must not
//! depend on whether the machine runs; its callers check that.

use cloudpc_model::ImageId;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::account::Account;
use super::image::{DISK_FILE, INITRD_FILE, Image, KERNEL_FILE};
use super::layout::{
    ASIDE, create_owner_only, link, names, original_name, read_json, remove, rename, sync_folder, write_json,
};
use super::record::DiskRecord;
use crate::{Aside, Tag};

/// The image's disk, the backing file of the qcow2 file.
pub const BASE_FILE: &str = "base.qcow2";
const RECORD_FILE: &str = "disk.json";

/// Reads the record of the disk in a folder; none if there is no disk.
pub fn read(folder: &Path) -> io::Result<Option<DiskRecord>> {
    read_json(&folder.join(RECORD_FILE))
}

/// Returns the space that a disk uses on the host, bytes, without the image that it shares.
pub fn size_bytes(folder: &Path) -> io::Result<u64> {
    // Blocks are always 512 bytes here, whatever the file system uses.
    Ok(fs::metadata(folder.join(DISK_FILE))?.blocks() * 512)
}

/// Lists the old disks in the folder of a machine. A disk that another verb moves at the same time
/// may be missing, and does not affect the others.
pub fn old_disks(machine: &Path) -> io::Result<Vec<Aside>> {
    let mut names = names(machine)?;
    names.sort();
    let old_disk = |name: &String| {
        let tag = Tag(original_name(name.strip_prefix(ASIDE)?));
        match size_bytes(&machine.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            size => Some(size.map(|size_bytes| Aside { tag, size_bytes })),
        }
    };
    names.iter().filter_map(old_disk).collect()
}

/// Makes a disk from an image, of `size_gib` unless the image is larger. Blocks.
pub fn make_from_image(
    folder: &Path,
    image: &Image,
    id: &ImageId,
    tag: Option<&Tag>,
    size_gib: u32,
    account: Account,
) -> io::Result<()> {
    make(folder, account, |draft| {
        image.link_to(draft, BASE_FILE)?;
        create_over_base(draft)?;
        grow(draft, size_gib)?;
        Ok(DiskRecord { tag: tag.cloned(), image: id.clone(), info: image.info.clone() })
    })
}

/// Makes a copy of another disk, which must not change meanwhile. Blocks.
pub fn make_from_copy(folder: &Path, original: &Path, tag: Option<&Tag>, account: Account) -> io::Result<()> {
    make(folder, account, |draft| {
        link_dependencies(original, draft)?;
        fs::copy(original.join(DISK_FILE), draft.join(DISK_FILE))?;
        copied_record(original, tag)
    })
}

/// Prepares a draft of a copy, with an empty qcow2 file that a running QEMU fills. [`finish_draft`]
/// turns it into a disk.
pub fn begin_draft(draft: &Path, original: &Path, account: Account) -> io::Result<()> {
    remove(draft)?;
    create_owner_only(draft)?;
    link_dependencies(original, draft)?;
    create_over_base(draft)?;
    grow_to_bytes(draft, virtual_bytes(&original.join(DISK_FILE))?)?;
    write_json(
        &draft.join(RECORD_FILE),
        &copied_record(original, read(original)?.and_then(|disk| disk.tag).as_ref())?,
    )?;
    grant_access(draft, account)
}

/// Turns a filled draft into a disk.
pub fn finish_draft(draft: &Path, folder: &Path) -> io::Result<()> {
    File::open(draft.join(DISK_FILE))?.sync_all()?;
    sync_folder(draft)?;
    rename(draft, folder)
}

/// Copies the disk into a folder as a single file without a backing file, with the files that boot
/// it.
pub fn flatten(original: &Path, folder: &Path) -> io::Result<()> {
    for file in [KERNEL_FILE, INITRD_FILE] {
        if original.join(file).exists() {
            link(&original.join(file), &folder.join(file))?;
        }
    }
    let target = folder.join(DISK_FILE);
    qemu_img(original, &["convert", "-q", "-O", "qcow2", DISK_FILE, &target.to_string_lossy()]).map(drop)
}

/// Grows the disk to at least this size. It never shrinks.
pub fn grow(folder: &Path, size_gib: u32) -> io::Result<()> {
    grow_to_bytes(folder, u64::from(size_gib) << 30)
}

fn make(folder: &Path, account: Account, fill: impl FnOnce(&Path) -> io::Result<DiskRecord>) -> io::Result<()> {
    let name = folder.file_name().expect("a folder has a name").to_string_lossy();
    let draft = folder.with_file_name(format!("new-{name}"));
    remove(&draft)?;
    create_owner_only(&draft)?;
    let record = fill(&draft)?;
    write_json(&draft.join(RECORD_FILE), &record)?;
    grant_access(&draft, account)?;
    finish_draft(&draft, folder)
}

/// Lets QEMU's account read the files in the folder and write the qcow2 file.
fn grant_access(folder: &Path, account: Account) -> io::Result<()> {
    account.grant_traverse(folder)?;
    account.grant_ownership(&folder.join(DISK_FILE))
}

fn link_dependencies(original: &Path, draft: &Path) -> io::Result<()> {
    for file in [BASE_FILE, KERNEL_FILE, INITRD_FILE] {
        if original.join(file).exists() {
            link(&original.join(file), &draft.join(file))?;
        }
    }
    Ok(())
}

fn copied_record(original: &Path, tag: Option<&Tag>) -> io::Result<DiskRecord> {
    let record = read(original)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no disk to copy"))?;
    Ok(DiskRecord { tag: tag.cloned(), ..record })
}

fn create_over_base(folder: &Path) -> io::Result<()> {
    qemu_img(folder, &["create", "-q", "-f", "qcow2", "-b", BASE_FILE, "-F", "qcow2", DISK_FILE]).map(drop)
}

fn grow_to_bytes(folder: &Path, bytes: u64) -> io::Result<()> {
    if virtual_bytes(&folder.join(DISK_FILE))? < bytes {
        qemu_img(folder, &["resize", "-q", "-f", "qcow2", DISK_FILE, &bytes.to_string()])?;
    }
    Ok(())
}

/// Returns the size that the guest sees: eight bytes in the header, by the qcow2 specification.
fn virtual_bytes(file: &Path) -> io::Result<u64> {
    use std::os::unix::fs::FileExt;
    let mut header = [0; 32];
    File::open(file)?.read_exact_at(&mut header, 0)?;
    if header[..4] != *b"QFI\xfb" {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a qcow2 file", file.display())));
    }
    let size = header[24..32].try_into().expect("eight bytes are eight bytes");
    Ok(u64::from_be_bytes(size))
}

/// Runs `qemu-img` in a folder; returns its output. Blocks.
pub fn qemu_img(folder: &Path, arguments: &[&str]) -> io::Result<Vec<u8>> {
    let output = Command::new("qemu-img").args(arguments).current_dir(folder).stdin(Stdio::null()).output().map_err(
        |error| io::Error::new(error.kind(), format!("running qemu-img failed ({error}); install qemu-utils")),
    )?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_old_disks_tolerates_a_disk_that_moves() {
        let machine = tempfile::tempdir().unwrap();
        let names = ["aside-action-1", "disk", "aside-action-2"].map(|name| machine.path().join(name));
        for name in [&names[0], &names[2]] {
            fs::create_dir(name).unwrap();
            fs::write(name.join(DISK_FILE), "a disk").unwrap();
        }
        let [moved, away, stays] = names;
        std::thread::scope(|scope| {
            let moving = scope.spawn(|| {
                for _ in 0..2_000 {
                    fs::rename(&moved, &away).unwrap();
                    fs::rename(&away, &moved).unwrap();
                }
            });
            while !moving.is_finished() {
                let found = old_disks(machine.path()).unwrap();
                assert!(found.iter().any(|disk| disk.tag.0 == "action-2"), "{found:?}");
            }
        });
        assert_eq!(old_disks(machine.path()).unwrap().len(), 2);
        assert!(stays.exists());
    }
}
