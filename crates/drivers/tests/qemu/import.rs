//! Imports of disks that boot by themselves.

use cloudpc_drivers::qemu::{Downloads, Firmware, Import};
use cloudpc_drivers::{GuestOs, MachineSpec};
use cloudpc_model::ImageId;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::test_bed::{TestBed, folder, image, images, spec};

/// Makes a disk that boots by BIOS and by UEFI.
pub fn bootable(folder: &Path) -> PathBuf {
    let disk = folder.join("bootable.qcow2");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/qemu/bootable.sh");
    let test_image = crate::test_bed::folder().join("images").join(image().0);
    let output = Command::new("bash").arg(script).arg(test_image).arg(&disk).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    disk
}

fn qemu_img(arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_bootable_disk_is_imported_and_an_invalid_one_refused() {
    let folder_of_disks = tempfile::tempdir_in(folder()).unwrap();
    let disk = bootable(folder_of_disks.path());
    let import = |file: &Path, firmware| Import {
        file: file.to_owned(),
        os: GuestOs::Linux,
        firmware,
        downloads: Downloads::Inside,
    };
    let refused = |file: &Path| {
        let refused = images().import(&import(file, None), &ImageId("refused".into()), &mut |_| {});
        refused.unwrap_err().to_string()
    };
    let path = |name: &str| folder_of_disks.path().join(name).to_str().unwrap().to_owned();
    let (overlay, empty) = (path("overlay.qcow2"), path("empty.qcow2"));
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", disk.to_str().unwrap(), "-F", "qcow2", &overlay]);
    assert!(refused(Path::new(&overlay)).contains("differences to"));
    qemu_img(&["create", "-q", "-f", "qcow2", &empty, "1M"]);
    assert!(refused(Path::new(&empty)).contains("no boot sector"));
    let whole = std::fs::read(&disk).unwrap();
    std::fs::write(path("half.qcow2"), &whole[..whole.len() / 2]).unwrap();
    assert!(refused(Path::new(&path("half.qcow2"))).contains("qemu-img"));

    let bed = TestBed::new();
    let (mut steps, by_bios) = (Vec::new(), ImageId("cloudpc_imported_bios".into()));
    images().import(&import(&disk, None), &by_bios, &mut |step| steps.push(step.percent)).unwrap();
    assert!(steps.is_sorted() && steps.last() == Some(&100), "{steps:?}");
    let by_uefi = ImageId("cloudpc_imported_uefi".into());
    images().import(&import(&disk, Some(Firmware::Uefi)), &by_uefi, &mut |_| {}).unwrap();
    drop(folder_of_disks);
    for (number, image, efi) in [(1, by_bios, None), (2, by_uefi, Some(b"64\n".to_vec()))] {
        let guest = bed.ready(&MachineSpec { image, ..spec(number) }).await;
        let command_line = guest.read_file("/proc/cmdline").await.unwrap().unwrap();
        assert!(
            String::from_utf8(command_line).unwrap().contains("root=/dev/vda2"),
            "the disk's own boot loader must have started the guest"
        );
        assert_eq!(guest.read_file("/sys/firmware/efi/fw_platform_size").await.unwrap(), efi);
    }
}
