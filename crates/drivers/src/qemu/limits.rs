//! What a machine's process may take of the host's memory and processors, held by a control group
//! of its own.
//!
//! On most hosts systemd makes the control groups, and wants nobody beside it to. So `systemd-run`
//! has it make a scope (`systemd.scope(5)`), enters that and becomes the process. A scope belongs
//! to no service: machines stay in it when ours is stopped. That systemd runs does not prove that
//! limits hold, as the kernel may lack the controllers; so the kernel is asked, in a scope that is
//! made for that.

use rustix::process::geteuid;
use serde::Deserialize;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::MachineSpec;

/// What a person may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitsSetting {
    /// Scopes of systemd if a trial shows that they hold, else none.
    #[default]
    Auto,
    /// Scopes of systemd; without them the driver does not open.
    Systemd,
    /// None.
    Off,
}

/// What holds machines to what they were promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineLimits {
    /// A scope of systemd for each.
    Scopes,
    /// Nothing.
    None,
}

/// The slice that all scopes are in, so that they can be seen and limited together.
const SLICE: &str = "cloudpc";

/// What QEMU needs besides the guest's memory, MiB: some 100 of its own, 32 for translated code,
/// and pages of the disk's files while they are written.
const OWN_MEMORY_MIB: u64 = 512;

/// What QEMU needs besides the guest's processors, percent of one: disks, screens, and what is said
/// to it.
const OWN_CPU_PERCENT: u32 = 50;

/// How long making a scope may take, seconds.
const SCOPE_TIME_MAX_S: &str = "30";

/// Prints the limits of the control group that it runs in, as the kernel has them.
const LOOK: &str = r#"cd "/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)" && cat memory.max cpu.max"#;

/// Limits of one scope.
#[derive(Clone, Copy)]
struct SystemdScope {
    memory_mib: u64,
    cpu_percent: u32,
}

/// What is asked for in a trial.
const TRIAL: SystemdScope = SystemdScope { memory_mib: 64, cpu_percent: 50 };

impl LimitsSetting {
    /// Finds out; blocks for a moment.
    ///
    /// # Errors
    /// Scopes are wanted and do not hold.
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
                tracing::info!(why, "no control groups limit machines");
                Ok(MachineLimits::None)
            }
        }
    }
}

impl MachineLimits {
    /// The words before the command of a machine's process.
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

    /// The words before a command of this account. Those without rights have a systemd of their
    /// own; it is found by an environment variable that services lack.
    fn command(self, uid: u32) -> Vec<String> {
        let mut words = Vec::new();
        if uid != 0 {
            words.extend(["env".to_owned(), format!("XDG_RUNTIME_DIR=/run/user/{uid}")]);
        }
        words.push("systemd-run".into());
        if uid != 0 {
            words.push("--user".into());
        }
        words.extend(["--scope", "--quiet", "--collect"].map(String::from));
        words.push(format!("--slice={SLICE}"));
        words.push(format!("--property=MemoryMax={}M", self.memory_mib));
        words.push(format!("--property=CPUQuota={}%", self.cpu_percent));
        words.push("--".into());
        words
    }

    /// What the kernel says in such a scope; see "Memory" and "CPU" in its "Control Group v2".
    fn in_kernel(self) -> String {
        format!("{}\n{} 100000\n", self.memory_mib << 20, self.cpu_percent * 1000)
    }
}

/// Makes a scope and looks whether its limits hold.
fn trial() -> Result<(), String> {
    // By sd_booted(3).
    if !Path::new("/run/systemd/system").is_dir() {
        return Err("this host is not run by systemd".into());
    }
    let output = Command::new("timeout")
        .arg(SCOPE_TIME_MAX_S)
        .args(TRIAL.command(geteuid().as_raw()))
        .args(["sh", "-c", LOOK])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("no scope can be made: {error}"))?;
    let (said, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match (output.status.success(), said == TRIAL.in_kernel()) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("its scopes do not hold; the kernel says {said:?}")),
        (false, _) => Err(format!("no scope can be made ({}): {}", output.status, problem.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_model::{CloudPcId, ImageId};

    #[test]
    fn a_machine_gets_what_it_was_promised_and_a_little_for_qemu() {
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
        assert_eq!(scope.in_kernel(), "4831838208\n250000 100000\n");
    }

    #[test]
    fn no_limits_are_a_setting_and_take_no_systemd() {
        assert_eq!(LimitsSetting::Off.resolve().unwrap(), MachineLimits::None);
    }
}
