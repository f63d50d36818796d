//! Detects whether KVM can run guests on this host.
//!
//! A `/dev/kvm` that can be opened is not sufficient: on some hosts a guest under it never executes
//! an instruction. So `auto` boots a one-sector guest that writes a byte to a port, and uses KVM
//! only if that byte arrives.

use serde::Deserialize;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::account::Account;
use super::command::QEMU;

/// The configured accelerator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceleratorSetting {
    /// KVM if the trial guest runs, otherwise software emulation.
    #[default]
    Auto,
    /// KVM, without a trial.
    Kvm,
    /// Software emulation.
    Tcg,
}

/// The accelerator in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// Hardware virtualization by KVM.
    Kvm,
    /// Software emulation.
    Tcg,
}

/// Timeout of the trial guest under software emulation, where it takes a fifth of a second.
const TRIAL_TIME_MAX: Duration = Duration::from_secs(10);

/// Largest accepted run time under KVM, relative to software emulation: some nested hosts run
/// guests under KVM a hundred times slower.
const KVM_TIME_FACTOR: u32 = 2;

const TRIAL_POLL: Duration = Duration::from_millis(5);

/// A boot sector: `mov al, 0x10; out 0xf4, al; hlt; jmp` back to `hlt`.
const BOOT_SECTOR: [u8; 7] = [0xB0, 0x10, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD];

/// The exit code of QEMU after `0x10` was written to its exit port.
const TRIAL_EXIT_CODE: i32 = 0x10 << 1 | 1;

impl AcceleratorSetting {
    /// Selects the accelerator; blocks for some seconds at most. `folder` holds temporary files.
    pub fn resolve(self, folder: &Path) -> Accelerator {
        match self {
            Self::Kvm => Accelerator::Kvm,
            Self::Tcg => Accelerator::Tcg,
            Self::Auto if !Path::new("/dev/kvm").exists() => Accelerator::Tcg,
            Self::Auto => {
                let emulated = run_trial(folder, "tcg", "max", TRIAL_TIME_MAX).ok().flatten();
                let limit = emulated.unwrap_or(TRIAL_TIME_MAX) * KVM_TIME_FACTOR;
                match run_trial(folder, "kvm", "host", limit) {
                    Ok(Some(_)) => Accelerator::Kvm,
                    Ok(None) | Err(_) => Accelerator::Tcg,
                }
            }
        }
    }
}

/// Returns the time until a guest under this accelerator wrote its byte; none if it exceeded the
/// limit.
fn run_trial(folder: &Path, accelerator: &str, cpu: &str, limit: Duration) -> io::Result<Option<Duration>> {
    // The firmware does not read smaller disks.
    let mut image = vec![0; 1 << 20];
    image[..BOOT_SECTOR.len()].copy_from_slice(&BOOT_SECTOR);
    image[510..512].copy_from_slice(&[0x55, 0xAA]);
    let disk = folder.join("trial.img");
    fs::write(&disk, image)?;
    let started = Instant::now();
    let mut process = Command::new("setsid")
        .args(Account::of_qemu().command())
        .args([QEMU, "-machine", "q35", "-accel", accelerator, "-cpu", cpu, "-m", "16", "-display", "none"])
        .args(["-nodefaults", "-no-user-config", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x01"])
        // The service opens the file: QEMU's account may have no access to the folder.
        .args(["-drive", "file=/dev/stdin,format=raw,if=none,id=trial,readonly=on"])
        .args(["-device", "virtio-blk-pci,drive=trial"])
        .stdin(fs::File::open(&disk)?)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    fs::remove_file(&disk)?;
    loop {
        match process.try_wait()? {
            Some(status) => return Ok((status.code() == Some(TRIAL_EXIT_CODE)).then(|| started.elapsed())),
            None if started.elapsed() > limit => {
                process.kill()?;
                process.wait()?;
                return Ok(None);
            }
            #[expect(clippy::disallowed_methods, reason = "the caller knows that this blocks")]
            None => std::thread::sleep(TRIAL_POLL),
        }
    }
}
