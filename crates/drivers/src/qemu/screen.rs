//! Pictures of a machine's screen.

use rustix::fs::OFlags;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::layout::{MachineFolder, RUN_FOLDER, SCREENSHOT};
use super::qmp::Qmp;
use super::wire::WireError;

/// Longest picture; more than the memory of the largest screen that we give to a machine.
const PICTURE_BYTES_MAX: u64 = 32 << 20;

/// How a PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What the screen shows now, as a PNG.
pub async fn picture(folder: &MachineFolder) -> Result<Vec<u8>, WireError> {
    let mut qmp = Qmp::connect(folder).await?;
    qmp.execute("screendump", json!({ "filename": SCREENSHOT, "format": "png" })).await?;
    let path = folder.join(RUN_FOLDER).join(SCREENSHOT);
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    let picture = read.unwrap_or_else(|_| Err(io::Error::other("reading the picture was cut short")))?;
    // QEMU has heard nobody else meanwhile, so that the picture is ours.
    drop(qmp);
    if !picture.starts_with(PNG) {
        return Err(WireError::Nonsense("the picture is no PNG".into()));
    }
    Ok(picture)
}

/// Reads the picture and removes it. Its folder is QEMU's, which a guest may have taken over: a
/// link must not lead us anywhere else.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).expect("flags of open are small");
    let file = OpenOptions::new().read(true).custom_flags(no_link).open(path);
    let removed = fs::remove_file(path);
    let mut picture = Vec::new();
    File::take(file?, PICTURE_BYTES_MAX).read_to_end(&mut picture)?;
    removed.map(|()| picture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_picture_is_read_once_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SCREENSHOT);
        fs::write(&path, "picture").unwrap();
        assert_eq!(read(&path).unwrap(), b"picture");
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        symlink(&secret, &path).unwrap();
        assert!(read(&path).is_err());
        assert!(secret.exists() && !path.exists());
    }
}
