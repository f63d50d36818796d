//! A request path against the model: which operation, with which keys and arguments.
//!
//! Takes every spelling that clients send: any case, double slashes, `()` or not, a lost comma
//! between arguments, aliases with and without quotes, arguments as query options, keys in
//! parentheses, `/me` for `/users/{id}`, and names qualified with their namespace
//! (`microsoft.graph.reboot`, `cloudpc.cancel`).
//!
//! Refuses to know what an operation does with its keys, and which arguments it cannot do without.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::edm::ResponseShape;
use crate::{Edm, GraphError, Operation, OperationKind};

mod call;
mod trie;

pub(crate) use trie::Trie;

/// The longest path below the root, as sent.
pub const PATH_BYTES_MAX: usize = 4096;
/// The longest query, as sent.
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
    /// The method of this name; none for one that no operation has.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Patch, Self::Put, Self::Delete].into_iter().find(|method| method.name() == name)
    }

    /// Its name in a request line.
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

/// What a root serves beside the operations of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The root itself: the service document.
    Root,
    /// `$metadata`
    Metadata,
    /// `$batch`
    Batch,
}

impl Endpoint {
    /// The endpoint at a path below the root (still percent-encoded), in every spelling in which
    /// [`Edm::resolve`] would take a segment.
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

/// Whose Cloud PCs a path is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the tenant: a path under `/deviceManagement`.
    Tenant,
    /// The caller's: `/me`.
    Me,
    /// One user's, by id or name: `/users/{id}`.
    User(String),
}

/// What a request is for.
#[derive(Clone, Debug)]
pub struct ResolvedTarget {
    /// The operation.
    pub operation: &'static Operation,
    /// Whose.
    pub scope: Scope,
    /// Keys in the path, in order, without the user's.
    pub keys: Vec<String>,
    /// Arguments of a function that were given; null, an empty text and an alias that the query
    /// does not set are left out.
    pub arguments: BTreeMap<String, String>,
    /// The path as `@odata.context` and links spell it, without the root, with keys in parentheses
    /// and without the arguments of a function: `deviceManagement/virtualEndpoint/cloudPCs('…')`.
    pub canonical_path: String,
}

impl ResolvedTarget {
    /// Checks that the arguments are of the types of their parameters, and GUIDs where those hold
    /// GUIDs.
    ///
    /// # Errors
    /// 400 that names the parameter, with what was expected.
    pub fn check_arguments(&self) -> Result<(), GraphError> {
        call::check(&self.operation.parameters, &self.arguments)
    }

    /// The `@odata.context` of the answer: `{root}/$metadata#…`, where the root is an absolute
    /// address up to the version. `select` is what `$select` asked for. None where the answer has
    /// no context: no content, bytes, a count.
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
    /// Resolves a path below the root (still percent-encoded, e.g.
    /// `/deviceManagement/managedDevices/…`) and its raw query.
    ///
    /// # Errors
    /// 400 `BadRequest` for a segment that no operation has (as Graph says "Resource not found for
    /// the segment"), 405 for a method that the path does not take, with those that it takes in
    /// [`GraphError::allow`], 400 for arguments that cannot be read, 414 for a path or a query that
    /// is too long.
    pub fn resolve(&'static self, method: Method, path: &str, query: &str) -> Result<ResolvedTarget, GraphError> {
        if path.len() > PATH_BYTES_MAX || query.len() > QUERY_BYTES_MAX {
            return Err(GraphError::new(
                414,
                "RequestUriTooLong",
                format!("A path may have {PATH_BYTES_MAX} bytes and a query {QUERY_BYTES_MAX}; this request has more."),
            ));
        }
        let mut walk = Walk::at_root(&self.trie);
        // How many segments there may be needs no limit of its own: none goes deeper than the tree.
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            walk.step(&decode(segment, "segment")?, query)?;
        }
        walk.finish(self, method, query)
    }
}

/// Where the resolution of a path stands.
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

    /// Goes into a node by its name.
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

    /// What stands between the parentheses after a name: arguments, or a key.
    fn parentheses(&mut self, name: &str, inner: &str, query: &str) -> Result<(), GraphError> {
        // A function whose answer has keys is followed by one, or by empty parentheses.
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
                Err(GraphError::bad_request(format!("The key in the segment '{}' cannot be read.", self.last))
                    .about(name))
            }
        }
    }

    /// Goes into the child that a key leads to.
    fn key(&mut self, key: &str) -> Result<(), GraphError> {
        let Some(child) = self.trie.keyed(self.node) else {
            return Err(segment_not_found(&self.last));
        };
        self.canonical_path.push_str("('");
        self.canonical_path.push_str(&key.replace('\'', "''"));
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
                format!("The segment '{}' does not take the method {}.", self.last, method.name()),
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

/// Takes percent-encoding off. `what` says in an error what could not be read.
pub(crate) fn decode<'a>(text: &'a str, what: &str) -> Result<Cow<'a, str>, GraphError> {
    // Most texts are plain.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%') {
        return Ok(Cow::Borrowed(text));
    }
    let well_formed = |rest: &[u8]| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    for (place, byte) in bytes.iter().enumerate() {
        if *byte == b'%' && !well_formed(&bytes[place + 1..]) {
            return Err(unreadable(text, what, "a % has to be followed by two hexadecimal digits"));
        }
    }
    let decoded = percent_encoding::percent_decode(bytes)
        .decode_utf8()
        .map_err(|_| unreadable(text, what, "its bytes are not UTF-8"))?;
    if decoded.chars().any(char::is_control) {
        return Err(unreadable(text, what, "it has a control character"));
    }
    Ok(decoded)
}

fn unreadable(text: &str, what: &str, why: &str) -> GraphError {
    GraphError::bad_request(format!("The {what} '{text}' cannot be read: {why}.")).about(text)
}
