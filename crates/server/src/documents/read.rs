//! Reading documents: lists, counts, one.

use std::sync::Arc;

use cloudpc_model::{Document, DocumentKey, Object, TenantId, Timestamp};
use cloudpc_store::{Reader, StoreError};
use serde::Serialize;
use std::collections::BTreeSet;

use super::expand::{self, Expanded};
use super::kind::{DocumentKind, DocumentShape, SeedFn};
use super::view::{self, Members};
use super::{body, find_reached, key_of, not_found, parent_of, scope};
use crate::operations::owner;
use crate::pipeline::list::{self, Collection, PropertySet};
use crate::pipeline::{Answer, Call, Problem};
use crate::rbac::tags_of;

pub(super) async fn list(call: &Arc<Call>, kind: &'static DocumentKind) -> Result<Answer, Problem> {
    list::page(call, Documents { call: call.clone(), kind, own: None }).await
}

pub(super) async fn count(call: &Arc<Call>, kind: &'static DocumentKind) -> Result<Answer, Problem> {
    list::count(call, Documents { call: call.clone(), kind, own: None }).await
}

pub(super) async fn get(call: &Arc<Call>, kind: &'static DocumentKind) -> Result<Answer, Problem> {
    let request = call.clone();
    let work = move |reader: &Reader<'_>| {
        let mut document = find(&request, kind, reader)?;
        kind.hooks.computed(reader, &request, std::slice::from_mut(&mut document))?;
        let (expanded, _) = expand::read(reader, &request, kind, &document)?;
        Ok::<_, Problem>((document, expanded))
    };
    let (document, expanded) = call.store().read(work).await?;
    Ok(entity(call, kind, &document, expanded))
}

/// 200 with a document and its entity tag.
pub(super) fn entity(call: &Call, kind: &DocumentKind, document: &Document, expanded: Expanded) -> Answer {
    let shown = shown(call, kind, document, expanded);
    tagged(call.entity(&shown), kind, document)
}

/// An answer about one document, with its entity tag. Derived documents have no revision, and so
/// none.
pub(super) fn tagged(answer: Answer, kind: &DocumentKind, document: &Document) -> Answer {
    match kind.shape {
        DocumentShape::Derived(_) => answer,
        DocumentShape::Many | DocumentShape::Seeded(_) | DocumentShape::Within(_) | DocumentShape::One => {
            answer.tagged(etag(document))
        }
    }
}

/// A document as an answer to this call shows it.
pub(super) fn shown(call: &Call, kind: &DocumentKind, document: &Document, expanded: Expanded) -> Object {
    let set = if call.options.select.is_some() { PropertySet::All } else { PropertySet::Default };
    let mut shown = view::show(kind, call.edm, document, set, members(call));
    shown.extend(expanded);
    shown
}

/// Members that clients may not know are sent by name to those that ask for them, and to all under
/// open fidelity.
pub(super) fn members(call: &Call) -> Members {
    if call.names_late_members() { Members::Named } else { Members::Masked }
}

/// The entity tag of a document: its revision.
pub(super) fn etag(document: &Document) -> String {
    format!("W/\"{}\"", document.revision)
}

/// The document that a request names.
///
/// # Errors
/// 404, also if the scope tags of the call do not reach it. What there is one of is never missing:
/// it reads as its defaults.
pub(super) fn find(call: &Call, kind: &'static DocumentKind, reader: &Reader<'_>) -> Result<Document, Problem> {
    let key = key_of(call, kind);
    if let Some(shown) = own_ids(call, kind, reader)?
        && !shown.contains(if key.parent.is_empty() { &key.id } else { &key.parent })
    {
        return Err(not_found(kind, call.key(0)));
    }
    let id = call.target.keys.last().map_or("", String::as_str);
    let document = match kind.shape {
        DocumentShape::Seeded(seeds) => match reader.document(call.tenant(), &key)? {
            Some(document) => document,
            None => {
                let seed = seeds().into_iter().find(|(id, _)| *id == key.id);
                seed.map(|seed| built_in(call.tenant(), kind, seed)).ok_or_else(|| not_found(kind, call.key(0)))?
            }
        },
        DocumentShape::Derived(rows) => {
            let row = rows(reader, call.tenant())?.into_iter().find(|(id, _)| DocumentKey::fold(id) == key.id);
            row.map(|row| derived(call.tenant(), kind, row)).ok_or_else(|| not_found(kind, call.key(0)))?
        }
        DocumentShape::Many | DocumentShape::Within(_) => {
            reader.document(call.tenant(), &key)?.ok_or_else(|| not_found(kind, id))?
        }
        DocumentShape::One => {
            return Ok(reader.document(call.tenant(), &key)?.unwrap_or_else(|| unwritten(call.tenant(), kind, key)));
        }
    };
    if scope::reaches(&call.scope_tags, reader, kind, &document)? { Ok(document) } else { Err(not_found(kind, id)) }
}

/// A document as an answer about another one shows it.
pub(super) fn shown_beside(
    reader: &Reader<'_>,
    call: &Call,
    kind: &DocumentKind,
    mut document: Document,
) -> Result<Object, Problem> {
    kind.hooks.computed(reader, call, std::slice::from_mut(&mut document))?;
    Ok(view::show(kind, call.edm, &document, PropertySet::Default, members(call)))
}

fn unwritten(tenant_id: TenantId, kind: &DocumentKind, key: DocumentKey) -> Document {
    let mut defaults = Object::new();
    body::fill_defaults(kind, &mut defaults);
    Document {
        tenant_id,
        key,
        revision: 0,
        body: defaults,
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: Timestamp(0),
        modified_at: Timestamp(0),
    }
}

