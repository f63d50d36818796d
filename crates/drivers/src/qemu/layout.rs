//! Where things are on the disk of the host, and how files there change so that a crash leaves the
//! old or the new and nothing between.
//!
//! ```text
//! images/<image>/          image.json, disk.qcow2; vmlinuz and initrd if it is started without a boot loader; memory if it is warm
//! machines/                mode 0700
//! machines/<Cloud PC>/     mode 0700, or 0710 for the group of a QEMU that runs as another user
//!   machine.json           what the machine should be, and what was done to it
//!   disk/                  the present disk: disk.qcow2, disk.json, and links to what it is made from
//!   aside-<tag>/           a disk that was set aside; a folder like disk/
//!   snapshots/<id>/        a restore point; a folder like disk/
//!   new-…/, gone-…/        a folder that is being made or removed; swept away when seen
//!   lock                   held by the QEMU process for as long as it lives
//!   pid                    its number
//!   qemu.log               what it has said since the last start
//!   ended.json             how its guest has ended by itself, and in which boot
//!   run/                   its working folder: sockets, and the guest's console.log
//! ```
//!
//! A disk is a folder, so that one rename sets it aside or brings it back with all that belongs to
//! it. It holds hard links to the files of its image: those stay for as long as a disk needs them,
//! whatever becomes of the image.

use cloudpc_model::CloudPcId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// What the name of the folder of a disk set aside begins with; its tag follows.
pub const ASIDE: &str = "aside-";
pub const MACHINE_FILE: &str = "machine.json";
pub const ENDED_FILE: &str = "ended.json";
pub const DISK_FOLDER: &str = "disk";
pub const SNAPSHOTS_FOLDER: &str = "snapshots";
pub const RUN_FOLDER: &str = "run";
pub const LOCK_FILE: &str = "lock";
pub const PID_FILE: &str = "pid";
pub const QMP_SOCKET: &str = "qmp.sock";
/// The same, for the watch alone.
pub const WATCH_SOCKET: &str = "watch.sock";
pub const AGENT_SOCKET: &str = "agent.sock";
pub const INCOMING_SOCKET: &str = "incoming.sock";
pub const OUTGOING_SOCKET: &str = "outgoing.sock";
pub const VNC_SOCKET: &str = "vnc.sock";
pub const SCREENSHOT: &str = "screen.png";
pub const CONSOLE_LOG: &str = "console.log";
pub const QEMU_LOG: &str = "qemu.log";

/// Folders under these names are work that a crash or a drop has left.
const UNFINISHED: [&str; 2] = ["new-", "gone-"];

/// The folder of one machine.
#[derive(Clone, Debug)]
pub struct MachineFolder(PathBuf);

impl MachineFolder {
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder of a machine under the folder of all machines.
    pub fn of(machines: &Path, id: CloudPcId) -> Self {
        Self(machines.join(id.to_string()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file or folder in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// Connects to a socket of its QEMU. The way over the folder's descriptor is short, however
    /// long its path: a socket's address has at most 107 bytes.
    pub async fn connect(&self, socket: &str) -> io::Result<UnixStream> {
        let folder = File::open(self.join(RUN_FOLDER))?;
        UnixStream::connect(format!("/proc/self/fd/{}/{socket}", folder.as_raw_fd())).await
    }

    /// Listens on a socket beside those of its QEMU.
    pub fn listen(&self, socket: &str) -> io::Result<UnixListener> {
        let folder = File::open(self.join(RUN_FOLDER))?;
        UnixListener::bind(format!("/proc/self/fd/{}/{socket}", folder.as_raw_fd()))
    }

    /// Removes what unfinished work has left. The machine's lock is held: no work is under way.
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

/// The names in a folder; none if it is not there.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Makes a folder that only its owner may enter.
pub fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path)
}

/// A tag or id as a file name: what is in it never leads out of its folder. [`original_name`] reads
/// it back.
pub fn file_name(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }).collect()
}

/// The tag or id of a file name.
pub fn original_name(name: &str) -> String {
    let mut parts = name.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(code, 16));
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads a JSON file; none if it is not there.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))),
    }
}

/// Writes a JSON file in place of the old one, durably.
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let draft = path.with_extension("json.new");
    let mut file = File::create(&draft)?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    file.sync_all()?;
    rename(&draft, path)
}

/// Renames, durably. The target must not be there if it is a folder.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to.parent().expect("what is renamed is in a folder"))
}

/// Removes a folder with all that is in it: at once under its name, then its files.
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

/// Makes what was created or renamed in a folder durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A second name for a file, or a copy of it where it is on another file system.
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
    fn a_name_never_leads_out_of_its_folder() {
        assert_eq!(file_name("action-17"), "action-17");
        let odd = "../x/.. \0é%2";
        assert_eq!(file_name(odd), "%2e%2e%2fx%2f%2e%2e%20%00%c3%a9%252");
        assert_eq!(original_name(&file_name(odd)), odd);
    }

    #[test]
    fn unfinished_work_is_swept_away_and_the_rest_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = MachineFolder::at(root.path());
        for name in ["disk", "aside-action-1", "new-disk", "gone-disk/x", "snapshots/a", "snapshots/new-b"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        folder.sweep().unwrap();
        let mut left = names(root.path()).unwrap();
        left.sort();
        assert_eq!(left, ["aside-action-1", "disk", "snapshots"]);
        assert_eq!(names(&folder.join("snapshots")).unwrap(), ["a"]);
        fs::create_dir(folder.join("gone-disk")).unwrap();
        fs::write(folder.join("gone-disk/x"), "").unwrap();
        remove(&folder.join("disk")).unwrap();
        remove(&folder.join("disk")).unwrap();
        assert!(!folder.join("disk").exists() && !folder.join("gone-disk").exists());
    }

    #[test]
    fn a_json_file_is_the_old_or_the_new() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.json");
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), None);
        write_json(&path, &[1]).unwrap();
        // A draft that was never finished.
        fs::write(root.path().join("a.json.new"), "[2").unwrap();
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![1]));
        write_json(&path, &[3]).unwrap();
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![3]));
        fs::write(&path, "[").unwrap();
        assert!(read_json::<Vec<u8>>(&path).unwrap_err().to_string().contains("a.json"));
    }

    #[tokio::test]
    async fn a_socket_is_reached_however_long_the_way_and_its_folder_is_private() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d".repeat(120));
        make_private(&deep.join(RUN_FOLDER)).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o700);
        let folder = MachineFolder::at(&deep);
        let _listener = folder.listen(QMP_SOCKET).unwrap();
        folder.connect(QMP_SOCKET).await.unwrap();
        assert!(folder.connect(AGENT_SOCKET).await.is_err());
    }
}
