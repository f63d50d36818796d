//! What a machine shows.

use cloudpc_drivers::Driver;
use std::time::Duration;
use tokio::io::AsyncReadExt;

use crate::bed::{Bed, warm_spec};

/// Width and height of a picture: two numbers of four bytes at a fixed place, by the PNG
/// specification.
fn size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_machine_shows_its_console_to_several_at_once() {
    let bed = Bed::new();
    let spec = warm_spec(1);
    bed.ready(&spec).await;
    for _ in 0..2 {
        let mut greeting = [0; 12];
        let mut display = bed.driver.display(spec.id).await.unwrap();
        let read = tokio::time::timeout(Duration::from_secs(10), display.read_exact(&mut greeting)).await;
        read.expect("the screen greets first").unwrap();
        assert_eq!(&greeting, b"RFB 003.008\n");
    }
    // At the same time, and while the driver is busy.
    let pictures = tokio::join!(bed.driver.screenshot(spec.id), bed.driver.screenshot(spec.id));
    for picture in [pictures.0.unwrap(), pictures.1.unwrap()] {
        let (width, height) = size(&picture);
        assert!(width >= 640 && height >= 400, "{width} x {height}");
        assert!(picture.len() > 1000, "there is text on it: {} bytes", picture.len());
    }
    assert!(!bed.machine(&spec).join("run/screen.png").exists(), "nothing is left behind");
}
