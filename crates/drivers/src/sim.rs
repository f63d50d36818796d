//! Simulated machines: disks with files on them, power, sizes, restore points, guests with a network and installed agents.
//!
//! Only the last inch is simulated: the engine, the steps and the agent pipeline above are those of a real host. The machines outlive the
//! process, as real ones do: what a verb has changed is written to the simulation's own directory before the verb returns.

mod clock;

use cloudpc_model::{Clock, CloudPcId, Rng};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::{DriverError, Fetcher, MachineSpec};

pub use clock::SimClock;

/// How long simulated work takes. Each figure is a mean; a seeded spread of a quarter either way is laid over it.
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

/// An agent installer that need not be downloaded, because the scenario says what is at its address.
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
    /// How long the installer runs, milliseconds; none: the pace's.
    #[serde(default)]
    pub install_ms: Option<u64>,
}

/// What ails one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ailment {
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
#[derive(Clone)]
pub struct SimDriver {}

impl SimDriver {
    /// Opens the simulation kept in `directory`, or makes an empty one; none: in memory only.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn open(_directory: Option<&Path>, _parts: SimParts) -> std::io::Result<Self> {
        unimplemented!()
    }

    /// Sets how long work takes and which artifacts are declared.
    pub fn configure(&self, _pace: Pace, _artifacts: Vec<Artifact>) {
        unimplemented!()
    }

    /// Adds a machine that has been running for long, without the time that making one takes; present already is fine.
    pub fn seed(&self, _spec: &MachineSpec, _ailment: Ailment) -> Result<(), DriverError> {
        unimplemented!()
    }

    /// The ailment of a machine, for saving a scenario.
    pub fn ailment(&self, _id: CloudPcId) -> Option<Ailment> {
        unimplemented!()
    }

    /// Names of agents installed on a machine.
    pub fn installed_agents(&self, _id: CloudPcId) -> Vec<String> {
        unimplemented!()
    }

    /// Drops every machine.
    pub fn reset(&self) -> std::io::Result<()> {
        unimplemented!()
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
