//! Images that are imported by requests, from files and URLs.

use cloudpc_drivers::qemu::{PROBE_TIME_MAX, SourceSettings};
use cloudpc_drivers::{
    Driver, DriverError, GuestOs, IMAGE_DISK_GIB_MAX, SOURCE_IMAGE_INVALID, SOURCE_IMAGE_NOT_FOUND,
    SOURCE_IMAGE_TOO_LARGE,
};
use cloudpc_model::ImageId;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

use crate::test_bed::{self, TestBed};
use crate::web;

/// The bootable disk in a folder of sources.
pub const DISK: &str = "disk.qcow2";

/// Makes a folder with a disk that boots.
pub fn folder_of_sources() -> TempDir {
    let folder = tempfile::tempdir_in(test_bed::folder()).unwrap();
    fs::rename(crate::import::bootable(folder.path()), folder.path().join(DISK)).unwrap();
    folder
}

/// Returns the source of a file in the folder.
pub fn source(name: &str) -> String {
    format!("/subscriptions/any/resourceGroups/any/providers/Microsoft.Compute/images/{name}")
}

fn qemu_img(folder: &Path, arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn an_image_is_imported_from_a_url_and_a_raw_file_and_reports_its_system() {
    let folder = folder_of_sources();
    let url = web::serve(fs::read(folder.path().join(DISK)).unwrap()).await;
    qemu_img(folder.path(), &["convert", "-f", "qcow2", "-O", "raw", DISK, "disk.raw"]);
    let sources = SourceSettings { folder: Some(folder.path().to_owned()), allowed_urls: vec![url.clone()] };
    let bed = TestBed::with_sources(sources, PROBE_TIME_MAX);
    let listed = bed.driver.source_images().await.unwrap();
    let names: Vec<_> = listed.iter().map(|source| source.display_name.as_str()).collect();
    assert_eq!(names, [DISK, "disk.raw"]);

    let image = ImageId("from-url".into());
    bed.driver.ensure_image(&image, &url).await.unwrap();
    let facts = bed.driver.probe_image(&image).await.unwrap();
    assert_eq!((facts.os, facts.version_number.as_deref()), (GuestOs::Linux, Some("1")));
    assert_eq!(facts.operating_system.as_deref(), Some("Test guest 1"));
    bed.driver.ensure_image_absent(&image).await.unwrap();

    let image = ImageId("from-raw".into());
    bed.driver.ensure_image(&image, &source("disk.raw")).await.unwrap();
    bed.driver.ensure_image_absent(&image).await.unwrap();
    assert_eq!(fs::read_dir(bed.path().join("downloads")).unwrap().count(), 0, "a download remains");
    assert_eq!(fs::read_dir(bed.path().join("probes/machines")).unwrap().count(), 0, "a machine remains");
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_file_that_is_no_self_contained_disk_is_refused() {
    let folder = tempfile::tempdir_in(test_bed::folder()).unwrap();
    let path = |name: &str| folder.path().join(name);
    qemu_img(folder.path(), &["create", "-q", "-f", "qcow2", "base.qcow2", "1M"]);
    qemu_img(folder.path(), &["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "overlay.qcow2"]);
    qemu_img(folder.path(), &["create", "-q", "-f", "qcow2", "-o", "data_file=data.raw", "outside.qcow2", "1M"]);
    qemu_img(folder.path(), &["create", "-q", "-f", "qcow2", "largest.qcow2", &format!("{IMAGE_DISK_GIB_MAX}G")]);
    let bytes = (u64::from(IMAGE_DISK_GIB_MAX) << 30) + 512;
    qemu_img(folder.path(), &["create", "-q", "-f", "qcow2", "large.qcow2", &bytes.to_string()]);
    fs::write(path("text.raw"), "a text").unwrap();
    fs::create_dir(path("folder")).unwrap();
    std::os::unix::fs::symlink("largest.qcow2", path("link")).unwrap();
    let sources = SourceSettings { folder: Some(folder.path().to_owned()), allowed_urls: Vec::new() };
    let bed = TestBed::with_sources(sources, Duration::from_secs(3));
    let gallery = "/subscriptions/a/resourceGroups/a/providers/Microsoft.Compute/galleries/a/images/b/versions/1";
    let table = [
        (source("missing.qcow2"), SOURCE_IMAGE_NOT_FOUND),
        (source("folder"), SOURCE_IMAGE_NOT_FOUND),
        (source("link"), SOURCE_IMAGE_NOT_FOUND),
        (gallery.to_owned(), SOURCE_IMAGE_NOT_FOUND),
        ("https://127.0.0.1/disk.qcow2".to_owned(), SOURCE_IMAGE_NOT_FOUND),
        (source("text.raw"), SOURCE_IMAGE_INVALID),
        (source("overlay.qcow2"), SOURCE_IMAGE_INVALID),
        (source("outside.qcow2"), SOURCE_IMAGE_INVALID),
        (source("large.qcow2"), SOURCE_IMAGE_TOO_LARGE),
    ];
    let image = ImageId("refused".into());
    for (source, expected) in table {
        let checked = bed.driver.check_source(&source).await.map(drop);
        let imported = bed.driver.ensure_image(&image, &source).await;
        assert_eq!(checked, imported);
        assert!(
            matches!(&imported, Err(DriverError::Rejected { code, .. }) if code == expected),
            "{source}: {imported:?}"
        );
    }
    bed.driver.check_source(&source("largest.qcow2")).await.unwrap();

    // A disk without an operating system is found out by its boot.
    let mut disk = vec![0; 1 << 20];
    (disk[0], disk[510], disk[511]) = (0xF4, 0x55, 0xAA);
    fs::write(path("halts.raw"), disk).unwrap();
    bed.driver.ensure_image(&image, &source("halts.raw")).await.unwrap();
    let probed = bed.driver.probe_image(&image).await;
    assert!(matches!(&probed, Err(DriverError::Rejected { code, .. }) if code == SOURCE_IMAGE_INVALID), "{probed:?}");
    bed.driver.ensure_image_absent(&image).await.unwrap();
    let built = bed.driver.ensure_image_absent(&test_bed::image()).await;
    assert!(matches!(built, Err(DriverError::Conflict(_))), "{built:?}");
}
