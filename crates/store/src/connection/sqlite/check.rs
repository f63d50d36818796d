//! The check of the database file. SQLite detects a damaged page only when it reads that page, so
//! the whole file is read from time to time.

use std::path::Path;

use super::super::damage::{Damage, is_damage};
use super::super::error::DatabaseErrorKind;
use super::database::open_for_check;
use crate::StoreError;

/// Approximate number of pages between two points at which a check yields and may be stopped.
const CHECK_STEPS: i32 = 16;

/// Reads the whole database file with `PRAGMA quick_check` and records damage. Ends early, without
/// a finding, once `stop` returns true.
pub(in super::super) fn check_pages(
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
