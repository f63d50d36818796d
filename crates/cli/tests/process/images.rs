//! The images of a host and the gallery of its service.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

use crate::machines::Machines;
use crate::service::{Service, pause, run};

const FLEET: &str = "
[[tenants]]
name = 'Contoso'
domain = 'contoso.test'
users = [{ name = 'ada' }]
service_plans = [{ name = 'small', vcpu_count = 1, ram_gib = 1, storage_gib = 3, product = 'business' }]
gallery_images = [{ id = 'first', name = 'First', size_gib = 1, os_version = 'windows11' }]
";

fn start(driver: &str, more: &str) -> Service {
    start_in(tempfile::tempdir().unwrap(), driver, more)
}

fn start_in(folder: TempDir, driver: &str, more: &str) -> Service {
    let file = folder.path().join("fleet.toml");
    std::fs::write(&file, format!("{FLEET}{more}")).unwrap();
    let options = ["--driver", driver, "--scenario", file.to_str().unwrap()];
    Service::start_in(folder, &options)
}

#[test]
fn an_image_of_a_running_service_is_added_replaced_used_and_deleted() {
    let service = start("sim", "cloud_pcs = [{ name = 'desk', user = 'ada', service_plan = 'small' }]");
    let added = service.run(&["image", "add", "debian-12.5", "--size", "2", "--os-version", "windows10"]);
    assert_eq!(added.exit, 0, "{}", added.err);
    assert!(added.err.contains("reprovision NAME --os windows10"), "{}", added.err);
    let named = service.run(&["image", "add", "debian-12.5", "--size", "3", "--name", "Debian 12"]);
    assert_eq!(named.exit, 0, "{}", named.err);
    let list = service.run(&["image", "list"]);
    insta::assert_snapshot!(list.out, @"
    IMAGE        IN GALLERY FOR  NAME
    debian-12.5  windows10       Debian 12
    first        windows11       First
    ");
    let rows = service.json(&["image", "list"]);
    assert_eq!((&rows[0]["gallery"]["sizeInGB"], &rows[0]["onHost"]), (&3.into(), &Value::Null));

    let made = service.run(&["reprovision", "desk", "--os", "windows10"]);
    assert_eq!(made.exit, 0, "{}", made.err);
    let held = service.run(&["image", "delete", "debian-12.5"]);
    assert_eq!(held.exit, 4, "{}", held.err);
    assert!(held.err.contains("imageInUse"), "{}", held.err);
    assert_eq!(service.run(&["cancel", "desk"]).exit, 0);
    let deleted = service.run(&["image", "delete", "first"]);
    assert_eq!(deleted.exit, 4, "a Cloud PC uses the image: {}", deleted.err);
    assert_eq!(service.run(&["image", "delete", "no-such-image"]).exit, 3);
}

#[test]
fn an_image_for_real_machines_must_be_on_the_host() {
    let mut service = start("qemu", "");
    let refused = service.run(&["image", "add", "second", "--size", "2"]);
    assert_eq!(refused.exit, 4, "{}", refused.err);
    assert!(refused.err.contains("build or import it with `cloudpc image`"), "{}", refused.err);
    let unknown = service.run(&["image", "add", "second"]);
    assert_eq!(unknown.exit, 3, "{}", unknown.err);
    // The image is in the gallery, added by a scenario, and no Cloud PC uses it.
    assert_eq!(service.run(&["image", "delete", "first"]).exit, 0);
    assert_eq!(service.stop(), Some(0));
    let unsure = service.run(&["image", "delete", "first"]);
    assert_eq!(unsure.exit, 6, "{}", unsure.err);
}

#[test]
fn image_list_without_a_service_omits_the_gallery() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let list = run(&["image", "list", "--data", data, "-o", "json"], &[]);
    assert_eq!((list.exit, list.out.as_str()), (0, "[]\n"), "{}", list.err);
    assert!(list.err.contains("No service is running on"), "{}", list.err);
    let added = run(&["image", "add", "a", "--data", data], &[]);
    assert_eq!(added.exit, 6, "{}", added.err);
    let wrong = run(&["image", "build", "test", "--id", "a/b", "--data", data], &[]);
    assert_eq!(wrong.exit, 2, "{}", wrong.err);
}

#[test]
#[ignore = "needs QEMU: make test-vm"]
fn a_reprovision_uses_an_image_built_while_the_service_runs() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data = folder.path().join("data");
    let first = run(&["image", "build", "test", "--id", "first", "--data", data.to_str().unwrap()], &[]);
    assert_eq!(first.exit, 0, "{}", first.err);
    assert!(first.err.contains("no service is running on"), "{}", first.err);
    let service = start_in(folder, "qemu", "cloud_pcs = [{ name = 'desk', user = 'ada', service_plan = 'small' }]");
    let _machines = Machines(&data);

    let second = ["image", "build", "test", "--id", "second", "--os-version", "windows10", "--name", "Second"];
    let second = service.run(&second);
    assert_eq!((second.exit, second.out.trim()), (0, "second"), "{}", second.err);
    let again = service.run(&["reprovision", "desk", "--os", "windows10", "--wait"]);
    assert_eq!(again.exit, 0, "{}", again.err);
    let desk = &service.json(&["list"])[0];
    assert_eq!(desk["imageDisplayName"], "Second", "{desk}");
    let disk = data.join("qemu/machines").join(desk["id"].as_str().unwrap()).join("disk/disk.json");
    let disk: Value = serde_json::from_slice(&std::fs::read(disk).unwrap()).unwrap();
    assert_eq!(disk["image"], "second");
    assert_eq!(service.run(&["image", "delete", "second"]).exit, 4);
}

