//! The account of QEMU processes: the service's own, or `nobody` if the service runs as root.

use rustix::fs::{Gid, Uid, chown};
use rustix::process::geteuid;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// The ids of `nobody` and `nogroup` on Debian and most other systems.
const NOBODY: u32 = 65534;

const KVM: &str = "/dev/kvm";

/// An operating system account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The account of the service.
    Own,
    /// An unprivileged account, which only root can switch to.
    Nobody,
}

impl Account {
    /// Returns the account of QEMU processes.
    pub fn of_qemu() -> Self {
        if geteuid().is_root() { Self::Nobody } else { Self::Own }
    }

    /// Lets the account traverse a folder, without write access.
    pub fn grant_traverse(self, folder: &Path) -> io::Result<()> {
        if self == Self::Nobody {
            chown(folder, None, Some(Gid::from_raw(NOBODY)))?;
            fs::set_permissions(folder, Permissions::from_mode(0o710))?;
        }
        Ok(())
    }

    /// Makes the account the owner of a file or folder.
    pub fn grant_ownership(self, path: &Path) -> io::Result<()> {
        if self == Self::Nobody {
            chown(path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY)))?;
        }
        Ok(())
    }

    /// Returns the command prefix that runs a command under this account.
    pub fn command(self) -> Vec<String> {
        let mut prefix = vec!["setpriv".to_owned()];
        if self == Self::Nobody {
            let groups = match fs::metadata(KVM) {
                Ok(device) => format!("--groups={}", device.gid()),
                Err(_) => "--clear-groups".to_owned(),
            };
            prefix.extend([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), groups]);
        }
        // Capabilities of the service, such as creating tap devices, are not passed on to QEMU.
        prefix.extend(["--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs", "--"].map(str::to_owned));
        prefix
    }
}
