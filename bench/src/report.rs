//! Report: a table of measurements, their ratios to anchors, and goals.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// One row of the table.
pub struct Row {
    /// Name of the measurement.
    pub what: String,
    /// Measured value with its unit.
    pub value: String,
    /// Ratio to compare with the goal; empty: the value itself is compared, or nothing.
    pub ratio: String,
    /// Goal; empty if none.
    pub goal: String,
    /// Whether the goal is met; none without a goal.
    pub met: Option<bool>,
}

impl Row {
    /// Returns a row of a measurement that others are compared with.
    pub fn anchor(what: impl Into<String>, value: String) -> Self {
        Self { what: what.into(), value, ratio: String::new(), goal: String::new(), met: None }
    }
}

/// Returns a row whose share of the machine's best must be at least a goal.
pub fn at_least(what: String, value: String, share: f64, goal: f64) -> Row {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    Row { what, value, ratio: percent(share), goal: format!(">= {}", percent(goal)), met: Some(share >= goal) }
}

/// Returns a row whose cost relative to another case must be at most a goal.
pub fn at_most(what: String, value: String, ratio: f64, goal: f64) -> Row {
    Row { what, value, ratio: format!("{ratio:.2}"), goal: format!("<= {goal:.2}"), met: Some(ratio <= goal) }
}

/// Returns a row whose value must be at most a goal of the same unit; `show` formats both.
pub fn within(what: String, value: f64, goal: f64, show: fn(f64) -> String) -> Row {
    let goal_text = format!("<= {}", show(goal));
    Row { what, value: show(value), ratio: String::new(), goal: goal_text, met: Some(value <= goal) }
}

/// Formats processor time.
pub fn micros(microseconds: f64) -> String {
    format!("{microseconds:.1} µs")
}

/// Returns the median.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the table as it is printed, and pasted into `bench/README.md`.
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
