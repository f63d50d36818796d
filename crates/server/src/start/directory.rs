//! The data directory: its owner and its file modes.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::process::geteuid;

use super::database::WATERMARK_FILE;
use super::{ADMIN_FILE, PASSWORDS_FILE};
use crate::edge::{AUTHORITY_FILE, AUTHORITY_KEY_FILE};

/// The mode of a data directory: others can enter it, to read `ca.pem`, but not list it.
const MODE: u32 = 0o711;

/// Files with secrets, kept owner-only.
const SECRETS: [&str; 6] =
    ["cloudpc.db", "cloudpc.db-wal", "cloudpc.db-shm", ADMIN_FILE, AUTHORITY_KEY_FILE, PASSWORDS_FILE];

/// Other files and folders of a data directory.
const OTHERS: [&str; 5] = ["lock", "sim", QEMU, AUTHORITY_FILE, WATERMARK_FILE];

/// The folder of real machines. It may be a symbolic link, because disks are often kept on another
/// volume.
const QEMU: &str = "qemu";

/// Suffix of a temporary file that a crash left.
const UNFINISHED: &str = ".unfinished";

/// Creates the data directory if it is missing. Otherwise removes other users' permission to list
/// or change the directory and to read files with secrets, which a restored backup may have
/// granted.
///
/// # Errors
/// The directory cannot be created or read, the directory or a file of the service in it belongs to
/// another user, or such a file is a symbolic link.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(MODE).create(path)?;
        // The process's umask may have removed permission for others to enter.
        return fs::set_permissions(path, Permissions::from_mode(MODE));
    }
    let directory = fs::metadata(path)?;
    check_owner("the directory", &directory, geteuid().as_raw())?;
    let mut is_dedicated = true;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_name().to_str().filter(|name| is_content(name)) {
            Some(name) => check(name, &entry.metadata()?, geteuid().as_raw())?,
            None => is_dedicated = false,
        }
    }
    // A directory with other files in it keeps its mode.
    if is_dedicated {
        restrict(path, &directory, 0o066);
    }
    for path in SECRETS.map(|secret| path.join(secret)) {
        if let Ok(metadata) = fs::symlink_metadata(&path) {
            restrict(&path, &metadata, 0o077);
        }
    }
    Ok(())
}

/// Whether the service creates a file or folder of this name.
fn is_content(name: &str) -> bool {
    SECRETS.contains(&name) || OTHERS.contains(&name) || name.ends_with(UNFINISHED)
}

/// Refuses a file or folder that another user put in the place of the service's own: that user
/// could read what is written to it, and a symbolic link could point at anyone's file.
fn check(name: &str, metadata: &Metadata, user: u32) -> io::Result<()> {
    check_owner(name, metadata, user)?;
    if metadata.is_symlink() && name != QEMU {
        let message = format!("{name} is a symbolic link; replace it by the file or folder itself");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// Refuses a file or directory that another user owns, even when running as root: that user could
/// change it at any time.
fn check_owner(name: &str, metadata: &Metadata, user: u32) -> io::Result<()> {
    let owner = metadata.uid();
    if owner == user {
        return Ok(());
    }
    let message = format!(
        "{name} belongs to user {owner}, but the service runs as user {user}; run the service as user {owner}, or change the owner of {name}"
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Removes the permissions `removed` from a regular file or a directory.
fn restrict(path: &Path, metadata: &Metadata, removed: u32) {
    let mode = metadata.permissions().mode();
    if mode & removed == 0 || !(metadata.is_file() || metadata.is_dir()) {
        return;
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode & 0o7777 & !removed)) {
        tracing::warn!(%error, path = %path.display(), "other users of this host can access this path, and changing its mode failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_directory_can_be_entered_but_not_listed() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("a/b");
        prepare(&data).unwrap();
        assert_eq!(mode(&data), 0o711);
    }

    #[test]
    fn a_dedicated_directory_and_files_with_secrets_are_restricted() {
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
    fn an_empty_directory_that_others_can_change_is_restricted() {
        let data = tempfile::tempdir().unwrap();
        fs::set_permissions(data.path(), Permissions::from_mode(0o777)).unwrap();
        prepare(data.path()).unwrap();
        assert_eq!(mode(data.path()), MODE);
    }

    #[test]
    fn a_directory_with_other_files_keeps_its_mode() {
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
    fn a_file_of_another_user_is_refused_even_for_root() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let owner = metadata.uid();
        check("lock", &metadata, owner).unwrap();
        for name in ["lock", QEMU] {
            let error = check(name, &metadata, owner + 1).unwrap_err().to_string();
            let expected = format!(
                "{name} belongs to user {owner}, but the service runs as user {}; run the service as user {owner}, or change the owner of {name}",
                owner + 1
            );
            assert_eq!(error, expected);
        }
    }
}
