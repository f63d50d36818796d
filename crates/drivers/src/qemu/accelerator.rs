//! Whether KVM really runs guests here.
//!
//! A device `/dev/kvm` that opens proves nothing: there are hosts on which a guest under it never
//! runs an instruction. So `auto` starts a guest of one sector that writes a byte to a port, and
//! believes in KVM if that byte arrives.

use serde::Deserialize;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::account::Account;
use super::command::QEMU;

/// What a person may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceleratorSetting {
    /// KVM if it proves itself, else software emulation.
    #[default]
    Auto,
    /// KVM, unasked.
    Kvm,
    /// Software emulation.
    Tcg,
}

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's processor, by KVM.
    Kvm,
    /// Software emulation.
    Tcg,
}

/// How long the guest of one sector may take under software emulation; it takes a fifth of a
/// second.
const PROOF_TIME_MAX: Duration = Duration::from_secs(10);

/// So much longer than software emulation KVM may take: on some nested hosts it runs guests, and a
/// hundred times slower.
const KVM_TIME_FACTOR: u32 = 2;

const PROOF_POLL: Duration = Duration::from_millis(5);

/// A boot sector: `mov al, 0x10; out 0xf4, al; hlt; jmp` back to `hlt`.
const BOOT_SECTOR: [u8; 7] = [0xB0, 0x10, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD];

/// The exit code of QEMU after `0x10` was written to its exit port.
const PROVEN: i32 = 0x10 << 1 | 1;

impl AcceleratorSetting {
    /// Finds out; blocks for some seconds at most. `folder` is for files that are needed meanwhile.
    pub fn resolve(self, folder: &Path) -> Accelerator {
        match self {
            Self::Kvm => Accelerator::Kvm,
            Self::Tcg => Accelerator::Tcg,
            Self::Auto if !Path::new("/dev/kvm").exists() => Accelerator::Tcg,
            Self::Auto => {
                let emulated = proof(folder, "tcg", "max", PROOF_TIME_MAX).ok().flatten();
                let limit = emulated.unwrap_or(PROOF_TIME_MAX) * KVM_TIME_FACTOR;
                match proof(folder, "kvm", "host", limit) {
                    Ok(Some(_)) => Accelerator::Kvm,
                    Ok(None) | Err(_) => Accelerator::Tcg,
                }
            }
        }
    }
}

/// How long a guest under this accelerator took to write its byte, if it did within the limit.
fn proof(folder: &Path, accelerator: &str, cpu: &str, limit: Duration) -> io::Result<Option<Duration>> {
    // The firmware reads no disk that is smaller.
    let mut image = vec![0; 1 << 20];
    image[..BOOT_SECTOR.len()].copy_from_slice(&BOOT_SECTOR);
    image[510..512].copy_from_slice(&[0x55, 0xAA]);
    let disk = folder.join("proof.img");
    fs::write(&disk, image)?;
    let begun = Instant::now();
    let mut process = Command::new("setsid")
        .args(Account::of_qemu().command())
        .args([QEMU, "-machine", "q35", "-accel", accelerator, "-cpu", cpu, "-m", "16", "-display", "none"])
        .args(["-nodefaults", "-no-user-config", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x01"])
        // The file is opened by us: QEMU's account may not reach the folder.
        .args(["-drive", "file=/dev/stdin,format=raw,if=none,id=proof,readonly=on"])
        .args(["-device", "virtio-blk-pci,drive=proof"])
        .stdin(fs::File::open(&disk)?)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    fs::remove_file(&disk)?;
    loop {
        match process.try_wait()? {
            Some(status) => return Ok((status.code() == Some(PROVEN)).then(|| begun.elapsed())),
            None if begun.elapsed() > limit => {
                process.kill()?;
                process.wait()?;
                return Ok(None);
            }
            #[expect(clippy::disallowed_methods, reason = "the caller knows that this blocks")]
            None => std::thread::sleep(PROOF_POLL),
        }
    }
}
