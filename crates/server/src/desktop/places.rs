//! Limits of open desktops, in total and for each caller, tenant and machine.

use cloudpc_model::{CloudPcId, TenantId};
use http::StatusCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Limit of open desktops. Each takes two sockets and, with the longest messages, about 1.1 MiB.
pub const BRIDGES_MAX: usize = 256;

/// Limit of open desktops for each tenant.
pub const TENANT_BRIDGES_MAX: usize = 128;

/// Limit of open desktops for each caller.
pub const CALLER_BRIDGES_MAX: usize = 32;

/// Limit of open desktops for each machine. QEMU accepts 32 connections to a screen, and
/// disconnects older ones beyond that.
pub const MACHINE_BRIDGES_MAX: usize = 16;

/// Limit of view-only desktops for each machine, so that viewers leave room for users who control
/// it.
pub const MACHINE_VIEWERS_MAX: usize = 8;

/// Limit of open desktops for each caller on one machine.
pub const CALLER_MACHINE_BRIDGES_MAX: usize = 4;

/// The holder of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Tenant of the caller and the machine.
    pub tenant_id: TenantId,
    /// [`share_key`](crate::caller::Caller::share_key) of the caller.
    pub caller: String,
    /// The Cloud PC.
    pub cloud_pc_id: CloudPcId,
    /// Whether the desktop is view-only.
    pub view_only: bool,
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DesktopPlacesFull {
    #[error("You have {max} open desktops of this Cloud PC, which is the maximum. Close one of them first.", max = CALLER_MACHINE_BRIDGES_MAX)]
    CallerOnMachine,
    #[error("You have {max} open desktops, which is the maximum. Close one of them first.", max = CALLER_BRIDGES_MAX)]
    Caller,
    #[error("This Cloud PC has {max} view-only desktops open, which is the maximum. Try again later.", max = MACHINE_VIEWERS_MAX)]
    MachineViewers,
    #[error("This Cloud PC has {max} desktops open, which is the maximum. Try again later.", max = MACHINE_BRIDGES_MAX)]
    Machine,
    #[error("Your tenant has {max} desktops open, which is the maximum. Try again later.", max = TENANT_BRIDGES_MAX)]
    Tenant,
    #[error("The service has {max} desktops open, which is the maximum. Try again later.", max = BRIDGES_MAX)]
    Service,
}

/// The places that are taken. There are few of them, so every count scans them all.
#[derive(Default)]
pub struct DesktopPlaces {
    taken: Mutex<Vec<Holder>>,
}

/// A place that is held until it is dropped.
pub struct DesktopPlace {
    places: Arc<DesktopPlaces>,
    holder: Holder,
}

impl DesktopPlaces {
    /// Takes a place within all limits.
    pub fn take(self: &Arc<Self>, holder: Holder) -> Result<DesktopPlace, DesktopPlacesFull> {
        let mut taken = self.taken();
        check(&taken, &holder)?;
        taken.push(holder.clone());
        Ok(DesktopPlace { places: Arc::clone(self), holder })
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Holder>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DesktopPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(index) = taken.iter().position(|holder| *holder == self.holder) {
            taken.swap_remove(index);
        }
    }
}

