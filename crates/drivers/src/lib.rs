//! Drivers run machines; guests are the operating systems inside them.
//!
//! Every driver keeps these promises:
//!
//! * **Idempotent verbs.** Every verb observes, acts if needed and observes again. A call repeated
//!   after a crash with the same arguments ends in the same state.
//! * **Tags.** An operation that must happen once (detaching a disk, a restart) carries a [`Tag`]
//!   that is unique to its action. A verb that finds its own tag knows that it has already run.
//! * **Unknown outcomes.** A call whose outcome is unknown returns [`DriverError::OutcomeUnknown`];
//!   the caller observes the machine before it acts again.
//! * **Dropped futures.** A caller may drop a call at any await. The work may continue; a repeated
//!   call waits for it.
//!
//! This crate must not depend on the database, HTTP servers, tenants or permissions.

mod changes;
pub mod conformance;
mod fetch;
mod file_name;
mod guest;
mod host;
mod image_source;
mod network;
pub mod qemu;
pub mod sim;

use async_trait::async_trait;
use cloudpc_model::{CloudPcId, ImageId, Power, SnapshotId};
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::fmt;
use tokio::io::{AsyncRead, AsyncWrite};

pub use fetch::{
    ANSWER_BYTES_MAX, FetchPolicy, Fetched, Fetcher, HEAD_BYTES, POST_TIME_MAX, Post, PostAnswer, REDIRECTS_MAX,
    URL_BYTES_MAX,
};
pub use guest::{DETECT_TIME_MAX, FileFormat, Guest, GuestError, GuestOs, ProgramExit, Sha256Digest};
pub use host::{SteadyClock, SystemClock, SystemRng, monotonic};
pub use image_source::{
    IMAGE_DISK_GIB_MAX, ImageFacts, SOURCE_BYTES_MAX, SOURCE_IMAGE_INVALID, SOURCE_IMAGE_NOT_FOUND,
    SOURCE_IMAGE_TOO_LARGE, SourceCategory, SourceImage, check_source_form,
};
pub use network::{NetworkCheck, NetworkFinding, NetworkProblem, NetworkStatus};

/// The desired configuration of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// The Cloud PC that the machine belongs to.
    pub id: CloudPcId,
    /// The hostname of the guest.
    pub hostname: String,
    /// Number of virtual processors.
    pub vcpu_count: u32,
    /// Memory, GiB.
    pub ram_gib: u32,
    /// Disk, GiB.
    pub storage_gib: u32,
    /// Whether the machine has a graphics processor.
    pub gpu: bool,
    /// The image from which the disk is made.
    pub image: ImageId,
}

/// Identifies one intended operation, for example `action-17-5d1f0c83e6a94b27`, so that a verb
/// repeated after a crash recognises its own work.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tag(pub String);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state of a machine as its driver reports it. Never cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Power state.
    pub power: Power,
    /// Number of boots; incremented each time the guest starts.
    pub boots: u64,
    /// The current size and image.
    pub spec: MachineSpec,
    /// The tag of the action that made the current disk; none for the machine's first disk.
    pub disk: Option<Tag>,
    /// The old disks that are kept, each with the tag under which it was detached.
    pub asides: Vec<Aside>,
    /// The condition of the machine, if the driver has detected one.
    pub condition: Option<MachineCondition>,
}

/// A state that a machine has reached without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MachineCondition {
    /// The machine is off because its process crashed or its host lost power.
    Crashed,
    /// The machine is off because the guest kernel panicked.
    Panicked,
    /// The machine is off because it was shut down from inside the guest.
    ShutDown,
    /// The machine is paused because the host's disk is full. It resumes by itself when space is
    /// free.
    HostDiskFull,
    /// The machine runs, but its guest has not responded for a long time.
    GuestSilent,
}

/// An old disk: detached from its machine and kept for an undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// The tag under which the disk was detached.
    pub tag: Tag,
    /// Space used on the host's disk, bytes. Constant while the disk is detached.
    pub size_bytes: u64,
}

