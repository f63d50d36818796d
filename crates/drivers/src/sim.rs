//! Simulated machines: disks with files on them, power, sizes, restore points, guests with a
//! network and installed agents.
//!
//! Only the last inch is simulated: the engine, the steps and the agent pipeline above are those of
//! a real host. The machines outlive the process, as real ones do: what a verb has changed is
//! written to the simulation's own directory before the verb returns. It is handed to the operating
//! system and not forced to the disk, so it survives the death of the process at any moment, but a
//! power cut may take the latest changes back.

mod clock;
mod disk;
mod driver;
mod guest;
mod journal;
mod machine;
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

pub use clock::{QUIET_TIME, QUIET_YIELDS, SimClock};
pub use disk::IMAGE_GIB;
pub use machine::FULL_DISK_FREE_BYTES;

/// How long simulated work takes. Each figure is a mean; a seeded spread of a quarter either way is
/// laid over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Powering off, milliseconds.
    pub stop_ms: u64,
    /// Powering on until the guest answers, milliseconds.
    pub boot_ms: u64,
    /// Making a disk from an image or a restore point, milliseconds.
    pub disk_ms: u64,
    /// Everything else that touches a disk, milliseconds.
    pub touch_ms: u64,
    /// Enrolment, milliseconds.
    pub enrol_ms: u64,
    /// Download of a declared artifact, milliseconds.
    pub fetch_ms: u64,
    /// Run of an installer, milliseconds.
    pub install_ms: u64,
}

/// An agent installer that need not be downloaded, because the scenario says what is at its
/// address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its address.
    pub url: String,
    /// SHA-256 of the content that is there, hex.
    pub sha256: String,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// What its first bytes say: `exe`, `msi`, or anything else for a file that is no installer.
    pub format: String,
    /// Exit code of the installer.
    #[serde(default)]
    pub exit_code: i32,
    /// Exit code of the detection command once the installer has succeeded; before that it is 1.
    #[serde(default)]
    pub detection_exit_code: i32,
    /// How long the installer runs, milliseconds; none: the pace's.
    #[serde(default)]
    pub install_ms: Option<u64>,
}

/// What ails one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedCondition {
    /// Nearly no free disk.
    pub disk_full: bool,
    /// The guest reaches no host.
    pub no_network: bool,
    /// The guest never answers.
    pub guest_hangs: bool,
    /// Installers exit with this code.
    pub install_exit_code: Option<i32>,
    /// Installers never end.
    pub install_hangs: bool,
}

/// What a simulation is made of.
#[derive(Clone)]
pub struct SimParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance: spreads of durations.
    pub rng: Arc<dyn Rng>,
    /// Downloads what no scenario declares.
    pub fetcher: Fetcher,
}

/// The driver of simulated machines. Cheap to clone.
///
/// Work that was begun goes on by itself and takes effect at its time, even if the caller is gone
/// or this process is. A verb that finds work under way on its machine waits for its end, whoever
/// began it, and looks again; that is how a repeated call joins in.
#[derive(Clone)]
pub struct SimDriver {
    inner: Arc<Inner>,
}

struct Inner {
    parts: SimParts,
    /// Never held over an await.
    world: Mutex<World>,
    /// Told of what has no time at which it will happen: power coming and going, a run killed.
    stirred: Notify,
    changes: Changes,
}

impl SimDriver {
    /// Opens the simulation kept in `directory`, or makes an empty one; none: in memory only.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn open(directory: Option<&Path>, parts: SimParts) -> std::io::Result<Self> {
        let world = Mutex::new(World::open(directory)?);
        Ok(Self { inner: Arc::new(Inner { parts, world, stirred: Notify::new(), changes: Changes::new() }) })
    }

    /// Sets how long work takes and which artifacts are declared.
    pub fn configure(&self, pace: Pace, artifacts: Vec<Artifact>) {
        self.inner.lock().configure(pace, artifacts);
    }

    /// Adds a machine that has been running for long, without the time that making one takes;
    /// present already is fine.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn seed(&self, spec: &MachineSpec, scripted_condition: ScriptedCondition) -> Result<(), DriverError> {
        let mut world = self.inner.lock();
        if world.has(spec.id) {
            return Ok(());
        }
        world.put(Machine::settled(spec, scripted_condition, self.inner.parts.clock.now()))
    }

    /// Lets something befall a machine. It has no effect on one that is off.
    ///
    /// # Errors
    /// There is no such machine, or it cannot be written down.
    pub fn inject(&self, id: CloudPcId, incident: Incident) -> Result<(), DriverError> {
        let now = self.inner.parts.clock.now();
        {
            let mut world = self.inner.lock();
            world.look(id, now)?;
            world.change(id, |machine| machine.apply_incident(incident))?;
        }
        self.inner.stirred.notify_waiters();
        self.inner.changes.tell(id);
        Ok(())
    }

    /// The ailment of a machine, for saving a scenario.
    pub fn scripted_condition(&self, id: CloudPcId) -> Option<ScriptedCondition> {
        self.inner.lock().machine(id).ok().map(|machine| machine.scripted_condition.clone())
    }

    /// Names of agents installed on a machine.
    pub fn installed_agents(&self, id: CloudPcId) -> Vec<String> {
        let now = self.inner.parts.clock.now();
        let mut world = self.inner.lock();
        let disk = world.look(id, now).ok().and_then(|machine| machine.disk.as_ref());
        disk.map(|disk| disk.agents.clone()).unwrap_or_default()
    }

    /// Drops every machine.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn reset(&self) -> std::io::Result<()> {
        self.inner.lock().clear()?;
        self.inner.stirred.notify_waiters();
        Ok(())
    }
}

impl ScriptedCondition {
    /// Whether nothing ails the machine.
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

/// What the tests of this module share.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::FetchPolicy;
    use cloudpc_model::{ImageId, SeededRng, Sleep, Timestamp};
    use std::sync::LazyLock;

    /// A clock that lets nobody wait: whoever sleeps finds that it is time.
    #[derive(Clone)]
    pub struct HastyClock(pub SimClock);

    impl Clock for HastyClock {
        fn now(&self) -> Timestamp {
            self.0.now()
        }

        fn sleep_until(&self, until: Timestamp) -> Sleep<'_> {
            Box::pin(async move { self.0.advance(until.since(self.now())).await })
        }
    }

    pub struct Sim {
        pub driver: SimDriver,
        pub clock: HastyClock,
    }

    impl Sim {
        pub fn new(seed: u64) -> Self {
            Self::open(seed, HastyClock(SimClock::paused(Timestamp(1_000_000))), None)
        }

        pub fn open(seed: u64, hasty: HastyClock, directory: Option<&Path>) -> Self {
            // Reading the authorities takes long.
            static FETCHER: LazyLock<Fetcher> = LazyLock::new(|| Fetcher::new(None).unwrap());
            let (clock, rng) = (Arc::new(hasty.clone()), Arc::new(SeededRng::new(seed)));
            let parts = SimParts { clock, rng, fetcher: FETCHER.clone() };
            Self { driver: SimDriver::open(directory, parts).unwrap(), clock: hasty }
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
