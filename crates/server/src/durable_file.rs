//! Atomic replacement of files: after a crash or a power failure, a file has its old or its new
//! content, never a part of either.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner only (mode 0600), for secrets.
    Owner,
    /// Everyone (mode 0644).
    Everyone,
}

/// Writes a file atomically and durably.
///
/// # Errors
/// The file cannot be written; its old content is kept.
pub(crate) fn write(path: &Path, readers: Readers, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Everyone => 0o644,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
    // The process's umask may have removed read permission for others.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // The rename is durable only once the directory is synced.
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_replaces_the_file_and_sets_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pem");
        for (readers, mode, content) in [(Readers::Everyone, 0o644, "old"), (Readers::Owner, 0o600, "new")] {
            // A leftover temporary file of a crash is replaced.
            fs::write(path.with_extension("unfinished"), "half").unwrap();
            write(&path, readers, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
