//! Numbers by which an older copy of the database is recognized.

use serde::{Deserialize, Serialize};

use crate::connection::{dialect, params};
use crate::counters::Counter;
use crate::rows::word;
use crate::{Reader, StoreError, Tx};

/// The highest number that a watermark may have: the highest integer that every reader of JSON
/// knows exactly. Beyond the highest `i64`, the database would take no more actions.
const NUMBER_MAX: i64 = 1 << 53;

/// The setting that counts the audit events which resets have dropped.
const DROPPED: &str = "audit.dropped";

/// Numbers that only rise over the life of an installation. A database below a recorded watermark
/// is an older copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watermark {
    /// The highest number of an action.
    pub actions: i64,
    /// Number of audit events ever written, over all tenants.
    pub audit_events: i64,
}

impl Watermark {
    /// Whether an installation can have reached these numbers.
    pub fn is_plausible(self) -> bool {
        [self.actions, self.audit_events].iter().all(|number| (0..=NUMBER_MAX).contains(number))
    }
}

impl Reader<'_> {
    /// Returns the watermark of this database.
    pub fn watermark(&self) -> Result<Watermark, StoreError> {
        Ok(Watermark {
            actions: self.value(dialect::ACTION_NUMBER_LAST, params![])?,
            audit_events: self.audit_dropped()? + self.audit_written()?,
        })
    }

    /// Number of audit events in the log. Each tenant numbers its own from 1.
    fn audit_written(&self) -> Result<i64, StoreError> {
        self.value(
            "SELECT CAST(coalesce(sum((SELECT value FROM counters
             WHERE tenant_id = tenants.id AND kind = ?1 AND owner_id = tenants.id)), 0) AS BIGINT) FROM tenants",
            params![word(Counter::AuditEvent)],
        )
    }

    fn audit_dropped(&self) -> Result<i64, StoreError> {
        let Some(text) = self.setting(DROPPED)? else { return Ok(0) };
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| StoreError::Corrupt { table: "settings", what: format!("{DROPPED} is not a number") })
    }
}

impl Tx<'_> {
    /// Numbers the next action beyond `number`, so that numbers which an older database has lost
    /// are not reused. An impossible number is reduced to the highest plausible one.
    pub fn action_numbers_skip(&mut self, number: i64) -> Result<(), StoreError> {
        let number = number.clamp(0, NUMBER_MAX);
        if self.execute(dialect::ACTION_NUMBER_RAISE, params![number])? == 0 {
            self.execute(dialect::ACTION_NUMBER_BEGIN, params![number])?;
        }
        Ok(())
    }

    /// Records the number of audit events that are about to be deleted.
    pub(crate) fn audit_count_dropped(&mut self) -> Result<(), StoreError> {
        match self.audit_dropped()? + self.audit_written()? {
            0 => Ok(()),
            count => self.setting_put(DROPPED, count.to_string().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Store, WriteMode};

    #[tokio::test]
    async fn numbers_of_actions_stay_far_from_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), WriteMode::Inline).unwrap();
        for (number, actions) in [(i64::MIN, 0), (NUMBER_MAX - 1, NUMBER_MAX - 1), (i64::MAX, NUMBER_MAX)] {
            store.write("test.write", move |tx| tx.action_numbers_skip(number)).await.unwrap();
            assert_eq!(store.read(|reader| reader.watermark()).await.unwrap().actions, actions);
        }
    }

    #[test]
    fn a_plausible_watermark_is_within_its_limits() {
        let watermark = |actions, audit_events| Watermark { actions, audit_events };
        for plausible in [watermark(0, 0), watermark(NUMBER_MAX, NUMBER_MAX)] {
            assert!(plausible.is_plausible());
        }
        for number in [-1, NUMBER_MAX + 1, i64::MIN, i64::MAX] {
            assert!(!watermark(number, 0).is_plausible(), "{number}");
            assert!(!watermark(0, number).is_plausible(), "{number}");
        }
    }
}
