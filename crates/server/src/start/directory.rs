//! The data directory: who may enter it and read what is in it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::ADMIN_FILE;
use super::database::WATERMARK_FILE;
use crate::edge::{AUTHORITY_FILE, AUTHORITY_KEY_FILE};

/// The mode of a data directory: others may enter it, because `ca.pem` is for them, but not list
/// it.
const MODE: u32 = 0o711;

/// What is in a data directory. One that holds anything else is not the service's alone, and keeps
/// its mode.
const CONTENT: [&str; 10] = [
    "cloudpc.db",
    "cloudpc.db-wal",
    "cloudpc.db-shm",
    "lock",
    "sim",
    "qemu",
    ADMIN_FILE,
    AUTHORITY_FILE,
    AUTHORITY_KEY_FILE,
    WATERMARK_FILE,
];

/// Makes the data directory if it is not there. Closes one that others may list or change, and
/// files of secrets that others may read, as a restored backup may have them.
///
/// # Errors
/// The directory cannot be made or read.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(MODE).create(path)?;
        // The mask of the process may have taken away that others may enter.
        return fs::set_permissions(path, Permissions::from_mode(MODE));
    }
    if is_ours_alone(path)? {
        close(path, 0o066);
    }
    for secret in [ADMIN_FILE, AUTHORITY_KEY_FILE] {
        close(&path.join(secret), 0o077);
    }
    Ok(())
}

/// Whether the directory holds a database and nothing but what the service makes.
fn is_ours_alone(path: &Path) -> io::Result<bool> {
    let names: Vec<_> =
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    let known = |name: &std::ffi::OsString| CONTENT.iter().any(|known| name == known);
    Ok(names.iter().any(|name| name == "cloudpc.db") && names.iter().all(known))
}

/// Takes permissions away, if there is such a file.
fn close(path: &Path, taken: u32) {
    let Ok(metadata) = fs::metadata(path) else { return };
    let mode = metadata.permissions().mode();
    if mode & taken == 0 {
        return;
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode & 0o7777 & !taken)) {
        tracing::warn!(%error, path = %path.display(), "other users of this host have more rights than they should, and its mode cannot be changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_directory_can_be_entered_and_not_listed() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("a/b");
        prepare(&data).unwrap();
        assert_eq!(mode(&data), 0o711);
    }

    #[test]
    fn a_directory_of_ours_and_files_of_secrets_are_closed() {
        let data = tempfile::tempdir().unwrap();
        for name in ["cloudpc.db", ADMIN_FILE, AUTHORITY_KEY_FILE, AUTHORITY_FILE] {
            fs::write(data.path().join(name), "").unwrap();
            fs::set_permissions(data.path().join(name), Permissions::from_mode(0o664)).unwrap();
        }
        fs::set_permissions(data.path(), Permissions::from_mode(0o777)).unwrap();
        prepare(data.path()).unwrap();
        assert_eq!(mode(data.path()), MODE);
        assert_eq!(
            [ADMIN_FILE, AUTHORITY_KEY_FILE, AUTHORITY_FILE].map(|name| mode(&data.path().join(name))),
            [0o600, 0o600, 0o664]
        );
    }

    #[test]
    fn a_directory_that_others_use_too_keeps_its_mode() {
        for names in [&["cloudpc.db", "notes.txt"][..], &[]] {
            let data = tempfile::tempdir().unwrap();
            names.iter().for_each(|name| fs::write(data.path().join(name), "").unwrap());
            fs::set_permissions(data.path(), Permissions::from_mode(0o755)).unwrap();
            prepare(data.path()).unwrap();
            assert_eq!(mode(data.path()), 0o755, "{names:?}");
        }
    }
}
