//! `$expand`: what a document contains, sent within it.

use cloudpc_graph::MetadataLevel;
use cloudpc_graph::control::UNSELECTED_KEY;
use cloudpc_graph::options::Expansion;
use cloudpc_model::{Document, Object};
use cloudpc_store::{Reader, StoreError};
use serde_json::{Value, json};

use super::contained;
use super::kind::{DocumentKind, Expandable};
use super::read::members;
use super::view;
use crate::pipeline::list::{PropertySet, compare_by};
use crate::pipeline::{Call, Problem};

/// Most contained documents that are sent within one; a link leads to the others.
pub const EXPANDED_MAX: usize = 100;

/// The expanded properties of one document, links included.
pub(super) type Expanded = Object;

/// Reads what is expanded of a document. Returns it with the number of entities that were read.
pub(super) fn read(
    reader: &Reader<'_>,
    call: &Call,
    kind: &'static DocumentKind,
    document: &Document,
) -> Result<(Expanded, usize), Problem> {
    let (mut expanded, mut count) = (Expanded::new(), 0);
    for expansion in &call.options.expand {
        let entities = match contained(kind, &expansion.property) {
            Some(child) => children(reader, call, child, expansion, document)?,
            None => match kind.hooks.expand(reader, call, document, expansion)? {
                Expandable::Many(objects) => objects.into_iter().map(Entity::from).collect(),
                Expandable::One(object) => {
                    let shown = object.map_or(Value::Null, |object| Value::Object(selected(call, expansion, object)));
                    expanded.insert(expansion.property.clone(), shown);
                    count += 1;
                    continue;
                }
            },
        };
        count += entities.len();
        expand(call, expansion, document, entities, &mut expanded);
    }
    Ok((expanded, count))
}

/// An entity to show, and its values for `$filter` and `$orderby`.
struct Entity {
    shown: Object,
    stored: Value,
}

impl From<Object> for Entity {
    fn from(shown: Object) -> Self {
        Self { stored: Value::Object(shown.clone()), shown }
    }
}

/// Reads the documents within one.
fn children(
    reader: &Reader<'_>,
    call: &Call,
    child: &'static DocumentKind,
    expansion: &Expansion,
    document: &Document,
) -> Result<Vec<Entity>, StoreError> {
    let options = &expansion.options;
    let limit = rows_needed(child, expansion);
    let set = if options.select.is_some() { PropertySet::All } else { PropertySet::Default };
    let compares = options.filter.is_some() || !options.orderby.is_empty();
    let entity = |document: &Document| Entity {
        shown: view::show(child, call.edm, document, set, members(call)),
        stored: match compares {
            true => Value::Object(view::show(child, call.edm, document, PropertySet::Stored, members(call))),
            false => Value::Null,
        },
    };
    let found = reader.document_list(call.tenant(), child.of, &document.key.id, None, limit)?;
    Ok(found.iter().map(entity).collect())
}

/// Returns how many contained documents have to be read: those that are sent and one more, which
/// tells whether there is a link. A filter or an order needs all.
fn rows_needed(child: &DocumentKind, expansion: &Expansion) -> usize {
    let options = &expansion.options;
    let all = usize::try_from(child.rows_max).unwrap_or(usize::MAX);
    if options.filter.is_some() || !options.orderby.is_empty() || options.count {
        return all;
    }
    options.skip.unwrap_or_default().saturating_add(EXPANDED_MAX + 1).min(all)
}

fn expand(call: &Call, expansion: &Expansion, parent: &Document, mut entities: Vec<Entity>, expanded: &mut Expanded) {
    let options = &expansion.options;
    if let Some(filter) = &options.filter {
        entities.retain(|entity| filter.matches(&entity.stored));
    }
    if !options.orderby.is_empty() {
        entities.sort_by(|a, b| compare_by(&options.orderby, &a.stored, &b.stored));
    }
    if options.count {
        expanded.insert(format!("{}@odata.count", expansion.property), json!(entities.len()));
    }
    let skipped = options.skip.unwrap_or_default();
    let most = options.top.unwrap_or(EXPANDED_MAX).min(EXPANDED_MAX);
    let end = skipped.saturating_add(most);
    let more = entities.len() > end && options.top.is_none_or(|top| top > most);
    let page = entities.into_iter().skip(skipped).take(most);
    let shown: Vec<_> = page.map(|entity| Value::Object(selected(call, expansion, entity.shown))).collect();
    expanded.insert(expansion.property.clone(), Value::Array(shown));
    if more {
        let link = call.address_within(&parent.key.id, &expansion.property, end);
        expanded.insert(format!("{}@odata.nextLink", expansion.property), json!(link));
    }
}

/// Limits an entity to the properties that are selected.
fn selected(call: &Call, expansion: &Expansion, mut shown: Object) -> Object {
    if let Some(names) = expansion.options.select.as_ref().filter(|names| !names.iter().any(|name| name == "*")) {
        let id = shown
            .get("id")
            .cloned()
            .filter(|_| call.metadata == MetadataLevel::Full || !expansion.options.expand.is_empty());
        shown.retain(|name, _| names.iter().any(|own| own.split('/').next() == Some(name)));
        if let Some(id) = id.filter(|_| !shown.contains_key("id")) {
            shown.insert(UNSELECTED_KEY.to_owned(), id);
        }
    }
    shown
}
