//! The promises of a driver, as checks that any driver can be put through.
//!
//! Every verb is called once, twice, twice at the same time, and again after its future was dropped at some await or its process died; afterwards the
//! same must hold. What cannot be done must be refused in the right way and change nothing. The checks look only through [`Driver`] and [`Guest`]; they refuse
//! to know which driver they have.

mod guest;
mod refusals;
mod verbs;

use async_trait::async_trait;
use cloudpc_model::{Power, SnapshotId};
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use url::Url;
use uuid::Uuid;

use crate::{Driver, DriverError, FetchPolicy, FileFormat, Guest, GuestError, MachineSpec, Sha256Digest, Tag};

/// A driver that is put through the checks.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The driver as it is now.
    fn driver(&self) -> Arc<dyn Driver>;

    /// Its process dies, and another takes over the machines.
    async fn restart(&mut self);

    /// A machine that it can run, other than those of other numbers, without a graphics processor and with a disk that may grow.
    fn spec(&self, number: u32) -> MachineSpec;

    /// A program that its guests can fetch and run.
    fn program(&self) -> Program;
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
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which check found it.
    pub check: String,
    /// What it found.
    pub found: String,
}

/// Puts the driver through every check; returns how many there were, and what they found.
pub async fn check(subject: &mut dyn Subject) -> (usize, Vec<Violation>) {
    let mut report = Report { number: 0, violations: Vec::new() };
    verbs::check(subject, &mut report).await;
    refusals::check(subject, &mut report).await;
    guest::check(subject, &mut report).await;
    (report.number as usize, report.violations)
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.found)
    }
}

/// What was not as it should be.
#[derive(Debug)]
struct Wrong(String);

type Checked = Result<(), Wrong>;

impl From<DriverError> for Wrong {
    fn from(error: DriverError) -> Self {
        Self(error.to_string())
    }
}

impl From<GuestError> for Wrong {
    fn from(error: GuestError) -> Self {
        Self(error.to_string())
    }
}

struct Report {
    /// Checks so far; each has a machine of its own.
    number: u32,
    violations: Vec<Violation>,
}

impl Report {
    /// The next check's machine.
    fn bench(&mut self, subject: &dyn Subject) -> Bench {
        self.number += 1;
        Bench::new(subject, self.number)
    }

    fn add(&mut self, check: String, result: Checked) {
        if let Err(Wrong(found)) = result {
            self.violations.push(Violation { check, found });
        }
    }
}

/// One machine under check, and the names that its check uses.
struct Bench {
    driver: Arc<dyn Driver>,
    spec: MachineSpec,
    tag: Tag,
    snapshot: SnapshotId,
}

/// A file that tells disks apart.
const MARK: &str = "C:\\mark.txt";

impl Bench {
    fn new(subject: &dyn Subject, number: u32) -> Self {
        let spec = subject.spec(number);
        let snapshot = SnapshotId::new(spec.id, Uuid::from_u128(number.into()));
        Self { driver: subject.driver(), spec, tag: Tag(format!("action-{number}")), snapshot }
    }

    async fn guest(&self) -> Result<Box<dyn Guest>, DriverError> {
        self.driver.guest(self.spec.id).await
    }

    /// Made, and off.
    async fn present(&self) -> Checked {
        Ok(self.driver.ensure_present(&self.spec).await?)
    }

    /// Running, with a guest that answers.
    async fn ready(&self) -> Checked {
        self.present().await?;
        self.boot().await
    }

    async fn boot(&self) -> Checked {
        self.driver.ensure_running(self.spec.id).await?;
        Ok(self.guest().await?.wait_ready().await?)
    }

    async fn stop(&self) -> Checked {
        Ok(self.driver.ensure_stopped(self.spec.id, crate::StopMode::Graceful).await?)
    }

    /// Marks the disk of a machine that is ready.
    async fn mark(&self, mark: &str) -> Checked {
        Ok(self.guest().await?.write_file(MARK, mark.as_bytes()).await?)
    }

    /// Boots and looks which mark the disk has.
    async fn must_boot_with_mark(&self, mark: Option<&str>) -> Checked {
        self.boot().await?;
        let found = self.guest().await?.read_file(MARK).await?;
        must_be("the mark on the disk", found.as_deref(), mark.map(str::as_bytes))
    }

    async fn must_be(&self, power: Power, boots: u64, disk: Option<&Tag>) -> Checked {
        let observed = self.driver.observe(self.spec.id).await?;
        must_be("power", observed.power, power)?;
        must_be("boots", observed.boots, boots)?;
        must_be("the tag of the disk", observed.disk.as_ref(), disk)
    }
}

fn must_be<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Checked {
    match found == expected {
        true => Ok(()),
        false => Err(Wrong(format!("{what} is {found:?} and should be {expected:?}"))),
    }
}

/// A step of a check.
type Step = fn(&Bench) -> BoxFuture<'_, Checked>;
