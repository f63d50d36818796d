//! The images of real machines in a data directory, which the command line makes. Needs no running service.

use std::io;
use std::path::Path;

pub use cloudpc_drivers::qemu::{Images, Progress, Recipe};
pub use cloudpc_model::ImageId;

/// The images of a data directory.
///
/// # Errors
/// Their folder cannot be made.
pub fn open(data: &Path) -> io::Result<Images> {
    Images::open(&data.join("qemu/images"))
}
