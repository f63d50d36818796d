//! The entity data model of each version: operations, types and enums, loaded once from
//! `contract/`, plus what cloudpc adds in its own namespace.
//!
//! Refuses to know what any operation means.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::resolve::Trie;
use crate::{GraphError, Method};

mod load;
mod text;

pub use text::TextKind;

/// The namespace of Graph's types.
pub const GRAPH_NAMESPACE: &str = "microsoft.graph";
/// The namespace of ours.
pub const OWN_NAMESPACE: &str = "cloudpc";

/// A root of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `/v1.0`
    V1,
    /// `/beta`
    Beta,
}

impl Version {
    /// Its first path segment.
    pub fn segment(self) -> &'static str {
        match self {
            Self::V1 => "v1.0",
            Self::Beta => "beta",
        }
    }
}

/// What an operation does, in OData's terms.
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

/// The type of a property, parameter or answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeRef {
    /// `Edm.String`, or the name of a type or enum without its namespace, e.g.
    /// `cloudPcRemoteActionResult`.
    pub name: String,
    /// Whether it is a collection of that.
    pub collection: bool,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether it is a navigation property.
    pub navigation: bool,
}

/// What an operation takes as its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyShape {
    /// Nothing.
    None,
    /// The parameters of an action.
    Parameters(BTreeMap<String, TypeRef>),
    /// An entity or complex type.
    Type(String),
}

/// What an operation answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseShape {
    /// 204.
    None,
    /// One entity.
    Entity(String),
    /// One complex value.
    Complex(String),
    /// A collection of entities, complex values or primitives.
    Collection(String),
    /// A primitive, as `{"value": …}` or for `$count` as text.
    Primitive(String),
    /// Bytes.
    Stream,
}

/// One operation of the contract.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its key, the same over both versions and all roots that it can be reached by:
    /// `<type>.<verb>`, where the type is that of the last key before the verb
    /// (`cloudPC.reprovision`), that of the collection (`cloudPC.list`, `cloudPC.count`,
    /// `cloudPC.getProvisionedCloudPCs`), or for the rest the name of the last path segment before
    /// it (`virtualEndpoint.getEffectivePermissions`). The verb is `list get create update delete
    /// count`, or the name of the action or function.
    ///
    /// Where that would name two operations alike, the collection's own name stands for its type
    /// (`principals.list`, `directoryScopes.list`), and the type for a segment that is named as
    /// another type is (`rbacApplicationMultiple.get` for `/roleManagement/cloudPC`).
    pub key: String,
    /// Its path as the contract writes it.
    pub path: String,
    /// What it does.
    pub kind: OperationKind,
    /// HTTP method.
    pub method: Method,
    /// Parameters of a function, in order.
    pub parameters: Vec<Property>,
    /// What an action or a function is bound to.
    pub binding: Option<TypeRef>,
    /// Query options that the contract lists for it, with their `$`.
    pub query: Vec<String>,
    /// Its body.
    pub body: BodyShape,
    /// Its answer.
    pub response: ResponseShape,
    /// The type that `$select`, `$filter` and `$orderby` speak of: that of the answer, or for
    /// `$count` that of the elements counted.
    pub item_type: Option<String>,
    /// Whether it is ours, in the namespace `cloudpc`.
    pub extension: bool,
}

/// Whether a type has an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TypeKind {
    /// It has a key.
    Entity,
    /// It is a value.
    Complex,
}

/// An entity or complex type.
#[derive(Clone, Debug)]
pub struct Type {
    /// Its name without namespace.
    pub name: String,
    /// Its namespace.
    pub namespace: &'static str,
    /// Whether it has an identity.
    pub kind: TypeKind,
    /// The type it derives from.
    pub base: Option<String>,
    /// Whether only types derived from it have values.
    pub is_abstract: bool,
    /// Its own key properties; a derived type has its base's.
    pub key: Vec<String>,
    /// All its properties: those of its base types first, each part in alphabetical order.
    pub properties: Vec<Property>,
    inherited: usize,
}

/// A property of a type, or a parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name in the model's spelling.
    pub name: String,
    /// Its type.
    pub type_ref: TypeRef,
}

impl Type {
    /// A property by its name in any case, inherited ones included.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name.eq_ignore_ascii_case(name))
    }

    /// The properties that its base types lack.
    pub fn own_properties(&self) -> &[Property] {
        &self.properties[self.inherited..]
    }
}

/// An enumeration.
#[derive(Clone, Debug)]
pub struct Enum {
    /// Its name without namespace.
    pub name: String,
    /// Its namespace.
    pub namespace: &'static str,
    /// Whether a value is a set of members, written with commas.
    pub flags: bool,
    /// Its members in declared order.
    pub members: Vec<String>,
    /// Members that have a newer name, by their old one.
    pub renamed: BTreeMap<String, String>,
}

impl Enum {
    /// A member's name in the model's spelling, from any case. An old name is read as the newer one
    /// where this version has that.
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

/// The model of one version.
#[derive(Debug)]
pub struct Edm {
    /// Which.
    pub version: Version,
    /// All operations.
    pub operations: Vec<Operation>,
    /// All types, by name.
    pub types: BTreeMap<String, Type>,
    /// All enumerations, by name.
    pub enums: BTreeMap<String, Enum>,
    pub(crate) trie: Trie,
}

impl Edm {
    /// The model of a version; loaded at the first call.
    pub fn of(version: Version) -> &'static Edm {
        static V1: LazyLock<Edm> = LazyLock::new(|| load::load(Version::V1));
        static BETA: LazyLock<Edm> = LazyLock::new(|| load::load(Version::Beta));
        match version {
            Version::V1 => &V1,
            Version::Beta => &BETA,
        }
    }

    /// A type by its name without namespace.
    pub fn type_named(&self, name: &str) -> Option<&Type> {
        self.types.get(name)
    }

    /// An enumeration by its name without namespace.
    pub fn enum_named(&self, name: &str) -> Option<&Enum> {
        self.enums.get(name)
    }

    /// Whether `name` is `base` or derives from it.
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

    /// The one type that derives from this one, if it has no properties of its own to be used
    /// without.
    pub fn sole_derived(&self, name: &str) -> Option<&str> {
        let mut derived = self.types.values().filter(|declared| declared.base.as_deref() == Some(name));
        let (first, second) = (derived.next()?, derived.next());
        let is_bare = self.type_named(name).is_some_and(|base| base.own_properties().is_empty());
        (second.is_none() && is_bare).then_some(first.name.as_str())
    }

    /// The name with its namespace, as `$metadata` and `@odata.context` write it; primitives as
    /// they are.
    pub fn qualified(&self, name: &str) -> String {
        let own = self.types.get(name).is_some_and(|declared| declared.namespace == OWN_NAMESPACE)
            || self.enums.get(name).is_some_and(|declared| declared.namespace == OWN_NAMESPACE);
        match name {
            _ if name.starts_with("Edm.") => name.to_owned(),
            _ if own => format!("{OWN_NAMESPACE}.{name}"),
            _ => format!("{GRAPH_NAMESPACE}.{name}"),
        }
    }

    /// A property path such as `disasterRecoveryCapability/capabilityType`, from any case, in the
    /// model's spelling and with the type of its end.
    ///
    /// # Errors
    /// 400 that names the type and what it lacks.
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
