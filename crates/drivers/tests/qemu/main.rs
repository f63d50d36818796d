//! Tests of the driver on real virtual machines, under software emulation. `make test-vm` runs
//! them; otherwise they are reported as ignored.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod deaths;
mod downloads;
mod images;
mod import;
mod limits;
mod machines;
mod network;
mod origin;
mod programs;
mod promises;
mod screen;
mod test_bed;
mod web;

use cloudpc_drivers::qemu::{ImageRecipe, Images};

/// Runs alone, before the other tests.
#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn build_images() {
    let images = Images::open(&test_bed::folder().join("images")).unwrap();
    images.build(ImageRecipe::Test, &test_bed::image(), &mut |_| {}).unwrap();
    images.alias(&test_bed::image(), &test_bed::next(&test_bed::image())).unwrap();
    let bed = test_bed::TestBed::new();
    bed.driver.warm_up(&test_bed::spec(1), &test_bed::warm_image()).await.unwrap();
    images.alias(&test_bed::warm_image(), &test_bed::next(&test_bed::warm_image())).unwrap();
}
