//! The limits of scans and expansions.

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

    /// Each number contains as many others.
    fn expand(&self, _: &Reader<'_>, row: &mut usize) -> Result<usize, Problem> {
        Ok(*row)
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
    let (mut count, mut budget) = (Count::default(), ScanBudget::new(Arc::new(clock)));
    let scan = store.scan(move |reader| {
        budget.begin_slice();
        let (collection, options) = (&Numbers(rows), &QueryOptions::default());
        count.slice(&SliceInput { collection, reader, planned: None, options, budget: &budget })
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
    assert_eq!(counted(SLICE_ROWS - 1, longer).await, Ok(SLICE_ROWS as u64 - 1), "the first slice always completes");
}

/// Expands rows that contain this many others; returns the number of slices.
async fn expanded(rows: Vec<usize>, slice: Duration) -> Result<usize, String> {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::Inline).unwrap();
    let now = std::sync::atomic::AtomicU64::new(0);
    let clock = move || slice * u32::try_from(now.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).unwrap();
    let mut budget = ScanBudget::new(Arc::new(clock));
    let mut expansion = PageExpansion::new(ScanPage { rows, next: None });
    let mut slices = 0;
    let scan = store.scan(move |reader| {
        budget.begin_slice();
        slices += 1;
        let (collection, options) = (&Numbers(0), &QueryOptions::default());
        let input = SliceInput { collection, reader, planned: None, options, budget: &budget };
        Ok::<_, Problem>(match expansion.slice(&input)? {
            true => ControlFlow::Break(slices),
            false => ControlFlow::Continue(()),
        })
    });
    scan.await.map_err(|problem| problem.into_graph("", "").code)
}

#[tokio::test]
async fn expansion_is_sliced_and_limited_in_rows_and_time() {
    let limit = SCAN_ROWS_MAX / SLICE_ROWS;
    assert_eq!(expanded(vec![SLICE_ROWS; limit], Duration::ZERO).await, Ok(limit));
    let more = [vec![SLICE_ROWS; limit], vec![1]].concat();
    assert_eq!(expanded(more, Duration::ZERO).await, Err("scanLimitReached".into()));
    assert_eq!(expanded(vec![SLICE_ROWS - 1, 1, 1], SCAN_TIME_MAX).await, Ok(2));
    let longer = SCAN_TIME_MAX + Duration::from_nanos(1);
    assert_eq!(expanded(vec![SLICE_ROWS; 2], longer).await, Err("scanLimitReached".into()));
    assert_eq!(expanded(vec![SLICE_ROWS], longer).await, Ok(1), "the first slice always completes");
}
