//! All machines of a simulation, kept in sync with their journal, and their shared settings.

use cloudpc_model::{CloudPcId, Timestamp};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use url::Url;

use super::disk::agent_name;
use super::images::ImportedImages;
use super::journal::{Journal, Machines, StoredMachine};
use super::machine::{Machine, WorkKind};
use super::{Artifact, Inner, Pace};
use crate::DriverError;

pub struct World {
    machines: Machines,
    /// None: in memory only.
    journal: Option<Journal>,
    pub images: ImportedImages,
    pub pace: Pace,
    /// By URL.
    artifacts: HashMap<String, Arc<Artifact>>,
}

impl World {
    pub fn open(directory: Option<&Path>) -> io::Result<Self> {
        let (journal, machines) = directory.map(Journal::open).transpose()?.unzip();
        let machines = machines.unwrap_or_default();
        let images = ImportedImages::open(directory)?;
        Ok(Self { machines, journal, images, pace: Pace::default(), artifacts: HashMap::new() })
    }

    pub fn configure(&mut self, pace: Pace, artifacts: Vec<Artifact>) {
        self.pace = pace;
        // URLs are compared in parsed form, so that their spelling does not matter.
        let address =
            |artifact: &Artifact| Url::parse(&artifact.url).map_or_else(|_| artifact.url.clone(), String::from);
        self.artifacts = artifacts.into_iter().map(|artifact| (address(&artifact), Arc::new(artifact))).collect();
    }

    /// Returns the artifact declared at a URL.
    pub fn artifact(&self, url: &str) -> Option<Arc<Artifact>> {
        self.artifacts.get(url).cloned()
    }

    /// Returns the artifact that installs an agent of this name.
    pub fn artifact_of(&self, agent: &str) -> Option<Arc<Artifact>> {
        self.artifacts.iter().find(|(url, _)| agent_name(url) == agent).map(|(_, artifact)| Arc::clone(artifact))
    }

    /// Returns whether an artifact is declared on the host of this URL.
    pub fn declares_host(&self, url: &Url) -> bool {
        let host =
            |address: &String| Url::parse(address).ok().and_then(|address| address.host_str().map(str::to_owned));
        self.artifacts.keys().filter_map(host).any(|host| url.host_str() == Some(&host))
    }

    /// Returns the machine as last recorded.
    pub fn machine(&mut self, id: CloudPcId) -> Result<&Machine, DriverError> {
        let stored = self.machines.get_mut(&id).ok_or_else(|| no_machine(id))?;
        stored.machine().map(|machine| &*machine).map_err(unreadable)
    }

    pub fn has(&self, id: CloudPcId) -> bool {
        self.machines.contains_key(&id)
    }

