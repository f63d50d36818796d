//! From what is stored to what is sent: the properties that a version has, by its names for them.

use cloudpc_graph::edm::{Property, UNKNOWN_FUTURE_VALUE};
use cloudpc_graph::{Edm, TypeRef};
use cloudpc_model::{Document, Object, Timestamp};
use serde_json::{Value, json};

use super::kind::{Const, DocumentKind, Fact};
use super::path;
use crate::pipeline::list::PropertySet;

pub(super) const TYPE_ANNOTATION: &str = "@odata.type";

/// How enum members are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Members {
    /// By the version's name, those declared after `unknownFutureValue` too.
    Named,
    /// As `unknownFutureValue` if they are declared after it.
    Masked,
}

/// A document as an answer shows it, without `@odata.context`.
pub(super) fn show(
    kind: &DocumentKind,
    edm: &'static Edm,
    document: &Document,
    set: PropertySet,
    members: Members,
) -> Object {
    let members = if set == PropertySet::Stored { Members::Named } else { members };
    let mut shown = Object::new();
    // What a tenant has one of has the tenant's id.
    let id = if document.key.id.is_empty() { document.tenant_id.to_string() } else { document.key.id.clone() };
    shown.insert("id".into(), json!(id));
    let type_name = kind.type_name(edm);
    if type_name != kind.name() {
        shown.insert(TYPE_ANNOTATION.into(), json!(format!("#{}", edm.qualified(type_name))));
    }
    let Some(declared) = edm.type_named(type_name) else { return shown };
    for property in declared.properties.iter().filter(|property| !property.type_ref.navigation) {
        let name = property.name.as_str();
        if name == "id" || set == PropertySet::Default && is_select_only(kind, name) {
            continue;
        }
        let value = stored(kind, document, name).unwrap_or(Value::Null);
        shown.insert(name.to_owned(), typed(edm, &property.type_ref, value, members));
    }
    older_names(kind, edm, set, &mut shown);
    shown
}

fn is_select_only(kind: &DocumentKind, name: &str) -> bool {
    kind.facts.iter().any(|fact| matches!(fact, Fact::SelectOnly(at) if *at == name))
}

/// The value of a property: the row's, the engine's or the caller's. Secrets have none.
fn stored(kind: &DocumentKind, document: &Document, name: &str) -> Option<Value> {
    let time = |time: Timestamp| Some(json!(time.to_string()));
    for fact in kind.facts {
        match *fact {
            Fact::Secret(at) if at == name => return None,
            Fact::ParentId(at) if at == name => return Some(json!(document.key.parent)),
            Fact::CreatedAt(at) if at == name => return time(document.created_at),
            Fact::ModifiedAt(at) if at == name => return time(document.modified_at),
            _ => {}
        }
    }
    document.status.get(name).or_else(|| document.body.get(name)).cloned()
}

/// A value as its declared type has it in this version. What is not there is null, or an empty
/// collection.
fn typed(edm: &'static Edm, type_ref: &TypeRef, value: Value, members: Members) -> Value {
    match value {
        Value::Null if type_ref.collection => Value::Array(Vec::new()),
        Value::Array(elements) if type_ref.collection => {
            Value::Array(elements.into_iter().map(|element| single(edm, type_ref, element, members)).collect())
        }
        value => single(edm, type_ref, value, members),
    }
}

fn single(edm: &'static Edm, type_ref: &TypeRef, value: Value, members: Members) -> Value {
    match value {
        Value::Object(inner) => Value::Object(complex(edm, &type_ref.name, &inner, members)),
        Value::String(text) => match edm.enum_named(&type_ref.name) {
            Some(declared) => {
                let name = |member: &str| match declared.name_here(member) {
                    None => UNKNOWN_FUTURE_VALUE.to_owned(),
                    Some(name) if members == Members::Masked && declared.is_late(name) => {
                        UNKNOWN_FUTURE_VALUE.to_owned()
                    }
                    Some(name) => name.to_owned(),
                };
                let names: Vec<_> = text.split(',').map(name).collect();
                Value::String(names.join(","))
            }
            None => Value::String(text),
        },
        other => other,
    }
}

fn complex(edm: &'static Edm, type_name: &str, inner: &Object, members: Members) -> Object {
    let actual = actual_type(edm, type_name, inner);
    let mut shown = Object::new();
    if actual != type_name {
        shown.insert(TYPE_ANNOTATION.into(), json!(format!("#{}", edm.qualified(&actual))));
    }
    let Some(declared) = edm.type_named(&actual) else { return shown };
    for Property { name, type_ref } in &declared.properties {
        let value = inner.get(name).cloned().unwrap_or(Value::Null);
        shown.insert(name.clone(), typed(edm, type_ref, value, members));
    }
    shown
}

/// The type of a complex value: the declared one, or the one derived from it that the value names.
pub(super) fn actual_type(edm: &Edm, type_name: &str, value: &Object) -> String {
    let named = value.get(TYPE_ANNOTATION).and_then(Value::as_str);
    let named = named.and_then(|name| name.rsplit_once('.')).map(|(_, name)| name);
    named.filter(|name| edm.is_a(name, type_name)).unwrap_or(type_name).to_owned()
}

/// Older names show what the newest say, in versions that have them.
fn older_names(kind: &DocumentKind, edm: &'static Edm, set: PropertySet, shown: &mut Object) {
    for fact in kind.facts {
        let Fact::Old { old, newest, values } = *fact else { continue };
        if set == PropertySet::Default && is_select_only(kind, newest.split('/').next().unwrap_or(newest)) {
            continue;
        }
        if edm.property_path(kind.name(), old).is_err() || edm.property_path(kind.name(), newest).is_err() {
            continue;
        }
        let older = |newest: &Value| {
            let known = values.iter().find(|(_, newer): &&(Const, Const)| newer.value() == *newest);
            known.map_or_else(|| newest.clone(), |(older, _)| older.value())
        };
        let parent = |at: &'static str| at.rsplit_once('/').map(|(parent, _)| parent);
        if parent(old) == parent(newest) {
            let newest_name = newest.rsplit_once('/').map_or(newest, |(_, name)| name);
            path::each(shown, old, &mut |holder, old_name| {
                let value = holder.get(newest_name).map_or(Value::Null, older);
                holder.insert(old_name.to_owned(), value);
            });
        } else if let Some(value) = path::values(shown, newest).first().filter(|value| !value.is_null()) {
            let value = older(value);
            let first = old.split('/').next().unwrap_or(old);
            if old != first && shown.get(first).is_none_or(Value::is_null) {
                shown.insert(first.to_owned(), Value::Object(Object::new()));
            }
            path::each(shown, old, &mut |holder, name| drop(holder.insert(name.to_owned(), value.clone())));
        }
    }
}

/// An element of a collection property, cut to what this version has names for.
pub(super) fn nested(edm: &'static Edm, kind: &DocumentKind, property: &str, element: &Value) -> Value {
    match edm.property_path(kind.type_name(edm), property) {
        Ok((_, type_ref)) => single(edm, type_ref, element.clone(), Members::Named),
        Err(_) => element.clone(),
    }
}
