//! Builds the command line of a QEMU process. Pure.

use cloudpc_model::CloudPcId;

use super::accelerator::Accelerator;
use super::image::{Firmware, INITRD_FILE, KERNEL_FILE};
use super::layout::{AGENT_SOCKET, CONSOLE_LOG, INCOMING_SOCKET, QMP_SOCKET, VNC_SOCKET, WATCH_SOCKET};
use super::network::Network;
use super::record::DiskRecord;
use crate::{GuestOs, MachineSpec};

/// The QEMU program.
pub const QEMU: &str = "qemu-system-x86_64";

/// The UEFI firmware, in one file, as Debian's package ovmf installs it.
pub const UEFI_FILE: &str = "/usr/share/ovmf/OVMF.fd";

/// The name of the disk's block node.
pub const DISK_NODE: &str = "disk";

/// The character device of the guest agent's port.
pub const AGENT_CHARDEV: &str = "agent";

/// Operations that QEMU may never perform: gain privileges, start programs, change its limits.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Size of the translation cache of software emulation, MiB. A larger cache makes every machine
/// larger and hardly faster.
const TRANSLATED_CODE_MIB: u32 = 32;

/// Returns the process's name, which identifies it later: the Cloud PC and the number of the boot.
pub fn name(id: CloudPcId, boot: u64) -> String {
    format!("{id}/boot-{boot}")
}

/// Returns the boot number in the arguments of a process that runs this machine.
pub fn boot_of(id: CloudPcId, arguments: &[impl AsRef<str>]) -> Option<u64> {
    let name = arguments.iter().map(AsRef::as_ref).skip_while(|word| *word != "-name").nth(1)?;
    name.strip_prefix(&format!("{id}/boot-"))?.parse().ok()
}

