//! Path resolution: the operation, keys and arguments of a request path.
//!
//! Accepts every spelling that clients send: any case, double slashes, `()` or none, missing commas
//! between arguments, aliases with and without quotes, arguments as query options, keys in
//! parentheses, `/me` for `/users/{id}`, and names qualified with their namespace
//! (`microsoft.graph.reboot`, `cloudpc.cancel`).
//!
//! The use of keys and the required arguments are not known here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::edm::ResponseShape;
use crate::{Edm, GraphError, Operation, OperationKind};

mod call;
mod trie;

pub(crate) use trie::Trie;

/// Characters of a key that a path segment cannot have (RFC 3986 §3.3).
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Maximum length of a path below the root, as sent, bytes.
pub const PATH_BYTES_MAX: usize = 4096;
/// Maximum length of a query, as sent, bytes.
pub const QUERY_BYTES_MAX: usize = 8192;

/// HTTP methods of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "they are HTTP's")]
pub enum Method {
    Get,
    Post,
    Patch,
    Put,
    Delete,
}

impl Method {
    /// Returns the method of this name; none if no operation uses it.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Patch, Self::Put, Self::Delete].into_iter().find(|method| method.name() == name)
    }

    /// Returns the name in a request line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Endpoint of a root that is not an operation of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Service document at the root.
    Root,
    /// `$metadata`
    Metadata,
    /// `$batch`
    Batch,
}

impl Endpoint {
    /// Returns the endpoint at a path below the root (still percent-encoded), in every spelling
    /// that [`Edm::resolve`] accepts for a segment.
    pub fn at(path: &str) -> Option<Self> {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let Some(only) = segments.next() else { return Some(Self::Root) };
        if segments.next().is_some() {
            return None;
        }
        let name = decode(only, "segment").ok()?;
        let endpoints = [("$metadata", Self::Metadata), ("$batch", Self::Batch)];
        endpoints.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)).map(|(_, endpoint)| endpoint)
    }
}

/// Scope of a path: whose Cloud PCs it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole tenant: a path under `/deviceManagement`.
    Tenant,
    /// The caller: `/me`.
    Me,
    /// One user by id or name: `/users/{id}`.
    User(String),
}

/// Operation of a request with its scope, keys and arguments.
#[derive(Clone, Debug)]
pub struct ResolvedTarget {
    /// Operation of the path and method.
    pub operation: &'static Operation,
    /// Scope of the path.
    pub scope: Scope,
    /// Keys in the path in order, without the user's.
    pub keys: Vec<String>,
    /// Arguments of a function. Null, empty strings and unset aliases count as omitted.
    pub arguments: BTreeMap<String, String>,
    /// Path for `@odata.context` and links, without the root and function arguments, with keys in
    /// parentheses and percent-encoded: `deviceManagement/virtualEndpoint/cloudPCs('…')`.
    pub canonical_path: String,
}

impl ResolvedTarget {
    /// Checks the arguments against the types of their parameters, and that GUID parameters hold
    /// GUIDs.
    ///
    /// # Errors
    /// 400 naming the parameter and what was expected.
    pub fn check_arguments(&self) -> Result<(), GraphError> {
        call::check(&self.operation.parameters, &self.arguments)
    }

