//! Checks of values of the `Edm.` types.

use serde_json::Value;

use super::{BodyPath, mismatch, wrong};
use crate::GraphError;

/// Maximum length of a string in a body, bytes.
pub const STRING_BYTES_MAX: usize = 16 * 1024;

/// Checks one value that is not null.
pub(super) fn check(type_name: &str, value: Value, place: &BodyPath<'_>) -> Result<Value, GraphError> {
    let fits = match (type_name, &value) {
        ("Edm.Untyped" | "Edm.Stream", _) => true,
        ("Edm.Boolean", Value::Bool(_)) => true,
        ("Edm.Int32", Value::Number(number)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        ("Edm.Int64", Value::Number(number)) => number.is_i64(),
        ("Edm.Double", Value::Number(_)) => true,
        ("Edm.Double", Value::String(text)) => matches!(text.as_str(), "NaN" | "INF" | "-INF"),
        (_, Value::String(text)) => {
            if text.len() > STRING_BYTES_MAX {
                let message =
                    format!("The string '{place}' has {} bytes; at most {STRING_BYTES_MAX} are allowed.", text.len());
                return Err(wrong(place, message));
            }
            match type_name {
                "Edm.String" if text.contains('\0') => {
                    return Err(wrong(place, format!("The string '{place}' contains a NUL character.")));
                }
                "Edm.String" => true,
                "Edm.DateTimeOffset" => instant(text).is_some(),
                "Edm.Date" => is_date(text),
                "Edm.TimeOfDay" => is_time_of_day(text),
                "Edm.Guid" => is_guid(text),
                _ => false,
            }
        }
        _ => false,
    };
    match &value {
        _ if fits => Ok(value),
        Value::String(text)
            if matches!(type_name, "Edm.DateTimeOffset" | "Edm.Date" | "Edm.TimeOfDay" | "Edm.Guid") =>
        {
            let expected = expected(type_name);
            Err(wrong(place, format!("The property '{place}' must be {expected}, but is '{text:.64}'.")))
        }
        _ => Err(mismatch(place, expected(type_name), &value)),
    }
}

fn expected(type_name: &str) -> &str {
    match type_name {
        "Edm.String" => "a string",
        "Edm.Boolean" => "true or false",
        "Edm.Int32" => "a 32-bit integer",
        "Edm.Int64" => "a 64-bit integer",
        "Edm.Double" => "a number",
        "Edm.DateTimeOffset" => "a date and time with a zone, such as 2025-01-31T08:30:00Z",
        "Edm.Date" => "a date such as 2025-01-31",
        "Edm.TimeOfDay" => "a time of day such as 08:30:00",
        "Edm.Guid" => "a GUID such as 8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19",
        other => other,
    }
}

/// Parses a date and time with a zone.
pub(crate) fn instant(text: &str) -> Option<jiff::Timestamp> {
    // The parser also accepts forms that OData does not, such as a blank separator or a zone name.
    let form = text.bytes().all(|byte| byte.is_ascii_digit() || b"-+:.TtZz".contains(&byte));
    form.then(|| text.parse().ok()).flatten()
}

/// Returns whether a text is a date without a time.
pub(crate) fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// Returns whether a text is a time of day, such as `08:30:00` or `08:30:00.0000000`.
fn is_time_of_day(text: &str) -> bool {
    let form = text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    form && text.parse::<jiff::civil::Time>().is_ok()
}

/// Returns whether a text is a GUID in its hyphenated form.
pub(crate) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
