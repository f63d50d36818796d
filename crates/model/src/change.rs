//! Changes of entities, as the change feed tells of them.
//!
//! A change names an entity and says whether it was created, updated or deleted; a client reads the
//! entity itself to learn the rest. This module refuses to know how the feed is stored and sent.

use std::str::FromStr;

use strum::{EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};

use crate::DocumentType;

/// Type of an entity in the change feed. Stored and sent by the name of the type in the contract.
/// A type comes before the types that its entities contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumIter, IntoStaticStr)]
#[expect(missing_docs, reason = "each is named after the entity type")]
pub enum EntityType {
    #[strum(serialize = "user")]
    User,
    #[strum(serialize = "group")]
    Group,
    #[strum(serialize = "subscribedSku")]
    SubscribedSku,
    #[strum(disabled)]
    Document(DocumentType),
    #[strum(serialize = "cloudPcExternalPartner")]
    ExternalPartner,
    #[strum(serialize = "cloudPC")]
    CloudPc,
    #[strum(serialize = "cloudPcSnapshot")]
    Snapshot,
    #[strum(serialize = "cloudPcBulkAction")]
    BulkAction,
    #[strum(serialize = "action")]
    Action,
}

impl EntityType {
    /// Name of the type in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Document(kind) => kind.name(),
            other => other.into(),
        }
    }

    /// All types.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter().chain(DocumentType::ALL.iter().map(|kind| Self::Document(*kind)))
    }
}

impl FromStr for EntityType {
    type Err = strum::ParseError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::all().find(|entity_type| entity_type.name() == name).ok_or(strum::ParseError::VariantNotFound)
    }
}

/// What happened to an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
#[expect(missing_docs, reason = "each says it")]
pub enum ChangeKind {
    Created,
    Updated,
    Deleted,
}

impl ChangeKind {
    /// Returns what happened to an entity in all to which this happened first and `later` next. A
    /// deletion counts even if the entity was created just before: someone may know the entity from
    /// before that.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Created, Self::Updated) => Self::Created,
            (Self::Deleted, Self::Created) => Self::Updated,
            _ => later,
        }
    }
}

/// A change of one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Type of the entity.
    pub entity_type: EntityType,
    /// Id of the entity that contains it; empty if it stands alone. The parent of an action is the
    /// Cloud PC or document that the action targets.
    pub parent: String,
    /// Id of the entity.
    pub id: String,
    /// Name of the entity; empty if it has none or the change does not concern it. The name of an
    /// action is its state.
    pub name: String,
    /// What happened to it.
    pub kind: ChangeKind,
}

impl Change {
    /// A change of an entity that stands alone, without its name.
    pub fn new(kind: ChangeKind, entity_type: EntityType, id: impl ToString) -> Self {
        Self { entity_type, parent: String::new(), id: id.to_string(), name: String::new(), kind }
    }

    /// The same within another entity.
    #[must_use]
    pub fn within(mut self, parent: impl ToString) -> Self {
        self.parent = parent.to_string();
        self
    }

    /// The same with the entity's name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_by_its_name() {
        assert!(EntityType::all().count() > DocumentType::ALL.len());
        for entity_type in EntityType::all() {
            assert_eq!(entity_type.name().parse(), Ok(entity_type));
        }
        assert_eq!("nothing".parse::<EntityType>(), Err(strum::ParseError::VariantNotFound));
    }

    #[test]
    fn changes_in_a_row_are_one() {
        use ChangeKind::{Created, Deleted, Updated};
        for (first, later, both) in [
            (Created, Updated, Created),
            (Created, Deleted, Deleted),
            (Updated, Updated, Updated),
            (Updated, Deleted, Deleted),
            (Deleted, Created, Updated),
        ] {
            assert_eq!(first.then(later), both, "{first:?} {later:?}");
        }
    }
}
