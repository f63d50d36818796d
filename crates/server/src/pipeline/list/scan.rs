//! Scans the rows of a collection in slices, within a budget of rows and time.
//!
//! A slice is one read of the store, so that other callers' reads run in between. A scan that
//! exhausts its budget without a result is an error: clients stop at an empty page, even if it has
//! a link to the next one.

use cloudpc_graph::{GraphError, QueryOptions};
use cloudpc_store::Reader;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::time::Duration;

use super::{Collection, as_value, at, compare, invalid_skip_token, matches, page_rows};
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

/// The run time of a request's slices so far.
pub(super) struct Budget {
    clock: Monotonic,
    spent: Duration,
    began: Duration,
}

impl Budget {
    pub(super) fn new(clock: Monotonic) -> Self {
        Self { clock, spent: Duration::ZERO, began: Duration::ZERO }
    }

    pub(super) fn begin_slice(&mut self) {
        self.began = (self.clock)();
    }

    pub(super) fn end_slice(&mut self) {
        self.spent = self.spent_now();
    }

    fn spent_now(&self) -> Duration {
        self.spent + (self.clock)().saturating_sub(self.began)
    }
}

/// A cursor over all rows in the collection's own order.
#[derive(Default)]
struct ScanWalk {
    position: Option<String>,
    seen: usize,
}

impl ScanWalk {
    /// Returns the next rows and whether they are the last.
    fn next<C: Collection>(
        &mut self,
        collection: &C,
        reader: &Reader<'_>,
        limit: usize,
    ) -> Result<(Vec<C::Row>, bool), Problem> {
        let rows = collection.rows(reader, self.position.as_deref(), limit)?;
        self.seen += rows.len();
        if let Some(last) = rows.last() {
            self.position = Some(collection.position(last));
        }
        let ended = rows.len() < limit;
        Ok((rows, ended))
    }

