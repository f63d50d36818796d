//! The command line of a QEMU process. Pure.

use cloudpc_model::CloudPcId;

use super::accelerator::Accelerator;
use super::image::{Firmware, INITRD_FILE, KERNEL_FILE};
use super::layout::{AGENT_SOCKET, CONSOLE_LOG, INCOMING_SOCKET, QMP_SOCKET, VNC_SOCKET, WATCH_SOCKET};
use super::network::Network;
use super::record::DiskRecord;
use crate::{GuestOs, MachineSpec};

/// The program.
pub const QEMU: &str = "qemu-system-x86_64";

/// UEFI for machines, in one file, as Debian's package ovmf has it.
pub const UEFI_FILE: &str = "/usr/share/ovmf/OVMF.fd";

/// The block node of the disk, by which commands name it.
pub const DISK_NODE: &str = "disk";

/// The host's end of the guest agent's port.
pub const AGENT_CHARDEV: &str = "agent";

/// What QEMU may never do, from its first instruction on: gain rights, start programs, change its
/// limits.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Code that software emulation has translated is kept in so many MiB; more makes every machine
/// larger and hardly faster.
const TRANSLATED_CODE_MIB: u32 = 32;

/// What a process is told of itself, so that it can be told apart later: the Cloud PC and the
/// number of the boot.
pub fn name(id: CloudPcId, boot: u64) -> String {
    format!("{id}/boot-{boot}")
}

/// The number of the boot in the arguments of a process that runs this machine.
pub fn boot_of(id: CloudPcId, arguments: &[impl AsRef<str>]) -> Option<u64> {
    let name = arguments.iter().map(AsRef::as_ref).skip_while(|word| *word != "-name").nth(1)?;
    name.strip_prefix(&format!("{id}/boot-"))?.parse().ok()
}

