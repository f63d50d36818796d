//! Health monitoring: machines that changed by themselves are checked, their state is recorded, and
//! they are restarted if the policy says so.
//!
//! The driver reports which machines may have changed; the store schedules a check of each, and
//! delays it while the machine has an open remote action. A restart is an action like any other,
//! requested by the system. A machine that was started for the first time is checked until its
//! guest's hostname is set. [`crate::health`] decides what an observation means.

use cloudpc_drivers::{DriverError, GuestError, Observed};
use cloudpc_model::{CloudPcId, CloudPcStatus, Error, HealthCheck, Params, Power, TenantId};
use cloudpc_store::{StoreError, Tx};
use futures_util::StreamExt;
use std::future::pending;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::store_retry::StoreRetry;
use crate::Engine;
use crate::health::{self, Remedy, RestartPolicy};
use crate::ledger::{RequestContext, audit};
use crate::request::{Stamp, accept};

/// Most checks claimed or requested in one transaction.
pub(super) const CHECKS_MAX: usize = 64;

/// Timeout of a check. After it, and after a crash, the machine is due again.
pub(super) const TIME_MAX: Duration = Duration::from_secs(60);

/// Pause after a failed check.
const PAUSE: Duration = Duration::from_secs(30);

/// Timeout of setting a new guest's hostname; less than a check's.
const ENROL_TIME_MAX: Duration = Duration::from_secs(45);

impl Engine {
    /// Requests checks of machines that may have changed by themselves, until `stop` is cancelled.
    pub(super) async fn watch(self, stop: CancellationToken) {
        let mut changes = self.parts.driver.watch().ready_chunks(CHECKS_MAX);
        while let Some(Some(ids)) = stop.run_until_cancelled(changes.next()).await {
            for id in &ids {
                self.work.changed.send(*id);
            }
            let mut retry = StoreRetry::default();
            while let Err(error) = self.request_checks(ids.clone()).await {
                if matches!(error, StoreError::Closed) {
                    return;
                }
                let retry_at = retry.after(&error, "requesting health checks failed", self.parts.clock.now());
                self.parts.clock.sleep_until(retry_at).await;
            }
            self.work.wake.notify_one();
        }
    }

    /// Completes when a machine has powered off by itself.
    pub(super) async fn power_loss(&self, id: Option<CloudPcId>) {
        let (Some(id), mut changed) = (id, self.work.changed.subscribe()) else { return pending().await };
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

    async fn request_checks(&self, ids: Vec<CloudPcId>) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        self.background
            .write("healthCheck.schedule", move |tx| ids.iter().try_for_each(|id| tx.health_check_schedule(*id, now)))
            .await
    }

    /// Checks a machine that is due.
    pub(super) async fn check_health(self, mut check: HealthCheck, stop: CancellationToken) {
        let id = check.cloud_pc_id;
        let observe = async {
            let observed = self.parts.driver.observe(id).await;
            if check.enrol && matches!(observed, Ok(Observed { power: Power::Running, condition: None, .. })) {
                check.enrol = !self.enrol(check.tenant_id, id).await;
            }
            observed
        };
        let Some(observed) = stop.run_until_cancelled(observe).await else { return };
        let (stamp, restart) = (self.stamp(), self.parts.settings.restart);
        let recorded = self
            .background
            .write("healthCheck.record", move |tx| record(tx, check.clone(), &observed, restart, stamp))
            .await;
        if let Err(error) = recorded {
            // The machine is due again after the timeout of a check.
            tracing::warn!(%error, cloud_pc.id = %id, "recording a health check failed; retrying");
        }
        self.work.wake.notify_one();
    }

    /// Sets the hostname of a new machine's guest, as a reprovision does; returns whether it is
    /// set. An action accepted meanwhile is not affected.
    async fn enrol(&self, tenant: TenantId, id: CloudPcId) -> bool {
        let until = self.parts.clock.now() + ENROL_TIME_MAX;
        let ended = tokio::select! {
            biased;
            ended = self.set_hostname(tenant, id) => ended,
            () = self.parts.clock.sleep_until(until) => return false,
        };
        if let Err(error) = &ended {
            tracing::warn!(%error, cloud_pc.id = %id, "setting the guest hostname failed; retrying");
        }
        ended.is_ok()
    }

    async fn set_hostname(&self, tenant: TenantId, id: CloudPcId) -> Result<(), GuestError> {
        let unavailable = |error: StoreError| DriverError::Unavailable(error.to_string());
        let cloud_pc = self.parts.store.read(move |reader| reader.cloud_pc(tenant, id)).await.map_err(unavailable)?;
        let Some(cloud_pc) = cloud_pc else { return Ok(()) };
        let guest = self.parts.driver.guest(id).await?;
        guest.wait_ready().await?;
        guest.enrol(&cloud_pc.managed_device_name).await
    }
}

/// Records an observation and starts its follow-up.
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
        // The machine has changed since; another check is due.
        return Ok(());
    }
    if tx.action_open_remote(tenant, &target)?.is_some() {
        // An action was accepted meanwhile. The machine is checked again after it.
        return Ok(tx.health_check_postpone(&check, now)?);
    }
    let observed = match observed {
        Ok(observed) => observed,
        Err(DriverError::NotFound(_)) => {
            tracing::warn!(cloud_pc.id = %id, "a Cloud PC has no machine");
            return Ok(tx.health_check_delete(tenant, id)?);
        }
        Err(error) => {
            tracing::warn!(%error, cloud_pc.id = %id, "observing a machine failed; retrying");
            return Ok(tx.health_check_postpone(&check, now + PAUSE)?);
        }
    };
    let Some(before) = tx.cloud_pc(tenant, id)? else { return Ok(tx.health_check_delete(tenant, id)?) };
    if before.status.is_policy_change() || before.status == CloudPcStatus::Preparing {
        // An action that may stop the machine has started meanwhile.
        return Ok(tx.health_check_postpone(&check, now + PAUSE)?);
    }
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
    match verdict.next {
        Remedy::Nothing if check.enrol => Ok(tx.health_check_postpone(&check, now + PAUSE)?),
        Remedy::Nothing => Ok(tx.health_check_delete(tenant, id)?),
        Remedy::CheckAgain(at) => Ok(tx.health_check_postpone(&check, at)?),
        Remedy::PowerOn => {
            let system = RequestContext::system(tenant);
            accept(tx, &system, &cloud_pc, Params::PowerOn, stamp)?;
            // The machine is checked again after the action.
            Ok(tx.health_check_postpone(&check, now)?)
        }
    }
}
