//! Files on the host on their way into guests.

use cloudpc_model::CloudPcId;
use std::path::PathBuf;

use crate::file_name::file_name;
use crate::host::{host_error, require_free_bytes};
use crate::{DriverError, Tag};

/// The folder of files on their way into guests.
pub struct Staging {
    pub folder: PathBuf,
    /// Space on its file system that must be free, bytes.
    pub free_bytes_min: u64,
}

/// A temporary file for a download; removed when dropped.
pub struct Download {
    pub file: tokio::fs::File,
    path: PathBuf,
}

impl Staging {
    /// Creates the file of a download.
    pub async fn create(&self, id: CloudPcId, tag: &Tag) -> Result<Download, DriverError> {
        require_free_bytes(&self.folder, self.free_bytes_min)?;
        let path = self.folder.join(format!("{id}-{}", file_name(&tag.0)));
        let mut options = tokio::fs::OpenOptions::new();
        let options = options.create(true).truncate(true).read(true).write(true);
        let file = options.open(&path).await.map_err(host_error)?;
        Ok(Download { file, path })
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // A file that cannot be removed now is overwritten or removed by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}
