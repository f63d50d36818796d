//! The guest: the operating system inside a machine, reached through a channel of the driver.
//!
//! A [`Tag`] names one installation; a file fetched and a program begun under it are found again
//! after a crash of ours.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use url::Url;

use crate::{DriverError, FetchPolicy, Tag};

/// The longest that a detection command may take.
pub const DETECT_TIME_MAX: Duration = Duration::from_secs(60);

/// A SHA-256 digest.
pub type Sha256Digest = [u8; 32];

/// What the first bytes of a file say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileFormat {
    /// A Windows program (`MZ`).
    Exe,
    /// A Windows installer database (compound file).
    Msi,
    /// A Debian package.
    Deb,
    /// A script (`#!`).
    Script,
    /// A Linux program.
    Elf,
    /// None of these, e.g. an error page.
    Unknown,
}

impl FileFormat {
    /// The format of a file that begins with `head`.
    pub fn of(head: &[u8]) -> Self {
        const COMPOUND_FILE: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];
        match head {
            [b'M', b'Z', ..] => Self::Exe,
            head if head.starts_with(COMPOUND_FILE) => Self::Msi,
            head if head.starts_with(b"!<arch>\n") => Self::Deb,
            head if head.starts_with(b"\x7fELF") => Self::Elf,
            [b'#', b'!', ..] => Self::Script,
            _ => Self::Unknown,
        }
    }
}

/// The family of an operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GuestOs {
    /// Windows.
    Windows,
    /// Linux.
    Linux,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramExit {
    /// Its exit code; 0 is success.
    pub code: i32,
    /// The end of what it printed, bounded and with secrets masked.
    pub output: String,
}

/// What can go wrong inside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// The guest does not answer (yet).
    #[error("the guest does not answer: {0}")]
    NotReady(String),
    /// The host of an address cannot be reached from inside.
    #[error("{0}")]
    Unreachable(String),
    /// The server answered, but not with the file.
    #[error("{0}")]
    FileNotFound(String),
    /// The disk is full.
    #[error("{0}")]
    DiskFull(String),
    /// The machine below has trouble.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// What a deployment needs of a guest. Every verb may be repeated.
#[async_trait]
pub trait Guest: Send + Sync {
    /// The family of the operating system.
    fn os(&self) -> GuestOs;

    /// Ends when the guest answers. The caller sets the deadline.
    async fn wait_ready(&self) -> Result<(), GuestError>;

    /// Joins it to device management under its name.
    async fn enrol(&self, hostname: &str) -> Result<(), GuestError>;

    /// Free space on the system disk, bytes.
    async fn free_disk_bytes(&self) -> Result<u64, GuestError>;

    /// Whether the host of `url` can be reached from inside, within `policy`.
    async fn reach(&self, url: &Url, policy: &FetchPolicy) -> Result<(), GuestError>;

    /// Downloads `url` to a file of `tag`, within `policy`; returns its size in bytes.
    async fn fetch(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError>;

    /// What the file of `tag` is.
    async fn format(&self, tag: &Tag) -> Result<FileFormat, GuestError>;

    /// The digest of the file of `tag`, computed inside.
    async fn sha256(&self, tag: &Tag) -> Result<Sha256Digest, GuestError>;

    /// Runs the file of `tag` with `arguments`, or joins the run that is under way or has ended
    /// under this tag.
    async fn run(&self, tag: &Tag, arguments: &[String]) -> Result<ProgramExit, GuestError>;

    /// Runs a line in the system's shell, which looks whether a program is installed. It is run
    /// anew at each call, and ended after [`DETECT_TIME_MAX`] with a code other than 0.
    async fn detect(&self, command: &str) -> Result<ProgramExit, GuestError>;

    /// Ends the run of `tag` with all its children, if there is one.
    async fn kill(&self, tag: &Tag) -> Result<(), GuestError>;

    /// Drops the file of `tag`.
    async fn clean(&self, tag: &Tag) -> Result<(), GuestError>;

    /// Writes a small file.
    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), GuestError>;

    /// Reads a small file; none if it is not there.
    async fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>, GuestError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_format() {
        let cases: [(&[u8], FileFormat); 10] = [
            (b"MZ\x90\0", FileFormat::Exe),
            (b"MZ", FileFormat::Exe),
            (b"M", FileFormat::Unknown),
            (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0", FileFormat::Msi),
            (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A", FileFormat::Unknown),
            (b"!<arch>\ndebian-binary", FileFormat::Deb),
            (b"#!/bin/sh\n", FileFormat::Script),
            (b"\x7fELF\x02", FileFormat::Elf),
            (b"<!DOCTYPE html>", FileFormat::Unknown),
            (b"", FileFormat::Unknown),
        ];
        for (head, format) in cases {
            assert_eq!(FileFormat::of(head), format, "{head:?}");
        }
    }
}
