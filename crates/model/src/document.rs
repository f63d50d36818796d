//! Documents: configuration entities that are kept as JSON, such as policies and user settings.
//!
//! Callers write the body of a document, and the engine writes its status. Secrets are not kept,
//! only counted. This module refuses to know what the properties of a document mean, except the
//! groups and users that an assignment names, and how it looks in an answer.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{GroupId, TenantId, Timestamp};

/// A JSON object.
pub type Object = Map<String, Value>;

macro_rules! document_types {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// The entity type of a document. Stored by [`DocumentType::name`]; a new one needs no
        /// migration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each is named after the entity type of the contract")]
        pub enum DocumentType { $($variant),+ }

        impl DocumentType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Name of the entity type in the contract.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Name of the type in the audit log: the same in Pascal case.
            pub const fn resource_name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }
        }
    };
}

document_types! {
    AlertRecord = "alertRecord",
    AlertRule = "alertRule",
    CloudPcCloudApp = "cloudPcCloudApp",
    CloudPcCrossCloudGovernmentOrganizationMapping = "cloudPcCrossCloudGovernmentOrganizationMapping",
    CloudPcDeviceImage = "cloudPcDeviceImage",
    CloudPcExportJob = "cloudPcExportJob",
    CloudPcFrontLineServicePlan = "cloudPcFrontLineServicePlan",
    CloudPcGalleryImage = "cloudPcGalleryImage",
    CloudPcMaintenanceWindow = "cloudPcMaintenanceWindow",
    CloudPcMaintenanceWindowAssignment = "cloudPcMaintenanceWindowAssignment",
    CloudPcManagedLicense = "cloudPcManagedLicense",
    CloudPcOnPremisesConnection = "cloudPcOnPremisesConnection",
    CloudPcOrganizationSettings = "cloudPcOrganizationSettings",
    CloudPcPool = "cloudPcPool",
    CloudPcPoolAssignment = "cloudPcPoolAssignment",
    CloudPcProvisioningPolicy = "cloudPcProvisioningPolicy",
    CloudPcProvisioningPolicyAssignment = "cloudPcProvisioningPolicyAssignment",
    CloudPcServicePlan = "cloudPcServicePlan",
    CloudPcSettingProfile = "cloudPcSettingProfile",
    CloudPcSettingProfileAssignment = "cloudPcSettingProfileAssignment",
    CloudPcSupportedRegion = "cloudPcSupportedRegion",
    CloudPcUserSetting = "cloudPcUserSetting",
    CloudPcUserSettingAssignment = "cloudPcUserSettingAssignment",
    UnifiedRoleAssignmentMultiple = "unifiedRoleAssignmentMultiple",
    UnifiedRoleDefinition = "unifiedRoleDefinition",
    Webhook = "webhook",
}

/// The key of a document within its tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey {
    /// Entity type.
    pub kind: DocumentType,
    /// Id of the document that contains it; empty for one that stands alone.
    pub parent: String,
    /// Id, as [`DocumentKey::fold`] writes it.
    pub id: String,
}

impl DocumentKey {
    /// The key of a document that stands alone.
    pub fn new(kind: DocumentType, id: &str) -> Self {
        Self { kind, parent: String::new(), id: Self::fold(id) }
    }

    /// The key of a document within another.
    pub fn within(kind: DocumentType, parent: &str, id: &str) -> Self {
        Self { parent: Self::fold(parent), ..Self::new(kind, id) }
    }

    /// Folds the spellings of an id into one: a GUID, or several with `_` between them, is the same
    /// in any case.
    pub fn fold(id: &str) -> String {
        let is_guid = |part: &str| part.len() == uuid::fmt::Hyphenated::LENGTH && Uuid::parse_str(part).is_ok();
        if id.split('_').all(is_guid) { id.to_ascii_lowercase() } else { id.to_owned() }
    }
}

/// A stored document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Key.
    pub key: DocumentKey,
    /// Rises with each change of any part; the entity tag of HTTP.
    pub revision: i64,
    /// What callers write, by the newest names of the contract.
    pub body: Object,
    /// What the engine writes.
    pub status: Object,
    /// How often each secret was given. The secrets are not kept, since nothing uses them.
    pub secret_counts: Object,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last change of the body.
    pub modified_at: Timestamp,
}

impl Document {
    /// Returns the group to which an assignment is; none if this is not an assignment to a group,
    /// or its group is not a GUID.
    pub fn assigned_group(&self) -> Option<GroupId> {
        use DocumentType as Type;
        let target = match self.key.kind {
            Type::CloudPcProvisioningPolicyAssignment
            | Type::CloudPcUserSettingAssignment
            | Type::CloudPcMaintenanceWindowAssignment => self.body.get("target")?.as_object()?,
            Type::CloudPcSettingProfileAssignment => &self.body,
            _ => return None,
        };
        target.get("groupId")?.as_str()?.parse().ok()
    }

    /// Returns the ids of the users and groups that a role assignment names. Texts that are not
    /// GUIDs are left out.
    pub fn principals(&self) -> Vec<Uuid> {
        if self.key.kind != DocumentType::UnifiedRoleAssignmentMultiple {
            return Vec::new();
        }
        let ids = self.body.get("principalIds").and_then(Value::as_array).into_iter().flatten();
        ids.filter_map(|id| id.as_str()?.parse().ok()).collect()
    }
}

/// How a document refers to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceStrength {
    /// The target must exist when the reference is written, and cannot be deleted while it stands.
    Holds,
    /// The target must exist when the reference is written.
    MustExist,
    /// The target may be missing.
    Weak,
}

/// A reference of a document to another one of its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentReference {
    /// Path of the property that refers, e.g. `imageId`.
    pub property: &'static str,
    /// Target.
    pub target: DocumentKey,
    /// Strength.
    pub strength: ReferenceStrength,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_guids_are_the_same_in_any_case() {
        let (policy, group) = ("0A1B0000-0000-4000-8000-00000000000F", "ABC00000-0000-4000-8000-000000000001");
        assert_eq!(DocumentKey::fold(policy), policy.to_lowercase());
        assert_eq!(DocumentKey::fold(&format!("{policy}_{group}")), format!("{policy}_{group}").to_lowercase());
        for other in ["MicrosoftWindowsDesktop_a_b", "A_b_C", "", "ABC"] {
            assert_eq!(DocumentKey::fold(other), other);
        }
    }

    #[test]
    fn names_differ_only_in_the_first_letter() {
        for kind in DocumentType::ALL {
            assert!(kind.name().eq_ignore_ascii_case(kind.resource_name()), "{kind:?}");
        }
    }
}
