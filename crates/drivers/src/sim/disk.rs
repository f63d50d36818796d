//! A simulated disk and all data on it, which a machine loses and regains together with the disk.

use cloudpc_model::ImageId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::{DriverError, FileFormat, MachineSpec, Sha256Digest, Tag, rejected};

/// Size of an image, GiB; a smaller disk cannot be made from one.
pub const IMAGE_GIB: u32 = 32;

/// A disk and its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The tag of the action that made the disk; none for the machine's first disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    pub image: ImageId,
    pub size_gib: u32,
    /// The hostname under which the guest was enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled_as: Option<String>,
    /// User principal names of the users who are administrators of the guest.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub administrators: BTreeSet<String>,
    /// Names of installed agents; the latest is last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    downloads: Vec<Download>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, Content>,
}

/// Content of a small file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content(#[serde(with = "hex")] Vec<u8>);

/// A downloaded file. Only its metadata is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    pub tag: Tag,
    pub url: String,
    pub size_bytes: u64,
    #[serde(with = "hex")]
    pub sha256: Sha256Digest,
    pub format: FileFormat,
    /// The exit code of its run, once that has exited.
    pub exit_code: Option<i32>,
}

impl Disk {
    /// Creates a new disk from an image.
    pub fn from_image(spec: &MachineSpec, tag: Option<Tag>) -> Result<Self, DriverError> {
        if spec.storage_gib < IMAGE_GIB {
            return Err(rejected(
                "imageDiskSizeOverMatch",
                format!("image {} needs {IMAGE_GIB} GiB; the disk has {}", spec.image, spec.storage_gib),
            ));
        }
        Ok(Self::blank(spec, tag))
    }

    /// Creates a new disk of any size.
    pub fn blank(spec: &MachineSpec, tag: Option<Tag>) -> Self {
        Self {
            tag,
            image: spec.image.clone(),
            size_gib: spec.storage_gib,
            enrolled_as: None,
            administrators: BTreeSet::new(),
            agents: Vec::new(),
            downloads: Vec::new(),
            files: BTreeMap::new(),
        }
    }

    pub fn used_bytes(&self) -> u64 {
        let downloads: u64 = self.downloads.iter().map(|download| download.size_bytes).sum();
        let files: usize = self.files.values().map(|content| content.0.len()).sum();
        (u64::from(IMAGE_GIB) << 30) + downloads + files as u64
    }

    pub fn download(&self, tag: &Tag) -> Option<&Download> {
        self.downloads.iter().find(|download| download.tag == *tag)
    }

    pub fn put_download(&mut self, download: Download) {
        self.drop_download(&download.tag);
        self.downloads.push(download);
    }

    pub fn drop_download(&mut self, tag: &Tag) {
        self.downloads.retain(|download| download.tag != *tag);
    }

    /// Records the exit code of the run of `tag`; a program that succeeded counts as an installed
    /// agent.
    pub fn record_exit(&mut self, tag: &Tag, exit_code: i32) {
        let Some(download) = self.downloads.iter_mut().find(|download| download.tag == *tag) else { return };
        download.exit_code = Some(exit_code);
        let agent = agent_name(&download.url);
        if exit_code == 0 {
            self.agents.retain(|installed| installed != agent);
            self.agents.push(agent.to_owned());
        }
    }

    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|content| content.0.as_slice())
    }

    pub fn put_file(&mut self, path: &str, content: &[u8]) {
        self.files.insert(path.to_owned(), Content(content.to_owned()));
    }
}

/// Returns the file name in a URL, which identifies an installed agent.
pub fn agent_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}
