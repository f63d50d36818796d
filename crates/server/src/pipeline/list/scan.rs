//! Scans the rows of a collection in slices, within a budget of rows and time.
//!
//! A slice is one read of the store, so that other callers' reads run in between. A scan that
//! exhausts its budget without a result is an error: clients stop at an empty page, even if it has
//! a link to the next one.

use cloudpc_graph::{GraphError, QueryOptions};
use cloudpc_store::{ListPosition, ListTop, Reader};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::time::Duration;

use super::source::Planned;
use super::{Collection, as_value, compare, invalid_skip_token, matches, page_rows, sort_key};
use crate::app::Monotonic;
use crate::pipeline::Problem;

/// Most rows that one request scans.
pub const SCAN_ROWS_MAX: usize = 100_000;
/// Longest total run time of the slices of one request, without time spent waiting.
pub const SCAN_TIME_MAX: Duration = Duration::from_secs(5);
/// Rows of a slice.
pub const SLICE_ROWS: usize = 500;

/// The outcome of a slice: `Break` with a result, or `Continue`.
type Slice<T> = Result<ControlFlow<T>, Problem>;

/// What a slice reads, and the budget of its request.
pub(super) struct SliceInput<'a, C> {
    pub(super) collection: &'a C,
    pub(super) reader: &'a Reader<'a>,
    pub(super) planned: Option<&'a Planned>,
    pub(super) options: &'a QueryOptions,
    pub(super) budget: &'a ScanBudget,
}

/// The run time of a request's slices so far.
pub(crate) struct ScanBudget {
    clock: Monotonic,
    spent: Duration,
    began: Duration,
}

impl ScanBudget {
    pub(crate) fn new(clock: Monotonic) -> Self {
        Self { clock, spent: Duration::ZERO, began: Duration::ZERO }
    }

    pub(crate) fn begin_slice(&mut self) {
        self.began = (self.clock)();
    }

    pub(crate) fn end_slice(&mut self) {
        self.spent = self.spent_now();
    }

    fn spent_now(&self) -> Duration {
        self.spent + (self.clock)().saturating_sub(self.began)
    }

    pub(crate) fn is_exhausted(&self, rows: usize) -> bool {
        rows > SCAN_ROWS_MAX || self.spent_now() > SCAN_TIME_MAX
    }
}

/// A row with its position among the rows that the store selects, if it does.
struct ScannedRow<R> {
    row: R,
    at: Option<ListPosition>,
}

impl<R> ScannedRow<R> {
    /// Returns the position as the next link carries it.
    fn position<C: Collection<Row = R>>(&self, collection: &C) -> String {
        match &self.at {
            Some(at) => write_position(at),
            None => collection.position(&self.row),
        }
    }
}

/// Rows of one read.
struct ScannedRows<R> {
    rows: Vec<ScannedRow<R>>,
    /// Whether they are the last.
    ended: bool,
}

fn write_position(at: &ListPosition) -> String {
    serde_json::to_string(at).expect("a position is plain data")
}

pub(super) fn read_position<P: for<'de> Deserialize<'de>>(text: &str) -> Result<P, GraphError> {
    serde_json::from_str(text).map_err(|_| invalid_skip_token())
}

/// A cursor over the rows that the store selects, or over all rows in the collection's own order.
#[derive(Default)]
struct ScanWalk {
    position: Option<String>,
    seen: usize,
}

impl ScanWalk {
    /// Returns the next rows.
    fn next<C: Collection>(
        &mut self,
        collection: &C,
        reader: &Reader<'_>,
        planned: Option<&Planned>,
        limit: usize,
    ) -> Result<ScannedRows<C::Row>, Problem> {
        if let (Some(planned), Some(source)) = (planned, collection.source()) {
            let after = self.list_position()?;
            let found = source.rows(reader, &planned.plan, after.as_ref(), limit)?;
            self.seen += found.rows.len();
            let ended = found.next.is_none();
            self.position = found.next.as_ref().map(write_position);
            let rows = found.rows.into_iter().map(|(at, row)| ScannedRow { row, at: Some(at) });
            return Ok(ScannedRows { rows: rows.collect(), ended });
        }
        let mut rows = collection.rows(reader, self.position.as_deref(), limit)?;
        self.seen += rows.len();
        if let Some(last) = rows.last() {
            self.position = Some(collection.position(last));
        }
        let ended = rows.len() < limit;
        if collection.hides_rows() {
            rows = visible(collection, reader, rows)?;
        }
        let rows = rows.into_iter().map(|row| ScannedRow { row, at: None });
        Ok(ScannedRows { rows: rows.collect(), ended })
    }

