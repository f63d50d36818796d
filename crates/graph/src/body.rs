//! Request bodies, checked against the model before any operation uses them.
//!
//! Required parameters and write permissions are checked by the operations.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::edm::{BodyShape, Enum, Type, TypeRef, UNKNOWN_FUTURE_VALUE};
use crate::{Edm, GraphError, Operation};

mod json;
mod primitive;

pub use json::{DEPTH_MAX, json, without_byte_order_mark};
pub use primitive::STRING_BYTES_MAX;
pub(crate) use primitive::{instant, is_date, is_guid};

const TYPE_ANNOTATION: &str = "@odata.type";

/// Parses and checks the body of a request: a JSON object with known properties only, right types,
/// known enum members, and well-formed GUIDs and dates. Names and enum members are
/// case-insensitive, and returned in the model's spelling.
///
/// Annotations are removed, except an `@odata.type` that names a type derived from the declared
/// one, and the `@odata.id` of an operation that takes a reference. An empty body is an empty
/// object for actions, whose parameters are all optional in the model; an operation that takes an
/// entity requires a body.
///
/// A `null` parameter of an action, or in place of a collection of an entity, counts as omitted. In
/// an entity or a complex value `null` clears the property; it is rejected for properties that are
/// not nullable.
/// Related entities are set by their own operations. A value of a type with exactly one derived
/// type is read as that.
///
/// # Errors
/// 400 naming the property and what was expected.
pub fn parse(edm: &'static Edm, operation: &Operation, bytes: &[u8]) -> Result<Map<String, Value>, GraphError> {
    parse_leniently(edm, operation, &Leniency::default(), bytes)
}

/// What a body may have although the model does not say so.
#[derive(Clone, Debug, Default)]
pub struct Leniency {
    /// Properties that clients may send as null, whatever the model says: the service sets them, or
    /// has a default.
    pub nullable: Vec<String>,
    /// Properties that the model lacks and clients send nevertheless, with their types.
    pub observed: BTreeMap<String, TypeRef>,
}

/// The same as [`parse`], with these exceptions.
///
/// # Errors
/// As of [`parse`].
pub fn parse_leniently(
    edm: &'static Edm,
    operation: &Operation,
    leniency: &Leniency,
    bytes: &[u8],
) -> Result<Map<String, Value>, GraphError> {
    let given = if without_byte_order_mark(bytes).iter().all(u8::is_ascii_whitespace) {
        if let BodyShape::Type(name) = &operation.body {
            let needed = edm.qualified(name);
            return Err(GraphError::bad_request(format!("{} requires a body of type {needed}.", operation.key)));
        }
        Map::new()
    } else {
        match json(bytes, DEPTH_MAX)? {
            Value::Object(given) => given,
            other => {
                let given = named(&other);
                return Err(GraphError::bad_request(format!("Expected a JSON object as the body, but got {given}.")));
            }
        }
    };
    let root = BodyPath::root();
    match &operation.body {
        BodyShape::None => {
            let owner = || format!("the body of {}, which takes none", operation.key);
            members(edm, &owner, |_| None, given, &root)
        }
        BodyShape::Parameters(parameters) => {
            let owner = || format!("the parameters of {}", operation.key);
            let declared = |name: &str| parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            let mut given = given;
            let exceptions = exceptions(edm, leniency, &mut given)?;
            let given =
                given.into_iter().filter(|(name, value)| !value.is_null() || declared(name).is_none()).collect();
            let mut checked = members(edm, &owner, declared, given, &root)?;
            checked.extend(exceptions);
            Ok(checked)
        }
        BodyShape::Type(name) => {
            let mut given = given;
            let exceptions = exceptions(edm, leniency, &mut given)?;
            let mut checked = object(edm, name, given, &root)?;
            checked.extend(exceptions);
            Ok(checked)
        }
    }
}

/// Takes out of a body what clients may send whatever the model says.
fn exceptions(
    edm: &'static Edm,
    leniency: &Leniency,
    given: &mut Map<String, Value>,
) -> Result<Map<String, Value>, GraphError> {
    let mut exceptions = nulls(leniency, given);
    exceptions.extend(observed(edm, leniency, given)?);
    Ok(exceptions)
}