/// Returns the arguments of a process that runs this machine, with the working directory `run` in
/// the machine's folder.
pub fn arguments(
    spec: &MachineSpec,
    disk: &DiskRecord,
    network: &Network,
    accelerator: Accelerator,
    boot: u64,
    loads_memory: bool,
) -> Vec<String> {
    let info = &disk.info;
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm".to_owned(), "host"),
        Accelerator::Tcg => {
            (format!("tcg,tb-size={TRANSLATED_CODE_MIB}"), info.emulated_cpu.as_deref().unwrap_or("max"))
        }
    };
    let mut arguments = Arguments::default();
    arguments.add("-name", name(spec.id, boot));
    arguments.add("-uuid", spec.id.to_string());
    arguments.add("-machine", "q35");
    arguments.add("-accel", accel);
    arguments.add("-cpu", cpu);
    if info.os == GuestOs::Windows {
        // Windows keeps the real-time clock in local time.
        arguments.add("-rtc", "base=localtime");
    }
    arguments.add("-smp", spec.vcpu_count.to_string());
    arguments.add("-m", format!("{}G", spec.ram_gib));
    arguments.flag("-nodefaults");
    arguments.flag("-no-user-config");
    arguments.add("-sandbox", SANDBOX);
    // Append mode lets the log be truncated while QEMU writes it.
    arguments.add("-chardev", format!("file,id=console,path={CONSOLE_LOG},append=on"));
    arguments.add("-serial", "chardev:console");
    // Nothing would wake a suspended guest.
    for sleep in ["disable_s3", "disable_s4"] {
        arguments.add("-global", format!("ICH9-LPC.{sleep}=1"));
    }
    if info.firmware == Firmware::Uefi {
        arguments.add("-bios", UEFI_FILE);
    }
    if let Some(parameters) = &info.kernel_parameters {
        arguments.add("-kernel", format!("../disk/{KERNEL_FILE}"));
        arguments.add("-initrd", format!("../disk/{INITRD_FILE}"));
        arguments.add("-append", parameters.as_str());
    }
    // A guest that shuts down or panics pauses the process until the watch has recorded the reason.
    arguments.add("-action", "shutdown=pause,panic=pause");
    for (id, socket) in [("qmp", QMP_SOCKET), ("watch", WATCH_SOCKET)] {
        arguments.add("-chardev", format!("socket,id={id},path={socket},server=on,wait=off"));
        arguments.add("-mon", format!("chardev={id},mode=control"));
    }
    arguments.add("-chardev", format!("socket,id={AGENT_CHARDEV},path={AGENT_SOCKET},server=on,wait=off"));
    arguments.add("-device", "virtio-serial-pci");
    arguments.add("-device", format!("virtserialport,chardev={AGENT_CHARDEV},id=agent,name=org.qemu.guest_agent.0"));
    arguments.add(
        "-blockdev",
        format!("driver=qcow2,node-name={DISK_NODE},discard=unmap,file.driver=file,file.filename=../disk/disk.qcow2"),
    );
    // If the host's disk is full, the machine pauses until there is space again.
    arguments.add("-device", format!("virtio-blk-pci,drive={DISK_NODE},id=root,werror=enospc"));
    let (network, card) = network.arguments(spec.id);
    arguments.add("-netdev", network);
    arguments.add("-device", card);
    arguments.add("-device", "pvpanic-pci");
    match info.display {
        true => {
            arguments.add("-device", "VGA,vgamem_mb=16");
            match info.os {
                GuestOs::Linux => arguments.add("-device", "virtio-tablet-pci"),
                // Windows has a driver for this one.
                GuestOs::Windows => {
                    arguments.add("-device", "qemu-xhci");
                    arguments.add("-device", "usb-tablet");
                }
            }
            arguments.add("-vnc", format!("unix:{VNC_SOCKET}"));
        }
        false => arguments.add("-display", "none"),
    }
    if loads_memory {
        arguments.add("-incoming", format!("unix:{INCOMING_SOCKET}"));
    }
    arguments.0
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
    use crate::guest::Downloads;
    use crate::qemu::image::ImageInfo;
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

    fn disk(info: ImageInfo) -> DiskRecord {
        DiskRecord { tag: None, image: ImageId("a_b_c".into()), info }
    }

    #[test]
    fn command_line_of_a_machine() {
        let info = ImageInfo {
            os: GuestOs::Linux,
            kernel_parameters: Some("quiet".into()),
            firmware: Firmware::Bios,
            emulated_cpu: Some("qemu64".into()),
            display: false,
            downloads: Downloads::Pushed,
            warm: None,
        };
        let arguments = arguments(&spec(), &disk(info), &Network::Closed, Accelerator::Tcg, 3, false);
        assert_eq!(boot_of(spec().id, &arguments), Some(3));
        assert_eq!(boot_of(CloudPcId(uuid::Uuid::from_u128(8)), &arguments), None);
        assert_eq!(boot_of(spec().id, &["-name"]), None);
        insta::assert_snapshot!(
            arguments.join("\n").replace("\n-", "\u{0}-").replace("\n", " ").replace("\u{0}", "\n")
        );
    }

    #[test]
    fn a_machine_listens_on_no_network_address() {
        let info = ImageInfo {
            os: GuestOs::Windows,
            kernel_parameters: None,
            firmware: Firmware::Uefi,
            emulated_cpu: None,
            display: true,
            downloads: Downloads::Pushed,
            warm: None,
        };
        let arguments = arguments(&spec(), &disk(info), &Network::Closed, Accelerator::Kvm, 1, true);
        for word in &arguments {
            assert!(!word.contains("hostfwd") && !word.contains("tcp:") && !word.contains("0.0.0.0"), "{word}");
        }
        assert!(arguments.contains(&"unix:vnc.sock".to_owned()));
        assert!(arguments.contains(&"host".to_owned()));
        assert!(!arguments.contains(&"-kernel".to_owned()) && arguments.contains(&UEFI_FILE.to_owned()));
    }
}
