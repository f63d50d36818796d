//! The worker of this process: its lease, the claims that it holds, and signals to the tasks that
//! run them.

use cloudpc_model::{ActionId, CloudPcId, Timestamp};
use cloudpc_store::{StoreError, Tx, WorkerId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

/// Claims held by this process.
#[derive(Default)]
pub(crate) struct LocalClaims {
    /// Wakes the loop after an action was accepted, released, ended or given up.
    pub wake: Notify,
    /// Broadcasts machines that may have changed by themselves to the actions on them.
    pub changed: MachineChanges,
    worker: Mutex<Worker>,
}

/// The worker of this process, with what it holds.
#[derive(Default)]
struct Worker {
    /// None before the first claim and after the lease was lost.
    lease: Option<Lease>,
    held: BTreeMap<ActionId, HeldClaim>,
    /// Claims whose task ended without ending or releasing the action, to be released.
    given_up: Vec<GivenUp>,
}

/// The lease of a worker, on all its actions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub worker: WorkerId,
    pub until: Timestamp,
}

/// An action that its worker lost track of. It may be claimed again when the lease that it was held
/// under would have expired.
#[derive(Clone, Copy, Debug)]
struct GivenUp {
    id: ActionId,
    epoch: i64,
    lease: Lease,
}

/// Broadcast of machines that may have changed by themselves.
pub(crate) struct MachineChanges(broadcast::Sender<CloudPcId>);

/// Capacity of the broadcast; an action that lags further behind observes its machine unprompted.
const CHANGED_KEPT: usize = 64;

impl Default for MachineChanges {
    fn default() -> Self {
        Self(broadcast::Sender::new(CHANGED_KEPT))
    }
}

impl MachineChanges {
    pub fn send(&self, id: CloudPcId) {
        // Fails only without subscribers.
        let _ = self.0.send(id);
    }

    /// Subscribes to changes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<CloudPcId> {
        self.0.subscribe()
    }
}

struct HeldClaim {
    epoch: i64,
    lost: CancellationToken,
    cancel: CancellationToken,
}

/// A claim, held from the commit of the claiming transaction until dropped.
pub(crate) struct ClaimGuard {
    work: Arc<LocalClaims>,
    id: ActionId,
    epoch: i64,
    /// Whether the action has ended, was released, or belongs to another worker now.
    is_settled: bool,
    /// Cancelled when another worker has taken the claim.
    pub lost: CancellationToken,
    /// Cancelled when a caller has requested cancellation of the action.
    pub cancel: CancellationToken,
}

impl LocalClaims {
    /// Prepares the open transaction for claims: registers this process as a worker, or renews its
    /// lease if `renew`. A worker that another one has found expired loses its claims.
    pub(super) fn prepare_claims(
        self: &Arc<Self>,
        tx: &mut Tx<'_>,
        until: Timestamp,
        renew: bool,
    ) -> Result<WorkerId, StoreError> {
        let lease = match self.check_lease(tx)? {
            Some(lease) if !renew => return Ok(lease.worker),
            Some(lease) => {
                tx.worker_renew(lease.worker, until)?;
                Lease { until, ..lease }
            }
            None => Lease { worker: tx.worker_insert(until)?, until },
        };
        let work = Arc::clone(self);
        tx.after_commit(move || work.worker().lease = Some(lease));
        Ok(lease.worker)
    }

    /// Returns the lease of this process, unless another worker has found it expired: then all
    /// claims are lost.
    pub(super) fn check_lease(self: &Arc<Self>, tx: &mut Tx<'_>) -> Result<Option<Lease>, StoreError> {
        let Some(lease) = self.lease() else { return Ok(None) };
        if tx.worker_exists(lease.worker)? {
            return Ok(Some(lease));
        }
        let work = Arc::clone(self);
        tx.after_commit(move || work.worker().lose_all());
        Ok(None)
    }

    /// Releases the claims that were given up, in the open transaction.
    pub(super) fn release_given_up(self: &Arc<Self>, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let given_up = self.worker().given_up.clone();
        for GivenUp { id, epoch, lease } in &given_up {
            tx.action_give_up(*id, *epoch, lease.worker, lease.until)?;
        }
        if !given_up.is_empty() {
            let work = Arc::clone(self);
            tx.after_commit(move || drop(work.worker().given_up.drain(..given_up.len())));
        }
        Ok(())
    }

    /// Claims an action in the open transaction, which registers the claim once it is committed.
    /// A transaction that cancels a claimed action runs after the claiming one, so it finds the
    /// claim registered.
    pub fn hold(self: &Arc<Self>, tx: &mut Tx<'_>, id: ActionId, epoch: i64) -> ClaimGuard {
        let (lost, cancel) = (CancellationToken::new(), CancellationToken::new());
        let held = HeldClaim { epoch, lost: lost.clone(), cancel: cancel.clone() };
        let work = Arc::clone(self);
        tx.after_commit(move || {
            if let Some(earlier) = work.worker().held.insert(id, held) {
                earlier.lost.cancel();
            }
        });
        ClaimGuard { work: Arc::clone(self), id, epoch, is_settled: false, lost, cancel }
    }

    /// Returns the lease of this process, if it is a worker.
    pub(super) fn lease(&self) -> Option<Lease> {
        self.worker().lease
    }

    /// Number of claims held here or not yet given up in the store.
    pub fn count(&self) -> usize {
        let worker = self.worker();
        worker.held.len() + worker.given_up.len()
    }

    /// Cancels all claims if the lease expired before it was renewed: a call must not outlive its
    /// lease, because the next worker may have started.
    pub fn drop_lapsed(&self, now: Timestamp) {
        let mut worker = self.worker();
        if worker.lease.is_some_and(|lease| lease.until <= now) {
            worker.lose_all();
        }
    }

    /// Signals a cancel request to the tasks of these actions, and wakes the loop.
    pub fn signal(&self, ids: &[ActionId]) {
        for id in ids {
            if let Some(held) = self.worker().held.get(id) {
                held.cancel.cancel();
            }
        }
        self.wake.notify_one();
    }

    fn worker(&self) -> MutexGuard<'_, Worker> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Cancels all claims. The process becomes another worker with its next claim.
    fn lose_all(&mut self) {
        self.lease = None;
        self.held.values().for_each(|held| held.lost.cancel());
    }
}

impl ClaimGuard {
    /// Notes that the worker has nothing left to release.
    pub(super) fn settle(&mut self) {
        self.is_settled = true;
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        let mut worker = self.work.worker();
        if worker.held.get(&self.id).is_none_or(|held| held.epoch != self.epoch) {
            return;
        }
        worker.held.remove(&self.id);
        if let (false, Some(lease)) = (self.is_settled, worker.lease) {
            worker.given_up.push(GivenUp { id: self.id, epoch: self.epoch, lease });
            self.work.wake.notify_one();
        }
    }
}
