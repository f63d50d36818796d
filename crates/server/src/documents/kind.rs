//! Descriptors: what a kind of document is, in about ten lines, and the facts that the contract
//! does not tell.

use cloudpc_graph::Edm;
use cloudpc_graph::options::Expansion;
use cloudpc_model::{Document, DocumentType, Object, ReferenceStrength, TenantId, UserId};
use cloudpc_store::{Reader, StoreError, Tx};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::pipeline::{Access, Call, Problem};

/// Most documents of a kind in a tenant, unless its descriptor says otherwise.
pub const DOCUMENTS_MAX: u64 = 1_000;
/// Most documents of a kind within one document.
pub const CHILDREN_MAX: u64 = 200;
/// Most bytes of a document's body as JSON.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// A kind of document.
pub struct DocumentKind {
    /// Entity type.
    pub of: DocumentType,
    /// Path of its collection, or of itself if there is one only, as the contract writes it.
    pub at: &'static str,
    /// What can be done with it. What is not named is answered with 405.
    pub verbs: &'static [Verb],
    /// Who may do it.
    pub rights: &'static Rights,
    /// How many there are.
    pub shape: DocumentShape,
    /// What the contract does not tell of its properties.
    pub facts: &'static [Fact],
    /// Navigation properties that `$expand` shows.
    pub expands: &'static [&'static str],
    /// Most documents, of a tenant or of a parent.
    pub rows_max: u64,
    /// What it means beyond being stored.
    pub hooks: &'static dyn Hooks,
}

/// What can be done with a kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the operations")]
pub enum Verb {
    List,
    Count,
    Get,
    Create,
    Update,
    Delete,
    /// Replaces the whole set of assignments.
    Assign,
}

/// What is open to readers.
pub const READ_ONLY: &[Verb] = &[Verb::List, Verb::Count, Verb::Get];
/// What is open for an entity that clients write.
pub const WRITABLE: &[Verb] = &[Verb::List, Verb::Count, Verb::Get, Verb::Create, Verb::Update, Verb::Delete];
/// The same for one that is assigned to groups.
pub const ASSIGNABLE: &[Verb] =
    &[Verb::List, Verb::Count, Verb::Get, Verb::Create, Verb::Update, Verb::Delete, Verb::Assign];

