//! `$metadata`: the model as CSDL XML, with cloudpc's own schema.
//!
//! The contract names some types without describing them. Properties of such types are omitted, so
//! that every referenced type is declared. The types of the service root (`deviceManagement`,
//! `roleManagement`) are in no contract file: they are derived from the paths below them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, Event};

use crate::edm::{
    BodyShape, Enum, GRAPH_NAMESPACE, MONITORING_NAMESPACE, OWN_NAMESPACE, Property, ResponseShape, Type, TypeKind,
    TypeRef,
};
use crate::{Edm, Operation, OperationKind};

type Xml = Writer<Vec<u8>>;

/// Returns the document.
pub fn render(edm: &Edm) -> String {
    let mut xml = Writer::new(Vec::new());
    write(&mut xml, edm).expect("writing to memory does not fail");
    String::from_utf8(xml.into_inner()).expect("names are UTF-8")
}

fn write(xml: &mut Xml, edm: &Edm) -> io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    let edmx = xml.create_element("edmx:Edmx");
    edmx.with_attributes([("Version", "4.0"), ("xmlns:edmx", "http://docs.oasis-open.org/odata/ns/edmx")])
        .write_inner_content(|xml| {
            xml.create_element("edmx:DataServices").write_inner_content(|xml| {
                schema(xml, edm, GRAPH_NAMESPACE)?;
                schema(xml, edm, MONITORING_NAMESPACE)?;
                schema(xml, edm, OWN_NAMESPACE)
            })?;
            Ok(())
        })?;
    Ok(())
}

fn schema(xml: &mut Xml, edm: &Edm, namespace: &str) -> io::Result<()> {
    let element = xml.create_element("Schema");
    element
        .with_attributes([("Namespace", namespace), ("xmlns", "http://docs.oasis-open.org/odata/ns/edm")])
        .write_inner_content(|xml| {
            for declared in edm.enums.values().filter(|declared| declared.namespace == namespace) {
                enumeration(xml, declared)?;
            }
            for declared in edm.types.values().filter(|declared| declared.namespace == namespace) {
                structured(xml, edm, declared)?;
            }
            let roots = roots(edm);
            if namespace == GRAPH_NAMESPACE {
                for (root, resources) in &roots {
                    root_type(xml, edm, root, resources)?;
                }
            }
            if namespace != MONITORING_NAMESPACE {
                bound(xml, edm, namespace)?;
            }
            if namespace == GRAPH_NAMESPACE {
                container(xml, edm, roots.keys())?;
            }
            Ok(())
        })?;
    Ok(())
}

