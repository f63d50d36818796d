//! Actions and their event logs.
//!
//! Each open action waits in the line of its target, by number. Only the first of a line, the one
//! *at the front*, can be claimed; a partial unique index over (tenant, target) where `at_front`
//! makes the database itself guarantee one running action per machine.

mod advance;
mod change;

use cloudpc_model::{
    Action, ActionId, Actor, BulkActionId, CloudPcId, Event, EventKind, Params, State, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::connection::params;
use crate::rows::{self, Columns};
use crate::{Reader, StoreError};

pub use advance::Advance;

const TABLE: &str = "actions";

/// The columns of an action, in the order of the struct. Lists leave out the steps. The row of an
/// action that runs has none: see [`Reader::with_steps`].
macro_rules! columns {
    ($steps:literal) => {
        concat!(
            "id, tag_nonce, tenant_id, target, params, requested_by, bulk_action_id, requested_at, deadline_at, state, epoch, started_at, updated_at, ",
            "cancel_requested_at, outcome, ",
            $steps,
            ", events"
        )
    };
}
use columns;

/// An action to be accepted.
#[derive(Clone, Debug)]
pub struct NewAction {
    /// Tenant of the action.
    pub tenant_id: TenantId,
    /// The Cloud PC as named by the caller, which selects the line.
    pub target: String,
    /// Kind and parameters.
    pub params: Params,
    /// The caller.
    pub requested_by: Actor,
    /// The bulk action that it is an item of.
    pub bulk_action_id: Option<BulkActionId>,
    /// Time of the request.
    pub requested_at: Timestamp,
    /// The action fails if it has not ended by then.
    pub deadline_at: Timestamp,
    /// The random part of its tag, new for each call: see [`Action::tag_nonce`].
    pub tag_nonce: u64,
    /// A second request with the same key returns the first action.
    pub idempotency_key: Option<String>,
}

/// Which actions of a machine to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionFilter {
    /// All kinds of action.
    All,
    /// The kinds that Graph calls remote actions.
    Remote,
}

/// The events in one row of the log, which have the same time: the end of a step and the start of
/// the next, for example. The number of the row is that of the first.
#[derive(Deserialize)]
#[serde(untagged)]
enum LoggedEvents {
    One(EventKind),
    Several(Vec<EventKind>),
}

/// The place of an open action in the line of its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePlace {
    /// Number of open actions ahead of it.
    pub ahead: u64,
    /// The action at the front, unless it is this one.
    pub behind: Option<ActionId>,
}

/// A place in the list of a tenant's remote actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionPlace {
    /// Target of the last action, in any spelling.
    pub target: String,
    /// The last action.
    pub id: ActionId,
}

