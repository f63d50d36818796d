//! The file with the generated passwords of users, for the owner of the data directory.

use cloudpc_model::Error;
use std::path::Path;

use super::StartError;
use crate::durable_file::{self, Readers};
use crate::scenario::GeneratedPassword;

/// Name of the file in the data directory.
pub const PASSWORDS_FILE: &str = "passwords.json";

/// Writes the file. Call this before the store gets the hashes, so that a crash never leaves users
/// whose passwords are lost.
pub(super) fn save(directory: &Path, passwords: &[GeneratedPassword]) -> Result<(), StartError> {
    if passwords.is_empty() {
        return Ok(());
    }
    let mut text = serde_json::to_vec_pretty(passwords).map_err(Error::internal)?;
    text.push(b'\n');
    let path = directory.join(PASSWORDS_FILE);
    durable_file::write(&path, Readers::Owner, &text).map_err(|source| StartError::File { path, source })
}