    pub fn ids(&self) -> Vec<CloudPcId> {
        let mut ids: Vec<_> = self.machines.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Returns the machines that are powered off.
    pub fn off(&self) -> Vec<CloudPcId> {
        let mut ids: Vec<_> = self.machines.iter().filter(|(_, stored)| stored.is_off()).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Applies and records what is due on a machine, and returns it.
    pub fn refresh(&mut self, id: CloudPcId, now: Timestamp) -> Result<&Machine, DriverError> {
        let machine = self.machine(id)?;
        if machine.due_at().is_some_and(|at| at <= now) {
            let mut machine = machine.clone();
            machine.catch_up(now);
            self.put(machine)?;
        }
        self.machine(id)
    }

    /// Changes an existing machine. The change is recorded, or not applied at all.
    pub fn change<T>(&mut self, id: CloudPcId, change: impl FnOnce(&mut Machine) -> T) -> Result<T, DriverError> {
        let before = self.machine(id)?;
        let mut machine = before.clone();
        let result = change(&mut machine);
        if machine != *before {
            self.put(machine)?;
        }
        Ok(result)
    }

    /// Adds or replaces a machine.
    pub fn put(&mut self, machine: Machine) -> Result<(), DriverError> {
        if let Some(journal) = &mut self.journal {
            journal.put(&machine).map_err(unwritable)?;
        }
        self.machines.insert(machine.spec.id, StoredMachine::Machine(Box::new(machine)));
        self.compact();
        Ok(())
    }

    /// Deletes a machine.
    pub fn remove(&mut self, id: CloudPcId) -> Result<(), DriverError> {
        if let Some(journal) = &mut self.journal {
            journal.remove(id).map_err(unwritable)?;
        }
        self.machines.remove(&id);
        self.compact();
        Ok(())
    }

    /// Deletes every machine and every imported image.
    pub fn clear(&mut self) -> io::Result<()> {
        self.images.clear()?;
        self.journal.as_mut().map_or(Ok(()), Journal::clear)?;
        self.machines.clear();
        Ok(())
    }

    fn compact(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        // An uncompacted journal is correct too, so a failure does not concern the caller.
        if let Err(error) = journal.compact_if_due(&self.machines) {
            tracing::warn!(%error, "compacting the simulation's journal failed");
        }
    }
}

impl Inner {
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws a duration around `mean_ms`, a quarter more or less, of work that begins at `now`. The
    /// work ends at a round time: machines that began at about the same time often end together, so
    /// that a clock that is advanced over a large fleet stops less often.
    pub fn spread(&self, now: Timestamp, mean_ms: u64) -> Duration {
        let mean = mean_ms.saturating_mul(1_000);
        let grain = grain(mean);
        let drawn = mean - mean / 4 + self.parts.rng.below((mean / 2 + 2).saturating_sub(grain));
        let end = (now + Duration::from_micros(drawn)).0;
        let past_round = end.rem_euclid(grain.cast_signed()).cast_unsigned();
        Duration::from_micros(drawn + (grain - past_round) % grain)
    }
}

impl Pace {
    pub(super) fn mean_ms(&self, kind: WorkKind) -> u64 {
        match kind {
            WorkKind::Instant => 0,
            WorkKind::Stop => self.stop_ms,
            WorkKind::Disk => self.disk_ms,
            WorkKind::Touch => self.touch_ms,
        }
    }
}

/// Returns the multiple at which work of this mean duration ends, in microseconds: the largest
/// power of ten that is at most a twentieth of the mean, so that round times of long work are round
/// for short work too.
fn grain(mean: u64) -> u64 {
    10_u64.pow((mean / 20).checked_ilog10().unwrap_or(0))
}

fn no_machine(id: CloudPcId) -> DriverError {
    DriverError::NotFound(format!("machine {id}"))
}

fn unreadable(error: io::Error) -> DriverError {
    DriverError::Unavailable(format!("the simulation's journal cannot be read: {error}"))
}

pub fn unwritable(error: io::Error) -> DriverError {
    DriverError::Unavailable(format!("the simulation's journal cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sim;
    use super::*;

    #[test]
    fn work_takes_its_mean_within_a_quarter_and_ends_at_a_round_time() {
        let sim = Sim::new(1);
        for (mean_ms, round) in [(0, 1), (1, 10), (20, 1_000), (2_000, 100_000), (720_000, 10_000_000)] {
            let mut ends = std::collections::BTreeSet::new();
            for begun in 0..1_000 {
                let now = Timestamp(1_000_003 + begun);
                let took = sim.driver.inner.spread(now, mean_ms);
                let mean = Duration::from_millis(mean_ms);
                assert!(took >= mean * 3 / 4 && took <= mean * 5 / 4, "{mean_ms} ms: {took:?}");
                assert_eq!((now + took).0.rem_euclid(round), 0, "{mean_ms} ms: {took:?}");
                ends.insert(now + took);
            }
            assert!(mean_ms <= 20 || ends.len() <= 51, "{mean_ms} ms: {} ends", ends.len());
        }
    }
}
