//! Documents: configuration entities, each served from one descriptor.
//!
//! A [`DocumentKind`] says where a kind of document is found, who may do what with it and what the
//! contract does not tell of its properties. Everything else is written once: from a body to what
//! is stored (`body`), from there to an answer (`view`), lists, and the writes with their audit
//! rows. What a kind means beyond being stored is in its hooks.

mod adopt;
mod assign;
mod audit;
mod body;
mod change;
mod expand;
mod kind;
mod kinds;
mod load;
mod path;
mod read;
mod scope;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cloudpc_graph::body::Leniency;
use cloudpc_graph::edm::Property;
use cloudpc_graph::{Edm, GraphError, Method, Operation, OperationKind, QueryOptions, Scope, Version};
use cloudpc_model::{AuditVerb, Document, DocumentKey, DocumentType, GroupId, ResourceType};
use cloudpc_store::Reader;

use crate::operations::HandlerFuture;
use crate::pipeline::{Call, Problem};

pub use adopt::adopt;
pub(crate) use change::replace_secret;
pub use kind::{
    ASSIGNABLE, CHILDREN_MAX, Const, DOCUMENT_BYTES_MAX, DOCUMENTS_MAX, DocumentChange, DocumentKind, DocumentShape,
    Expandable, Fact, Hooks, READ_ONLY, Rights, Verb, WRITABLE,
};
pub use kinds::KINDS;
pub(crate) use kinds::cloud_app;
pub(crate) use kinds::device_image;
pub(crate) use kinds::retry_health_checks;
pub(crate) use kinds::role_assignment;
pub use kinds::role_assignment::{PRINCIPALS_MAX, SCOPE_TAG_CHARS_MAX, SCOPE_TAGS_MAX};
pub(crate) use load::load;
pub(crate) use scope::reaches;

/// An operation that a kind of document carries out.
#[derive(Clone, Copy)]
pub struct Binding {
    /// The kind.
    pub kind: &'static DocumentKind,
    /// What is done with it.
    pub verb: Verb,
}

/// The kind of a document type.
pub fn kind(of: DocumentType) -> Option<&'static DocumentKind> {
    KINDS.iter().copied().find(|kind| kind.of == of)
}

/// The kind that a collection property of another kind holds.
pub(crate) fn contained(parent: &'static DocumentKind, property: &str) -> Option<&'static DocumentKind> {
    let is_it = |kind: &&DocumentKind| {
        kind.parent().is_some_and(|own| own.of == parent.of) && kind.at.rsplit('/').next() == Some(property)
    };
    KINDS.iter().copied().find(is_it)
}

/// The kinds of documents that are deleted with one of this kind.
pub(crate) fn children(parent: &'static DocumentKind) -> Vec<DocumentType> {
    let within = KINDS.iter().filter(|kind| kind.parent().is_some_and(|own| own.of == parent.of));
    within.map(|kind| kind.of).collect()
}

/// The kind at the path of an operation, with what the operation does; whether or not that is open.
fn at_path(operation: &Operation) -> Option<Binding> {
    let verb = match operation.kind {
        OperationKind::List => Verb::List,
        OperationKind::Count => Verb::Count,
        OperationKind::Get => Verb::Get,
        OperationKind::Create if is_single(&operation.path) => Verb::Update,
        OperationKind::Create => Verb::Create,
        OperationKind::Update => Verb::Update,
        OperationKind::Delete => Verb::Delete,
        OperationKind::Action if operation.path.ends_with("/assign") => Verb::Assign,
        OperationKind::Action | OperationKind::Function => return None,
    };
    let is_it = |kind: &&DocumentKind| {
        let Some(rest) = operation.path.strip_prefix(kind.at) else { return false };
        let one = matches!(kind.shape, DocumentShape::One);
        let is_key = |rest: &str| rest.strip_prefix("/{").is_some_and(|rest| rest.find('}') == Some(rest.len() - 1));
        match verb {
            Verb::List | Verb::Create => !one && rest.is_empty(),
            Verb::Count => !one && rest == "/$count",
            Verb::Get | Verb::Update | Verb::Delete => {
                if one {
                    rest.is_empty()
                } else {
                    is_key(rest)
                }
            }
            Verb::Assign => !one && rest.strip_suffix("/assign").is_some_and(is_key),
        }
    };
    KINDS.iter().copied().find(is_it).map(|kind| Binding { kind, verb })
}

/// Whether a path is that of a kind of which there is one.
fn is_single(path: &str) -> bool {
    KINDS.iter().any(|kind| matches!(kind.shape, DocumentShape::One) && kind.at == path)
}

/// The operations that documents carry out, by their keys.
static BINDINGS: LazyLock<HashMap<&'static str, Binding>> = LazyLock::new(|| {
    let operations = [Version::V1, Version::Beta].into_iter().flat_map(|version| &Edm::of(version).operations);
    let open = |operation: &'static Operation| {
        let binding = at_path(operation).filter(|binding| binding.kind.verbs.contains(&binding.verb))?;
        Some((operation.key.as_str(), binding))
    };
    operations.filter_map(open).collect()
});

