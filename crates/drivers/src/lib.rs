//! Drivers run machines; guests are the operating systems inside them.
//!
//! The traits here are promises that every driver keeps:
//!
//! * **Ensure.** Every verb looks, acts if needed and looks again. It may be called again after a
//!   crash, with the same arguments, and ends in the same state.
//! * **Tags.** What must happen once (a disk set aside, a restart) carries a [`Tag`] that no other
//!   action ever has. A verb that meets its own tag knows that it has been here.
//! * **Honest outcomes.** A call whose outcome is not known says [`DriverError::OutcomeUnknown`];
//!   the caller looks before it acts.
//! * **Dropped futures.** A caller may drop a call at any await. The machine may go on changing;
//!   calling the verb again joins in.
//!
//! This crate refuses to know the database, HTTP servers, tenants and permissions.

mod changes;
pub mod conformance;
mod fetch;
mod guest;
mod host;
pub mod qemu;
pub mod sim;

use async_trait::async_trait;
use cloudpc_model::{CloudPcId, ImageId, Power, SnapshotId};
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::fmt;
use tokio::io::{AsyncRead, AsyncWrite};

pub use fetch::{FetchPolicy, Fetched, Fetcher, HEAD_BYTES, REDIRECTS_MAX, URL_BYTES_MAX};
pub use guest::{DETECT_TIME_MAX, FileFormat, Guest, GuestError, GuestOs, ProgramExit, Sha256Digest};
pub use host::{SteadyClock, SystemClock, SystemRng, monotonic};

/// What a machine should be like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// The Cloud PC whose machine it is.
    pub id: CloudPcId,
    /// Name in the guest.
    pub hostname: String,
    /// Virtual processors.
    pub vcpu_count: u32,
    /// Memory, GiB.
    pub ram_gib: u32,
    /// Disk, GiB.
    pub storage_gib: u32,
    /// Whether it has a graphics processor.
    pub gpu: bool,
    /// What its disk is made from.
    pub image: ImageId,
}

/// Names one intention, e.g. `action-17-5d1f0c83e6a94b27`, so that a verb repeated after a crash
/// recognises its own work.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tag(pub String);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the driver says a machine is. Never cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Power state.
    pub power: Power,
    /// Counts boots; grows by one each time the guest starts.
    pub boots: u64,
    /// Its present size and image.
    pub spec: MachineSpec,
    /// The tag of the action that made the current disk; none for the disk it was born with.
    pub disk: Option<Tag>,
    /// The disks that were set aside, by the tag under which each was.
    pub asides: Vec<Aside>,
    /// What has become of it without being asked for, as far as is known.
    pub condition: Option<MachineCondition>,
}

/// What has become of a machine without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MachineCondition {
    /// It is off, because its process or its host's power was lost.
    Crashed,
    /// It is off, because its operating system has given up.
    Panicked,
    /// It is off, because somebody in it has shut it down.
    ShutDown,
    /// It stands still, because its host's disk is full. It goes on by itself when there is room.
    HostDiskFull,
    /// It runs, and its guest has not answered for long.
    GuestSilent,
}

/// A disk that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// Under which tag.
    pub tag: Tag,
    /// What it takes of the host's disk, bytes. Does not change while it is set aside.
    pub size_bytes: u64,
}

/// What may befall a running machine without anyone asking for it. Simulations and tests let it
/// happen; no driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Incident {
    /// It loses its power.
    Crash,
    /// Its operating system gives up.
    Panic,
    /// Its user shuts it down.
    ShutDown,
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Ask the guest; force it at the driver's own deadline.
    Graceful,
    /// Cut the power.
    Force,
}

/// What a machine cannot do at all. Asked before anything is tried, so that nothing is half done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Its size can be changed.
    pub resize: bool,
    /// Restore points can be made and gone back to.
    pub snapshots: bool,
}

/// Runs machines. See the crate's documentation for what every verb promises.
#[async_trait]
pub trait Driver: Send + Sync {
    /// What this machine is able to do.
    fn capabilities(&self, spec: &MachineSpec) -> Capabilities;

    /// Whether disks can be made from an image. One that the host does not have is rejected with
    /// [`IMAGE_NOT_ON_HOST`].
    async fn check_image(&self, image: &ImageId) -> Result<(), DriverError>;

    /// Whether a machine of this size would fit on an empty host. One that never does is rejected.
    fn check_size(&self, spec: &MachineSpec) -> Result<(), DriverError>;

