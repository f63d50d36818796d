//! The file layout on the host, and crash-safe changes of files: after a crash either the old or
//! the new state is there.
//!
//! ```text
//! images/<image>/          image.json, disk.qcow2; vmlinuz and initrd if it boots without a boot loader; memory if it is warm;
//!                          source.json if a request imported it
//! probes/                  the machines/ and downloads/ of temporary machines
//! machines/                mode 0700
//! machines/<Cloud PC>/     mode 0700, or 0710 for the group of a QEMU that runs as another user
//!   machine.json           the desired configuration, and the operations performed
//!   disk/                  the current disk: disk.qcow2, disk.json, and links to the files it depends on
//!   aside-<tag>/           an old disk; a folder like disk/
//!   snapshots/<id>/        a restore point; a folder like disk/
//!   new-…/, gone-…/        a folder that is being created or removed; leftovers are removed when found
//!   lock                   held by the QEMU process for as long as it lives
//!   pid                    the process id of QEMU
//!   qemu.log               error output of QEMU since the last start
//!   ended.json             why the guest ended by itself, and in which boot
//!   run/                   working directory of QEMU: sockets, and the guest's console.log
//! ```
//!
//! A disk is a folder, so that one rename detaches or reattaches it with all its files. It holds
//! hard links to the files of its image, which stay for as long as a disk needs them, even if the
//! image is removed.

use cloudpc_model::CloudPcId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

pub use crate::file_name::{file_name, original_name};

/// Prefix of the folder name of an old disk; its tag follows.
pub const ASIDE: &str = "aside-";
pub const MACHINE_FILE: &str = "machine.json";
pub const ENDED_FILE: &str = "ended.json";
pub const DISK_FOLDER: &str = "disk";
pub const SNAPSHOTS_FOLDER: &str = "snapshots";
pub const RUN_FOLDER: &str = "run";
pub const LOCK_FILE: &str = "lock";
pub const PID_FILE: &str = "pid";
pub const QMP_SOCKET: &str = "qmp.sock";
/// A second QMP socket, for the watch alone.
pub const WATCH_SOCKET: &str = "watch.sock";
pub const AGENT_SOCKET: &str = "agent.sock";
pub const INCOMING_SOCKET: &str = "incoming.sock";
pub const OUTGOING_SOCKET: &str = "outgoing.sock";
pub const VNC_SOCKET: &str = "vnc.sock";
pub const SCREENSHOT: &str = "screen.png";
pub const CONSOLE_LOG: &str = "console.log";
pub const QEMU_LOG: &str = "qemu.log";

/// Prefixes of folders that a crash or a dropped call has left.
const UNFINISHED: [&str; 2] = ["new-", "gone-"];

/// The folder of one machine.
#[derive(Clone, Debug)]
pub struct MachineFolder(PathBuf);

impl MachineFolder {
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Returns the folder of a machine under the folder of all machines.
    pub fn of(machines: &Path, id: CloudPcId) -> Self {
        Self(machines.join(id.to_string()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of a file or folder in the machine's folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// Connects to a socket of the machine's QEMU. The path over the folder's descriptor is short,
    /// however long the folder's path: a socket address has at most 107 bytes.
    pub async fn connect(&self, socket: &str) -> io::Result<UnixStream> {
        let folder = File::open(self.join(RUN_FOLDER))?;
        UnixStream::connect(format!("/proc/self/fd/{}/{socket}", folder.as_raw_fd())).await
    }

    /// Listens on a socket in QEMU's working directory.
    pub fn listen(&self, socket: &str) -> io::Result<UnixListener> {
        let folder = File::open(self.join(RUN_FOLDER))?;
        UnixListener::bind(format!("/proc/self/fd/{}/{socket}", folder.as_raw_fd()))
    }

    /// Removes leftovers of unfinished work. The caller holds the machine's lock, so no work is in
    /// progress.
    pub fn sweep(&self) -> io::Result<()> {
        for folder in [self.0.clone(), self.join(SNAPSHOTS_FOLDER)] {
            for name in names(&folder)? {
                if UNFINISHED.iter().any(|prefix| name.starts_with(prefix)) {
                    fs::remove_dir_all(folder.join(name))?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the names in a folder; none if it does not exist.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Creates a folder that only its owner may enter.
pub fn create_owner_only(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path)
}

/// Reads a JSON file; none if it does not exist.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))),
    }
}

/// Replaces a JSON file atomically and durably.
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let draft = path.with_extension("json.new");
    let mut file = File::create(&draft)?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    file.sync_all()?;
    rename(&draft, path)
}

/// Renames durably. A target that is a folder must not exist.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to.parent().expect("what is renamed is in a folder"))
}

/// Removes a folder with its content: first its name, atomically, then its files.
pub fn remove(folder: &Path) -> io::Result<()> {
    let name = folder.file_name().expect("a folder has a name").to_string_lossy().into_owned();
    let gone = folder.with_file_name(format!("gone-{name}"));
    match fs::remove_dir_all(&gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match rename(folder, &gone) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed.and_then(|()| fs::remove_dir_all(&gone)),
    }
}

/// Makes changes of a folder's entries durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Hard-links a file, or copies it to another file system.
pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => fs::copy(from, to).map(drop),
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn sweep_removes_only_unfinished_work() {
        let root = tempfile::tempdir().unwrap();
        let folder = MachineFolder::at(root.path());
        for name in ["disk", "aside-action-1", "new-disk", "gone-disk/x", "snapshots/a", "snapshots/new-b"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        folder.sweep().unwrap();
        let mut remaining = names(root.path()).unwrap();
        remaining.sort();
        assert_eq!(remaining, ["aside-action-1", "disk", "snapshots"]);
        assert_eq!(names(&folder.join("snapshots")).unwrap(), ["a"]);
        fs::create_dir(folder.join("gone-disk")).unwrap();
        fs::write(folder.join("gone-disk/x"), "").unwrap();
        remove(&folder.join("disk")).unwrap();
        remove(&folder.join("disk")).unwrap();
        assert!(!folder.join("disk").exists() && !folder.join("gone-disk").exists());
    }

    #[test]
    fn a_json_file_is_replaced_atomically() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.json");
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), None);
        write_json(&path, &[1]).unwrap();
        // A draft that was never completed.
        fs::write(root.path().join("a.json.new"), "[2").unwrap();
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![1]));
        write_json(&path, &[3]).unwrap();
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![3]));
        fs::write(&path, "[").unwrap();
        assert!(read_json::<Vec<u8>>(&path).unwrap_err().to_string().contains("a.json"));
    }

    #[tokio::test]
    async fn a_socket_with_a_long_path_is_reachable_and_its_folder_is_owner_only() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d".repeat(120));
        create_owner_only(&deep.join(RUN_FOLDER)).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o700);
        let folder = MachineFolder::at(&deep);
        let _listener = folder.listen(QMP_SOCKET).unwrap();
        folder.connect(QMP_SOCKET).await.unwrap();
        assert!(folder.connect(AGENT_SOCKET).await.is_err());
    }
}
