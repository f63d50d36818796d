//! Checks of the promises of a driver, for any driver.
//!
//! Every verb is called once, twice, twice concurrently, and again after its future was dropped at
//! an await or its process crashed; the postcondition must be the same. An impossible call must be
//! refused with the right error and change nothing. The checks use only [`Driver`] and [`Guest`]
//! and must not depend on a particular driver.

mod guest;
mod images;
mod incidents;
mod network;
mod refusals;
mod screen;
mod verbs;

use async_trait::async_trait;
use cloudpc_model::{CloudPcId, Power, SnapshotId};
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

use crate::{
    Driver, DriverError, FetchPolicy, FileFormat, Guest, GuestError, Incident, MachineSpec, Sha256Digest, Tag,
};

/// A driver under test.
#[async_trait]
pub trait DriverUnderTest: Send + Sync {
    /// Returns the current driver.
    fn driver(&self) -> Arc<dyn Driver>;

    /// Crashes the driver's process and starts another one for the same machines.
    async fn restart(&mut self);

    /// Injects an incident into a machine whose guest responds.
    async fn inject(&self, id: CloudPcId, incident: Incident);

    /// Returns the spec of a machine that the driver can run, unique to `number`, without a
    /// graphics processor and with a disk that may grow.
    fn spec(&self, number: u32) -> MachineSpec;

    /// Returns a program that the guests can download and run.
    fn program(&self) -> Program;

    /// Returns the source of an image that boots.
    fn image_source(&self) -> String;

    /// Returns the path of a file of this name in the guest.
    fn path(&self, name: &str) -> String {
        format!("C:\\{name}")
    }
}

/// The calls of a verb that precede the final, complete call.
#[derive(Clone, Copy, Debug)]
pub enum CallMode {
    /// No earlier call.
    Once,
    /// One complete earlier call.
    Twice,
    /// Two concurrent earlier calls.
    AtOnce,
    /// One earlier call, dropped in this phase.
    Dropped(CallPhase),
    /// One earlier call, during which the driver's process crashed in this phase.
    Crashed(CallPhase),
}

/// The phase of a call at which it is interrupted.
#[derive(Clone, Copy, Debug)]
pub enum CallPhase {
    /// After this number of awaits.
    Awaits(u32),
    /// After this time, for calls that wait for work done elsewhere.
    Elapsed(Duration),
}

impl CallMode {
    /// Returns every mode, with phases for calls whose work is done in their own awaits.
    pub fn all() -> Vec<Self> {
        let phases = [0, 1, 3, 70, 200].map(CallPhase::Awaits);
        let modes = [Self::Once, Self::Twice, Self::AtOnce].into_iter();
        modes.chain(phases.map(Self::Dropped)).chain(phases.map(Self::Crashed)).collect()
    }
}

/// A program that succeeds in a guest.
pub struct Program {
    /// Download URL.
    pub url: Url,
    /// A policy that allows the download.
    pub policy: FetchPolicy,
    /// Size, bytes.
    pub size_bytes: u64,
    /// SHA-256 digest.
    pub sha256: Sha256Digest,
    /// File format.
    pub format: FileFormat,
    /// Arguments with which the program succeeds.
    pub arguments: Vec<String>,
    /// A command that detects the program only after it has succeeded.
    pub detection: String,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The check that failed.
    pub check: String,
    /// The observed deviation.
    pub found: String,
}

/// The result of a set of checks.
#[derive(Debug)]
pub struct ConformanceReport {
    /// Number of checks; each uses its own machine.
    pub checks: u32,
    /// The broken promises.
    pub violations: Vec<Violation>,
}

/// Runs every check.
pub async fn check(subject: &mut dyn DriverUnderTest) -> ConformanceReport {
    let mut report = ConformanceReport { checks: 0, violations: Vec::new() };
    verbs::check(subject, &CallMode::all(), &mut report).await;
    refusals::check(subject, &mut report).await;
    incidents::check(subject, &mut report).await;
    network::check(subject, &mut report).await;
    guest::check(subject, &mut report).await;
    screen::check(subject, &mut report).await;
    images::check(subject, &CallMode::all(), &mut report).await;
    report
}

/// Checks the postcondition of each verb, each with one of these modes in turn: for drivers on
/// which a check takes seconds.
pub async fn check_verbs_in_turn(subject: &mut dyn DriverUnderTest, modes: &[CallMode]) -> ConformanceReport {
    let mut report = ConformanceReport { checks: 0, violations: Vec::new() };
    verbs::check_in_turn(subject, modes, &mut report).await;
    report
}

/// Runs the checks of refused calls and of the network.
pub async fn check_refusals(subject: &mut dyn DriverUnderTest) -> ConformanceReport {
    let mut report = ConformanceReport { checks: 0, violations: Vec::new() };
    refusals::check(subject, &mut report).await;
    network::check(subject, &mut report).await;
    report
}

