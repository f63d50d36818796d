//! Bulk actions: accepting them, and retrying items that failed.
//!
//! A request stores which Cloud PCs are to be acted on; the reconciler ([`crate::run`]) begins an
//! ordinary action for each of them.

mod item;

use cloudpc_model::{
    AuditResource, AuditVerb, BulkAction, BulkActionId, BulkCounts, BulkItem, BulkItemState, BulkRequest, CloudPc,
    CloudPcId, Error, ErrorKind, ResourceType, Rng, SeededRng, Timestamp,
};
use cloudpc_store::{BulkItemChange, Reader, StoreError, Tx};
use std::collections::HashSet;

use crate::Engine;
use crate::ledger::{RequestContext, audit};
use crate::request::Stamp;

pub(crate) use item::begin_item;

/// Most Cloud PCs in a bulk action.
pub const BULK_CLOUD_PCS_MAX: usize = 5_000;

/// Most bulk actions of a tenant with items that have not ended.
pub const BULK_ACTIONS_OPEN_MAX: u64 = 100;

/// Bulk actions that a tenant keeps; the oldest that have ended are deleted, with their items.
/// Their actions stay.
pub const BULK_ACTIONS_KEPT_MAX: u64 = 1_000;

/// Most bulk actions that are deleted to accept one.
const DELETIONS_MAX: u64 = 4;

/// A bulk action to be accepted.
#[derive(Clone, Debug)]
pub struct NewBulkAction {
    /// Name for people.
    pub display_name: String,
    /// The Cloud PCs as named by the caller; duplicates count once.
    pub cloud_pcs: Vec<String>,
    /// What to do with each.
    pub request: BulkRequest,
    /// Whether each waits for a maintenance window of its user.
    pub in_maintenance_window: bool,
}

impl Engine {
    /// Accepts a bulk action; returns it with its items pending. It is durable when this returns.
    ///
    /// # Errors
    /// Invalid (no or too many Cloud PCs, an unknown service plan); forbidden
    /// (`quotaLimitReached`); the store fails.
    pub async fn accept_bulk(&self, asked: &RequestContext, new: NewBulkAction) -> Result<BulkAction, Error> {
        let cloud_pcs = distinct(&new.cloud_pcs);
        if cloud_pcs.is_empty() || cloud_pcs.len() > BULK_CLOUD_PCS_MAX {
            let message = format!(
                "'cloudPcIds' names {} Cloud PCs; 1 to {BULK_CLOUD_PCS_MAX} are allowed in a bulk action.",
                cloud_pcs.len()
            );
            return Err(Error::invalid(message));
        }
        let bulk = BulkAction {
            tenant_id: asked.tenant_id,
            id: BulkActionId::random(&*self.parts.rng),
            display_name: new.display_name,
            request: new.request,
            in_maintenance_window: new.in_maintenance_window,
            requested_by: asked.by.clone(),
            request_id: asked.request_id.clone(),
            created_at: self.parts.clock.now(),
            counts: BulkCounts { pending: u32::try_from(cloud_pcs.len()).unwrap_or(u32::MAX), ..BulkCounts::default() },
        };
        let (asked, accepted) = (asked.clone(), bulk.clone());
        let written = self.parts.store.write("bulkAction.accept", move |tx| insert(tx, &asked, &bulk, &cloud_pcs));
        written.await?;
        Ok(accepted)
    }

    /// Retries items of a bulk action: those of `cloud_pcs`, or without it all that failed.
    ///
    /// # Errors
    /// Not found; invalid (a Cloud PC that is not an item, or whose item cannot be retried);
    /// forbidden (`quotaLimitReached`); the store fails.
    pub async fn retry_bulk(
        &self,
        asked: &RequestContext,
        id: BulkActionId,
        cloud_pcs: Option<Vec<String>>,
    ) -> Result<(), Error> {
        let (asked, now) = (asked.clone(), self.parts.clock.now());
        let written =
            self.parts.store.write("bulkAction.retry", move |tx| retry(tx, &asked, id, cloud_pcs.as_deref(), now));
        written.await
    }

    /// Requests the same action on each Cloud PC that `find` looks up, in the transaction that
    /// writes the actions. Returns the state of each item.
    ///
    /// # Errors
    /// Errors of `find`; the store fails. A refusal is not an error.
    pub async fn request_each<E, F>(
        &self,
        asked: &RequestContext,
        wanted: BulkRequest,
        find: F,
    ) -> Result<Vec<(CloudPcId, BulkItemState)>, E>
    where
        F: Fn(&Reader<'_>) -> Result<Vec<CloudPc>, E> + Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (asked, seed, now) = (asked.clone(), self.parts.rng.next_u64(), self.parts.clock.now());
        let written = self.parts.store.write("action.acceptEach", move |tx| {
            let rng = SeededRng::new(seed);
            let mut begun = Vec::new();
            for cloud_pc in find(tx)? {
                let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
                let change = begin_item(tx, &asked, &wanted, &cloud_pc, &rng, stamp)?;
                begun.push((cloud_pc.id, change.state));
            }
            Ok::<_, E>(begun)
        });
        let begun = written.await?;
        self.work.wake.notify_one();
        Ok(begun)
    }
}

