//! The table: what was measured, its ratio to its anchor, and the goal beside it.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// One line of the table.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The measurement, with its unit.
    pub value: String,
    /// What is compared with the goal, e.g. `43 % of the constant body`; empty: nothing is.
    pub ratio: String,
    /// The goal, in the same words; empty: none is set.
    pub goal: String,
    /// Whether it is met; none: there is none.
    pub met: Option<bool>,
}

impl Row {
    /// A measurement that others are compared with.
    pub fn anchor(what: impl Into<String>, value: String) -> Self {
        Self { what: what.into(), value, ratio: String::new(), goal: String::new(), met: None }
    }
}

/// The middle of several measurements.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The table as it is printed, and pasted into `bench/README.md`.
pub fn table(rows: Vec<Row>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["what", "measured", "ratio", "goal", "met"]);
    for Row { what, value, ratio, goal, met } in rows {
        let met = met.map_or("", |met| if met { "yes" } else { "no" });
        table.add_row([what, value, ratio, goal, met.to_owned()]);
    }
    for column in [1, 2, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}