/// Takes out of a body the nulls that clients may send whatever the model says.
fn nulls(leniency: &Leniency, given: &mut Map<String, Value>) -> Map<String, Value> {
    let mut nulls = Map::new();
    given.retain(|name, value| {
        let spelled = leniency.nullable.iter().find(|own| value.is_null() && own.eq_ignore_ascii_case(name));
        spelled.is_none_or(|own| {
            nulls.insert(own.clone(), Value::Null);
            false
        })
    });
    nulls
}

/// Takes out of a body the properties that the model lacks and clients send nevertheless.
fn observed(
    edm: &'static Edm,
    leniency: &Leniency,
    given: &mut Map<String, Value>,
) -> Result<Map<String, Value>, GraphError> {
    let root = BodyPath::root();
    let mut checked = Map::new();
    for (name, type_ref) in &leniency.observed {
        let Some(spelled) = given.keys().find(|own| own.eq_ignore_ascii_case(name)).cloned() else { continue };
        let value = given.remove(&spelled).unwrap_or_default();
        if !value.is_null() {
            checked.insert(name.clone(), property(edm, type_ref, value, &root.member(name))?);
        }
    }
    Ok(checked)
}

/// Path of a value in the body. Formatted only for errors.
#[derive(Clone, Copy)]
struct BodyPath<'a> {
    above: Option<&'a BodyPath<'a>>,
    step: PathSegment<'a>,
}

#[derive(Clone, Copy)]
enum PathSegment<'a> {
    Root,
    Member(&'a str),
    Element(usize),
}

impl<'a> BodyPath<'a> {
    fn root() -> Self {
        Self { above: None, step: PathSegment::Root }
    }

    fn member(&'a self, name: &'a str) -> Self {
        Self { above: Some(self), step: PathSegment::Member(name) }
    }

    fn element(&'a self, index: usize) -> Self {
        Self { above: Some(self), step: PathSegment::Element(index) }
    }
}

impl fmt::Display for BodyPath<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above.filter(|above| !matches!(above.step, PathSegment::Root)) {
            write!(formatter, "{above}/")?;
        }
        match self.step {
            PathSegment::Root => Ok(()),
            PathSegment::Member(name) => formatter.write_str(name),
            PathSegment::Element(index) => write!(formatter, "{index}"),
        }
    }
}

/// Checks the members of a JSON object; `declared` returns the model's spelling and the type of a
/// name.
fn members<'a>(
    edm: &'static Edm,
    owner: &dyn Fn() -> String,
    declared: impl Fn(&str) -> Option<(&'a String, &'a TypeRef)>,
    given: Map<String, Value>,
    place: &BodyPath<'_>,
) -> Result<Map<String, Value>, GraphError> {
    let mut checked = Map::new();
    let is_root = matches!(place.step, PathSegment::Root);
    for (name, value) in given {
        if let Some((navigation, _)) = name.split_once('@').filter(|(_, term)| term.eq_ignore_ascii_case("odata.bind"))
        {
            let message = format!("'{navigation}' cannot be bound by reference here; set it by its own operation.");
            return Err(wrong(&place.member(&name), message));
        }
        let known = declared(&name);
        if name.contains('@') && known.is_none() {
            continue;
        }
        let Some((spelled, type_ref)) = known else {
            let message = format!("The property '{name}' does not exist on {}.", owner());
            return Err(wrong(&place.member(&name), message));
        };
        let place = place.member(spelled);
        // A key is the service's to give. Null in place of a collection counts as omitted, and
        // empties a collection of a complex value.
        if value.is_null() && (spelled == "id" || type_ref.collection && is_root) {
            continue;
        }
        if type_ref.navigation {
            if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
                continue;
            }
            let message = format!("'{spelled}' cannot be set within this body; set it by its own operation.");
            return Err(wrong(&place, message));
        }
        checked.insert(spelled.clone(), property(edm, type_ref, value, &place)?);
    }
    Ok(checked)
}

