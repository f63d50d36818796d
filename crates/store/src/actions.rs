//! Actions and their event logs.
//!
//! Each open action stands in the line of its target, by number. The first of a line is *at the front*: only it can be claimed, and a partial
//! unique index over (tenant, target) where `at_front` is what makes "one running action per machine" a fact of the database.

use cloudpc_model::{Action, ActionId, Actor, Event, EventKind, Params, TenantId, Timestamp};

use crate::{Reader, StoreError, Tx};

/// An action to be accepted.
#[derive(Clone, Debug)]
pub struct NewAction {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The Cloud PC as named by the caller; its line.
    pub target: String,
    /// What to do.
    pub params: Params,
    /// Who asked.
    pub requested_by: Actor,
    /// When.
    pub requested_at: Timestamp,
    /// When it has to have ended.
    pub deadline_at: Timestamp,
    /// Asking again with the same key gives the first action.
    pub idempotency_key: Option<String>,
}

/// Which actions of a machine to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionFilter {
    /// All.
    All,
    /// Those that Graph calls remote actions.
    Remote,
}

/// Where an open action stands in its machine's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Open actions ahead of it.
    pub ahead: u64,
    /// The one at the front, unless it is this one.
    pub behind: Option<ActionId>,
}

impl Reader<'_> {
    /// An action with its steps.
    pub fn action(&self, _tenant: TenantId, _id: ActionId) -> Result<Option<Action>, StoreError> {
        unimplemented!()
    }

    /// The log of an action, oldest first.
    pub fn action_events(&self, _id: ActionId) -> Result<Vec<Event>, StoreError> {
        unimplemented!()
    }

    /// Actions on a target, newest first, those with a number below `before`; without their steps.
    pub fn action_list(
        &self,
        _tenant: TenantId,
        _target: &str,
        _filter: ActionFilter,
        _before: Option<ActionId>,
        _limit: usize,
    ) -> Result<Vec<Action>, StoreError> {
        unimplemented!()
    }

    /// How many actions `action_list` would list in all.
    pub fn action_count(&self, _tenant: TenantId, _target: &str, _filter: ActionFilter) -> Result<u64, StoreError> {
        unimplemented!()
    }

    /// The open remote action on a target.
    pub fn action_open_remote(&self, _tenant: TenantId, _target: &str) -> Result<Option<Action>, StoreError> {
        unimplemented!()
    }

    /// Where an open action stands.
    pub fn action_place(&self, _action: &Action) -> Result<Place, StoreError> {
        unimplemented!()
    }

    /// Open actions of all tenants.
    pub fn action_open_count(&self) -> Result<u64, StoreError> {
        unimplemented!()
    }

    /// When the next action becomes claimable, by its due time or its lease's end; none if none is at a front.
    pub fn action_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        unimplemented!()
    }
}

impl Tx<'_> {
    /// Accepts an action: its row, its first event, and for a deployment its result row. Due at once.
    pub fn action_insert(&mut self, _new: &NewAction) -> Result<ActionId, StoreError> {
        unimplemented!()
    }

    /// Claims up to `limit` actions that are at the front and due or whose lease has ended, oldest due first: sets the lease, raises the epoch and
    /// logs the claim. Returns them with their steps.
    pub fn action_claim(
        &mut self,
        _now: Timestamp,
        _lease_until: Timestamp,
        _limit: usize,
    ) -> Result<Vec<Action>, StoreError> {
        unimplemented!()
    }

    /// Appends an event, applies it and stores the result; returns the action after it. A final state frees the machine and brings the next in line
    /// to the front. A deployment's result row follows.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] unless `epoch` is the action's; [`StoreError::IllegalEvent`] from the model.
    pub fn action_append(
        &mut self,
        _id: ActionId,
        _epoch: i64,
        _at: Timestamp,
        _kind: EventKind,
    ) -> Result<Action, StoreError> {
        unimplemented!()
    }

    /// Extends the lease, if `epoch` still owns it.
    pub fn action_renew(&mut self, _id: ActionId, _epoch: i64, _lease_until: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Gives an open action up until `due_at`, if `epoch` still owns it.
    pub fn action_release(&mut self, _id: ActionId, _epoch: i64, _due_at: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Ends every lease. At start-up the directory's lock proves that no one else holds any.
    pub fn action_expire_leases(&mut self) -> Result<(), StoreError> {
        unimplemented!()
    }
}
