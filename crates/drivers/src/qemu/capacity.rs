//! Whether the host has room for one machine more.
//!
//! Memory is counted by what running machines were promised, not by what they use now: a guest
//! takes its memory when it wants it. Processors may be promised several times over; disks grow as
//! they are written to, so a start only asks for room to write to.

use rustix::fs::statvfs;
use std::io;
use std::path::Path;

use crate::{DriverError, MachineSpec};

/// What the machines of this host may take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Memory, GiB.
    pub ram_gib: u32,
    /// Virtual processors of one machine.
    pub vcpu_count_max: u32,
    /// The file system of the machines keeps so much free, bytes.
    pub free_disk_bytes_min: u64,
}

/// Memory that is left to the host, GiB.
const HOST_RAM_GIB: u32 = 1;

/// Virtual processors for one of the host's, at most, in one machine.
const VCPUS_PER_CPU: u32 = 4;

/// What a start wants to find free, bytes.
const FREE_DISK_BYTES_MIN: u64 = 64 << 20;

impl Capacity {
    /// All of this host but a little.
    ///
    /// # Errors
    /// The host does not say what it has.
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

    /// Whether this machine fits beside `others`, which run.
    pub fn admit(&self, spec: &MachineSpec, others: impl Iterator<Item = MachineSpec>) -> Result<(), DriverError> {
        self.could_ever_run(spec)?;
        let promised: u32 = others.map(|other| other.ram_gib).sum();
        match promised.saturating_add(spec.ram_gib) <= self.ram_gib {
            true => Ok(()),
            false => Err(DriverError::Unavailable(format!(
                "the host has {} GiB of memory for machines, of which {promised} are taken; this one needs {}",
                self.ram_gib, spec.ram_gib
            ))),
        }
    }

    /// Whether it would fit on an empty host.
    pub fn could_ever_run(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        let too_small = |message: String| Err(DriverError::Rejected { code: "hostTooSmall".into(), message });
        if spec.ram_gib > self.ram_gib {
            return too_small(format!(
                "the host has {} GiB of memory for machines; this one needs {}",
                self.ram_gib, spec.ram_gib
            ));
        }
        if spec.vcpu_count > self.vcpu_count_max {
            return too_small(format!(
                "a machine of this host has at most {} virtual processors; this one needs {}",
                self.vcpu_count_max, spec.vcpu_count
            ));
        }
        Ok(())
    }

    /// Whether there is room to write to.
    pub fn admit_disk(&self, folder: &Path) -> Result<(), DriverError> {
        self.admit_bytes(folder, 0)
    }

    /// Whether there is room for so many bytes and more to write to.
    pub fn admit_bytes(&self, folder: &Path, bytes: u64) -> Result<(), DriverError> {
        let stat = statvfs(folder).map_err(|error| DriverError::Unavailable(error.to_string()))?;
        let free = stat.f_bavail * stat.f_frsize;
        let wanted = self.free_disk_bytes_min.saturating_add(bytes);
        match free >= wanted {
            true => Ok(()),
            false => Err(DriverError::Unavailable(format!(
                "the host's disk is full: {free} bytes are free in {}, {wanted} are wanted",
                folder.display(),
            ))),
        }
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
    fn a_machine_waits_for_room_and_is_refused_what_the_host_does_not_have() {
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
