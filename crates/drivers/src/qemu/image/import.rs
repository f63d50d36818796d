//! Imports images: disks made elsewhere that boot by themselves.

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

/// The first bytes of a qcow2 file.
const MAGIC: &[u8] = b"QFI\xfb";

/// Offsets in the first sector of a disk: the boot code, the types of its four partitions, the
/// signature.
const SECTOR: usize = 512;
const BOOT_CODE: std::ops::Range<usize> = 0..440;
const PARTITION_KINDS: [usize; 4] = [450, 466, 482, 498];
const SIGNATURE: (usize, [u8; 2]) = (510, [0x55, 0xAA]);

/// The partition type of a protective MBR: the partitions are in a GUID partition table.
const PROTECTIVE: u8 = 0xEE;

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
    /// Path of a qcow2 file.
    pub file: PathBuf,
    /// The family of the operating system.
    pub os: GuestOs,
    /// The firmware; none: detected from the first sector.
    pub firmware: Option<Firmware>,
    /// How downloads get into the guests.
    pub downloads: Downloads,
}

/// The fields of `qemu-img info` that are used.
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
    /// Imports a disk as an image, replacing an existing one. Copies the file, which may be deleted
    /// afterwards. Blocks.
    ///
    /// # Errors
    /// The file cannot be used for a machine, or cannot be copied; the message says what is wrong
    /// and what to do.
    pub fn import(&self, import: &Import, id: &ImageId, progress: &mut dyn FnMut(ImageProgress)) -> io::Result<()> {
        let mut step = |percent, doing: &str| progress(ImageProgress { percent, doing: doing.to_owned() });
        // QEMU never takes an absolute path for a protocol.
        let file = fs::canonicalize(&import.file)?;
        self.register(id, |folder| {
            step(0, "Checking the file");
            check_file(&file)?;
            let firmware = match import.firmware {
                Some(firmware) => firmware,
                None => detect_firmware(&first_sector(&file, folder)?, import.os)?,
            };
            if firmware == Firmware::Uefi && !Path::new(UEFI_FILE).exists() {
                return invalid(format!(
                    "the disk boots by UEFI, but this host has no {UEFI_FILE}; on Debian, install ovmf"
                ));
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

/// Rejects a file that is not a complete qcow2 file.
fn check_file(file: &Path) -> io::Result<()> {
    let mut start = [0; MAGIC.len()];
    let read = File::open(file)?.read(&mut start)?;
    if start[..read] != *MAGIC {
        return invalid(
            "the file is not a qcow2 file; convert it with `qemu-img convert -O qcow2 FILE FILE.qcow2`".into(),
        );
    }
    let name = file.to_string_lossy();
    let output = qemu_img(Path::new("/"), &["info", "-f", "qcow2", "--output=json", &name])?;
    match serde_json::from_slice::<Info>(&output) {
        Ok(info) => {
            if let Some(fault) = fault(&info) {
                return invalid(fault);
            }
        }
        Err(error) => return invalid(format!("the output of qemu-img info is invalid: {error}")),
    }
    // Exit code 3 means leaked clusters only, which the copy will not have.
    let checked = Command::new("qemu-img").args(["check", "-q", "-f", "qcow2", &name]).stdin(Stdio::null()).output()?;
    match checked.status.code() {
        Some(0 | 3) => Ok(()),
        _ => invalid(format!(
            "`qemu-img check` found errors in the file: {}",
            String::from_utf8_lossy(&checked.stderr).trim()
        )),
    }
}

/// Returns why a file cannot be used for a machine, based on its information.
fn fault(info: &Info) -> Option<String> {
    let data = info.format_specific.as_ref().map(|specific| &specific.data);
    if info.format != "qcow2" {
        return Some(format!("the file's format is {}; expected qcow2", info.format));
    }
    if let Some(backing) = &info.backing_filename {
        return Some(format!(
            "the file holds only differences to the backing file {backing}; merge them with `qemu-img convert -O qcow2`"
        ));
    }
    if let Some(outside) = data.and_then(|data| data.data_file.as_ref()) {
        return Some(format!(
            "the file's data is in another file, {outside}; merge them with `qemu-img convert -O qcow2`"
        ));
    }
    if info.encrypted {
        return Some("the file is encrypted; decrypt it with `qemu-img convert`".into());
    }
    if data.is_some_and(|data| data.corrupt) {
        return Some("the file is marked as corrupt; try to repair it with `qemu-img check -r all`".into());
    }
    (info.virtual_size < SECTOR as u64).then(|| "the disk is empty".into())
}

/// Reads the first sector of the disk in a file. `folder` holds a temporary file.
fn first_sector(file: &Path, folder: &Path) -> io::Result<Vec<u8>> {
    let name = "first-sector";
    let (from, block) = (format!("if={}", file.display()), format!("bs={SECTOR}"));
    qemu_img(folder, &["dd", "-f", "qcow2", "-O", "raw", &block, "count=1", &from, &format!("of={name}")])?;
    let sector = fs::read(folder.join(name))?;
    fs::remove_file(folder.join(name))?;
    Ok(sector)
}

/// Detects the firmware from the first sector of a disk.
fn detect_firmware(sector: &[u8], os: GuestOs) -> io::Result<Firmware> {
    let (at, signature) = SIGNATURE;
    if sector.get(at..SECTOR) != Some(&signature) {
        return invalid("the disk has no boot sector, so no machine can boot from it".into());
    }
    let has_guids = PARTITION_KINDS.iter().any(|at| sector[*at] == PROTECTIVE);
    let no_code = sector[BOOT_CODE].iter().all(|byte| *byte == 0);
    // Windows boots from a GUID partition table by UEFI only, but writes boot code there all the
    // same.
    Ok(if no_code || has_guids && os == GuestOs::Windows { Firmware::Uefi } else { Firmware::Bios })
}

/// Copies a disk into a single file without a backing file.
fn copy(file: &Path, target: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
    let mut copying = Command::new("qemu-img")
        .args(["convert", "-p", "-f", "qcow2", "-O", "qcow2"])
        .args([file, target])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(copying.stdout.take().expect("it is piped"));
    for piece in output.split(b'\r') {
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

/// Parses the progress of `qemu-img convert -p`: `    (12.34/100%)`.
fn percent(output: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(output).ok()?;
    let (whole, _) = text.trim_start().strip_prefix('(')?.split_once('.')?;
    whole.parse().ok()
}

fn invalid<T>(problem: String) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of `qemu-img info` of QEMU 7.2, with additional fields.
    fn output(fields: &str, format_fields: &str) -> Info {
        let text = format!(
            r#"{{"virtual-size": 2147483648, "filename": "/tmp/a.qcow2", "cluster-size": 65536, "format": "qcow2", {fields} "actual-size": 200704,
                "format-specific": {{"type": "qcow2", "data": {{"compat": "1.1", "compression-type": "zlib", "lazy-refcounts": false,
                "refcount-bits": 16, {format_fields} "extended-l2": false}}}}, "dirty-flag": false}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn an_incomplete_or_corrupt_file_is_refused_with_advice() {
        assert_eq!(fault(&output("", "\"corrupt\": false,")), None);
        let faults = [
            (output("\"backing-filename\": \"base.qcow2\",", ""), "differences to the backing file base.qcow2"),
            (output("", "\"data-file\": \"/etc/shadow\", \"data-file-raw\": true,"), "another file, /etc/shadow"),
            (output("\"encrypted\": true,", ""), "encrypted"),
            (output("", "\"corrupt\": true,"), "corrupt"),
        ];
        for (info, expected) in faults {
            assert!(fault(&info).is_some_and(|fault| fault.contains(expected)), "{expected}");
        }
    }

    #[test]
    fn the_first_sector_determines_the_firmware() {
        let mut sector = [0; SECTOR];
        assert!(detect_firmware(&sector, GuestOs::Linux).unwrap_err().to_string().contains("no boot sector"));
        assert!(detect_firmware(&[], GuestOs::Linux).is_err());
        sector[510..].copy_from_slice(&[0x55, 0xAA]);
        assert_eq!(detect_firmware(&sector, GuestOs::Linux).unwrap(), Firmware::Uefi);
        sector[0] = 0xEB;
        assert_eq!(detect_firmware(&sector, GuestOs::Windows).unwrap(), Firmware::Bios);
        sector[450] = PROTECTIVE;
        assert_eq!(detect_firmware(&sector, GuestOs::Linux).unwrap(), Firmware::Bios);
        assert_eq!(detect_firmware(&sector, GuestOs::Windows).unwrap(), Firmware::Uefi);
    }

    #[test]
    fn copy_progress_is_parsed() {
        assert_eq!(percent(b"    (0.00/100%)"), Some(0));
        assert_eq!(percent(b"    (57.89/100%)"), Some(57));
        assert_eq!(percent(b"    (100.00/100%)"), Some(100));
        assert_eq!(percent(b"\n"), None);
    }

    #[test]
    fn a_file_that_is_not_qcow2_is_refused_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let images = Images::open(&root.path().join("images")).unwrap();
        let file = root.path().join("disk.img");
        let import = Import { file: file.clone(), os: GuestOs::Linux, firmware: None, downloads: Downloads::Pushed };
        let id = ImageId("a".into());
        assert!(images.import(&import, &id, &mut |_| {}).is_err(), "the file does not exist");
        for content in ["", "QFI", "a raw disk"] {
            fs::write(&file, content).unwrap();
            let refused = images.import(&import, &id, &mut |_| {}).unwrap_err();
            assert!(refused.to_string().contains("qemu-img convert"), "{refused}");
        }
        assert_eq!(fs::read_dir(root.path().join("images")).unwrap().count(), 0);
    }
}
