//! A file that holds a disk made elsewhere. Nobody vouches for the file: it is judged by its header
//! before any program opens it, because a qcow2 file may name other files of the host as its own.

use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::partitions::{PartitionTable, SECTOR_BYTES, TABLE_SECTORS};

/// Limits of a program that reads a file.
#[derive(Clone, Copy, Debug)]
struct ReadLimits {
    /// Address space, MiB.
    memory_mib: u64,
    /// Processor time.
    cpu_time: Duration,
}

/// Limits of looking at a file, as in OpenStack Nova: a few megabytes can describe a disk whose
/// tables take hours and all memory.
const LOOK_LIMITS: ReadLimits = ReadLimits { memory_mib: 1_024, cpu_time: Duration::from_secs(30) };

/// Limits of checking and copying a whole disk. The memory is that of OpenStack Ironic; the time
/// suffices for the largest disk, even if it is compressed.
const COPY_LIMITS: ReadLimits = ReadLimits { memory_mib: 2_048, cpu_time: Duration::from_hours(2) };

/// The first bytes of a qcow2 file.
const QCOW2_MAGIC: &[u8] = b"QFI\xfb";

/// Number of leading bytes of a file that [`DiskHeader::parse`] needs.
pub const HEADER_BYTES: usize = 512;

/// The bits of "incompatible features" in QEMU's specification of qcow2.
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA_FILE: u64 = 1 << 2;

/// The format of a disk's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    Qcow2,
    Raw,
}

impl DiskFormat {
    /// Returns QEMU's name of the format, which is always given: QEMU must not guess it.
    fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

/// The header of an acceptable file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskHeader {
    pub format: DiskFormat,
    /// Size of the disk, bytes.
    pub size_bytes: u64,
}

impl DiskHeader {
    /// Parses the first bytes of a file of `file_bytes`: at least [`HEADER_BYTES`], or all.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`]: the file is not a complete disk of a supported format; the
    /// message says what to do.
    pub fn parse(start: &[u8], file_bytes: u64) -> io::Result<Self> {
        if start.starts_with(QCOW2_MAGIC) {
            return Self::parse_qcow2(start);
        }
        // Without a boot sector the file may be anything.
        if !PartitionTable::has_boot_sector(start) {
            return invalid(
                "the file is neither a qcow2 file nor a raw disk with a boot sector; convert it with `qemu-img convert -O qcow2 FILE FILE.qcow2`",
            );
        }
        Ok(Self { format: DiskFormat::Raw, size_bytes: file_bytes })
    }

    fn parse_qcow2(start: &[u8]) -> io::Result<Self> {
        let version = number(start, 4, 4);
        let features = if version == Some(2) { Some(0) } else { number(start, 72, 8) };
        let fields = (number(start, 8, 8), number(start, 24, 8), number(start, 32, 4), features);
        let (Some(backing_file_at), Some(size_bytes), Some(encryption), Some(features)) = fields else {
            return invalid("the qcow2 file ends within its header; `qemu-img convert` makes a complete one");
        };
        if !matches!(version, Some(2 | 3)) {
            return invalid("the file's qcow2 version is not 2 or 3; convert it with `qemu-img convert -O qcow2`");
        }
        if backing_file_at != 0 {
            return invalid(
                "the file holds only differences to a backing file; merge them with `qemu-img convert -O qcow2`",
            );
        }
        if features & EXTERNAL_DATA_FILE != 0 {
            return invalid("the file's data is in another file; merge them with `qemu-img convert -O qcow2`");
        }
        if encryption != 0 {
            return invalid("the file is encrypted; decrypt it with `qemu-img convert`");
        }
        if features & CORRUPT != 0 {
            return invalid("the file is marked as corrupt; try to repair it with `qemu-img check -r all`");
        }
        if size_bytes < SECTOR_BYTES as u64 {
            return invalid("the disk is empty");
        }
        Ok(Self { format: DiskFormat::Qcow2, size_bytes })
    }
}

/// A file whose header is acceptable.
#[derive(Clone, Debug)]
pub struct DiskFile {
    path: PathBuf,
    pub header: DiskHeader,
}

/// The field of `qemu-img measure` that is used.
#[derive(Deserialize)]
struct Measure {
    required: u64,
}

