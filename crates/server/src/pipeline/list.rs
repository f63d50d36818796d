//! Collections: filters, orders, pages and counts rows.
//!
//! Rows are read in key order and a page ends with the position of its last row, so each page costs
//! the same. Where a collection is a table of the store, the store selects and sorts the rows
//! ([`source`]); what it cannot select is evaluated here, row by row, within a budget ([`scan`]).
//! Rows are serialised from their view into the body; only that evaluation and `$select` build JSON
//! values.

mod delta;
mod in_memory;
mod property;
mod scan;
mod source;

use cloudpc_graph::edm::TextKind;
use cloudpc_graph::{GraphError, QueryOptions};
use cloudpc_store::Reader;
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::Value;
use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::call::to_json;
use super::select::Picked;
use super::{Answer, Call, Problem};
use scan::{Count, PageExpansion, PageScan, ScanPage, SliceInput};
use source::Planned;

pub use delta::{DeltaCollection, delta};
pub use in_memory::{count_in_memory, in_memory, in_memory_as};
pub use property::ListProperty;
pub use scan::{SCAN_ROWS_MAX, SCAN_TIME_MAX, SLICE_ROWS};
pub(crate) use scan::{ScanBudget, scan_limit_reached};
pub use source::{ListSource, TableCollection};

/// Rows of a page without `$top`.
pub const PAGE_ROWS: usize = 100;
/// Most rows of a page.
pub const PAGE_ROWS_MAX: usize = 999;

/// The set of properties that a view contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertySet {
    /// Properties sent without `$select`.
    Default,
    /// All properties, including those sent only if `$select` names them.
    All,
    /// All properties, with the names of all enum members: the input of `$filter` and `$orderby`,
    /// independent of the client's preferences.
    Stored,
}

/// A collection: the source of its rows and their view.
pub trait Collection: Send + 'static {
    /// A row as read from the store.
    type Row: Send;

    /// Most rows of a page.
    const PAGE_ROWS_MAX: usize = PAGE_ROWS_MAX;

    /// Advice in the error of a request that exceeds the scan limit.
    const SCAN_ADVICE: &'static str =
        "Request pages without $filter, $orderby, $skip and $count, follow '@odata.nextLink' and filter in the client.";

    /// Prepares reading. Called first, with the position of the page and its prefix; `None` for the
    /// first page.
    fn begin(&mut self, _reader: &Reader<'_>, _position: Option<&str>) -> Result<(), Problem> {
        Ok(())
    }

    /// Returns what all pages after the first have to know of it. It precedes the position in the
    /// links, where [`Self::begin`] reads it.
    fn position_prefix(&self) -> String {
        String::new()
    }

    /// Returns up to `limit` rows after `position`, in the collection's own order. Fewer rows mean
    /// the end of the collection.
    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Self::Row>, Problem>;

    /// Returns the position of a row.
    fn position(&self, row: &Self::Row) -> String;

    /// Returns the page of `limit` rows after `position`, if its JSON is stored.
    fn stored_page(
        &self,
        _reader: &Reader<'_>,
        _position: Option<&str>,
        _limit: usize,
    ) -> Result<Option<StoredPage>, Problem> {
        Ok(None)
    }

    /// Returns the number of rows, if the store can count them without reading each.
    fn count(&self, _reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(None)
    }

    /// Whether [`Self::rows`] has rows that the caller may not see. Such a collection has no
    /// [`Self::source`].
    fn hides_rows(&self) -> bool {
        false
    }

    /// Whether the caller may see a row, if the collection hides any.
    fn is_visible(&self, _reader: &Reader<'_>, _row: &Self::Row) -> Result<bool, Problem> {
        Ok(true)
    }

    /// Returns the source that selects and sorts rows in the store, if there is one.
    fn source(&self) -> Option<&dyn ListSource<Self::Row>> {
        None
    }

    /// Reads what `$expand` asks for of a row of the finished page. Returns how many rows were
    /// read.
    fn expand(&self, _reader: &Reader<'_>, _row: &mut Self::Row) -> Result<usize, Problem> {
        Ok(0)
    }

    /// Returns the view of a row.
    fn view<'a>(&'a self, row: &'a Self::Row, set: PropertySet) -> impl Serialize + 'a;
}

