//! The data directory: who may enter it and read what is in it.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::process::geteuid;

use super::database::WATERMARK_FILE;
use super::{ADMIN_FILE, PASSWORDS_FILE};
use crate::edge::{AUTHORITY_FILE, AUTHORITY_KEY_FILE};

/// The mode of a data directory: others may enter it, because `ca.pem` is for them, but not list
/// it.
const MODE: u32 = 0o711;

/// Files of secrets, which only their owner may read.
const SECRETS: [&str; 6] =
    ["cloudpc.db", "cloudpc.db-wal", "cloudpc.db-shm", ADMIN_FILE, AUTHORITY_KEY_FILE, PASSWORDS_FILE];

/// What else is in a data directory.
const OTHERS: [&str; 5] = ["lock", "sim", QEMU, AUTHORITY_FILE, WATERMARK_FILE];

/// The folder of real machines. It may be a symbolic link, since disks are often kept on another
/// volume.
const QEMU: &str = "qemu";

/// The end of the name of a file that a crash left half written.
const UNFINISHED: &str = ".unfinished";

/// Makes the data directory if it is not there. Closes one that others may list or change, and
/// files of secrets that others may read, as a restored backup may have them.
///
/// # Errors
/// The directory cannot be made or read, it or a file of the service in it belongs to another user,
/// or such a file is a symbolic link.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(MODE).create(path)?;
        // The mask of the process may have taken away that others may enter.
        return fs::set_permissions(path, Permissions::from_mode(MODE));
    }
    let directory = fs::metadata(path)?;
    must_be_own("the directory", &directory, geteuid().as_raw())?;
    let mut is_ours_alone = true;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_name().to_str().filter(|name| is_content(name)) {
            Some(name) => check(name, &entry.metadata()?, geteuid().as_raw())?,
            None => is_ours_alone = false,
        }
    }
    // A directory that holds anything else is not the service's alone, and keeps its mode.
    if is_ours_alone {
        close(path, &directory, 0o066);
    }
    for path in SECRETS.map(|secret| path.join(secret)) {
        if let Ok(metadata) = fs::symlink_metadata(&path) {
            close(&path, &metadata, 0o077);
        }
    }
    Ok(())
}

/// Whether the service makes a file or folder of this name.
fn is_content(name: &str) -> bool {
    SECRETS.contains(&name) || OTHERS.contains(&name) || name.ends_with(UNFINISHED)
}

/// Refuses what another user has put in the place of a file or folder of the service: its owner
/// could read what is written to it, and a symbolic link could lead to a file of somebody else.
fn check(name: &str, metadata: &Metadata, user: u32) -> io::Result<()> {
    must_be_own(name, metadata, user)?;
    if metadata.is_symlink() && name != QEMU {
        let message = format!("{name} is a symbolic link; put the file or folder itself in its place");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// Refuses a file or directory of another user, even to root: that user could change it at any
/// time.
fn must_be_own(name: &str, metadata: &Metadata, user: u32) -> io::Result<()> {
    let owner = metadata.uid();
    if owner == user {
        return Ok(());
    }
    let message = format!(
        "{name} belongs to user {owner}, and the service runs as user {user}; run the service as user {owner}, or change the owner"
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Takes permissions away from a regular file or a directory.
fn close(path: &Path, metadata: &Metadata, taken: u32) {
    let mode = metadata.permissions().mode();
    if mode & taken == 0 || !(metadata.is_file() || metadata.is_dir()) {
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
        let unfinished = ["admin.unfinished", "watermark.unfinished"];
        let folders = ["sim", QEMU];
        for name in SECRETS.iter().chain(&unfinished).chain(&["lock", AUTHORITY_FILE, WATERMARK_FILE]) {
            fs::write(data.path().join(name), "").unwrap();
            fs::set_permissions(data.path().join(name), Permissions::from_mode(0o664)).unwrap();
        }
        folders.iter().for_each(|name| fs::create_dir(data.path().join(name)).unwrap());
        fs::set_permissions(data.path(), Permissions::from_mode(0o777)).unwrap();
        prepare(data.path()).unwrap();
        assert_eq!(mode(data.path()), MODE);
        assert_eq!(SECRETS.map(|name| mode(&data.path().join(name))), [0o600; SECRETS.len()]);
        assert_eq!(mode(&data.path().join(AUTHORITY_FILE)), 0o664);
    }

    #[test]
    fn an_empty_directory_that_others_may_change_is_closed() {
        let data = tempfile::tempdir().unwrap();
        fs::set_permissions(data.path(), Permissions::from_mode(0o777)).unwrap();
        prepare(data.path()).unwrap();
        assert_eq!(mode(data.path()), MODE);
    }

    #[test]
    fn a_directory_that_others_use_too_keeps_its_mode() {
        for names in [&["cloudpc.db", "notes.txt"][..], &["notes.txt"]] {
            let data = tempfile::tempdir().unwrap();
            names.iter().for_each(|name| fs::write(data.path().join(name), "").unwrap());
            fs::set_permissions(data.path(), Permissions::from_mode(0o755)).unwrap();
            prepare(data.path()).unwrap();
            assert_eq!(mode(data.path()), 0o755, "{names:?}");
        }
    }

    #[test]
    fn a_symbolic_link_in_the_place_of_a_file_is_refused_and_its_target_keeps_its_mode() {
        let victim = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(victim.path(), Permissions::from_mode(0o644)).unwrap();
        for name in SECRETS.iter().chain(&["lock", "sim", AUTHORITY_FILE, WATERMARK_FILE]) {
            let data = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(victim.path(), data.path().join(name)).unwrap();
            let error = prepare(data.path()).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{name} is a symbolic link;")), "{error}");
            assert_eq!(mode(victim.path()), 0o644);
        }
    }

    #[test]
    fn the_folder_of_real_machines_may_be_on_another_volume() {
        let (data, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(volume.path(), data.path().join(QEMU)).unwrap();
        prepare(data.path()).unwrap();
    }

    #[test]
    fn what_belongs_to_another_user_is_refused_to_root_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let owner = metadata.uid();
        check("lock", &metadata, owner).unwrap();
        for name in ["lock", QEMU] {
            let error = check(name, &metadata, owner + 1).unwrap_err().to_string();
            let expected = format!(
                "{name} belongs to user {owner}, and the service runs as user {}; run the service as user {owner}, or change the owner",
                owner + 1
            );
            assert_eq!(error, expected);
        }
    }
}