    fn list_position(&self) -> Result<Option<ListPosition>, Problem> {
        Ok(self.position.as_deref().map(read_position).transpose()?)
    }

    fn is_over_budget(&self, budget: &ScanBudget) -> bool {
        budget.is_exhausted(self.seen)
    }
}

/// Returns the rows that the caller may see.
pub(super) fn visible<C: Collection>(
    collection: &C,
    reader: &Reader<'_>,
    rows: Vec<C::Row>,
) -> Result<Vec<C::Row>, Problem> {
    let mut seen = Vec::with_capacity(rows.len());
    for row in rows {
        if collection.is_visible(reader, &row)? {
            seen.push(row);
        }
    }
    Ok(seen)
}

/// Returns the error of a scan that exhausted its budget without a result.
fn limit_reached<C: Collection>(options: &QueryOptions) -> Problem {
    let option = if !options.orderby.is_empty() {
        "$orderby"
    } else if options.filter.is_some() {
        "$filter"
    } else if options.skip.is_some() {
        "$skip"
    } else {
        "$count"
    };
    scan_limit_reached(option, C::SCAN_ADVICE)
}

pub(crate) fn scan_limit_reached(option: &str, advice: &str) -> Problem {
    let message = format!(
        "'{option}' exceeds the scan limit of {SCAN_ROWS_MAX} rows or {} seconds here. {advice}",
        SCAN_TIME_MAX.as_secs(),
    );
    GraphError::new(400, "scanLimitReached", message).about(option).into()
}

/// Counts the rows that match the filter.
#[derive(Default)]
pub(super) struct Count {
    walk: ScanWalk,
    found: u64,
}

impl Count {
    pub(super) fn slice<C: Collection>(&mut self, input: &SliceInput<'_, C>) -> Slice<u64> {
        let SliceInput { collection, reader, planned, options, budget } = *input;
        if options.filter.is_none()
            && !collection.hides_rows()
            && let Some(count) = collection.count(reader)?
        {
            return Ok(ControlFlow::Break(count));
        }
        if let Some(planned) = planned.filter(|planned| planned.is_exact)
            && let Some(source) = collection.source()
        {
            let after = self.walk.list_position()?;
            let part = source.count(reader, &planned.plan, after.as_ref())?;
            self.found += part.count;
            let Some(next) = part.next else { return Ok(ControlFlow::Break(self.found)) };
            self.walk.position = Some(write_position(&next));
            return match self.walk.is_over_budget(budget) {
                true => Err(limit_reached::<C>(options)),
                false => Ok(ControlFlow::Continue(())),
            };
        }
        let ScannedRows { rows, ended } = self.walk.next(collection, reader, planned, SLICE_ROWS)?;
        self.found += rows.iter().map(|read| u64::from(matches(collection, &read.row, options))).sum::<u64>();
        if ended && self.walk.seen <= SCAN_ROWS_MAX {
            return Ok(ControlFlow::Break(self.found));
        }
        match self.walk.is_over_budget(budget) {
            true => Err(limit_reached::<C>(options)),
            false => Ok(ControlFlow::Continue(())),
        }
    }
}

/// A page of rows.
pub(super) struct ScanPage<R> {
    pub(super) rows: Vec<R>,
    /// Position of the last row, if there are more.
    pub(super) next: Option<String>,
}

/// A finished page while its rows are expanded, one after the other. The rows that are read for
/// them have a budget as a scan has.
pub(super) struct PageExpansion<R> {
    pub(super) page: ScanPage<R>,
    expanded: usize,
    seen: usize,
}

impl<R> PageExpansion<R> {
    pub(super) fn new(page: ScanPage<R>) -> Self {
        Self { page, expanded: 0, seen: 0 }
    }