    /// Returns the `@odata.context` of the response: `{root}/$metadata#…`, where the root is an
    /// absolute URL up to the version, and `select` holds the selected properties. None for
    /// responses without a context: no content, byte streams and counts.
    pub fn context(&self, edm: &Edm, root: &str, select: Option<&[String]>) -> Option<String> {
        let operation = self.operation;
        let bound = matches!(operation.kind, OperationKind::Action | OperationKind::Function);
        let path = self.canonical_path.as_str();
        let mut fragment = match &operation.response {
            ResponseShape::None | ResponseShape::Stream => return None,
            _ if operation.kind == OperationKind::Count => return None,
            ResponseShape::Entity(name) | ResponseShape::Complex(name) if bound => edm.qualified(name),
            ResponseShape::Collection(name) if bound => format!("Collection({})", edm.qualified(name)),
            ResponseShape::Primitive(name) => edm.qualified(name),
            ResponseShape::Entity(_) if path.ends_with(')') => {
                path.rsplit_once('(').map_or(path, |(collection, _)| collection).to_owned()
            }
            ResponseShape::Entity(_) | ResponseShape::Complex(_) | ResponseShape::Collection(_) => path.to_owned(),
        };
        if let Some(select) = select {
            fragment.push('(');
            fragment.push_str(&select.join(","));
            fragment.push(')');
        }
        let one_of_many = path.ends_with(')') || operation.kind == OperationKind::Create;
        if matches!(operation.response, ResponseShape::Entity(_)) && !bound && one_of_many {
            fragment.push_str("/$entity");
        }
        Some(format!("{root}/$metadata#{fragment}"))
    }
}

impl Edm {
    /// Resolves a path below the root (still percent-encoded, such as
    /// `/deviceManagement/managedDevices/…`) and its raw query.
    ///
    /// # Errors
    /// 400 `BadRequest` for an unknown segment (Graph's "Resource not found for the segment"), 405
    /// for a method that the path does not support, with the supported ones in
    /// [`GraphError::allow`], 400 for invalid arguments, 414 for a path or query that is too long.
    pub fn resolve(&'static self, method: Method, path: &str, query: &str) -> Result<ResolvedTarget, GraphError> {
        if path.len() > PATH_BYTES_MAX || query.len() > QUERY_BYTES_MAX {
            return Err(GraphError::new(
                414,
                "RequestUriTooLong",
                format!(
                    "The path has {} bytes and the query {}; at most {PATH_BYTES_MAX} and {QUERY_BYTES_MAX} are allowed.",
                    path.len(),
                    query.len()
                ),
            ));
        }
        let mut walk = Walk::at_root(&self.trie);
        // The number of segments needs no limit of its own: none can go deeper than the tree.
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            walk.step(&decode(segment, "segment")?, query)?;
        }
        walk.finish(self, method, query)
    }
}

/// State of resolving a path.
struct Walk<'a> {
    trie: &'a Trie,
    node: usize,
    last: String,
    scope: Scope,
    keys: Vec<String>,
    arguments: BTreeMap<String, String>,
    canonical_path: String,
}

impl<'a> Walk<'a> {
    fn at_root(trie: &'a Trie) -> Self {
        Self {
            trie,
            node: Trie::ROOT,
            last: String::new(),
            scope: Scope::Tenant,
            keys: Vec::new(),
            arguments: BTreeMap::new(),
            canonical_path: String::with_capacity(128),
        }
    }

