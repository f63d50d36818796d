//! The driver on real virtual machines, under software emulation. `make test-vm` runs them; they
//! say here that they were not run otherwise.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped has failed the test")]

mod bed;
mod deaths;
mod downloads;
mod import;
mod limits;
mod machines;
mod network;
mod origin;
mod programs;
mod promises;
mod screen;
mod web;

use cloudpc_drivers::qemu::{ImageRecipe, Images};

/// Run by itself before the others.
#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn build_images() {
    let images = Images::open(&bed::folder().join("images")).unwrap();
    images.build(ImageRecipe::Test, &bed::image(), &mut |_| {}).unwrap();
    images.alias(&bed::image(), &bed::next(&bed::image())).unwrap();
    let bed = bed::Bed::new();
    bed.driver.warm_up(&bed::spec(1), &bed::warm_image()).await.unwrap();
    images.alias(&bed::warm_image(), &bed::next(&bed::warm_image())).unwrap();
}
