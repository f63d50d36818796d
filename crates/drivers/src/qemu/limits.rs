//! Limits on a machine's use of host memory and processors, enforced by its own control group.
//!
//! On most hosts systemd manages the control groups and must be the only writer. So `systemd-run`
//! asks it for a scope (`systemd.scope(5)`), enters the scope and becomes the process. A scope
//! belongs to no service: machines stay in it when the service stops. A running systemd does not
//! prove that limits are enforced, because the kernel may lack the controllers; so the limits are
//! read back from the kernel in a trial scope.

use rustix::process::geteuid;
use serde::Deserialize;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::MachineSpec;

/// The configured enforcement of limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitsSetting {
    /// Systemd scopes if a trial shows that they are enforced, otherwise no limits.
    #[default]
    Auto,
    /// Systemd scopes; without them the driver does not open.
    Systemd,
    /// No limits.
    Off,
}

/// The enforcement in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineLimits {
    /// One systemd scope for each machine.
    Scopes,
    /// No enforcement.
    None,
}

/// The slice of all scopes, by which they can be inspected and limited together.
const SLICE: &str = "cloudpc";

/// Memory of QEMU itself, MiB: some 100 of its own, 32 for translated code, and pages of the disk's
/// files while they are written.
const OWN_MEMORY_MIB: u64 = 512;

/// Processor time of QEMU itself, percent of one processor: disks, screens and commands.
const OWN_CPU_PERCENT: u32 = 50;

/// Timeout of creating a scope, seconds.
const SCOPE_TIME_MAX_S: &str = "30";

/// Prints the limits of its own control group, as reported by the kernel.
const PRINT_LIMITS: &str = r#"cd "/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)" && cat memory.max cpu.max"#;

/// The limits of one scope.
#[derive(Clone, Copy)]
struct SystemdScope {
    memory_mib: u64,
    cpu_percent: u32,
}

/// The limits requested in the trial.
const TRIAL: SystemdScope = SystemdScope { memory_mib: 64, cpu_percent: 50 };

impl LimitsSetting {
    /// Selects the enforcement; blocks for a moment.
    ///
    /// # Errors
    /// Systemd scopes are required but not enforced.
    pub fn resolve(self) -> io::Result<MachineLimits> {
        if self == Self::Off {
            return Ok(MachineLimits::None);
        }
        match trial() {
            Ok(()) => Ok(MachineLimits::Scopes),
            Err(why) if self == Self::Systemd => {
                Err(io::Error::other(format!("qemu.limits is \"systemd\", but {why}")))
            }
            Err(why) => {
                tracing::info!(why, "control groups are unavailable; machines run without limits");
                Ok(MachineLimits::None)
            }
        }
    }
}

impl MachineLimits {
    /// Returns the command prefix that limits a machine's process.
    pub fn command(self, spec: &MachineSpec) -> Vec<String> {
        match self {
            Self::Scopes => SystemdScope::of(spec).command(geteuid().as_raw()),
            Self::None => Vec::new(),
        }
    }
}

impl SystemdScope {
    fn of(spec: &MachineSpec) -> Self {
        Self {
            memory_mib: (u64::from(spec.ram_gib) << 10) + OWN_MEMORY_MIB,
            cpu_percent: spec.vcpu_count * 100 + OWN_CPU_PERCENT,
        }
    }

    /// Returns the command prefix for this account. An unprivileged account has its own systemd,
    /// found by an environment variable that services lack.
    fn command(self, uid: u32) -> Vec<String> {
        let mut prefix = Vec::new();
        if uid != 0 {
            prefix.extend(["env".to_owned(), format!("XDG_RUNTIME_DIR=/run/user/{uid}")]);
        }
        prefix.push("systemd-run".into());
        if uid != 0 {
            prefix.push("--user".into());
        }
        prefix.extend(["--scope", "--quiet", "--collect"].map(String::from));
        prefix.push(format!("--slice={SLICE}"));
        prefix.push(format!("--property=MemoryMax={}M", self.memory_mib));
        prefix.push(format!("--property=CPUQuota={}%", self.cpu_percent));
        prefix.push("--".into());
        prefix
    }

    /// Returns the kernel's report in such a scope; see "Memory" and "CPU" in its "Control Group
    /// v2".
    fn kernel_report(self) -> String {
        format!("{}\n{} 100000\n", self.memory_mib << 20, self.cpu_percent * 1000)
    }
}

/// Creates a scope and checks that its limits are enforced.
fn trial() -> Result<(), String> {
    // The test of sd_booted(3).
    if !Path::new("/run/systemd/system").is_dir() {
        return Err("systemd is not the init system of this host".into());
    }
    let output = Command::new("timeout")
        .arg(SCOPE_TIME_MAX_S)
        .args(TRIAL.command(geteuid().as_raw()))
        .args(["sh", "-c", PRINT_LIMITS])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("creating a scope failed: {error}"))?;
    let (reported, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match (output.status.success(), reported == TRIAL.kernel_report()) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("the limits of its scopes are not enforced; the kernel reports {reported:?}")),
        (false, _) => Err(format!("creating a scope failed ({}): {}", output.status, problem.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_model::{CloudPcId, ImageId};

    #[test]
    fn a_scope_limits_a_machine_to_its_size_plus_the_overhead_of_qemu() {
        let spec = MachineSpec {
            id: CloudPcId(uuid::Uuid::from_u128(7)),
            hostname: "CPC-ada-4F7Q2".into(),
            vcpu_count: 2,
            ram_gib: 4,
            storage_gib: 64,
            gpu: false,
            image: ImageId("a_b_c".into()),
        };
        assert_eq!(MachineLimits::None.command(&spec), Vec::<String>::new());
        let scope = SystemdScope::of(&spec);
        insta::assert_snapshot!(scope.command(0).join(" "), @"systemd-run --scope --quiet --collect --slice=cloudpc --property=MemoryMax=4608M --property=CPUQuota=250% --");
        insta::assert_snapshot!(scope.command(1000).join(" "), @"env XDG_RUNTIME_DIR=/run/user/1000 systemd-run --user --scope --quiet --collect --slice=cloudpc --property=MemoryMax=4608M --property=CPUQuota=250% --");
        assert_eq!(scope.kernel_report(), "4831838208\n250000 100000\n");
    }

    #[test]
    fn limits_can_be_off_without_systemd() {
        assert_eq!(LimitsSetting::Off.resolve().unwrap(), MachineLimits::None);
    }
}
