//! The images that a simulation has imported: a JSON file that is replaced with each change.
//!
//! Like the journal of machines, the file survives a crash of the process, but a power cut may lose
//! the latest change.

use cloudpc_model::{ImageId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "images.json";

/// An imported image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedImage {
    pub source: String,
    /// When its import ends.
    pub ready_at: Timestamp,
}

/// The imported images.
pub struct ImportedImages {
    /// None: in memory only.
    file: Option<PathBuf>,
    images: BTreeMap<ImageId, ImportedImage>,
}

impl ImportedImages {
    /// Reads the images of a simulation's directory, which exists.
    pub fn open(directory: Option<&Path>) -> io::Result<Self> {
        let file = directory.map(|directory| directory.join(FILE_NAME));
        let images = match file.as_deref().map(fs::read) {
            None => BTreeMap::new(),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Some(text) => serde_json::from_slice(&text?)?,
        };
        Ok(Self { file, images })
    }

    pub fn get(&self, id: &ImageId) -> Option<&ImportedImage> {
        self.images.get(id)
    }

    /// Adds an image. The change is recorded, or not applied at all.
    pub fn put(&mut self, id: &ImageId, image: ImportedImage) -> io::Result<()> {
        let mut images = self.images.clone();
        images.insert(id.clone(), image);
        self.replace(images)
    }

    /// Removes an image, if it exists.
    pub fn remove(&mut self, id: &ImageId) -> io::Result<()> {
        let mut images = self.images.clone();
        images.remove(id);
        self.replace(images)
    }

    pub fn clear(&mut self) -> io::Result<()> {
        self.replace(BTreeMap::new())
    }

    fn replace(&mut self, images: BTreeMap<ImageId, ImportedImage>) -> io::Result<()> {
        if images != self.images
            && let Some(file) = &self.file
        {
            let draft = file.with_extension("json.new");
            fs::write(&draft, serde_json::to_vec(&images)?)?;
            fs::rename(&draft, file)?;
        }
        self.images = images;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_back_and_a_draft_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let open = || ImportedImages::open(Some(directory.path())).unwrap();
        let image = |source: &str| ImportedImage { source: source.into(), ready_at: Timestamp(5) };
        let [a, b] = ["a", "b"].map(|id| ImageId(id.into()));
        let mut images = open();
        images.put(&a, image("one")).unwrap();
        images.put(&b, image("two")).unwrap();
        images.remove(&a).unwrap();
        // An interrupted write.
        fs::write(directory.path().join("images.json.new"), "{\"a").unwrap();
        let mut images = open();
        assert_eq!((images.get(&a), images.get(&b)), (None, Some(&image("two"))));
        images.clear().unwrap();
        assert_eq!(open().get(&b), None);
    }
}