/// The keys of all operations that documents carry out.
pub fn keys() -> impl Iterator<Item = (&'static str, Binding)> {
    BINDINGS.iter().map(|(key, binding)| (*key, *binding))
}

/// What of a kind an operation does; none if it is not one of a document or not open.
pub fn binding(key: &str) -> Option<Binding> {
    BINDINGS.get(key).copied()
}

/// Whether an operation is served in this scope: below a user, documents can only be read.
pub(crate) fn is_served_below(scope: &Scope, key: &str) -> bool {
    let reads = |binding: Binding| matches!(binding.verb, Verb::List | Verb::Count | Verb::Get);
    *scope == Scope::Tenant || binding(key).is_none_or(reads)
}

/// Refuses an operation that is not served in this scope.
///
/// # Errors
/// 405, with the methods that are served.
pub(crate) fn check_served_below(scope: &Scope, key: &str) -> Result<(), GraphError> {
    if is_served_below(scope, key) {
        return Ok(());
    }
    let message = "Below a user, these entities can only be read. Change them below /deviceManagement.";
    Err(GraphError { allow: vec![Method::Get], ..GraphError::new(405, "Request_BadRequest", message) })
}

/// For an operation on documents that is not open: the methods that its path takes.
pub(crate) fn shut(edm: &Edm, operation: &Operation) -> Option<Vec<Method>> {
    at_path(operation)?;
    let same_path = edm.operations.iter().filter(|other| other.path == operation.path);
    Some(same_path.filter(|other| binding(&other.key).is_some()).map(|other| other.method).collect())
}

/// Refuses query options that would compare a secret of a kind.
///
/// # Errors
/// 400 about the option.
pub(crate) fn check_options(kind: &DocumentKind, options: &QueryOptions) -> Result<(), GraphError> {
    let is_same = |path: &str, secret: &str| path.split('/').next() == Some(secret);
    for fact in kind.facts {
        let Fact::Secret(secret) = *fact else { continue };
        let filtered = options.filter.as_ref().is_some_and(|filter| filter.reads(secret));
        let sorted = options.orderby.iter().any(|(path, _)| is_same(path, secret));
        let Some(option) = [(filtered, "$filter"), (sorted, "$orderby")].into_iter().find(|(used, _)| *used) else {
            continue;
        };
        let message = format!("The property '{secret}' is a secret and cannot be used in {}. Leave it out.", option.1);
        return Err(GraphError::bad_request(message).about(option.1));
    }
    Ok(())
}

/// What bodies of a kind may have although the contract does not say so.
pub(crate) fn leniency(kind: &DocumentKind, edm: &'static Edm) -> Leniency {
    let mut leniency = Leniency::default();
    let properties = edm.type_named(kind.type_name(edm)).into_iter().flat_map(|declared| &declared.properties);
    // Null empties a collection, as it clears any other property.
    let is_nullable = |property: &&Property| {
        let own = &property.type_ref;
        kind.fills(&property.name) || own.collection && !own.navigation
    };
    leniency.nullable = properties.filter(is_nullable).map(|property| property.name.clone()).collect();
    for fact in kind.facts {
        if let Fact::Observed(name, meant) = *fact
            && let Ok((_, type_ref)) = edm.property_path(kind.name(), meant)
        {
            leniency.observed.insert(name.to_owned(), type_ref.clone());
        }
    }
    leniency
}

