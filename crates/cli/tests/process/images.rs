//! Images of a host and the gallery of the service that runs on it.

use crate::service::{Service, run};

const FLEET: &str = "
[[tenants]]
name = 'Contoso'
domain = 'contoso.test'
users = [{ name = 'ada' }]
service_plans = [{ name = 'small', vcpu_count = 1, ram_gib = 1, storage_gib = 3, product = 'business' }]
gallery_images = [{ id = 'first', name = 'First', size_gib = 1, os_version = 'windows11' }]
";

fn start(driver: &str, more: &str) -> Service {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.toml");
    std::fs::write(&file, format!("{FLEET}{more}")).unwrap();
    let options = ["--driver", driver, "--scenario", file.to_str().unwrap()];
    Service::start_in(folder, &options)
}

#[test]
fn an_image_of_a_running_service_is_added_said_anew_used_and_deleted() {
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
    assert_eq!((&rows[0]["gallery"]["sizeInGB"], &rows[0]["onHost"]), (&3.into(), &serde_json::Value::Null));

    let made = service.run(&["reprovision", "desk", "--os", "windows10"]);
    assert_eq!(made.exit, 0, "{}", made.err);
    let held = service.run(&["image", "delete", "debian-12.5"]);
    assert_eq!(held.exit, 4, "{}", held.err);
    assert!(held.err.contains("imageInUse"), "{}", held.err);
    assert_eq!(service.run(&["cancel", "desk"]).exit, 0);
    let deleted = service.run(&["image", "delete", "first"]);
    assert_eq!(deleted.exit, 4, "the Cloud PC is made from it: {}", deleted.err);
    assert_eq!(service.run(&["image", "delete", "no-such-image"]).exit, 3);
}

#[test]
fn real_machines_need_the_image_on_their_host() {
    let mut service = start("qemu", "");
    let refused = service.run(&["image", "add", "second", "--size", "2"]);
    assert_eq!(refused.exit, 4, "{}", refused.err);
    assert!(refused.err.contains("build or import it with `cloudpc image`"), "{}", refused.err);
    let unknown = service.run(&["image", "add", "second"]);
    assert_eq!(unknown.exit, 3, "{}", unknown.err);
    // It is in the gallery, where a scenario has put it, and nothing is made from it.
    assert_eq!(service.run(&["image", "delete", "first"]).exit, 0);
    assert_eq!(service.stop(), Some(0));
    let unsure = service.run(&["image", "delete", "first"]);
    assert_eq!(unsure.exit, 6, "{}", unsure.err);
}

#[test]
fn without_a_service_the_gallery_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let list = run(&["image", "list", "--data", data, "-o", "json"], &[]);
    assert_eq!((list.exit, list.out.as_str()), (0, "[]\n"), "{}", list.err);
    assert!(list.err.contains("No service runs on"), "{}", list.err);
    let added = run(&["image", "add", "a", "--data", data], &[]);
    assert_eq!(added.exit, 6, "{}", added.err);
    let wrong = run(&["image", "build", "test", "--id", "a/b", "--data", data], &[]);
    assert_eq!(wrong.exit, 2, "{}", wrong.err);
}
