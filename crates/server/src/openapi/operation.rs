//! One operation: its parameters, permissions, body and answers.

use cloudpc_graph::edm::{BodyShape, Property, ResponseShape, TextKind};
use cloudpc_graph::{Edm, Method, Operation, OperationKind, options};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::schema::{Schemas, closed, or_null, reference_to};
use super::{ME, Served};
use crate::documents::{self, Fact, Verb};
use crate::operations;
use crate::rbac::{Requirement, requirement};

const JSON: &str = "application/json";

/// Errors that every operation can answer.
const ALWAYS: [u16; 9] = [400, 401, 403, 406, 414, 421, 429, 500, 503];

/// Returns the description of an operation.
pub(super) fn describe(edm: &'static Edm, served: &Served, schemas: &mut Schemas) -> Value {
    let operation = served.operation;
    let mut described = json!({
        "operationId": operation_id(served),
        "tags": [operation.key.split('.').next()],
        "security": security(served),
        "parameters": parameters(edm, served),
        "responses": responses(operation, schemas),
    });
    if let Some(body) = body(operation, schemas) {
        described["requestBody"] = body;
    }
    if let Some(Requirement::Scoped(action) | Requirement::Unscoped(action)) = requirement(&operation.key) {
        described["description"] = format!("A signed-in user needs a role with `{action}`.").into();
    }
    if operation.deprecation.is_some() {
        described["deprecated"] = true.into();
    }
    described
}

/// Returns the operation's key: after the root of its path if that is not the usual one, and before
/// the names of an alternate key.
fn operation_id(served: &Served) -> String {
    let operation = served.operation;
    let mut id = operation.key.clone();
    let root = if served.path.starts_with(ME) { "me" } else { "users" };
    if served.is_of_user() && !(root == "users" && id.starts_with("users.")) {
        id.insert_str(0, &format!("{root}."));
    }
    if operation.kind == OperationKind::Get {
        id.extend(operation.parameters.iter().map(|alternate| format!(".by.{}", alternate.name)));
    }
    id
}

fn security(served: &Served) -> Value {
    let access = served.row.access;
    let application = access.application_on_users || !served.is_of_user();
    let of = |scheme: &'static str, permissions: &[&str]| {
        permissions.iter().map(|name| json!({ scheme: [name] })).collect::<Vec<_>>()
    };
    let mut alternatives = of("delegated", access.delegated);
    if application {
        alternatives.extend(of("application", access.application));
    }
    alternatives.into()
}

fn parameters(edm: &'static Edm, served: &Served) -> Value {
    let operation = served.operation;
    let mut parameters: Vec<Value> = path_parameters(served).collect();
    let kind = documents::binding(&operation.key).map(|binding| binding.kind);
    let expands = options::expandable(edm, operation, kind.map_or(&[][..], |kind| kind.expands));
    for option in options::supported(operation) {
        match option {
            "select" => parameters.extend(select(edm, operation)),
            "orderby" => parameters.extend(orderby(edm, operation)),
            "expand" if expands.is_empty() => {}
            "expand" => parameters.push(words("$expand", expands.iter().map(|own| own.name.clone()))),
            // Every list takes `$format`, which has one value.
            "format" => {}
            shared => parameters.push(json!({ "$ref": format!("#/components/parameters/{shared}") })),
        }
    }
    if takes_prefer(operation) {
        parameters.push(json!({ "$ref": "#/components/parameters/prefer" }));
    }
    if takes_if_match(operation) {
        parameters.push(json!({ "$ref": "#/components/parameters/ifMatch" }));
    }
    parameters.into()
}

fn path_parameters(served: &Served) -> impl Iterator<Item = Value> {
    let names = served.path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    names.map(|name| {
        let argument = served.operation.parameters.iter().find(|own| own.name == name);
        let schema = argument.map_or_else(key, argument_schema);
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    })
}

