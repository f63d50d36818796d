//! Collections: filter, order, page and count, written once.
//!
//! Rows are read in the order of their key and a page ends with the position of its last row, so a page costs the same wherever it lies. Rows go
//! straight from their view into the body; only `$filter`, `$orderby` and `$select` build JSON values on the way.

use cloudpc_graph::{GraphError, Options};
use cloudpc_store::Reader;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cmp::Ordering;
use std::sync::Arc;

use super::call::to_json;
use super::select::Picked;
use super::{Answer, Call, Problem};

/// Rows of a page unless `$top` says otherwise.
pub const PAGE_ROWS: usize = 100;
/// Most rows of a page.
pub const PAGE_ROWS_MAX: usize = 999;
/// Most rows that one request looks at; after them the page ends early, with a link.
pub const SCAN_ROWS_MAX: usize = 100_000;
/// Rows read at a time while looking for those that match.
const CHUNK_ROWS: usize = 500;

/// Which properties a view shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertySet {
    /// Those that are sent unasked.
    Default,
    /// All, those sent only on `$select` included.
    All,
    /// All, with every member of an enum by its name: what conditions and orders look at, whatever the client asks to be shown.
    Stored,
}

/// A collection: where its rows come from, and how one is sent.
pub trait Collection: Send + 'static {
    /// A row as it is read.
    type Row;

    /// Most rows of a page.
    const PAGE_ROWS_MAX: usize = PAGE_ROWS_MAX;

    /// Called first, with the position of the page; none for the first page.
    fn begin(&mut self, _reader: &Reader<'_>, _position: Option<&str>) -> Result<(), Problem> {
        Ok(())
    }

    /// Up to `limit` rows after `position`, in the collection's own order. Fewer means that there are no more.
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
pub async fn page<C: Collection>(call: &Arc<Call>, mut collection: C) -> Result<Answer, Problem> {
    let position = call.position()?;
    // A link notes what there was when the first page was asked for; an address without one shows what there is now.
    let by_link = position.is_some();
    let request = call.clone();
    let work = move |reader: &Reader<'_>| {
        collection.begin(reader, position.as_deref())?;
        let options = &request.options;
        let count = if options.count { Some(count_rows(&collection, reader, options)?) } else { None };
        if shows_rows_as_they_are(options)
            && let Some(kept) = collection.kept(reader, position.as_deref(), page_rows::<C>(options))?
        {
            let next_link = kept.next.map(|position| request.next_link(&position));
            let text = write_kept(&request.context(), &kept.rows, count, next_link.as_deref());
            return Ok(if by_link && count.is_none() { Answer::Lasting(text.into()) } else { Answer::Json(text) });
        }
        let page = if options.orderby.is_empty() {
            in_own_order(&collection, reader, options, position)?
        } else {
            sorted(&collection, reader, options, position.as_deref())?
        };
        let next_link = page.next.map(|position| request.next_link(&position));
        Ok::<_, Problem>(Answer::Json(write(&collection, &request, &page.rows, count, next_link.as_deref())))
    };
    call.app.store.read(work).await
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
pub async fn count<C: Collection>(call: &Arc<Call>, mut collection: C) -> Result<Answer, Problem> {
    let request = call.clone();
    let work = move |reader: &Reader<'_>| {
        collection.begin(reader, None)?;
        count_rows(&collection, reader, &request.options)
    };
    Ok(Answer::Text(call.app.store.read(work).await?.to_string()))
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

struct Page<R> {
    rows: Vec<R>,
    /// Position of the last row, if there are more.
    next: Option<String>,
}

/// Whether a page is a stretch of the collection, its rows whole and in its order.
fn shows_rows_as_they_are(options: &Options) -> bool {
    let Options { filter, orderby, select, skip, .. } = options;
    filter.is_none() && orderby.is_empty() && select.is_none() && skip.is_none()
}

fn page_rows<C: Collection>(options: &Options) -> usize {
    options.top.unwrap_or(PAGE_ROWS).min(C::PAGE_ROWS_MAX)
}

