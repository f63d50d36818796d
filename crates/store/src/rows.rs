//! Conversion between columns and the types of the model, and fragments of statements that nouns
//! share.

use std::str::FromStr;

use cloudpc_model::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::StoreError;
use crate::connection::{FromValue, Row, Value};

/// A condition: no remote action is open on the machine whose line a row of this table names, and
/// none that changes the machine's power as one does.
macro_rules! at_rest {
    ($table:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM actions WHERE actions.line_id = ",
            $table,
            ".line_id AND nullif(remote, 0) = 1 AND open = 1) AND NOT EXISTS (SELECT 1 FROM actions WHERE actions.line_id = ",
            $table,
            ".line_id AND at_front = 1 AND kind = 'applyPolicy')"
        )
    };
}
pub(crate) use at_rest;

/// Reads the columns of a row from left to right. Struct fields are evaluated in the order in which
/// they are written, so a mapping reads like its SELECT list.
pub(crate) struct Columns<'a> {
    row: Row<'a>,
    table: &'static str,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(crate) fn new(row: Row<'a>, table: &'static str) -> Self {
        Self { row, table, next: 0 }
    }

    /// Reads the next column as it is.
    pub(crate) fn get<T: FromValue>(&mut self) -> Result<T, StoreError> {
        let column = self.next;
        self.next += 1;
        self.row.get(column)
    }

    /// Reads a time.
    pub(crate) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.get().map(Timestamp)
    }

    /// Reads a time or NULL.
    pub(crate) fn time_opt(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>()?.map(Timestamp))
    }

    /// Reads a value of the domain that is stored by its name.
    pub(crate) fn word<T: FromStr>(&mut self) -> Result<T, StoreError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.corrupt(format!("the word {text:?}")))
    }

    /// Reads a value of the domain by its name, or NULL.
    pub(crate) fn word_opt<T: FromStr>(&mut self) -> Result<Option<T>, StoreError> {
        if self.skip_null()? { Ok(None) } else { self.word().map(Some) }
    }

    /// Reads JSON text.
    pub(crate) fn json<T: DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        let text = self.text()?;
        serde_json::from_str(text).map_err(|error| self.corrupt(error.to_string()))
    }

    /// Reads JSON text or NULL.
    pub(crate) fn json_opt<T: DeserializeOwned>(&mut self) -> Result<Option<T>, StoreError> {
        if self.skip_null()? { Ok(None) } else { self.json().map(Some) }
    }

    /// Skips the next column if it is NULL.
    fn skip_null(&mut self) -> Result<bool, StoreError> {
        let is_null = self.row.value(self.next)? == Value::Null;
        self.next += usize::from(is_null);
        Ok(is_null)
    }

    /// Reads a text without copying it.
    fn text(&mut self) -> Result<&'a str, StoreError> {
        let column = self.next;
        self.next += 1;
        match self.row.value(column)? {
            Value::Text(text) => Ok(text),
            other => Err(self.corrupt(format!("{} where a text belongs", other.kind()))),
        }
    }

    fn corrupt(&self, what: String) -> StoreError {
        StoreError::Corrupt { table: self.table, what: format!("column {}: {what}", self.next - 1) }
    }
}

/// Returns a text in lower case, as a key that is compared whatever the case.
pub(crate) fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// Returns a value as JSON text.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the model's types have string keys and no failing serializer")
}

/// Returns a value as JSON text, or NULL.
pub(crate) fn json_opt(value: Option<&impl Serialize>) -> Option<String> {
    value.map(json)
}

/// Returns a time as a column, or NULL.
pub(crate) fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(|time| time.0)
}

/// Returns an optional text as a column: NULL if it is empty, as lists sort and select it.
pub(crate) fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Returns the name by which a value of the domain is stored.
pub(crate) fn word(value: impl Into<&'static str>) -> &'static str {
    value.into()
}

/// Returns a number of rows as SQL takes it.
pub(crate) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// The lower bound of a list by GUID: `last`, or a value before all GUIDs, so that the first page
/// is the same range scan as the others.
pub(crate) fn guid_after(last: Option<Uuid>) -> Vec<u8> {
    last.map_or_else(Vec::new, |last| last.into_bytes().to_vec())
}