/// How many documents of a kind there are, and where they come from.
#[derive(Clone, Copy)]
pub enum DocumentShape {
    /// Any number.
    Many,
    /// Any number within a document of another kind.
    Within(&'static DocumentKind),
    /// One; reads as its defaults until it is written.
    One,
    /// Any number, of which some are built in: each reads as its seed until it is changed, and
    /// cannot be deleted.
    Seeded(SeedFn),
    /// Derived from something else when it is read, and never stored.
    Derived(DeriveFn),
}

/// Returns the id and the properties of each document of a tenant.
pub type DeriveFn = fn(&Reader<'_>, TenantId) -> Result<Vec<(String, Object)>, StoreError>;

/// Returns the id and the properties of each built-in document, by id.
pub type SeedFn = fn() -> Vec<(String, Object)>;

/// Who may do what, and what role-based access control calls the resource.
pub struct Rights {
    /// Name of the resource in `Microsoft.CloudPC/<resource>/<action>`.
    pub resource: &'static str,
    /// List, count and get.
    pub read: &'static Access,
    /// Everything else.
    pub write: &'static Access,
}

/// A fact about a property. Paths are written with `/`; a path through a collection means each of
/// its elements.
#[derive(Clone, Copy, Debug)]
pub enum Fact {
    /// Must be there and not blank.
    Required(&'static str),
    /// Has this value unless another is given; null resets to it.
    Default(&'static str, Const),
    /// Set by the service. What callers send is ignored.
    Computed(&'static str),
    /// Set by the service unless callers send it.
    Filled(&'static str),
    /// Time of creation.
    CreatedAt(&'static str),
    /// Time of the last change by a caller.
    ModifiedAt(&'static str),
    /// Name of who created it.
    CreatedBy(&'static str),
    /// Name of who changed it last.
    ModifiedBy(&'static str),
    /// Can be given at creation only.
    Immutable(&'static str),
    /// No two documents of the kind have the same, in any case.
    Unique(&'static str),
    /// Longest text, characters.
    CharsMax(&'static str, usize),
    /// Characters that the text cannot have.
    Without(&'static str, &'static str),
    /// Least and greatest number.
    Range(&'static str, i64, i64),
    /// Is the id of a document of this type.
    Reference(&'static str, DocumentType, ReferenceStrength),
    /// An older name of another property, with the values that are spelled differently.
    Old {
        /// Path of the older name.
        old: &'static str,
        /// Path of the newest name; only the last segment differs, or the first.
        newest: &'static str,
        /// Older value and newest value, where they differ.
        values: &'static [(Const, Const)],
    },
    /// Id of the document that contains it.
    ParentId(&'static str),
    /// Sent only when `$select` names it.
    SelectOnly(&'static str),
    /// Never sent, compared or kept. Stored is how often it was given.
    Secret(&'static str),
    /// A property that the contract lacks and clients send, with the path that it means.
    Observed(&'static str, &'static str),
}

/// A constant JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of JSON")]
pub enum Const {
    Bool(bool),
    Int(i64),
    Text(&'static str),
    Texts(&'static [&'static str]),
}

impl Const {
    /// As JSON.
    pub fn value(self) -> Value {
        match self {
            Self::Bool(value) => json!(value),
            Self::Int(value) => json!(value),
            Self::Text(value) => json!(value),
            Self::Texts(values) => json!(values),
        }
    }
}

impl DocumentKind {
    /// A kind of which callers make any number.
    pub const fn many(
        of: DocumentType,
        at: &'static str,
        rights: &'static Rights,
        verbs: &'static [Verb],
        facts: &'static [Fact],
    ) -> Self {
        Self {
            of,
            at,
            verbs,
            rights,
            shape: DocumentShape::Many,
            facts,
            expands: &[],
            rows_max: DOCUMENTS_MAX,
            hooks: &NoHooks,
        }
    }

    /// The same within documents of another kind.
    #[must_use]
    pub const fn within(self, parent: &'static DocumentKind) -> Self {
        Self { shape: DocumentShape::Within(parent), rows_max: CHILDREN_MAX, ..self }
    }

    /// A kind of which there is one.
    #[must_use]
    pub const fn one(self) -> Self {
        Self { shape: DocumentShape::One, ..self }
    }

    /// A kind whose documents are derived when they are read.
    #[must_use]
    pub const fn derived(self, rows: DeriveFn) -> Self {
        Self { shape: DocumentShape::Derived(rows), ..self }
    }

    /// The same with built-in documents.
    #[must_use]
    pub const fn seeded(self, seeds: SeedFn) -> Self {
        Self { shape: DocumentShape::Seeded(seeds), ..self }
    }

    /// The same with another limit of documents.
    #[must_use]
    pub const fn at_most(self, rows_max: u64) -> Self {
        Self { rows_max, ..self }
    }

    /// The same with collections that `$expand` shows.
    #[must_use]
    pub const fn expands(self, expands: &'static [&'static str]) -> Self {
        Self { expands, ..self }
    }

    /// The same with a meaning.
    #[must_use]
    pub const fn hooks(self, hooks: &'static dyn Hooks) -> Self {
        Self { hooks, ..self }
    }

    /// Its rows in people's words, e.g. `cloudPcUserSetting`.
    pub fn name(&self) -> &'static str {
        self.of.name()
    }

    /// Its type in a version: the one that is derived from what the contract names, if there is one
    /// alone.
    pub fn type_name(&self, edm: &'static Edm) -> &'static str {
        edm.sole_derived(self.name()).unwrap_or_else(|| self.name())
    }

    /// Who may do this.
    pub fn access(&self, verb: Verb) -> &'static Access {
        match verb {
            Verb::List | Verb::Count | Verb::Get => self.rights.read,
            Verb::Create | Verb::Update | Verb::Delete | Verb::Assign => self.rights.write,
        }
    }

    /// The kind that contains it.
    pub fn parent(&self) -> Option<&'static DocumentKind> {
        match self.shape {
            DocumentShape::Within(parent) => Some(parent),
            DocumentShape::Many | DocumentShape::Seeded(_) | DocumentShape::One | DocumentShape::Derived(_) => None,
        }
    }

    /// Whether the service has a value for this property if callers send none.
    pub fn fills(&self, property: &str) -> bool {
        let filled = |fact: &Fact| match fact {
            Fact::Filled(path) | Fact::Default(path, _) => path.split('/').next() == Some(property),
            _ => false,
        };
        self.sets(property) || self.facts.iter().any(filled)
    }

    /// Whether the service sets this property, whatever callers send.
    pub fn sets(&self, property: &str) -> bool {
        let computed = |fact: &Fact| match fact {
            Fact::Computed(path)
            | Fact::CreatedAt(path)
            | Fact::ModifiedAt(path)
            | Fact::CreatedBy(path)
            | Fact::ModifiedBy(path)
            | Fact::ParentId(path) => *path == property,
            _ => false,
        };
        property == "id" || self.facts.iter().any(computed)
    }
}

/// A write, while it is checked.
pub struct DocumentChange<'a> {
    /// The request.
    pub call: &'a Call,
    /// The document before; none when it is created.
    pub old: Option<&'a Document>,
    /// The document after.
    pub new: &'a mut Document,
}

/// What `$expand` shows of a navigation property that leads out of a document.
pub enum Expandable {
    /// One entity, or null.
    One(Option<Object>),
    /// A collection of entities.
    Many(Vec<Object>),
}

/// What a kind means beyond being stored. Everything runs in the transaction of the write, or on
/// the snapshot of the read, and may run twice.
pub trait Hooks: Sync {
    /// The id of a new document: a GUID made for it, unless its kind has other ids.
    ///
    /// # Errors
    /// What is wrong with the id that the caller gives.
    fn id(&self, _reader: &Reader<'_>, _call: &Call, _document: &Document, guid: &str) -> Result<String, Problem> {
        Ok(guid.to_owned())
    }

    /// Asks outside whether a document can be created, before the transaction.
    ///
    /// # Errors
    /// Why it cannot be created.
    fn prepare<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Checks a new or changed document and fills in what depends on other rows.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, _reader: &Reader<'_>, _change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        Ok(())
    }

    /// Refuses a change, whatever it is.
    ///
    /// # Errors
    /// Why it cannot be changed.
    fn check_update(&self, _document: &Document) -> Result<(), Problem> {
        Ok(())
    }

    /// Refuses a deletion.
    ///
    /// # Errors
    /// Why it cannot be deleted.
    fn check_delete(&self, _reader: &Reader<'_>, _call: &Call, _document: &Document) -> Result<(), Problem> {
        Ok(())
    }

    /// Follows up a write in the same commit. `new` is none after a deletion.
    ///
    /// # Errors
    /// The store failed.
    fn after(
        &self,
        _tx: &mut Tx<'_>,
        _call: &Call,
        _old: Option<&Document>,
        _new: Option<&Document>,
    ) -> Result<(), Problem> {
        Ok(())
    }

    /// The ids of the documents that a path below a user shows; none if there is no such path.
    ///
    /// # Errors
    /// The store failed.
    fn of_user(
        &self,
        _reader: &Reader<'_>,
        _tenant: TenantId,
        _user: UserId,
    ) -> Result<Option<BTreeSet<String>>, Problem> {
        Ok(None)
    }

    /// Reads what `$expand` shows of a property that is not a collection within the document.
    ///
    /// # Errors
    /// The caller may not read it; the store failed.
    fn expand(
        &self,
        _reader: &Reader<'_>,
        _call: &Call,
        _document: &Document,
        _expansion: &Expansion,
    ) -> Result<Expandable, Problem> {
        Ok(Expandable::Many(Vec::new()))
    }

    /// Fills in what is computed for a page of documents, into their status.
    ///
    /// # Errors
    /// The store failed.
    fn computed(&self, _reader: &Reader<'_>, _call: &Call, _page: &mut [Document]) -> Result<(), Problem> {
        Ok(())
    }
}

/// A kind that is stored and nothing else.
pub struct NoHooks;

impl Hooks for NoHooks {}
