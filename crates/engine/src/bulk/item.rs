//! Beginning an item of a bulk action: what the request means for one Cloud PC.

use cloudpc_model::{
    ActionId, BulkItemState, BulkRequest, CloudPc, DocumentKey, DocumentType, Error, ErrorKind, Failure, Params,
    PolicySettingTypes, RestoreTimeRange, Rng, SeededRng, SnapshotId, Timestamp,
};
use cloudpc_store::{BulkItemChange, StoreError, Tx};

use crate::ledger::RequestContext;
use crate::policy::PolicySettings;
use crate::request::{Stamp, accept_unchecked, request};
use crate::review::{ReviewRequest, set_review_status};

/// Most restore points of a Cloud PC that are searched for the wanted one.
const SNAPSHOTS_MAX: usize = 1_000;

/// How an item begins.
enum Beginning {
    /// By this action.
    Action(Params),
    /// By this change of its review.
    Review(ReviewRequest),
    /// It needs none: the Cloud PC is as requested.
    Unneeded,
    /// It cannot.
    Refused(BulkItemState, Failure),
}

/// Begins the action that a bulk request means for a Cloud PC, or says why it cannot begin.
///
/// # Errors
/// The store fails.
pub(crate) fn begin_item(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    wanted: &BulkRequest,
    cloud_pc: &CloudPc,
    rng: &SeededRng,
    stamp: Stamp,
) -> Result<BulkItemChange, StoreError> {
    let ended = |state, failure| BulkItemChange { state, due_at: None, action_id: None, failure };
    let params = match beginning(tx, wanted, cloud_pc, rng)? {
        Beginning::Action(params) => params,
        Beginning::Review(review) => {
            return match set_review_status(tx, asked, cloud_pc, review, rng.uuid(), stamp) {
                Ok(Some(action)) => Ok(in_progress(action)),
                Ok(None) => Ok(ended(BulkItemState::Succeeded, None)),
                Err(error) => refusal(error).map(|(state, failure)| ended(state, Some(failure))),
            };
        }
        Beginning::Unneeded => return Ok(ended(BulkItemState::Succeeded, None)),
        Beginning::Refused(state, failure) => return Ok(ended(state, Some(failure))),
    };
    let begun = match params {
        // Not a remote action: it waits for those that are open.
        Params::ApplyPolicy { .. } => Ok(accept_unchecked(tx, asked, cloud_pc, params, stamp)?),
        params => request(tx, asked, cloud_pc, params, stamp),
    };
    match begun {
        Ok(action) => Ok(in_progress(action)),
        Err(error) => refusal(error).map(|(state, failure)| ended(state, Some(failure))),
    }
}

fn in_progress(action: ActionId) -> BulkItemChange {
    BulkItemChange { state: BulkItemState::InProgress, due_at: None, action_id: Some(action), failure: None }
}

/// Returns how an item ends whose action was refused; a failure of the store is not a refusal.
fn refusal(error: Error) -> Result<(BulkItemState, Failure), StoreError> {
    match error.kind {
        ErrorKind::Internal | ErrorKind::Unavailable => {
            let source = error.source.and_then(|source| source.downcast::<StoreError>().ok());
            Err(source.map_or(StoreError::Corrupt { table: "actions", what: error.message }, |source| *source))
        }
        ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Invalid | ErrorKind::Forbidden => {
            let state = match error.code {
                "cloudPcStatusNotAllowed" => BulkItemState::NotSupported,
                _ => BulkItemState::Failed,
            };
            Ok((state, failure(error.code, error.message)))
        }
    }
}

