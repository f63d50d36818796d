//! The engine: takes requests for actions, plans and runs their steps, and brings every accepted
//! action to an end.
//!
//! [`request`](Engine::request) makes an action durable; [`plan`] says, purely, what comes next;
//! [`run`] does it under a lease; one file in [`actions`] per kind says which steps there are. This
//! crate refuses to know HTTP, OData and which driver it has.

pub mod actions;
mod audit;
mod cancel;
mod deploy;
mod faults;
mod health;
mod image;
mod mask;
mod plan;
mod request;
mod run;

use cloudpc_drivers::{Driver, Tag};
use cloudpc_model::{ActionId, Clock, Rng};
use cloudpc_store::Store;
use std::sync::Arc;
use std::time::Duration;

pub use deploy::{DeployReceipt, TARGETS_MAX};
pub use faults::{Effect, FaultRule, Faults};
pub use health::{RESTART_PAUSE_MIN, RESTARTS_MAX, RestartPolicy, WELL_TIME};
pub use request::RequestContext;

/// What the engine is made of.
#[derive(Clone)]
pub struct EngineDependencies {
    /// Where everything durable is.
    pub store: Store,
    /// What runs the machines.
    pub driver: Arc<dyn Driver>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Scripted trouble; without rules it does nothing.
    pub faults: Arc<Faults>,
    /// Settings.
    pub settings: EngineSettings,
}

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Whether partners may deploy to Business Cloud PCs only, as in the real service.
    pub business_only: bool,
    /// How long a claim holds without being renewed.
    pub lease: Duration,
    /// Actions that run at the same time.
    pub running_max: usize,
    /// Largest agent, bytes.
    pub agent_bytes_max: u64,
    /// Free disk that an agent needs, bytes.
    pub agent_disk_bytes_min: u64,
    /// Longest run of an agent's installer.
    pub install_time_max: Duration,
    /// How long an action can be undone after its end.
    pub undo_window: Duration,
    /// When machines that have crashed or panicked are started again.
    pub restart: RestartPolicy,
    /// What the disks that are kept for it may take of the host's disk, bytes.
    pub undo_disk_bytes_max: u64,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<EngineDependencies>,
    work: Arc<run::LocalClaims>,
}

/// Returns the tag that marks an action's work on its machine. The number is for people; the nonce
/// makes the tag unique, because a restored database gives the numbers of lost actions again.
fn tag(action: ActionId, nonce: Option<u64>) -> Tag {
    Tag(match nonce {
        Some(nonce) => format!("action-{action}-{nonce:016x}"),
        None => format!("action-{action}"),
    })
}

impl Engine {
    /// The engine over these parts. Nothing runs until [`Engine::run`].
    pub fn new(parts: EngineDependencies) -> Self {
        Self { parts: Arc::new(parts), work: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_from_before_tags_had_a_nonce_keeps_its_tag() {
        assert_eq!(tag(ActionId(17), None).0, "action-17");
        assert_eq!(tag(ActionId(17), Some(0xbeef)).0, "action-17-000000000000beef");
    }
}
