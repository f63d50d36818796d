//! Machine health: scheduled checks and their findings.

use crate::{CloudPcId, TenantId, Timestamp};

/// A scheduled health check of a machine, with its restart history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Tenant of the Cloud PC.
    pub tenant_id: TenantId,
    /// Cloud PC whose machine is checked.
    pub cloud_pc_id: CloudPcId,
    /// Automatic restarts since the machine was last healthy for an hour.
    pub restarts: u32,
    /// Time of the next automatic restart; none if none is scheduled.
    pub restart_at: Option<Timestamp>,
    /// Time at which the restart count is reset; none while the machine is unhealthy.
    pub forget_at: Option<Timestamp>,
    /// Whether the guest's hostname has not been set yet.
    pub enrol: bool,
    /// Time of the next check. A checker compares it afterwards: if it has changed, the observation
    /// is stale.
    pub due_at: Timestamp,
}

/// A finding of a health check that differs from the previous one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthEvent {
    /// Number within the Cloud PC, assigned by the store; zero before.
    pub id: i64,
    /// Time of the finding.
    pub at: Timestamp,
    /// Name of the check, e.g. `PowerCheck`.
    pub name: String,
    /// Whether the check passed.
    pub well: bool,
    /// Message for people.
    pub message: String,
}
