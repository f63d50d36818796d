//! From what a caller sends to what is stored: the newest names, the defaults, and the checks that
//! the facts of a kind ask for.

use cloudpc_graph::{Edm, GraphError};
use cloudpc_model::{DocumentKey, DocumentReference, Object};
use cloudpc_store::{DocumentIndex, DocumentName};
use serde_json::Value;
use std::mem::discriminant;

use super::kind::{Const, DOCUMENT_BYTES_MAX, DocumentKind, Fact};
use super::{path, view};
use crate::pipeline::{check_chars, required};

/// The body of a request by the newest names, without what the service sets.
///
/// # Errors
/// An older name and the newest one say different things.
pub(super) fn incoming(kind: &DocumentKind, edm: &'static Edm, mut body: Object) -> Result<Object, GraphError> {
    for fact in kind.facts {
        match fact {
            // What the service sets is ignored by its older names too.
            Fact::Old { old, newest, .. } if kind.sets(first(newest)) => drop(body.remove(first(old))),
            Fact::Old { old, newest, values } => modernise(&mut body, old, newest, values)?,
            Fact::Observed(name, meant) => {
                if let Some(value) = body.remove(*name) {
                    path::fill(&mut body, meant, &value);
                }
            }
            _ => {}
        }
    }
    let type_name = kind.type_name(edm);
    if type_name != kind.name() {
        // The type is the kind's, and not stored.
        body.remove(view::TYPE_ANNOTATION);
    }
    body.retain(|name, _| !kind.sets(name));
    newest_members(edm, type_name, &mut body);
    Ok(body)
}

