//! Changes of actions: accepting and claiming them, and appending to their logs.
//!
//! The model decides each change: the store applies the event, logs it and stores the resulting
//! action, all in the caller's transaction.

use cloudpc_model::{
    Action, ActionId, Change, ChangeKind, DocumentKey, EntityType, Event, EventKind, Params, State, TenantId, Timestamp,
};

use super::{NewAction, TABLE, action, columns, line_name};
use crate::connection::{Row, params};
use crate::rows::{self, Columns, json, json_opt, micros, word};
use crate::{StoreError, Tx};

impl Tx<'_> {
    /// Accepts an action: adds its row, its first event, and for a deployment its result row. The
    /// action is due at once.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if it is a remote action and the target has an open one.
    pub fn action_insert(&mut self, new: &NewAction) -> Result<ActionId, StoreError> {
        if let Some(key) = &new.idempotency_key {
            let known = self.row(
                "SELECT id FROM actions WHERE tenant_id = ?1 AND idempotency_key = ?2",
                params![new.tenant_id.0, key],
                |row| Ok(ActionId(row.get(0)?)),
            )?;
            if let Some(id) = known {
                return Ok(id);
            }
        }
        let (line, has_front) = self.line_ensure(new.tenant_id, &new.target)?;
        let mut action = Action {
            id: ActionId(0),
            tag_nonce: Some(new.tag_nonce),
            tenant_id: new.tenant_id,
            target: new.target.clone(),
            params: new.params.clone(),
            requested_by: new.requested_by.clone(),
            requested_at: new.requested_at,
            deadline_at: new.deadline_at,
            state: State::Pending,
            epoch: 0,
            started_at: None,
            updated_at: new.requested_at,
            cancel_requested_at: None,
            outcome: None,
            steps: Vec::new(),
            events: 0,
        };
        let accepted = Event { at: new.requested_at, epoch: 0, kind: EventKind::Accepted };
        action.apply(&accepted)?;
        action.id = self.action_insert_row(&action, line, !has_front, new.idempotency_key.as_deref())?;
        self.action_changed(&action, ChangeKind::Created);
        self.event_insert(&action, &accepted)?;
        if let Params::DeployAgent { partner_id, activity_id, .. } = &action.params {
            self.deployment_insert(&action, *partner_id, *activity_id, line, !has_front)?;
        }
        Ok(action.id)
    }

    /// Claims up to `limit` actions at the front that are due or whose lease has expired, oldest
    /// due first: sets the lease, raises the epoch and logs the claim. Returns them with their
    /// steps.
    pub fn action_claim(
        &mut self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Action>, StoreError> {
        let claimable = self.rows(
            concat!(
                "SELECT ",
                columns!("steps"),
                ", line_id, at_front, claim_at, leased FROM actions
                 WHERE at_front = 1 AND claim_at IS NOT NULL AND claim_at <= ?1 ORDER BY claim_at, id LIMIT ?2"
            ),
            params![now.0, rows::limit(limit)],
            action_and_window,
        )?;
        let mut claimed = Vec::with_capacity(claimable.len());
        for (mut action, mut window) in claimable {
            let event = Event { at: now, epoch: action.epoch + 1, kind: EventKind::Claimed };
            action.apply(&event)?;
            window.claim_at = Some(lease_until);
            window.leased = true;
            self.event_insert(&action, &event)?;
            self.action_store(&action, &window)?;
            self.action_changed(&action, ChangeKind::Updated);
            self.deployment_update(&action, window.at_front, now)?;
            claimed.push(action);
        }
        Ok(claimed)
    }

    /// Appends an event, applies it and stores the result; returns the action after it. A final
    /// state frees the machine, brings the next in line to the front and removes secrets from the
    /// parameters. The result row of a deployment and the rollout of a policy are
    /// updated.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] unless `epoch` is the action's; [`StoreError::IllegalEvent`] from
    /// the model.
    pub fn action_append(
        &mut self,
        id: ActionId,
        epoch: i64,
        at: Timestamp,
        kind: EventKind,
    ) -> Result<Action, StoreError> {
        // An action that a reset has deleted is lost to its worker, as one that was claimed again.
        let Some((mut action, mut window)) = self.action_and_window(id)? else { return Err(StoreError::LeaseLost) };
        if epoch != action.epoch {
            return Err(StoreError::LeaseLost);
        }
        let event = Event { at, epoch, kind };
        action.apply(&event)?;
        self.event_insert(&action, &event)?;
        let was_at_front = window.at_front;
        if action.state.is_final() {
            window.at_front = false;
        }
        if action.state.is_final() || action.state == State::Stuck {
            window.claim_at = None;
            window.leased = false;
        }
        self.action_store(&action, &window)?;
        self.action_changed(&action, ChangeKind::Updated);
        if action.state.is_final() && action.params.remove_secrets() {
            self.execute("UPDATE actions SET params = ?2 WHERE id = ?1", params![action.id.0, json(&action.params)])?;
        }
        self.deployment_update(&action, window.at_front, at)?;
        if action.state.is_final() {
            self.rollout_action_ended(&action)?;
        }
        if was_at_front && !window.at_front {
            self.line_advance(window.line_id, at)?;
        }
        Ok(action)
    }

    /// Extends the lease, if `epoch` still owns it.
    pub fn action_renew(&mut self, id: ActionId, epoch: i64, lease_until: Timestamp) -> Result<(), StoreError> {
        let changed = self.execute(
            "UPDATE actions SET claim_at = ?3 WHERE id = ?1 AND epoch = ?2 AND leased = 1",
            params![id.0, epoch, lease_until.0],
        )?;
        if changed == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
    }

    /// Releases an open action until `due_at`, if `epoch` still owns it. An action that no worker
    /// holds is rescheduled in the same way.
    pub fn action_release(&mut self, id: ActionId, epoch: i64, due_at: Timestamp) -> Result<(), StoreError> {
        let changed = self.execute(
            "UPDATE actions SET leased = 0, claim_at = ?3 WHERE id = ?1 AND epoch = ?2 AND open = 1 AND state <> 'stuck'",
            params![id.0, epoch, due_at.0],
        )?;
        if changed == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
    }

    /// Changes what an action that no worker has claimed yet is to do, from when, and by when.
    /// Returns false if one has.
    pub fn action_reschedule(
        &mut self,
        id: ActionId,
        params: &Params,
        due_at: Timestamp,
        deadline_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some((action, _)) = self.action_and_window(id)? else { return Ok(false) };
        let changed = self.execute(
            "UPDATE actions SET params = ?2, claim_at = ?3, deadline_at = ?4 WHERE id = ?1 AND state = 'pending'",
            params![id.0, json(params), due_at.0, deadline_at.0],
        )?;
        if changed == 1 {
            self.action_changed(&action, ChangeKind::Updated);
        }
        Ok(changed == 1)
    }

    /// Expires every lease. At startup the lock of the directory proves that no one else holds any.
    pub fn action_expire_leases(&mut self) -> Result<(), StoreError> {
        self.execute(
            "UPDATE actions SET leased = 0, claim_at = updated_at
             WHERE at_front = 1 AND claim_at IS NOT NULL AND leased = 1",
            params![],
        )?;
        Ok(())
    }

    /// Returns the line of a target, created if it does not exist, and whether an action is at its
    /// front.
    pub(crate) fn line_ensure(&mut self, tenant: TenantId, target: &str) -> Result<(i64, bool), StoreError> {
        let name = line_name(target);
        let known = self.row(
            "SELECT id, EXISTS (SELECT 1 FROM actions WHERE line_id = lines.id AND at_front = 1) FROM lines
             WHERE tenant_id = ?1 AND name = ?2",
            params![tenant.0, name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        match known {
            Some(known) => Ok(known),
            None => {
                let insert = "INSERT INTO lines (tenant_id, name) VALUES (?1, ?2)";
                let line = self.insert(insert, params![tenant.0, name])?;
                Ok((line.ok_or(StoreError::Exists("the line"))?, false))
            }
        }
    }

    /// Brings the first action of a line to its front.
    fn line_advance(&mut self, line: i64, at: Timestamp) -> Result<(), StoreError> {
        let first: Option<i64> =
            self.value("SELECT min(id) FROM actions WHERE line_id = ?1 AND open = 1", params![line])?;
        let Some(first) = first else { return Ok(()) };
        self.execute("UPDATE actions SET at_front = 1 WHERE id = ?1", params![first])?;
        match self.action_and_window(ActionId(first))? {
            Some((action, window)) => {
                self.action_changed(&action, ChangeKind::Updated);
                self.deployment_update(&action, window.at_front, at)
            }
            None => Ok(()),
        }
    }

    /// Notes a change of an action, and thereby of what it targets.
    fn action_changed(&mut self, action: &Action, kind: ChangeKind) {
        let parent = DocumentKey::fold(&action.target);
        self.changed(
            action.tenant_id,
            Change::new(kind, EntityType::Action, action.id).within(parent).named(word(action.state)),
        );
    }

    /// Adds the row and returns its number.
    fn action_insert_row(
        &mut self,
        action: &Action,
        line: i64,
        at_front: bool,
        idempotency_key: Option<&str>,
    ) -> Result<ActionId, StoreError> {
        let inserted = self.insert(
            "INSERT INTO actions (tenant_id, line_id, target, kind, params, requested_by, requested_at, deadline_at,
             idempotency_key, state, epoch, updated_at, steps, events, remote, open, claim_at, leased, at_front, tag_nonce)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 1, ?7, 0, ?16, ?17)
             ON CONFLICT DO NOTHING",
            params![
                action.tenant_id.0,
                line,
                action.target,
                action.kind().name(),
                json(&action.params),
                json(&action.requested_by),
                action.requested_at.0,
                action.deadline_at.0,
                idempotency_key,
                word(action.state),
                action.epoch,
                action.updated_at.0,
                json(&action.steps),
                action.events,
                action.kind().is_remote_action(),
                at_front,
                action.tag_nonce.map(u64::cast_signed),
            ],
        );
        inserted?.map(ActionId).ok_or(StoreError::Exists("an open remote action on this Cloud PC"))
    }

    /// Appends an event that was just applied to the log.
    fn event_insert(&mut self, action: &Action, event: &Event) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO action_events (action_id, number, at, epoch, event) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![action.id.0, action.events, event.at.0, event.epoch, json(&event.kind)],
        )?;
        Ok(())
    }

    /// Stores what events and claims change.
    fn action_store(&mut self, action: &Action, window: &ClaimWindow) -> Result<(), StoreError> {
        self.execute(
            "UPDATE actions SET state = ?2, epoch = ?3, started_at = ?4, updated_at = ?5, cancel_requested_at = ?6,
             outcome = ?7, steps = ?8, events = ?9, claim_at = ?10, leased = ?11, at_front = ?12,
             open = ?13 WHERE id = ?1",
            params![
                action.id.0,
                word(action.state),
                action.epoch,
                micros(action.started_at),
                action.updated_at.0,
                micros(action.cancel_requested_at),
                json_opt(action.outcome.as_ref()),
                json(&action.steps),
                action.events,
                micros(window.claim_at),
                window.leased,
                window.at_front,
                !action.state.is_final(),
            ],
        )?;
        Ok(())
    }

    fn action_and_window(&self, id: ActionId) -> Result<Option<(Action, ClaimWindow)>, StoreError> {
        self.row(
            concat!("SELECT ", columns!("steps"), ", line_id, at_front, claim_at, leased FROM actions WHERE id = ?1"),
            params![id.0],
            action_and_window,
        )
    }
}

/// When an action may be claimed.
struct ClaimWindow {
    line_id: i64,
    at_front: bool,
    claim_at: Option<Timestamp>,
    leased: bool,
}

fn action_and_window(row: Row<'_>) -> Result<(Action, ClaimWindow), StoreError> {
    let mut columns = Columns::new(row, TABLE);
    let action = action(&mut columns)?;
    let window = ClaimWindow {
        line_id: columns.get()?,
        at_front: columns.get()?,
        claim_at: columns.time_opt()?,
        leased: columns.get()?,
    };
    Ok((action, window))
}