/// Imports an empty disk, with a boot check of this many seconds; the command runs in the folder.
fn import_empty_disk(folder: &Path, seconds: &str) -> Command {
    let mut make = Command::new("qemu-img");
    make.args(["create", "-q", "-f", "qcow2", "nothing.qcow2", "1G"]).current_dir(folder);
    assert!(make.status().unwrap().success());
    let mut import = Command::new(env!("CARGO_BIN_EXE_cloudpc"));
    import.args(["image", "import", "nothing.qcow2", "--os", "linux", "--firmware", "bios", "--data", "data"]);
    import.args(["--check", "--check-time", seconds]).current_dir(folder);
    import
}

/// Returns the leftovers of the check's machine.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let machines = std::fs::read_dir(folder.join("data/qemu/trials/machines")).into_iter().flatten();
    machines.map(|machine| machine.unwrap().path()).collect()
}

#[test]
#[ignore = "needs QEMU: make test-vm"]
fn a_disk_that_does_not_boot_is_reported_with_a_screenshot_and_leaves_no_machine() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = import_empty_disk(folder.path(), "4").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("did not answer within 4 seconds") && stderr.contains("in nothing.png"), "{stderr}");
    let screenshot = std::fs::read(folder.path().join("nothing.png")).unwrap();
    assert!(screenshot.starts_with(b"\x89PNG"));
    assert_eq!(leftovers(folder.path()), Vec::<PathBuf>::new());
}

/// Starts a long boot check; returns it and its machine's process id.
fn long_check(folder: &Path) -> (Child, String) {
    let check = import_empty_disk(folder, "600").stderr(Stdio::piped()).spawn().unwrap();
    let pid = |machine: &PathBuf| std::fs::read_to_string(machine.join("pid")).ok().filter(|pid| !pid.is_empty());
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match leftovers(folder).iter().find_map(pid) {
            Some(pid) => return (check, pid),
            None if Instant::now() > until => panic!("no machine was started"),
            None => pause(Duration::from_millis(50)),
        }
    }
}

/// Returns whether a process is running. A zombie has no command line.
fn runs(pid: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[test]
#[ignore = "needs QEMU: make test-vm"]
fn an_interrupted_check_leaves_no_machine() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut check, machine) = long_check(folder.path());
    let interrupt = Command::new("kill").args(["-INT", &check.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let ended = check.wait().unwrap();
    let stderr = std::io::read_to_string(check.stderr.take().unwrap()).unwrap();
    assert_eq!(ended.code(), Some(1), "{stderr}");
    assert!(stderr.contains("interrupted"), "{stderr}");
    assert_eq!(leftovers(folder.path()), Vec::<PathBuf>::new());
    assert!(!runs(&machine), "the machine's process must have exited");
}

#[test]
#[ignore = "needs QEMU: make test-vm"]
fn leftovers_of_a_killed_check_are_removed_by_the_next_one() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut check, machine) = long_check(folder.path());
    check.kill().unwrap();
    check.wait().unwrap();
    assert!(runs(&machine), "the machine outlives the killed check");

    let next = import_empty_disk(folder.path(), "1").output().unwrap();
    let stderr = String::from_utf8_lossy(&next.stderr).into_owned();
    assert!(stderr.contains("did not answer within 1 seconds"), "{stderr}");
    assert_eq!(leftovers(folder.path()), Vec::<PathBuf>::new());
    assert!(!runs(&machine), "the machine's process must have exited");
}

#[test]
fn image_delete_refuses_a_device_image_and_keeps_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("qemu/images/10000000-0000-4000-8000-0000000000e1");
    std::fs::create_dir_all(&image).unwrap();
    std::fs::write(image.join("source.json"), r#"{"source": "https://images.contoso.test/disk.qcow2"}"#).unwrap();
    let data = folder.path().to_str().unwrap();
    let refused = run(&["image", "delete", "10000000-0000-4000-8000-0000000000e1", "--data", data], &[]);
    insta::assert_snapshot!(refused.err, @"error: Image 10000000-0000-4000-8000-0000000000e1 is a device image that was imported from https://images.contoso.test/disk.qcow2 at a client's request. Delete it with DELETE /beta/deviceManagement/virtualEndpoint/deviceImages/10000000-0000-4000-8000-0000000000e1.");
    assert_eq!(refused.exit, 4);
    assert!(image.join("source.json").exists());
}
