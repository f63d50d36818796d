//! `cloudPcReviewStatus`

use cloudpc_model::{BlobAccessTier, Review, UserAccessLevel};
use serde::Serialize;

use super::Time;

/// Why no restore point is in the storage account of a review.
const NOT_COPIED: &str = "This installation has no connection to Azure: the restore point stays on the host, and nothing was copied to the storage account.";

/// `cloudPcReviewStatus`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewView<'a> {
    in_review: bool,
    user_access_level: &'static str,
    subscription_id: Option<&'a str>,
    subscription_name: Option<&'a str>,
    azure_storage_account_id: Option<&'a str>,
    azure_storage_account_name: Option<&'a str>,
    azure_storage_container_name: Option<&'a str>,
    access_tier: &'static str,
    review_start_date_time: Option<Time>,
    restore_point_date_time: Option<Time>,
    #[serde(rename = "@cloudpc.notCopied", skip_serializing_if = "Option::is_none")]
    not_copied: Option<&'static str>,
}

/// Returns the view of a review; of none if the Cloud PC is not under review.
pub fn review(review: Option<&Review>) -> ReviewView<'_> {
    let storage_account = review.and_then(|review| review.storage_account_id.as_deref());
    ReviewView {
        in_review: review.is_some(),
        user_access_level: review.map_or_else(UserAccessLevel::default, |review| review.user_access).into(),
        subscription_id: review.and_then(|review| review.subscription_id.as_deref()),
        subscription_name: None,
        azure_storage_account_id: storage_account,
        azure_storage_account_name: None,
        azure_storage_container_name: None,
        access_tier: review.map_or_else(BlobAccessTier::default, |review| review.access_tier).into(),
        review_start_date_time: review.map(|review| Time(review.started_at)),
        restore_point_date_time: review.and_then(|review| review.restore_point_at).map(Time),
        not_copied: storage_account.map(|_| NOT_COPIED),
    }
}
