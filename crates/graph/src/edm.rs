//! The entity data model of each version: operations, types and enums, loaded once from `contract/`, plus what cloudpc adds in its own namespace.

use std::collections::BTreeMap;

/// A root of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `/v1.0`
    V1,
    /// `/beta`
    Beta,
}

/// What an operation does, in OData's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// `Edm.String`, or the name of a type or enum without its namespace, e.g. `cloudPcRemoteActionResult`.
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
    /// Its key, the same over both versions and all roots that it can be reached by: `<type>.<verb>`, where the type is that of the last key before the verb
    /// (`cloudPC.reprovision`), that of the collection (`cloudPC.list`, `cloudPC.count`, `cloudPC.getProvisionedCloudPCs`), or for the rest the name of the
    /// last path segment before it (`virtualEndpoint.getEffectivePermissions`). The verb is `list get create update delete count`, or the name of the action or function.
    pub key: String,
    /// Its path as the contract writes it.
    pub path: String,
    /// What it does.
    pub kind: OperationKind,
    /// HTTP method.
    pub method: crate::Method,
    /// Parameters of a function, in order.
    pub parameters: Vec<String>,
    /// Query options that the contract lists for it, with their `$`.
    pub query: Vec<String>,
    /// Its body.
    pub body: BodyShape,
    /// Its answer.
    pub response: ResponseShape,
    /// Whether it is ours, in the namespace `cloudpc`.
    pub extension: bool,
}

/// The model of one version.
#[derive(Debug)]
pub struct Edm {
    /// Which.
    pub version: Version,
    /// All operations.
    pub operations: Vec<Operation>,
}

impl Edm {
    /// The model of a version; loaded at the first call.
    pub fn of(_version: Version) -> &'static Edm {
        unimplemented!()
    }
}
