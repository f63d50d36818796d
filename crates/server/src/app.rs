//! What every request handler may reach.

use cloudpc_drivers::sim::{SimClock, SimDriver};
use cloudpc_engine::{Engine, Faults};
use cloudpc_graph::LinkSigner;
use cloudpc_model::{Clock, Rng};
use cloudpc_store::Store;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Fidelity;
use crate::identity::Identity;

/// The parts of a running server. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Everything durable.
    pub store: Store,
    /// Takes requests for actions.
    pub engine: Engine,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Signs the links between pages.
    pub signer: LinkSigner,
    /// Issues and checks tokens.
    pub identity: Arc<Identity>,
    /// Fidelity to the rules that may be relaxed.
    pub fidelity: Fidelity,
    /// How long a partner may be silent before it counts as unhealthy.
    pub heartbeat_silence_max: Duration,
    /// What only a simulated fleet has; none with real machines.
    pub simulation: Option<Simulation>,
}

/// The levers of a simulated fleet.
#[derive(Clone)]
pub struct Simulation {
    /// Its clock.
    pub clock: SimClock,
    /// Its machines.
    pub driver: SimDriver,
    /// Its scripted trouble.
    pub faults: Arc<Faults>,
}
