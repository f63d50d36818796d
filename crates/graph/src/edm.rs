//! The entity data model of each version: operations, types and enums, loaded once from
//! `contract/`, plus cloudpc's own in their own namespace.
//!
//! `contract/observed.json` has what Graph has beyond its Cloud PC API and clients of Cloud PCs
//! call: users, groups and licences, with the properties that those clients use. What it says of
//! maintenance windows and setting profiles is in no SDK, and its guesses are marked.
//! `contract/monitoring.json` has alert rules and records, from the SDKs.
//!
//! The meaning of the operations is not known here.

use jiff::civil::Date;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::resolve::Trie;
use crate::{GraphError, Method};

mod load;
mod text;

pub use text::TextKind;

/// Namespace of Graph's types.
pub const GRAPH_NAMESPACE: &str = "microsoft.graph";
/// Namespace of Graph's alert rules and records.
pub const MONITORING_NAMESPACE: &str = "microsoft.graph.deviceManagement";
/// Namespace of cloudpc's own types and operations.
pub const OWN_NAMESPACE: &str = "cloudpc";

/// Version of the API; each has its own service root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `/v1.0`
    V1,
    /// `/beta`
    Beta,
}

impl Version {
    /// Returns the first path segment of the version.
    pub fn segment(self) -> &'static str {
        match self {
            Self::V1 => "v1.0",
            Self::Beta => "beta",
        }
    }
}

/// Kind of an operation in OData's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are those of the contract files")]
pub enum OperationKind {
    List,
    Get,
    Create,
    Update,
    Delete,
    Count,
    Action,
    Function,
}

/// Type of a property, parameter or response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeRef {
    /// `Edm.String`, or the name of a type or enum without its namespace, e.g.
    /// `cloudPcRemoteActionResult`.
    pub name: String,
    /// Whether the type is a collection of the named type.
    pub collection: bool,
    /// Whether null is allowed.
    pub nullable: bool,
    /// Whether the property is a navigation property.
    pub navigation: bool,
}

/// Shape of an operation's request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyShape {
    /// No body.
    None,
    /// The parameters of an action.
    Parameters(BTreeMap<String, TypeRef>),
    /// An entity or complex type.
    Type(String),
}

/// Shape of an operation's response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseShape {
    /// No content (204).
    None,
    /// One entity.
    Entity(String),
    /// One complex value.
    Complex(String),
    /// A collection of entities, complex values or primitives.
    Collection(String),
    /// A primitive, as `{"value": …}` or for `$count` as text.
    Primitive(String),
    /// A byte stream.
    Stream,
}

/// One operation of the contract.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Key, the same in both versions and for all roots: `<type>.<verb>`. The type is that of the
    /// last key before the verb (`cloudPC.reprovision`), that of the collection (`cloudPC.list`,
    /// `cloudPC.count`, `cloudPC.getProvisionedCloudPCs`), or else the name of the last path
    /// segment before the verb (`virtualEndpoint.getEffectivePermissions`). The verb is `list get
    /// create update delete count`, or the name of the action or function.
    ///
    /// Where two operations would get the same key, the collection's name replaces its type
    /// (`principals.list`, `directoryScopes.list`), and the type replaces a segment that is named
    /// like another type (`rbacApplicationMultiple.get` for `/roleManagement/cloudPC`).
    pub key: String,
    /// Path as written in the contract.
    pub path: String,
    /// Kind of the operation.
    pub kind: OperationKind,
    /// HTTP method.
    pub method: Method,
    /// Parameters of a function, in order.
    pub parameters: Vec<Property>,
    /// Binding parameter of an action or function.
    pub binding: Option<TypeRef>,
    /// Query options listed by the contract, with their `$`.
    pub query: Vec<String>,
    /// Shape of the request body.
    pub body: BodyShape,
    /// Shape of the response.
    pub response: ResponseShape,
    /// Type to which `$select`, `$filter` and `$orderby` apply: that of the response, or for
    /// `$count` that of the counted elements.
    pub item_type: Option<String>,
    /// Whether the operation is cloudpc's own.
    pub extension: bool,
    /// Its deprecation, if Microsoft has announced one with dates.
    pub deprecation: Option<Deprecation>,
}

