//! Reads the rows of a report in slices, within the budget that lists have.

use cloudpc_store::Reader;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::query::ReportQuery;
use super::{ReportPage, ReportRow};
use crate::app::Monotonic;
use crate::pipeline::Problem;
use crate::pipeline::list::{ScanBudget, compare_by, scan_limit_reached};

/// The rows of a report, read piece by piece.
pub(super) trait ReportSource: Send {
    /// Returns the next rows.
    fn next(&mut self, reader: &Reader<'_>) -> Result<ReportPiece, Problem>;
}

/// Rows of one read.
pub(super) struct ReportPiece {
    pub(super) rows: Vec<ReportRow>,
    /// Rows of the store that were read for them.
    pub(super) read: usize,
    /// Whether they are the last.
    pub(super) ended: bool,
}

/// A scan over the rows of a report.
pub(super) struct ReportScan {
    source: Box<dyn ReportSource>,
    query: ReportQuery,
    budget: ScanBudget,
    seen: usize,
    total: usize,
    /// The first rows of the answer's order, and not many more.
    kept: Vec<Value>,
    /// Sizes of the groups found so far.
    groups: BTreeMap<String, usize>,
}

impl ReportScan {
    pub(super) fn new(source: Box<dyn ReportSource>, query: ReportQuery, clock: Monotonic) -> Self {
        let budget = ScanBudget::new(clock);
        Self { source, query, budget, seen: 0, total: 0, kept: Vec::new(), groups: BTreeMap::new() }
    }

    /// Reads the next rows. Breaks with the answer after the last.
    ///
    /// # Errors
    /// 400 `scanLimitReached` if the report has more rows than a request may read.
    pub(super) fn slice(&mut self, reader: &Reader<'_>) -> Result<ControlFlow<ReportPage>, Problem> {
        self.budget.begin_slice();
        let piece = self.source.next(reader)?;
        // A Cloud PC without rows costs a read as well.
        self.seen += piece.read.max(1);
        for row in piece.rows {
            self.add(row);
        }
        self.budget.end_slice();
        if piece.ended {
            return Ok(ControlFlow::Break(self.page()));
        }
        match self.budget.is_exhausted(self.seen) {
            true => Err(scan_limit_reached("filter", "Filter by 'CloudPcId'.")),
            false => Ok(ControlFlow::Continue(())),
        }
    }

    fn add(&mut self, row: ReportRow) {
        let row = Value::Object(row);
        if !self.query.matches(&row) {
            return;
        }
        if self.query.is_grouped {
            let group = row.as_object().map(|row| self.query.group(row)).unwrap_or_default();
            *self.groups.entry(group).or_default() += 1;
            return;
        }
        self.total += 1;
        self.kept.push(row);
        if self.kept.len() >= 2 * self.wanted() + 1000 {
            self.keep_first();
        }
    }

    /// Rows up to the last of the answer.
    fn wanted(&self) -> usize {
        self.query.skip.saturating_add(self.query.top).min(usize::MAX / 4)
    }

    fn keep_first(&mut self) {
        let order = &self.query.order;
        self.kept.sort_by(|a, b| compare_by(order, a, b));
        self.kept.truncate(self.wanted());
    }

    fn page(&mut self) -> ReportPage {
        if self.query.is_grouped {
            self.total = self.groups.len();
            let groups = std::mem::take(&mut self.groups);
            self.kept = groups.iter().map(|(group, size)| Value::Object(self.query.group_row(group, *size))).collect();
        }
        self.keep_first();
        let rows = std::mem::take(&mut self.kept).into_iter().skip(self.query.skip);
        let rows = rows.filter_map(|row| match row {
            Value::Object(row) => Some(row),
            _ => None,
        });
        ReportPage { total: self.total, rows: rows.collect() }
    }
}
