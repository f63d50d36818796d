//! The life of a Cloud PC: accepting the actions that make its machine and remove it, and its grace
//! period.
//!
//! Unlike other actions, these two change the Cloud PC's status when they are accepted: nothing
//! ahead of them in the machine's line needs the Cloud PC to be usable.

use cloudpc_model::{
    ActionId, CloudPc, CloudPcId, CloudPcStatus, Error, ErrorKind, Params, Power, Rng, SeededRng, TenantId, Timestamp,
};
use cloudpc_store::{StoreError, Tx};
use std::collections::HashSet;
use std::time::Duration;

use crate::Engine;
use crate::ledger::RequestContext;
use crate::policy::resets_after_session;
use crate::request::{Stamp, accept_unchecked, find};
use crate::{frontline, sessions};

/// Time during which a Cloud PC stays usable after its licence or assignment was taken away.
pub const GRACE_PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);

/// Most Cloud PCs whose provisioning is accepted in one transaction.
const PROVISIONS_MAX: usize = 256;

impl Engine {
    /// Accepts the provisioning of every Cloud PC that has no machine, of all tenants. Safe to
    /// repeat.
    ///
    /// # Errors
    /// The store or the driver fails.
    pub async fn provision_missing(&self) -> Result<(), Error> {
        let machines = self.parts.driver.list().await.map_err(Error::internal)?;
        let machines: HashSet<CloudPcId> = machines.into_iter().collect();
        for (tenant, _) in self.parts.store.read(|reader| reader.tenant_list()).await? {
            let mut after = None;
            loop {
                let read =
                    move |reader: &cloudpc_store::Reader<'_>| reader.cloud_pc_list(tenant, None, after, PROVISIONS_MAX);
                let page = self.parts.store.read(read).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                let stamped: Vec<_> = page
                    .iter()
                    .filter(|cloud_pc| !machines.contains(&cloud_pc.id))
                    .map(|cloud_pc| (cloud_pc.id, self.stamp()))
                    .collect();
                let written = self.parts.store.write("cloudPc.provision", move |tx| {
                    for &(id, stamp) in &stamped {
                        provision_if_idle(tx, tenant, id, stamp)?;
                    }
                    Ok::<_, StoreError>(())
                });
                written.await?;
            }
        }
        self.work.wake.notify_one();
        Ok(())
    }

    /// Accepts the provisioning of every Cloud PC of a policy that was never provisioned because
    /// its provisioning failed, and the preparation of every shared one that is not ready for its
    /// next user because that failed. Safe to repeat.
    ///
    /// # Errors
    /// The store fails.
    pub async fn retry_provisioning(&self, asked: &RequestContext, policy: &str) -> Result<(), Error> {
        let mut after = None;
        loop {
            let (asked, policy, seed) = (asked.clone(), policy.to_owned(), self.parts.rng.next_u64());
            let now = self.parts.clock.now();
            let written = self.parts.store.write("policy.retry", move |tx| {
                let rng = SeededRng::new(seed);
                let ids = tx.entitlement_cloud_pcs(asked.tenant_id, &policy, after, PROVISIONS_MAX)?;
                for id in &ids {
                    let found = tx.cloud_pc(asked.tenant_id, *id)?;
                    let failed = found.filter(|cloud_pc| cloud_pc.status == CloudPcStatus::Failed);
                    let Some(mut cloud_pc) = failed else { continue };
                    let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
                    if cloud_pc.provisioned_at.is_none() {
                        accept_provision(tx, &asked, &mut cloud_pc, stamp)?;
                    } else if cloud_pc.is_shared() {
                        let reset = resets_after_session(tx, asked.tenant_id, &policy)?;
                        sessions::prepare(tx, &mut cloud_pc, reset, stamp)?;
                        tx.cloud_pc_update(&cloud_pc)?;
                    }
                }
                Ok::<_, StoreError>(ids.last().copied())
            });
            after = written.await?;
            if after.is_none() {
                break;
            }
        }
        self.work.wake.notify_one();
        Ok(())
    }