/// A failure to inject into a running machine, for simulations and tests. No driver causes one by
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Incident {
    /// The machine loses power.
    Crash,
    /// The guest kernel panics.
    Panic,
    /// A user shuts the machine down from inside the guest.
    ShutDown,
}

/// How to stop a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Request a shutdown from the guest; cut the power at the driver's deadline.
    Graceful,
    /// Cut the power at once.
    Force,
}

/// Optional operations that a machine supports. Callers check these before they start an action, so
/// that no action stops halfway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether the machine can be resized.
    pub resize: bool,
    /// Whether restore points can be made and restored.
    pub snapshots: bool,
}

/// Runs machines. The crate's documentation lists what every verb promises.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Returns the optional operations that this machine supports.
    fn capabilities(&self, spec: &MachineSpec) -> Capabilities;

    /// Checks that disks can be made from an image. Rejects an image that is not on the host with
    /// [`IMAGE_NOT_ON_HOST`].
    async fn check_image(&self, image: &ImageId) -> Result<(), DriverError>;

    /// Lists the sources that images can be imported from. A URL is a source too, but is not
    /// listed.
    async fn source_images(&self) -> Result<Vec<SourceImage>, DriverError>;

    /// Checks that a source exists and is a disk of a supported format and size, without copying
    /// it. Rejects any other with [`SOURCE_IMAGE_NOT_FOUND`], [`SOURCE_IMAGE_INVALID`] or
    /// [`SOURCE_IMAGE_TOO_LARGE`].
    async fn check_source(&self, source: &str) -> Result<SourceImage, DriverError>;

    /// Imports an image from a source, unless it was imported from that source before: checks and
    /// copies the disk. Rejects like [`Driver::check_source`]. An image with this id that comes
    /// from elsewhere is a conflict. Takes as long as the copy; a failed call leaves nothing.
    async fn ensure_image(&self, image: &ImageId, source: &str) -> Result<(), DriverError>;

    /// Boots a temporary machine from an imported image, waits for its guest, and returns what the
    /// guest reports. Rejects an image that does not boot with [`SOURCE_IMAGE_INVALID`], and one
    /// that is not on the host with [`IMAGE_NOT_ON_HOST`]. No other verb shows the machine.
    async fn probe_image(&self, image: &ImageId) -> Result<ImageFacts, DriverError>;

    /// Removes an imported image, and ends an import or a probe of it that is in progress. Machines
    /// keep the disks that were made from it. An image that [`Driver::ensure_image`] did not import
    /// is a conflict.
    async fn ensure_image_absent(&self, image: &ImageId) -> Result<(), DriverError>;

    /// Checks that a machine of this size would fit on an empty host. Rejects one that never fits.
    fn check_size(&self, spec: &MachineSpec) -> Result<(), DriverError>;

    /// Runs one health check of the network that machines use, without changing anything. A problem
    /// of the network is a finding, not an error.
    async fn check_network(&self, check: &NetworkCheck) -> Result<NetworkFinding, DriverError>;

    /// Returns the current state of a machine.
    async fn observe(&self, id: CloudPcId) -> Result<Observed, DriverError>;

    /// Creates a machine with a new disk, powered off, unless it exists.
    async fn ensure_present(&self, spec: &MachineSpec) -> Result<(), DriverError>;

    /// Removes a machine and all its disks.
    async fn ensure_absent(&self, id: CloudPcId) -> Result<(), DriverError>;

    /// Powers a machine on. Returns when the machine runs, which is before its guest responds.
    async fn ensure_running(&self, id: CloudPcId) -> Result<(), DriverError>;

    /// Powers a machine off.
    async fn ensure_stopped(&self, id: CloudPcId, how: StopMode) -> Result<(), DriverError>;

    /// Restarts a machine, once for each tag: the tag is recorded before acting, and the boot count
    /// shows whether the restart happened.
    async fn ensure_restarted(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError>;

    /// Detaches the current disk of a stopped machine and keeps it as an old disk under `tag`. The
    /// machine has no disk afterwards.
    async fn ensure_disk_aside(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError>;

    /// Gives the machine a new disk made from `spec.image`, marked with `tag`.
    async fn ensure_disk_from_image(&self, spec: &MachineSpec, tag: &Tag) -> Result<(), DriverError>;

    /// Gives the machine a copy of a restore point as its disk, marked with `tag`.
    async fn ensure_disk_from_snapshot(
        &self,
        id: CloudPcId,
        snapshot: &SnapshotId,
        tag: &Tag,
    ) -> Result<(), DriverError>;

    /// Undoes an action: deletes the disk marked with `tag`, if any, and reattaches the old disk
    /// kept under `tag`, if any, grown to the machine's size. A current disk with another tag is a
    /// conflict; an old disk with another tag is not.
    async fn ensure_disk_back(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError>;

    /// Deletes the old disk kept under `tag`, whatever else is in progress on the machine. The
    /// deletion cannot be undone.
    async fn ensure_aside_dropped(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError>;

    /// Changes processors, memory and disk of a stopped machine to those of `spec`.
    async fn ensure_size(&self, spec: &MachineSpec) -> Result<(), DriverError>;

    /// Makes a restore point of the current disk.
    async fn ensure_snapshot(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError>;

    /// Deletes a restore point.
    async fn ensure_snapshot_absent(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError>;

    /// Returns the guest of a machine. Reaching the guest may still fail; see
    /// [`Guest::wait_ready`].
    async fn guest(&self, id: CloudPcId) -> Result<Box<dyn Guest>, DriverError>;

    /// Connects to the screen, keyboard and pointer of a running machine. A machine without a
    /// screen rejects the call with [`NO_DISPLAY`].
    async fn display(&self, id: CloudPcId) -> Result<Box<dyn Display>, DriverError>;

    /// Returns the current content of the screen as a PNG. A machine without a screen rejects the
    /// call with [`NO_DISPLAY`].
    async fn screenshot(&self, id: CloudPcId) -> Result<Vec<u8>, DriverError>;

    /// Returns the machines that may have changed without a request, each to be observed with
    /// [`Driver::observe`]: first all machines that may have changed before, then each one as its
    /// change is detected. The stream never ends. Several callers may watch.
    fn watch(&self) -> BoxStream<'static, CloudPcId>;

    /// Lists the machines of this driver.
    async fn list(&self) -> Result<Vec<CloudPcId>, DriverError>;
}

/// A connection to a machine's screen. It speaks RFB (RFC 6143): the machine sends the first
/// message, and requires no password.
pub trait Display: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Display for T {}

/// Rejection code of a machine that has no screen.
pub const NO_DISPLAY: &str = "noDisplay";

/// Rejection code of an image that is not on the host.
pub const IMAGE_NOT_ON_HOST: &str = "imageNotOnHost";

/// Returns the error for a request that can never succeed.
pub(crate) fn rejected(code: &str, message: impl Into<String>) -> DriverError {
    DriverError::Rejected { code: code.into(), message: message.into() }
}

/// An error of a driver. The engine decides by the variant and never parses the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The host is not available now; a retry may succeed.
    #[error("the machine's host is unavailable: {0}")]
    Unavailable(String),
    /// The machine, disk or restore point does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// The machine's current state does not allow the operation.
    #[error("the machine's state does not allow it: {0}")]
    Conflict(String),
    /// The request can never succeed; a retry will not help.
    #[error("refused: {code}: {message}", code = .code, message = .message)]
    Rejected {
        /// Machine-readable code.
        code: String,
        /// Explanation for people.
        message: String,
    },
    /// The operation may or may not have happened; observe the machine.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
}
