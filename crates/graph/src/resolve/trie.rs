//! All paths of a version as a tree of segments.

use super::Method;
use crate::edm::Property;
use crate::{Operation, OperationKind};

/// Alias of `/users/{user-id}` for the caller.
pub(super) const ME: &str = "me";
const USERS: &str = "users";
const GRAPH_PREFIX: &str = "microsoft.graph.";

/// Tree of path segments.
#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Children by segment name, in the model's spelling.
    named: Vec<(String, usize)>,
    /// Child reached by a key.
    keyed: Option<usize>,
    /// Whether the key of this node is a user's.
    is_user: bool,
    /// Node of an alternate key: `assignedUsers(userPrincipalName='…')`.
    alternate: Option<usize>,
    operations: Vec<(Method, usize)>,
    function: Option<Function>,
}

/// Function at a node.
#[derive(Debug)]
pub(super) struct Function {
    /// Parameters of the function.
    pub(super) parameters: Vec<Property>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    /// Node of the service root.
    pub(super) const ROOT: usize = 0;

    /// Builds the tree of these operations; nodes refer to them by index.
    pub(crate) fn of(operations: &[Operation]) -> Self {
        let mut trie = Self::default();
        for (index, operation) in operations.iter().enumerate() {
            let node = trie.grow(operation);
            trie.nodes[node].operations.push((operation.method, index));
        }
        if let Some((_, users)) = trie.named(Self::ROOT, USERS) {
            let user = trie.nodes[users].keyed.expect("everything below users has a user's key");
            trie.nodes[user].is_user = true;
            trie.nodes[Self::ROOT].named.push((ME.into(), user));
        }
        trie
    }

    /// Returns the child of this name, in any case, qualified or not, with its name in the model's
    /// spelling.
    pub(super) fn named(&self, node: usize, name: &str) -> Option<(&str, usize)> {
        let bare = match name.get(..GRAPH_PREFIX.len()) {
            Some(prefix) if prefix.eq_ignore_ascii_case(GRAPH_PREFIX) => &name[GRAPH_PREFIX.len()..],
            _ => name,
        };
        let mut children = self.nodes[node].named.iter();
        children
            .find(|(spelled, _)| spelled.eq_ignore_ascii_case(bare))
            .map(|(spelled, child)| (spelled.as_str(), *child))
    }

    /// Returns the child reached by a key.
    pub(super) fn keyed(&self, node: usize) -> Option<usize> {
        self.nodes[node].keyed
    }

    /// Returns whether the key of this node is a user's, which is a scope.
    pub(super) fn is_user(&self, node: usize) -> bool {
        self.nodes[node].is_user
    }

    /// Returns whether parentheses may follow the name of this node.
    pub(super) fn takes_parentheses(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.function.is_some() || node.keyed.is_some() || node.alternate.is_some()
    }

    /// Returns the function of this node.
    pub(super) fn function(&self, node: usize) -> Option<&Function> {
        self.nodes[node].function.as_ref()
    }

    /// Returns the node of the alternate key of this collection.
    pub(super) fn alternate(&self, node: usize) -> Option<usize> {
        self.nodes[node].alternate
    }

    /// Returns the operations of the path to this node.
    pub(super) fn operations(&self, node: usize) -> &[(Method, usize)] {
        &self.nodes[node].operations
    }

    /// Creates the nodes of an operation's path; returns the last one.
    fn grow(&mut self, operation: &Operation) -> usize {
        let mut node = Self::ROOT;
        for segment in operation.path.split('/').filter(|segment| !segment.is_empty()) {
            node = if segment.starts_with('{') {
                match self.nodes[node].keyed {
                    Some(child) => child,
                    None => {
                        let child = self.push();
                        self.nodes[node].keyed = Some(child);
                        child
                    }
                }
            } else {
                let name = segment.split('(').next().expect("splitting gives at least one part");
                let known = self.named(node, name).map(|(_, child)| child);
                match known {
                    Some(child) if segment.contains('=') && operation.kind == OperationKind::Get => {
                        let alternate = self.push();
                        self.nodes[child].alternate = Some(alternate);
                        alternate
                    }
                    Some(child) => child,
                    None => {
                        let child = self.push();
                        self.nodes[node].named.push((name.to_owned(), child));
                        child
                    }
                }
            };
        }
        let takes_arguments = operation.kind == OperationKind::Function || !operation.parameters.is_empty();
        if takes_arguments {
            self.nodes[node].function = Some(Function { parameters: operation.parameters.clone() });
        }
        node
    }

    fn push(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }
}
