//! What a caller may say of an image.

use cloudpc_graph::{GraphError, is_control_or_bidi};
use cloudpc_model::OsVersion;
use serde_json::Value;

use crate::pipeline::{Call, Problem};

/// The properties of an image that may be changed.
pub(super) const CHANGEABLE: [&str; 3] = ["displayName", "osVersionNumber", "sizeInGB"];

/// Longest display name, in characters.
pub const NAME_CHARS_MAX: usize = 128;

/// Those that the body has; what is null is as good as left out.
#[derive(Debug, Default)]
pub(super) struct Properties {
    pub display_name: Option<String>,
    pub os: Option<(OsVersion, String)>,
    pub size_gib: Option<u32>,
}

impl Properties {
    pub fn of(call: &Call) -> Result<Self, Problem> {
        Ok(Self {
            display_name: call.text("displayName").map(read_name).transpose()?,
            os: call.text("osVersionNumber").map(read_number).transpose()?,
            size_gib: call.body.get("sizeInGB").and_then(Value::as_i64).map(read_size).transpose()?,
        })
    }
}

fn read_name(text: &str) -> Result<String, GraphError> {
    if text.trim().is_empty() || text.chars().count() > NAME_CHARS_MAX {
        let message = format!("The display name has to have 1 to {NAME_CHARS_MAX} characters, not all of them blank.");
        return Err(GraphError::bad_request(message).about("displayName"));
    }
    if text.contains(is_control_or_bidi) {
        let message =
            "The display name holds a control character, or one that turns the direction of text. Leave it out.";
        return Err(GraphError::bad_request(message).about("displayName"));
    }
    Ok(text.to_owned())
}

fn read_number(text: &str) -> Result<(OsVersion, String), GraphError> {
    let system = OsVersion::of_number(text).ok_or_else(|| {
        let message = format!(
            "'{text}' is no version number of Windows 10 or 11. It is what reprovisioning chooses images by: write one like {} or {}, for a Linux image too.",
            OsVersion::Windows10.number(),
            OsVersion::Windows11.number()
        );
        GraphError::bad_request(message).about("osVersionNumber")
    })?;
    Ok((system, text.to_owned()))
}

fn read_size(gib: i64) -> Result<u32, GraphError> {
    u32::try_from(gib).ok().filter(|gib| *gib > 0).ok_or_else(|| {
        GraphError::bad_request(format!("A disk of {gib} GB holds no image; 'sizeInGB' has to be 1 at least."))
            .about("sizeInGB")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_property_has_its_bounds() {
        assert_eq!(read_name(" Debian 12 ").unwrap(), " Debian 12 ");
        assert!(read_name(&"ä".repeat(NAME_CHARS_MAX)).is_ok());
        for wrong in ["", "  ", &"ä".repeat(NAME_CHARS_MAX + 1)] {
            assert_eq!(read_name(wrong).unwrap_err().target.as_deref(), Some("displayName"), "{wrong:?}");
        }
        assert_eq!(read_number("10.0.22631.3880").unwrap(), (OsVersion::Windows11, "10.0.22631.3880".into()));
        assert_eq!(read_number("windows11").unwrap_err().target.as_deref(), Some("osVersionNumber"));
        assert_eq!(read_size(1).unwrap(), 1);
        for wrong in [0, -1] {
            assert_eq!(read_size(wrong).unwrap_err().target.as_deref(), Some("sizeInGB"), "{wrong}");
        }
    }
}