    /// Expands the next rows. Returns whether all are expanded.
    pub(super) fn slice<C: Collection<Row = R>>(&mut self, input: &SliceInput<'_, C>) -> Result<bool, Problem> {
        let SliceInput { collection, reader, budget, .. } = *input;
        let mut read = 0;
        while read < SLICE_ROWS
            && let Some(row) = self.page.rows.get_mut(self.expanded)
        {
            read += collection.expand(reader, row)?;
            self.expanded += 1;
        }
        self.seen += read;
        if self.expanded == self.page.rows.len() && self.seen <= SCAN_ROWS_MAX {
            return Ok(true);
        }
        match budget.is_exhausted(self.seen) {
            true => Err(scan_limit_reached("$expand", "Request fewer rows with $top.")),
            false => Ok(false),
        }
    }
}

/// A scan for the rows of a page.
pub(super) enum PageScan<R> {
    InOrder(InOrder<R>),
    SortedByStore(SortedByStore<R>),
    Sorted(Sorted<R>),
}

impl<R> PageScan<R> {
    pub(super) fn new(
        options: &QueryOptions,
        planned: Option<&Planned>,
        position: Option<String>,
    ) -> Result<Self, Problem> {
        // The link to the next page has no `$skip`. A client that adds it again must not skip
        // twice.
        let to_skip = if position.is_some() { 0 } else { options.skip.unwrap_or(0) };
        if planned.is_some_and(|planned| planned.plan.is_sorted()) {
            let after = position.as_deref().map(read_position).transpose()?;
            return Ok(Self::SortedByStore(SortedByStore { after, to_skip, top: ListTop::default() }));
        }
        if options.orderby.is_empty() || planned.is_some_and(|planned| planned.is_ordered) {
            let walk = ScanWalk { position, seen: 0 };
            return Ok(Self::InOrder(InOrder { walk, to_skip, rows: Vec::new() }));
        }
        let after = position.as_deref().map(read_position).transpose()?;
        Ok(Self::Sorted(Sorted { walk: ScanWalk::default(), after, rows: Vec::new() }))
    }

    pub(super) fn slice<C: Collection<Row = R>>(&mut self, input: &SliceInput<'_, C>) -> Slice<ScanPage<R>> {
        match self {
            Self::InOrder(scan) => scan.slice(input),
            Self::SortedByStore(scan) => scan.slice(input),
            Self::Sorted(scan) => scan.slice(input),
        }
    }
}

/// The rows of a page as they come.
pub(super) struct InOrder<R> {
    walk: ScanWalk,
    to_skip: usize,
    rows: Vec<ScannedRow<R>>,
}

impl<R> InOrder<R> {
    fn slice<C: Collection<Row = R>>(&mut self, input: &SliceInput<'_, C>) -> Slice<ScanPage<R>> {
        let SliceInput { collection, reader, planned, options, budget } = *input;
        let limit = page_rows::<C>(options);
        let all_match = options.filter.is_none() || planned.is_some_and(|planned| planned.is_exact);
        let are_all_read = all_match && self.to_skip == 0 && !collection.hides_rows();
        let wanted = if are_all_read { limit + 1 - self.rows.len() } else { SLICE_ROWS };
        let ScannedRows { rows: read, ended } = self.walk.next(collection, reader, planned, wanted)?;
        for read in read {
            if !all_match && !matches(collection, &read.row, options) {
                continue;
            }
            if self.to_skip > 0 {
                self.to_skip -= 1;
                continue;
            }
            if self.rows.len() == limit {
                let next = self.rows.last().map(|last| last.position(collection));
                return Ok(ControlFlow::Break(self.page(next)));
            }
            self.rows.push(read);
        }
        if ended {
            return Ok(ControlFlow::Break(self.page(None)));
        }
        if !self.walk.is_over_budget(budget) {
            return Ok(ControlFlow::Continue(()));
        }
        if self.rows.is_empty() {
            return Err(limit_reached::<C>(options));
        }
        let next = self.walk.position.take();
        Ok(ControlFlow::Break(self.page(next)))
    }

    fn page(&mut self, next: Option<String>) -> ScanPage<R> {
        ScanPage { rows: self.rows.drain(..).map(|read| read.row).collect(), next }
    }
}

/// The rows of a page out of all rows, sorted by the store.
pub(super) struct SortedByStore<R> {
    after: Option<ListPosition>,
    to_skip: usize,
    top: ListTop<R>,
}