impl DiskFile {
    /// Reads the header of an open file, which is found again at `path`, an absolute path: QEMU
    /// never takes one for a protocol.
    ///
    /// # Errors
    /// Those of [`DiskHeader::parse`], and those of reading.
    pub fn open(path: &Path, file: &File) -> io::Result<Self> {
        let mut start = Vec::new();
        file.take(HEADER_BYTES as u64).read_to_end(&mut start)?;
        let header = DiskHeader::parse(&start, file.metadata()?.len())?;
        Ok(Self { path: path.to_owned(), header })
    }

    /// Checks the structure of a qcow2 file. Blocks.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`]: it is damaged.
    pub fn check(&self) -> io::Result<()> {
        if self.header.format == DiskFormat::Raw {
            return Ok(());
        }
        self.check_within(COPY_LIMITS)
    }

    fn check_within(&self, limits: ReadLimits) -> io::Result<()> {
        let checked = qemu_img(limits).args(["check", "-q", "-f", "qcow2"]).arg(&self.path).output()?;
        require_end(checked.status, limits)?;
        match checked.status.code() {
            // Exit code 3 means leaked clusters only, which the copy will not have.
            Some(0 | 3) => Ok(()),
            _ => invalid(&format!(
                "`qemu-img check` found errors in the file: {}",
                String::from_utf8_lossy(&checked.stderr).trim()
            )),
        }
    }

    /// Returns the space that a copy needs, bytes. Blocks.
    pub fn copy_bytes(&self) -> io::Result<u64> {
        let mut measuring = qemu_img(LOOK_LIMITS);
        measuring.args(["measure", "-f", self.header.format.name(), "-O", "qcow2", "--output=json"]).arg(&self.path);
        let measure: Measure = serde_json::from_slice(&look(&mut measuring)?)?;
        Ok(measure.required)
    }

    /// Reads the partition table. `folder` holds a temporary file. Blocks.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`]: the disk has no boot sector.
    pub fn partitions(&self, folder: &Path) -> io::Result<PartitionTable> {
        let name = "first-sectors";
        let (from, to) = (format!("if={}", self.path.display()), format!("of={name}"));
        let (block, count) = (format!("bs={SECTOR_BYTES}"), format!("count={TABLE_SECTORS}"));
        let arguments = ["dd", "-f", self.header.format.name(), "-O", "raw", &block, &count, &from, &to];
        look(qemu_img(LOOK_LIMITS).args(arguments).current_dir(folder))?;
        let sectors = std::fs::read(folder.join(name))?;
        std::fs::remove_file(folder.join(name))?;
        PartitionTable::parse(&sectors)
    }

    /// Copies the disk into a single qcow2 file. Blocks.
    pub fn copy(&self, target: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
        let mut copying = qemu_img(COPY_LIMITS)
            .args(["convert", "-p", "-f", self.header.format.name(), "-O", "qcow2"])
            .args([&self.path, target])
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
        require_end(output.status, COPY_LIMITS)?;
        require_success(output).map(drop)
    }
}

/// Returns the start of a `qemu-img` command with limits.
fn qemu_img(limits: ReadLimits) -> Command {
    let mut command = within(limits, "qemu-img");
    command
        // Each arena of the C library takes 64 MiB of address space, by default one per thread.
        .env("MALLOC_ARENA_MAX", "3")
        .stdin(Stdio::null());
    command
}

/// Returns the start of a command with limits.
fn within(limits: ReadLimits, program: &str) -> Command {
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--as={}", limits.memory_mib << 20))
        .arg(format!("--cpu={}", limits.cpu_time.as_secs()))
        .args(["--", program]);
    command
}

/// Runs a command that looks at a file; returns its output. Blocks.
fn look(command: &mut Command) -> io::Result<Vec<u8>> {
    let output = command.output()?;
    require_end(output.status, LOOK_LIMITS)?;
    require_success(output)
}

/// Refuses the file of a program that did not end by itself, which the limits make it do.
fn require_end(status: ExitStatus, limits: ReadLimits) -> io::Result<()> {
    match status.code() {
        Some(_) => Ok(()),
        None => invalid(&format!(
            "`qemu-img` was stopped while it read the file; it may use {} MiB of memory and {} seconds of processor \
             time; make a smaller file with `qemu-img convert -O qcow2`",
            limits.memory_mib,
            limits.cpu_time.as_secs()
        )),
    }
}

