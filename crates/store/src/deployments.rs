//! Deployment results: one row per deployment, clustered in the order in which they are served
//! (partner, number).

use cloudpc_model::{Action, ActionId, ActivityId, Failure, Params, PartnerId, State, TenantId, Timestamp};

use crate::connection::dialect::{greater, join_in_order};
use crate::connection::{Row, params};
use crate::lists::{ListColumn, ListTable};
use crate::pages::PAGE_DEPLOYMENTS;
use crate::rows::{self, Columns, word};
use crate::{Reader, StoreError, Tx};

/// The columns of a result, in the order of the struct.
macro_rules! columns {
    () => {
        "d.action_id, d.activity_id, d.target, d.state, d.at_front, d.failure_code, d.failure_message, d.started_at, d.modified_at"
    };
}
pub(crate) use columns;

/// The results of the deployments of a tenant. Only those of one partner are in the order of a key.
pub static DEPLOYMENTS: ListTable<Deployment> = ListTable {
    name: "deployments AS d",
    columns: columns!(),
    width: 9,
    id: deployment_columns::ACTION_ID,
    descending: false,
    map: deployment,
};

/// Columns by which the results of deployments are selected and sorted.
#[expect(missing_docs, reason = "each is named after the field of the deployment")]
pub mod deployment_columns {
    use super::ListColumn;

    pub const PARTNER_ID: ListColumn = ListColumn::key("partner_id", 2);
    pub const ACTION_ID: ListColumn = ListColumn::plain("action_id");
    pub const ACTIVITY_ID: ListColumn = ListColumn::plain("activity_id");
    /// ASCII letters in lower case.
    pub const TARGET: ListColumn = ListColumn::plain("lower(target)");
    /// The state of the action; empty if it is pending at the front of its line.
    pub const STATE: ListColumn =
        ListColumn::plain("CASE WHEN state = 'pending' AND at_front = 1 THEN '' ELSE state END");
    pub const STARTED_AT: ListColumn = ListColumn::plain("started_at");
    pub const MODIFIED_AT: ListColumn = ListColumn::plain("modified_at");
}

/// The result of a deployment so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The action that runs the deployment.
    pub action_id: ActionId,
    /// The call that requested it.
    pub activity_id: ActivityId,
    /// The Cloud PC as the caller named it.
    pub target: String,
    /// State of the action.
    pub state: State,
    /// Whether the action is at the front of its machine's line.
    pub at_front: bool,
    /// Why the deployment failed.
    pub failure: Option<Failure>,
    /// Time of the request.
    pub started_at: Timestamp,
    /// Time of the latest change.
    pub modified_at: Timestamp,
}

/// Selects results to list. Texts are compared ignoring the case of ASCII letters; a GUID is the
/// same in every spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFilter {
    /// Results of one activity.
    pub activity: Option<String>,
    /// Results of one Cloud PC.
    pub target: Option<String>,
}

