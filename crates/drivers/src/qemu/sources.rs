//! The sources of imported images: files in a folder of the host, and URLs.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use url::Url;

use super::image::{DiskFile, DiskHeader};
use super::layout::names;
use super::machine::{blocking, host_error};
use crate::image_source::{ImageSource, is_resource_name, managed_image_id};
use crate::{
    DriverError, FetchPolicy, Fetcher, GuestError, IMAGE_DISK_GIB_MAX, SOURCE_IMAGE_INVALID, SOURCE_IMAGE_NOT_FOUND,
    SOURCE_IMAGE_TOO_LARGE, SourceImage, rejected,
};

/// Timeout of looking at a URL.
const LOOK_TIME_MAX: Duration = Duration::from_secs(60);

/// Timeout of downloading a disk.
const DOWNLOAD_TIME_MAX: Duration = Duration::from_hours(2);

/// Where images may be imported from.
#[derive(Clone, Debug, Default)]
pub struct SourceSettings {
    /// The folder of disks that images can be made from; none: no files.
    pub folder: Option<PathBuf>,
    /// URL prefixes that disks may be downloaded from; see [`FetchPolicy::allowed_urls`].
    pub allowed_urls: Vec<String>,
}

/// A downloaded file on the host; removed when dropped.
pub struct DownloadedDisk(PathBuf);

impl Drop for DownloadedDisk {
    fn drop(&mut self) {
        // A file that cannot be removed now is overwritten or removed by the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl SourceSettings {
    /// Lists the disks in the folder.
    pub fn list(&self) -> Result<Vec<SourceImage>, DriverError> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let mut names = names(folder).map_err(host_error)?;
        names.retain(|name| is_resource_name(name) && self.file(name).is_ok());
        names.sort();
        let describe = |name: String| {
            let source = managed_image_id(&name);
            ImageSource::Managed { name }.describe(&source)
        };
        Ok(names.into_iter().map(describe).collect())
    }

    /// Opens the disk of this name in the folder. Only a regular file that is directly in the
    /// folder is one: a symbolic link may lead out of it.
    pub fn file(&self, name: &str) -> Result<DiskFile, DriverError> {
        let not_found = || {
            rejected(
                SOURCE_IMAGE_NOT_FOUND,
                format!("there is no file '{name}' in the folder of source images (qemu.source_images)"),
            )
        };
        let folder = self.folder.as_deref().filter(|_| is_resource_name(name)).ok_or_else(not_found)?;
        let path = std::path::absolute(folder.join(name)).map_err(host_error)?;
        let file = open_regular(&path).map_err(host_error)?.ok_or_else(not_found)?;
        let disk = DiskFile::open(&path, &file).map_err(source_error)?;
        require_size(&disk.header)?;
        Ok(disk)
    }

    /// Looks at the start of the file at a URL; returns its size, bytes.
    pub async fn look(&self, url: &Url, fetcher: &Fetcher) -> Result<u64, DriverError> {
        let start = fetcher.start(url, &self.policy(u64::MAX, LOOK_TIME_MAX)).await.map_err(download_error)?;
        let Some(size_bytes) = start.size_bytes else {
            let message = "the server does not say how large the file is; serve it with a Content-Length".to_owned();
            return Err(rejected(SOURCE_IMAGE_INVALID, message));
        };
        require_size(&DiskHeader::parse(&start.head, size_bytes).map_err(source_error)?)?;
        if size_bytes > disk_bytes_max() {
            return Err(too_large(size_bytes));
        }
        Ok(size_bytes)
    }

    /// Downloads a disk of this size, at most, to a path.
    pub async fn download(
        &self,
        url: &Url,
        size_bytes: u64,
        fetcher: &Fetcher,
        path: PathBuf,
    ) -> Result<(DiskFile, DownloadedDisk), DriverError> {
        let mut file = tokio::fs::File::create(&path).await.map_err(host_error)?;
        let downloaded = DownloadedDisk(path.clone());
        let policy = self.policy(size_bytes, DOWNLOAD_TIME_MAX);
        fetcher.fetch_into(url, &policy, &mut file).await.map_err(download_error)?;
        file.shutdown().await.map_err(host_error)?;
        let disk = blocking(move || Ok(File::open(&path).and_then(|file| DiskFile::open(&path, &file)))).await?;
        let disk = disk.map_err(source_error)?;
        require_size(&disk.header)?;
        Ok((disk, downloaded))
    }