impl<R> SortedByStore<R> {
    fn slice<C: Collection<Row = R>>(&mut self, input: &SliceInput<'_, C>) -> Slice<ScanPage<R>> {
        let SliceInput { collection, reader, options, budget, .. } = *input;
        let (planned, source) = input.planned.zip(collection.source()).expect("a sorted plan has a source");
        let limit = page_rows::<C>(options);
        let held = self.to_skip.saturating_add(limit);
        if held > SCAN_ROWS_MAX {
            return Err(limit_reached::<C>(options));
        }
        if source.top(reader, &planned.plan, (self.after.as_ref(), held + 1), &mut self.top)? {
            let mut rows = std::mem::take(&mut self.top).into_rows();
            let is_last = rows.len() <= held;
            rows.truncate(held);
            let next = rows.last().filter(|_| !is_last).map(|(at, _)| write_position(at));
            return Ok(ControlFlow::Break(ScanPage {
                rows: rows.into_iter().skip(self.to_skip).map(|(_, row)| row).collect(),
                next,
            }));
        }
        match budget.spent_now() > SCAN_TIME_MAX {
            true => Err(limit_reached::<C>(options)),
            false => Ok(ControlFlow::Continue(())),
        }
    }
}

/// The end of a page in `$orderby` order: the values sorted by, and the position of the row.
#[derive(Serialize, Deserialize)]
struct SortedPosition(Vec<Value>, String);

/// The rows of a page out of all rows, sorted in memory.
pub(super) struct Sorted<R> {
    walk: ScanWalk,
    after: Option<SortedPosition>,
    rows: Vec<(SortedPosition, R)>,
}

impl<R> Sorted<R> {
    fn slice<C: Collection<Row = R>>(&mut self, input: &SliceInput<'_, C>) -> Slice<ScanPage<R>> {
        let SliceInput { collection, reader, planned, options, budget } = *input;
        let ScannedRows { rows: read, ended } = self.walk.next(collection, reader, planned, SLICE_ROWS)?;
        let is_exact = planned.is_some_and(|planned| planned.is_exact);
        for ScannedRow { row, .. } in read {
            if is_exact || matches(collection, &row, options) {
                let value = as_value(collection, &row);
                let keys = options.orderby.iter().map(|(name, _)| sort_key(&value, name)).collect();
                self.rows.push((SortedPosition(keys, collection.position(&row)), row));
            }
        }
        if ended && self.walk.seen <= SCAN_ROWS_MAX {
            return Ok(ControlFlow::Break(self.page(page_rows::<C>(options), options)));
        }
        match self.walk.is_over_budget(budget) {
            true => Err(limit_reached::<C>(options)),
            false => Ok(ControlFlow::Continue(())),
        }
    }

    fn page(&mut self, limit: usize, options: &QueryOptions) -> ScanPage<R> {
        // The sort is stable, so rows with equal values keep the collection's own order.
        let order = |a: &SortedPosition, b: &SortedPosition| {
            let pairs = a.0.iter().zip(&b.0).zip(&options.orderby);
            pairs
                .map(|((a, b), (_, descending))| if *descending { compare(b, a) } else { compare(a, b) })
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by(|a, b| order(&a.0, &b.0));
        let start = match &self.after {
            // The row of the position may have changed or been deleted. The page then starts after
            // the values of the position.
            Some(after) => rows
                .iter()
                .position(|(key, _)| key.1 == after.1 && order(key, after).is_eq())
                .map_or_else(|| rows.partition_point(|(key, _)| order(key, after).is_le()), |place| place + 1),
            None => options.skip.unwrap_or(0).min(rows.len()),
        };
        let more = rows.len() - start > limit;
        let mut page: Vec<_> = rows.into_iter().skip(start).take(limit).collect();
        let next = match page.last_mut() {
            Some((key, _)) if more => {
                let key = SortedPosition(std::mem::take(&mut key.0), std::mem::take(&mut key.1));
                Some(serde_json::to_string(&key).expect("a position is plain data"))
            }
            _ => None,
        };
        ScanPage { rows: page.into_iter().map(|(_, row)| row).collect(), next }
    }
}

#[cfg(test)]
mod tests;
