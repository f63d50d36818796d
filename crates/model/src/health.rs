//! The health of machines: what is to be looked at when, and what was found.

use crate::{CloudPcId, TenantId, Timestamp};

/// A machine that is to be looked at, and what is known of its restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Whose machine.
    pub cloud_pc_id: CloudPcId,
    /// How often it was started again since it was last well for long.
    pub restarts: u32,
    /// When it is started again; none if that is not decided, or nothing is wrong.
    pub restart_at: Option<Timestamp>,
    /// When it has been well for long enough to forget its restarts; none while something is wrong.
    pub forget_at: Option<Timestamp>,
    /// Whether its guest has yet to be told its name.
    pub enrol: bool,
    /// When it is due again. Whoever looks keeps it: if it was asked for meanwhile, what they have seen is of yesterday.
    pub due_at: Timestamp,
}

/// What a look at a machine has found, where that was news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthEvent {
    /// Counts those of a Cloud PC; made by the store, zero before.
    pub id: i64,
    /// When it was found.
    pub at: Timestamp,
    /// What was looked at, e.g. `PowerCheck`.
    pub name: String,
    /// Whether it was found well.
    pub well: bool,
    /// For people.
    pub message: String,
}