fn enumeration(xml: &mut Xml, declared: &Enum) -> io::Result<()> {
    let mut element = xml.create_element("EnumType").with_attribute(("Name", declared.name.as_str()));
    if declared.flags {
        element = element.with_attribute(("IsFlags", "true"));
    }
    element.write_inner_content(|xml| {
        for (place, member) in declared.members.iter().enumerate() {
            // In a flags enum, the member "none" is 0, and every other member is one bit.
            let empty_first = declared.members[0] == "none";
            let value = match (declared.flags, empty_first) {
                (false, _) => place,
                (true, false) => 1 << place,
                (true, true) => (1 << place) >> 1,
            };
            let element = xml.create_element("Member");
            element.with_attributes([("Name", member.as_str()), ("Value", &value.to_string())]).write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}

fn structured(xml: &mut Xml, edm: &Edm, declared: &Type) -> io::Result<()> {
    let name = match declared.kind {
        TypeKind::Entity => "EntityType",
        TypeKind::Complex => "ComplexType",
    };
    let mut element = xml.create_element(name).with_attribute(("Name", declared.name.as_str()));
    if let Some(base) = &declared.base {
        element = element.with_attribute(("BaseType", edm.qualified(base).as_str()));
    }
    if declared.is_abstract {
        element = element.with_attribute(("Abstract", "true"));
    }
    element.write_inner_content(|xml| {
        if !declared.key.is_empty() {
            xml.create_element("Key").write_inner_content(|xml| {
                for name in &declared.key {
                    xml.create_element("PropertyRef").with_attribute(("Name", name.as_str())).write_empty()?;
                }
                Ok(())
            })?;
        }
        for own in declared.own_properties().iter().filter(|own| is_declared(edm, &own.type_ref.name)) {
            let name = if own.type_ref.navigation { "NavigationProperty" } else { "Property" };
            typed(xml, edm, name, own)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Writes an element with the name and type of a property or parameter.
fn typed(xml: &mut Xml, edm: &Edm, element: &str, property: &Property) -> io::Result<()> {
    let type_ref = &property.type_ref;
    let name = written(edm, type_ref);
    let mut element =
        xml.create_element(element).with_attributes([("Name", property.name.as_str()), ("Type", name.as_str())]);
    if !type_ref.nullable && !type_ref.navigation {
        element = element.with_attribute(("Nullable", "false"));
    }
    if type_ref.navigation {
        element = element.with_attribute(("ContainsTarget", "true"));
    }
    element.write_empty()?;
    Ok(())
}

/// Writes the actions and functions of a namespace, once per binding parameter.
fn bound(xml: &mut Xml, edm: &Edm, namespace: &str) -> io::Result<()> {
    let mut seen = BTreeSet::new();
    for operation in edm.operations.iter().filter(|operation| operation.extension == (namespace == OWN_NAMESPACE)) {
        let Some(binding) = &operation.binding else { continue };
        let name = operation.key.rsplit_once('.').map_or(operation.key.as_str(), |(_, verb)| verb);
        if !seen.insert((name, written(edm, binding))) {
            continue;
        }
        let is_function = operation.kind == OperationKind::Function;
        let mut element = xml.create_element(if is_function { "Function" } else { "Action" });
        element = element.with_attributes([("Name", name), ("IsBound", "true")]);
        if is_function && followed_by_key(edm, operation) {
            element = element.with_attribute(("IsComposable", "true"));
        }
        element.write_inner_content(|xml| {
            let bound_to = Property { name: "bindingParameter".into(), type_ref: binding.clone() };
            typed(xml, edm, "Parameter", &bound_to)?;
            for parameter in &operation.parameters {
                typed(xml, edm, "Parameter", parameter)?;
            }
            if let BodyShape::Parameters(parameters) = &operation.body {
                for (name, type_ref) in parameters {
                    typed(xml, edm, "Parameter", &Property { name: name.clone(), type_ref: type_ref.clone() })?;
                }
            }
            let answer = match &operation.response {
                ResponseShape::None => return Ok(()),
                ResponseShape::Entity(name) | ResponseShape::Complex(name) | ResponseShape::Primitive(name) => {
                    edm.qualified(name)
                }
                ResponseShape::Collection(name) => format!("Collection({})", edm.qualified(name)),
                ResponseShape::Stream => "Edm.Stream".to_owned(),
            };
            xml.create_element("ReturnType").with_attribute(("Type", answer.as_str())).write_empty()?;
            Ok(())
        })?;
    }
    Ok(())
}

/// Returns whether another path continues the function with a key.
fn followed_by_key(edm: &Edm, function: &Operation) -> bool {
    edm.operations
        .iter()
        .any(|other| other.path.strip_prefix(&function.path).is_some_and(|below| below.starts_with("/{")))
}

/// Returns the collections at the service root, with their entity types.
pub fn entity_sets(edm: &Edm) -> BTreeMap<&str, &str> {
    let lists = edm.operations.iter().filter(|operation| operation.kind == OperationKind::List);
    let at_root = lists.filter_map(|list| Some((list.path.strip_prefix('/')?, list.item_type.as_deref()?)));
    at_root.filter(|(name, _)| !name.contains('/')).collect()
}

/// Returns the single entities at the service root.
pub fn singletons(edm: &Edm) -> Vec<&str> {
    std::iter::once("me").chain(roots(edm).into_keys()).collect()
}

/// Returns the first segments of all paths that are not collections, with the names and types
/// directly below each.
fn roots(edm: &Edm) -> BTreeMap<&str, BTreeMap<&str, TypeRef>> {
    let sets = entity_sets(edm);
    let mut roots: BTreeMap<&str, BTreeMap<&str, TypeRef>> = BTreeMap::new();
    for operation in &edm.operations {
        let mut segments = operation.path.split('/').skip(1);
        let (Some(root), Some(resource), None) = (segments.next(), segments.next(), segments.next()) else { continue };
        if sets.contains_key(root) {
            continue;
        }
        let Some(name) = operation.item_type.clone() else { continue };
        let collection = matches!(operation.response, ResponseShape::Collection(_));
        let type_ref = TypeRef { name, collection, nullable: true, navigation: true };
        roots.entry(root).or_default().entry(resource).or_insert(type_ref);
    }
    roots
}

fn root_type(xml: &mut Xml, edm: &Edm, root: &str, resources: &BTreeMap<&str, TypeRef>) -> io::Result<()> {
    xml.create_element("EntityType").with_attribute(("Name", root)).write_inner_content(|xml| {
        for (name, type_ref) in resources {
            typed(xml, edm, "NavigationProperty", &Property { name: (*name).to_owned(), type_ref: type_ref.clone() })?;
        }
        Ok(())
    })?;
    Ok(())
}

fn container<'a>(xml: &mut Xml, edm: &Edm, roots: impl Iterator<Item = &'a &'a str>) -> io::Result<()> {
    let user = format!("{GRAPH_NAMESPACE}.user");
    xml.create_element("EntityContainer").with_attribute(("Name", "GraphService")).write_inner_content(|xml| {
        for (name, entity_type) in entity_sets(edm) {
            let set = xml.create_element("EntitySet");
            set.with_attributes([("Name", name), ("EntityType", edm.qualified(entity_type).as_str())]).write_empty()?;
        }
        let me = xml.create_element("Singleton");
        me.with_attributes([("Name", "me"), ("Type", user.as_str())]).write_empty()?;
        for root in roots {
            let singleton = xml.create_element("Singleton");
            let name = format!("{GRAPH_NAMESPACE}.{root}");
            singleton.with_attributes([("Name", *root), ("Type", name.as_str())]).write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}

fn is_declared(edm: &Edm, name: &str) -> bool {
    name.starts_with("Edm.") || edm.type_named(name).is_some() || edm.enum_named(name).is_some()
}

fn written(edm: &Edm, type_ref: &TypeRef) -> String {
    let name = edm.qualified(&type_ref.name);
    if type_ref.collection { format!("Collection({name})") } else { name }
}
