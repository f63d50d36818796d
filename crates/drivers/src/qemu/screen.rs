//! Screenshots of a machine.

use rustix::fs::OFlags;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::layout::{MachineFolder, RUN_FOLDER, SCREENSHOT};
use super::qmp::Qmp;
use super::wire::WireError;

/// Largest screenshot; more than the memory of the largest screen of a machine.
const SCREENSHOT_BYTES_MAX: u64 = 32 << 20;

/// The first bytes of a PNG.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Takes a screenshot as a PNG.
pub async fn screenshot(folder: &MachineFolder) -> Result<Vec<u8>, WireError> {
    let mut qmp = Qmp::connect(folder).await?;
    qmp.execute("screendump", json!({ "filename": SCREENSHOT, "format": "png" })).await?;
    let path = folder.join(RUN_FOLDER).join(SCREENSHOT);
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    let screenshot = read.unwrap_or_else(|_| Err(io::Error::other("reading the screenshot was interrupted")))?;
    // The QMP connection excludes other clients until the file is read, so that the screenshot is
    // this one.
    drop(qmp);
    if !screenshot.starts_with(PNG) {
        return Err(WireError::UnexpectedResponse("the screenshot is not a PNG".into()));
    }
    Ok(screenshot)
}

/// Reads and removes the file. Its folder belongs to QEMU, which a guest may have compromised:
/// links must not be followed.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).expect("flags of open are small");
    let file = OpenOptions::new().read(true).custom_flags(no_link).open(path);
    let removed = fs::remove_file(path);
    let mut screenshot = Vec::new();
    File::take(file?, SCREENSHOT_BYTES_MAX).read_to_end(&mut screenshot)?;
    removed.map(|()| screenshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_screenshot_is_read_once_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SCREENSHOT);
        fs::write(&path, "screenshot").unwrap();
        assert_eq!(read(&path).unwrap(), b"screenshot");
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        symlink(&secret, &path).unwrap();
        assert!(read(&path).is_err());
        assert!(secret.exists() && !path.exists());
    }
}
