//! `$expand`: what a document contains, sent within it.

use cloudpc_graph::options::Expansion;
use cloudpc_model::{Document, Object};
use cloudpc_store::{Reader, StoreError};
use serde_json::{Value, json};

use super::contained;
use super::kind::DocumentKind;
use super::read::members;
use super::view;
use crate::pipeline::Call;
use crate::pipeline::list::{PropertySet, compare_by};

/// Most contained documents that are sent within one; a link leads to the others.
pub const EXPANDED_MAX: usize = 100;

/// The expanded properties of one document, links included.
pub(super) type Expanded = Object;

/// Reads what is expanded of a document. Returns it with the number of documents that were read.
pub(super) fn read(
    reader: &Reader<'_>,
    call: &Call,
    kind: &'static DocumentKind,
    document: &Document,
) -> Result<(Expanded, usize), StoreError> {
    let (mut expanded, mut count) = (Expanded::new(), 0);
    for expansion in &call.options.expand {
        let Some(child) = contained(kind, &expansion.property) else { continue };
        let limit = rows_needed(child, expansion);
        let children = reader.document_list(call.tenant(), child.of, &document.key.id, None, limit)?;
        count += children.len();
        expand(call, child, expansion, document, children, &mut expanded);
    }
    Ok((expanded, count))
}

/// Returns how many contained documents have to be read: those that are sent and one more, which
/// tells whether there is a link. A filter or an order needs all.
fn rows_needed(child: &DocumentKind, expansion: &Expansion) -> usize {
    let options = &expansion.options;
    let all = usize::try_from(child.rows_max).unwrap_or(usize::MAX);
    if options.filter.is_some() || !options.orderby.is_empty() {
        return all;
    }
    options.skip.unwrap_or_default().saturating_add(EXPANDED_MAX + 1).min(all)
}

fn expand(
    call: &Call,
    child: &'static DocumentKind,
    expansion: &Expansion,
    parent: &Document,
    mut children: Vec<Document>,
    expanded: &mut Expanded,
) {
    let options = &expansion.options;
    let stored =
        |document: &Document| Value::Object(view::show(child, call.edm, document, PropertySet::Stored, members(call)));
    if let Some(filter) = &options.filter {
        children.retain(|document| filter.matches(&stored(document)));
    }
    if !options.orderby.is_empty() {
        children.sort_by(|a, b| compare_by(&options.orderby, &stored(a), &stored(b)));
    }
    let skipped = options.skip.unwrap_or_default();
    let most = options.top.unwrap_or(EXPANDED_MAX).min(EXPANDED_MAX);
    let end = skipped.saturating_add(most);
    let more = children.len() > end && options.top.is_none_or(|top| top > most);
    let set = if options.select.is_some() { PropertySet::All } else { PropertySet::Default };
    let show = |document: &Document| {
        let mut shown = view::show(child, call.edm, document, set, members(call));
        if let Some(names) = options.select.as_ref().filter(|names| !names.iter().any(|name| name == "*")) {
            shown.retain(|name, _| names.iter().any(|own| own.split('/').next() == Some(name)));
        }
        Value::Object(shown)
    };
    let shown: Vec<_> = children.iter().skip(skipped).take(most).map(show).collect();
    expanded.insert(expansion.property.clone(), Value::Array(shown));
    if more {
        let link = call.address_within(&parent.key.id, &expansion.property, end);
        expanded.insert(format!("{}@odata.nextLink", expansion.property), json!(link));
    }
}
