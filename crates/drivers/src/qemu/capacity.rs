//! Admission control: whether the host can run one more machine.
//!
//! Memory is counted as configured for the running machines, not as used now: a guest may use all
//! of its memory at any time. Processors may be overcommitted; disks grow as they are written, so a
//! start only requires some free space.

use std::io;
use std::path::Path;

use crate::host::require_free_bytes;
use crate::{DriverError, MachineSpec};

/// The total resources for machines on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Memory, GiB.
    pub ram_gib: u32,
    /// Most virtual processors of one machine.
    pub vcpu_count_max: u32,
    /// Space on the file system of the machines that must stay free, bytes.
    pub free_disk_bytes_min: u64,
}

/// Memory reserved for the host, GiB.
const HOST_RAM_GIB: u32 = 1;

/// Most virtual processors of one machine for each processor of the host.
const VCPUS_PER_CPU: u32 = 4;

/// Free space that a start requires, bytes.
const FREE_DISK_BYTES_MIN: u64 = 64 << 20;

impl Capacity {
    /// Returns nearly all resources of this host.
    ///
    /// # Errors
    /// The host's resources cannot be determined.
    pub fn of_host() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/meminfo")?;
        let total_kib =
            text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().split(' ').next()?.parse().ok());
        let total_kib: u64 = total_kib.ok_or_else(|| io::Error::other("/proc/meminfo has no MemTotal"))?;
        let ram_gib = u32::try_from(total_kib >> 20).unwrap_or(u32::MAX);
        let cpus = u32::try_from(std::thread::available_parallelism()?.get()).unwrap_or(u32::MAX);
        Ok(Self {
            ram_gib: ram_gib.saturating_sub(HOST_RAM_GIB).max(1),
            vcpu_count_max: cpus.saturating_mul(VCPUS_PER_CPU),
            free_disk_bytes_min: FREE_DISK_BYTES_MIN,
        })
    }

    /// Checks that this machine fits beside `others`, which are running.
    pub fn admit(&self, spec: &MachineSpec, others: impl Iterator<Item = MachineSpec>) -> Result<(), DriverError> {
        self.check_size(spec)?;
        let committed: u32 = others.map(|other| other.ram_gib).sum();
        match committed.saturating_add(spec.ram_gib) <= self.ram_gib {
            true => Ok(()),
            false => Err(DriverError::Unavailable(format!(
                "the host has {} GiB of memory for machines, of which {committed} GiB are in use; this machine needs {} GiB",
                self.ram_gib, spec.ram_gib
            ))),
        }
    }

    /// Checks that this machine would fit on an empty host.
    pub fn check_size(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        let too_small = |message: String| Err(DriverError::Rejected { code: "hostTooSmall".into(), message });
        if spec.ram_gib > self.ram_gib {
            return too_small(format!(
                "the host has {} GiB of memory for machines; this machine needs {} GiB",
                self.ram_gib, spec.ram_gib
            ));
        }
        if spec.vcpu_count > self.vcpu_count_max {
            return too_small(format!(
                "a machine on this host has at most {} virtual processors; this machine needs {}",
                self.vcpu_count_max, spec.vcpu_count
            ));
        }
        Ok(())
    }

    /// Checks that a machine has space to write to.
    pub fn admit_disk(&self, folder: &Path) -> Result<(), DriverError> {
        self.admit_bytes(folder, 0)
    }

    /// Checks that a file of this size fits, and that space to write to remains.
    pub fn admit_bytes(&self, folder: &Path, bytes: u64) -> Result<(), DriverError> {
        require_free_bytes(folder, self.free_disk_bytes_min.saturating_add(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_model::{CloudPcId, ImageId};

    fn spec(vcpu_count: u32, ram_gib: u32) -> MachineSpec {
        let id = CloudPcId(uuid::Uuid::nil());
        MachineSpec {
            id,
            hostname: "a".into(),
            vcpu_count,
            ram_gib,
            storage_gib: 1,
            gpu: false,
            image: ImageId("a".into()),
        }
    }

    #[test]
    fn a_machine_waits_for_free_memory_and_is_rejected_if_it_never_fits() {
        let capacity = Capacity { ram_gib: 8, vcpu_count_max: 4, free_disk_bytes_min: 1 };
        let others = |gib: &[u32]| gib.iter().map(|gib| spec(1, *gib)).collect::<Vec<_>>().into_iter();
        assert_eq!(capacity.admit(&spec(4, 4), others(&[2, 2])), Ok(()));
        let waits = capacity.admit(&spec(4, 5), others(&[2, 2]));
        assert!(matches!(waits, Err(DriverError::Unavailable(_))), "{waits:?}");
        assert_eq!(capacity.admit(&spec(1, 8), others(&[])), Ok(()));
        for too_large in [spec(1, 9), spec(5, 1)] {
            assert!(matches!(capacity.admit(&too_large, others(&[])), Err(DriverError::Rejected { .. })));
        }
        let host = Capacity::of_host().unwrap();
        assert!(host.ram_gib >= 1 && host.vcpu_count_max >= VCPUS_PER_CPU);
        assert_eq!(host.admit_disk(Path::new("/")), Ok(()));
        assert!(host.admit_bytes(Path::new("/"), u64::MAX).is_err());
        let full = Capacity { free_disk_bytes_min: u64::MAX, ..host };
        assert!(full.admit_disk(Path::new("/")).is_err());
    }
}
