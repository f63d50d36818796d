//! The guest: the operating system inside a machine, reached through a channel of the driver.
//!
//! A [`Tag`] names one installation; a file fetched and a program begun under it are found again after a crash of ours.

use async_trait::async_trait;
use url::Url;

use crate::{DriverError, FetchPolicy, Tag};

/// A SHA-256 digest.
pub type Sha256Digest = [u8; 32];

/// What the first bytes of a file say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
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

    /// Runs the file of `tag` with `arguments`, or joins the run that is under way or has ended under this tag.
    async fn run(&self, tag: &Tag, arguments: &[String]) -> Result<Exit, GuestError>;

    /// Ends the run of `tag` with all its children, if there is one.
    async fn kill(&self, tag: &Tag) -> Result<(), GuestError>;

    /// Drops the file of `tag`.
    async fn clean(&self, tag: &Tag) -> Result<(), GuestError>;

    /// Writes a small file.
    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), GuestError>;

    /// Reads a small file; none if it is not there.
    async fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>, GuestError>;
}
