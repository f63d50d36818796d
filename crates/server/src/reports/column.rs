//! The columns of a report, and the types of their values.

use cloudpc_model::Timestamp;
use serde_json::Value;

/// Type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    String,
    /// Whole number of 32 bits.
    Int32,
    /// Whole number of 64 bits.
    Int64,
    /// Number with a fraction.
    Double,
    /// Time in UTC.
    DateTime,
    /// JSON in a string.
    Json,
    /// True or false.
    Boolean,
}

impl ColumnType {
    /// Returns what an answer's schema calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Int32 => "Int32",
            Self::Int64 => "Int64",
            Self::Double => "Double",
            Self::DateTime => "DateTime",
            Self::Json => "Json",
            Self::Boolean => "Boolean",
        }
    }

    /// Returns the type of a filter's operand.
    pub(super) fn edm(self) -> &'static str {
        match self {
            Self::String | Self::Json => "Edm.String",
            Self::Int32 => "Edm.Int32",
            Self::Int64 => "Edm.Int64",
            Self::Double => "Edm.Double",
            Self::DateTime => "Edm.DateTimeOffset",
            Self::Boolean => "Edm.Boolean",
        }
    }
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name, as Graph writes it.
    pub name: &'static str,
    /// Type of its values.
    pub kind: ColumnType,
    /// Whether the name or the meaning is not documented by Microsoft, but ours.
    pub inferred: bool,
}

/// Returns a column that Microsoft documents.
pub(super) const fn column(name: &'static str, kind: ColumnType) -> Column {
    Column { name, kind, inferred: false }
}

/// Returns a column whose name or meaning is ours.
pub(super) const fn inferred(name: &'static str, kind: ColumnType) -> Column {
    Column { name, kind, inferred: true }
}

/// Microseconds of an hour.
const HOUR_MICROS: f64 = 3_600_000_000.0;

/// Returns a duration in hours, to a ten-thousandth.
#[expect(clippy::cast_precision_loss, reason = "a duration of a century is exact")]
pub(super) fn hours(micros: i64) -> Value {
    ((micros as f64 / HOUR_MICROS * 10_000.0).round() / 10_000.0).into()
}

/// Returns a number of thousandths as a number with a fraction.
#[expect(clippy::cast_precision_loss, reason = "measured values are small")]
pub(super) fn thousandths(value: Option<i64>) -> Value {
    value.map(|value| value as f64 / 1000.0).into()
}

/// Returns a time as Graph writes it.
pub(super) fn time(at: Option<Timestamp>) -> Value {
    at.map(|at| at.to_string()).into()
}

/// Returns the median of what was measured.
pub(super) fn median(values: impl IntoIterator<Item = Option<i64>>) -> Option<i64> {
    let mut values: Vec<i64> = values.into_iter().flatten().collect();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_leaves_out_what_was_not_measured() {
        assert_eq!(median([]), None);
        assert_eq!(median([None, None]), None);
        assert_eq!(median([Some(7), None, Some(1), Some(4)]), Some(4));
        assert_eq!(median([Some(9), Some(1)]), Some(1));
    }
}
