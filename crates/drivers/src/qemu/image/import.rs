//! Images that are imported: disks made elsewhere, which boot by themselves.

use cloudpc_model::ImageId;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{DISK_FILE, Downloads, ImageInfo, ImageProgress, Images};
use crate::GuestOs;
use crate::qemu::command::UEFI_FILE;
use crate::qemu::disk::qemu_img;

/// How a qcow2 file begins.
const MAGIC: &[u8] = b"QFI\xfb";

/// Bytes of the first sector of a disk: its boot loader, the kinds of its four partitions, its
/// signature.
const SECTOR: usize = 512;
const BOOT_CODE: std::ops::Range<usize> = 0..440;
const PARTITION_KINDS: [usize; 4] = [450, 466, 482, 498];
const SIGNATURE: (usize, [u8; 2]) = (510, [0x55, 0xAA]);

/// The partition that says that the partitions are in a GUID partition table instead.
const PROTECTIVE: u8 = 0xEE;

/// What starts a machine before its disk does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Firmware {
    /// That of old PCs.
    #[default]
    Bios,
    /// UEFI, without secure boot. It forgets its variables when the machine is off, and starts what
    /// the disk has in the usual place.
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
    /// A qcow2 file.
    pub file: PathBuf,
    /// The family of its operating system.
    pub os: GuestOs,
    /// What starts it; none: what its first sector asks for.
    pub firmware: Option<Firmware>,
    /// How what its guests are to install comes into them.
    pub downloads: Downloads,
}

/// What `qemu-img info` tells of a file, as far as we ask.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    format: String,
    virtual_size: u64,
    backing_filename: Option<String>,
    #[serde(default)]
    encrypted: bool,
    format_specific: Option<FormatSpecific>,
}