    /// Ends the grace period of a Cloud PC: accepts its deprovisioning. The action is durable when
    /// this returns.
    ///
    /// # Errors
    /// Not found; conflict (`notInGracePeriod`).
    pub async fn end_grace_period(&self, asked: &RequestContext, id: CloudPcId) -> Result<ActionId, Error> {
        let (asked, stamp) = (asked.clone(), self.stamp());
        let written = self.parts.store.write("cloudPc.endGracePeriod", move |tx| {
            let mut cloud_pc = find(tx, asked.tenant_id, id)?;
            if cloud_pc.status != CloudPcStatus::InGracePeriod {
                let status: &str = cloud_pc.status.into();
                let message = format!(
                    "The status of the Cloud PC is '{status}'. Only a Cloud PC whose status is 'inGracePeriod' has a grace period to end."
                );
                return Err(Error::new(ErrorKind::Conflict, "notInGracePeriod", message));
            }
            Ok(accept_deprovision(tx, &asked, &mut cloud_pc, stamp)?)
        });
        let action = written.await?;
        self.work.wake.notify_one();
        Ok(action)
    }
}

fn provision_if_idle(tx: &mut Tx<'_>, tenant: TenantId, id: CloudPcId, stamp: Stamp) -> Result<(), StoreError> {
    let Some(mut cloud_pc) = tx.cloud_pc(tenant, id)? else { return Ok(()) };
    use CloudPcStatus::{Deprovisioning, PendingProvision, Provisioning};
    if !matches!(cloud_pc.status, Provisioning | Deprovisioning | PendingProvision) {
        accept_provision(tx, &RequestContext::system(tenant), &mut cloud_pc, stamp)?;
    }
    Ok(())
}

/// Accepts the provisioning of a stored Cloud PC.
pub(crate) fn accept_provision(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    cloud_pc: &mut CloudPc,
    stamp: Stamp,
) -> Result<ActionId, StoreError> {
    cloud_pc.status = CloudPcStatus::Provisioning;
    cloud_pc.status_before = None;
    cloud_pc.status_detail = None;
    cloud_pc.provisioned_at = None;
    cloud_pc.power_intended = Power::Running;
    cloud_pc.power_observed = Power::PoweredOff;
    cloud_pc.modified_at = stamp.at;
    tx.cloud_pc_update(cloud_pc)?;
    if cloud_pc.is_shared() {
        frontline::activate(tx, cloud_pc, stamp.at)?;
    }
    accept_unchecked(tx, asked, cloud_pc, Params::Provision, stamp)
}

/// Accepts the deprovisioning of a Cloud PC.
pub(crate) fn accept_deprovision(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    cloud_pc: &mut CloudPc,
    stamp: Stamp,
) -> Result<ActionId, StoreError> {
    cloud_pc.status_before = Some(cloud_pc.status);
    cloud_pc.status = CloudPcStatus::Deprovisioning;
    cloud_pc.modified_at = stamp.at;
    tx.cloud_pc_update(cloud_pc)?;
    queue_pending(tx, cloud_pc, stamp.at)?;
    accept_unchecked(tx, asked, cloud_pc, Params::Deprovision, stamp)
}

/// Queues the users whose Cloud PCs may wait for this one, which is no longer in its grace period.
pub(crate) fn queue_pending(tx: &mut Tx<'_>, cloud_pc: &CloudPc, now: Timestamp) -> Result<(), StoreError> {
    let entitlement = tx.entitlement(cloud_pc.tenant_id, cloud_pc.id)?;
    match entitlement.and_then(|entitlement| entitlement.sku_id) {
        Some(sku) => tx.provisioning_queue_put_pending(cloud_pc.tenant_id, sku, now),
        None => Ok(()),
    }
}
