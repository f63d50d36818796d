//! Types and enums of the model as JSON Schema, those that are referred to.

use cloudpc_graph::edm::{Enum, Property, Type};
use cloudpc_graph::{Edm, TypeRef, options};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::Served;
use crate::documents::{self, DocumentKind, Fact, KINDS};
use crate::pipeline::CODES;

/// Annotations may be added to any object.
const ANNOTATIONS: &str = "@";
const TYPE_ANNOTATION: &str = "@odata.type";

/// The schemas of a description. A type is added with the first reference to it.
pub(super) struct Schemas {
    edm: &'static Edm,
    /// The names and types of navigation properties that some answer has.
    expanded: BTreeSet<(&'static str, &'static str)>,
    components: BTreeMap<String, Value>,
}

impl Schemas {
    /// Returns the schemas of what these operations take and return.
    pub(super) fn new(edm: &'static Edm, served: &[Served]) -> Self {
        let own = [("error", error()), ("report", report())];
        let expands = |served: &Served| {
            let kind = documents::binding(&served.operation.key).map(|binding| binding.kind);
            options::expandable(edm, served.operation, kind.map_or(&[][..], |kind| kind.expands))
        };
        let expanded = served.iter().flat_map(expands).map(|own| (own.name.as_str(), own.type_ref.name.as_str()));
        Self {
            edm,
            expanded: expanded.collect(),
            components: own.map(|(name, schema)| (name.to_owned(), schema)).into(),
        }
    }

    pub(super) fn finish(self) -> BTreeMap<String, Value> {
        self.components
    }

    /// Returns the schema of a property or parameter.
    pub(super) fn of(&mut self, type_ref: &TypeRef) -> Value {
        let single = self.named(&type_ref.name);
        match (type_ref.collection, type_ref.nullable) {
            (true, _) => json!({ "type": "array", "items": single }),
            (false, true) => or_null(single),
            (false, false) => single,
        }
    }

    /// Returns the schema of a value of this type.
    pub(super) fn named(&mut self, name: &str) -> Value {
        if name.starts_with("Edm.") {
            return primitive(name);
        }
        if let Some(declared) = self.edm.enum_named(name) {
            return self.reference(name, |_| enumeration(declared));
        }
        // The contract names some types without describing them.
        let Some(declared) = self.edm.type_named(name) else { return json!({ "type": "object" }) };
        if let Some(derived) = self.edm.sole_derived(name) {
            return self.named(derived);
        }
        let edm = self.edm;
        let is_one = |other: &&Type| other.name == *name || edm.is_a(&other.name, name);
        let mut concrete: Vec<_> = edm.types.values().filter(is_one).filter(|other| !other.is_abstract).collect();
        if concrete.is_empty() {
            // The contract has no value of this type.
            concrete.push(declared);
        }
        let references: Vec<_> =
            concrete.iter().map(|other| self.reference(&other.name, |schemas| schemas.structured(other))).collect();
        match <[Value; 1]>::try_from(references) {
            Ok([reference]) => reference,
            Err(references) if declared.is_abstract => {
                json!({ "anyOf": references, "discriminator": self.discriminator(&concrete) })
            }
            Err(references) => json!({ "anyOf": references }),
        }
    }

    /// Returns the schema of a page of a collection.
    pub(super) fn collection(&mut self, item: &str) -> Value {
        let name = format!("{}CollectionResponse", self.edm.qualified(item));
        let items = self.named(item);
        let page = json!({
            "type": "object",
            "required": ["value"],
            "properties": {
                "@odata.context": { "type": "string" },
                "@odata.count": { "type": "integer" },
                "@odata.nextLink": { "type": "string", "format": "uri" },
                "@odata.deltaLink": { "type": "string", "format": "uri" },
                "value": { "type": "array", "items": items },
            },
            "patternProperties": { ANNOTATIONS: {} },
            "additionalProperties": false,
        });
        let reference = reference_to(&name);
        self.components.insert(name, page);
        reference
    }

    /// Adds a schema, unless it is there, and returns a reference to it.
    fn reference(&mut self, name: &str, schema: impl FnOnce(&mut Self) -> Value) -> Value {
        let name = self.edm.qualified(name);
        if !self.components.contains_key(&name) {
            // Types refer to themselves.
            self.components.insert(name.clone(), Value::Null);
            let schema = schema(self);
            self.components.insert(name.clone(), schema);
        }
        reference_to(&name)
    }

