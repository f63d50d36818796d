//! Simulated machines: disks with files, power, sizes, restore points, and guests with a network
//! and installed agents.
//!
//! Only the machines are simulated: the engine, the steps and the agent pipeline above them are
//! those of a real host. The machines outlive the process, as real ones do: a verb writes its
//! changes to the simulation's own directory before it returns. The writes are not synced to the
//! disk: they survive a crash of the process at any moment, but a power cut may lose the latest
//! changes.

mod clock;
mod disk;
mod driver;
mod guest;
mod images;
mod journal;
mod machine;
mod network;
mod world;

use cloudpc_model::{Clock, CloudPcId, Rng};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

use crate::changes::Changes;
use crate::{DriverError, Fetcher, Incident, MachineSpec};
use machine::Machine;
use world::World;

pub use clock::{HeldClock, SimClock};
pub use disk::IMAGE_GIB;
pub use machine::FULL_DISK_FREE_BYTES;

/// Durations of simulated work. Each value is a mean; a seeded random spread of a quarter in both
/// directions is applied, and work ends at a round time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Powering off, milliseconds.
    pub stop_ms: u64,
    /// Powering on until the guest answers, milliseconds.
    pub boot_ms: u64,
    /// Making a disk from an image or a restore point, milliseconds.
    pub disk_ms: u64,
    /// Any other disk operation, milliseconds.
    pub touch_ms: u64,
    /// Enrolling a guest, milliseconds.
    pub enrol_ms: u64,
    /// Downloading a declared artifact, milliseconds.
    pub fetch_ms: u64,
    /// Running an installer, milliseconds.
    pub install_ms: u64,
}

/// An agent installer that is not downloaded, because the scenario declares the file at its URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Download URL.
    pub url: String,
    /// SHA-256 digest of the content, hex.
    pub sha256: String,
    /// Size, bytes.
    pub size_bytes: u64,
    /// The detected format: `exe`, `msi`, `deb`, `script`, `elf`, or anything else for a file that
    /// is not an installer.
    pub format: String,
    /// Exit code of the installer.
    #[serde(default)]
    pub exit_code: i32,
    /// Exit code of the detection command after the installer has succeeded; before that it is 1.
    #[serde(default)]
    pub detection_exit_code: i32,
    /// Run time of the installer, milliseconds; none: that of the pace.
    #[serde(default)]
    pub install_ms: Option<u64>,
}

/// Scripted failures of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedCondition {
    /// The disk has almost no free space.
    pub disk_full: bool,
    /// The guest has no network.
    pub no_network: bool,
    /// The guest never responds.
    pub guest_hangs: bool,
    /// Installers exit with this code.
    pub install_exit_code: Option<i32>,
    /// Installers never exit.
    pub install_hangs: bool,
}

/// Dependencies of a simulation.
#[derive(Clone)]
pub struct SimParts {
    /// The clock of the simulation.
    pub clock: Arc<dyn Clock>,
    /// Random numbers for the spread of durations.
    pub rng: Arc<dyn Rng>,
    /// Downloads URLs that no scenario declares.
    pub fetcher: Fetcher,
}

/// The driver of simulated machines. Cheap to clone.
///
/// Work that has started continues and takes effect at its end time, even if the caller or the
/// process is gone. A verb that finds work in progress on its machine waits for it, whoever started
/// it, and then checks again; this is how a repeated call joins the first one.
#[derive(Clone)]
pub struct SimDriver {
    inner: Arc<Inner>,
}

struct Inner {
    parts: SimParts,
    /// Never held across an await.
    world: Mutex<World>,
    /// Notified of changes that have no scheduled time, such as a power change or a killed run.
    wakeups: Notify,
    changes: Changes,
}