    /// The truth about a machine.
    async fn observe(&self, id: CloudPcId) -> Result<Observed, DriverError>;

    /// Makes a new machine with a fresh disk, powered off, unless it is there.
    async fn ensure_present(&self, spec: &MachineSpec) -> Result<(), DriverError>;

    /// Removes a machine and all its disks.
    async fn ensure_absent(&self, id: CloudPcId) -> Result<(), DriverError>;

    /// Powers it on. Returns when the machine runs, which is before its guest answers.
    async fn ensure_running(&self, id: CloudPcId) -> Result<(), DriverError>;

    /// Powers it off.
    async fn ensure_stopped(&self, id: CloudPcId, how: StopMode) -> Result<(), DriverError>;

    /// Restarts it, once for each tag: the tag is recorded before acting, and the boot count tells
    /// whether it happened.
    async fn ensure_restarted(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError>;

    /// Sets the current disk aside under `tag`, leaving the stopped machine without one.
    async fn ensure_disk_aside(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError>;

    /// Gives the machine a new disk made from `spec.image`; the disk carries `tag`.
    async fn ensure_disk_from_image(&self, spec: &MachineSpec, tag: &Tag) -> Result<(), DriverError>;

    /// Gives the machine a disk that is a copy of a restore point; the disk carries `tag`.
    async fn ensure_disk_from_snapshot(
        &self,
        id: CloudPcId,
        snapshot: &SnapshotId,
        tag: &Tag,
    ) -> Result<(), DriverError>;

    /// Undo: drops the disk that carries `tag`, if any, and puts the disk set aside under `tag`
    /// back, if there is one, grown to the machine's size. A disk that carries another tag is in
    /// the way of it; one that was set aside under another tag is not.
    async fn ensure_disk_back(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError>;

    /// Drops the disk set aside under `tag`, whatever else is under way on the machine. There is no
    /// way back after this.
    async fn ensure_aside_dropped(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError>;

    /// Changes processors, memory and disk of a stopped machine to those of `spec`.
    async fn ensure_size(&self, spec: &MachineSpec) -> Result<(), DriverError>;

    /// Makes a restore point of the current disk.
    async fn ensure_snapshot(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError>;

    /// Drops a restore point.
    async fn ensure_snapshot_absent(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError>;

    /// The operating system inside. Reaching it may still fail; see [`Guest::wait_ready`].
    async fn guest(&self, id: CloudPcId) -> Result<Box<dyn Guest>, DriverError>;

    /// The screen, keyboard and pointer of a running machine. A machine that has none rejects it
    /// with [`NO_DISPLAY`].
    async fn display(&self, id: CloudPcId) -> Result<Box<dyn Display>, DriverError>;

    /// What its screen shows now, as a PNG. A machine that has none rejects it with [`NO_DISPLAY`].
    async fn screenshot(&self, id: CloudPcId) -> Result<Vec<u8>, DriverError>;

    /// The machines that may have changed without being asked to, each to be looked at with
    /// [`Driver::observe`]: first those of which that is not known, then each as it is noticed.
    /// Never ends. Several may watch.
    fn watch(&self) -> BoxStream<'static, CloudPcId>;

    /// The machines that are ours.
    async fn list(&self) -> Result<Vec<CloudPcId>, DriverError>;
}

/// A connection to a machine's screen. It speaks RFB (RFC 6143): the machine greets first, and asks
/// for no password.
pub trait Display: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Display for T {}

/// The code with which a machine that has no screen rejects to show one.
pub const NO_DISPLAY: &str = "noDisplay";

/// The code with which an image is rejected that the host does not have.
pub const IMAGE_NOT_ON_HOST: &str = "imageNotOnHost";

/// What can go wrong with a machine. The engine decides by the variant and never reads the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The host does not answer now; trying again may help.
    #[error("the machine's host is not available: {0}")]
    Unavailable(String),
    /// There is no such machine, disk or restore point.
    #[error("not found: {0}")]
    NotFound(String),
    /// The machine is in a state in which this cannot be done.
    #[error("the machine's state does not allow it: {0}")]
    Conflict(String),
    /// It will never work like this.
    #[error("refused: {code}: {message}", code = .code, message = .message)]
    Rejected {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
    /// It may or may not have happened: look.
    #[error("the outcome is not known: {0}")]
    OutcomeUnknown(String),
}