impl Reader<'_> {
    /// Lists the results of a partner in the order of the requests, numbered above `after` and up
    /// to `until`.
    pub fn deployment_list(
        &self,
        tenant: TenantId,
        partner: PartnerId,
        filter: &DeploymentFilter,
        after: ActionId,
        until: ActionId,
        limit: usize,
    ) -> Result<Vec<Deployment>, StoreError> {
        match self.selection(tenant, partner, filter)? {
            Selection::Nothing => Ok(Vec::new()),
            Selection::Stretch { activity, line, first, last } => self.rows(
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM deployments AS d WHERE tenant_id = ?1 AND partner_id = ?2 AND action_id > ?3 AND action_id <= ?4
                     AND activity_id = coalesce(?5, activity_id) AND line_id = coalesce(?6, line_id) ORDER BY action_id LIMIT ?7"
                ),
                params![
                    tenant.0,
                    partner.0,
                    after.0.max(first - 1),
                    until.0.min(last),
                    activity.map(|id| id.0),
                    line,
                    rows::limit(limit)
                ],
                deployment,
            ),
            Selection::Line(line) => self.rows(
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM actions AS a ",
                    join_in_order!(),
                    " deployments AS d
                     ON d.tenant_id = ?1 AND d.partner_id = ?2 AND d.action_id = a.id
                     WHERE a.line_id = ?3 AND a.remote = 0 AND a.id > ?4 AND a.id <= ?5 ORDER BY a.id LIMIT ?6"
                ),
                params![tenant.0, partner.0, line, after.0, until.0, rows::limit(limit)],
                deployment,
            ),
        }
    }

    /// Number of results that `deployment_list` lists in all. A row keeps it for a whole partner
    /// and for a whole activity; the deployments of one Cloud PC are counted.
    pub fn deployment_count(
        &self,
        tenant: TenantId,
        partner: PartnerId,
        filter: &DeploymentFilter,
    ) -> Result<u64, StoreError> {
        match self.selection(tenant, partner, filter)? {
            Selection::Nothing => Ok(0),
            Selection::Stretch { activity: None, .. } => {
                let total = self.row(
                    "SELECT deployments FROM partner_totals WHERE tenant_id = ?1 AND partner_id = ?2",
                    params![tenant.0, partner.0],
                    |row| row.get::<u32>(0),
                )?;
                Ok(total.unwrap_or(0).into())
            }
            Selection::Stretch { activity: Some(activity), line: None, .. } => self.count(
                "SELECT deployments FROM activities WHERE tenant_id = ?1 AND id = ?2",
                params![tenant.0, activity.0],
            ),
            Selection::Stretch { activity: Some(activity), line: Some(line), first, last } => self.count(
                "SELECT count(*) FROM deployments WHERE tenant_id = ?1 AND partner_id = ?2 AND action_id >= ?3
                 AND action_id <= ?4 AND activity_id = ?5 AND line_id = ?6",
                params![tenant.0, partner.0, first, last, activity.0, line],
            ),
            Selection::Line(line) => self.count(
                concat!(
                    "SELECT count(*) FROM actions AS a ",
                    join_in_order!(),
                    " deployments AS d ON d.tenant_id = ?1 AND d.partner_id = ?2 AND d.action_id = a.id
                     WHERE a.line_id = ?3 AND a.remote = 0"
                ),
                params![tenant.0, partner.0, line],
            ),
        }
    }

    /// The highest number of a deployment of this partner now; zero if it has none.
    pub fn deployment_latest(&self, tenant: TenantId, partner: PartnerId) -> Result<ActionId, StoreError> {
        let latest: Option<i64> = self.value(
            "SELECT max(action_id) FROM deployments WHERE tenant_id = ?1 AND partner_id = ?2",
            params![tenant.0, partner.0],
        )?;
        Ok(ActionId(latest.unwrap_or(0)))
    }

    /// The partner of an activity, if the activity exists.
    pub fn activity_partner(&self, tenant: TenantId, activity: ActivityId) -> Result<Option<PartnerId>, StoreError> {
        self.row(
            "SELECT partner_id FROM activities WHERE tenant_id = ?1 AND id = ?2",
            params![tenant.0, activity.0],
            |row| Ok(PartnerId(row.get(0)?)),
        )
    }

    fn selection(
        &self,
        tenant: TenantId,
        partner: PartnerId,
        filter: &DeploymentFilter,
    ) -> Result<Selection, StoreError> {
        let line = match &filter.target {
            None => None,
            Some(target) => match self.line(tenant, target)? {
                None => return Ok(Selection::Nothing),
                line => line,
            },
        };
        let Some(activity) = &filter.activity else {
            return Ok(match line {
                Some(line) => Selection::Line(line),
                None => Selection::Stretch { activity: None, line: None, first: 1, last: i64::MAX },
            });
        };
        let Ok(activity) = activity.parse::<ActivityId>() else { return Ok(Selection::Nothing) };
        let stretch = self.row(
            "SELECT first_action_id, last_action_id FROM activities WHERE tenant_id = ?1 AND id = ?2 AND partner_id = ?3",
            params![tenant.0, activity.0, partner.0],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(match stretch {
            Some((first, last)) => Selection::Stretch { activity: Some(activity), line, first, last },
            None => Selection::Nothing,
        })
    }
}

