//! Schedules by which policies are applied: a cron expression with a time zone and a period.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

use crate::Timestamp;

/// Longest cron expression, characters.
pub const CRON_CHARS_MAX: usize = 120;

/// The form of a local time in schedules.
const LOCAL_TIME: &str = "%Y-%m-%d %H:%M:%S";

/// A schedule: `cloudPcPolicyScheduledApplyActionDetail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplySchedule {
    /// When it runs.
    pub cron: CronExpression,
    /// Zone of all its times.
    pub timezone: PolicyTimezone,
    /// First time at which it may run.
    pub starts_at: Option<LocalTime>,
    /// It runs before this time only.
    pub ends_at: Option<LocalTime>,
    /// Share of the policy's Cloud PCs that stays usable, percent.
    pub reserve_percentage: u32,
    /// Whether users are signed out.
    pub is_force_user_logoff_enabled: bool,
}

impl ApplySchedule {
    /// Returns the first run after a time; none if the schedule has ended.
    pub fn next_run(&self, after: Timestamp) -> Option<Timestamp> {
        let offset = self.timezone.offset();
        let after = offset.to_datetime(jiff::Timestamp::from_microsecond(after.0).ok()?);
        let next = match self.starts_at {
            Some(LocalTime(start)) if start > after => self.cron.cron.find_next_occurrence(&start, true),
            _ => self.cron.cron.find_next_occurrence(&after, false),
        };
        let next = next.ok().filter(|next| self.ends_at.is_none_or(|LocalTime(end)| *next < end))?;
        Some(Timestamp(offset.to_timestamp(next).ok()?.as_microsecond()))
    }

    /// Returns a time as the schedule's zone has it.
    pub fn local_time(&self, at: Timestamp) -> Option<LocalTime> {
        let at = jiff::Timestamp::from_microsecond(at.0).ok()?;
        Some(LocalTime(self.timezone.offset().to_datetime(at)))
    }
}

/// A cron expression of six fields (second, minute, hour, day of the month, month and day of the
/// week) that runs at most once an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronExpression {
    text: String,
    cron: Cron,
}

impl CronExpression {
    /// Returns the expression as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A reason why a text is no cron expression of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronExpressionError(String);

impl FromStr for CronExpression {
    type Err = CronExpressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let chars = text.chars().count();
        if chars > CRON_CHARS_MAX {
            return Err(CronExpressionError(format!(
                "it has {chars} characters; at most {CRON_CHARS_MAX} are allowed"
            )));
        }
        let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| CronExpressionError(error.to_string()))?;
        let is_single = |values: &[u16]| values.len() == 1;
        if !is_single(&cron.pattern.seconds.values()) || !is_single(&cron.pattern.minutes.values()) {
            let message = "it runs more than once an hour; write one number for the second and one for the minute";
            return Err(CronExpressionError(message.into()));
        }
        Ok(Self { text: text.to_owned(), cron })
    }
}

