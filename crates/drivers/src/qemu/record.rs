//! What is written down of a machine and of a disk. The process and the folders say the rest.

use cloudpc_model::ImageId;
use serde::{Deserialize, Serialize};

use super::image::ImageInfo;
use crate::{MachineSpec, Tag};

/// How many restarts are remembered; more than may be repeated.
const RESTARTS_MAX: usize = 16;

/// `machine.json`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineRecord {
    /// What it should be. Its image is that of the last disk made; the present disk knows its own.
    pub spec: MachineSpec,
    /// Starts so far. A process under way may be one ahead of it, if we died just then; its command
    /// line tells.
    pub boots: u64,
    /// Restarts that were begun, the last ones.
    pub restarts: Vec<RestartRecord>,
    /// The last boot that was ended as somebody had asked; none before any was.
    #[serde(default)]
    pub stopped: Option<u64>,
}

/// A restart, written down before it is begun. It has happened when there were so many boots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartRecord {
    pub tag: Tag,
    pub boots: u64,
}

/// `ended.json`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndRecord {
    pub boot: u64,
    pub how: EndReason,
}

/// How a guest has ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndReason {
    ShutDown,
    Panicked,
}

/// `disk.json`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskRecord {
    /// The action that made it; none for the disk that the machine was born with.
    pub tag: Option<Tag>,
    /// What it was made from.
    pub image: ImageId,
    /// How a machine with this disk is started.
    pub about: ImageInfo,
}

impl MachineRecord {
    pub fn new(spec: &MachineSpec) -> Self {
        Self { spec: spec.clone(), boots: 0, restarts: Vec::new(), stopped: None }
    }

    /// The restart of this tag, if it was begun.
    pub fn restart(&self, tag: &Tag) -> Option<&RestartRecord> {
        self.restarts.iter().find(|restart| restart.tag == *tag)
    }

    /// Whether the last restart was begun and has not brought the machine up again.
    pub fn is_restarting(&self) -> bool {
        self.restarts.last().is_some_and(|restart| restart.boots > self.boots)
    }

    /// Writes down that the next boot is the restart of this tag.
    pub fn begin_restart(&mut self, tag: &Tag) {
        self.restarts.push(RestartRecord { tag: tag.clone(), boots: self.boots + 1 });
        let forgotten = self.restarts.len().saturating_sub(RESTARTS_MAX);
        self.restarts.drain(..forgotten);
    }
}