/// Runs the checks of injected incidents.
pub async fn check_incidents(subject: &mut dyn DriverUnderTest) -> ConformanceReport {
    let mut report = ConformanceReport { checks: 0, violations: Vec::new() };
    incidents::check(subject, &mut report).await;
    report
}

/// Runs the checks of imported images, with each of these modes.
pub async fn check_images(subject: &mut dyn DriverUnderTest, modes: &[CallMode]) -> ConformanceReport {
    let mut report = ConformanceReport { checks: 0, violations: Vec::new() };
    images::check(subject, modes, &mut report).await;
    report
}

/// Runs the checks of guests and screens.
pub async fn check_guests(subject: &mut dyn DriverUnderTest) -> ConformanceReport {
    let mut report = ConformanceReport { checks: 0, violations: Vec::new() };
    guest::check(subject, &mut report).await;
    screen::check(subject, &mut report).await;
    report
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.found)
    }
}

/// Description of a deviation.
#[derive(Debug)]
struct CheckFailure(String);

type CheckResult = Result<(), CheckFailure>;

impl From<DriverError> for CheckFailure {
    fn from(error: DriverError) -> Self {
        Self(error.to_string())
    }
}

impl From<GuestError> for CheckFailure {
    fn from(error: GuestError) -> Self {
        Self(error.to_string())
    }
}

impl ConformanceReport {
    /// Panics with all broken promises.
    ///
    /// # Panics
    /// A promise was broken.
    pub fn must_be_clean(&self) {
        let found: Vec<_> = self.violations.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{} of {} checks failed:\n{}", found.len(), self.checks, found.join("\n"));
    }

    /// Returns the machine of the next check.
    fn fixture(&mut self, subject: &dyn DriverUnderTest) -> Fixture {
        self.checks += 1;
        Fixture::new(subject, self.checks)
    }

    fn add(&mut self, check: String, result: CheckResult) {
        if let Err(CheckFailure(found)) = result {
            self.violations.push(Violation { check, found });
        }
    }
}

/// The machine of one check, and the names that the check uses.
struct Fixture {
    driver: Arc<dyn Driver>,
    spec: MachineSpec,
    tag: Tag,
    snapshot: SnapshotId,
    /// Path of a file that identifies a disk.
    mark: String,
    /// Path of another file.
    file: String,
    /// Path of a file that does not exist.
    absent: String,
}

impl Fixture {
    fn new(subject: &dyn DriverUnderTest, number: u32) -> Self {
        let spec = subject.spec(number);
        let snapshot = SnapshotId::new(spec.id, Uuid::from_u128(number.into()));
        let tag = Tag(format!("action-{number}"));
        let [mark, file, absent] = ["mark.txt", "file", "absent"].map(|name| subject.path(name));
        Self { driver: subject.driver(), spec, tag, snapshot, mark, file, absent }
    }

    async fn guest(&self) -> Result<Box<dyn Guest>, DriverError> {
        self.driver.guest(self.spec.id).await
    }

    /// Creates the machine, powered off.
    async fn present(&self) -> CheckResult {
        Ok(self.driver.ensure_present(&self.spec).await?)
    }

    /// Creates and boots the machine and waits until its guest responds.
    async fn ready(&self) -> CheckResult {
        self.present().await?;
        self.boot().await
    }

    async fn boot(&self) -> CheckResult {
        self.driver.ensure_running(self.spec.id).await?;
        Ok(self.guest().await?.wait_ready().await?)
    }

    async fn stop(&self) -> CheckResult {
        Ok(self.driver.ensure_stopped(self.spec.id, crate::StopMode::Graceful).await?)
    }

    /// Writes the marker file to the disk of a ready machine.
    async fn mark(&self, mark: &str) -> CheckResult {
        Ok(self.guest().await?.write_file(&self.mark, mark.as_bytes()).await?)
    }

    /// Boots the machine and checks the content of the marker file.
    async fn must_boot_with_mark(&self, mark: Option<&str>) -> CheckResult {
        self.boot().await?;
        let found = self.guest().await?.read_file(&self.mark).await?;
        must_be("the marker on the disk", found.as_deref(), mark.map(str::as_bytes))
    }

    async fn must_be(&self, power: Power, boots: u64, disk: Option<&Tag>) -> CheckResult {
        let observed = self.driver.observe(self.spec.id).await?;
        must_be("power", observed.power, power)?;
        must_be("boots", observed.boots, boots)?;
        must_be("the tag of the disk", observed.disk.as_ref(), disk)
    }
}

fn must_be<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> CheckResult {
    match found == expected {
        true => Ok(()),
        false => Err(CheckFailure(format!("{what} is {found:?}, expected {expected:?}"))),
    }
}

/// A step of a check.
type CheckStep = fn(&Fixture) -> BoxFuture<'_, CheckResult>;