    /// Follows one decoded segment.
    fn step(&mut self, segment: &str, query: &str) -> Result<(), GraphError> {
        segment.clone_into(&mut self.last);
        let (name, parentheses) = match segment.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')')),
            None => (segment, None),
        };
        if let Some((spelled, child)) = self.trie.named(self.node, segment) {
            return self.enter(spelled, child);
        }
        let named = if segment.contains('(') { self.trie.named(self.node, name) } else { None };
        match (named, parentheses) {
            (Some((_, child)), None) if self.trie.takes_parentheses(child) => {
                Err(GraphError::bad_request(format!("The parentheses of the segment '{segment}' are not closed."))
                    .about(name))
            }
            (Some((spelled, child)), Some(inner)) if self.trie.takes_parentheses(child) => {
                self.enter(spelled, child)?;
                self.parentheses(name, inner, query)
            }
            _ => self.key(segment),
        }
    }

    /// Enters a node by its name.
    fn enter(&mut self, spelled: &str, child: usize) -> Result<(), GraphError> {
        if !self.canonical_path.is_empty() {
            self.canonical_path.push('/');
        }
        self.canonical_path.push_str(spelled);
        if spelled == trie::ME {
            self.scope = Scope::Me;
        }
        self.node = child;
        Ok(())
    }

    /// Parses the parentheses after a name: arguments or a key.
    fn parentheses(&mut self, name: &str, inner: &str, query: &str) -> Result<(), GraphError> {
        // A function whose result has keys is followed by a key, or by empty parentheses.
        let is_key = self.trie.keyed(self.node).is_some() && !inner.trim().is_empty();
        if let Some(function) = self.trie.function(self.node).filter(|_| !is_key) {
            self.arguments = call::arguments(&function.parameters, name, inner, query)?;
            return Ok(());
        }
        if let Some(alternate) = self.trie.alternate(self.node)
            && inner.contains('=')
            && !inner.starts_with('\'')
        {
            let parameters = &self.trie.function(alternate).expect("an alternate key has parameters").parameters;
            self.arguments = call::arguments(parameters, name, inner, query)?;
            self.node = alternate;
            return Ok(());
        }
        match call::key(inner) {
            Some(key) => self.key(&key),
            None => {
                Err(GraphError::bad_request(format!("The key in the segment '{}' is invalid.", self.last)).about(name))
            }
        }
    }

    /// Enters the child of a key.
    fn key(&mut self, key: &str) -> Result<(), GraphError> {
        let Some(child) = self.trie.keyed(self.node) else {
            return Err(segment_not_found(&self.last));
        };
        let doubled = key.replace('\'', "''");
        self.canonical_path.push_str("('");
        self.canonical_path.extend(utf8_percent_encode(&doubled, KEY));
        self.canonical_path.push_str("')");
        if self.trie.is_user(child) {
            self.scope = Scope::User(key.to_owned());
        } else {
            self.keys.push(key.to_owned());
        }
        self.node = child;
        Ok(())
    }

    fn finish(mut self, edm: &'static Edm, method: Method, query: &str) -> Result<ResolvedTarget, GraphError> {
        let operations = self.trie.operations(self.node);
        if operations.is_empty() {
            return Err(segment_not_found(&self.last));
        }
        let Some(&(_, index)) = operations.iter().find(|(taken, _)| *taken == method) else {
            let mut error = GraphError::new(
                405,
                "Request_BadRequest",
                format!("The segment '{}' does not support the method {}.", self.last, method.name()),
            );
            error.allow = operations.iter().map(|(taken, _)| *taken).collect();
            return Err(error);
        };
        let operation = &edm.operations[index];
        if operation.kind == OperationKind::Function && !operation.parameters.is_empty() {
            call::add_from_query(&operation.parameters, query, &mut self.arguments)?;
        }
        Ok(ResolvedTarget {
            operation,
            scope: self.scope,
            keys: self.keys,
            arguments: self.arguments,
            canonical_path: self.canonical_path,
        })
    }
}

fn segment_not_found(segment: &str) -> GraphError {
    GraphError::bad_request(format!("Resource not found for the segment '{segment}'.")).about(segment)
}

/// Decodes percent-encoding. `what` names the text in errors.
pub(crate) fn decode<'a>(text: &'a str, what: &str) -> Result<Cow<'a, str>, GraphError> {
    // Fast path for texts without encoding.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%') {
        return Ok(Cow::Borrowed(text));
    }
    let well_formed = |rest: &[u8]| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    for (place, byte) in bytes.iter().enumerate() {
        if *byte == b'%' && !well_formed(&bytes[place + 1..]) {
            return Err(undecodable(text, what, "'%' must be followed by two hexadecimal digits"));
        }
    }
    let decoded = percent_encoding::percent_decode(bytes)
        .decode_utf8()
        .map_err(|_| undecodable(text, what, "its bytes are not UTF-8"))?;
    if decoded.chars().any(char::is_control) {
        return Err(undecodable(text, what, "it contains a control character"));
    }
    Ok(decoded)
}

fn undecodable(text: &str, what: &str, why: &str) -> GraphError {
    GraphError::bad_request(format!("The {what} '{text}' is invalid: {why}.")).about(text)
}