impl Reader<'_> {
    /// Returns an action with its steps.
    pub fn action(&self, tenant: TenantId, id: ActionId) -> Result<Option<Action>, StoreError> {
        let found = self.row(
            concat!("SELECT ", columns!("steps"), " FROM actions WHERE tenant_id = ?1 AND id = ?2"),
            params![tenant.0, id.0],
            |row| action(&mut Columns::new(row, TABLE)),
        )?;
        found.map(|action| self.with_steps(action)).transpose()
    }

    /// Completes an action that was read from its row. The steps of an action that runs are in its
    /// log alone, so that each advance writes only what is new; the end writes them to the row.
    fn with_steps(&self, mut action: Action) -> Result<Action, StoreError> {
        if let State::Running | State::Undoing = action.state {
            let mut folded = action.without_events();
            for event in self.action_events(action.id)? {
                folded.apply(&event)?;
            }
            action.steps = folded.steps;
        }
        Ok(action)
    }

    /// Returns the log of an action, oldest first. The acceptance is in the row of the action and
    /// not written a second time; the logs of earlier versions have it.
    pub fn action_events(&self, id: ActionId) -> Result<Vec<Event>, StoreError> {
        let logged = self.rows(
            "SELECT number, at, epoch, event FROM action_events WHERE action_id = ?1 ORDER BY number",
            params![id.0],
            |row| {
                let mut columns = Columns::new(row, "action_events");
                let number: u32 = columns.get()?;
                let (at, epoch, kinds) = (columns.time()?, columns.get()?, columns.json()?);
                let kinds = match kinds {
                    LoggedEvents::One(kind) => vec![kind],
                    LoggedEvents::Several(kinds) => kinds,
                };
                Ok((number, kinds.into_iter().map(move |kind| Event { at, epoch, kind })))
            },
        )?;
        let has_acceptance = logged.first().is_some_and(|(number, _)| *number == 1);
        let accepted_at = match has_acceptance {
            true => None,
            false => self.row("SELECT requested_at FROM actions WHERE id = ?1", params![id.0], |row| row.get(0))?,
        };
        let accepted = accepted_at.map(|at| Event { at: Timestamp(at), epoch: 0, kind: EventKind::Accepted });
        Ok(accepted.into_iter().chain(logged.into_iter().flat_map(|(_, events)| events)).collect())
    }

    /// Lists actions on a target, newest first, numbered below `before`, without their steps.
    pub fn action_list(
        &self,
        tenant: TenantId,
        target: &str,
        filter: ActionFilter,
        before: Option<ActionId>,
        limit: usize,
    ) -> Result<Vec<Action>, StoreError> {
        let Some(line) = self.line(tenant, target)? else { return Ok(Vec::new()) };
        let sql = match filter {
            ActionFilter::Remote => concat!(
                "SELECT ",
                columns!("'[]'"),
                " FROM actions WHERE line_id = ?1 AND remote = 1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
            ),
            // Two range scans that are merged by number as they are read.
            ActionFilter::All => concat!(
                "SELECT ",
                columns!("'[]'"),
                " FROM actions WHERE line_id = ?1 AND remote = 1 AND id < ?2 UNION ALL SELECT ",
                columns!("'[]'"),
                " FROM actions WHERE line_id = ?1 AND remote = 0 AND id < ?2 ORDER BY id DESC LIMIT ?3"
            ),
        };
        let before = before.map_or(i64::MAX, |id| id.0);
        self.rows(sql, params![line, before, rows::limit(limit)], |row| action(&mut Columns::new(row, TABLE)))
    }

    /// Lists the remote actions of a tenant by target, those after a place, without their steps.
    /// Reads no more than `limit` targets, so that there may be fewer although the list continues.
    pub fn action_list_remote(
        &self,
        tenant: TenantId,
        after: Option<&ActionPlace>,
        limit: usize,
    ) -> Result<(Vec<Action>, Option<ActionPlace>), StoreError> {
        let first = ActionPlace { target: String::new(), id: ActionId(0) };
        let after = after.unwrap_or(&first);
        // The rest of the last target, then the targets after it.
        let last = self.line(tenant, &after.target)?.map(|line| (line, after.target.clone(), after.id));
        let others = self.rows(
            "SELECT id, name FROM lines WHERE tenant_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
            params![tenant.0, line_name(&after.target), rows::limit(limit)],
            |row| Ok((row.get(0)?, row.get(1)?, ActionId(0))),
        )?;
        let mut ends = others.len() < limit;
        let mut place = None;
        let mut found = Vec::new();
        for (line, target, id) in last.into_iter().chain(others) {
            let left = limit - found.len();
            let actions = self.rows(
                concat!(
                    "SELECT ",
                    columns!("'[]'"),
                    " FROM actions WHERE line_id = ?1 AND remote = 1 AND id > ?2 ORDER BY id LIMIT ?3"
                ),
                params![line, id.0, rows::limit(left)],
                |row| action(&mut Columns::new(row, TABLE)),
            )?;
            place = Some(ActionPlace { target, id: actions.last().map_or(id, |action| action.id) });
            found.extend(actions);
            if found.len() == limit {
                ends = false;
                break;
            }
        }
        Ok((found, place.filter(|_| !ends)))
    }

    /// Number of actions that `action_list` lists in all.
    pub fn action_count(&self, tenant: TenantId, target: &str, filter: ActionFilter) -> Result<u64, StoreError> {
        let Some(line) = self.line(tenant, target)? else { return Ok(0) };
        match filter {
            ActionFilter::All => self.count("SELECT count(*) FROM actions WHERE line_id = ?1", params![line]),
            ActionFilter::Remote => {
                self.count("SELECT count(*) FROM actions WHERE line_id = ?1 AND remote = 1", params![line])
            }
        }
    }

    /// Returns the open remote action on a target. The condition is the one of the index.
    pub fn action_open_remote(&self, tenant: TenantId, target: &str) -> Result<Option<Action>, StoreError> {
        let Some(line) = self.line(tenant, target)? else { return Ok(None) };
        let open = self.row(
            concat!(
                "SELECT ",
                columns!("steps"),
                " FROM actions WHERE line_id = ?1 AND nullif(remote, 0) = 1 AND open = 1"
            ),
            params![line],
            |row| action(&mut Columns::new(row, TABLE)),
        )?;
        open.map(|action| self.with_steps(action)).transpose()
    }

    /// Actions on a target that wait to be claimed for the first time and are not at the front of
    /// its line, oldest first.
    pub fn action_waiting(&self, tenant: TenantId, target: &str) -> Result<Vec<Action>, StoreError> {
        let Some(line) = self.line(tenant, target)? else { return Ok(Vec::new()) };
        let mut waiting = self.rows(
            concat!(
                "SELECT ",
                columns!("steps"),
                " FROM actions WHERE line_id = ?1 AND open = 1 AND at_front = 0 AND state = 'pending'"
            ),
            params![line],
            |row| action(&mut Columns::new(row, TABLE)),
        )?;
        waiting.sort_by_key(|action| action.id);
        Ok(waiting)
    }

    /// Returns the place of an action.
    pub fn action_place(&self, action: &Action) -> Result<QueuePlace, StoreError> {
        if action.state.is_final() {
            return Ok(QueuePlace { ahead: 0, behind: None });
        }
        let ahead = self.count(
            "SELECT count(*) FROM actions
             WHERE line_id = (SELECT line_id FROM actions WHERE tenant_id = ?1 AND id = ?2) AND open = 1 AND id < ?2",
            params![action.tenant_id.0, action.id.0],
        )?;
        let front = self.row(
            "SELECT id FROM actions
             WHERE line_id = (SELECT line_id FROM actions WHERE tenant_id = ?1 AND id = ?2) AND at_front = 1",
            params![action.tenant_id.0, action.id.0],
            |row| Ok(ActionId(row.get(0)?)),
        )?;
        Ok(QueuePlace { ahead, behind: front.filter(|front| *front != action.id) })
    }

    /// Number of open actions of all tenants.
    pub fn action_open_count(&self) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM actions WHERE open = 1", params![])
    }

    /// The time at which the next action can be claimed; none if no worker can claim one.
    pub fn action_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.row(
            "SELECT claim_at FROM actions WHERE at_front = 1 AND claim_at IS NOT NULL ORDER BY claim_at, id LIMIT 1",
            params![],
            |row| Columns::new(row, TABLE).time(),
        )
    }

    /// Lists actions of all tenants that wait behind another one and whose deadline has passed by
    /// `now`, earliest deadline first, without their steps.
    pub fn action_overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<Action>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!("'[]'"),
                " FROM actions WHERE at_front = 0 AND open = 1 AND deadline_at <= ?1 ORDER BY deadline_at, id LIMIT ?2"
            ),
            params![now.0, rows::limit(limit)],
            |row| action(&mut Columns::new(row, TABLE)),
        )
    }

    /// The earliest deadline of an action that waits behind another one.
    pub fn action_next_deadline(&self) -> Result<Option<Timestamp>, StoreError> {
        self.row(
            "SELECT deadline_at FROM actions WHERE at_front = 0 AND open = 1 ORDER BY deadline_at, id LIMIT 1",
            params![],
            |row| Columns::new(row, TABLE).time(),
        )
    }

    /// The id of the line of a target, if it has one.
    pub(crate) fn line(&self, tenant: TenantId, target: &str) -> Result<Option<i64>, StoreError> {
        self.row(
            "SELECT id FROM lines WHERE tenant_id = ?1 AND name = ?2",
            params![tenant.0, line_name(target)],
            |row| row.get(0),
        )
    }
}

/// The name of a target's line: the same for every spelling of a GUID, and for any case of another
/// text. One machine has one line.
fn line_name(target: &str) -> String {
    match target.parse::<CloudPcId>() {
        Ok(id) => id.to_string(),
        Err(_) => target.to_ascii_lowercase(),
    }
}

/// Reads the columns of `columns!`.
fn action(columns: &mut Columns<'_>) -> Result<Action, StoreError> {
    Ok(Action {
        id: ActionId(columns.get()?),
        tag_nonce: columns.get::<Option<i64>>()?.map(i64::cast_unsigned),
        tenant_id: TenantId(columns.get()?),
        target: columns.get()?,
        params: columns.json()?,
        requested_by: columns.json()?,
        bulk_action_id: columns.get::<Option<Uuid>>()?.map(BulkActionId),
        requested_at: columns.time()?,
        deadline_at: columns.time()?,
        state: columns.word()?,
        epoch: columns.get()?,
        started_at: columns.time_opt()?,
        updated_at: columns.time()?,
        cancel_requested_at: columns.time_opt()?,
        outcome: columns.json_opt()?,
        steps: columns.json()?,
        events: columns.get()?,
    })
}