/// A page that is stored as JSON.
pub struct StoredPage {
    /// The rows as JSON, separated by commas.
    pub rows: Vec<u8>,
    /// Position of the last row, if there are more.
    pub next: Option<String>,
}

/// Answers with a page of a collection.
pub async fn page<C: Collection>(call: &Arc<Call>, collection: C) -> Result<Answer, Problem> {
    let position = call.position()?;
    let count = if call.options.count { Some(Count::default()) } else { None };
    let budget = ScanBudget::new(Arc::clone(&call.app.monotonic));
    let call = call.clone();
    let request = ListRequest {
        call: call.clone(),
        collection,
        position,
        started: false,
        planned: None,
        count,
        total: None,
        rows: None,
        expansion: None,
        budget,
    };
    run_in_slices(&call, request, ListRequest::page).await
}

/// Answers `$count` of a collection.
pub async fn count<C: Collection>(call: &Arc<Call>, collection: C) -> Result<Answer, Problem> {
    let budget = ScanBudget::new(Arc::clone(&call.app.monotonic));
    let count = Some(Count::default());
    let call = call.clone();
    let request = ListRequest {
        call: call.clone(),
        collection,
        position: None,
        started: false,
        planned: None,
        count,
        total: None,
        rows: None,
        expansion: None,
        budget,
    };
    run_in_slices(&call, request, ListRequest::count_only).await
}

