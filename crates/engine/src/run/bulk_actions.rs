//! The part of the reconciler that carries out bulk actions: begins an ordinary action for each
//! item, a limited number at a time.

use cloudpc_model::{
    BulkAction, BulkActionId, BulkItem, BulkItemState, BulkRequest, CloudPc, Failure, Rng, SeededRng, TenantId,
    Timestamp, next_maintenance_window, open_maintenance_window,
};
use cloudpc_store::{BulkItemChange, StoreError, Tx};

use super::tenant_turns::take_turns;
use crate::bulk::begin_item;
use crate::ledger::RequestContext;
use crate::maintenance::maintenance_schedules;
use crate::request::Stamp;

/// Most bulk actions advanced, each of another tenant, in one transaction.
const BULK_ACTIONS_MAX: usize = 8;

/// Most items of a bulk action begun in one transaction.
const ITEMS_MAX: usize = 64;

/// Most open actions of a bulk action, so that other requests of the tenant are not kept waiting.
/// Resizes have no such limit: each may wait days for a licence.
pub const BULK_RUNNING_MAX: u32 = 100;

/// Advances a bulk action that is due of each tenant after `turn`; returns the tenant of the last
/// one, or none if every tenant has had its turn. Random numbers come from `seed`, because the
/// transaction may run more than once.
pub(super) fn advance_bulk_actions(
    tx: &mut Tx<'_>,
    turn: Option<TenantId>,
    seed: u64,
    now: Timestamp,
) -> Result<Option<TenantId>, StoreError> {
    let rng = SeededRng::new(seed);
    take_turns(tx, turn, BULK_ACTIONS_MAX, |tx, turn| {
        let Some((tenant, id)) = tx.bulk_action_due(turn, now)? else { return Ok(None) };
        advance(tx, tenant, id, &rng, now)?;
        Ok(Some(tenant))
    })
}

fn advance(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: BulkActionId,
    rng: &SeededRng,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(bulk) = tx.bulk_action(tenant, id)? else { return Ok(()) };
    let room = match bulk.request {
        BulkRequest::Resize { .. } => ITEMS_MAX,
        _ => ITEMS_MAX.min(BULK_RUNNING_MAX.saturating_sub(bulk.counts.in_progress) as usize),
    };
    for item in tx.bulk_action_items_due(tenant, id, now, room)? {
        let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
        let change = begin(tx, &bulk, &item, rng, stamp)?;
        tx.bulk_action_item_put(tenant, id, &item, &change)?;
    }
    let in_progress = tx.bulk_action(tenant, id)?.map_or(0, |bulk| bulk.counts.in_progress);
    let is_full = in_progress >= BULK_RUNNING_MAX && !matches!(bulk.request, BulkRequest::Resize { .. });
    tx.bulk_action_rest(tenant, id, is_full)
}

/// Begins the action of an item, or ends the item if it cannot begin.
fn begin(
    tx: &mut Tx<'_>,
    bulk: &BulkAction,
    item: &BulkItem,
    rng: &SeededRng,
    stamp: Stamp,
) -> Result<BulkItemChange, StoreError> {
    let found = match item.cloud_pc_id.parse() {
        Ok(id) => tx.cloud_pc(bulk.tenant_id, id)?,
        Err(_) => None,
    };
    let Some(cloud_pc) = found else {
        let message = format!("There is no Cloud PC '{}' in this tenant.", item.cloud_pc_id);
        return Ok(failed("cloudPcNotFound", message));
    };
    if bulk.in_maintenance_window
        && let Some(held) = hold(tx, &cloud_pc, stamp.at)?
    {
        return Ok(held);
    }
    let asked = RequestContext {
        tenant_id: bulk.tenant_id,
        by: bulk.requested_by.clone(),
        request_id: bulk.request_id.clone(),
        request_key: None,
        bulk_action_id: Some(bulk.id),
    };
    begin_item(tx, &asked, &bulk.request, &cloud_pc, rng, stamp)
}

/// Returns how an item waits for the next maintenance window of its user; none if one is open.
fn hold(tx: &Tx<'_>, cloud_pc: &CloudPc, now: Timestamp) -> Result<Option<BulkItemChange>, StoreError> {
    let schedules = maintenance_schedules(tx, cloud_pc)?;
    if open_maintenance_window(&schedules, now).is_some() {
        return Ok(None);
    }
    Ok(Some(match next_maintenance_window(&schedules, now) {
        Some(window) => BulkItemChange {
            state: BulkItemState::Pending,
            due_at: Some(window.starts_at),
            action_id: None,
            failure: None,
        },
        None => failed(
            "maintenanceWindowNotFound",
            "No maintenance window is assigned to a group of the Cloud PC's user, or to the group that shares it. Assign one, then retry.".into(),
        ),
    }))
}

fn failed(code: &str, message: String) -> BulkItemChange {
    let failure = Some(Failure { code: code.to_owned(), message });
    BulkItemChange { state: BulkItemState::Failed, due_at: None, action_id: None, failure }
}