impl DesktopPlacesFull {
    /// Returns 429 for a limit of the caller's own, else 503.
    pub fn status(self) -> StatusCode {
        match self {
            Self::CallerOnMachine | Self::Caller => StatusCode::TOO_MANY_REQUESTS,
            Self::MachineViewers | Self::Machine | Self::Tenant | Self::Service => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Checks all limits. The narrowest limit is checked first, so that it is the one reported.
fn check(taken: &[Holder], new: &Holder) -> Result<(), DesktopPlacesFull> {
    let count = |same: &dyn Fn(&Holder) -> bool| taken.iter().filter(|holder| same(holder)).count();
    let tenant = |holder: &Holder| holder.tenant_id == new.tenant_id;
    let caller = |holder: &Holder| tenant(holder) && holder.caller == new.caller;
    let machine = |holder: &Holder| tenant(holder) && holder.cloud_pc_id == new.cloud_pc_id;
    if count(&|holder| caller(holder) && machine(holder)) >= CALLER_MACHINE_BRIDGES_MAX {
        return Err(DesktopPlacesFull::CallerOnMachine);
    }
    if count(&caller) >= CALLER_BRIDGES_MAX {
        return Err(DesktopPlacesFull::Caller);
    }
    if new.view_only && count(&|holder| machine(holder) && holder.view_only) >= MACHINE_VIEWERS_MAX {
        return Err(DesktopPlacesFull::MachineViewers);
    }
    if count(&machine) >= MACHINE_BRIDGES_MAX {
        return Err(DesktopPlacesFull::Machine);
    }
    if count(&tenant) >= TENANT_BRIDGES_MAX {
        return Err(DesktopPlacesFull::Tenant);
    }
    if taken.len() >= BRIDGES_MAX {
        return Err(DesktopPlacesFull::Service);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn holder(tenant: u128, caller: u128, machine: u128, view_only: bool) -> Holder {
        Holder {
            tenant_id: TenantId(Uuid::from_u128(tenant)),
            caller: caller.to_string(),
            cloud_pc_id: CloudPcId(Uuid::from_u128(machine)),
            view_only,
        }
    }

    /// Takes places until a limit is reached; returns the limit and the places.
    fn fill(places: &Arc<DesktopPlaces>, next: impl Fn(u128) -> Holder) -> (DesktopPlacesFull, Vec<DesktopPlace>) {
        let mut held = Vec::new();
        for number in 0.. {
            match places.take(next(number)) {
                Ok(place) => held.push(place),
                Err(full) => return (full, held),
            }
        }
        unreachable!()
    }

    #[test]
    fn one_caller_cannot_exhaust_the_places_of_others() {
        let places = Arc::default();
        let (full, on_machine) = fill(&places, |_| holder(1, 1, 1, false));
        assert_eq!((full, on_machine.len()), (DesktopPlacesFull::CallerOnMachine, CALLER_MACHINE_BRIDGES_MAX));
        let (full, on_others) = fill(&places, |number| holder(1, 1, 2 + number, false));
        assert_eq!((full, on_machine.len() + on_others.len()), (DesktopPlacesFull::Caller, CALLER_BRIDGES_MAX));
        for other in [holder(1, 2, 1, false), holder(2, 1, 1, true)] {
            assert!(places.take(other).is_ok());
        }
    }

    #[test]
    fn viewers_leave_room_for_control() {
        let places = Arc::default();
        let (full, viewers) = fill(&places, |number| holder(1, number, 1, true));
        assert_eq!((full, viewers.len()), (DesktopPlacesFull::MachineViewers, MACHINE_VIEWERS_MAX));
        let (full, workers) = fill(&places, |number| holder(1, number, 1, false));
        assert_eq!((full, viewers.len() + workers.len()), (DesktopPlacesFull::Machine, MACHINE_BRIDGES_MAX));
        assert!(places.take(holder(1, 1, 2, true)).is_ok());
    }

    #[test]
    fn a_tenant_has_a_share_of_all_places() {
        let places = Arc::default();
        let (full, first) = fill(&places, |number| holder(1, number, number, true));
        assert_eq!((full, first.len()), (DesktopPlacesFull::Tenant, TENANT_BRIDGES_MAX));
        let (full, second) = fill(&places, |number| holder(2, number, number, true));
        assert_eq!((full, first.len() + second.len()), (DesktopPlacesFull::Tenant, BRIDGES_MAX));
        assert_eq!(places.take(holder(3, 1, 1, true)).err(), Some(DesktopPlacesFull::Service));
        drop(first);
        assert!(places.take(holder(3, 1, 1, true)).is_ok(), "dropped places are free again");
    }
}