fn first(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// Moves the value of an older name to the newest one, which it clears with null. The two differ in
/// their last segment, or the older one is a property beside the one that contains the newest.
fn modernise(body: &mut Object, old: &str, newest: &str, values: &[(Const, Const)]) -> Result<(), GraphError> {
    // Several newest values may have the same older one.
    let is_same = |sent: &Value, newer: &Value| {
        values.iter().any(|(known, newest)| known.value() == *sent && newest.value() == *newer)
    };
    let conflict = |older: &Value, newer: &Value| {
        let message = format!(
            "'{old}' is an older name of '{newest}', and the two differ: {older} and {newer}. Send one of them, or the same twice."
        );
        GraphError::bad_request(message).about(old)
    };
    let mut result = Ok(());
    match (old.rsplit_once('/'), newest.rsplit_once('/')) {
        // Beside one another, perhaps within the elements of a collection.
        (old_parent, newest_parent) if old_parent.map(|pair| pair.0) == newest_parent.map(|pair| pair.0) => {
            let newest_name = newest_parent.map_or(newest, |pair| pair.1);
            path::each(body, old, &mut |holder, old_name| {
                let Some(sent) = holder.remove(old_name) else { return };
                if sent.is_null() {
                    holder.entry(newest_name).or_insert(sent);
                    return;
                }
                let older = match translate(old, values, sent.clone()) {
                    Ok(older) => older,
                    Err(error) => {
                        result = Err(error);
                        return;
                    }
                };
                match holder.get(newest_name).filter(|value| !value.is_null()) {
                    Some(newer) if *newer != older && !is_same(&sent, newer) => result = Err(conflict(&older, newer)),
                    Some(_) => {}
                    None => drop(holder.insert(newest_name.to_owned(), older)),
                }
            });
        }
        _ => {
            let Some(sent) = take(body, old) else { return Ok(()) };
            if sent.is_null() {
                body.entry(first(newest)).or_insert(sent);
                return Ok(());
            }
            let older = translate(old, values, sent.clone())?;
            match path::values(body, newest).into_iter().find(|value| !value.is_null()) {
                Some(newer) if *newer != older && !is_same(&sent, newer) => return Err(conflict(&older, newer)),
                Some(_) => {}
                None => path::fill(body, newest, &older),
            }
        }
    }
    result
}

/// Returns the newest value that an older name's value stands for.
///
/// # Errors
/// 400: it stands for none.
fn translate(old: &str, values: &[(Const, Const)], sent: Value) -> Result<Value, GraphError> {
    if let Some((_, newer)) = values.iter().find(|(older, _)| older.value() == sent) {
        return Ok(newer.value());
    }
    // A number cannot become the member of an enum.
    if values.iter().all(|(_, newer)| discriminant(&newer.value()) == discriminant(&sent)) {
        return Ok(sent);
    }
    let mut known: Vec<String> = Vec::new();
    for text in values.iter().map(|(older, _)| older.value().to_string()) {
        if !known.contains(&text) {
            known.push(text);
        }
    }
    let message = format!("The property '{old}' is {sent}. Expected one of {}.", known.join(", "));
    Err(GraphError::bad_request(message).about(old))
}

/// Takes a property out of a body, and the object that held it if nothing else is in it. The
/// property of a null is null.
fn take(body: &mut Object, at: &str) -> Option<Value> {
    match at.split_once('/') {
        None => body.remove(at),
        Some((first, _)) if body.get(first)?.is_null() => body.remove(first),
        Some((first, rest)) => {
            let inner = body.get_mut(first)?.as_object_mut()?;
            let taken = take(inner, rest);
            if inner.is_empty() {
                body.remove(first);
            }
            taken
        }
    }
}

/// Members of enums by their newest names.
fn newest_members(edm: &'static Edm, type_name: &str, body: &mut Object) {
    let actual = view::actual_type(edm, type_name, body);
    let Some(declared) = edm.type_named(&actual) else { return };
    for property in &declared.properties {
        let Some(value) = body.get_mut(&property.name) else { continue };
        let name = &property.type_ref.name;
        let elements = match value {
            Value::Array(elements) => elements.as_mut_slice(),
            single => std::slice::from_mut(single),
        };
        for element in elements {
            match element {
                Value::Object(inner) => newest_members(edm, name, inner),
                Value::String(text) => {
                    if let Some(declared) = edm.enum_named(name).filter(|declared| !declared.flags) {
                        *text = declared.newest(text).to_owned();
                    }
                }
                _ => {}
            }
        }
    }
}

/// What a body becomes by a patch: null clears, complex values merge, collections are replaced.
/// Elements of a collection that stay keep what the caller's version has no name for.
pub(super) fn patched(kind: &DocumentKind, edm: &'static Edm, old: &Object, patch: Object) -> Object {
    let mut body = old.clone();
    for (name, value) in patch {
        merge(kind, edm, &mut body, name, value);
    }
    body
}

fn merge(kind: &DocumentKind, edm: &'static Edm, body: &mut Object, name: String, value: Value) {
    match (body.get_mut(&name), value) {
        (_, Value::Null) => drop(body.remove(&name)),
        (Some(Value::Object(held)), Value::Object(given)) if held.get("@odata.type") == given.get("@odata.type") => {
            for (name, value) in given {
                merge(kind, edm, held, name, value);
            }
        }
        (Some(Value::Array(held)), Value::Array(given)) => {
            let shown = |element: &Value| view::nested(edm, kind, &name, element);
            let keep = |element: Value| {
                let same = held.iter().find(|earlier| shown(earlier) == shown(&element));
                same.cloned().unwrap_or(element)
            };
            *held = given.into_iter().map(keep).collect();
        }
        (_, value) => drop(body.insert(name, value)),
    }
}

/// Writes the defaults, and takes out what is null. What callers must give is not made of defaults.
pub(super) fn fill_defaults(kind: &DocumentKind, body: &mut Object) {
    let is_required = |name: &str| kind.facts.iter().any(|fact| matches!(fact, Fact::Required(at) if *at == name));
    for fact in kind.facts {
        if let Fact::Default(at, value) = fact
            && (!is_required(first(at)) || body.get(first(at)).is_some_and(|held| !held.is_null()))
        {
            path::fill(body, at, &value.value());
        }
    }
    prune(body);
}

/// Null and left out are stored alike.
fn prune(body: &mut Object) {
    body.retain(|_, value| match value {
        Value::Null => false,
        Value::Object(inner) => {
            prune(inner);
            true
        }
        Value::Array(elements) => {
            elements.iter_mut().filter_map(Value::as_object_mut).for_each(prune);
            true
        }
        _ => true,
    });
}

/// Checks a body against the facts of its kind.
///
/// # Errors
/// 400 about the property.
pub(super) fn check(kind: &DocumentKind, old: Option<&Object>, body: &Object) -> Result<(), GraphError> {
    for fact in kind.facts {
        check_fact(fact, old, body)?;
    }
    let bytes = serde_json::to_vec(body).map_or(usize::MAX, |text| text.len());
    if bytes > DOCUMENT_BYTES_MAX {
        let message = format!(
            "This {} has {bytes} bytes of JSON; at most {DOCUMENT_BYTES_MAX} are allowed. Shorten it.",
            kind.name()
        );
        return Err(GraphError::bad_request(message));
    }
    Ok(())
}

fn check_fact(fact: &Fact, old: Option<&Object>, body: &Object) -> Result<(), GraphError> {
    let wrong = |at: &str, message: String| Err(GraphError::bad_request(message).about(at));
    let texts = |at: &'static str| path::values(body, at).into_iter().filter_map(Value::as_str);
    match *fact {
        Fact::Required(at) => {
            let blank = |value: &&Value| match value {
                Value::Null => true,
                Value::String(text) => text.trim().is_empty(),
                Value::Array(elements) => elements.is_empty(),
                _ => false,
            };
            if path::values(body, at).iter().any(blank) {
                return Err(required(at));
            }
        }
        Fact::Immutable(at) => {
            if let Some(old) = old
                && path::values(old, at) != path::values(body, at)
            {
                return wrong(
                    at,
                    format!(
                        "The property '{at}' cannot be changed after creation. Leave it out, or send its present value."
                    ),
                );
            }
        }
        Fact::CharsMax(at, most) => {
            for text in texts(at) {
                check_chars(at, text, most)?;
            }
        }
        Fact::Without(at, forbidden) => {
            if let Some(letter) = texts(at).flat_map(str::chars).find(|letter| forbidden.contains(*letter)) {
                let all: Vec<_> = forbidden.chars().map(String::from).collect();
                let message = format!(
                    "The property '{at}' contains '{letter}'. These characters are not allowed: {} Remove them.",
                    all.join(" ")
                );
                return wrong(at, message);
            }
        }
        Fact::Range(at, least, most) => {
            for number in path::values(body, at).into_iter().filter_map(Value::as_i64) {
                if !(least..=most).contains(&number) {
                    return wrong(
                        at,
                        format!("The property '{at}' is {number}. Expected a number from {least} to {most}."),
                    );
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// What is stored beside the body: the names that have to be unique, and the references.
pub(super) fn index(kind: &DocumentKind, body: &Object) -> DocumentIndex {
    let mut index = DocumentIndex::default();
    for fact in kind.facts {
        match *fact {
            Fact::Unique(at) => {
                let texts = path::values(body, at).into_iter().filter_map(Value::as_str);
                index.names.extend(texts.map(|name| DocumentName { property: at, name: name.to_lowercase() }));
            }
            Fact::Reference(property, kind, strength) => {
                let targets = path::values(body, property).into_iter().filter_map(Value::as_str);
                let references = targets.filter(|id| !id.is_empty()).map(|id| DocumentReference {
                    property,
                    target: DocumentKey::new(kind, id),
                    strength,
                });
                for reference in references {
                    if !index.references.contains(&reference) {
                        index.references.push(reference);
                    }
                }
            }
            _ => {}
        }
    }
    index
}
