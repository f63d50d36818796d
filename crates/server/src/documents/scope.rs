//! Which documents the scope tags of a caller's right reach, and which tags the caller may set.

use cloudpc_graph::{Edm, GraphError, Version};
use cloudpc_model::{Document, DocumentKey, DocumentType};
use cloudpc_store::{Reader, StoreError};
use serde_json::json;

use super::change::target_missing;
use super::kind::{DocumentKind, DocumentShape, Verb};
use crate::pipeline::{Call, Problem};
use crate::rbac::{SCOPE_IDS, ScopeTags, tags_of};

/// Whether scope tags do not limit who sees a kind: what the service or the installation states,
/// webhooks, which deliver what their creator may read, and roles, whose writes take a right
/// without tags.
pub(super) fn is_for_everyone(kind: &DocumentKind) -> bool {
    let reads = |verb: &Verb| matches!(verb, Verb::List | Verb::Count | Verb::Get);
    kind.verbs.iter().all(reads)
        || matches!(
            kind.of,
            DocumentType::CloudPcGalleryImage
                | DocumentType::UnifiedRoleAssignmentMultiple
                | DocumentType::UnifiedRoleDefinition
                | DocumentType::Webhook
        )
}

/// Whether a right with these tags reaches a document. What is within a document has its tags.
pub(crate) fn reaches(
    tags: &ScopeTags,
    reader: &Reader<'_>,
    kind: &DocumentKind,
    document: &Document,
) -> Result<bool, StoreError> {
    if tags.is_all() {
        return Ok(true);
    }
    match kind.shape {
        DocumentShape::Within(parent) => {
            let key = DocumentKey::new(parent.of, &document.key.parent);
            let Some(above) = reader.document(document.tenant_id, &key)? else { return Ok(false) };
            reaches(tags, reader, parent, &above)
        }
        DocumentShape::Many | DocumentShape::One | DocumentShape::Derived(_) | DocumentShape::Seeded(_) => {
            Ok(is_for_everyone(kind) || tags.reaches(&tags_of(document)))
        }
    }
}

/// Gives a new document the caller's tags if it names none.
pub(super) fn fill_tags(call: &Call, kind: &DocumentKind, document: &mut Document) {
    let ScopeTags::Only(tags) = &call.scope_tags else { return };
    let is_tagged = Edm::of(Version::Beta).property_path(kind.name(), SCOPE_IDS).is_ok();
    if is_tagged && document.body.get(SCOPE_IDS).is_none_or(serde_json::Value::is_null) {
        document.body.insert(SCOPE_IDS.into(), json!(tags));
    }
}

/// Checks that the caller has the tags that a write gives to a document or takes from it.
///
/// # Errors
/// 403 naming the tag.
pub(super) fn check_tags(
    call: &Call,
    kind: &DocumentKind,
    old: Option<&Document>,
    new: &Document,
) -> Result<(), Problem> {
    let ScopeTags::Only(own) = &call.scope_tags else { return Ok(()) };
    if is_for_everyone(kind) || kind.parent().is_some() {
        return Ok(());
    }
    let new = tags_of(new);
    let touched: Vec<_> = match old {
        Some(old) if old.revision > 0 => tags_of(old).symmetric_difference(&new).cloned().collect(),
        _ => new.into_iter().collect(),
    };
    match touched.into_iter().find(|tag| !own.contains(tag)) {
        None => Ok(()),
        Some(tag) => Err(outside(&tag, own)),
    }
}

/// Checks that the caller's right reaches what a document refers to. What it does not reach looks
/// missing.
///
/// # Errors
/// 400 naming the reference.
pub(super) fn check_references(
    call: &Call,
    reader: &Reader<'_>,
    kind: &DocumentKind,
    old: Option<&Document>,
    new: &Document,
) -> Result<(), Problem> {
    if call.scope_tags.is_all() {
        return Ok(());
    }
    let before = old.map(|old| super::body::index(kind, &old.body).references).unwrap_or_default();
    for reference in super::body::index(kind, &new.body).references {
        let found = reader.document(new.tenant_id, &reference.target)?;
        if !before.contains(&reference)
            && let (Some(found), Some(kind)) = (found, super::kind(reference.target.kind))
            && !reaches(&call.scope_tags, reader, kind, &found)?
        {
            return Err(target_missing(&reference));
        }
    }
    Ok(())
}

/// Checks that the caller's right reaches what a tenant has one of, which everyone with the right
/// can read.
///
/// # Errors
/// 403.
pub(super) fn check_single(call: &Call, kind: &DocumentKind, document: &Document) -> Result<(), Problem> {
    match (&call.scope_tags, kind.shape) {
        (ScopeTags::Only(own), DocumentShape::One) if !call.scope_tags.reaches(&tags_of(document)) => {
            Err(outside(crate::rbac::DEFAULT_TAG, own))
        }
        _ => Ok(()),
    }
}

fn outside(tag: &str, own: &std::collections::BTreeSet<String>) -> Problem {
    let own = Vec::from_iter(own.iter().map(String::as_str)).join(", ");
    let message = format!(
        "Your role assignments reach the scope tags {own}, but this concerns the scope tag '{tag}'. Use your own tags, or \
         ask an administrator."
    );
    GraphError::new(403, "Forbidden", message).about(SCOPE_IDS).into()
}
