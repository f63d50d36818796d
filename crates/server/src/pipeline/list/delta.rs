//! Delta functions: a collection once in full, and then only what has changed in it.
//!
//! The position in the change feed is taken before the first page, so that a change while the pages
//! are read comes again with the changes. Each page of changes reads the feed from a position, and
//! shows what the changed entities are now; its link holds the position that it has reached.

use cloudpc_graph::GraphError;
use cloudpc_model::{Change, ChangeKind, EntityType};
use cloudpc_store::{FeedPosition, Reader, ResyncRequired};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

use super::super::call::to_json;
use super::super::select::Picked;
use super::super::{Answer, Call, Problem};
use super::scan::visible;
use super::{Collection, PAGE_ROWS, PropertySet, invalid_skip_token};
use crate::events::resync_required;

/// Changes that are read at once.
const CHANGES_PER_READ: usize = 1_000;
/// Most reads of changes for one page. A page ends after them even if it is not full.
const READS_MAX: usize = 10;
/// Precedes in a link what a caller with scope tags could see.
const SEEING: &str = "seeing ";
/// The value of `$deltatoken` that asks for a link to the changes from now on.
const LATEST: &str = "latest";

/// A collection with a delta function.
pub trait DeltaCollection: Collection {
    /// The type of its entities.
    const ENTITY: EntityType;

    /// Returns the id of the entity that a change of another type changes too.
    fn changed_by(&self, _change: &Change) -> Option<String> {
        None
    }

    /// Returns a text that differs when the caller may see other entities than before; empty for a
    /// caller who may see all.
    fn visibility(&self) -> String {
        String::new()
    }

    /// Returns an entity, if it exists and the caller may see it.
    fn find(&self, reader: &Reader<'_>, id: &str) -> Result<Option<Self::Row>, Problem>;
}

/// Answers a delta function.
pub async fn delta<C: DeltaCollection>(call: &Arc<Call>, mut collection: C) -> Result<Answer, Problem> {
    let begun = Begun::of(call)?;
    let inner = Arc::clone(call);
    let read = move |reader: &Reader<'_>| {
        collection.begin(reader, None)?;
        if !begun.continues(&collection.visibility()) {
            return Err(resync_required().into());
        }
        page(&inner, &collection, reader, begun.round)
    };
    call.store().read(read).await
}

/// What a request asks for.
enum Round {
    /// Everything, after the entity with this position if there is one; then what has changed since
    /// the position in the feed, which the first page takes.
    Full(Option<(FeedPosition, String)>),
    /// What has changed since.
    Changes(FeedPosition),
    /// Nothing but a link to the changes from now on.
    Latest,
}

/// A round, and what the caller could see when it began; none if it begins now.
struct Begun {
    round: Round,
    visibility: Option<String>,
}

impl Begun {
    fn of(call: &Call) -> Result<Self, Problem> {
        let options = &call.options;
        let begins = |round| Ok(Self { round, visibility: None });
        match &options.deltatoken {
            Some(_) if options.skiptoken.is_some() => {
                let message = "Both $skiptoken and $deltatoken are given. Follow the links unchanged.";
                return Err(GraphError::bad_request(message).about("$deltatoken").into());
            }
            Some(token) if token.eq_ignore_ascii_case(LATEST) => return begins(Round::Latest),
            _ => {}
        }
        let Some(text) = call.delta_position()? else { return begins(Round::Full(None)) };
        let (visibility, rest) = match text.strip_prefix(SEEING).and_then(|text| text.split_once(' ')) {
            Some((visibility, rest)) => (visibility, rest),
            None => ("", text.as_str()),
        };
        let round = Round::parse(rest).ok_or_else(invalid_skip_token)?;
        Ok(Self { round, visibility: Some(visibility.to_owned()) })
    }

    /// Whether the caller may see the same entities as when the round began. Otherwise, entities
    /// have come and gone of which the feed does not tell.
    fn continues(&self, visibility: &str) -> bool {
        self.visibility.as_ref().is_none_or(|begun| begun == visibility)
    }
}

impl Round {
    /// Reads a position as [`Link::text`] writes it, without the visibility.
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("changes", feed) => Some(Self::Changes(feed.parse().ok()?)),
            ("full", rest) => {
                let (feed, last) = rest.split_once(' ')?;
                Some(Self::Full(Some((feed.parse().ok()?, last.to_owned()))))
            }
            _ => None,
        }
    }
}

/// The link at the end of a page.
enum Link {
    /// To the next page of everything.
    Full(FeedPosition, String),
    /// To the next page of changes.
    More(FeedPosition),
    /// To what changes from now on.
    Delta(FeedPosition),
}

impl Link {
    /// Returns the position for a caller with this visibility.
    fn text(&self, visibility: &str) -> String {
        let seeing = if visibility.is_empty() { String::new() } else { format!("{SEEING}{visibility} ") };
        match self {
            Self::Full(feed, last) => format!("{seeing}full {feed} {last}"),
            Self::More(feed) | Self::Delta(feed) => format!("{seeing}changes {feed}"),
        }
    }
}

