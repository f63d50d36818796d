//! Output: a table for people, or Graph's rows as JSON for programs.

use clap::ValueEnum;
use cloudpc_graph::is_control_or_bidi;
use comfy_table::{ContentArrangement, Table, TableStyle};
use serde_json::Value;
use std::io::{IsTerminal, Write};

use crate::failure::CommandError;

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table, for people
    #[default]
    Table,
    /// JSON as Graph sends it, for programs
    Json,
}

/// A column of a table: its heading, and the function that reads a cell from a row.
pub type Column = (&'static str, fn(&Value) -> String);

impl Format {
    /// Prints rows.
    pub fn rows(self, rows: &[Value], columns: &[Column]) -> Result<(), CommandError> {
        print(&match self {
            Self::Json => json(&Value::Array(rows.to_vec())),
            Self::Table => table(rows, columns, std::io::stdout().is_terminal()),
        })
    }

    /// Prints one row; as JSON, an object instead of a list.
    pub fn row(self, row: &Value, columns: &[Column]) -> Result<(), CommandError> {
        match self {
            Self::Json => print(&json(row)),
            Self::Table => self.rows(std::slice::from_ref(row), columns),
        }
    }
}

/// Prints text to standard output.
pub fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader, such as `head`, has closed the pipe.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| CommandError::local(format!("Cannot write the output: {error}."))),
    }
}

/// Prints a message to standard error.
pub fn tell(text: &str) {
    eprintln!("{text}");
}

/// The text of a property; `path` may be nested, such as `requestedBy/appName`. Empty if absent.
pub fn text(row: &Value, path: &str) -> String {
    let value = path.split('/').try_fold(row, |value, name| value.get(name));
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A time in seconds, such as `2026-04-25 02:04:53Z`.
pub fn time(row: &Value, path: &str) -> String {
    let full = text(row, path);
    match (full.get(..10), full.get(11..19)) {
        (Some(date), Some(time)) => format!("{date} {time}Z"),
        _ => full,
    }
}

fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Renders a table without its empty columns.
fn table(rows: &[Value], columns: &[Column], for_terminal: bool) -> String {
    let filled = |(_, cell): &&Column| rows.is_empty() || rows.iter().any(|row| !cell(row).is_empty());
    let columns: Vec<_> = columns.iter().filter(filled).collect();
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(columns.iter().map(|(heading, _)| *heading));
    // Only a terminal has a width to wrap long cells at.
    table.set_content_arrangement(if for_terminal {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    for row in rows {
        table.add_row(columns.iter().map(|(_, cell)| escaped(&cell(row))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A cell without characters that would steer the terminal or begin another line. What others have
/// named is printed here, so they are shown as Rust writes them.
pub fn escaped(cell: &str) -> String {
    let mut shown = String::with_capacity(cell.len());
    for letter in cell.chars() {
        match is_control_or_bidi(letter) {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    const COLUMNS: &[Column] = &[("NAME", |row| text(row, "displayName")), ("AT", |row| time(row, "a/at"))];

    #[test]
    fn a_cell_steers_no_terminal() {
        let rows = [json!({"displayName": "a\u{1b}[2J\u{9b}\r\n\u{202e}b\u{2066}ä"})];
        assert_snapshot!(table(&rows, COLUMNS, false), @r"
        NAME
        a\u{1b}[2J\u{9b}\r\n\u{202e}b\u{2066}ä
        ");
    }

    #[test]
    fn rows_print_as_table_or_json() {
        let rows = [
            json!({"displayName": "desk-01", "a": {"at": "2026-04-25T02:04:53.4722000Z"}}),
            json!({"displayName": "a much longer name", "a": null}),
        ];
        assert_snapshot!(table(&rows, COLUMNS, false), @"
        NAME                AT
        desk-01             2026-04-25 02:04:53Z
        a much longer name
        ");
        assert_snapshot!(table(&[], COLUMNS, false), @"NAME  AT");
        assert_snapshot!(table(&rows[1..], COLUMNS, false), @"
        NAME
        a much longer name
        ");
        assert_snapshot!(super::json(&rows[1]), @r#"
        {
          "a": null,
          "displayName": "a much longer name"
        }
        "#);
    }
}
