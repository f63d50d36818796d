//! Reviews: putting a Cloud PC under review takes a restore point of its disk and may restrict what
//! its user can do; ending the review lifts the restriction.
//!
//! The restriction takes effect when the request is accepted; the restore point follows by an
//! action.

use cloudpc_model::{ActionId, AuditVerb, BlobAccessTier, CloudPc, Error, Params, Review, SnapshotId, UserAccessLevel};
use cloudpc_store::{Reader, StoreError, Tx};
use uuid::Uuid;

use crate::Engine;
use crate::ledger::{RequestContext, audit};
use crate::request::{Stamp, accept, check_admission};

/// Most characters of the id of a subscription or storage account.
pub const AZURE_ID_CHARS_MAX: usize = 512;

/// What a caller wants the review of a Cloud PC to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewRequest {
    /// Begin a review, or change the open one.
    Begin {
        /// What the user may do meanwhile.
        user_access: UserAccessLevel,
        /// Azure subscription of the storage account.
        subscription_id: Option<String>,
        /// Azure storage account; recorded, and nothing is copied to it.
        storage_account_id: Option<String>,
        /// Access tier of a copy.
        access_tier: BlobAccessTier,
    },
    /// End the review, if there is one.
    End,
}

impl Engine {
    /// Begins, changes or ends the review of the Cloud PC that `find` looks up. Returns the action
    /// that takes the restore point, if a review begins.
    ///
    /// # Errors
    /// Errors of `find`; conflict (`remoteActionInProgress`, `cloudPcStatusNotAllowed`) if a review
    /// cannot begin now; invalid (an id that is too long).
    pub async fn set_review_status<E, F>(&self, asked: &RequestContext, find: F) -> Result<Option<ActionId>, E>
    where
        F: Fn(&Reader<'_>) -> Result<(CloudPc, ReviewRequest), E> + Send + 'static,
        E: From<Error> + From<StoreError> + Send + 'static,
    {
        let (asked, stamp, number) = (asked.clone(), self.stamp(), self.parts.rng.uuid());
        let written = self.parts.store.write("review.set", move |tx| {
            let (cloud_pc, request) = find(tx)?;
            Ok::<_, E>(set_review_status(tx, &asked, &cloud_pc, request, number, stamp)?)
        });
        let action = written.await?;
        self.work.wake.notify_one();
        Ok(action)
    }
}

pub(crate) fn set_review_status(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    cloud_pc: &CloudPc,
    request: ReviewRequest,
    number: Uuid,
    stamp: Stamp,
) -> Result<Option<ActionId>, Error> {
    let (tenant, id) = (cloud_pc.tenant_id, cloud_pc.id);
    let before = tx.review(tenant, id)?;
    let entry = audit::asked_for(asked, stamp.at, AuditVerb::SetReviewStatus, audit::resource(cloud_pc));
    let was = before.as_ref().map_or(UserAccessLevel::Unrestricted, |review| review.user_access);
    let in_review = before.is_some().to_string();
    let ReviewRequest::Begin { user_access, subscription_id, storage_account_id, access_tier } = request else {
        if before.is_some() {
            tx.review_delete(tenant, id)?;
            let entry = entry.changed("inReview", Some(&in_review), "false");
            let unrestricted: &str = UserAccessLevel::Unrestricted.into();
            tx.audit_insert(&entry.changed("userAccessLevel", Some(was.into()), unrestricted))?;
        }
        return Ok(None);
    };
    for (name, given) in [("subscriptionId", &subscription_id), ("azureStorageAccountId", &storage_account_id)] {
        let chars = given.as_ref().map_or(0, |given| given.chars().count());
        if chars > AZURE_ID_CHARS_MAX {
            let message = format!("'{name}' has {chars} characters; at most {AZURE_ID_CHARS_MAX} are allowed.");
            return Err(Error::invalid(message));
        }
    }
    let snapshot_id = SnapshotId::new(id, number);
    let params = Params::PlaceUnderReview { snapshot_id };
    if before.is_none() {
        check_admission(tx, cloud_pc, params.kind())?;
    }
    tx.review_put(&Review {
        tenant_id: tenant,
        cloud_pc_id: id,
        user_access,
        subscription_id,
        storage_account_id,
        access_tier,
        started_at: before.as_ref().map_or(stamp.at, |review| review.started_at),
        restore_point_at: before.as_ref().and_then(|review| review.restore_point_at),
    })?;
    let entry = entry.changed("inReview", Some(&in_review), "true");
    tx.audit_insert(&entry.changed("userAccessLevel", Some(was.into()), user_access.into()))?;
    match before {
        Some(_) => Ok(None),
        None => accept(tx, asked, cloud_pc, params, stamp).map(Some),
    }
}
