//! Remote actions.

use cloudpc_model::{Action, CloudPc, Params};
use cloudpc_store::{ActionFilter, ActionPlace, Reader};
use serde_json::{Value, json};
use std::collections::HashMap;

use super::row;
use crate::pipeline::Problem;
use crate::pipeline::list::SLICE_ROWS;
use crate::reports::column::time;
use crate::reports::scan::{ReportPiece, ReportSource};
use crate::reports::{ReportRow, ReportScope};
use crate::views::remote_action;

/// The remote actions of a tenant, or of one Cloud PC.
pub(in crate::reports) struct RemoteActions {
    scope: ReportScope,
    after: Option<ActionPlace>,
}

impl RemoteActions {
    pub(in crate::reports) fn boxed(scope: ReportScope) -> Box<dyn ReportSource> {
        Box::new(Self { scope, after: None })
    }

    /// Returns the next actions, and whether they are the last.
    fn actions(&mut self, reader: &Reader<'_>) -> Result<(Vec<Action>, bool), Problem> {
        let tenant = self.scope.tenant;
        let Some(cloud_pc) = self.scope.cloud_pc else {
            let (actions, next) = reader.action_list_remote(tenant, self.after.as_ref(), SLICE_ROWS)?;
            self.after = next;
            return Ok((actions, self.after.is_none()));
        };
        let (target, before) = (cloud_pc.to_string(), self.after.take().map(|place| place.id));
        let actions = reader.action_list(tenant, &target, ActionFilter::Remote, before, SLICE_ROWS)?;
        self.after = actions.last().map(|last| ActionPlace { target, id: last.id });
        let ended = actions.len() < SLICE_ROWS;
        Ok((actions, ended))
    }
}

impl ReportSource for RemoteActions {
    fn next(&mut self, reader: &Reader<'_>) -> Result<ReportPiece, Problem> {
        let (actions, ended) = self.actions(reader)?;
        let mut rows = Vec::with_capacity(actions.len());
        let mut bulk_names = HashMap::new();
        // Actions come by Cloud PC.
        let mut cloud_pc: Option<CloudPc> = None;
        for action in &actions {
            let id = action.target.parse().ok();
            if id != cloud_pc.as_ref().map(|cloud_pc| cloud_pc.id) {
                cloud_pc = id.map(|id| reader.cloud_pc(self.scope.tenant, id)).transpose()?.flatten();
            }
            if let Some(bulk) = action.bulk_action_id
                && !bulk_names.contains_key(&bulk)
            {
                let name = reader.bulk_action(self.scope.tenant, bulk)?.map(|bulk| bulk.display_name);
                bulk_names.insert(bulk, name);
            }
            let bulk_name = action.bulk_action_id.and_then(|bulk| bulk_names[&bulk].as_deref());
            if self.scope.includes(reader, cloud_pc.as_ref())? {
                rows.push(action_row(action, cloud_pc.as_ref(), bulk_name));
            }
        }
        Ok(ReportPiece { read: actions.len(), rows, ended })
    }
}

fn action_row(action: &Action, cloud_pc: Option<&CloudPc>, bulk_name: Option<&str>) -> ReportRow {
    let by = &action.requested_by;
    row([
        ("Id", action.id.to_string().into()),
        ("CloudPcId", action.target.as_str().into()),
        ("CloudPcDeviceDisplayName", cloud_pc.map(|cloud_pc| cloud_pc.display_name.as_str()).into()),
        ("InitiatedByUserPrincipalName", by.user_principal_name.as_str().into()),
        ("DeviceOwnerUserPrincipalName", cloud_pc.map(|cloud_pc| cloud_pc.user_principal_name.as_str()).into()),
        ("Action", remote_action::name(action.kind()).into()),
        ("ActionState", remote_action::state(action.state).into()),
        ("RequestDateTime", time(Some(action.requested_at))),
        ("LastUpdatedDateTime", time(Some(action.updated_at))),
        ("BulkActionId", action.bulk_action_id.map(|id| id.to_string()).into()),
        ("BulkActionDisplayName", bulk_name.into()),
        ("ActionParameters", parameters(&action.params).map(|value| value.to_string()).into()),
    ])
}

/// Returns what the caller asked for, by the names of the body's properties.
fn parameters(params: &Params) -> Option<Value> {
    match params {
        Params::Reprovision { os_version, user_account_type, .. } => {
            Some(json!({ "osVersion": os_version, "userAccountType": user_account_type }))
        }
        Params::Resize { target_service_plan_id } => {
            Some(json!({ "targetServicePlanId": target_service_plan_id.to_string() }))
        }
        Params::Restore { snapshot_id } => Some(json!({ "cloudPcSnapshotId": snapshot_id.to_string() })),
        Params::Rename { display_name } => Some(json!({ "displayName": display_name })),
        _ => None,
    }
}
