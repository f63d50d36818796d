//! The driver on real virtual machines, under software emulation. `make test-vm` runs them; they say here that they were not run otherwise.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped has failed the test")]

mod bed;
mod machines;
mod programs;
mod promises;
mod web;

use cloudpc_drivers::qemu::Images;
use cloudpc_model::ImageId;

/// Run by itself before the others.
#[test]
#[ignore = "needs QEMU: make test-vm"]
fn build_images() {
    let images = Images::open(&bed::folder().join("images")).unwrap();
    images.build_test(&bed::image()).unwrap();
    images.alias(&bed::image(), &ImageId(format!("{}-next", bed::image()))).unwrap();
}
