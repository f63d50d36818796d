//! Collections: filter, order, page and count, written once.
//!
//! Rows are read in the order of their key and a page ends with the position of its last row, so a
//! page costs the same wherever it lies. Rows go straight from their view into the body; only
//! `$filter`, `$orderby` and `$select` build JSON values on the way.

mod scan;

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
use scan::{Budget, Count, PageScan};

pub use scan::{SCAN_ROWS_MAX, SCAN_TIME_MAX, SLICE_ROWS};

/// Rows of a page unless `$top` says otherwise.
pub const PAGE_ROWS: usize = 100;
/// Most rows of a page.
pub const PAGE_ROWS_MAX: usize = 999;

/// Which properties a view shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertySet {
    /// Those that are sent unasked.
    Default,
    /// All, those sent only on `$select` included.
    All,
    /// All, with every member of an enum by its name: what conditions and orders look at, whatever
    /// the client asks to be shown.
    Stored,
}

/// A collection: where its rows come from, and how one is sent.
pub trait Collection: Send + 'static {
    /// A row as it is read.
    type Row: Send;

    /// Most rows of a page.
    const PAGE_ROWS_MAX: usize = PAGE_ROWS_MAX;

    /// What costs little, told to whoever asks for too much.
    const CHEAP: &'static str = "Pages without $filter, $orderby, $skip and $count cost little wherever they lie: follow '@odata.nextLink' and choose rows in the client.";

    /// Called first, with the position of the page; none for the first page.
    fn begin(&mut self, _reader: &Reader<'_>, _position: Option<&str>) -> Result<(), Problem> {
        Ok(())
    }

    /// Up to `limit` rows after `position`, in the collection's own order. Fewer means that there
    /// are no more.
    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Self::Row>, Problem>;

    /// Where a row is.
    fn position(&self, row: &Self::Row) -> String;

    /// The page of `limit` rows after `position`, if its text is kept from before.
    fn kept(&self, _reader: &Reader<'_>, _position: Option<&str>, _limit: usize) -> Result<Option<KeptPage>, Problem> {
        Ok(None)
    }

    /// How many rows there are, if that is cheaper to know than by looking at each.
    fn count(&self, _reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(None)
    }

    /// A row as it is sent.
    fn view<'a>(&'a self, row: &'a Self::Row, set: PropertySet) -> impl Serialize + 'a;
}

/// A page that was written before.
pub struct KeptPage {
    /// Its rows as JSON, with commas between them.
    pub rows: Vec<u8>,
    /// Position of the last row, if there are more.
    pub next: Option<String>,
}

/// Answers a page of a collection.
pub async fn page<C: Collection>(call: &Arc<Call>, collection: C) -> Result<Answer, Problem> {
    let position = call.position()?;
    let options = &call.options;
    let rows = PageScan::new(options, position.clone())?;
    let count = if options.count { Some(Count::default()) } else { None };
    let budget = Budget::new(Arc::clone(&call.app.monotonic));
    let request =
        ListRequest { call: call.clone(), collection, position, begun: false, count, counted: None, rows, budget };
    by_turns(call, request, ListRequest::page).await
}

/// Answers a collection that is at hand whole and has an order of its own.
pub async fn whole<T: Serialize + Clone + Send + 'static>(call: &Arc<Call>, rows: Vec<T>) -> Result<Answer, Problem> {
    whole_as(call, rows, |row: &T, _| row.clone()).await
}

/// The same of rows that `view` shows.
pub async fn whole_as<T, V, F>(call: &Arc<Call>, rows: Vec<T>, view: F) -> Result<Answer, Problem>
where
    T: Clone + Send + 'static,
    V: Serialize + 'static,
    F: Fn(&T, PropertySet) -> V + Send + 'static,
{
    page(call, Whole { rows, view }).await
}

/// Answers `$count`.
pub async fn count<C: Collection>(call: &Arc<Call>, collection: C) -> Result<Answer, Problem> {
    let rows = PageScan::new(&call.options, None)?;
    let budget = Budget::new(Arc::clone(&call.app.monotonic));
    let count = Some(Count::default());
    let call = call.clone();
    let request = ListRequest {
        call: call.clone(),
        collection,
        position: None,
        begun: false,
        count,
        counted: None,
        rows,
        budget,
    };
    by_turns(&call, request, ListRequest::only_count).await
}

