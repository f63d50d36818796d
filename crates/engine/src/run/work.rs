//! Claims held by this process, and signals to the tasks that run them.

use cloudpc_model::{ActionId, CloudPcId, Timestamp};
use cloudpc_store::Tx;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

/// Claims held by this process.
#[derive(Default)]
pub(crate) struct LocalClaims {
    /// Wakes the loop after an action was accepted, released or ended.
    pub wake: Notify,
    /// Broadcasts machines that may have changed by themselves to the actions on them.
    pub changed: MachineChanges,
    held: Mutex<BTreeMap<ActionId, HeldClaim>>,
    /// Lower bound of the expiry of all leases held here, checked with every accepted action
    /// without walking the claims. Changed with `held` locked.
    lapse_after: Mutex<Timestamp>,
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
    lease_until: Timestamp,
    lost: CancellationToken,
    cancel: CancellationToken,
}

/// A claim, held from the commit of the claiming transaction until dropped.
pub(crate) struct ClaimGuard {
    work: Arc<LocalClaims>,
    id: ActionId,
    epoch: i64,
    /// Cancelled when another worker has taken the claim.
    pub lost: CancellationToken,
    /// Cancelled when a caller has requested cancellation of the action.
    pub cancel: CancellationToken,
}

impl LocalClaims {
    /// Claims an action in the open transaction, which registers the claim once it is committed.
    /// A transaction that cancels a claimed action runs after the claiming one, so it finds the
    /// claim registered.
    pub fn hold(self: &Arc<Self>, tx: &mut Tx<'_>, id: ActionId, epoch: i64, lease_until: Timestamp) -> ClaimGuard {
        let (lost, cancel) = (CancellationToken::new(), CancellationToken::new());
        let held = HeldClaim { epoch, lease_until, lost: lost.clone(), cancel: cancel.clone() };
        let work = Arc::clone(self);
        tx.after_commit(move || work.register(id, held));
        ClaimGuard { work: Arc::clone(self), id, epoch, lost, cancel }
    }

    fn register(&self, id: ActionId, held: HeldClaim) {
        let (mut all, lease_until) = (self.held(), held.lease_until);
        if let Some(earlier) = all.insert(id, held) {
            earlier.lost.cancel();
        }
        let mut lapse_after = self.lapse_after();
        *lapse_after = lease_until.min(*lapse_after);
    }

    pub fn count(&self) -> usize {
        self.held().len()
    }

    pub fn all(&self) -> Vec<(ActionId, i64)> {
        self.held().iter().map(|(id, held)| (*id, held.epoch)).collect()
    }

    pub fn renewed(&self, id: ActionId, epoch: i64, lease_until: Timestamp) {
        if let Some(held) = self.held().get_mut(&id).filter(|held| held.epoch == epoch) {
            held.lease_until = lease_until;
        }
    }

    pub fn lose(&self, id: ActionId, epoch: i64) {
        if let Some(held) = self.held().get(&id).filter(|held| held.epoch == epoch) {
            held.lost.cancel();
        }
    }

    /// Cancels claims whose lease expired before renewal: a call must not outlive its lease,
    /// because the next worker may have started.
    pub fn drop_lapsed(&self, now: Timestamp) {
        if now < *self.lapse_after() {
            return;
        }
        let all = self.held();
        let mut lapse_after = Timestamp(i64::MAX);
        for held in all.values() {
            if held.lease_until <= now {
                held.lost.cancel();
            } else {
                lapse_after = held.lease_until.min(lapse_after);
            }
        }
        *self.lapse_after() = lapse_after;
    }

    /// Signals a cancel request to the tasks of these actions, and wakes the loop.
    pub fn signal(&self, ids: &[ActionId]) {
        for id in ids {
            if let Some(held) = self.held().get(id) {
                held.cancel.cancel();
            }
        }
        self.wake.notify_one();
    }

    fn lapse_after(&self) -> MutexGuard<'_, Timestamp> {
        self.lapse_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<ActionId, HeldClaim>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        let mut held = self.work.held();
        if held.get(&self.id).is_some_and(|held| held.epoch == self.epoch) {
            held.remove(&self.id);
        }
    }
}
