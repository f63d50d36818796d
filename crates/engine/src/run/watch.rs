//! Watching machines: what befalls one without being asked for is looked at, recorded, and mended
//! where the policy says so.
//!
//! The driver tells which machines may have changed; each is then due for a look in the store,
//! which holds it back while the machine has an open remote action. Mending is an action like any
//! other, asked for by nobody. A machine of a first start is looked at until its guest has been
//! told its name. What a look means is decided by [`crate::health`].

use cloudpc_drivers::{DriverError, GuestError, Observed};
use cloudpc_model::{Actor, CloudPcId, Error, HealthCheck, Params, Power, TenantId};
use cloudpc_store::{StoreError, Tx};
use futures_util::StreamExt;
use std::future::pending;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::health::{self, Remedy, RestartPolicy};
use crate::request::{Stamp, accept};
use crate::{Engine, RequestContext, audit};

/// Most machines looked at or asked for in one transaction.
pub(super) const CHECKS_MAX: usize = 64;

/// The longest look. After it, and after a crash of ours, the machine is due again.
pub(super) const TIME_MAX: Duration = Duration::from_secs(60);

/// The pause after a look that has failed.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest that a look waits for the guest of a new machine, to tell it its name; less than a
/// look may take.
const ENROL_TIME_MAX: Duration = Duration::from_secs(45);

impl Engine {
    /// Has machines looked at that may have changed by themselves, until `stop` is cancelled.
    pub(super) async fn watch(self, stop: CancellationToken) {
        let mut changes = self.parts.driver.watch().ready_chunks(CHECKS_MAX);
        while let Some(Some(ids)) = stop.run_until_cancelled(changes.next()).await {
            for id in &ids {
                self.work.changed.tell(*id);
            }
            while let Err(error) = self.ask_for_looks(ids.clone()).await {
                if matches!(error, StoreError::Closed) {
                    return;
                }
                tracing::error!(%error, "machines that may have changed are not looked at yet");
                self.parts.clock.sleep_until(self.parts.clock.now() + super::STORE_PAUSE).await;
            }
            self.work.wake.notify_one();
        }
    }

    /// Ends when a machine has gone off by itself.
    pub(super) async fn goes_off(&self, id: Option<CloudPcId>) {
        let (Some(id), mut changed) = (id, self.work.changed.listen()) else { return pending().await };
        loop {
            match changed.recv().await {
                Ok(other) if other != id => {}
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    if let Ok(Observed { power: Power::PoweredOff, .. }) = self.parts.driver.observe(id).await {
                        return;
                    }
                }
                Err(RecvError::Closed) => return pending().await,
            }
        }
    }

    async fn ask_for_looks(&self, ids: Vec<CloudPcId>) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        self.parts
            .store
            .write("healthCheck.schedule", move |tx| ids.iter().try_for_each(|id| tx.health_check_ask(*id, now)))
            .await
    }

    /// Looks at a machine that is due for it.
    pub(super) async fn look_at(self, mut check: HealthCheck, stop: CancellationToken) {
        let id = check.cloud_pc_id;
        let look = async {
            let observed = self.parts.driver.observe(id).await;
            if check.enrol && matches!(observed, Ok(Observed { power: Power::Running, condition: None, .. })) {
                check.enrol = !self.enrol(check.tenant_id, id).await;
            }
            observed
        };
        let Some(observed) = stop.run_until_cancelled(look).await else { return };
        let (stamp, restart) = (self.stamp(), self.parts.settings.restart);
        let recorded = self
            .parts
            .store
            .write("healthCheck.record", move |tx| record(tx, check.clone(), &observed, restart, stamp))
            .await;
        if let Err(error) = recorded {
            // The machine is due again when the look could have lasted longest.
            tracing::warn!(%error, cloud_pc.id = %id, "what a look at a machine has found was not recorded");
        }
        self.work.wake.notify_one();
    }

    /// Tells the guest of a new machine its name, as a reprovision does; whether it knows it now.
    /// That takes nothing from an action that is asked for meanwhile.
    async fn enrol(&self, tenant: TenantId, id: CloudPcId) -> bool {
        let until = self.parts.clock.now() + ENROL_TIME_MAX;
        let ended = tokio::select! {
            biased;
            ended = self.tell_name(tenant, id) => ended,
            () = self.parts.clock.sleep_until(until) => return false,
        };
        if let Err(error) = &ended {
            tracing::warn!(%error, cloud_pc.id = %id, "a guest was not told its name; it is tried again");
        }
        ended.is_ok()
    }

    async fn tell_name(&self, tenant: TenantId, id: CloudPcId) -> Result<(), GuestError> {
        let unavailable = |error: StoreError| DriverError::Unavailable(error.to_string());
        let cloud_pc = self.parts.store.read(move |reader| reader.cloud_pc(tenant, id)).await.map_err(unavailable)?;
        let Some(cloud_pc) = cloud_pc else { return Ok(()) };
        let guest = self.parts.driver.guest(id).await?;
        guest.wait_ready().await?;
        guest.enrol(&cloud_pc.managed_device_name).await
    }
}

