//! `$expand`: what a document contains, sent within it. One query for each property and page.

use std::collections::HashMap;

use cloudpc_graph::options::Expansion;
use cloudpc_model::{Document, DocumentKey, Object};
use cloudpc_store::Reader;
use serde_json::{Value, json};

use super::contained;
use super::kind::Kind;
use super::read::members;
use super::view;
use crate::pipeline::list::{PropertySet, compare_by};
use crate::pipeline::{Call, Problem};

/// Most contained documents that are sent within one; a link leads to the others.
pub const EXPANDED_MAX: usize = 100;

/// The expanded properties of one document, links included.
pub(super) type Expanded = Object;

/// What is expanded of each document of a page.
pub(super) fn read(
    reader: &Reader<'_>,
    call: &Call,
    kind: &'static Kind,
    page: &[&Document],
) -> Result<Vec<Expanded>, Problem> {
    let mut expanded = vec![Expanded::new(); page.len()];
    for expansion in &call.options.expand {
        let Some(child) = contained(kind, &expansion.property) else { continue };
        let ids: Vec<_> = page.iter().map(|document| document.key.id.as_str()).collect();
        let most = usize::try_from(child.rows_max).unwrap_or(usize::MAX).saturating_mul(ids.len());
        let mut by_parent: HashMap<String, Vec<Document>> = HashMap::new();
        for document in reader.document_children(call.tenant(), child.of, &ids, most)? {
            by_parent.entry(document.key.parent.clone()).or_default().push(document);
        }
        for (document, expanded) in page.iter().zip(&mut expanded) {
            let children = by_parent.remove(&document.key.id).unwrap_or_default();
            expand(call, child, expansion, &document.key, children, expanded);
        }
    }
    Ok(expanded)
}

fn expand(
    call: &Call,
    child: &'static Kind,
    expansion: &Expansion,
    parent: &DocumentKey,
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
    let more = children.len() > skipped + most && options.top.is_none_or(|top| top > most);
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
        let link = call.address_within(&parent.id, &expansion.property, skipped + most);
        expanded.insert(format!("{}@odata.nextLink", expansion.property), json!(link));
    }
}
