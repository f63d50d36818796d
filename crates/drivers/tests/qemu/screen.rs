//! The screen of a machine.

use cloudpc_drivers::Driver;
use std::time::Duration;
use tokio::io::AsyncReadExt;

use crate::test_bed::{TestBed, warm_spec};

/// Returns the width and height in a PNG: two four-byte numbers at a fixed offset, by the PNG
/// specification.
fn size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn several_clients_see_the_console_at_once() {
    let bed = TestBed::new();
    let spec = warm_spec(1);
    bed.ready(&spec).await;
    for _ in 0..2 {
        let mut greeting = [0; 12];
        let mut display = bed.driver.display(spec.id).await.unwrap();
        let read = tokio::time::timeout(Duration::from_secs(10), display.read_exact(&mut greeting)).await;
        read.expect("the server sends its greeting first").unwrap();
        assert_eq!(&greeting, b"RFB 003.008\n");
    }
    // Concurrently, and while the driver is busy.
    let screenshots = tokio::join!(bed.driver.screenshot(spec.id), bed.driver.screenshot(spec.id));
    for screenshot in [screenshots.0.unwrap(), screenshots.1.unwrap()] {
        let (width, height) = size(&screenshot);
        assert!(width >= 640 && height >= 400, "{width} x {height}");
        assert!(screenshot.len() > 1000, "the screen must show text: {} bytes", screenshot.len());
    }
    assert!(!bed.machine(&spec).join("run/screen.png").exists(), "the screenshot file must be removed");
}
