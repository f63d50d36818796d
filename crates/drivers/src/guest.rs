//! The guest: the operating system inside a machine, reached through a channel of the driver.
//!
//! A [`Tag`] names one installation. A file downloaded and a program started under a tag are found
//! again after a crash of the service.

mod agent_guest;
mod channel;
mod inside;
mod linux;
mod output;
mod shell;
mod staging;
mod windows;

use async_trait::async_trait;
use cloudpc_model::UserAccountType;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use url::Url;

use crate::{DriverError, FetchPolicy, Tag};

pub use agent_guest::Downloads;
pub(crate) use agent_guest::{AgentGuest, POLL_PAUSE_MAX, POLL_PAUSE_MIN};
pub(crate) use channel::{AgentChannel, CommandOutput, unexpected_response};
pub(crate) use staging::Staging;

/// Longest run time of a detection command.
pub const DETECT_TIME_MAX: Duration = Duration::from_secs(60);

/// A SHA-256 digest.
pub type Sha256Digest = [u8; 32];

/// The format of a file, detected from its first bytes.
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
    /// Any other content, for example an error page.
    Unknown,
}

impl FileFormat {
    /// Returns the format of a file that starts with `head`.
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

/// The result of a program that has exited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramExit {
    /// The exit code; 0 means success.
    pub code: i32,
    /// The end of the program's output, bounded and with secrets masked.
    pub output: String,
}

/// An error of a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// The guest does not respond, or not yet.
    #[error("the guest does not respond: {0}")]
    NotReady(String),
    /// The host of a URL cannot be reached from the guest.
    #[error("{0}")]
    Unreachable(String),
    /// The server responded, but did not deliver the file.
    #[error("{0}")]
    FileNotFound(String),
    /// The guest's disk is full.
    #[error("{0}")]
    DiskFull(String),
    /// The guest cannot do it, and a retry will not help.
    #[error("{0}")]
    Unsupported(String),
    /// The driver of the machine failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// Operations on a guest that actions need. Every verb is idempotent.
#[async_trait]
pub trait Guest: Send + Sync {
    /// The family of the operating system.
    fn os(&self) -> GuestOs;

    /// Waits until the guest responds. The caller sets the deadline.
    async fn wait_ready(&self) -> Result<(), GuestError>;

    /// Enrols the guest in device management under `hostname`.
    async fn enrol(&self, hostname: &str) -> Result<(), GuestError>;

    /// Makes the account of a user an administrator of the guest, or a standard user. The guest
    /// finds the account by the user principal name; a guest without one is
    /// [`GuestError::Unsupported`].
    async fn set_account_type(&self, user_principal_name: &str, account: UserAccountType) -> Result<(), GuestError>;

    /// Returns the free space on the system disk, bytes.
    async fn free_disk_bytes(&self) -> Result<u64, GuestError>;

    /// Checks that the host of `url` can be reached from the guest, within `policy`.
    async fn reach(&self, url: &Url, policy: &FetchPolicy) -> Result<(), GuestError>;

    /// Downloads `url` to the file of `tag`, within `policy`; returns its size in bytes.
    async fn fetch(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError>;

    /// Returns the format of the file of `tag`.
    async fn format(&self, tag: &Tag) -> Result<FileFormat, GuestError>;

    /// Returns the digest of the file of `tag`, computed in the guest.
    async fn sha256(&self, tag: &Tag) -> Result<Sha256Digest, GuestError>;

    /// Runs the file of `tag` with `arguments`. If this tag has a run already, waits for that run
    /// and returns its result.
    async fn run(&self, tag: &Tag, arguments: &[String]) -> Result<ProgramExit, GuestError>;

    /// Runs a shell command that checks whether a program is installed. Every call runs it again. A
    /// command that exceeds [`DETECT_TIME_MAX`] is killed and has a code other than 0.
    async fn detect(&self, command: &str) -> Result<ProgramExit, GuestError>;

    /// Kills the run of `tag` and all its child processes, if there is one.
    async fn kill(&self, tag: &Tag) -> Result<(), GuestError>;

    /// Deletes the file of `tag`.
    async fn clean(&self, tag: &Tag) -> Result<(), GuestError>;

    /// Writes a small file.
    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), GuestError>;

    /// Reads a small file; none if it does not exist.
    async fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>, GuestError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_detected_from_the_first_bytes() {
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