fn require_success(output: Output) -> io::Result<Vec<u8>> {
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// Reads a big-endian number; none if the bytes end before it does.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + length)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Parses the progress of `qemu-img convert -p`: `    (12.34/100%)`.
fn percent(output: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(output).ok()?;
    let (whole, _) = text.trim_start().strip_prefix('(')?.split_once('.')?;
    whole.parse().ok()
}

/// Returns the error for a file that cannot be an image.
pub fn invalid<T>(problem: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the header of a disk of 2 GiB, with other bytes at some places.
    fn header(version: u8, changes: &[(usize, u8)]) -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        header[..4].copy_from_slice(QCOW2_MAGIC);
        header[7] = version;
        header[28] = 0x80;
        for (at, byte) in changes {
            header[*at] = *byte;
        }
        header
    }

    #[test]
    fn a_self_contained_qcow2_file_is_accepted() {
        let expected = DiskHeader { format: DiskFormat::Qcow2, size_bytes: 2 << 30 };
        for version in [2, 3] {
            assert_eq!(DiskHeader::parse(&header(version, &[]), 1 << 20).unwrap(), expected);
        }
        // Version 2 has no features; other data may follow its header.
        assert!(DiskHeader::parse(&header(2, &[(79, 0xFF)]), 0).is_ok());
        // A file that was not closed is repaired by the copy.
        assert!(DiskHeader::parse(&header(3, &[(79, 1)]), 0).is_ok());
    }

    #[test]
    fn a_qcow2_file_that_depends_on_another_one_is_refused_with_advice() {
        let refused = [
            (header(3, &[(15, 1)]), "differences to"),
            (header(2, &[(8, 1)]), "differences to"),
            (header(3, &[(79, 4)]), "in another file"),
            (header(3, &[(35, 2)]), "encrypted"),
            (header(3, &[(79, 2)]), "corrupt"),
            (header(1, &[]), "version"),
            (header(4, &[]), "version"),
            (header(3, &[(28, 0)]), "empty"),
            (header(3, &[])[..79].to_vec(), "ends within its header"),
            (header(2, &[])[..35].to_vec(), "ends within its header"),
            (QCOW2_MAGIC.to_vec(), "ends within its header"),
        ];
        for (start, expected) in refused {
            let error = DiskHeader::parse(&start, 0).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_raw_disk_has_a_boot_sector() {
        let mut start = vec![0; HEADER_BYTES];
        for text in [&b""[..], b"QFI", b"a raw disk", &start] {
            assert!(DiskHeader::parse(text, 1 << 20).unwrap_err().to_string().contains("qemu-img convert"));
        }
        start[510..].copy_from_slice(&[0x55, 0xAA]);
        let expected = DiskHeader { format: DiskFormat::Raw, size_bytes: 1 << 20 };
        assert_eq!(DiskHeader::parse(&start, 1 << 20).unwrap(), expected);
    }

    #[test]
    fn copy_progress_is_parsed() {
        assert_eq!(percent(b"    (0.00/100%)"), Some(0));
        assert_eq!(percent(b"    (57.89/100%)"), Some(57));
        assert_eq!(percent(b"    (100.00/100%)"), Some(100));
        assert_eq!(percent(b"\n"), None);
    }

    #[test]
    fn qemu_img_reads_a_file_within_its_limits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.qcow2");
        let created = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&path).arg("2T").status();
        if created.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return not_run("qemu_img_reads_a_file_within_its_limits", "qemu-img is not installed");
        }
        assert!(created.unwrap().success());
        let disk = DiskFile::open(&path, &File::open(&path).unwrap()).unwrap();
        disk.check().unwrap();
        disk.copy_bytes().unwrap();
        let no_memory = ReadLimits { memory_mib: 1, ..LOOK_LIMITS };
        assert!(disk.check_within(no_memory).is_err());
    }

    /// Says so in the file from which `scripts/test` lists what could not run.
    fn not_run(test: &str, why: &str) {
        let line = format!("NOT RUN: {test}: {why}\n");
        eprint!("{line}");
        if let Some(path) = std::env::var_os("CLOUDPC_TEST_NOT_RUN") {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            io::Write::write_all(&mut file, line.as_bytes()).unwrap();
        }
    }

    #[test]
    fn a_program_that_exceeds_its_limits_is_told_of() {
        let short = ReadLimits { cpu_time: Duration::from_secs(1), ..LOOK_LIMITS };
        let endless = within(short, "sh").args(["-c", "while :; do :; done"]).status().unwrap();
        let error = require_end(endless, short).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("1024 MiB of memory and 1 seconds"), "{error}");
    }
}
