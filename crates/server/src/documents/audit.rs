//! Audit rows of documents: the old and the new value of each property.

use cloudpc_model::{AuditEntry, AuditResource, AuditVerb, Document, Object, ResourceType};
use serde_json::Value;

use super::kind::{DocumentKind, Fact};
use crate::pipeline::Call;

/// Name of a document for people, as the audit log shows it.
fn name(document: &Document) -> &str {
    document.body.get("displayName").and_then(Value::as_str).unwrap_or_default()
}

/// The audit row of a write. `old` is none for a creation, `new` for a deletion.
pub(super) fn entry(
    call: &Call,
    kind: &DocumentKind,
    verb: AuditVerb,
    old: Option<&Document>,
    new: Option<&Document>,
) -> AuditEntry {
    let Some(document) = new.or(old) else {
        return call.audit(verb, AuditResource::new(ResourceType::Document(kind.of), ""));
    };
    let resource = AuditResource::new(ResourceType::Document(kind.of), &document.key.id).named(name(document));
    let mut entry = call.audit(verb, resource);
    let empty = Object::new();
    if let Some(new) = new {
        let before = old.map_or(&empty, |old| &old.body);
        for (property, old, new) in differences(before, &new.body) {
            entry = entry.changed(property, old.map(text).as_deref(), &new.map(text).unwrap_or_default());
        }
        let counts_before = old.map_or(&empty, |old| &old.secret_counts);
        for fact in kind.facts {
            if let Fact::Secret(property) = *fact
                && counts_before.get(property) != new.secret_counts.get(property)
            {
                entry = entry.secret_changed(property);
            }
        }
    }
    entry
}

/// The properties that differ, with both values.
fn differences<'a>(
    old: &'a Object,
    new: &'a Object,
) -> impl Iterator<Item = (&'a str, Option<&'a Value>, Option<&'a Value>)> {
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let names = new.keys().chain(gone);
    names.map(|name| (name.as_str(), old.get(name), new.get(name))).filter(|(_, old, new)| old != new)
}

/// A value as the audit log shows it: a text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