/// The group of an assignment of a provisioning policy.
///
/// # Errors
/// 404 if there is no such assignment.
pub(crate) fn assigned_group(
    call: &Call,
    reader: &Reader<'_>,
    policy: &str,
    assignment: &str,
) -> Result<GroupId, Problem> {
    let kind = DocumentType::CloudPcProvisioningPolicyAssignment;
    find_reached(call, reader, DocumentType::CloudPcProvisioningPolicy, policy)?;
    let document = reader.document(call.tenant(), &DocumentKey::within(kind, policy, assignment))?;
    let group = document.and_then(|document| assign::AssignmentTarget::of(&document.body).group_id());
    group.ok_or_else(|| Problem::not_found(kind.name(), assignment))
}

/// What the audit log may tell of documents.
pub(crate) fn audited() -> impl Iterator<Item = (AuditVerb, ResourceType)> {
    let verb = |verb: &Verb| match verb {
        Verb::Create => Some(AuditVerb::Create),
        Verb::Update => Some(AuditVerb::Update),
        Verb::Delete => Some(AuditVerb::Delete),
        Verb::Assign => Some(AuditVerb::Assign),
        Verb::List | Verb::Count | Verb::Get => None,
    };
    let of = move |kind: &&'static DocumentKind| {
        let resource = ResourceType::Document(kind.of);
        kind.verbs.iter().filter_map(verb).map(move |verb| (verb, resource)).collect::<Vec<_>>()
    };
    KINDS.iter().flat_map(of)
}

/// Returns a document that stands alone, if the scope tags of the call reach it.
///
/// # Errors
/// 404.
pub(crate) fn find_reached(call: &Call, reader: &Reader<'_>, of: DocumentType, id: &str) -> Result<Document, Problem> {
    let missing = || Problem::not_found(of.name(), id);
    let kind = kind(of).ok_or_else(missing)?;
    let document = reader.document(call.tenant(), &DocumentKey::new(of, id))?.ok_or_else(missing)?;
    if scope::reaches(&call.scope_tags, reader, kind, &document)? { Ok(document) } else { Err(missing()) }
}

/// Answers an operation on documents.
pub fn answer(call: Arc<Call>) -> HandlerFuture {
    Box::pin(async move {
        let Some(Binding { kind, verb }) = binding(&call.target.operation.key) else {
            return Err(Problem::not_found("operation", &call.target.operation.key));
        };
        match verb {
            Verb::List => read::list(&call, kind).await,
            Verb::Count => read::count(&call, kind).await,
            Verb::Get => read::get(&call, kind).await,
            Verb::Create => change::create(&call, kind).await,
            Verb::Update => change::update(&call, kind).await,
            Verb::Delete => change::delete(&call, kind).await,
            Verb::Assign => assign::assign(&call, kind).await,
        }
    })
}

/// The key of the document that a request names. Of what there is one of, the key is empty.
fn key_of(call: &Call, kind: &DocumentKind) -> DocumentKey {
    match kind.shape {
        DocumentShape::Many | DocumentShape::Seeded(_) | DocumentShape::Derived(_) => {
            DocumentKey::new(kind.of, call.key(0))
        }
        DocumentShape::Within(_) => DocumentKey::within(kind.of, call.key(0), call.key(1)),
        DocumentShape::One => DocumentKey::new(kind.of, ""),
    }
}

/// The document that contains what a request names; empty if that stands alone.
fn parent_of(call: &Call, kind: &DocumentKind) -> String {
    match kind.shape {
        DocumentShape::Within(_) => DocumentKey::fold(call.key(0)),
        DocumentShape::Many | DocumentShape::Seeded(_) | DocumentShape::Derived(_) | DocumentShape::One => {
            String::new()
        }
    }
}

fn not_found(kind: &DocumentKind, id: &str) -> Problem {
    Problem::not_found(kind.name(), id)
}
