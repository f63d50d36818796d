//! Cloud PCs that cannot be used, by their status and health checks.

use cloudpc_model::{CloudPc, CloudPcStatus, HealthEvent};
use cloudpc_store::Reader;
use serde_json::Value;

use super::row;
use super::sessions::DAY_MICROS;
use crate::pipeline::Problem;
use crate::reports::column::time;
use crate::reports::{ReportRow, ReportScope};
use crate::views;

/// Failures that count as recent, microseconds.
const RECENT_MICROS: i64 = 7 * DAY_MICROS;
/// Health events read of a Cloud PC, the latest first.
const EVENTS_READ: usize = 100;

/// A row for a Cloud PC whose last health check failed, or that failed itself.
pub(in crate::reports) fn inaccessible(
    scope: &ReportScope,
    reader: &Reader<'_>,
    cloud_pc: &CloudPc,
) -> Result<(Vec<ReportRow>, usize), Problem> {
    let events = reader.health_event_list(scope.tenant, cloud_pc.id, None, EVENTS_READ)?;
    let last = events.first();
    let is_accessible = cloud_pc.status != CloudPcStatus::Failed && last.is_none_or(|event| event.well);
    if is_accessible {
        return Ok((Vec::new(), events.len()));
    }
    let row = row([
        ("cloudPcId", cloud_pc.id.to_string().into()),
        ("aadDeviceId", cloud_pc.aad_device_id.to_string().into()),
        ("cloudPcName", cloud_pc.display_name.as_str().into()),
        ("userPrincipalName", cloud_pc.user_principal_name.as_str().into()),
        ("provisioningStatus", views::cloud_pc::status(cloud_pc.status, true).into()),
        ("region", cloud_pc.region.as_str().into()),
        ("deviceHealthStatus", last.map(|event| event.name.as_str()).into()),
        ("deviceHealthStatusDateTime", time(last.map(|event| event.at))),
        ("recentDeviceHealthFailureCount", recent_failures(scope, &events).into()),
        ("recentConnectionFailureCount", Value::Null),
        ("systemStatus", last.map(|event| event.message.as_str()).into()),
        ("systemStatusDateTime", time(last.map(|event| event.at))),
    ]);
    Ok((vec![row], events.len()))
}

/// Returns how many checks failed lately.
fn recent_failures(scope: &ReportScope, events: &[HealthEvent]) -> usize {
    events.iter().filter(|event| !event.well && scope.now.0 - event.at.0 <= RECENT_MICROS).count()
}

/// A row for each Cloud PC: its size, and whether it failed lately. What is not measured is null.
pub(in crate::reports) fn troubleshoot(
    scope: &ReportScope,
    reader: &Reader<'_>,
    cloud_pc: &CloudPc,
) -> Result<(Vec<ReportRow>, usize), Problem> {
    let events = reader.health_event_list(scope.tenant, cloud_pc.id, None, EVENTS_READ)?;
    let plan = reader.service_plan(scope.tenant, cloud_pc.service_plan_id)?;
    let plan = plan.as_ref();
    let row = row([
        ("CloudPcId", cloud_pc.id.to_string().into()),
        ("ManagedDeviceName", cloud_pc.managed_device_name.as_str().into()),
        ("UserPrincipalName", cloud_pc.user_principal_name.as_str().into()),
        ("CurrentSize", plan.map(|plan| plan.display_name.as_str()).into()),
        ("CurrentCPU", plan.map(|plan| plan.vcpu_count).into()),
        ("CurrentRamInGB", plan.map(|plan| plan.ram_gib).into()),
        ("CurrentDiskInGB", plan.map(|plan| plan.storage_gib).into()),
        ("ProvisionPolicyName", cloud_pc.provisioning_policy_name.as_str().into()),
        ("HasReliabilityIssue", (recent_failures(scope, &events) > 0).into()),
    ]);
    Ok((vec![row], events.len()))
}
