//! The table: what was measured, its ratio to its anchor, and the goal beside it.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// One line of the table.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The measurement, with its unit.
    pub value: String,
    /// What is compared with the goal; empty: the measurement itself, or nothing.
    pub ratio: String,
    /// The goal; empty: none is set.
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

/// A share of what the machine can do at best, to be no less than a goal.
pub fn at_least(what: String, value: String, share: f64, goal: f64) -> Row {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    Row { what, value, ratio: percent(share), goal: format!(">= {}", percent(goal)), met: Some(share >= goal) }
}

/// The cost of one case over another's, to be no more than a goal.
pub fn at_most(what: String, value: String, ratio: f64, goal: f64) -> Row {
    Row { what, value, ratio: format!("{ratio:.2}"), goal: format!("<= {goal:.2}"), met: Some(ratio <= goal) }
}

/// A measurement to be no more than a goal, both of the same unit, as `show` writes them.
pub fn within(what: String, value: f64, goal: f64, show: fn(f64) -> String) -> Row {
    let goal_text = format!("<= {}", show(goal));
    Row { what, value: show(value), ratio: String::new(), goal: goal_text, met: Some(value <= goal) }
}

/// Processor time.
pub fn micros(microseconds: f64) -> String {
    format!("{microseconds:.1} µs")
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