/// Runs a request slice by slice. The first slice, which answers most requests, is an ordinary
/// read; further slices are a scan.
async fn run_in_slices<C: Collection>(
    call: &Call,
    mut request: ListRequest<C>,
    slice: impl Fn(&mut ListRequest<C>, &Reader<'_>) -> Result<ControlFlow<Answer>, Problem> + Send + Sync + 'static,
) -> Result<Answer, Problem> {
    let store = call.store();
    let first = move |reader: &Reader<'_>| {
        let progress = request.slice(reader, &slice)?;
        Ok::<_, Problem>((progress, request, slice))
    };
    match store.read(first).await? {
        (ControlFlow::Break(answer), ..) => Ok(answer),
        (ControlFlow::Continue(()), mut request, slice) => {
            store.scan(move |reader: &Reader<'_>| request.slice(reader, &slice)).await
        }
    }
}

/// The state of a request for a collection.
struct ListRequest<C: Collection> {
    call: Arc<Call>,
    collection: C,
    /// The position of the page; `None` for the first one.
    position: Option<String>,
    started: bool,
    /// How the store answers the request, if it can; set at the start.
    planned: Option<Planned>,
    /// The count in progress; `None` if it is complete or not requested.
    count: Option<Count>,
    total: Option<u64>,
    /// The rows found so far; none before the first slice that reads any.
    rows: Option<PageScan<C::Row>>,
    /// The finished page, while `$expand` is read for its rows.
    expansion: Option<PageExpansion<C::Row>>,
    budget: ScanBudget,
}

impl<C: Collection> ListRequest<C> {
    fn slice(
        &mut self,
        reader: &Reader<'_>,
        slice: impl Fn(&mut Self, &Reader<'_>) -> Result<ControlFlow<Answer>, Problem>,
    ) -> Result<ControlFlow<Answer>, Problem> {
        self.budget.begin_slice();
        if !self.started {
            self.collection.begin(reader, self.position.as_deref())?;
            let prefix = self.collection.position_prefix();
            let rest =
                |position: String| position.strip_prefix(&prefix).map(str::to_owned).ok_or_else(invalid_skip_token);
            self.position = self.position.take().map(rest).transpose()?;
            if let Some(source) = self.collection.source() {
                self.planned = Planned::of(source, reader, &self.call.options, self.position.as_deref())?;
            }
            self.started = true;
        }
        let progress = slice(self, reader);
        self.budget.end_slice();
        progress
    }

    /// Counts the next slice. Returns whether the count is complete.
    fn advance_count(&mut self, reader: &Reader<'_>) -> Result<bool, Problem> {
        let Some(count) = &mut self.count else { return Ok(true) };
        let input = SliceInput {
            collection: &self.collection,
            reader,
            planned: self.planned.as_ref(),
            options: &self.call.options,
            budget: &self.budget,
        };
        match count.slice(&input)? {
            ControlFlow::Continue(()) => Ok(false),
            ControlFlow::Break(found) => {
                (self.count, self.total) = (None, Some(found));
                Ok(true)
            }
        }
    }

    fn count_only(&mut self, reader: &Reader<'_>) -> Result<ControlFlow<Answer>, Problem> {
        Ok(match self.advance_count(reader)? {
            true => ControlFlow::Break(Answer::Text(self.total.unwrap_or_default().to_string())),
            false => ControlFlow::Continue(()),
        })
    }

    fn page(&mut self, reader: &Reader<'_>) -> Result<ControlFlow<Answer>, Problem> {
        if !self.advance_count(reader)? {
            return Ok(ControlFlow::Continue(()));
        }
        let (call, options, count) = (&self.call, &self.call.options, self.total);
        if has_consecutive_rows(options)
            && !self.collection.hides_rows()
            && let Some(stored) =
                self.collection.stored_page(reader, self.position.as_deref(), page_rows::<C>(options))?
        {
            let next_link = stored.next.map(|position| next_link(call, &self.collection, &position));
            let text = write_stored(&call.context(), &stored.rows, count, next_link.as_deref());
            // A page reached by a link is bound to the rows that existed when the first page was
            // read. The first page shows the current rows.
            let is_lasting = self.position.is_some() && count.is_none();
            return Ok(ControlFlow::Break(if is_lasting {
                Answer::Immutable(text.into())
            } else {
                Answer::Json(text)
            }));
        }
        let planned = self.planned.as_ref();
        let input = SliceInput { collection: &self.collection, reader, planned, options, budget: &self.budget };
        let expansion = match &mut self.expansion {
            Some(expansion) => expansion,
            none => {
                let rows = match &mut self.rows {
                    Some(rows) => rows,
                    none => none.insert(PageScan::new(options, planned, self.position.clone())?),
                };
                match rows.slice(&input)? {
                    ControlFlow::Continue(()) => return Ok(ControlFlow::Continue(())),
                    ControlFlow::Break(page) => none.insert(PageExpansion::new(page)),
                }
            }
        };
        if !options.expand.is_empty() && !expansion.slice(&input)? {
            return Ok(ControlFlow::Continue(()));
        }
        let ScanPage { rows, next } = &expansion.page;
        let next_link = next.as_ref().map(|position| next_link(call, &self.collection, position));
        Ok(ControlFlow::Break(Answer::Json(write(&self.collection, call, rows, count, next_link.as_deref()))))
    }
}

/// Returns 400 for a skip token with an invalid position.
pub fn invalid_skip_token() -> GraphError {
    GraphError::bad_request("The skip token does not belong to this request.").about("$skiptoken")
}

/// Returns whether a page holds consecutive, complete rows in the collection's own order.
fn has_consecutive_rows(options: &QueryOptions) -> bool {
    let QueryOptions { filter, orderby, select, skip, .. } = options;
    filter.is_none() && orderby.is_empty() && select.is_none() && skip.is_none()
}

fn next_link<C: Collection>(call: &Call, collection: &C, position: &str) -> String {
    call.next_link(&(collection.position_prefix() + position))
}

fn page_rows<C: Collection>(options: &QueryOptions) -> usize {
    options.top.unwrap_or(PAGE_ROWS).min(C::PAGE_ROWS_MAX)
}

fn matches<C: Collection>(collection: &C, row: &C::Row, options: &QueryOptions) -> bool {
    options.filter.as_ref().is_none_or(|filter| filter.matches(&as_value(collection, row)))
}

fn as_value<C: Collection>(collection: &C, row: &C::Row) -> Value {
    serde_json::to_value(collection.view(row, PropertySet::Stored)).expect("a view is plain data")
}

/// The order of two values by these properties; true is descending.
pub(crate) fn compare_by(order: &[(String, bool)], a: &Value, b: &Value) -> Ordering {
    let by = |(path, descending): &(String, bool)| {
        let order = compare(&sort_key(a, path), &sort_key(b, path));
        if *descending { order.reverse() } else { order }
    };
    order.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Returns the value by which an object is sorted. User names are sorted as they are compared:
/// case-insensitively.
fn sort_key(value: &Value, path: &str) -> Value {
    let name = path.rsplit('/').next().unwrap_or(path);
    match at(value, path) {
        Value::String(text) if TextKind::of(name) != TextKind::Plain => Value::String(text.to_ascii_lowercase()),
        other => other.clone(),
    }
}

/// Returns the value at a path such as `statusDetail/code`.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('/').fold(value, |value, name| value.get(name).unwrap_or(&Value::Null))
}

/// Compares values: null, false, true, numbers, strings, in this order.
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) | Value::Object(_) => 4,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

#[derive(Serialize)]
struct Wrapped<'a, T> {
    #[serde(rename = "@odata.context")]
    context: &'a str,
    #[serde(rename = "@odata.count", skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(rename = "@odata.nextLink", skip_serializing_if = "Option::is_none")]
    next_link: Option<&'a str>,
    value: T,
}

