//! Maintenance windows: the times of the week at which work that waits for one may begin.
//!
//! All times are UTC: nothing tells the zone of a Cloud PC.

use jiff::ToSpan;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::Offset;
use serde::Deserialize;
use std::time::Duration;

use crate::Timestamp;

/// Shortest maintenance window.
pub const MAINTENANCE_WINDOW_MIN: Duration = Duration::from_hours(2);

/// Days after a window's day, or after now, among which there is a day of every type.
const DAYS_AHEAD: i32 = 7;

/// The days on which the windows of a schedule begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MaintenanceDays {
    /// Monday to Friday.
    Weekday,
    /// Saturday and Sunday.
    Weekend,
}

impl MaintenanceDays {
    fn contains(self, day: Weekday) -> bool {
        let is_weekend = matches!(day, Weekday::Saturday | Weekday::Sunday);
        is_weekend == (self == Self::Weekend)
    }
}

/// A window on each day of a type. A window whose end is not after its start ends on the next day,
/// whatever type that day has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawSchedule")]
pub struct MaintenanceSchedule {
    days: MaintenanceDays,
    start: Time,
    length: Duration,
}

/// A schedule as clients write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSchedule {
    schedule_type: MaintenanceDays,
    start_time: Time,
    end_time: Time,
}

/// A schedule whose windows are too short.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the window from {start} to {end} lasts {minutes} minutes; at least {} are needed", MAINTENANCE_WINDOW_MIN.as_secs() / 60)]
pub struct MaintenanceWindowTooShort {
    start: Time,
    end: Time,
    minutes: u64,
}

impl TryFrom<RawSchedule> for MaintenanceSchedule {
    type Error = MaintenanceWindowTooShort;

    fn try_from(raw: RawSchedule) -> Result<Self, Self::Error> {
        let RawSchedule { schedule_type: days, start_time: start, end_time: end } = raw;
        let next_day = if end <= start { Duration::from_hours(24) } else { Duration::ZERO };
        let length = (next_day + since_midnight(end)).saturating_sub(since_midnight(start));
        if length < MAINTENANCE_WINDOW_MIN {
            return Err(MaintenanceWindowTooShort { start, end, minutes: length.as_secs() / 60 });
        }
        Ok(Self { days, start, length })
    }
}

fn since_midnight(time: Time) -> Duration {
    Duration::try_from(time.duration_since(Time::midnight())).unwrap_or_default()
}

/// One maintenance window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaintenanceWindow {
    /// First moment.
    pub starts_at: Timestamp,
    /// First moment after the window.
    pub ends_at: Timestamp,
}

impl MaintenanceSchedule {
    /// Returns the window that begins on a day.
    fn on(&self, day: Date) -> Option<MaintenanceWindow> {
        if !self.days.contains(day.weekday()) {
            return None;
        }
        let start = Offset::UTC.to_timestamp(day.to_datetime(self.start)).ok()?;
        let starts_at = Timestamp(start.as_microsecond());
        Some(MaintenanceWindow { starts_at, ends_at: starts_at + self.length })
    }
}

/// Returns the window that is open at `now`; of several, the one that ends last.
pub fn open_maintenance_window(schedules: &[MaintenanceSchedule], now: Timestamp) -> Option<MaintenanceWindow> {
    let is_open = |window: &MaintenanceWindow| window.starts_at <= now && now < window.ends_at;
    around(schedules, now).filter(is_open).max_by_key(|window| window.ends_at)
}

/// Returns the first window that begins at `now` or later; none without a schedule.
pub fn next_maintenance_window(schedules: &[MaintenanceSchedule], now: Timestamp) -> Option<MaintenanceWindow> {
    around(schedules, now).filter(|window| window.starts_at >= now).min_by_key(|window| window.starts_at)
}

