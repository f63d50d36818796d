//! The promises of a driver, as checks that any driver can be put through.
//!
//! Every verb is called once, twice, twice at the same time, and again after its future was dropped
//! at some await or its process died; afterwards the same must hold. What cannot be done must be
//! refused in the right way and change nothing. The checks look only through [`Driver`] and
//! [`Guest`]; they refuse to know which driver they have.

mod guest;
mod incidents;
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

/// A driver that is put through the checks.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The driver as it is now.
    fn driver(&self) -> Arc<dyn Driver>;

    /// Its process dies, and another takes over the machines.
    async fn restart(&mut self);

    /// Lets something befall a machine whose guest answers.
    async fn inject(&self, id: CloudPcId, incident: Incident);

    /// A machine that it can run, other than those of other numbers, without a graphics processor
    /// and with a disk that may grow.
    fn spec(&self, number: u32) -> MachineSpec;

    /// A program that its guests can fetch and run.
    fn program(&self) -> Program;

    /// Where its guests keep a file of this name.
    fn path(&self, name: &str) -> String {
        format!("C:\\{name}")
    }
}

/// A way to call a verb. Afterwards it is called once more, and must then have had its effect.
#[derive(Clone, Copy, Debug)]
pub enum CallMode {
    /// Not at all before.
    Once,
    /// Once before.
    Twice,
    /// Two times before, at the same time.
    AtOnce,
    /// Once before, dropped at some moment.
    Dropped(CallPhase),
    /// Once before; at some moment the driver's process dies.
    Died(CallPhase),
}

/// A moment of a call.
#[derive(Clone, Copy, Debug)]
pub enum CallPhase {
    /// After so many awaits.
    Awaits(u32),
    /// After so long, for calls that wait for work done elsewhere.
    Elapsed(Duration),
}

impl CallMode {
    /// Every way, at moments for calls whose work is done in their own awaits.
    pub fn all() -> Vec<Self> {
        let moments = [0, 1, 3, 70, 200].map(CallPhase::Awaits);
        let ways = [Self::Once, Self::Twice, Self::AtOnce].into_iter();
        ways.chain(moments.map(Self::Dropped)).chain(moments.map(Self::Died)).collect()
    }
}

/// A program that succeeds, for guests to run.
pub struct Program {
    /// Where it is fetched from.
    pub url: Url,
    /// Lets it be fetched.
    pub policy: FetchPolicy,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// What it is.
    pub format: FileFormat,
    /// Arguments with which it succeeds.
    pub arguments: Vec<String>,
    /// A command that finds it once it has succeeded, and not before.
    pub detection: String,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which check found it.
    pub check: String,
    /// What it found.
    pub found: String,
}

/// What checks came to.
#[derive(Debug)]
pub struct Report {
    /// How many there were; each has a machine of its own.
    pub checks: u32,
    /// What they found.
    pub violations: Vec<Violation>,
}

/// Puts the driver through every check.
pub async fn check(subject: &mut dyn Subject) -> Report {
    let mut report = Report { checks: 0, violations: Vec::new() };
    verbs::check(subject, &CallMode::all(), &mut report).await;
    refusals::check(subject, &mut report).await;
    incidents::check(subject, &mut report).await;
    guest::check(subject, &mut report).await;
    screen::check(subject, &mut report).await;
    report
}

/// Checks what each verb brings about when it is called in one of these ways, taken in turn: for
/// drivers on which each check takes seconds.
pub async fn check_verbs_in_turn(subject: &mut dyn Subject, ways: &[CallMode]) -> Report {
    let mut report = Report { checks: 0, violations: Vec::new() };
    verbs::check_in_turn(subject, ways, &mut report).await;
    report
}

/// Checks what is refused.
pub async fn check_refusals(subject: &mut dyn Subject) -> Report {
    let mut report = Report { checks: 0, violations: Vec::new() };
    refusals::check(subject, &mut report).await;
    report
}

/// Checks what becomes of machines that nobody has asked to change.
pub async fn check_incidents(subject: &mut dyn Subject) -> Report {
    let mut report = Report { checks: 0, violations: Vec::new() };
    incidents::check(subject, &mut report).await;
    report
}

/// Checks the guests and what is seen of them.
pub async fn check_guests(subject: &mut dyn Subject) -> Report {
    let mut report = Report { checks: 0, violations: Vec::new() };
    guest::check(subject, &mut report).await;
    screen::check(subject, &mut report).await;
    report
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.found)
    }
}

/// What was not as it should be.
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

impl Report {
    /// Fails with all that was found.
    ///
    /// # Panics
    /// A promise was not kept.
    pub fn must_be_clean(&self) {
        let found: Vec<_> = self.violations.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{} of {} checks failed:\n{}", found.len(), self.checks, found.join("\n"));
    }

    /// The next check's machine.
    fn bench(&mut self, subject: &dyn Subject) -> Fixture {
        self.checks += 1;
        Fixture::new(subject, self.checks)
    }

    fn add(&mut self, check: String, result: CheckResult) {
        if let Err(CheckFailure(found)) = result {
            self.violations.push(Violation { check, found });
        }
    }
}

/// One machine under check, and the names that its check uses.
struct Fixture {
    driver: Arc<dyn Driver>,
    spec: MachineSpec,
    tag: Tag,
    snapshot: SnapshotId,
    /// A file that tells disks apart.
    mark: String,
    /// Another, and one that nobody writes.
    file: String,
    none: String,
}

impl Fixture {
    fn new(subject: &dyn Subject, number: u32) -> Self {
        let spec = subject.spec(number);
        let snapshot = SnapshotId::new(spec.id, Uuid::from_u128(number.into()));
        let tag = Tag(format!("action-{number}"));
        let [mark, file, none] = ["mark.txt", "file", "none"].map(|name| subject.path(name));
        Self { driver: subject.driver(), spec, tag, snapshot, mark, file, none }
    }

    async fn guest(&self) -> Result<Box<dyn Guest>, DriverError> {
        self.driver.guest(self.spec.id).await
    }

    /// Made, and off.
    async fn present(&self) -> CheckResult {
        Ok(self.driver.ensure_present(&self.spec).await?)
    }

    /// Running, with a guest that answers.
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

    /// Marks the disk of a machine that is ready.
    async fn mark(&self, mark: &str) -> CheckResult {
        Ok(self.guest().await?.write_file(&self.mark, mark.as_bytes()).await?)
    }

    /// Boots and looks which mark the disk has.
    async fn must_boot_with_mark(&self, mark: Option<&str>) -> CheckResult {
        self.boot().await?;
        let found = self.guest().await?.read_file(&self.mark).await?;
        must_be("the mark on the disk", found.as_deref(), mark.map(str::as_bytes))
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
        false => Err(CheckFailure(format!("{what} is {found:?} and should be {expected:?}"))),
    }
}

/// A step of a check.
type CheckStep = fn(&Fixture) -> BoxFuture<'_, CheckResult>;