/// The arguments of a process that runs this machine, in the working folder `run` of the machine's
/// folder.
pub fn arguments(
    spec: &MachineSpec,
    disk: &DiskRecord,
    network: &Network,
    accelerator: Accelerator,
    boot: u64,
    waits_for_memory: bool,
) -> Vec<String> {
    let about = &disk.about;
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm".to_owned(), "host"),
        Accelerator::Tcg => {
            (format!("tcg,tb-size={TRANSLATED_CODE_MIB}"), about.emulated_cpu.as_deref().unwrap_or("max"))
        }
    };
    let mut words = Arguments::default();
    words.add("-name", name(spec.id, boot));
    words.add("-uuid", spec.id.to_string());
    words.add("-machine", "q35");
    words.add("-accel", accel);
    words.add("-cpu", cpu);
    if about.os == GuestOs::Windows {
        // Windows keeps the clock of the board in local time.
        words.add("-rtc", "base=localtime");
    }
    words.add("-smp", spec.vcpu_count.to_string());
    words.add("-m", format!("{}G", spec.ram_gib));
    words.flag("-nodefaults");
    words.flag("-no-user-config");
    words.add("-sandbox", SANDBOX);
    // Appended to, so that it can be cut while it is written.
    words.add("-chardev", format!("file,id=console,path={CONSOLE_LOG},append=on"));
    words.add("-serial", "chardev:console");
    // Nobody would wake a guest that has gone to sleep.
    for sleep in ["disable_s3", "disable_s4"] {
        words.add("-global", format!("ICH9-LPC.{sleep}=1"));
    }
    if about.firmware == Firmware::Uefi {
        words.add("-bios", UEFI_FILE);
    }
    if let Some(parameters) = &about.kernel_parameters {
        words.add("-kernel", format!("../disk/{KERNEL_FILE}"));
        words.add("-initrd", format!("../disk/{INITRD_FILE}"));
        words.add("-append", parameters.as_str());
    }
    // A guest that ends leaves the process standing until it was seen why.
    words.add("-action", "shutdown=pause,panic=pause");
    for (id, socket) in [("qmp", QMP_SOCKET), ("watch", WATCH_SOCKET)] {
        words.add("-chardev", format!("socket,id={id},path={socket},server=on,wait=off"));
        words.add("-mon", format!("chardev={id},mode=control"));
    }
    words.add("-chardev", format!("socket,id={AGENT_CHARDEV},path={AGENT_SOCKET},server=on,wait=off"));
    words.add("-device", "virtio-serial-pci");
    words.add("-device", format!("virtserialport,chardev={AGENT_CHARDEV},id=agent,name=org.qemu.guest_agent.0"));
    words.add(
        "-blockdev",
        format!("driver=qcow2,node-name={DISK_NODE},discard=unmap,file.driver=file,file.filename=../disk/disk.qcow2"),
    );
    // On a full host the machine stops, and goes on when there is room again.
    words.add("-device", format!("virtio-blk-pci,drive={DISK_NODE},id=root,werror=enospc"));
    let (network, card) = network.arguments(spec.id);
    words.add("-netdev", network);
    words.add("-device", card);
    words.add("-device", "pvpanic-pci");
    match about.display {
        true => {
            words.add("-device", "VGA,vgamem_mb=16");
            match about.os {
                GuestOs::Linux => words.add("-device", "virtio-tablet-pci"),
                // It knows this one without a driver of ours.
                GuestOs::Windows => {
                    words.add("-device", "qemu-xhci");
                    words.add("-device", "usb-tablet");
                }
            }
            words.add("-vnc", format!("unix:{VNC_SOCKET}"));
        }
        false => words.add("-display", "none"),
    }
    if waits_for_memory {
        words.add("-incoming", format!("unix:{INCOMING_SOCKET}"));
    }
    words.0
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.to_owned(), value.into()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::image::{Downloads, ImageInfo};
    use cloudpc_model::ImageId;

    fn spec() -> MachineSpec {
        MachineSpec {
            id: CloudPcId(uuid::Uuid::from_u128(7)),
            hostname: "CPC-ada-4F7Q2".into(),
            vcpu_count: 2,
            ram_gib: 4,
            storage_gib: 64,
            gpu: false,
            image: ImageId("a_b_c".into()),
        }
    }

    fn disk(about: ImageInfo) -> DiskRecord {
        DiskRecord { tag: None, image: ImageId("a_b_c".into()), about }
    }

    #[test]
    fn a_process_is_told_what_it_runs_and_can_be_told_apart() {
        let about = ImageInfo {
            os: GuestOs::Linux,
            kernel_parameters: Some("quiet".into()),
            firmware: Firmware::Bios,
            emulated_cpu: Some("qemu64".into()),
            display: false,
            downloads: Downloads::Pushed,
            warm: None,
        };
        let arguments = arguments(&spec(), &disk(about), &Network::Closed, Accelerator::Tcg, 3, false);
        assert_eq!(boot_of(spec().id, &arguments), Some(3));
        assert_eq!(boot_of(CloudPcId(uuid::Uuid::from_u128(8)), &arguments), None);
        assert_eq!(boot_of(spec().id, &["-name"]), None);
        insta::assert_snapshot!(
            arguments.join("\n").replace("\n-", "\u{0}-").replace("\n", " ").replace("\u{0}", "\n")
        );
    }

    #[test]
    fn nothing_listens_on_an_address() {
        let about = ImageInfo {
            os: GuestOs::Windows,
            kernel_parameters: None,
            firmware: Firmware::Uefi,
            emulated_cpu: None,
            display: true,
            downloads: Downloads::Pushed,
            warm: None,
        };
        let arguments = arguments(&spec(), &disk(about), &Network::Closed, Accelerator::Kvm, 1, true);
        for word in &arguments {
            assert!(!word.contains("hostfwd") && !word.contains("tcp:") && !word.contains("0.0.0.0"), "{word}");
        }
        assert!(arguments.contains(&"unix:vnc.sock".to_owned()));
        assert!(arguments.contains(&"host".to_owned()));
        assert!(!arguments.contains(&"-kernel".to_owned()) && arguments.contains(&UEFI_FILE.to_owned()));
    }
}
