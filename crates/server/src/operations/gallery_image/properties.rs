//! The writable properties of gallery images.

use cloudpc_graph::{GraphError, is_control_or_bidi};
use cloudpc_model::OsVersion;
use serde_json::Value;

use crate::pipeline::{Call, Problem};

/// The properties that an update can change.
pub(super) const CHANGEABLE: [&str; 3] = ["displayName", "osVersionNumber", "sizeInGB"];

/// Longest display name, in characters.
pub const NAME_CHARS_MAX: usize = 128;

/// The writable properties in a request body. A null property counts as absent.
#[derive(Debug, Default)]
pub(super) struct Properties {
    pub display_name: Option<String>,
    pub os: Option<(OsVersion, String)>,
    pub size_gib: Option<u32>,
}

impl Properties {
    pub fn of(call: &Call) -> Result<Self, Problem> {
        Ok(Self {
            display_name: call.text("displayName").map(parse_name).transpose()?,
            os: call.text("osVersionNumber").map(parse_number).transpose()?,
            size_gib: call.body.get("sizeInGB").and_then(Value::as_i64).map(parse_size).transpose()?,
        })
    }
}

fn parse_name(text: &str) -> Result<String, GraphError> {
    if text.trim().is_empty() || text.chars().count() > NAME_CHARS_MAX {
        let message = format!("The display name must have 1 to {NAME_CHARS_MAX} characters, not all of them blank.");
        return Err(GraphError::bad_request(message).about("displayName"));
    }
    if text.contains(is_control_or_bidi) {
        let message = "The display name contains a control or text-direction character. Remove it.";
        return Err(GraphError::bad_request(message).about("displayName"));
    }
    Ok(text.to_owned())
}

fn parse_number(text: &str) -> Result<(OsVersion, String), GraphError> {
    let system = OsVersion::of_number(text).ok_or_else(|| {
        let message = format!(
            "'{text}' is not a Windows 10 or 11 version number. Reprovisioning selects images by it. Use one such as {} or {}, also for a Linux image.",
            OsVersion::Windows10.number(),
            OsVersion::Windows11.number()
        );
        GraphError::bad_request(message).about("osVersionNumber")
    })?;
    Ok((system, text.to_owned()))
}

fn parse_size(gib: i64) -> Result<u32, GraphError> {
    u32::try_from(gib).ok().filter(|gib| *gib > 0).ok_or_else(|| {
        GraphError::bad_request(format!("'sizeInGB' is {gib}. Expected 1 to {}.", u32::MAX)).about("sizeInGB")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_limited() {
        assert_eq!(parse_name(" Debian 12 ").unwrap(), " Debian 12 ");
        assert!(parse_name(&"ä".repeat(NAME_CHARS_MAX)).is_ok());
        for wrong in ["", "  ", &"ä".repeat(NAME_CHARS_MAX + 1)] {
            assert_eq!(parse_name(wrong).unwrap_err().target.as_deref(), Some("displayName"), "{wrong:?}");
        }
        assert_eq!(parse_number("10.0.22631.3880").unwrap(), (OsVersion::Windows11, "10.0.22631.3880".into()));
        assert_eq!(parse_number("windows11").unwrap_err().target.as_deref(), Some("osVersionNumber"));
        assert_eq!(parse_size(1).unwrap(), 1);
        for wrong in [0, -1] {
            assert_eq!(parse_size(wrong).unwrap_err().target.as_deref(), Some("sizeInGB"), "{wrong}");
        }
    }
}
