//! The properties of groups that clients write.

use cloudpc_graph::GraphError;
use cloudpc_model::AuditEntry;
use cloudpc_store::{Group, Tx};
use serde_json::Value;

use super::MEMBERS;
use crate::operations::group_member;
use crate::pipeline::{Call, Problem, check_chars, required};

/// What an update can change.
pub(super) const WRITABLE: [&str; 5] = ["description", "displayName", "mailEnabled", "mailNickname", "securityEnabled"];

/// Most members that one request can add.
pub const REFERENCES_MAX: usize = 20;
/// Most characters of a name.
const NAME_CHARS_MAX: usize = 256;
/// Most characters of a mail nickname.
const NICKNAME_CHARS_MAX: usize = 64;
/// Most characters of a description.
const DESCRIPTION_CHARS_MAX: usize = 1_024;

/// Writes the properties of the body into a group.
pub(super) fn apply(call: &Call, group: &mut Group) -> Result<(), Problem> {
    for (name, value) in &call.body {
        let text = value.as_str().filter(|text| !text.trim().is_empty());
        let must = || required(name);
        match name.as_str() {
            "description" => group.description = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned),
            "displayName" => text.ok_or_else(must)?.clone_into(&mut group.display_name),
            "mailNickname" => text.ok_or_else(must)?.clone_into(&mut group.mail_nickname),
            "mailEnabled" => group.mail_enabled = value.as_bool().ok_or_else(must)?,
            "securityEnabled" => group.security_enabled = value.as_bool().ok_or_else(must)?,
            _ => continue,
        }
        let most = match name.as_str() {
            "description" => DESCRIPTION_CHARS_MAX,
            "mailNickname" => NICKNAME_CHARS_MAX,
            _ => NAME_CHARS_MAX,
        };
        check_chars(name, text.unwrap_or_default(), most)?;
    }
    if !group.mail_nickname.bytes().all(|letter| letter.is_ascii_graphic() && !b"@()\\[]\";:<>,".contains(&letter)) {
        let message =
            format!("'{}' is not a mail nickname. Use letters, digits, '.', '-' and '_'.", group.mail_nickname);
        return Err(GraphError::bad_request(message).about("mailNickname").into());
    }
    Ok(())
}

/// Adds the members that the body names.
pub(super) fn add_members(tx: &mut Tx<'_>, call: &Call, group: &Group) -> Result<(), Problem> {
    let Some(links) = call.body.get(MEMBERS).and_then(Value::as_array) else { return Ok(()) };
    if links.len() > REFERENCES_MAX {
        let message =
            format!("'{MEMBERS}' has {} members; a request can add {REFERENCES_MAX}. Send several.", links.len());
        return Err(GraphError::bad_request(message).about(MEMBERS).into());
    }
    links.iter().filter_map(Value::as_str).try_for_each(|link| group_member::create::add(tx, call, group, link))
}

/// Notes the properties that differ. `old` is none for a creation, `new` for a deletion.
pub(super) fn note(entry: AuditEntry, old: Option<&Group>, new: Option<&Group>) -> AuditEntry {
    entry.compared(WRITABLE, old.map(values), new.map(values))
}

/// The values of the properties, in the order of [`WRITABLE`].
fn values(group: &Group) -> [String; WRITABLE.len()] {
    [
        group.description.clone().unwrap_or_default(),
        group.display_name.clone(),
        group.mail_enabled.to_string(),
        group.mail_nickname.clone(),
        group.security_enabled.to_string(),
    ]
}