/// Checks an object against a type, or against the derived type that its `@odata.type` names.
fn object(
    edm: &'static Edm,
    type_name: &str,
    mut given: Map<String, Value>,
    place: &BodyPath<'_>,
) -> Result<Map<String, Value>, GraphError> {
    let annotation = place.member(TYPE_ANNOTATION);
    let spelled = given.keys().find(|name| name.eq_ignore_ascii_case(TYPE_ANNOTATION)).cloned();
    let actual = match spelled.and_then(|name| given.remove(&name)) {
        None => edm.sole_derived(type_name).unwrap_or(type_name).to_owned(),
        Some(Value::String(named)) => {
            let known = named.trim_start_matches('#').rsplit_once('.').and_then(|(namespace, name)| {
                let is_it = |declared: &&Type| {
                    declared.name.eq_ignore_ascii_case(name) && declared.namespace.eq_ignore_ascii_case(namespace)
                };
                edm.types.values().find(is_it).map(|declared| declared.name.clone())
            });
            known.filter(|known| edm.is_a(known, type_name)).ok_or_else(|| {
                let expected = edm.qualified(type_name);
                wrong(&annotation, format!("'{named}' is not the type {expected} or one derived from it."))
            })?
        }
        Some(other) => return Err(mismatch(&annotation, "the name of a type", &other)),
    };
    let Some(declared) = edm.type_named(&actual) else {
        // The contract names this type without describing it, so its members cannot be checked.
        return Ok(given);
    };
    if declared.is_abstract {
        let message = format!("'{TYPE_ANNOTATION}' must name a type derived from {actual}.");
        return Err(wrong(&annotation, message));
    }
    let owner = || format!("the type {}", edm.qualified(&actual));
    let known = |name: &str| declared.property(name).map(|property| (&property.name, &property.type_ref));
    let mut checked = members(edm, &owner, known, given, place)?;
    if actual != type_name {
        checked.insert(TYPE_ANNOTATION.into(), Value::String(format!("#{}", edm.qualified(&actual))));
    }
    Ok(checked)
}

/// Checks the value of a property, including null and collections.
fn property(edm: &'static Edm, type_ref: &TypeRef, value: Value, place: &BodyPath<'_>) -> Result<Value, GraphError> {
    match value {
        Value::Null if type_ref.nullable || type_ref.collection => Ok(Value::Null),
        Value::Array(elements) if type_ref.collection => {
            let check = |(index, element)| single(edm, type_ref, element, &place.element(index));
            elements.into_iter().enumerate().map(check).collect::<Result<_, _>>().map(Value::Array)
        }
        other if type_ref.collection => {
            Err(mismatch(place, &format!("a collection of {}", edm.qualified(&type_ref.name)), &other))
        }
        other => single(edm, type_ref, other, place),
    }
}

/// Checks one value that is not null.
fn single(edm: &'static Edm, type_ref: &TypeRef, value: Value, place: &BodyPath<'_>) -> Result<Value, GraphError> {
    let name = type_ref.name.as_str();
    if name.starts_with("Edm.") {
        return primitive::check(name, value, place);
    }
    if let Some(declared) = edm.enum_named(name) {
        return match value {
            Value::String(text) => member(declared, &text, place).map(Value::String),
            other => Err(mismatch(place, &format!("a member of {}", edm.qualified(name)), &other)),
        };
    }
    match value {
        Value::Object(given) => object(edm, name, given, place).map(Value::Object),
        other => Err(mismatch(place, &format!("an object of type {}", edm.qualified(name)), &other)),
    }
}

/// Returns a member, or for a flags enum several separated by commas, in the model's spelling. The
/// placeholder for members that a client does not know is refused: it would replace what it stands
/// for.
fn member(declared: &Enum, text: &str, place: &BodyPath<'_>) -> Result<String, GraphError> {
    let spelled = |name: &str| {
        let known = declared.member(name.trim());
        known.filter(|known| *known != UNKNOWN_FUTURE_VALUE).ok_or_else(|| {
            let real = declared.members.iter().map(String::as_str).filter(|member| *member != UNKNOWN_FUTURE_VALUE);
            let (own, members) = (&declared.name, real.collect::<Vec<_>>().join(", "));
            wrong(
                place,
                match known {
                    None => format!("'{name}' is not a member of {own}; its members are {members}."),
                    Some(_) => {
                        format!("'{name}' is a placeholder, and cannot be written; the members of {own} are {members}.")
                    }
                },
            )
        })
    };
    if !declared.flags {
        return spelled(text).map(str::to_owned);
    }
    let members: Vec<&str> = text.split(',').map(spelled).collect::<Result<_, _>>()?;
    Ok(members.join(","))
}

fn wrong(place: &BodyPath<'_>, message: impl Into<String>) -> GraphError {
    GraphError::bad_request(message).about(place.to_string())
}

fn mismatch(place: &BodyPath<'_>, expected: &str, given: &Value) -> GraphError {
    wrong(place, format!("The property '{place}' must be {expected}, but is {}.", named(given)))
}

/// Describes a value without revealing a string, which may be a secret.
fn named(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
