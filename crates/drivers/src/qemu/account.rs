//! The account that QEMU runs under: our own, or `nobody` if ours is root.

use rustix::fs::{Gid, Uid, chown};
use rustix::process::geteuid;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// `nobody` and `nogroup` of Debian, and of most.
const NOBODY: u32 = 65534;

const KVM: &str = "/dev/kvm";

/// An account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The one that we run under.
    Own,
    /// One without rights, which only root can change to.
    Nobody,
}

impl Account {
    /// What QEMU runs under.
    pub fn of_qemu() -> Self {
        if geteuid().is_root() { Self::Nobody } else { Self::Own }
    }

    /// Lets it enter a folder, but not change what is in there.
    pub fn let_in(self, folder: &Path) -> io::Result<()> {
        if self == Self::Nobody {
            chown(folder, None, Some(Gid::from_raw(NOBODY)))?;
            fs::set_permissions(folder, Permissions::from_mode(0o710))?;
        }
        Ok(())
    }

    /// Makes a file or folder its own.
    pub fn give(self, path: &Path) -> io::Result<()> {
        if self == Self::Nobody {
            chown(path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY)))?;
        }
        Ok(())
    }

    /// The words before a command that run it under this account.
    pub fn command(self) -> Vec<String> {
        let mut words = vec!["setpriv".to_owned()];
        if self == Self::Nobody {
            let groups = match fs::metadata(KVM) {
                Ok(device) => format!("--groups={}", device.gid()),
                Err(_) => "--clear-groups".to_owned(),
            };
            words.extend([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), groups]);
        }
        // Rights that we were given, such as that to make tap devices, are none of QEMU's.
        words.extend(["--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs", "--"].map(str::to_owned));
        words
    }
}
