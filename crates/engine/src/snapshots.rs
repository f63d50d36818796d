//! Restore points: deleting them, and taking automatic ones by the clock.
//!
//! A Cloud PC gets automatic restore points if a user setting is assigned to a group of its user:
//! in the shortest interval of these settings. Its schedule begins when the reconciler handles its
//! user; the interval is looked up again whenever a restore point is due, so a changed one applies
//! after the next restore point.

use cloudpc_model::{CloudPc, CloudPcStatus, Error, Kind, Params, Power, SnapshotId, TenantId, Timestamp, UserId};
use cloudpc_store::{Reader, StoreError, Tx};
use std::collections::HashSet;
use std::time::Duration;

use crate::Engine;
use crate::ledger::RequestContext;
use crate::policy::{Policies, groups_of};
use crate::request::{Stamp, accept_unchecked};

/// Most automatic restore points accepted in one transaction.
pub(crate) const DUE_MAX: usize = 64;

impl Engine {
    /// Deletes the restore point that `find` looks up. Its disk is dropped by an action.
    ///
    /// # Errors
    /// Errors of `find`; the store fails.
    pub async fn delete_snapshot<E, F>(&self, asked: &RequestContext, find: F) -> Result<(), E>
    where
        F: Fn(&Reader<'_>) -> Result<(CloudPc, SnapshotId), E> + Send + 'static,
        E: From<Error> + From<StoreError> + Send + 'static,
    {
        let (asked, now) = (asked.clone(), self.parts.clock.now());
        let written = self.parts.store.write("snapshot.delete", move |tx| {
            let (cloud_pc, snapshot) = find(tx)?;
            Ok::<_, E>(drop_snapshot(tx, &asked, &cloud_pc, &snapshot, now)?)
        });
        written.await?;
        self.work.wake.notify_one();
        Ok(())
    }
}

/// Deletes a restore point, and accepts the action that drops its disk.
pub(crate) fn drop_snapshot(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    cloud_pc: &CloudPc,
    snapshot: &SnapshotId,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.snapshot_delete(cloud_pc.tenant_id, snapshot)?;
    let params = Params::DropRestorePoint { snapshot_id: snapshot.clone() };
    // No machine carries a tag of these actions, so the tag need not be unique.
    accept_unchecked(tx, asked, cloud_pc, params, Stamp { at: now, tag_nonce: 0 }).map(drop)
}

/// Schedules the automatic restore points of a user's Cloud PCs, or ends their schedules.
pub(crate) fn schedule(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    user: UserId,
    interval: Option<Duration>,
    now: Timestamp,
) -> Result<(), StoreError> {
    for cloud_pc in tx.cloud_pc_list(tenant, Some(user), None, usize::MAX)? {
        match interval {
            // Not its user's: it gets none.
            _ if cloud_pc.is_shared() => {}
            Some(interval) => tx.restore_point_schedule(tenant, cloud_pc.id, now + interval)?,
            None => tx.restore_point_unschedule(tenant, cloud_pc.id)?,
        }
    }
    Ok(())
}

/// Accepts the automatic restore points that are due, and schedules the next ones. Restore points
/// that were missed while the service was down are not made up for.
pub(crate) fn take_due(tx: &mut Tx<'_>, rng: &cloudpc_model::SeededRng, now: Timestamp) -> Result<(), StoreError> {
    use cloudpc_model::Rng;
    for (tenant, id, _) in tx.restore_points_due(now, DUE_MAX)? {
        tx.restore_point_unschedule(tenant, id)?;
        let Some(cloud_pc) = tx.cloud_pc(tenant, id)? else { continue };
        let groups: HashSet<_> = groups_of(tx, &cloud_pc)?.into_iter().collect();
        let Some(interval) = Policies::read(tx, tenant, &groups)?.restore_point_interval(&groups) else { continue };
        tx.restore_point_schedule(tenant, id, now + interval)?;
        if is_takeable(tx, &cloud_pc)? {
            let snapshot_id = SnapshotId::new(id, rng.uuid());
            let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
            accept_unchecked(
                tx,
                &RequestContext::system(tenant),
                &cloud_pc,
                Params::TakeRestorePoint { snapshot_id },
                stamp,
            )?;
        }
    }
    Ok(())
}

/// Returns whether a Cloud PC can have a restore point now: it runs, and none is under way.
fn is_takeable(tx: &Tx<'_>, cloud_pc: &CloudPc) -> Result<bool, StoreError> {
    let is_usable = matches!(
        cloud_pc.status,
        CloudPcStatus::Provisioned | CloudPcStatus::ProvisionedWithWarnings | CloudPcStatus::InGracePeriod
    );
    if !is_usable || cloud_pc.power_intended != Power::Running {
        return Ok(false);
    }
    let latest =
        tx.action_list(cloud_pc.tenant_id, &cloud_pc.id.to_string(), cloudpc_store::ActionFilter::All, None, 50)?;
    Ok(!latest.iter().any(|action| action.kind() == Kind::TakeRestorePoint && !action.state.is_final()))
}