    fn policy(&self, size_bytes_max: u64, time_max: Duration) -> FetchPolicy {
        FetchPolicy { allowed_urls: self.allowed_urls.clone(), size_bytes_max, time_max }
    }
}

/// Opens a regular file, without following a symbolic link; none if there is none.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    // A pipe would block without `NONBLOCK`.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
        opened => File::from(opened?),
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

fn disk_bytes_max() -> u64 {
    u64::from(IMAGE_DISK_GIB_MAX) << 30
}

fn require_size(header: &DiskHeader) -> Result<(), DriverError> {
    if header.size_bytes > disk_bytes_max() { Err(too_large(header.size_bytes)) } else { Ok(()) }
}

fn too_large(size_bytes: u64) -> DriverError {
    rejected(
        SOURCE_IMAGE_TOO_LARGE,
        format!("the disk has {size_bytes} bytes; an image has at most {IMAGE_DISK_GIB_MAX} GiB"),
    )
}

/// Converts an error of reading a disk.
pub fn source_error(error: io::Error) -> DriverError {
    match error.kind() {
        io::ErrorKind::InvalidData => rejected(SOURCE_IMAGE_INVALID, error.to_string()),
        _ => host_error(error),
    }
}

fn download_error(error: GuestError) -> DriverError {
    match error {
        GuestError::FileNotFound(message) | GuestError::Unreachable(message) => {
            rejected(SOURCE_IMAGE_NOT_FOUND, message)
        }
        GuestError::Driver(error) => error,
        other => DriverError::Unavailable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the start of a qcow2 file of this many bytes.
    fn qcow2(size_bytes: u64) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        header[24..32].copy_from_slice(&size_bytes.to_be_bytes());
        header
    }

    fn code<T: std::fmt::Debug>(result: Result<T, DriverError>) -> String {
        match result {
            Err(DriverError::Rejected { code, .. }) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_regular_files_in_the_folder_are_sources_and_no_others() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sources");
        std::fs::create_dir_all(folder.join("inside")).unwrap();
        let disks = ["sources/b.qcow2", "sources/a.qcow2", "sources/.hidden", "sources/inside/c", "outside"];
        for disk in disks {
            std::fs::write(root.path().join(disk), qcow2(1 << 20)).unwrap();
        }
        std::fs::write(folder.join("text"), "a text").unwrap();
        std::os::unix::fs::symlink(root.path().join("outside"), folder.join("link")).unwrap();
        let settings = SourceSettings { folder: Some(folder), allowed_urls: Vec::new() };
        let listed: Vec<_> = settings.list().unwrap().into_iter().map(|source| source.display_name).collect();
        assert_eq!(listed, ["a.qcow2", "b.qcow2"]);
        for name in ["", "..", ".hidden", "inside", "inside/c", "../outside", "link", "missing"] {
            assert_eq!(code(settings.file(name)), SOURCE_IMAGE_NOT_FOUND, "{name}");
        }
        assert_eq!(code(settings.file("text")), SOURCE_IMAGE_INVALID);
        let none = SourceSettings::default();
        assert_eq!((none.list().unwrap(), code(none.file("a.qcow2"))), (Vec::new(), SOURCE_IMAGE_NOT_FOUND.into()));
    }

    #[test]
    fn a_disk_is_accepted_at_the_size_limit() {
        let root = tempfile::tempdir().unwrap();
        let settings = SourceSettings { folder: Some(root.path().to_owned()), allowed_urls: Vec::new() };
        for (name, size_bytes) in [("largest", disk_bytes_max()), ("large", disk_bytes_max() + 1)] {
            std::fs::write(root.path().join(name), qcow2(size_bytes)).unwrap();
        }
        assert_eq!(settings.file("largest").unwrap().header.size_bytes, disk_bytes_max());
        assert_eq!(code(settings.file("large")), SOURCE_IMAGE_TOO_LARGE);
    }
}