impl SimDriver {
    /// Opens the simulation stored in `directory`, or creates an empty one; none: in memory only.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn open(directory: Option<&Path>, parts: SimParts) -> std::io::Result<Self> {
        let world = Mutex::new(World::open(directory)?);
        Ok(Self { inner: Arc::new(Inner { parts, world, wakeups: Notify::new(), changes: Changes::new() }) })
    }

    /// Sets the durations of work and the declared artifacts.
    pub fn configure(&self, pace: Pace, artifacts: Vec<Artifact>) {
        self.inner.lock().configure(pace, artifacts);
    }

    /// Adds a machine that is running and enrolled already, without the time it takes to make one.
    /// Has no effect if the machine exists.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn seed(&self, spec: &MachineSpec, scripted_condition: ScriptedCondition) -> Result<(), DriverError> {
        let mut world = self.inner.lock();
        if world.has(spec.id) {
            return Ok(());
        }
        world.put(Machine::settled(spec, scripted_condition, self.inner.parts.clock.now()))
    }

    /// Injects an incident into a machine. Has no effect on a stopped machine.
    ///
    /// # Errors
    /// The machine does not exist, or the journal cannot be written.
    pub fn inject(&self, id: CloudPcId, incident: Incident) -> Result<(), DriverError> {
        let now = self.inner.parts.clock.now();
        {
            let mut world = self.inner.lock();
            world.refresh(id, now)?;
            world.change(id, |machine| machine.apply_incident(incident))?;
        }
        self.inner.wakeups.notify_waiters();
        self.inner.changes.notify(id);
        Ok(())
    }

    /// Returns the scripted condition of a machine, for saving a scenario.
    pub fn scripted_condition(&self, id: CloudPcId) -> Option<ScriptedCondition> {
        self.inner.lock().machine(id).ok().map(|machine| machine.scripted_condition.clone())
    }

    /// Returns the names of the agents installed on a machine.
    pub fn installed_agents(&self, id: CloudPcId) -> Vec<String> {
        let now = self.inner.parts.clock.now();
        let mut world = self.inner.lock();
        let disk = world.refresh(id, now).ok().and_then(|machine| machine.disk.as_ref());
        disk.map(|disk| disk.agents.clone()).unwrap_or_default()
    }

    /// Returns the user principal names of a guest's administrators, and its hostname.
    pub fn accounts(&self, id: CloudPcId) -> (Vec<String>, Option<String>) {
        let now = self.inner.parts.clock.now();
        let mut world = self.inner.lock();
        let disk = world.refresh(id, now).ok().and_then(|machine| machine.disk.clone());
        disk.map(|disk| (disk.administrators.into_iter().collect(), disk.enrolled_as)).unwrap_or_default()
    }

    /// Deletes every machine and every imported image.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn reset(&self) -> std::io::Result<()> {
        self.inner.lock().clear()?;
        self.inner.wakeups.notify_waiters();
        Ok(())
    }
}

impl ScriptedCondition {
    /// Returns whether no failure is scripted.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Pace {
    fn default() -> Self {
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let minutes = |n: u64| ms(Duration::from_secs(60 * n));
        Self {
            stop_ms: ms(Duration::from_secs(20)),
            boot_ms: minutes(1),
            disk_ms: minutes(12),
            touch_ms: ms(Duration::from_secs(2)),
            enrol_ms: minutes(5),
            fetch_ms: ms(Duration::from_secs(30)),
            install_ms: minutes(2),
        }
    }
}

/// Fixtures that the tests of this module share.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::FetchPolicy;
    use cloudpc_model::{ImageId, SeededRng, Sleep, Timestamp};
    use std::sync::LazyLock;

    /// A clock that advances by itself whenever somebody sleeps on it.
    #[derive(Clone)]
    pub struct AutoAdvanceClock(pub SimClock);

    impl Clock for AutoAdvanceClock {
        fn now(&self) -> Timestamp {
            self.0.now()
        }

        fn sleep_until(&self, until: Timestamp) -> Sleep<'_> {
            Box::pin(async move { self.0.advance(until.since(self.now())).await })
        }
    }

    pub struct Sim {
        pub driver: SimDriver,
        pub clock: AutoAdvanceClock,
    }

    impl Sim {
        pub fn new(seed: u64) -> Self {
            Self::open(seed, AutoAdvanceClock(SimClock::paused(Timestamp(1_000_000))), None)
        }

        pub fn open(seed: u64, clock: AutoAdvanceClock, directory: Option<&Path>) -> Self {
            // Loading the certificate authorities is slow.
            static FETCHER: LazyLock<Fetcher> = LazyLock::new(|| Fetcher::new(None).unwrap());
            let rng = Arc::new(SeededRng::new(seed));
            let parts = SimParts { clock: Arc::new(clock.clone()), rng, fetcher: FETCHER.clone() };
            Self { driver: SimDriver::open(directory, parts).unwrap(), clock }
        }
    }

    pub fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    pub fn spec(number: u128) -> MachineSpec {
        MachineSpec {
            id: format!("{number:032x}").parse().unwrap(),
            hostname: format!("CPC-{number}"),
            vcpu_count: 2,
            ram_gib: 8,
            storage_gib: 128,
            gpu: false,
            image: ImageId("a_b_old".into()),
        }
    }

    pub fn agent() -> Artifact {
        Artifact {
            url: "https://agents.contoso.test/agent.msi".into(),
            sha256: "ab".repeat(32),
            size_bytes: 40 << 20,
            format: "msi".into(),
            exit_code: 0,
            detection_exit_code: 0,
            install_ms: None,
        }
    }

    pub fn policy() -> FetchPolicy {
        FetchPolicy { allowed_urls: Vec::new(), size_bytes_max: 1 << 30, time_max: minutes(1) }
    }
}
