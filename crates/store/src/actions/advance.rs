//! Advancing actions: the events of a worker, appended if nobody else has appended any since it
//! read the action.
//!
//! An advance is a few statements on single rows: on SQLite, statements on many rows cost as much,
//! since no statement crosses a network.

use std::sync::Arc;

use cloudpc_model::{Action, ActionId, ChangeKind, Event, Power, State};

use crate::connection::params;
use crate::rows::{self, json, json_opt, micros, word};
use crate::{Store, StoreError, Tx, WorkerId};

/// What the worker of an action appends to its log.
#[derive(Clone, Debug)]
pub struct Advance {
    /// The action after the events.
    pub action: Arc<Action>,
    /// The new events, oldest first; at least one.
    pub events: Vec<Event>,
    /// The power state that the action's Cloud PC is now known to be in.
    pub power: Option<Power>,
}

impl Advance {
    /// Number of events that the log has before.
    fn events_before(&self) -> i64 {
        i64::from(self.action.events) - i64::try_from(self.events.len()).unwrap_or(i64::MAX)
    }
}

impl Store {
    /// Stores an advance of an action and returns after its commit is on disk.
    ///
    /// # Errors
    /// Those of [`Tx::action_advance`] and [`Store::write`].
    pub async fn advance(&self, advance: Advance) -> Result<(), StoreError> {
        self.write("action.advance", move |tx| tx.action_advance(&advance)).await
    }
}

impl Tx<'_> {
    /// Claims an action that [`action_claimable`](crate::Reader::action_claimable) returned in this
    /// transaction: stores its new epoch, its worker and the events, the first of which is the
    /// claim.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] if its log has grown.
    pub fn action_claim(&mut self, advance: &Advance, worker: WorkerId) -> Result<(), StoreError> {
        let action = &*advance.action;
        let claimed = self.execute(
            "UPDATE actions SET state = ?3, epoch = ?4, started_at = ?5, updated_at = ?6, outcome = ?7, events = ?8,
             claim_at = NULL, worker_id = ?9 WHERE id = ?1 AND events = ?2",
            params![
                action.id.0,
                advance.events_before(),
                word(action.state),
                action.epoch,
                micros(action.started_at),
                action.updated_at.0,
                json_opt(action.outcome.as_ref()),
                action.events,
                worker.0,
            ],
        )?;
        if claimed == 0 {
            return Err(StoreError::Overtaken);
        }
        self.events_insert(action, &advance.events)?;
        self.action_changed(action, ChangeKind::Updated);
        self.deployment_update(action)
    }

    /// Appends events and stores the action after them. A final state frees the machine, brings the
    /// next in line to the front and removes secrets from the parameters. The result row of a
    /// deployment and the rollout of a policy are updated.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] unless the action has the epoch of the advance,
    /// [`StoreError::Overtaken`] if its log has grown. Nothing is written then.
    pub fn action_advance(&mut self, advance: &Advance) -> Result<(), StoreError> {
        let action = &*advance.action;
        let has_ended = action.state.is_final();
        let changed = match has_ended || action.state == State::Stuck {
            true => self.action_put_end(advance, !has_ended)?,
            false => self.action_put(advance)?,
        };
        if changed == 0 {
            return Err(self.action_mismatch(action)?);
        }
        self.events_insert(action, &advance.events)?;
        self.action_changed(action, ChangeKind::Updated);
        if let (Some(power), Some(cloud_pc)) = (advance.power, action.cloud_pc_id()) {
            self.cloud_pc_power_put(action.tenant_id, cloud_pc, power, action.updated_at)?;
        }
        self.deployment_update(action)?;
        if has_ended {
            let mut params = action.params.clone();
            if params.remove_secrets() {
                self.execute("UPDATE actions SET params = ?2 WHERE id = ?1", params![action.id.0, json(&params)])?;
            }
            self.rollout_action_ended(action)?;
            self.bulk_action_item_ended(action)?;
            self.line_advance(action)?;
        }
        Ok(())
    }

    /// Stores what the events of an action that goes on change.
    fn action_put(&mut self, advance: &Advance) -> Result<usize, StoreError> {
        let action = &*advance.action;
        self.execute(
            "UPDATE actions SET state = ?4, updated_at = ?5, cancel_requested_at = ?6, outcome = ?7, events = ?8
             WHERE id = ?1 AND epoch = ?2 AND events = ?3",
            params![
                action.id.0,
                action.epoch,
                advance.events_before(),
                word(action.state),
                action.updated_at.0,
                micros(action.cancel_requested_at),
                json_opt(action.outcome.as_ref()),
                action.events,
            ],
        )
    }

    /// Stores an action that no worker runs any more: it has ended, or is stuck and so still open.
    fn action_put_end(&mut self, advance: &Advance, is_open: bool) -> Result<usize, StoreError> {
        let action = &*advance.action;
        self.execute(
            "UPDATE actions SET state = ?4, updated_at = ?5, cancel_requested_at = ?6, outcome = ?7, events = ?8,
             steps = ?9, open = ?10, at_front = CASE WHEN ?10 = 1 THEN at_front ELSE 0 END, claim_at = NULL, worker_id = 0
             WHERE id = ?1 AND epoch = ?2 AND events = ?3",
            params![
                action.id.0,
                action.epoch,
                advance.events_before(),
                word(action.state),
                action.updated_at.0,
                micros(action.cancel_requested_at),
                json_opt(action.outcome.as_ref()),
                action.events,
                json(&action.steps),
                is_open,
            ],
        )
    }

    /// Returns why a guarded change of an action changed no row. An action that a reset has deleted
    /// is lost to its worker, as one that was claimed again.
    fn action_mismatch(&self, action: &Action) -> Result<StoreError, StoreError> {
        let epoch =
            self.row("SELECT epoch FROM actions WHERE id = ?1", params![action.id.0], |row| row.get::<i64>(0))?;
        Ok(if epoch == Some(action.epoch) { StoreError::Overtaken } else { StoreError::LeaseLost })
    }

    /// Appends the events that were just applied to the log, those of one time in one row.
    pub(super) fn events_insert(&mut self, action: &Action, events: &[Event]) -> Result<(), StoreError> {
        let mut number = i64::from(action.events) - rows::limit(events.len()) + 1;
        for events in events.chunk_by(|one, other| (one.at, one.epoch) == (other.at, other.epoch)) {
            let text = match events {
                [event] => json(&event.kind),
                several => json(&several.iter().map(|event| &event.kind).collect::<Vec<_>>()),
            };
            self.execute(
                "INSERT INTO action_events (action_id, number, at, epoch, event) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![action.id.0, number, events[0].at.0, events[0].epoch, text],
            )?;
            number += rows::limit(events.len());
        }
        Ok(())
    }

    /// Brings the first action of the line of an action that has ended to the front.
    fn line_advance(&mut self, ended: &Action) -> Result<(), StoreError> {
        let next = self.row(
            "SELECT id FROM actions WHERE id =
             (SELECT min(id) FROM actions WHERE line_id = (SELECT line_id FROM actions WHERE id = ?1) AND open = 1)
             AND at_front = 0",
            params![ended.id.0],
            |row| row.get(0).map(ActionId),
        )?;
        let Some(next) = next else { return Ok(()) };
        self.execute("UPDATE actions SET at_front = 1 WHERE id = ?1", params![next.0])?;
        match self.action(ended.tenant_id, next)? {
            Some(next) => {
                self.action_changed(&next, ChangeKind::Updated);
                self.deployment_update_at(&next, ended.updated_at)
            }
            None => Ok(()),
        }
    }
}