    fn is_over_budget(&self, budget: &Budget) -> bool {
        self.seen > SCAN_ROWS_MAX || budget.spent_now() > SCAN_TIME_MAX
    }
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
    let message = format!(
        "'{option}' exceeds the scan limit of {SCAN_ROWS_MAX} rows or {} seconds here. {}",
        SCAN_TIME_MAX.as_secs(),
        C::SCAN_ADVICE
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
    pub(super) fn slice<C: Collection>(
        &mut self,
        collection: &C,
        reader: &Reader<'_>,
        options: &QueryOptions,
        budget: &Budget,
    ) -> Slice<u64> {
        if options.filter.is_none()
            && let Some(count) = collection.count(reader)?
        {
            return Ok(ControlFlow::Break(count));
        }
        let (rows, ended) = self.walk.next(collection, reader, SLICE_ROWS)?;
        self.found += rows.iter().map(|row| u64::from(matches(collection, row, options))).sum::<u64>();
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

/// A scan for the rows of a page.
pub(super) enum PageScan<R> {
    InOwnOrder(InOwnOrder<R>),
    Sorted(Sorted<R>),
}

impl<R> PageScan<R> {
    pub(super) fn new(options: &QueryOptions, position: Option<String>) -> Result<Self, Problem> {
        if options.orderby.is_empty() {
            // The link to the next page has no `$skip`. A client that adds it again must not skip
            // twice.
            let to_skip = if position.is_some() { 0 } else { options.skip.unwrap_or(0) };
            let walk = ScanWalk { position, seen: 0 };
            return Ok(Self::InOwnOrder(InOwnOrder { walk, to_skip, rows: Vec::new() }));
        }
        let after = position.as_deref().map(serde_json::from_str).transpose().map_err(|_| invalid_skip_token())?;
        Ok(Self::Sorted(Sorted { walk: ScanWalk::default(), after, rows: Vec::new() }))
    }

    pub(super) fn slice<C: Collection<Row = R>>(
        &mut self,
        collection: &C,
        reader: &Reader<'_>,
        options: &QueryOptions,
        budget: &Budget,
    ) -> Slice<ScanPage<R>> {
        match self {
            Self::InOwnOrder(scan) => scan.slice(collection, reader, options, budget),
            Self::Sorted(scan) => scan.slice(collection, reader, options, budget),
        }
    }
}

pub(super) struct InOwnOrder<R> {
    walk: ScanWalk,
    to_skip: usize,
    rows: Vec<R>,
}

impl<R> InOwnOrder<R> {
    fn slice<C: Collection<Row = R>>(
        &mut self,
        collection: &C,
        reader: &Reader<'_>,
        options: &QueryOptions,
        budget: &Budget,
    ) -> Slice<ScanPage<R>> {
        let limit = page_rows::<C>(options);
        let direct = options.filter.is_none() && self.to_skip == 0;
        let (read, ended) = self.walk.next(collection, reader, if direct { limit + 1 } else { SLICE_ROWS })?;
        for row in read {
            if !matches(collection, &row, options) {
                continue;
            }
            if self.to_skip > 0 {
                self.to_skip -= 1;
                continue;
            }
            if self.rows.len() == limit {
                let next = self.rows.last().map(|row| collection.position(row));
                return Ok(ControlFlow::Break(self.page(next)));
            }
            self.rows.push(row);
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
        ScanPage { rows: std::mem::take(&mut self.rows), next }
    }
}

/// The end of a page in `$orderby` order: the values sorted by, and the position of the row.
#[derive(Serialize, Deserialize)]
struct SortedPosition(Vec<Value>, String);

pub(super) struct Sorted<R> {
    walk: ScanWalk,
    after: Option<SortedPosition>,
    rows: Vec<(SortedPosition, R)>,
}

impl<R> Sorted<R> {
    fn slice<C: Collection<Row = R>>(
        &mut self,
        collection: &C,
        reader: &Reader<'_>,
        options: &QueryOptions,
        budget: &Budget,
    ) -> Slice<ScanPage<R>> {
        let (read, ended) = self.walk.next(collection, reader, SLICE_ROWS)?;
        for row in read {
            if matches(collection, &row, options) {
                let value = as_value(collection, &row);
                let keys = options.orderby.iter().map(|(name, _)| at(&value, name).clone()).collect();
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
mod tests {
    use super::*;
    use crate::pipeline::list::PropertySet;
    use cloudpc_store::{Store, WriteMode};
    use std::sync::Arc;

    /// A collection of that many numbers, without a stored count.
    struct Numbers(usize);

    impl Collection for Numbers {
        type Row = usize;

        fn rows(&self, _: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<usize>, Problem> {
            let first = position.map_or(0, |last| last.parse::<usize>().unwrap() + 1);
            Ok((first..self.0).take(limit).collect())
        }

        fn position(&self, row: &usize) -> String {
            row.to_string()
        }

        fn view<'a>(&'a self, row: &'a usize, _: PropertySet) -> impl Serialize + 'a {
            row
        }
    }

    async fn counted(rows: usize, slice: Duration) -> Result<u64, String> {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), WriteMode::Inline).unwrap();
        let now = std::sync::atomic::AtomicU64::new(0);
        let clock = move || slice * u32::try_from(now.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).unwrap();
        let (mut count, mut budget) = (Count::default(), Budget::new(Arc::new(clock)));
        let scan = store.scan(move |reader| {
            budget.begin_slice();
            count.slice(&Numbers(rows), reader, &QueryOptions::default(), &budget)
        });
        scan.await.map_err(|problem| problem.into_graph("", "").code)
    }

    #[tokio::test]
    async fn scan_is_limited_in_rows_and_time() {
        assert_eq!(counted(SCAN_ROWS_MAX, Duration::ZERO).await, Ok(SCAN_ROWS_MAX as u64));
        assert_eq!(counted(SCAN_ROWS_MAX + 1, Duration::ZERO).await, Err("scanLimitReached".into()));
        assert_eq!(counted(SLICE_ROWS + 1, SCAN_TIME_MAX).await, Ok(SLICE_ROWS as u64 + 1));
        let longer = SCAN_TIME_MAX + Duration::from_nanos(1);
        assert_eq!(counted(SLICE_ROWS + 1, longer).await, Err("scanLimitReached".into()));
        assert_eq!(
            counted(SLICE_ROWS - 1, longer).await,
            Ok(SLICE_ROWS as u64 - 1),
            "the first slice always completes"
        );
    }
}