/// Writes a stored page. The text equals that of [`write()`] for the same rows.
fn write_stored(context: &str, rows: &[u8], count: Option<u64>, next_link: Option<&str>) -> Vec<u8> {
    const END: &[u8] = b"]}";
    let mut text = to_json(&Wrapped { context, count, next_link, value: [(); 0] });
    text.truncate(text.len() - END.len());
    text.extend_from_slice(rows);
    text.extend_from_slice(END);
    text
}

fn write<C: Collection>(
    collection: &C,
    call: &Call,
    rows: &[C::Row],
    count: Option<u64>,
    next_link: Option<&str>,
) -> Vec<u8> {
    let context = &call.context();
    match &call.options.select {
        Some(names) => {
            let value =
                Sequence(|| rows.iter().map(|row| Picked::new(call, &collection.view(row, PropertySet::All), names)));
            to_json(&Wrapped { context, count, next_link, value })
        }
        None => {
            let value = Sequence(|| rows.iter().map(|row| collection.view(row, PropertySet::Default)));
            to_json(&Wrapped { context, count, next_link, value })
        }
    }
}

/// Serialises the items of an iterator without collecting them.
struct Sequence<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Sequence<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_ordered_by_type_then_value() {
        let sorted = [json!(null), json!(false), json!(true), json!(1), json!(2.5), json!("a"), json!("b")];
        for pair in sorted.windows(2) {
            assert_eq!(compare(&pair[0], &pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(&pair[1], &pair[0]), Ordering::Greater, "{pair:?}");
        }
    }

    #[test]
    fn stored_page_equals_a_new_one() {
        for (count, next_link) in [(None, None), (Some(2), Some("https://h/next"))] {
            let fresh = to_json(&Wrapped { context: "https://h/$metadata#x", count, next_link, value: ["a", "b"] });
            assert_eq!(write_stored("https://h/$metadata#x", br#""a","b""#, count, next_link), fresh);
        }
    }
}
