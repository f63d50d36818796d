//! Pools of shared resources, with a share for each owner and tenant.

use cloudpc_model::{AppId, TenantId, UserId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limits;
use crate::caller::Caller;
use crate::request::Peer;

/// The owner of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// The caller of a valid token.
    Caller(TenantId, Option<AppId>, Option<UserId>),
    /// The peer of a request without a valid token.
    Stranger(Peer),
}

impl Owner {
    pub(crate) fn of(caller: &Caller) -> Self {
        Self::Caller(caller.tenant_id, caller.app_id, caller.user.as_ref().map(|user| user.id))
    }

    fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Caller(tenant, ..) => Some(tenant),
            Self::Stranger(_) => None,
        }
    }
}

/// A number of units, with a limit for each owner and for all callers of a tenant together.
pub(crate) struct Pool {
    max: usize,
    tenant_max: usize,
    share_max: usize,
    taken: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    shares: HashMap<Owner, usize>,
    tenants: HashMap<TenantId, usize>,
}

/// Units taken from a pool, returned when dropped.
pub(crate) struct Taken {
    pool: Arc<Pool>,
    owner: Owner,
    units: usize,
}

/// Why no units were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolFull {
    /// The owner's share is used up.
    Share,
    /// The tenant's share is used up.
    Tenant,
    /// The whole pool is used up.
    Pool,
}

impl Pool {
    pub(crate) fn new(max: usize, tenant_max: usize, share_max: usize) -> Arc<Self> {
        Arc::new(Self { max, tenant_max, share_max, taken: Mutex::default() })
    }

    /// Takes units for an owner.
    pub(crate) fn take(self: &Arc<Self>, owner: Owner, units: usize) -> Result<Taken, PoolFull> {
        let mut taken = Taken { pool: Arc::clone(self), owner, units: 0 };
        taken.add(units)?;
        Ok(taken)
    }

    /// Returns the number of free units.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.max - self.counts().all
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Takes more units for the same owner.
    pub(crate) fn add(&mut self, units: usize) -> Result<(), PoolFull> {
        let mut counts = self.pool.counts();
        let share = counts.shares.get(&self.owner).copied().unwrap_or_default();
        if units > self.pool.share_max - share {
            return Err(PoolFull::Share);
        }
        let tenant = self.owner.tenant();
        let of_tenant = tenant.and_then(|tenant| counts.tenants.get(&tenant).copied()).unwrap_or_default();
        if units > self.pool.tenant_max - of_tenant {
            return Err(PoolFull::Tenant);
        }
        if units > self.pool.max - counts.all {
            return Err(PoolFull::Pool);
        }
        counts.all += units;
        counts.shares.insert(self.owner, share + units);
        if let Some(tenant) = tenant {
            counts.tenants.insert(tenant, of_tenant + units);
        }
        self.units += units;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut counts = self.pool.counts();
        counts.all -= self.units;
        subtract(&mut counts.shares, self.owner, self.units);
        if let Some(tenant) = self.owner.tenant() {
            subtract(&mut counts.tenants, tenant, self.units);
        }
    }
}

/// Subtracts units, and removes keys without units.
fn subtract<K: Eq + Hash>(taken: &mut HashMap<K, usize>, key: K, units: usize) {
    if let Entry::Occupied(mut entry) = taken.entry(key) {
        *entry.get_mut() -= units;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

/// The pools that the requests of one kind of owner share.
pub(crate) struct Pools {
    pub(crate) requests: Arc<Pool>,
    pub(crate) body_bytes: Arc<Pool>,
}

impl Pools {
    pub(crate) fn of_callers() -> Self {
        Self {
            requests: Pool::new(limits::CALLERS_REQUESTS_MAX, limits::TENANT_REQUESTS_MAX, limits::CALLER_REQUESTS_MAX),
            body_bytes: Pool::new(
                limits::CALLERS_BODIES_BYTES_MAX,
                limits::TENANT_BODIES_BYTES_MAX,
                limits::CALLER_BODIES_BYTES_MAX,
            ),
        }
    }

    pub(crate) fn of_strangers() -> Self {
        Self {
            requests: strangers(limits::STRANGERS_REQUESTS_MAX, limits::PEER_REQUESTS_MAX),
            body_bytes: strangers(limits::STRANGERS_BODIES_BYTES_MAX, limits::PEER_BODIES_BYTES_MAX),
        }
    }
}

/// Returns a pool for owners without a tenant.
fn strangers(max: usize, peer_max: usize) -> Arc<Pool> {
    Pool::new(max, max, peer_max)
}

/// Returns the pool of places for sign-in requests.
pub(crate) fn sign_ins() -> Arc<Pool> {
    strangers(limits::SIGN_IN_REQUESTS_MAX, limits::PEER_SIGN_IN_REQUESTS_MAX)
}

/// Returns the pool of connections of the forward proxy.
pub(super) fn proxy() -> Arc<Pool> {
    strangers(limits::PROXY_CONNECTIONS_MAX, limits::PROXY_PEER_CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_model::SeededRng;

    fn stranger(last: u8) -> Owner {
        Owner::Stranger(Peer::of([192, 0, 2, last].into()))
    }

    #[test]
    fn callers_of_a_tenant_leave_room_for_those_of_another() {
        let rng = SeededRng::new(1);
        let (first, second) = (TenantId::random(&rng), TenantId::random(&rng));
        let caller = |tenant| Owner::Caller(tenant, Some(AppId::random(&rng)), None);
        for (pool, tenant_max, share_max) in [
            (Pools::of_callers().requests, limits::TENANT_REQUESTS_MAX, limits::CALLER_REQUESTS_MAX),
            (Pools::of_callers().body_bytes, limits::TENANT_BODIES_BYTES_MAX, limits::CALLER_BODIES_BYTES_MAX),
        ] {
            let mut taken: Vec<_> =
                (0..tenant_max / share_max).map(|_| pool.take(caller(first), share_max).unwrap()).collect();
            assert_eq!(pool.take(caller(first), 1).err(), Some(PoolFull::Tenant));
            taken.push(pool.take(caller(second), share_max).unwrap());
            drop(taken.remove(0));
            assert!(pool.take(caller(first), share_max).is_ok(), "returned units can be taken again");
            drop(taken);
            assert!(pool.counts().tenants.is_empty(), "a tenant without units takes no memory");
        }
    }

    #[test]
    fn shares_and_pools_are_exhausted_exactly_at_their_limits() {
        let pool = Pool::new(10, 10, 4);
        let mut first = pool.take(stranger(1), 3).unwrap();
        assert_eq!(first.add(2), Err(PoolFull::Share));
        assert_eq!(first.add(1), Ok(()));
        let second = pool.take(stranger(2), 4).unwrap();
        assert_eq!(pool.take(stranger(3), 3).err(), Some(PoolFull::Pool));
        let third = pool.take(stranger(3), 2).unwrap();
        assert_eq!(pool.free(), 0);
        drop((first, second, third));
        assert_eq!(pool.free(), 10);
        assert!(pool.counts().shares.is_empty(), "an owner without units takes no memory");
    }
}