impl Serialize for CronExpression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for CronExpression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A time of a calendar and a clock, in the zone of its schedule: `2025-01-01 00:00:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime(DateTime);

impl FromStr for LocalTime {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        DateTime::strptime(LOCAL_TIME, text).map(Self)
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime(LOCAL_TIME))
    }
}

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LocalTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Names of the members of `cloudPcPolicyTimezone` and their offsets from UTC, hours and minutes.
/// Each is a standard time: none has daylight saving time.
const TIMEZONES: &[(&str, i8, i8)] = &[
    ("gmt", 0, 0),
    ("bit", -12, 0),  // Baker Island
    ("nut", -11, 0),  // Niue
    ("hst", -10, 0),  // Hawaii
    ("mit", -9, -30), // Marquesas Islands
    ("akst", -9, 0),  // Alaska
    ("pst", -8, 0),   // Pacific
    ("mst", -7, 0),   // Mountain
    ("east", -6, 0),  // Easter Island
    ("est", -5, 0),   // Eastern
    ("ast", -4, 0),   // Atlantic
    ("nst", -3, -30), // Newfoundland
    ("art", -3, 0),   // Argentina
    ("gst", -2, 0),   // South Georgia
    ("azot", -1, 0),  // Azores
    ("cet", 1, 0),    // Central Europe
    ("cat", 2, 0),    // Central Africa
    ("eat", 3, 0),    // East Africa
    ("get", 4, 0),    // Georgia
    ("pkt", 5, 0),    // Pakistan
    ("ist", 5, 30),   // India
    ("bst", 6, 0),    // Bangladesh
    ("tha", 7, 0),    // Thailand
    ("cst", 8, 0),    // China
    ("jst", 9, 0),    // Japan
    ("acst", 9, 30),  // Central Australia
    ("pgt", 10, 0),   // Papua New Guinea
    ("sbt", 11, 0),   // Solomon Islands
    ("fjt", 12, 0),   // Fiji
    ("tot", 13, 0),   // Tonga
    ("lint", 14, 0),  // Line Islands
];

/// `cloudPcPolicyTimezone`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyTimezone {
    name: &'static str,
    offset: Offset,
}

impl PolicyTimezone {
    /// Greenwich Mean Time, the zone of schedules that name none.
    pub const GMT: Self = Self { name: "gmt", offset: Offset::UTC };

    /// Returns the names of all zones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TIMEZONES.iter().map(|(name, ..)| *name)
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        self.name
    }

    fn offset(self) -> Offset {
        self.offset
    }
}

/// A text that names no zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a time zone of schedules")]
pub struct UnknownTimezone(String);

impl FromStr for PolicyTimezone {
    type Err = UnknownTimezone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = TIMEZONES.iter().find(|(name, ..)| *name == text);
        let (name, hours, minutes) = found.ok_or_else(|| UnknownTimezone(text.to_owned()))?;
        let seconds = (i32::from(*hours) * 60 + i32::from(*minutes)) * 60;
        let offset = Offset::from_seconds(seconds).map_err(|_| UnknownTimezone(text.to_owned()))?;
        Ok(Self { name, offset })
    }
}

impl Serialize for PolicyTimezone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for PolicyTimezone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, timezone: &str) -> ApplySchedule {
        ApplySchedule {
            cron: cron.parse().unwrap(),
            timezone: timezone.parse().unwrap(),
            starts_at: None,
            ends_at: None,
            reserve_percentage: 0,
            is_force_user_logoff_enabled: false,
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn next_run_follows_the_zone_of_the_schedule() {
        for (timezone, next) in [
            ("gmt", "2025-03-20T00:00:00Z"),
            ("cst", "2025-03-19T16:00:00Z"),
            ("nst", "2025-03-20T03:30:00Z"),
            ("lint", "2025-03-19T10:00:00Z"),
            ("bit", "2025-03-20T12:00:00Z"),
        ] {
            let monthly = schedule("0 0 0 20 * *", timezone);
            let run = monthly.next_run(at("2025-03-01T00:00:00Z")).unwrap();
            assert_eq!(run, at(next), "{timezone}");
            assert_eq!(monthly.local_time(run).unwrap().to_string(), "2025-03-20 00:00:00", "{timezone}");
            assert!(monthly.next_run(run).unwrap() > run, "{timezone}: a run is not its own successor");
        }
    }

    #[test]
    fn schedule_runs_from_its_start_and_before_its_end() {
        let daily = ApplySchedule {
            starts_at: Some("2025-03-10 06:00:00".parse().unwrap()),
            ends_at: Some("2025-03-12 06:00:00".parse().unwrap()),
            ..schedule("0 0 6 * * *", "gmt")
        };
        let mut runs = vec![at("2025-01-01T00:00:00Z")];
        while let Some(run) = daily.next_run(runs[runs.len() - 1]) {
            runs.push(run);
        }
        assert_eq!(runs[1..], [at("2025-03-10T06:00:00Z"), at("2025-03-11T06:00:00Z")]);
    }

    #[test]
    fn expression_has_six_fields_and_runs_at_most_once_an_hour() {
        for right in ["0 0 0 20 * *", "59 59 * * * *", "0 30 8 * * MON-FRI", "0 0 12 L * *"] {
            assert_eq!(right.parse::<CronExpression>().unwrap().as_str(), right);
        }
        for wrong in [
            "",
            "0 0 20 * *",
            "0 0 0 20 * * 2030",
            "* 0 0 * * *",
            "0 */30 * * * *",
            "0 0 24 * * *",
            "@daily x",
            "daily",
        ] {
            assert!(wrong.parse::<CronExpression>().is_err(), "{wrong}");
        }
        let long = format!("0 0 0 {} * *", "20,".repeat(CRON_CHARS_MAX));
        assert!(long.parse::<CronExpression>().unwrap_err().to_string().contains("at most 120"));
        let padded = format!("0 0 0 20 * *{}", " ".repeat(CRON_CHARS_MAX - 12));
        assert!(padded.parse::<CronExpression>().is_ok());
    }

    #[test]
    fn date_that_never_comes_has_no_run() {
        assert_eq!(schedule("0 0 0 30 2 *", "gmt").next_run(at("2025-01-01T00:00:00Z")), None);
    }

    #[test]
    fn local_time_is_a_date_and_a_time_without_zone() {
        assert_eq!("2025-01-01 00:00:00".parse::<LocalTime>().unwrap().to_string(), "2025-01-01 00:00:00");
        for wrong in ["", "2025-01-01", "2025-02-30 00:00:00", "2025-01-01 00:00:00Z", "2025-01-01 25:00:00"] {
            assert!(wrong.parse::<LocalTime>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn stored_schedule_reads_as_written() {
        let stored = ApplySchedule {
            starts_at: Some("2025-03-10 06:00:00".parse().unwrap()),
            reserve_percentage: 7,
            ..schedule("0 0 6 * * *", "ist")
        };
        let text = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<ApplySchedule>(&text).unwrap(), stored);
    }
}