/// Keys have no control characters.
fn key() -> Value {
    json!({ "type": "string", "minLength": 1, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$" })
}

fn argument_schema(argument: &Property) -> Value {
    match argument.type_ref.name.as_str() {
        "Edm.Boolean" => json!({ "type": "boolean" }),
        _ if TextKind::of(&argument.name) == TextKind::Guid => json!({ "type": "string", "format": "uuid" }),
        // A quote within the quotes is written twice.
        _ => json!({ "type": "string", "pattern": "^([^'\\u0000-\\u001f\\u007f-\\u009f]|'')*$" }),
    }
}

fn select(edm: &'static Edm, operation: &Operation) -> Option<Value> {
    let declared = edm.type_named(operation.item_type.as_deref()?)?;
    let names = declared.properties.iter().filter(|own| !own.type_ref.navigation).map(|own| own.name.clone());
    Some(words("$select", std::iter::once("*".to_owned()).chain(names)))
}

fn orderby(edm: &'static Edm, operation: &Operation) -> Option<Value> {
    let declared = edm.type_named(operation.item_type.as_deref()?)?;
    let kind = documents::binding(&operation.key).map(|binding| binding.kind);
    let is_secret = |own: &Property| {
        kind.is_some_and(|kind| kind.facts.iter().any(|fact| matches!(fact, Fact::Secret(name) if *name == own.name)))
    };
    let sortable = declared.properties.iter().filter(|own| options::sortable(edm, &own.type_ref) && !is_secret(own));
    Some(words("$orderby", sortable.flat_map(|own| [own.name.clone(), format!("{} desc", own.name)])))
}

/// Returns a query parameter that takes several words between commas. `$select` takes one twice.
fn words(name: &str, words: impl Iterator<Item = String>) -> Value {
    let words: Vec<_> = words.collect();
    let unique = name != "$select";
    json!({
        "name": name,
        "in": "query",
        "style": "form",
        "explode": false,
        "schema": { "type": "array", "minItems": 1, "uniqueItems": unique, "items": { "type": "string", "enum": words } },
    })
}

/// Returns the parameters that several operations share.
pub(super) fn shared_parameters() -> Value {
    let query = |name: &str, schema: Value| json!({ "name": name, "in": "query", "schema": schema });
    let header = |name: &str, description: &str| json!({ "name": name, "in": "header", "description": description, "schema": { "type": "string" } });
    json!({
        "filter": query("$filter", json!({ "type": "string" })),
        "search": query("$search", json!({ "type": "string" })),
        "top": query("$top", json!({ "type": "integer", "minimum": 1 })),
        "skip": query("$skip", json!({ "type": "integer", "minimum": 0 })),
        "count": query("$count", json!({ "type": "boolean" })),
        "skiptoken": query("$skiptoken", json!({ "type": "string", "description": "From `@odata.nextLink`." })),
        "deltatoken": query("$deltatoken", json!({ "type": "string", "description": "From `@odata.deltaLink`." })),
        "prefer": header("Prefer", "`return=minimal`: no body in the answer."),
        "ifMatch": header("If-Match", "The entity tag of the state that may be changed."),
    })
}

/// Whether the answer shows a new or changed entity, which clients may decline.
fn takes_prefer(operation: &Operation) -> bool {
    operations::success_status(operation) == 201 || is_shown_update(operation)
}

fn is_shown_update(operation: &Operation) -> bool {
    let is_update = documents::binding(&operation.key).is_some_and(|binding| binding.verb == Verb::Update);
    (is_update || operation.kind == OperationKind::Update) && operation.response != ResponseShape::None
}

fn takes_if_match(operation: &Operation) -> bool {
    documents::binding(&operation.key).is_some_and(|binding| matches!(binding.verb, Verb::Update | Verb::Delete))
}

fn body(operation: &Operation, schemas: &mut Schemas) -> Option<Value> {
    let (schema, required) = match &operation.body {
        BodyShape::None => return None,
        BodyShape::Parameters(parameters) => {
            // Null counts as omitted.
            let of = |(name, type_ref): (&String, _)| (name.clone(), or_null(schemas.of(type_ref)));
            (closed(parameters.iter().map(of).collect()), false)
        }
        BodyShape::Type(name) => (with_required(operation, schemas.named(name)), true),
    };
    Some(json!({ "required": required, "content": { JSON: { "schema": schema } } }))
}

/// Adds the properties that a new document must have.
fn with_required(operation: &Operation, schema: Value) -> Value {
    let Some(binding) = documents::binding(&operation.key).filter(|binding| binding.verb == Verb::Create) else {
        return schema;
    };
    let required = binding.kind.facts.iter().filter_map(|fact| match fact {
        Fact::Required(name) if !name.contains('/') => Some(*name),
        _ => None,
    });
    let required: Vec<_> = required.collect();
    if required.is_empty() { schema } else { json!({ "allOf": [schema, { "required": required }] }) }
}

fn responses(operation: &Operation, schemas: &mut Schemas) -> Value {
    let status = operations::success_status(operation);
    let mut responses = Map::new();
    let mut success = json!({ "description": "Success" });
    if let Some((media_type, schema)) = content(operation, schemas) {
        success["content"] = json!({ media_type: { "schema": schema } });
    }
    responses.insert(status.to_string(), success);
    if takes_prefer(operation) {
        responses.insert("204".into(), json!({ "description": "Success, with `Prefer: return=minimal`" }));
    }
    for status in failure_statuses(operation) {
        responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{status}") }));
    }
    responses.into()
}

/// Returns the media type and schema of the answer; none if it has no body.
fn content(operation: &Operation, schemas: &mut Schemas) -> Option<(&'static str, Value)> {
    Some(match &operation.response {
        ResponseShape::None => return None,
        _ if operation.kind == OperationKind::Count => ("text/plain", json!({ "type": "integer", "minimum": 0 })),
        ResponseShape::Entity(name) | ResponseShape::Complex(name) => (JSON, schemas.named(name)),
        ResponseShape::Collection(name) => (JSON, schemas.collection(name)),
        ResponseShape::Primitive(name) => {
            let value = schemas.named(name);
            (JSON, closed([("value".to_owned(), value)].into_iter().collect()))
        }
        ResponseShape::Stream if operation.key == "cloudPC.screenshot" => ("image/png", json!({})),
        ResponseShape::Stream => (JSON, reference_to("report")),
    })
}

/// Returns the statuses of the errors that an operation can answer.
fn failure_statuses(operation: &Operation) -> Vec<u16> {
    let mut statuses = ALWAYS.to_vec();
    let is_read = operation.method == Method::Get;
    if operation.path.contains('{') || !is_read {
        statuses.push(404);
    }
    if !is_read || operation.kind == OperationKind::Function || operation.response == ResponseShape::Stream {
        statuses.push(409);
    }
    if matches!(operation.method, Method::Post | Method::Patch | Method::Put) {
        statuses.extend([408, 413, 415]);
    }
    if takes_if_match(operation) {
        statuses.push(412);
    }
    // Changes and messages are kept for a while.
    let expires = operation.key == "webhook.replay";
    if expires || options::supported(operation).any(|option| option == "deltatoken") {
        statuses.push(410);
    }
    statuses
}

/// Returns the responses of errors, by status.
pub(super) fn failures() -> Value {
    let reason = |status: u16| http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let response = |status: u16| {
        let mut response = json!({
            "description": reason(status).unwrap_or_default(),
            "content": { JSON: { "schema": reference_to("error") } },
        });
        let header = match status {
            401 => "WWW-Authenticate",
            429 | 503 => "Retry-After",
            _ => return (status.to_string(), response),
        };
        response["headers"] = json!({ header: { "schema": { "type": "string" } } });
        (status.to_string(), response)
    };
    let others = [404, 408, 409, 410, 412, 413, 415];
    ALWAYS.into_iter().chain(others).map(response).collect::<BTreeMap<_, _>>().into_iter().collect::<Map<_, _>>().into()
}