/// When Microsoft said that an operation is deprecated, and when it said that it would remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecation {
    /// The operation is deprecated since this day.
    pub since: Date,
    /// The operation was to be removed on this day.
    pub sunset: Date,
}

/// Kind of a type: with or without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TypeKind {
    /// A type with a key.
    Entity,
    /// A value type.
    Complex,
}

/// An entity or complex type.
#[derive(Clone, Debug)]
pub struct Type {
    /// Name without namespace.
    pub name: String,
    /// Namespace.
    pub namespace: &'static str,
    /// Whether the type has a key.
    pub kind: TypeKind,
    /// Base type.
    pub base: Option<String>,
    /// Whether only derived types have values.
    pub is_abstract: bool,
    /// Key properties; a derived type has those of its base.
    pub key: Vec<String>,
    /// All properties: those of the base types first, each part in alphabetical order.
    pub properties: Vec<Property>,
    inherited: usize,
}

/// A property of a type, or a parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Name in the model's spelling.
    pub name: String,
    /// Type of the property or parameter.
    pub type_ref: TypeRef,
}

impl Type {
    /// Returns a property, inherited ones included, by its case-insensitive name.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name.eq_ignore_ascii_case(name))
    }

    /// Returns the properties that are not inherited.
    pub fn own_properties(&self) -> &[Property] {
        &self.properties[self.inherited..]
    }
}

/// An enumeration.
#[derive(Clone, Debug)]
pub struct Enum {
    /// Name without namespace.
    pub name: String,
    /// Namespace.
    pub namespace: &'static str,
    /// Whether a value is a set of members, separated by commas.
    pub flags: bool,
    /// Members in declared order.
    pub members: Vec<String>,
    /// Members that have a newer name, by their old one.
    pub renamed: BTreeMap<String, String>,
}

impl Enum {
    /// Returns a member in the model's spelling by its case-insensitive name. An old name is read
    /// as the newer one where this version has that.
    pub fn member(&self, name: &str) -> Option<&str> {
        let spelled = self.members.iter().find(|member| member.eq_ignore_ascii_case(name))?;
        let newer = self.renamed.get(spelled).filter(|newer| self.members.contains(newer));
        Some(newer.unwrap_or(spelled))
    }

    /// The newest name of a stored member, whichever version it was written through.
    pub fn newest<'a>(&'a self, member: &'a str) -> &'a str {
        self.renamed.get(member).map_or(member, String::as_str)
    }

    /// What this version calls a member that is stored by its newest name; none if it has no name
    /// for it.
    pub fn name_here<'a>(&'a self, newest: &'a str) -> Option<&'a str> {
        let is_it = |name: &&str| self.members.iter().any(|member| member == name);
        let older = self.renamed.iter().filter(|(_, newer)| *newer == newest).map(|(older, _)| older.as_str());
        std::iter::once(newest).chain(older).find(is_it)
    }

    /// Whether a member is declared after `unknownFutureValue`, so that clients have to ask for it.
    pub fn is_late(&self, member: &str) -> bool {
        let place = |name: &str| self.members.iter().position(|own| own == name);
        matches!((place(UNKNOWN_FUTURE_VALUE), place(member)), (Some(unknown), Some(own)) if own > unknown)
    }
}

/// The member that stands for those that a client may not know.
pub const UNKNOWN_FUTURE_VALUE: &str = "unknownFutureValue";

/// Entity data model of one version.
#[derive(Debug)]
pub struct Edm {
    /// Version of the model.
    pub version: Version,
    /// Operations of the version.
    pub operations: Vec<Operation>,
    /// All types, by name.
    pub types: BTreeMap<String, Type>,
    /// All enumerations, by name.
    pub enums: BTreeMap<String, Enum>,
    pub(crate) trie: Trie,
}

