//! Files that are replaced in one step, so that a crash or a power cut leaves the old one or the
//! new one and never half of one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner alone: it holds a secret.
    Owner,
    /// Everyone.
    Everyone,
}

/// Writes a file.
///
/// # Errors
/// It cannot be written; what was there before still is.
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
    // The mask of the process may have taken away that others may read.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // The new name is on disk only when the directory is.
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_read_by_whom_it_may_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pem");
        for (readers, mode, content) in [(Readers::Everyone, 0o644, "old"), (Readers::Owner, 0o600, "new")] {
            // What a crash has left lies in nobody's way.
            fs::write(path.with_extension("unfinished"), "half").unwrap();
            write(&path, readers, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
