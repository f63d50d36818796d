//! The stored records of a machine and of a disk. Everything else follows from the process and the
//! folders.

use cloudpc_model::ImageId;
use serde::{Deserialize, Serialize};

use super::image::ImageInfo;
use crate::{MachineSpec, Tag};

/// Number of restarts remembered; more than can be repeated.
const RESTARTS_MAX: usize = 16;

/// `machine.json`: the record of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineRecord {
    /// The desired configuration. Its image is that of the last disk made; the current disk records
    /// its own.
    pub spec: MachineSpec,
    /// Number of starts. A running process may be one ahead if the service crashed just then; its
    /// command line shows its boot.
    pub boots: u64,
    /// The latest restarts.
    pub restarts: Vec<RestartRecord>,
    /// The last boot that was stopped on request; none if no boot was.
    #[serde(default)]
    pub stopped: Option<u64>,
}

/// A restart, recorded before it starts. It is complete when the boot count has reached `boots`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartRecord {
    pub tag: Tag,
    pub boots: u64,
}

/// `ended.json`: why a guest ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndRecord {
    pub boot: u64,
    pub how: EndReason,
}

/// How a guest ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndReason {
    ShutDown,
    Panicked,
}

/// `disk.json`: the record of a disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskRecord {
    /// The action that made the disk; none for the machine's first disk.
    pub tag: Option<Tag>,
    /// The image that the disk was made from.
    pub image: ImageId,
    /// How a machine with this disk is started.
    #[serde(rename = "about")]
    pub info: ImageInfo,
}

impl MachineRecord {
    pub fn new(spec: &MachineSpec) -> Self {
        Self { spec: spec.clone(), boots: 0, restarts: Vec::new(), stopped: None }
    }

    /// Returns the restart of this tag, if it was started.
    pub fn restart(&self, tag: &Tag) -> Option<&RestartRecord> {
        self.restarts.iter().find(|restart| restart.tag == *tag)
    }

    /// Returns whether the last restart was started and has not booted the machine yet.
    pub fn is_restarting(&self) -> bool {
        self.restarts.last().is_some_and(|restart| restart.boots > self.boots)
    }

    /// Records that the next boot is the restart of this tag.
    pub fn begin_restart(&mut self, tag: &Tag) {
        self.restarts.push(RestartRecord { tag: tag.clone(), boots: self.boots + 1 });
        let forgotten = self.restarts.len().saturating_sub(RESTARTS_MAX);
        self.restarts.drain(..forgotten);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_older_versions_are_readable() {
        let disk = r#"{ "tag": "action-1", "image": "a_b_c", "about": { "os": "linux", "display": true } }"#;
        let disk: DiskRecord = serde_json::from_str(disk).unwrap();
        assert!(disk.info.display);
        assert!(serde_json::to_string(&disk).unwrap().contains(r#""about":"#));
        let end: EndRecord = serde_json::from_str(r#"{ "boot": 3, "how": "shutDown" }"#).unwrap();
        assert_eq!(end, EndRecord { boot: 3, how: EndReason::ShutDown });
    }
}