/// A built-in document that nobody has changed.
fn built_in(tenant_id: TenantId, kind: &DocumentKind, (id, mut body): (String, Object)) -> Document {
    body::fill_defaults(kind, &mut body);
    Document { body, ..unwritten(tenant_id, kind, DocumentKey::new(kind.of, &id)) }
}

/// The built-in documents of a kind that nobody has changed.
fn unchanged_seeds(
    reader: &Reader<'_>,
    tenant: TenantId,
    kind: &DocumentKind,
    seeds: SeedFn,
) -> Result<Vec<Document>, StoreError> {
    let mut unchanged = Vec::new();
    for seed in seeds() {
        if reader.document(tenant, &DocumentKey::new(kind.of, &seed.0))?.is_none() {
            unchanged.push(built_in(tenant, kind, seed));
        }
    }
    Ok(unchanged)
}

/// Below a user, the ids of the documents that the path shows; otherwise none, which is all.
fn own_ids(call: &Call, kind: &'static DocumentKind, reader: &Reader<'_>) -> Result<Option<BTreeSet<String>>, Problem> {
    match owner(call, reader)? {
        None => Ok(None),
        Some(user) => kind.parent().unwrap_or(kind).hooks.of_user(reader, call.tenant(), user),
    }
}

fn derived(tenant_id: TenantId, kind: &DocumentKind, (id, body): (String, Object)) -> Document {
    Document { body, revision: 1, ..unwritten(tenant_id, kind, DocumentKey::new(kind.of, &id)) }
}

/// The documents of a kind, or of one within a document, by id.
struct Documents {
    call: Arc<Call>,
    kind: &'static DocumentKind,
    /// Below a user, the ids of the documents, or of those that contain them, that are shown.
    own: Option<BTreeSet<String>>,
}

impl Collection for Documents {
    type Row = (Document, Expanded);

    fn begin(&mut self, reader: &Reader<'_>, _position: Option<&str>) -> Result<(), Problem> {
        self.own = own_ids(&self.call, self.kind, reader)?;
        if let DocumentShape::Within(parent) = self.kind.shape {
            if self.own.as_ref().is_some_and(|own| !own.contains(&DocumentKey::fold(self.call.key(0)))) {
                return Err(not_found(parent, self.call.key(0)));
            }
            find_reached(&self.call, reader, parent.of, self.call.key(0))?;
        }
        Ok(())
    }

    fn hides_rows(&self) -> bool {
        !self.call.scope_tags.is_all() && self.kind.parent().is_none() && !scope::is_for_everyone(self.kind)
    }

    fn is_visible(&self, _reader: &Reader<'_>, (document, _): &Self::Row) -> Result<bool, Problem> {
        Ok(self.call.scope_tags.reaches(&tags_of(document)))
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Self::Row>, Problem> {
        let Self { call, kind, .. } = self;
        let (tenant, parent) = (call.tenant(), parent_of(call, kind));
        let after = |document: &Document| position.is_none_or(|last| document.key.id.as_str() > last);
        let sorted = |mut rows: Vec<Document>| {
            rows.sort_by(|a, b| a.key.cmp(&b.key));
            rows.truncate(limit);
            rows
        };
        let mut page = match kind.shape {
            DocumentShape::Many if self.own.is_some() => {
                let mut rows = Vec::new();
                for id in self.own.iter().flatten() {
                    rows.extend(reader.document(tenant, &DocumentKey::new(kind.of, id))?);
                }
                rows.retain(after);
                sorted(rows)
            }
            DocumentShape::Seeded(seeds) => {
                let mut rows = unchanged_seeds(reader, tenant, kind, seeds)?;
                rows.retain(after);
                rows.extend(reader.document_list(tenant, kind.of, &parent, position, limit)?);
                sorted(rows)
            }
            DocumentShape::Derived(rows) => {
                let rows = rows(reader, tenant)?.into_iter().map(|row| derived(tenant, kind, row));
                sorted(rows.filter(after).collect())
            }
            DocumentShape::Many | DocumentShape::Within(_) | DocumentShape::One => {
                reader.document_list(tenant, kind.of, &parent, position, limit)?
            }
        };
        kind.hooks.computed(reader, call, &mut page)?;
        Ok(page.into_iter().map(|document| (document, Expanded::new())).collect())
    }

    fn expand(&self, reader: &Reader<'_>, (document, expanded): &mut Self::Row) -> Result<usize, Problem> {
        let (found, count) = expand::read(reader, &self.call, self.kind, document)?;
        *expanded = found;
        Ok(count)
    }

    fn position(&self, row: &Self::Row) -> String {
        row.0.key.id.clone()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        let Self { call, kind, .. } = self;
        match kind.shape {
            DocumentShape::Many if self.own.is_some() => Ok(None),
            DocumentShape::Derived(_) | DocumentShape::Seeded(_) => Ok(None),
            DocumentShape::Many | DocumentShape::Within(_) | DocumentShape::One => {
                Ok(Some(reader.document_count(call.tenant(), kind.of, &parent_of(call, kind))?))
            }
        }
    }

    fn view<'a>(&'a self, (document, expanded): &'a Self::Row, set: PropertySet) -> impl Serialize + 'a {
        let mut shown = view::show(self.kind, self.call.edm, document, set, members(&self.call));
        if set != PropertySet::Stored {
            shown.extend(expanded.clone());
        }
        shown
    }
}
