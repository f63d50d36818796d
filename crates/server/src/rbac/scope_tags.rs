//! Scope tags: which entities a right reaches.
//!
//! An entity has tags (`scopeIds`), and a right has tags (`appScopeIds` of its role assignment). A
//! right reaches an entity if the two have a tag in common. A Cloud PC has the tags of its
//! provisioning policy.

use cloudpc_model::{CloudPc, Document, DocumentKey, DocumentType, Object, TenantId};
use cloudpc_store::{KeyRanges, ListCondition, ListValue, Reader, StoreError, cloud_pc_columns};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The tag of entities that name none.
pub const DEFAULT_TAG: &str = "0";
/// The `appScopeIds` element that stands for all tags.
pub const ALL_TAGS: &str = "/";
/// The property of an entity that holds its tags.
pub const SCOPE_IDS: &str = "scopeIds";

/// The scope tags of a right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeTags {
    /// The right reaches everything.
    All,
    /// The right reaches what has one of these tags.
    Only(BTreeSet<String>),
}

impl ScopeTags {
    /// Returns the tags of a role assignment: all if it names none, or names `/`.
    pub fn of_assignment(assignment: &Object) -> Self {
        let tags = texts(assignment, "appScopeIds");
        if tags.is_empty() || tags.contains(ALL_TAGS) { Self::All } else { Self::Only(tags) }
    }

    /// Whether the right reaches everything.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether the right reaches an entity with these tags.
    pub fn reaches(&self, entity: &BTreeSet<String>) -> bool {
        match self {
            Self::All => true,
            Self::Only(tags) => !tags.is_disjoint(entity),
        }
    }

    /// Whether a right with these tags reaches all that one with `other` reaches.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(own), Self::Only(other)) => other.is_subset(own),
        }
    }

    /// Adds the reach of another assignment of the same right.
    pub fn extend(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Only(own), Self::Only(other)) => own.extend(other),
            (_, Self::All) => *self = Self::All,
            (Self::All, Self::Only(_)) => {}
        }
    }

    /// Whether the right reaches a Cloud PC.
    pub(crate) fn reaches_cloud_pc(&self, reader: &Reader<'_>, cloud_pc: &CloudPc) -> Result<bool, StoreError> {
        if self.is_all() {
            return Ok(true);
        }
        let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, &cloud_pc.provisioning_policy_id);
        let policy = reader.document(cloud_pc.tenant_id, &key)?;
        Ok(self.reaches(&policy.map_or_else(default_tags, |policy| tags_of(&policy))))
    }
}

/// Returns the tags of a document: the default one if it names none.
pub(crate) fn tags_of(document: &Document) -> BTreeSet<String> {
    let tags = texts(&document.body, SCOPE_IDS);
    if tags.is_empty() { default_tags() } else { tags }
}

fn default_tags() -> BTreeSet<String> {
    [DEFAULT_TAG.to_owned()].into()
}

fn texts(body: &Object, property: &str) -> BTreeSet<String> {
    let texts = body.get(property).and_then(Value::as_array).into_iter().flatten();
    texts.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The Cloud PCs that a right reaches, by the ids of their policies in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum CloudPcScope {
    /// All.
    #[default]
    All,
    /// Those of these policies.
    Only(BTreeSet<String>),
    /// Those of other policies, and those without one.
    AllBut(BTreeSet<String>),
}

impl CloudPcScope {
    /// Reads which Cloud PCs a right with these tags reaches.
    pub(crate) fn read(reader: &Reader<'_>, tenant: TenantId, tags: &ScopeTags) -> Result<Self, StoreError> {
        let ScopeTags::Only(own) = tags else { return Ok(Self::All) };
        let includes_default = own.contains(DEFAULT_TAG);
        let mut policies = BTreeSet::new();
        for (id, policy_tags) in reader.policy_scope_tags(tenant)? {
            let policy_tags =
                if policy_tags.is_empty() { default_tags() } else { policy_tags.into_iter().collect::<BTreeSet<_>>() };
            if tags.reaches(&policy_tags) != includes_default {
                policies.insert(id.to_ascii_lowercase());
            }
        }
        Ok(if includes_default { Self::AllBut(policies) } else { Self::Only(policies) })
    }

    /// Whether the right reaches all Cloud PCs.
    pub(crate) fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether the right reaches a Cloud PC.
    pub(crate) fn includes(&self, cloud_pc: &CloudPc) -> bool {
        let policy = cloud_pc.provisioning_policy_id.to_ascii_lowercase();
        match self {
            Self::All => true,
            Self::Only(policies) => policies.contains(&policy),
            Self::AllBut(policies) => !policies.contains(&policy),
        }
    }

    /// Returns the condition of these Cloud PCs.
    pub(crate) fn condition(&self) -> ListCondition {
        let points = |policies: &BTreeSet<String>| KeyRanges::points(policies.iter().cloned().map(ListValue::Text));
        let within = |ranges: KeyRanges| {
            ListCondition::all([ListCondition::Within(cloud_pc_columns::PROVISIONING_POLICY_ID, ranges)])
        };
        match self {
            Self::All => ListCondition::TRUE,
            Self::Only(policies) => within(points(policies)),
            Self::AllBut(policies) => within(points(policies).complement()),
        }
    }

    /// Returns a text that differs when other Cloud PCs are reached; empty for all.
    pub(crate) fn fingerprint(&self) -> String {
        let (kind, policies) = match self {
            Self::All => return String::new(),
            Self::Only(policies) => ("only", policies),
            Self::AllBut(policies) => ("but", policies),
        };
        let mut hash = Sha256::new_with_prefix(kind);
        for policy in policies {
            hash.update(b"\n");
            hash.update(policy);
        }
        hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn only(tags: &[&str]) -> ScopeTags {
        ScopeTags::Only(tags.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_assignment_without_tags_or_with_a_slash_reaches_everything() {
        let tags = |ids| ScopeTags::of_assignment(json!({"appScopeIds": ids}).as_object().unwrap());
        assert_eq!(tags(json!([])), ScopeTags::All);
        assert_eq!(tags(json!(["7", "/"])), ScopeTags::All);
        assert_eq!(tags(json!(["7", "0"])), only(&["0", "7"]));
        assert_eq!(ScopeTags::of_assignment(&Object::new()), ScopeTags::All);
    }

    #[test]
    fn a_right_reaches_what_has_one_of_its_tags() {
        let entity = |tags: &[&str]| tags.iter().map(ToString::to_string).collect();
        assert!(only(&["1", "7"]).reaches(&entity(&["7", "9"])));
        assert!(!only(&["1", "7"]).reaches(&entity(&["0"])));
        assert!(ScopeTags::All.reaches(&entity(&["9"])));
    }

    #[test]
    fn a_right_covers_those_with_fewer_tags() {
        assert!(ScopeTags::All.covers(&ScopeTags::All) && ScopeTags::All.covers(&only(&["7"])));
        assert!(only(&["1", "7"]).covers(&only(&["7"])));
        assert!(!only(&["7"]).covers(&only(&["1", "7"])) && !only(&["7"]).covers(&ScopeTags::All));
        let mut both = only(&["1"]);
        both.extend(only(&["7"]));
        assert_eq!(both, only(&["1", "7"]));
        both.extend(ScopeTags::All);
        both.extend(only(&["9"]));
        assert_eq!(both, ScopeTags::All);
    }
}
