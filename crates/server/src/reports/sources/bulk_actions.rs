//! Bulk actions.

use cloudpc_model::{BulkAction, BulkActionId};
use cloudpc_store::Reader;
use serde_json::Value;

use super::row;
use crate::pipeline::Problem;
use crate::pipeline::list::SLICE_ROWS;
use crate::reports::column::time;
use crate::reports::scan::{ReportPiece, ReportSource};
use crate::reports::{ReportRow, ReportScope};

/// The bulk actions of a tenant.
pub(in crate::reports) struct BulkActions {
    scope: ReportScope,
    after: Option<BulkActionId>,
}

impl BulkActions {
    pub(in crate::reports) fn boxed(scope: ReportScope) -> Box<dyn ReportSource> {
        Box::new(Self { scope, after: None })
    }
}

impl ReportSource for BulkActions {
    fn next(&mut self, reader: &Reader<'_>) -> Result<ReportPiece, Problem> {
        let found = reader.bulk_action_list(self.scope.tenant, self.after, SLICE_ROWS)?;
        self.after = found.last().map(|bulk| bulk.id);
        let (read, ended) = (found.len(), found.len() < SLICE_ROWS);
        Ok(ReportPiece { read, rows: found.iter().map(bulk_action_row).collect(), ended })
    }
}

/// An item that is not supported counts as failed, so that the counts of a bulk action that has
/// ended add up to their total.
fn bulk_action_row(bulk: &BulkAction) -> ReportRow {
    let counts = bulk.counts;
    let action: &str = (&bulk.request).into();
    let status: &str = counts.status().into();
    let completion = 100.0 * f64::from(counts.ended()) / f64::from(counts.total().max(1));
    row([
        ("BulkActionId", bulk.id.to_string().into()),
        ("BulkActionDisplayName", bulk.display_name.as_str().into()),
        ("Action", action.into()),
        ("BulkActionStatus", status.into()),
        ("InitiatedByUserPrincipalName", user(bulk)),
        ("RequestDateTime", time(Some(bulk.created_at))),
        ("SucceedCount", counts.succeeded.into()),
        ("FailedCount", (counts.failed + counts.not_supported).into()),
        ("InprogressCount", (counts.in_progress + counts.pending).into()),
        ("TotalCount", counts.total().into()),
        ("Completion", completion.into()),
    ])
}

/// The user who requested it; an application has none.
fn user(bulk: &BulkAction) -> Value {
    let name = bulk.requested_by.user_principal_name.as_str();
    if name.is_empty() { Value::Null } else { name.into() }
}
