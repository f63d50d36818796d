//! Loading an [`Edm`] from the contract files.
//!
//! The files are compiled in, so errors in them fail the first test that loads them, and never a
//! running service.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{
    BodyShape, Deprecation, Edm, Enum, GRAPH_NAMESPACE, MONITORING_NAMESPACE, OWN_NAMESPACE, Operation, OperationKind,
    Property, ResponseShape, Type, TypeKind, TypeRef, Version,
};
use crate::Method;
use crate::resolve::Trie;

const V1_OPERATIONS: &str = include_str!("../../../../contract/operations.v1.json");
const V1_TYPES: &str = include_str!("../../../../contract/types.v1.json");
const BETA_OPERATIONS: &str = include_str!("../../../../contract/operations.beta.json");
const BETA_TYPES: &str = include_str!("../../../../contract/types.beta.json");
/// Operations and types that Graph has, that clients of Cloud PCs use, and that its Cloud PC API
/// does not describe: the directory, maintenance windows, setting profiles and webhooks.
const OBSERVED: &str = include_str!("../../../../contract/observed.json");
/// Alert rules and records, which Graph has in a namespace of their own.
const MONITORING: &str = include_str!("../../../../contract/monitoring.json");
const EXTENSIONS: &str = include_str!("../../../../contract/extensions.json");

#[derive(Deserialize)]
struct OperationsFile {
    operations: Vec<RawOperation>,
}

#[derive(Deserialize)]
struct TypesFile {
    types: BTreeMap<String, RawType>,
    enums: BTreeMap<String, RawEnum>,
}

/// Members of Graph's enums that have a newer name, by enum and old name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenamedFile {
    renamed_members: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawOperation {
    /// Versions that have the operation. Only in `OBSERVED`, `MONITORING` and the extensions; each
    /// other file covers one version.
    #[serde(default)]
    api: Vec<String>,
    kind: OperationKind,
    method: Method,
    path: String,
    #[serde(default)]
    parameters: BTreeMap<String, RawTypeRef>,
    #[serde(default)]
    query: Vec<String>,
    body: Option<RawShape>,
    response: RawShape,
    deprecated: Option<RawDeprecation>,
}

/// A deprecation that Microsoft has announced. Some have no dates.
#[derive(Deserialize)]
struct RawDeprecation {
    date: Option<jiff::civil::Date>,
    removal: Option<jiff::civil::Date>,
}

