//! Damage to the database file: the check that finds it, and the record of it.
//!
//! SQLite detects a damaged page only when it reads that page, so the whole file is read from time
//! to time.

use std::path::Path;
use std::sync::OnceLock;

use super::database::{DATABASE, open_for_check};
use super::error::DatabaseErrorKind;
use crate::StoreError;

/// Approximate number of pages between two points at which a check yields and may be stopped.
const CHECK_STEPS: i32 = 16;

/// The damage that was found. The first finding stays until the process ends: a damaged file does
/// not heal.
#[derive(Debug, Default)]
pub(crate) struct Damage(OnceLock<String>);

impl Damage {
    /// The first finding.
    pub(super) fn found(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Records an error that means damage. Returns the result unchanged.
    pub(crate) fn watch<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && is_damage(error)
        {
            self.note(error.to_string());
        }
        result
    }

    pub(super) fn note(&self, finding: String) {
        if self.0.set(finding).is_ok() {
            tracing::error!(
                file = DATABASE,
                finding = self.found(),
                "the database is damaged; stop the service and restore the last backup"
            );
        }
    }
}

fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt { .. } => true,
        StoreError::Database(error) | StoreError::NotCommitted(error) => error.kind() == DatabaseErrorKind::Corrupt,
        _ => false,
    }
}

/// Reads the whole database file with `PRAGMA quick_check` and records damage. Ends early, without
/// a finding, once `stop` returns true.
pub(super) fn check_pages(
    directory: &Path,
    damage: &Damage,
    stop: impl Fn() -> bool + Send + 'static,
) -> Result<(), StoreError> {
    let mut connection = damage.watch(open_for_check(directory))?;
    let pause = move || {
        std::thread::yield_now();
        stop()
    };
    connection.progress_handler(CHECK_STEPS, Some(pause))?;
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match damage.watch(found.map_err(StoreError::from)) {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => {
            damage.note(found);
            Ok(())
        }
        Err(StoreError::Database(error)) if error.kind() == DatabaseErrorKind::Interrupted => Ok(()),
        // Damage is recorded; the check itself has not failed.
        Err(error) if is_damage(&error) => Ok(()),
        Err(error) => Err(error),
    }
}
