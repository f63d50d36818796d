//! Changes of actions: accepting and claiming them, and appending to their logs.
//!
//! The model decides each change: the store applies the event, logs it and stores the resulting
//! action, all in the caller's transaction.

use std::sync::Arc;

use cloudpc_model::{
    Action, ActionId, Change, ChangeKind, DocumentKey, EntityType, Event, EventKind, Params, State, TenantId, Timestamp,
};

use super::{Advance, NewAction, TABLE, action, columns, line_name};
use crate::connection::params;
use crate::rows::{self, Columns, json, word};
use crate::{StoreError, Tx, WorkerId};

impl Tx<'_> {
    /// Accepts an action: adds its row, which is its first event, and for a deployment its result
    /// row. The action is due at once.
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
            bulk_action_id: new.bulk_action_id,
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
        action.apply(&Event { at: new.requested_at, epoch: 0, kind: EventKind::Accepted })?;
        action.id = self.action_insert_row(&action, line, !has_front, new.idempotency_key.as_deref())?;
        self.action_changed(&action, ChangeKind::Created);
        if let Params::DeployAgent { partner_id, activity_id, .. } = &action.params {
            self.deployment_insert(&action, *partner_id, *activity_id, line, !has_front)?;
        }
        Ok(action.id)
    }

    /// Returns up to `limit` actions at the front that are due and that no worker has, oldest due
    /// first.
    pub fn action_claimable(&self, now: Timestamp, limit: usize) -> Result<Vec<Action>, StoreError> {
        let claimable = self.rows(
            concat!(
                "SELECT ",
                columns!("steps"),
                " FROM actions WHERE at_front = 1 AND claim_at IS NOT NULL AND claim_at <= ?1 ORDER BY claim_at, id LIMIT ?2"
            ),
            params![now.0, rows::limit(limit)],
            |row| action(&mut Columns::new(row, TABLE)),
        )?;
        claimable.into_iter().map(|action| self.with_steps(action)).collect()
    }

    /// Appends an event, applies it and stores the result; returns the action after it.
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
        let mut action = self.with_steps(self.action_row(id)?.ok_or(StoreError::LeaseLost)?)?;
        if epoch != action.epoch {
            return Err(StoreError::LeaseLost);
        }
        let event = Event { at, epoch, kind };
        action.apply(&event)?;
        let advance = Advance { action: Arc::new(action), events: vec![event], power: None };
        self.action_advance(&advance)?;
        let Advance { mut action, .. } = advance;
        if action.state.is_final() {
            Arc::make_mut(&mut action).params.remove_secrets();
        }
        Ok(Arc::unwrap_or_clone(action))
    }

    /// Releases an open action until `due_at`, if `epoch` still owns it. An action that no worker
    /// holds is rescheduled in the same way.
    pub fn action_release(&mut self, id: ActionId, epoch: i64, due_at: Timestamp) -> Result<(), StoreError> {
        let changed = self.execute(
            "UPDATE actions SET worker_id = 0, claim_at = ?3
             WHERE id = ?1 AND epoch = ?2 AND open = 1 AND state <> 'stuck'",
            params![id.0, epoch, due_at.0],
        )?;
        if changed == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
    }

    /// Releases an action until `due_at` if `worker` still holds it under `epoch`, for a worker
    /// that lost track of it.
    pub fn action_give_up(
        &mut self,
        id: ActionId,
        epoch: i64,
        worker: WorkerId,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE actions SET worker_id = 0, claim_at = ?4 WHERE id = ?1 AND epoch = ?2 AND worker_id = ?3",
            params![id.0, epoch, worker.0, due_at.0],
        )?;
        Ok(())
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
        let Some(action) = self.action_row(id)? else { return Ok(false) };
        let changed = self.execute(
            "UPDATE actions SET params = ?2, claim_at = ?3, deadline_at = ?4 WHERE id = ?1 AND state = 'pending'",
            params![id.0, json(params), due_at.0, deadline_at.0],
        )?;
        if changed == 1 {
            self.action_changed(&action, ChangeKind::Updated);
        }
        Ok(changed == 1)
    }

    /// Returns an action of any tenant as its row has it.
    fn action_row(&self, id: ActionId) -> Result<Option<Action>, StoreError> {
        self.row(concat!("SELECT ", columns!("steps"), " FROM actions WHERE id = ?1"), params![id.0], |row| {
            action(&mut Columns::new(row, TABLE))
        })
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

    /// Notes a change of an action, and thereby of what it targets.
    pub(super) fn action_changed(&mut self, action: &Action, kind: ChangeKind) {
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
             idempotency_key, state, epoch, updated_at, steps, events, remote, open, claim_at, worker_id, at_front, tag_nonce,
             bulk_action_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 1, ?7, 0, ?16, ?17, ?18)
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
                action.bulk_action_id.map(|id| id.0),
            ],
        );
        inserted?.map(ActionId).ok_or(StoreError::Exists("an open remote action on this Cloud PC"))
    }
}