fn insert(tx: &mut Tx<'_>, asked: &RequestContext, bulk: &BulkAction, cloud_pcs: &[String]) -> Result<(), Error> {
    check_open(tx, asked)?;
    if let BulkRequest::Resize { target_service_plan_id: plan } = bulk.request
        && tx.service_plan(bulk.tenant_id, plan)?.is_none()
    {
        let message = format!("There is no service plan '{plan}'. Choose one from the list of service plans.");
        return Err(Error::invalid(message));
    }
    let surplus = (tx.bulk_action_count(bulk.tenant_id)? + 1).saturating_sub(BULK_ACTIONS_KEPT_MAX);
    for _ in 0..surplus.min(DELETIONS_MAX) {
        tx.bulk_action_delete_oldest(bulk.tenant_id)?;
    }
    tx.bulk_action_insert(bulk, cloud_pcs)?;
    let entry = audit::asked_for(asked, bulk.created_at, AuditVerb::Create, resource(bulk))
        .detail("type", &bulk.request.type_name())
        .detail("cloudPcs", &cloud_pcs.len().to_string())
        .detail("scheduledDuringMaintenanceWindow", &bulk.in_maintenance_window.to_string());
    Ok(tx.audit_insert(&entry)?)
}

fn retry(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    id: BulkActionId,
    cloud_pcs: Option<&[String]>,
    now: Timestamp,
) -> Result<(), Error> {
    let tenant = asked.tenant_id;
    let bulk = tx.bulk_action(tenant, id)?;
    let bulk = bulk.ok_or_else(|| Error::not_found(format!("There is no bulk action '{id}' in this tenant.")))?;
    if bulk.counts.ended() == bulk.counts.total() {
        check_open(tx, asked)?;
    }
    let items = tx.bulk_action_items(tenant, id, 0, BULK_CLOUD_PCS_MAX)?;
    let chosen = match cloud_pcs {
        None => items.iter().filter(|item| item.state == BulkItemState::Failed).collect(),
        Some(named) => named_items(&items, named)?,
    };
    let pending = BulkItemChange { state: BulkItemState::Pending, due_at: Some(now), action_id: None, failure: None };
    for item in &chosen {
        tx.bulk_action_item_put(tenant, id, item, &pending)?;
    }
    if !chosen.is_empty() {
        tx.bulk_action_wake(tenant, id, now)?;
    }
    let entry = audit::asked_for(asked, now, AuditVerb::Retry, resource(&bulk));
    Ok(tx.audit_insert(&entry.detail("cloudPcs", &chosen.len().to_string()))?)
}

/// Returns the items of the named Cloud PCs, which must have ended without success.
fn named_items<'a>(items: &'a [BulkItem], named: &[String]) -> Result<Vec<&'a BulkItem>, Error> {
    let find = |named: &String| {
        let item = items.iter().find(|item| key(&item.cloud_pc_id) == key(named));
        let Some(item) = item else {
            return Err(Error::invalid(format!("The bulk action has no Cloud PC '{named}'. Name only its Cloud PCs.")));
        };
        match item.state {
            BulkItemState::Failed | BulkItemState::NotSupported => Ok(item),
            BulkItemState::Pending | BulkItemState::InProgress | BulkItemState::Succeeded => {
                let state: &str = item.state.into();
                let message = format!(
                    "The item of Cloud PC '{named}' is '{state}'. Only 'failed' and 'notSupported' items can be retried."
                );
                Err(Error::invalid(message))
            }
        }
    };
    distinct(named).iter().map(find).collect()
}

fn check_open(reader: &Reader<'_>, asked: &RequestContext) -> Result<(), Error> {
    let open = reader.bulk_action_open_count(asked.tenant_id)?;
    if open < BULK_ACTIONS_OPEN_MAX {
        return Ok(());
    }
    let message = format!(
        "The tenant has {open} bulk actions that have not ended; at most {BULK_ACTIONS_OPEN_MAX} are allowed. Wait for one to end."
    );
    Err(Error::new(ErrorKind::Forbidden, "quotaLimitReached", message))
}

/// Removes duplicates. GUIDs are compared case-insensitively and in any notation.
fn distinct(cloud_pcs: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    cloud_pcs.iter().filter(|named| seen.insert(key(named))).cloned().collect()
}

fn key(cloud_pc: &str) -> String {
    cloud_pc.parse::<CloudPcId>().map_or_else(|_| cloud_pc.to_lowercase(), |id| id.to_string())
}

/// Returns a bulk action as an audit resource.
fn resource(bulk: &BulkAction) -> AuditResource {
    AuditResource::new(ResourceType::BulkAction, bulk.id).named(&bulk.display_name)
}
