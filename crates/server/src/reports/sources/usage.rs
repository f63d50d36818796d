//! How much each Cloud PC is used.

use cloudpc_model::{CloudPc, RemoteSession};
use cloudpc_store::Reader;
use serde_json::Value;

use super::row;
use super::sessions::DAY_MICROS;
use crate::pipeline::Problem;
use crate::reports::column::{hours, time};
use crate::reports::{ReportRow, ReportScope};

/// A row for each Cloud PC, with its use in all sessions that are kept.
pub(in crate::reports) fn total(
    scope: &ReportScope,
    reader: &Reader<'_>,
    cloud_pc: &CloudPc,
) -> Result<(Vec<ReportRow>, usize), Problem> {
    let sessions = reader.remote_session_list(scope.tenant, cloud_pc.id, None, usize::MAX)?;
    let plan = reader.service_plan(scope.tenant, cloud_pc.service_plan_id)?;
    let used = sessions.iter().map(|session| session.micros(scope.now)).sum();
    let row = row([
        ("CloudPcId", cloud_pc.id.to_string().into()),
        ("ManagedDeviceName", cloud_pc.managed_device_name.as_str().into()),
        ("UserPrincipalName", cloud_pc.user_principal_name.as_str().into()),
        ("TotalUsageInHour", hours(used)),
        ("LastActiveTime", last_active(scope, &sessions)),
        ("PcType", plan.map(|plan| plan.display_name).into()),
        ("CreatedDate", time(Some(cloud_pc.created_at))),
        ("DaysSinceLastSignIn", days_since_sign_in(scope, &sessions)),
    ]);
    Ok((vec![row], sessions.len()))
}

/// A row for each Cloud PC that tells whether a user is signed in now.
pub(in crate::reports) fn now(
    scope: &ReportScope,
    reader: &Reader<'_>,
    cloud_pc: &CloudPc,
) -> Result<(Vec<ReportRow>, usize), Problem> {
    let sessions = reader.remote_session_list(scope.tenant, cloud_pc.id, None, usize::MAX)?;
    let is_signed_in = sessions.iter().any(|session| session.signed_out_at.is_none());
    let row = row([
        ("CloudPcId", cloud_pc.id.to_string().into()),
        ("ManagedDeviceName", cloud_pc.managed_device_name.as_str().into()),
        ("UserPrincipalName", cloud_pc.user_principal_name.as_str().into()),
        ("SignInStatus", if is_signed_in { "SignedIn" } else { "NotSignedIn" }.into()),
        ("DaysSinceLastSignIn", days_since_sign_in(scope, &sessions)),
        ("LastActiveTime", last_active(scope, &sessions)),
    ]);
    Ok((vec![row], sessions.len()))
}

/// Returns when a Cloud PC was last used; null if it never was.
fn last_active(scope: &ReportScope, sessions: &[RemoteSession]) -> Value {
    time(sessions.iter().map(|session| session.signed_out_at.unwrap_or(scope.now)).max())
}

fn days_since_sign_in(scope: &ReportScope, sessions: &[RemoteSession]) -> Value {
    let last = sessions.iter().map(|session| session.signed_in_at).max();
    last.map(|at| (scope.now.0 - at.0).max(0) / DAY_MICROS).into()
}