impl Tx<'_> {
    /// Adds the result row of a deployment that was just accepted.
    pub(crate) fn deployment_insert(
        &mut self,
        action: &Action,
        partner: PartnerId,
        activity: ActivityId,
        line: i64,
        at_front: bool,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO deployments (tenant_id, partner_id, action_id, activity_id, line_id, target, state, at_front,
             started_at, modified_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
            params![
                action.tenant_id.0,
                partner.0,
                action.id.0,
                activity.0,
                line,
                action.target,
                word(action.state),
                at_front,
                action.requested_at.0,
            ],
        )?;
        self.execute(
            "INSERT INTO activities (tenant_id, id, partner_id, first_action_id, last_action_id, deployments)
             VALUES (?1, ?2, ?3, ?4, ?4, 1) ON CONFLICT (tenant_id, id)
             DO UPDATE SET last_action_id = excluded.last_action_id, deployments = activities.deployments + 1",
            params![action.tenant_id.0, activity.0, partner.0, action.id.0],
        )?;
        self.execute(
            "INSERT INTO partner_totals (tenant_id, partner_id, deployments) VALUES (?1, ?2, 1)
             ON CONFLICT (tenant_id, partner_id) DO UPDATE SET deployments = partner_totals.deployments + 1",
            params![action.tenant_id.0, partner.0],
        )?;
        let total = self.count(
            "SELECT deployments FROM partner_totals WHERE tenant_id = ?1 AND partner_id = ?2",
            params![action.tenant_id.0, partner.0],
        )?;
        if total.is_multiple_of(PAGE_DEPLOYMENTS as u64) {
            self.deployment_page_insert(action.tenant_id, partner, action.id)?;
        }
        Ok(())
    }

    /// Copies the state of an action to its result row, if it is a deployment.
    pub(crate) fn deployment_update(&mut self, action: &Action) -> Result<(), StoreError> {
        self.deployment_update_at(action, action.updated_at)
    }

    /// Like [`deployment_update`](Tx::deployment_update), after a change at `at`.
    pub(crate) fn deployment_update_at(&mut self, action: &Action, at: Timestamp) -> Result<(), StoreError> {
        let Params::DeployAgent { partner_id, .. } = &action.params else { return Ok(()) };
        // Before the end, a failure is only the outcome if nothing better happens.
        let failure = action.failure().filter(|_| action.state.is_final() || action.state == State::Stuck);
        self.execute(
            concat!(
                "UPDATE deployments SET state = ?4, failure_code = ?5, failure_message = ?6,
                 at_front = (SELECT at_front FROM actions WHERE actions.id = ?3), modified_at = ",
                greater!("modified_at", "?7"),
                " WHERE tenant_id = ?1 AND partner_id = ?2 AND action_id = ?3"
            ),
            params![
                action.tenant_id.0,
                partner_id.0,
                action.id.0,
                word(action.state),
                failure.map(|failure| &failure.code),
                failure.map(|failure| &failure.message),
                action.updated_at.max(at).0,
            ],
        )?;
        Ok(())
    }
}

/// A filter with its names resolved.
enum Selection {
    /// The filter names something unknown.
    Nothing,
    /// A range of the partner's results, restricted to one activity and one line if given.
    Stretch { activity: Option<ActivityId>, line: Option<i64>, first: i64, last: i64 },
    /// The results of one line.
    Line(i64),
}

/// Reads the columns of `columns!`.
pub(crate) fn deployment(row: Row<'_>) -> Result<Deployment, StoreError> {
    let mut columns = Columns::new(row, "deployments");
    Ok(Deployment {
        action_id: ActionId(columns.get()?),
        activity_id: ActivityId(columns.get()?),
        target: columns.get()?,
        state: columns.word()?,
        at_front: columns.get()?,
        failure: match (columns.get()?, columns.get()?) {
            (Some(code), Some(message)) => Some(Failure { code, message }),
            _ => None,
        },
        started_at: columns.time()?,
        modified_at: columns.time()?,
    })
}
