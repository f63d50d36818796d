//! All paths of a version as one tree of segments.

use super::Method;
use crate::edm::Property;
use crate::{Operation, OperationKind};

/// The alias of `/users/{user-id}` for the caller.
pub(super) const ME: &str = "me";
const USERS: &str = "users";
const GRAPH_PREFIX: &str = "microsoft.graph.";

/// The tree.
#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Children by the name of their segment, in the model's spelling.
    named: Vec<(String, usize)>,
    /// The child that a key leads to.
    keyed: Option<usize>,
    /// Whether the key that led here was a user's.
    is_user: bool,
    /// The node for an alternate key: `assignedUsers(userPrincipalName='…')`.
    alternate: Option<usize>,
    operations: Vec<(Method, usize)>,
    function: Option<Function>,
}

/// What a function takes.
#[derive(Debug)]
pub(super) struct Function {
    /// Its parameters.
    pub(super) parameters: Vec<Property>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    /// The node of the service root.
    pub(super) const ROOT: usize = 0;

    /// The tree of these operations; it refers to them by index.
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

    /// The child with this name, in any case and qualified or not, with its name in the model's
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

    /// The child that a key leads to.
    pub(super) fn keyed(&self, node: usize) -> Option<usize> {
        self.nodes[node].keyed
    }

    /// Whether the key of this node is a user's, which is a scope.
    pub(super) fn is_user(&self, node: usize) -> bool {
        self.nodes[node].is_user
    }

    /// Whether something in parentheses may follow the name of this node.
    pub(super) fn takes_parentheses(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.function.is_some() || node.keyed.is_some() || node.alternate.is_some()
    }

    /// What the function of this node takes.
    pub(super) fn function(&self, node: usize) -> Option<&Function> {
        self.nodes[node].function.as_ref()
    }

    /// The node of the alternate key of this collection.
    pub(super) fn alternate(&self, node: usize) -> Option<usize> {
        self.nodes[node].alternate
    }

    /// What the path to this node offers.
    pub(super) fn operations(&self, node: usize) -> &[(Method, usize)] {
        &self.nodes[node].operations
    }

    /// Makes the nodes of an operation's path; gives the last one.
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