#[derive(Deserialize)]
struct RawShape {
    kind: ShapeKind,
    #[serde(rename = "type")]
    type_name: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, RawTypeRef>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum ShapeKind {
    None,
    Entity,
    Complex,
    Collection,
    Primitive,
    Stream,
    Parameters,
}

#[derive(Deserialize)]
struct RawType {
    kind: TypeKind,
    base: Option<String>,
    #[serde(default, rename = "abstract")]
    is_abstract: bool,
    #[serde(default)]
    key: Vec<String>,
    properties: BTreeMap<String, RawTypeRef>,
}

#[derive(Deserialize)]
struct RawTypeRef {
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    collection: bool,
    nullable: Option<bool>,
    #[serde(default)]
    navigation: bool,
}

#[derive(Deserialize)]
struct RawEnum {
    #[serde(default)]
    flags: bool,
    members: Vec<String>,
}

/// Builds the model of a version.
pub(super) fn load(version: Version) -> Edm {
    let (operations, types) = match version {
        Version::V1 => (V1_OPERATIONS, V1_TYPES),
        Version::Beta => (BETA_OPERATIONS, BETA_TYPES),
    };
    let (graph, own): (OperationsFile, OperationsFile) = (read(operations), read(EXTENSIONS));
    let observed = [OBSERVED, MONITORING].into_iter().flat_map(|file| read::<OperationsFile>(file).operations);
    let here = |raw: &RawOperation| raw.api.iter().any(|api| api == version.segment());
    let of_graph = graph.operations.into_iter().chain(observed.filter(here));
    let all: Vec<(RawOperation, bool)> = of_graph
        .map(|raw| (raw, false))
        .chain(own.operations.into_iter().filter(here).map(|raw| (raw, true)))
        .collect();

    let (mut graph_types, observed_types): (TypesFile, TypesFile) = (read(types), read(OBSERVED));
    let (monitoring_types, own_types): (TypesFile, TypesFile) = (read(MONITORING), read(EXTENSIONS));
    for (name, raw) in observed_types.types {
        let earlier = graph_types.types.insert(name.clone(), raw);
        assert!(earlier.is_none(), "{name} is declared twice");
    }
    for (name, raw) in observed_types.enums {
        let earlier = graph_types.enums.insert(name.clone(), raw);
        assert!(earlier.is_none(), "{name} is declared twice");
    }
    let own_enums: RenamedFile = read(EXTENSIONS);
    let mut edm =
        Edm { version, operations: Vec::new(), types: BTreeMap::new(), enums: BTreeMap::new(), trie: Trie::default() };
    for (file, namespace) in
        [(&graph_types, GRAPH_NAMESPACE), (&monitoring_types, MONITORING_NAMESPACE), (&own_types, OWN_NAMESPACE)]
    {
        for name in file.types.keys() {
            let earlier = edm.types.insert(name.clone(), read_type(name, namespace, &file.types));
            assert!(earlier.is_none(), "{name} is declared in two namespaces");
        }
        for (name, raw) in &file.enums {
            let renamed = own_enums.renamed_members.get(name).cloned().unwrap_or_default();
            let read = Enum { name: name.clone(), namespace, flags: raw.flags, members: raw.members.clone(), renamed };
            let earlier = edm.enums.insert(name.clone(), read);
            assert!(earlier.is_none(), "{name} is declared in two namespaces");
        }
    }

    let names = Names::of(&all, &edm.types);
    edm.operations = all.into_iter().map(|(raw, extension)| read_operation(raw, extension, &names)).collect();
    let mut operations = std::mem::take(&mut edm.operations);
    for operation in &mut operations {
        let derived = operation.item_type.as_deref().and_then(|name| edm.sole_derived(name)).map(str::to_owned);
        if derived.is_some() {
            operation.item_type = derived;
        }
    }
    edm.operations = operations;
    edm.trie = Trie::of(&edm.operations);
    edm
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> T {
    serde_json::from_str(text).expect("the contract files are well-formed")
}

fn read_type(name: &str, namespace: &'static str, file: &BTreeMap<String, RawType>) -> Type {
    let raw = &file[name];
    let mut properties = match &raw.base {
        Some(base) => read_type(base, namespace, file).properties,
        None => Vec::new(),
    };
    let inherited = properties.len();
    properties
        .extend(raw.properties.iter().map(|(name, raw)| Property { name: name.clone(), type_ref: read_type_ref(raw) }));
    Type {
        name: name.to_owned(),
        namespace,
        kind: raw.kind,
        base: raw.base.clone(),
        is_abstract: raw.is_abstract,
        key: raw.key.clone(),
        properties,
        inherited,
    }
}

fn read_type_ref(raw: &RawTypeRef) -> TypeRef {
    TypeRef {
        name: type_name(&raw.type_name),
        collection: raw.collection,
        // OData's default, except that a collection is never null itself.
        nullable: raw.nullable.unwrap_or(!raw.collection),
        navigation: raw.navigation,
    }
}

/// Maps the contract's names of numeric types without a width.
fn type_name(name: &str) -> String {
    match name {
        "integer" => "Edm.Int32".into(),
        "number" => "Edm.Double".into(),
        name => name.into(),
    }
}

fn read_operation(raw: RawOperation, extension: bool, names: &Names) -> Operation {
    let (key, binding) = (names.key(&raw), names.binding(&raw));
    let response_type = raw.response.type_name.as_deref().map(type_name);
    let response = match (raw.response.kind, response_type.clone()) {
        (ShapeKind::Entity, Some(name)) => ResponseShape::Entity(name),
        (ShapeKind::Complex, Some(name)) => ResponseShape::Complex(name),
        (ShapeKind::Collection, Some(name)) => ResponseShape::Collection(name),
        (ShapeKind::Primitive, Some(name)) => ResponseShape::Primitive(name),
        (ShapeKind::Stream, _) => ResponseShape::Stream,
        (ShapeKind::None, _) => ResponseShape::None,
        _ => panic!("{} has an invalid response", raw.path),
    };
    let body = match raw.body {
        None => BodyShape::None,
        Some(shape) if shape.kind == ShapeKind::Parameters => BodyShape::Parameters(
            shape.parameters.iter().map(|(name, raw)| (name.clone(), read_type_ref(raw))).collect(),
        ),
        Some(shape) => BodyShape::Type(shape.type_name.expect("a body without parameters has a type")),
    };
    let item_type = match (raw.kind, raw.response.kind) {
        (OperationKind::Count, _) => names.collections.get(owner_of(&raw.path)).cloned(),
        (_, ShapeKind::Entity | ShapeKind::Complex | ShapeKind::Collection) => response_type,
        _ => None,
    };
    let parameters = parameters_of(&raw.path).map(|name| {
        let declared = raw.parameters.get(name).expect("the operation declares the parameters in its path");
        Property { name: name.to_owned(), type_ref: read_type_ref(declared) }
    });
    Operation {
        key,
        parameters: parameters.collect(),
        binding,
        path: raw.path,
        kind: raw.kind,
        method: raw.method,
        query: raw.query,
        body,
        response,
        item_type,
        extension,
        deprecation: raw.deprecated.and_then(|raw| Some(Deprecation { since: raw.date?, sunset: raw.removal? })),
    }
}

/// Returns the parameter names in the parentheses at the end of a path, in order.
fn parameters_of(path: &str) -> impl Iterator<Item = &str> {
    let arguments = path.split_once('(').map_or("", |(_, arguments)| arguments);
    arguments.split(',').filter_map(|part| part.split_once('=')).map(|(name, _)| name)
}

/// Returns the path without its last segment.
fn owner_of(path: &str) -> &str {
    path.rsplit_once('/').expect("a path begins with a slash").0
}

/// Names from which the keys of operations are built.
struct Names {
    /// Element type of each collection, by path.
    collections: BTreeMap<String, String>,
    /// Type of each single resource, by path.
    resources: BTreeMap<String, String>,
    /// Element types of several collections with different names.
    shared: BTreeSet<String>,
    /// Names of all entity types.
    keyed: BTreeSet<String>,
}

impl Names {
    fn of(operations: &[(RawOperation, bool)], types: &BTreeMap<String, Type>) -> Self {
        let mut collections = BTreeMap::new();
        let mut resources = BTreeMap::new();
        for (raw, _) in operations {
            let element = match raw.kind {
                OperationKind::List | OperationKind::Get => raw.response.type_name.as_ref(),
                OperationKind::Create => raw.body.as_ref().and_then(|body| body.type_name.as_ref()),
                _ => None,
            };
            let Some(element) = element else { continue };
            let map = if raw.kind == OperationKind::Get { &mut resources } else { &mut collections };
            map.insert(raw.path.clone(), element.clone());
        }
        let mut segments: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (path, element) in &collections {
            segments.entry(element).or_default().insert(last_of(path));
        }
        let shared = segments.iter().filter(|(_, names)| names.len() > 1).map(|(&name, _)| name.to_owned()).collect();
        let keyed = types.values().filter(|declared| declared.kind == TypeKind::Entity);
        Self { shared, keyed: keyed.map(|declared| declared.name.clone()).collect(), collections, resources }
    }

    fn key(&self, raw: &RawOperation) -> String {
        let (owner, verb) = match raw.kind {
            OperationKind::Action | OperationKind::Function => {
                let call = last_of(&raw.path).trim_start_matches("cloudpc.");
                (owner_of(&raw.path), call.split('(').next().expect("splitting gives at least one part"))
            }
            OperationKind::Count => (owner_of(&raw.path), "count"),
            OperationKind::List => (raw.path.as_str(), "list"),
            OperationKind::Get => (raw.path.as_str(), "get"),
            OperationKind::Create => (raw.path.as_str(), "create"),
            OperationKind::Update => (raw.path.as_str(), "update"),
            OperationKind::Delete => (raw.path.as_str(), "delete"),
        };
        // What is added and removed by reference is named like its collection.
        let owner = owner.strip_suffix("/$ref").unwrap_or(owner);
        format!("{}.{verb}", self.noun(owner))
    }

    /// Returns the first part of the key of an operation on `owner`.
    fn noun<'a>(&'a self, owner: &'a str) -> &'a str {
        let last = last_of(owner);
        let (collection, element) = match key_type(last) {
            Some(element) => (owner_of(owner), Some(element)),
            None => (owner, self.collections.get(owner).map(String::as_str)),
        };
        match element {
            Some(element) if self.shared.contains(element) => last_of(collection),
            Some(element) => element,
            None if self.keyed.contains(last) => self.resources.get(owner).map_or(last, String::as_str),
            None => last.split('(').next().expect("splitting gives at least one part"),
        }
    }

    /// Returns the binding parameter of an action or function.
    fn binding(&self, raw: &RawOperation) -> Option<TypeRef> {
        if !matches!(raw.kind, OperationKind::Action | OperationKind::Function) {
            return None;
        }
        let owner = owner_of(&raw.path);
        let element = self.collections.get(owner);
        let name =
            element.or_else(|| self.resources.get(owner)).map(String::as_str).or_else(|| key_type(last_of(owner)));
        let name = name.unwrap_or_else(|| panic!("{} has an unknown binding parameter", raw.path)).to_owned();
        Some(TypeRef { name, collection: element.is_some(), nullable: false, navigation: false })
    }
}

/// Returns the type of a key segment such as `{cloudPC-id}`; none for other segments.
fn key_type(segment: &str) -> Option<&str> {
    let key = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(key.rsplit_once("-id").expect("a key is named after its type").0)
}

/// Returns the last segment of a path.
fn last_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, last)| last)
}