fn page<C: DeltaCollection>(call: &Call, collection: &C, reader: &Reader<'_>, round: Round) -> Result<Answer, Problem> {
    let limit = call.prefer.page_rows.unwrap_or(PAGE_ROWS).clamp(1, C::PAGE_ROWS_MAX);
    let head = reader.change_head(call.tenant())?;
    let (rows, link) = match round {
        Round::Latest => (Vec::new(), Link::Delta(head)),
        Round::Full(from) => {
            let (feed, last) = from.map_or((head, None), |(feed, last)| (feed, Some(last)));
            let (rows, next) = whole(collection, reader, last, limit)?;
            let link = next.map_or(Link::Delta(feed), |last| Link::Full(feed, last));
            (rows.iter().map(|row| shown(call, collection, row)).collect(), link)
        }
        Round::Changes(since) => changes(call, collection, reader, since, limit)?,
    };
    Ok(Answer::Json(write(call, rows, &link, &collection.visibility())))
}

/// Returns up to `limit` entities after a position that the caller may see, and the position of the
/// next page, if there is one.
fn whole<C: DeltaCollection>(
    collection: &C,
    reader: &Reader<'_>,
    mut last: Option<String>,
    limit: usize,
) -> Result<(Vec<C::Row>, Option<String>), Problem> {
    let mut rows = Vec::new();
    for _ in 0..READS_MAX {
        let wanted = limit - rows.len();
        let read = collection.rows(reader, last.as_deref(), wanted)?;
        if read.len() < wanted {
            rows.extend(visible(collection, reader, read)?);
            return Ok((rows, None));
        }
        last = read.last().map(|row| collection.position(row));
        rows.extend(visible(collection, reader, read)?);
        if rows.len() == limit {
            break;
        }
    }
    Ok((rows, last))
}

/// What has happened to an entity of the collection.
struct Changed {
    id: String,
    deleted: bool,
}

fn changes<C: DeltaCollection>(
    call: &Call,
    collection: &C,
    reader: &Reader<'_>,
    since: FeedPosition,
    limit: usize,
) -> Result<(Vec<Value>, Link), Problem> {
    let (changed, reached, complete) = changed_since(call, collection, reader, since, limit)?;
    let mut rows = Vec::with_capacity(changed.len());
    for Changed { id, deleted } in changed {
        match collection.find(reader, &id)? {
            Some(row) => rows.push(shown(call, collection, &row)),
            None if deleted => rows.push(json!({"id": id, "@removed": {"reason": "deleted"}})),
            // Deleted later: the deletion is on a page after this one.
            None => {}
        }
    }
    Ok((rows, if complete { Link::Delta(reached) } else { Link::More(reached) }))
}

/// Returns up to `limit` entities that have changed since, the position that this reaches, and
/// whether it is the end of the feed.
fn changed_since<C: DeltaCollection>(
    call: &Call,
    collection: &C,
    reader: &Reader<'_>,
    since: FeedPosition,
    limit: usize,
) -> Result<(Vec<Changed>, FeedPosition, bool), Problem> {
    let (mut changed, mut places, mut reached) = (Vec::<Changed>::new(), HashMap::<String, usize>::new(), since);
    for _ in 0..READS_MAX {
        let entries = reader.changes_after(call.tenant(), reached, CHANGES_PER_READ)?;
        let entries = entries.map_err(|ResyncRequired| resync_required())?;
        let is_last = entries.len() < CHANGES_PER_READ;
        for entry in entries {
            let change = entry.change;
            let own = change.entity_type == C::ENTITY;
            let id = if own { Some(change.id) } else { collection.changed_by(&change) };
            if let Some(id) = id {
                let deleted = own && change.kind == ChangeKind::Deleted;
                match places.get(&id) {
                    Some(place) => changed[*place].deleted |= deleted,
                    None if changed.len() == limit => return Ok((changed, reached, false)),
                    None => {
                        places.insert(id.clone(), changed.len());
                        changed.push(Changed { id, deleted });
                    }
                }
            }
            reached.number = entry.number;
        }
        if is_last {
            return Ok((changed, reached, true));
        }
    }
    Ok((changed, reached, false))
}

/// Returns an entity as the page shows it: its selected properties, and always its id.
fn shown<C: Collection>(call: &Call, collection: &C, row: &C::Row) -> Value {
    let Some(names) = &call.options.select else {
        return value(&collection.view(row, PropertySet::Default));
    };
    let mut names = names.clone();
    if !names.iter().any(|name| name == "id" || name == "*") {
        names.push("id".to_owned());
    }
    value(&Picked::new(call, &collection.view(row, PropertySet::All), &names))
}

fn value(view: &impl Serialize) -> Value {
    serde_json::to_value(view).expect("a view is plain data")
}

fn write(call: &Call, rows: Vec<Value>, link: &Link, visibility: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Page<'a> {
        #[serde(rename = "@odata.context")]
        context: &'a str,
        #[serde(rename = "@odata.nextLink", skip_serializing_if = "Option::is_none")]
        next_link: Option<String>,
        #[serde(rename = "@odata.deltaLink", skip_serializing_if = "Option::is_none")]
        delta_link: Option<String>,
        value: Vec<Value>,
    }
    let is_delta = matches!(link, Link::Delta(_));
    let text = link.text(visibility);
    to_json(&Page {
        context: &call.context(),
        next_link: (!is_delta).then(|| call.next_link(&text)),
        delta_link: is_delta.then(|| call.delta_link(&text)),
        value: rows,
    })
}