impl Edm {
    /// Returns a model of complex types of our own alone: the name of each, and its properties with
    /// the names of their types. All properties may be null.
    pub fn of_types<'a>(version: Version, types: impl IntoIterator<Item = (&'a str, Vec<(&'a str, &'a str)>)>) -> Self {
        let nullable =
            |name: &str| TypeRef { name: name.to_owned(), collection: false, nullable: true, navigation: false };
        let complex = |(name, properties): (&str, Vec<(&str, &str)>)| {
            let properties =
                properties.into_iter().map(|(name, of)| Property { name: name.to_owned(), type_ref: nullable(of) });
            let declared = Type {
                name: name.to_owned(),
                namespace: OWN_NAMESPACE,
                kind: TypeKind::Complex,
                base: None,
                is_abstract: false,
                key: Vec::new(),
                properties: properties.collect(),
                inherited: 0,
            };
            (name.to_owned(), declared)
        };
        let types = types.into_iter().map(complex).collect();
        Self { version, operations: Vec::new(), types, enums: BTreeMap::new(), trie: Trie::default() }
    }

    /// Returns the model of a version, loading it on the first call.
    pub fn of(version: Version) -> &'static Edm {
        static V1: LazyLock<Edm> = LazyLock::new(|| load::load(Version::V1));
        static BETA: LazyLock<Edm> = LazyLock::new(|| load::load(Version::Beta));
        match version {
            Version::V1 => &V1,
            Version::Beta => &BETA,
        }
    }

    /// Returns a type by its name without namespace.
    pub fn type_named(&self, name: &str) -> Option<&Type> {
        self.types.get(name)
    }

    /// Returns an enumeration by its name without namespace.
    pub fn enum_named(&self, name: &str) -> Option<&Enum> {
        self.enums.get(name)
    }

    /// Returns whether `name` is `base` or derives from it.
    pub fn is_a(&self, name: &str, base: &str) -> bool {
        let mut current = Some(name);
        while let Some(name) = current {
            if name == base {
                return true;
            }
            current = self.type_named(name).and_then(|declared| declared.base.as_deref());
        }
        false
    }

    /// The one type that derives from this one, if the base is an entity or has no properties of
    /// its own to be used without.
    pub fn sole_derived(&self, name: &str) -> Option<&str> {
        let mut derived = self.types.values().filter(|declared| declared.base.as_deref() == Some(name));
        let (first, second) = (derived.next()?, derived.next());
        let is_base = |base: &Type| base.kind == TypeKind::Entity || base.own_properties().is_empty();
        let is_base = self.type_named(name).is_some_and(is_base);
        (second.is_none() && is_base).then_some(first.name.as_str())
    }

    /// Returns a type name with its namespace, as used in `$metadata` and `@odata.context`;
    /// primitive types are returned unchanged.
    pub fn qualified(&self, name: &str) -> String {
        if name.starts_with("Edm.") {
            return name.to_owned();
        }
        let of_type = self.types.get(name).map(|declared| declared.namespace);
        let declared = of_type.or_else(|| self.enums.get(name).map(|declared| declared.namespace));
        format!("{}.{name}", declared.unwrap_or(GRAPH_NAMESPACE))
    }

    /// Resolves a property path such as `disasterRecoveryCapability/capabilityType`, ignoring case;
    /// returns it in the model's spelling, with the type of its last property.
    ///
    /// # Errors
    /// 400 naming the type and the missing property.
    pub fn property_path(&self, type_name: &str, path: &str) -> Result<(String, &TypeRef), GraphError> {
        let mut spelled = String::with_capacity(path.len());
        let mut current: Option<&TypeRef> = None;
        for segment in path.split('/') {
            let owner = current.map_or(type_name, |type_ref| type_ref.name.as_str());
            let property = self.type_named(owner).and_then(|declared| declared.property(segment)).ok_or_else(|| {
                GraphError::bad_request(format!(
                    "Could not find a property named '{segment}' on type '{}'.",
                    self.qualified(owner)
                ))
                .about(segment)
            })?;
            if !spelled.is_empty() {
                spelled.push('/');
            }
            spelled.push_str(&property.name);
            current = Some(&property.type_ref);
        }
        let type_ref = current.expect("splitting gives at least one segment");
        Ok((spelled, type_ref))
    }
}