/// Returns what the request means for a Cloud PC.
fn beginning(tx: &Tx<'_>, request: &BulkRequest, cloud_pc: &CloudPc, rng: &SeededRng) -> Result<Beginning, StoreError> {
    let params = match request {
        BulkRequest::Reprovision => Params::Reprovision { os_version: None, user_account_type: None, image_id: None },
        BulkRequest::Restart => Params::Reboot,
        BulkRequest::Troubleshoot => Params::Troubleshoot,
        BulkRequest::PowerOn => Params::PowerOn,
        BulkRequest::PowerOff => Params::PowerOff,
        BulkRequest::Resize { target_service_plan_id } => {
            Params::Resize { target_service_plan_id: *target_service_plan_id }
        }
        BulkRequest::Restore { restore_point_at, time_range, .. } => {
            return restore(tx, cloud_pc, *restore_point_at, *time_range);
        }
        BulkRequest::CreateSnapshot => Params::CreateSnapshot { snapshot_id: SnapshotId::new(cloud_pc.id, rng.uuid()) },
        BulkRequest::SetReviewStatus { in_review: false, .. } => return Ok(Beginning::Review(ReviewRequest::End)),
        BulkRequest::SetReviewStatus {
            user_access_level,
            subscription_id,
            azure_storage_account_id,
            access_tier,
            ..
        } => {
            return Ok(Beginning::Review(ReviewRequest::Begin {
                user_access: *user_access_level,
                subscription_id: subscription_id.clone(),
                storage_account_id: azure_storage_account_id.clone(),
                access_tier: *access_tier,
            }));
        }
        BulkRequest::Move => return move_region(tx, cloud_pc),
        BulkRequest::ReinstallAgent => return Ok(not_supported("The Cloud PC has no Microsoft agent to reinstall.")),
        BulkRequest::ModifyDiskEncryptionType { .. } => {
            return Ok(not_supported("The host decides whether the disk is encrypted; a request cannot change it."));
        }
        BulkRequest::DisasterRecovery { .. }
        | BulkRequest::DisasterRecoveryFailover
        | BulkRequest::DisasterRecoveryFailback => {
            return Ok(not_supported("This installation has no second region to fail over to."));
        }
    };
    Ok(Beginning::Action(params))
}

/// Chooses the restore point.
fn restore(
    tx: &Tx<'_>,
    cloud_pc: &CloudPc,
    wanted: Timestamp,
    range: RestoreTimeRange,
) -> Result<Beginning, StoreError> {
    let snapshots = tx.snapshot_list(cloud_pc.tenant_id, Some(cloud_pc.id), None, SNAPSHOTS_MAX)?;
    let chosen = range.choose(wanted, snapshots.iter().map(|snapshot| snapshot.created_at));
    Ok(match chosen {
        Some(place) => Beginning::Action(Params::Restore { snapshot_id: snapshots[place].id.clone() }),
        None => {
            let side: &str = range.into();
            let message = format!("The Cloud PC has no restore point in the range '{side}' of {wanted}.");
            Beginning::Refused(BulkItemState::Failed, failure("snapshotNotFound", message))
        }
    })
}

/// Moves a Cloud PC to the region of its policy, if it is in another one.
fn move_region(tx: &Tx<'_>, cloud_pc: &CloudPc) -> Result<Beginning, StoreError> {
    let tenant = cloud_pc.tenant_id;
    let entitlement = tx.entitlement(tenant, cloud_pc.id)?.filter(|_| cloud_pc.takes_policy_changes());
    let policy = match &entitlement {
        Some(entitlement) => {
            tx.document(tenant, &DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, &entitlement.policy_id))?
        }
        None => None,
    };
    let Some(policy) = policy else {
        return Ok(not_supported("No provisioning policy created the Cloud PC, or its status allows no move."));
    };
    let region = PolicySettings::of(&policy).values(PolicySettingTypes::DEFAULT).region;
    Ok(match region {
        Some(region) if region != cloud_pc.region => Beginning::Action(Params::ApplyPolicy {
            policy_id: policy.key.id,
            region: Some(region),
            single_sign_on: None,
        }),
        _ => Beginning::Unneeded,
    })
}

fn not_supported(message: &str) -> Beginning {
    Beginning::Refused(BulkItemState::NotSupported, failure("operationNotSupported", message))
}

fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure { code: code.to_owned(), message: message.into() }
}