#[derive(Debug, Deserialize)]
struct FormatSpecific {
    data: FormatData,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FormatData {
    data_file: Option<String>,
    #[serde(default)]
    corrupt: bool,
}

impl Images {
    /// Imports a disk as an image, in place of the one that is there. Copies it, so that the file
    /// may go afterwards. Blocks.
    ///
    /// # Errors
    /// The file is nothing that a machine can be made from, or cannot be copied; the message says
    /// what is wrong with it and what to do.
    pub fn import(&self, import: &Import, id: &ImageId, progress: &mut dyn FnMut(ImageProgress)) -> io::Result<()> {
        let mut step = |percent, doing: &str| progress(ImageProgress { percent, doing: doing.to_owned() });
        // An absolute path is never taken for one of the protocols that QEMU knows.
        let file = fs::canonicalize(&import.file)?;
        self.register(id, |folder| {
            step(0, "Looking at the file");
            check_whole(&file)?;
            let firmware = match import.firmware {
                Some(firmware) => firmware,
                None => by_first_sector(&first_sector(&file, folder)?, import.os)?,
            };
            if firmware == Firmware::Uefi && !Path::new(UEFI_FILE).exists() {
                return wrong(format!("it starts by UEFI, and this host has no {UEFI_FILE}; on Debian, install ovmf"));
            }
            copy(&file, &folder.join(DISK_FILE), &mut |percent| step(percent, "Copying the disk"))?;
            Ok(ImageInfo {
                os: import.os,
                kernel_parameters: None,
                firmware,
                emulated_cpu: None,
                display: true,
                downloads: import.downloads,
                warm: None,
            })
        })
    }
}

/// Refuses what is no whole qcow2 file.
fn check_whole(file: &Path) -> io::Result<()> {
    let mut begins = [0; MAGIC.len()];
    let read = File::open(file)?.read(&mut begins)?;
    if begins[..read] != *MAGIC {
        return wrong(
            "it is no qcow2 file; `qemu-img convert -O qcow2 FILE FILE.qcow2` makes one of other disks".into(),
        );
    }
    let name = file.to_string_lossy();
    let told = qemu_img(Path::new("/"), &["info", "-f", "qcow2", "--output=json", &name])?;
    match serde_json::from_slice::<Info>(&told) {
        Ok(info) => {
            if let Some(fault) = fault(&info) {
                return wrong(fault);
            }
        }
        Err(error) => return wrong(format!("qemu-img tells of it what we do not understand: {error}")),
    }
    // It ends with 3 if only room is wasted, which the copy will not have.
    let checked = Command::new("qemu-img").args(["check", "-q", "-f", "qcow2", &name]).stdin(Stdio::null()).output()?;
    match checked.status.code() {
        Some(0 | 3) => Ok(()),
        _ => wrong(format!("`qemu-img check` finds errors in it: {}", String::from_utf8_lossy(&checked.stderr).trim())),
    }
}

/// Why no machine can be made from a file, by what is told of it.
fn fault(info: &Info) -> Option<String> {
    let data = info.format_specific.as_ref().map(|specific| &specific.data);
    if info.format != "qcow2" {
        return Some(format!("its format is {}", info.format));
    }
    if let Some(backing) = &info.backing_filename {
        return Some(format!("it only holds the differences to {backing}; `qemu-img convert -O qcow2` joins them"));
    }
    if let Some(outside) = data.and_then(|data| data.data_file.as_ref()) {
        return Some(format!("its data is in another file, {outside}; `qemu-img convert -O qcow2` joins them"));
    }
    if info.encrypted {
        return Some("it is encrypted; `qemu-img convert` can decrypt it".into());
    }
    if data.is_some_and(|data| data.corrupt) {
        return Some("it is marked as corrupt; `qemu-img check -r all` may repair it".into());
    }
    (info.virtual_size < SECTOR as u64).then(|| "its disk is empty".into())
}

/// The first sector of the disk in a file. `folder` is for a file that is needed meanwhile.
fn first_sector(file: &Path, folder: &Path) -> io::Result<Vec<u8>> {
    let name = "first-sector";
    let (from, block) = (format!("if={}", file.display()), format!("bs={SECTOR}"));
    qemu_img(folder, &["dd", "-f", "qcow2", "-O", "raw", &block, "count=1", &from, &format!("of={name}")])?;
    let sector = fs::read(folder.join(name))?;
    fs::remove_file(folder.join(name))?;
    Ok(sector)
}

/// What the first sector of a disk asks for.
fn by_first_sector(sector: &[u8], os: GuestOs) -> io::Result<Firmware> {
    let (at, signature) = SIGNATURE;
    if sector.get(at..SECTOR) != Some(&signature) {
        return wrong("its disk has no boot sector, so that no machine can start from it".into());
    }
    let has_guids = PARTITION_KINDS.iter().any(|at| sector[*at] == PROTECTIVE);
    let no_code = sector[BOOT_CODE].iter().all(|byte| *byte == 0);
    // Windows starts from a GUID partition table by UEFI only, and leaves a boot sector there all
    // the same.
    Ok(if no_code || has_guids && os == GuestOs::Windows { Firmware::Uefi } else { Firmware::Bios })
}

/// Copies a disk into one file that needs no other.
fn copy(file: &Path, target: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
    let mut copying = Command::new("qemu-img")
        .args(["convert", "-p", "-f", "qcow2", "-O", "qcow2"])
        .args([file, target])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let told = BufReader::new(copying.stdout.take().expect("it is piped"));
    for piece in told.split(b'\r') {
        if let Some(percent) = percent(&piece?) {
            progress(percent);
        }
    }
    let output = copying.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// How far `qemu-img convert -p` is: `    (12.34/100%)`.
fn percent(told: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(told).ok()?;
    let (whole, _) = text.trim_start().strip_prefix('(')?.split_once('.')?;
    whole.parse().ok()
}

fn wrong<T>(problem: String) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `qemu-img info` of QEMU 7.2 tells it, and what a file may have besides.
    fn told(besides: &str, of_format: &str) -> Info {
        let text = format!(
            r#"{{"virtual-size": 2147483648, "filename": "/tmp/a.qcow2", "cluster-size": 65536, "format": "qcow2", {besides} "actual-size": 200704,
                "format-specific": {{"type": "qcow2", "data": {{"compat": "1.1", "compression-type": "zlib", "lazy-refcounts": false,
                "refcount-bits": 16, {of_format} "extended-l2": false}}}}, "dirty-flag": false}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_file_that_needs_others_or_is_broken_is_refused_with_a_way_out() {
        assert_eq!(fault(&told("", "\"corrupt\": false,")), None);
        let faults = [
            (told("\"backing-filename\": \"base.qcow2\",", ""), "differences to base.qcow2"),
            (told("", "\"data-file\": \"/etc/shadow\", \"data-file-raw\": true,"), "another file, /etc/shadow"),
            (told("\"encrypted\": true,", ""), "encrypted"),
            (told("", "\"corrupt\": true,"), "corrupt"),
        ];
        for (info, expected) in faults {
            assert!(fault(&info).is_some_and(|fault| fault.contains(expected)), "{expected}");
        }
    }

    #[test]
    fn the_first_sector_tells_what_starts_a_disk() {
        let mut sector = [0; SECTOR];
        assert!(by_first_sector(&sector, GuestOs::Linux).unwrap_err().to_string().contains("no boot sector"));
        assert!(by_first_sector(&[], GuestOs::Linux).is_err());
        sector[510..].copy_from_slice(&[0x55, 0xAA]);
        assert_eq!(by_first_sector(&sector, GuestOs::Linux).unwrap(), Firmware::Uefi);
        sector[0] = 0xEB;
        assert_eq!(by_first_sector(&sector, GuestOs::Windows).unwrap(), Firmware::Bios);
        sector[450] = PROTECTIVE;
        assert_eq!(by_first_sector(&sector, GuestOs::Linux).unwrap(), Firmware::Bios);
        assert_eq!(by_first_sector(&sector, GuestOs::Windows).unwrap(), Firmware::Uefi);
    }

    #[test]
    fn the_progress_of_a_copy_is_read() {
        assert_eq!(percent(b"    (0.00/100%)"), Some(0));
        assert_eq!(percent(b"    (57.89/100%)"), Some(57));
        assert_eq!(percent(b"    (100.00/100%)"), Some(100));
        assert_eq!(percent(b"\n"), None);
    }

    #[test]
    fn what_is_no_qcow2_file_is_refused_and_nothing_is_left_of_it() {
        let root = tempfile::tempdir().unwrap();
        let images = Images::open(&root.path().join("images")).unwrap();
        let file = root.path().join("disk.img");
        let import = Import { file: file.clone(), os: GuestOs::Linux, firmware: None, downloads: Downloads::Pushed };
        let id = ImageId("a".into());
        assert!(images.import(&import, &id, &mut |_| {}).is_err(), "there is no file");
        for content in ["", "QFI", "a raw disk"] {
            fs::write(&file, content).unwrap();
            let refused = images.import(&import, &id, &mut |_| {}).unwrap_err();
            assert!(refused.to_string().contains("qemu-img convert"), "{refused}");
        }
        assert_eq!(fs::read_dir(root.path().join("images")).unwrap().count(), 0);
    }
}