/// Records what a look has found, and begins what is to be done about it.
fn record(
    tx: &mut Tx<'_>,
    mut check: HealthCheck,
    observed: &Result<Observed, DriverError>,
    restart: RestartPolicy,
    stamp: Stamp,
) -> Result<(), Error> {
    let now = stamp.at;
    let (tenant, id, target) = (check.tenant_id, check.cloud_pc_id, check.cloud_pc_id.to_string());
    if tx.health_check_due_at(tenant, id)? != Some(check.due_at) {
        // The machine has changed again, and is looked at again.
        return Ok(());
    }
    if tx.action_open_remote(tenant, &target)?.is_some() {
        // It was accepted meanwhile. When it has ended, the machine is looked at again.
        return Ok(tx.health_check_put_off(&check, now)?);
    }
    let observed = match observed {
        Ok(observed) => observed,
        Err(DriverError::NotFound(_)) => {
            tracing::warn!(cloud_pc.id = %id, "a Cloud PC has no machine");
            return Ok(tx.health_check_delete(tenant, id)?);
        }
        Err(error) => {
            tracing::warn!(%error, cloud_pc.id = %id, "a machine cannot be looked at; it is tried again");
            return Ok(tx.health_check_put_off(&check, now + PAUSE)?);
        }
    };
    let Some(before) = tx.cloud_pc(tenant, id)? else { return Ok(tx.health_check_delete(tenant, id)?) };
    let mut cloud_pc = before.clone();
    let verdict = health::judge(&mut cloud_pc, &mut check, observed, restart, now);
    if cloud_pc != before {
        cloud_pc.modified_at = now;
        tx.cloud_pc_update(&cloud_pc)?;
    }
    if let Some(event) = verdict.event {
        tx.health_event_insert(tenant, id, &event)?;
        audit::health(tx, tenant, &cloud_pc, &event, now)?;
        tx.after_commit(move || match event.well {
            true => tracing::info!(cloud_pc.id = %id, check = event.name, "{}", event.message),
            false => tracing::warn!(cloud_pc.id = %id, check = event.name, "{}", event.message),
        });
    }
    match verdict.then {
        Remedy::Nothing if check.enrol => Ok(tx.health_check_put_off(&check, now + PAUSE)?),
        Remedy::Nothing => Ok(tx.health_check_delete(tenant, id)?),
        Remedy::LookAgain(at) => Ok(tx.health_check_put_off(&check, at)?),
        Remedy::PowerOn => {
            let nobody = RequestContext { tenant_id: tenant, by: Actor::system(), request_id: String::new() };
            accept(tx, &nobody, &cloud_pc, Params::PowerOn, stamp)?;
            // Looked at again when that has ended.
            Ok(tx.health_check_put_off(&check, now)?)
        }
    }
}
