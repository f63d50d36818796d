//! Machines with enforced resource limits. Few test hosts run systemd, and their configuration must
//! not be changed; so a guest acts as the host: a Debian with systemd and QEMU, in which this
//! program runs again, as a service of root and as one of a user.

use cloudpc_drivers::{Driver, MachineSpec, Tag};
use cloudpc_model::ImageId;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::fetch;
use crate::test_bed::{TestBed, folder, image, not_run, spec};
/// Environment variable that is set in the guest that acts as the host.
const INSIDE: &str = "CLOUDPC_TEST_LIMITS";

const NAME: &str = "limits::limits_are_enforced_and_a_machine_outlives_its_service";

/// Path of the program in the guest.
const PROGRAM: &str = "/opt/cloudpc-test";

/// The guest stores the machine's process id here, for the check after the service has exited.
const PID_FILE: &str = "/var/tmp/machine.pid";

fn debian() -> ImageId {
    ImageId("cloudpc_debian_guest".into())
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn limits_are_enforced_and_a_machine_outlives_its_service() {
    if std::env::var_os(INSIDE).is_some() {
        return inside().await;
    }
    if !rustix::process::geteuid().is_root() {
        return not_run("building the Debian guest of this test requires root");
    }
    build_debian();
    let bed = TestBed::new();
    let host = MachineSpec { vcpu_count: 2, ram_gib: 2, storage_gib: 4, image: debian(), ..spec(1) };
    let guest = bed.ready(&host).await;
    for user in ["root", "cpc"] {
        let script = include_str!("limits/service.sh");
        let tag = Tag(user.into());
        fetch(&*guest, &tag, script.as_bytes()).await;
        let folder = folder();
        let arguments = [user, folder.to_str().unwrap(), PROGRAM, NAME, INSIDE, PID_FILE].map(str::to_owned);
        let exit = guest.run(&tag, &arguments).await.unwrap();
        assert_eq!(exit.code, 0, "as {user}: {}", exit.output);
    }
}

/// Builds a Debian with systemd, QEMU, the images of these tests, and this program.
fn build_debian() {
    let images = folder().join("images");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/qemu/limits/debian.sh");
    let built = Command::new("bash")
        .arg(script)
        .args([images.join(debian().0), images.join(image().0), folder()])
        .args([std::env::current_exe().unwrap(), PathBuf::from(PROGRAM)])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

/// Returns the control group of a process.
fn group(pid: &str) -> PathBuf {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    Path::new("/sys/fs/cgroup").join(groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap())
}

/// Returns the limits of a control group, as reported by the kernel.
fn limits(group: &Path) -> String {
    let limit = |name| std::fs::read_to_string(group.join(name)).unwrap();
    limit("memory.max") + &limit("cpu.max")
}

async fn inside() {
    let bed = TestBed::with_limits(tempfile::tempdir_in("/var/tmp").unwrap());
    bed.driver.ensure_present(&spec(1)).await.unwrap();
    bed.driver.ensure_running(spec(1).id).await.unwrap();
    let pid = bed.pid(&spec(1));
    let group = group(&pid);
    assert_eq!(limits(&group), format!("{}\n150000 100000\n", (1024_u64 + 512) << 20));
    assert!(group.iter().any(|part| part == "cloudpc.slice"), "{}", group.display());
    std::fs::write(PID_FILE, pid).unwrap();
    // The machine must outlive this process.
    std::mem::forget(bed);
}
