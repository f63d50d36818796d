//! `cloudPcPolicyApplyActionResult`, `cloudPcPolicyPendingApplyStatusResult` and
//! `cloudPcPolicyScheduledApplyActionDetail`

use cloudpc_model::{Document, Rollout};
use cloudpc_store::PolicySchedule;
use serde::Serialize;

use super::Time;

/// `cloudPcPolicyApplyActionResult`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyResult<'a> {
    id: &'a str,
    status: Option<&'static str>,
    start_date_time: Option<Time>,
    finish_date_time: Option<Time>,
}

/// Returns the view of a policy's latest rollout; all is null if the policy was never applied.
pub fn apply_result<'a>(policy: &'a Document, rollout: Option<&Rollout>) -> ApplyResult<'a> {
    let status = |rollout: &Rollout| match (rollout.finished_at, rollout.failed) {
        (None, _) => "processing",
        (Some(_), true) => "failed",
        (Some(_), false) => "succeeded",
    };
    ApplyResult {
        id: &policy.key.id,
        status: rollout.map(status),
        start_date_time: rollout.map(|rollout| Time(rollout.started_at)),
        finish_date_time: rollout.and_then(|rollout| rollout.finished_at).map(Time),
    }
}

/// `cloudPcPolicyPendingApplyStatusResult`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStatus {
    has_unapplied_policy_update: bool,
}

/// Returns whether Cloud PCs wait for a changed policy to be applied.
pub fn update_status(has_unapplied_policy_update: bool) -> UpdateStatus {
    UpdateStatus { has_unapplied_policy_update }
}

/// `cloudPcPolicyScheduledApplyActionDetail`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyScheduleView<'a> {
    id: &'a str,
    cron_schedule_expression: Option<&'a str>,
    timezone: Option<&'static str>,
    start_date_time: Option<String>,
    end_date_time: Option<String>,
    next_run_date_time: Option<String>,
    reserve_percentage: Option<u32>,
    is_force_user_logoff_enabled: Option<bool>,
}

/// Returns the view of a policy's schedule; all is null if it has none.
pub fn apply_schedule<'a>(policy: &'a Document, stored: Option<&'a PolicySchedule>) -> ApplyScheduleView<'a> {
    let schedule = stored.map(|stored| &stored.schedule);
    let next_run = stored.and_then(|stored| stored.schedule.local_time(stored.next_run_at?));
    ApplyScheduleView {
        id: &policy.key.id,
        cron_schedule_expression: schedule.map(|schedule| schedule.cron.as_str()),
        timezone: schedule.map(|schedule| schedule.timezone.name()),
        start_date_time: schedule.and_then(|schedule| schedule.starts_at).map(|time| time.to_string()),
        end_date_time: schedule.and_then(|schedule| schedule.ends_at).map(|time| time.to_string()),
        next_run_date_time: next_run.map(|time| time.to_string()),
        reserve_percentage: schedule.map(|schedule| schedule.reserve_percentage),
        is_force_user_logoff_enabled: schedule.map(|schedule| schedule.is_force_user_logoff_enabled),
    }
}