    fn structured(&mut self, declared: &'static Type) -> Value {
        let kind = KINDS.iter().copied().find(|kind| kind.type_name(self.edm) == declared.name);
        let is_sent = |property: &&Property| {
            let (name, of_type) = (property.name.as_str(), property.type_ref.name.as_str());
            !property.type_ref.navigation || self.expanded.contains(&(name, of_type))
        };
        let mut properties = Map::new();
        properties.insert(TYPE_ANNOTATION.into(), json!({ "const": self.type_annotation(declared) }));
        let sent: Vec<_> = declared.properties.iter().filter(is_sent).collect();
        for property in sent {
            let mut schema = self.of(&property.type_ref);
            if property.type_ref.navigation {
                schema["readOnly"] = true.into();
            }
            if let Some(kind) = kind {
                add_facts(kind, &property.name, &mut schema);
            }
            properties.insert(property.name.clone(), schema);
        }
        closed(properties)
    }

    fn discriminator(&self, concrete: &[&'static Type]) -> Value {
        let reference = |declared: &&Type| {
            (self.type_annotation(declared), format!("#/components/schemas/{}", self.edm.qualified(&declared.name)))
        };
        let mapping: BTreeMap<_, _> = concrete.iter().map(reference).collect();
        json!({ "propertyName": TYPE_ANNOTATION, "mapping": mapping })
    }

    fn type_annotation(&self, declared: &Type) -> String {
        format!("#{}", self.edm.qualified(&declared.name))
    }
}

/// Returns the schema of an object with these properties and annotations.
pub(super) fn closed(properties: Map<String, Value>) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { ANNOTATIONS: {} },
        "additionalProperties": false,
    })
}

/// Returns the schema of a value that may be null.
pub(super) fn or_null(schema: Value) -> Value {
    match schema.get("type").and_then(Value::as_str).map(str::to_owned) {
        Some(of) => {
            let mut schema = schema;
            schema["type"] = json!([of, "null"]);
            schema
        }
        None if schema.as_object().is_some_and(Map::is_empty) => schema,
        None => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

pub(super) fn reference_to(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Returns the schema of a primitive type, as the OData working group maps it.
fn primitive(name: &str) -> Value {
    match name {
        "Edm.Boolean" => json!({ "type": "boolean" }),
        "Edm.Int32" => json!({ "type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX }),
        "Edm.Int64" => json!({ "type": "integer", "format": "int64" }),
        "Edm.Double" => json!({ "anyOf": [{ "type": "number" }, { "enum": ["-INF", "INF", "NaN"] }] }),
        "Edm.Guid" => json!({ "type": "string", "format": "uuid" }),
        "Edm.Date" => json!({ "type": "string", "format": "date" }),
        "Edm.DateTimeOffset" => json!({ "type": "string", "format": "date-time" }),
        // JSON Schema's format requires a zone.
        "Edm.TimeOfDay" => {
            json!({ "type": "string", "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?$" })
        }
        "Edm.String" => json!({ "type": "string" }),
        _ => json!({}),
    }
}

fn enumeration(declared: &Enum) -> Value {
    if declared.flags {
        let members = declared.members.join("|");
        return json!({ "type": "string", "pattern": format!("^({members})(,({members}))*$") });
    }
    json!({ "type": "string", "enum": declared.members })
}

/// Adds what the descriptor of a kind of document says of a property.
fn add_facts(kind: &DocumentKind, name: &str, schema: &mut Value) {
    if kind.sets(name) {
        schema["readOnly"] = true.into();
    }
    for fact in kind.facts {
        match *fact {
            Fact::Default(at, value) if at == name => schema["default"] = value.value(),
            Fact::CharsMax(at, most) if at == name => schema["maxLength"] = most.into(),
            Fact::Secret(at) if at == name => schema["writeOnly"] = true.into(),
            Fact::Range(at, least, most) if at == name => {
                schema["minimum"] = least.into();
                schema["maximum"] = most.into();
            }
            _ => {}
        }
    }
}

fn error() -> Value {
    let text = json!({ "type": "string" });
    let inner = json!({
        "type": "object",
        "required": ["date", "request-id", "client-request-id"],
        "properties": { "date": text, "request-id": text, "client-request-id": text },
    });
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "innerError"],
                "properties": {
                    "code": { "type": "string", "enum": CODES },
                    "message": text,
                    "target": text,
                    "innerError": inner,
                },
            },
        },
        "additionalProperties": false,
    })
}

fn report() -> Value {
    let column = json!({
        "type": "object",
        "required": ["Column", "PropertyType"],
        "properties": { "Column": { "type": "string" }, "PropertyType": { "type": "string" } },
    });
    json!({
        "type": "object",
        "required": ["TotalRowCount", "Schema", "Values"],
        "properties": {
            "TotalRowCount": { "type": "integer" },
            "Schema": { "type": "array", "items": column },
            "Values": { "type": "array", "items": { "type": "array", "items": {} } },
        },
        "patternProperties": { ANNOTATIONS: {} },
        "additionalProperties": false,
    })
}