/// Returns the windows that begin on the day before, on the day, or within a week.
fn around(schedules: &[MaintenanceSchedule], now: Timestamp) -> impl Iterator<Item = MaintenanceWindow> {
    let today = jiff::Timestamp::from_microsecond(now.0).ok().map(|now| Offset::UTC.to_datetime(now).date());
    let days = (-1..=DAYS_AHEAD).filter_map(move |days| today?.checked_add(days.days()).ok());
    days.flat_map(move |day| schedules.iter().filter_map(move |schedule| schedule.on(day)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn schedule(days: &str, start: &str, end: &str) -> MaintenanceSchedule {
        parse(days, start, end).unwrap()
    }

    fn parse(days: &str, start: &str, end: &str) -> Result<MaintenanceSchedule, serde_json::Error> {
        serde_json::from_value(json!({"scheduleType": days, "startTime": start, "endTime": end}))
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    fn window(start: &str, end: &str) -> Option<MaintenanceWindow> {
        Some(MaintenanceWindow { starts_at: at(start), ends_at: at(end) })
    }

    #[test]
    fn windows_last_two_hours_at_least() {
        for (start, end) in [("01:00:00", "03:00:00"), ("23:00:00.0000000", "01:00:00.000"), ("05:00:00", "05:00:00")] {
            assert!(parse("weekday", start, end).is_ok(), "{start} {end}");
        }
        for (start, end) in [("01:00:00", "02:59:59.9999999"), ("23:00:00", "00:59:59")] {
            let error = parse("weekend", start, end).unwrap_err().to_string();
            assert!(error.contains("lasts 119 minutes; at least 120 are needed"), "{error}");
        }
        assert!(parse("monthly", "01:00:00", "03:00:00").is_err());
        assert!(parse("weekday", "25:00:00", "03:00:00").is_err());
    }

    #[test]
    fn a_window_across_midnight_belongs_to_the_day_on_which_it_begins() {
        // 2026-05-01 is a Friday.
        let weekday = [schedule("weekday", "22:00:00", "04:00:00")];
        let friday = window("2026-05-01T22:00:00Z", "2026-05-02T04:00:00Z");
        assert_eq!(open_maintenance_window(&weekday, at("2026-05-02T03:59:59Z")), friday);
        assert_eq!(open_maintenance_window(&weekday, at("2026-05-02T04:00:00Z")), None);
        assert_eq!(open_maintenance_window(&weekday, at("2026-05-02T23:00:00Z")), None, "a Saturday");
        let monday = window("2026-05-04T22:00:00Z", "2026-05-05T04:00:00Z");
        assert_eq!(next_maintenance_window(&weekday, at("2026-05-01T22:00:01Z")), monday);
        let both = [weekday[0], schedule("weekend", "00:00:00", "00:00:00")];
        let saturday = window("2026-05-02T00:00:00Z", "2026-05-03T00:00:00Z");
        assert_eq!(open_maintenance_window(&both, at("2026-05-02T03:00:00Z")), saturday, "it ends last");
        assert_eq!(next_maintenance_window(&both, at("2026-05-02T00:00:00Z")), saturday, "it begins now");
        assert_eq!(next_maintenance_window(&[], at("2026-05-02T00:00:00Z")), None);
    }

    fn any_schedule() -> impl Strategy<Value = MaintenanceSchedule> {
        let days = prop_oneof![Just(MaintenanceDays::Weekday), Just(MaintenanceDays::Weekend)];
        (days, 0_i8..24, 0_i8..60, 120_u64..=1440).prop_map(|(days, hour, minute, minutes)| MaintenanceSchedule {
            days,
            start: Time::new(hour, minute, 0, 0).unwrap(),
            length: Duration::from_mins(minutes),
        })
    }

    proptest! {
        #[test]
        fn the_next_window_is_the_first_that_opens(
            schedules in proptest::collection::vec(any_schedule(), 1..4),
            minute in 0_i64..60 * 24 * 365 * 50,
        ) {
            let now = Timestamp(minute * 60_000_000);
            let next = next_maintenance_window(&schedules, now).unwrap();
            prop_assert!(next.starts_at >= now);
            prop_assert!(next.starts_at.since(now) <= Duration::from_hours(24 * 7));
            let open = open_maintenance_window(&schedules, next.starts_at).unwrap();
            prop_assert!(open.starts_at <= next.starts_at && next.ends_at <= open.ends_at);
            // No window opens in between.
            let before = next_maintenance_window(&schedules, now + Duration::from_mins(1)).unwrap();
            prop_assert!(before == next || next.starts_at == now);
            if let Some(open) = open_maintenance_window(&schedules, now) {
                prop_assert!(open.starts_at <= now && now < open.ends_at);
                prop_assert!(open.ends_at.since(open.starts_at) >= MAINTENANCE_WINDOW_MIN);
            }
        }
    }
}
