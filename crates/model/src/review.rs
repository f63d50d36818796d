//! Reviews: a Cloud PC that an administrator examines, with a restore point of its disk.

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumString, IntoStaticStr};

use crate::{CloudPcId, TenantId, Timestamp};

/// A review that is under way: `cloudPcReviewStatus` with `inReview`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Tenant.
    pub tenant_id: TenantId,
    /// The Cloud PC under review.
    pub cloud_pc_id: CloudPcId,
    /// What the user of the Cloud PC may do meanwhile.
    pub user_access: UserAccessLevel,
    /// Azure subscription of the storage account, as the caller gave it.
    pub subscription_id: Option<String>,
    /// Azure storage account for a copy of the restore point, as the caller gave it.
    pub storage_account_id: Option<String>,
    /// Access tier of that copy.
    pub access_tier: BlobAccessTier,
    /// When the review began.
    pub started_at: Timestamp,
    /// When its restore point was taken; none until then.
    pub restore_point_at: Option<Timestamp>,
}

/// `cloudPcUserAccessLevel`
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize,
)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum UserAccessLevel {
    /// The user uses the Cloud PC as usual.
    #[default]
    Unrestricted,
    /// The user can neither connect to the Cloud PC nor request actions on it.
    Restricted,
}

/// `cloudPcBlobAccessTier`
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize,
)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is named after Azure's tier")]
pub enum BlobAccessTier {
    #[default]
    Hot,
    Cool,
    Cold,
    Archive,
}
