//! What is wrong with the database: damage, and a disk that takes no changes. Each is logged once,
//! and not by all whose work fails.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::DatabaseErrorKind;
use crate::StoreError;

/// The damage that was found, and whether the disk refuses changes.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// The first finding. It stays until the process ends: a damaged file does not heal.
    finding: OnceLock<String>,
    /// Whether the disk has refused a change and taken none since.
    disk_refuses: AtomicBool,
}

impl Damage {
    /// The first finding.
    pub(super) fn found(&self) -> Option<&str> {
        self.finding.get().map(String::as_str)
    }

    /// Records an error that means damage, or that the disk refuses changes. Returns the result
    /// unchanged.
    pub(crate) fn watch<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            if is_damage(error) {
                self.note(error.to_string());
            }
            if error.is_disk_refusal() && !self.disk_refuses.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the disk of the data directory takes no changes, so nothing can be changed");
            }
        }
        result
    }

    /// Records that the disk has taken a change.
    pub(super) fn note_change(&self) {
        if self.disk_refuses.swap(false, Ordering::Relaxed) {
            tracing::warn!("the disk of the data directory takes changes again");
        }
    }

    pub(super) fn note(&self, finding: String) {
        if self.finding.set(finding).is_ok() {
            tracing::error!(
                finding = self.found(),
                "the database is damaged; stop the service and restore the last backup"
            );
        }
    }
}

pub(super) fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt { .. } => true,
        StoreError::Database(error) | StoreError::NotCommitted(error) => error.kind() == DatabaseErrorKind::Corrupt,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DatabaseError;

    #[test]
    fn a_disk_that_refuses_changes_is_noted_until_it_takes_one() {
        let damage = Damage::default();
        let refuses = || damage.disk_refuses.load(Ordering::Relaxed);
        damage.watch::<()>(Err(StoreError::Closed)).unwrap_err();
        assert!(!refuses());
        for kind in [DatabaseErrorKind::Full, DatabaseErrorKind::Other] {
            damage.watch::<()>(Err(StoreError::NotCommitted(DatabaseError::new(kind, "failed")))).unwrap_err();
            assert!(refuses());
            damage.note_change();
            assert!(!refuses());
        }
    }
}