fn in_own_order<C: Collection>(
    collection: &C,
    reader: &Reader<'_>,
    options: &Options,
    mut position: Option<String>,
) -> Result<Page<C::Row>, Problem> {
    let limit = page_rows::<C>(options);
    // The link to the next page drops `$skip`; a token beside it means that it was put back by hand.
    let mut to_skip = if position.is_some() { 0 } else { options.skip.unwrap_or(0) };
    let direct = options.filter.is_none() && to_skip == 0;
    let chunk = if direct { limit + 1 } else { CHUNK_ROWS };
    let mut rows = Vec::with_capacity(limit.min(PAGE_ROWS) + 1);
    let mut scanned = 0;
    loop {
        let read = collection.rows(reader, position.as_deref(), chunk)?;
        let ended = read.len() < chunk;
        scanned += read.len();
        for row in read {
            position = Some(collection.position(&row));
            if !matches(collection, &row, options) {
                continue;
            }
            if to_skip > 0 {
                to_skip -= 1;
                continue;
            }
            rows.push(row);
            if rows.len() > limit {
                rows.pop();
                let next = rows.last().map(|row| collection.position(row));
                return Ok(Page { rows, next });
            }
        }
        if ended {
            return Ok(Page { rows, next: None });
        }
        if scanned >= SCAN_ROWS_MAX {
            return Ok(Page { rows, next: position });
        }
    }
}

/// Where a page in another order ended: the values sorted by, and the position of the row.
#[derive(Serialize, Deserialize)]
struct SortedPosition(Vec<Value>, String);

fn sorted<C: Collection>(
    collection: &C,
    reader: &Reader<'_>,
    options: &Options,
    position: Option<&str>,
) -> Result<Page<C::Row>, Problem> {
    let after = position.map(serde_json::from_str::<SortedPosition>).transpose().map_err(|_| bad_token())?;
    let mut keyed = Vec::new();
    scan(collection, reader, |row| {
        if matches(collection, &row, options) {
            let value = as_value(collection, &row);
            let keys = options.orderby.iter().map(|(name, _)| at(&value, name).clone()).collect();
            keyed.push((SortedPosition(keys, collection.position(&row)), row));
        }
    })?;
    // The sort is stable and rows come in their own order, which settles ties.
    let order = |a: &SortedPosition, b: &SortedPosition| {
        let pairs = a.0.iter().zip(&b.0).zip(&options.orderby);
        pairs
            .map(|((a, b), (_, descending))| if *descending { compare(b, a) } else { compare(a, b) })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    };
    keyed.sort_by(|a, b| order(&a.0, &b.0));
    let start = match &after {
        // The row of the position itself may have moved or gone; then go on after the values that it had.
        Some(after) => keyed
            .iter()
            .position(|(key, _)| key.1 == after.1 && order(key, after).is_eq())
            .map_or_else(|| keyed.partition_point(|(key, _)| order(key, after).is_le()), |place| place + 1),
        None => options.skip.unwrap_or(0).min(keyed.len()),
    };
    let limit = page_rows::<C>(options);
    let more = keyed.len() - start > limit;
    let mut page: Vec<_> = keyed.into_iter().skip(start).take(limit).collect();
    let next = match page.last_mut() {
        Some((key, _)) if more => {
            let key = SortedPosition(std::mem::take(&mut key.0), std::mem::take(&mut key.1));
            Some(serde_json::to_string(&key).expect("a position is plain data"))
        }
        _ => None,
    };
    Ok(Page { rows: page.into_iter().map(|(_, row)| row).collect(), next })
}

fn count_rows<C: Collection>(collection: &C, reader: &Reader<'_>, options: &Options) -> Result<u64, Problem> {
    if options.filter.is_none()
        && let Some(count) = collection.count(reader)?
    {
        return Ok(count);
    }
    let mut count = 0;
    scan(collection, reader, |row| count += u64::from(matches(collection, &row, options)))?;
    Ok(count)
}

/// Looks at every row.
fn scan<C: Collection>(collection: &C, reader: &Reader<'_>, mut see: impl FnMut(C::Row)) -> Result<(), Problem> {
    let mut position: Option<String> = None;
    let mut scanned = 0;
    loop {
        let rows = collection.rows(reader, position.as_deref(), CHUNK_ROWS)?;
        let ended = rows.len() < CHUNK_ROWS;
        scanned += rows.len();
        if scanned > SCAN_ROWS_MAX {
            let message =
                format!("More than {SCAN_ROWS_MAX} rows would have to be looked at; leave $count and $orderby out.");
            return Err(GraphError::bad_request(message).into());
        }
        position = rows.last().map(|row| collection.position(row));
        rows.into_iter().for_each(&mut see);
        if ended {
            return Ok(());
        }
    }
}

fn matches<C: Collection>(collection: &C, row: &C::Row, options: &Options) -> bool {
    options.filter.as_ref().is_none_or(|filter| filter.matches(&as_value(collection, row)))
}

fn as_value<C: Collection>(collection: &C, row: &C::Row) -> Value {
    serde_json::to_value(collection.view(row, PropertySet::Stored)).expect("a view is plain data")
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
