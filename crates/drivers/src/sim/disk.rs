//! A simulated disk and everything on it: what a machine loses with it and gets back with it.

use cloudpc_model::ImageId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::machine::rejected;
use crate::{DriverError, FileFormat, MachineSpec, Sha256Digest, Tag};

/// What an image takes of a disk, GiB; a disk smaller than this cannot be made from one.
pub const IMAGE_GIB: u32 = 32;

/// A disk and everything on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The action that made it; none: the machine was born with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    pub image: ImageId,
    pub size_gib: u32,
    /// The name under which it was enrolled, once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled_as: Option<String>,
    /// Names of installed agents, the last one at the end.
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

/// A file that was fetched. Its content was looked at and is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    pub tag: Tag,
    pub url: String,
    pub size_bytes: u64,
    #[serde(with = "hex")]
    pub sha256: Sha256Digest,
    pub format: FileFormat,
    /// How its run ended, once it has.
    pub exit_code: Option<i32>,
}

impl Disk {
    /// A fresh disk.
    pub fn from_image(spec: &MachineSpec, tag: Option<Tag>) -> Result<Self, DriverError> {
        if spec.storage_gib < IMAGE_GIB {
            return Err(rejected(
                "imageDiskSizeOverMatch",
                format!("image {} needs {IMAGE_GIB} GiB; the disk has {}", spec.image, spec.storage_gib),
            ));
        }
        Ok(Self::blank(spec, tag))
    }

    /// A fresh disk of any size.
    pub fn blank(spec: &MachineSpec, tag: Option<Tag>) -> Self {
        Self {
            tag,
            image: spec.image.clone(),
            size_gib: spec.storage_gib,
            enrolled_as: None,
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

    /// Records how the run of `tag` ended; a program that succeeded is an agent that is installed.
    pub fn end_run(&mut self, tag: &Tag, exit_code: i32) {
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

/// The file name at the end of an address, by which an installed agent is known.
pub fn agent_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}