/// Most requests are answered by their first slice, which is a read like any other. What is left of
/// the others is a scan.
async fn by_turns<C: Collection>(
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

/// A request for a collection, and how far it has come.
struct ListRequest<C: Collection> {
    call: Arc<Call>,
    collection: C,
    /// Of the page; none for the first one.
    position: Option<String>,
    begun: bool,
    /// None once it has ended, or if nobody wants it.
    count: Option<Count>,
    counted: Option<u64>,
    rows: PageScan<C::Row>,
    budget: Budget,
}

impl<C: Collection> ListRequest<C> {
    fn slice(
        &mut self,
        reader: &Reader<'_>,
        slice: impl Fn(&mut Self, &Reader<'_>) -> Result<ControlFlow<Answer>, Problem>,
    ) -> Result<ControlFlow<Answer>, Problem> {
        self.budget.begin_slice();
        if !self.begun {
            self.collection.begin(reader, self.position.as_deref())?;
            self.begun = true;
        }
        let progress = slice(self, reader);
        self.budget.end_slice();
        progress
    }

    /// Counts on, and says whether that has ended.
    fn counts(&mut self, reader: &Reader<'_>) -> Result<bool, Problem> {
        let Some(count) = &mut self.count else { return Ok(true) };
        match count.slice(&self.collection, reader, &self.call.options, &self.budget)? {
            ControlFlow::Continue(()) => Ok(false),
            ControlFlow::Break(found) => {
                (self.count, self.counted) = (None, Some(found));
                Ok(true)
            }
        }
    }

    fn only_count(&mut self, reader: &Reader<'_>) -> Result<ControlFlow<Answer>, Problem> {
        Ok(match self.counts(reader)? {
            true => ControlFlow::Break(Answer::Text(self.counted.unwrap_or_default().to_string())),
            false => ControlFlow::Continue(()),
        })
    }

    fn page(&mut self, reader: &Reader<'_>) -> Result<ControlFlow<Answer>, Problem> {
        if !self.counts(reader)? {
            return Ok(ControlFlow::Continue(()));
        }
        let (call, options, count) = (&self.call, &self.call.options, self.counted);
        if shows_rows_as_they_are(options)
            && let Some(kept) = self.collection.kept(reader, self.position.as_deref(), page_rows::<C>(options))?
        {
            let next_link = kept.next.map(|position| call.next_link(&position));
            let text = write_kept(&call.context(), &kept.rows, count, next_link.as_deref());
            // A link notes what there was when the first page was asked for; an address without one
            // shows what there is now.
            let is_lasting = self.position.is_some() && count.is_none();
            return Ok(ControlFlow::Break(if is_lasting {
                Answer::Immutable(text.into())
            } else {
                Answer::Json(text)
            }));
        }
        Ok(match self.rows.slice(&self.collection, reader, options, &self.budget)? {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(page) => {
                let next_link = page.next.map(|position| call.next_link(&position));
                ControlFlow::Break(Answer::Json(write(&self.collection, call, &page.rows, count, next_link.as_deref())))
            }
        })
    }
}

struct Whole<T, F> {
    rows: Vec<T>,
    view: F,
}

impl<T, V, F> Collection for Whole<T, F>
where
    T: Clone + Send + 'static,
    V: Serialize + 'static,
    F: Fn(&T, PropertySet) -> V + Send + 'static,
{
    type Row = (usize, T);

    fn rows(&self, _: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Self::Row>, Problem> {
        let start =
            position.map_or(Ok(0), |text| text.parse::<usize>().map(|last| last + 1)).map_err(|_| bad_token())?;
        Ok(self.rows.iter().cloned().enumerate().skip(start).take(limit).collect())
    }

    fn position(&self, row: &Self::Row) -> String {
        row.0.to_string()
    }

    fn view<'a>(&'a self, row: &'a Self::Row, set: PropertySet) -> impl Serialize + 'a {
        (self.view)(&row.1, set)
    }
}

/// The error for a skip token whose position this collection cannot have given out.
pub fn bad_token() -> GraphError {
    GraphError::bad_request("The skip token does not belong to this request.").about("$skiptoken")
}

/// Whether a page is a stretch of the collection, its rows whole and in its order.
fn shows_rows_as_they_are(options: &QueryOptions) -> bool {
    let QueryOptions { filter, orderby, select, skip, .. } = options;
    filter.is_none() && orderby.is_empty() && select.is_none() && skip.is_none()
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
        let order = compare(at(a, path), at(b, path));
        if *descending { order.reverse() } else { order }
    };
    order.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// The value at a path such as `statusDetail/code`.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('/').fold(value, |value, name| value.get(name).unwrap_or(&Value::Null))
}

/// Null before false before true before numbers before texts.
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

/// The same text as [`write()`] makes of the same rows.
fn write_kept(context: &str, rows: &[u8], count: Option<u64>, next_link: Option<&str>) -> Vec<u8> {
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

/// Serialises what an iterator gives, without collecting it first.
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
    fn values_have_an_order() {
        let sorted = [json!(null), json!(false), json!(true), json!(1), json!(2.5), json!("a"), json!("b")];
        for pair in sorted.windows(2) {
            assert_eq!(compare(&pair[0], &pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(&pair[1], &pair[0]), Ordering::Greater, "{pair:?}");
        }
    }

    #[test]
    fn a_kept_page_reads_like_a_fresh_one() {
        for (count, next_link) in [(None, None), (Some(2), Some("https://h/next"))] {
            let fresh = to_json(&Wrapped { context: "https://h/$metadata#x", count, next_link, value: ["a", "b"] });
            assert_eq!(write_kept("https://h/$metadata#x", br#""a","b""#, count, next_link), fresh);
        }
    }
}
