//! The engine: accepts actions, plans and runs their steps, and brings every accepted action to an
//! end.
//!
//! [`request`](Engine::request) makes an action durable; [`plan`] decides the next step as a pure
//! function; [`run`] executes steps under a lease; [`actions`] has one file per kind with its
//! steps. This crate knows nothing of HTTP and OData, nor which driver is in use.

pub mod actions;
mod alerts;
mod bulk;
mod cancel;
mod deploy;
mod documents;
mod faults;
mod frontline;
mod health;
mod image;
mod ledger;
mod license_wait;
mod lifecycle;
mod maintenance;
mod mask;
mod partner;
mod plan;
mod policy;
mod request;
mod review;
mod rollout;
mod run;
mod sessions;
mod snapshots;
mod sync;
mod target;

use cloudpc_drivers::{Driver, Tag};
use cloudpc_model::{ActionId, Clock, Rng};
use cloudpc_store::Store;
use std::sync::Arc;
use std::time::Duration;

pub use alerts::{ALERT_COUNT_MAX, ALERT_RECORDS_MAX, ALERT_RULES_MAX, system_alert_rules};
pub use bulk::{BULK_ACTIONS_KEPT_MAX, BULK_ACTIONS_OPEN_MAX, BULK_CLOUD_PCS_MAX, NewBulkAction};
pub use deploy::{DeployReceipt, TARGETS_MAX};
pub use faults::{Effect, FaultRule, Faults};
pub use frontline::{SEATS_PER_LICENSE, access_state, assigned_licenses, has_free_license, licenses};
pub use health::{RESTART_PAUSE_MIN, RESTARTS_MAX, RestartPolicy, WELL_TIME};
pub use ledger::RequestContext;
pub use license_wait::LICENSE_WAIT;
pub use lifecycle::GRACE_PERIOD;
pub use maintenance::maintenance_schedules;
pub use policy::put_subscription;
pub use request::check_resize;
pub use review::{AZURE_ID_CHARS_MAX, ReviewRequest};
pub use rollout::has_unapplied_update;
pub use run::{BULK_RUNNING_MAX, entitle};
pub use sessions::{end_watched_sessions, offered_cloud_pcs};

/// Dependencies of the engine.
#[derive(Clone)]
pub struct EngineDependencies {
    /// Durable storage.
    pub store: Store,
    /// Driver that runs the machines.
    pub driver: Arc<dyn Driver>,
    /// Source of time.
    pub clock: Arc<dyn Clock>,
    /// Source of randomness.
    pub rng: Arc<dyn Rng>,
    /// Scripted faults; none without rules.
    pub faults: Arc<Faults>,
    /// Limits and policies.
    pub settings: EngineSettings,
}

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Whether partners may deploy to Business Cloud PCs only, as in the real service.
    pub business_only: bool,
    /// Duration of a lease; expires unless renewed.
    pub lease: Duration,
    /// Most actions that run concurrently.
    pub running_max: usize,
    /// Maximum size of an agent file, bytes.
    pub agent_bytes_max: u64,
    /// Minimum free guest disk space for deploying an agent, bytes.
    pub agent_disk_bytes_min: u64,
    /// Timeout of an agent's installer.
    pub install_time_max: Duration,
    /// Time after its end during which an action can be undone.
    pub undo_window: Duration,
    /// Automatic restart of machines that crashed or panicked.
    pub restart: RestartPolicy,
    /// Maximum host disk space for old disks kept for undo, bytes.
    pub undo_disk_bytes_max: u64,
}

/// Handle to the engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<EngineDependencies>,
    /// The store, for what the engine does by itself.
    background: Store,
    work: Arc<run::LocalClaims>,
    imports: Arc<actions::ImportTurns>,
}

/// Returns the tag that marks an action's work on its machine. The number is for people; the nonce
/// keeps the tag unique after a database restore, which reuses action numbers.
fn tag(action: ActionId, nonce: Option<u64>) -> Tag {
    Tag(match nonce {
        Some(nonce) => format!("action-{action}-{nonce:016x}"),
        None => format!("action-{action}"),
    })
}

impl Engine {
    /// Creates an engine. No action runs before [`Engine::run`].
    pub fn new(parts: EngineDependencies) -> Self {
        let background = parts.store.in_background();
        Self { parts: Arc::new(parts), background, work: Arc::default(), imports: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_of_an_action_without_nonce_stays_the_same() {
        assert_eq!(tag(ActionId(17), None).0, "action-17");
        assert_eq!(tag(ActionId(17), Some(0xbeef)).0, "action-17-000000000000beef");
    }
}
