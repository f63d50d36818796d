//! What every request handler may reach.

use cloudpc_drivers::Driver;
use cloudpc_drivers::sim::{SimClock, SimDriver};
use cloudpc_engine::{Engine, Faults};
use cloudpc_graph::{GraphError, LinkSigner};
use cloudpc_model::{Clock, Rng};
use cloudpc_store::Store;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::caller::Caller;
use crate::config::Fidelity;
use crate::desktop::Desktops;
use crate::edge;
use crate::identity::Identity;
use crate::pipeline::ResponseCache;
use crate::request::Authenticated;

/// Time since some fixed moment, by a clock that is never set: for how long something works, not
/// for when.
pub type Monotonic = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A running server, as a handler sees it. Every request clones it, so a clone is one pointer.
#[derive(Clone)]
pub struct App {
    parts: Arc<AppState>,
}

/// The parts of a running server.
pub struct AppState {
    /// Everything durable.
    pub store: Store,
    /// Takes requests for actions.
    pub engine: Engine,
    /// What runs the machines.
    pub driver: Arc<dyn Driver>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long work takes.
    pub monotonic: Monotonic,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Answers that can never change.
    pub response_cache: ResponseCache,
    /// Signs the links between pages.
    pub signer: LinkSigner,
    /// Issues and checks tokens.
    pub identity: Arc<Identity>,
    /// Admits to the screens of machines.
    pub desktops: Arc<Desktops>,
    /// What the edge has to know.
    pub edge: edge::EdgeSettings,
    /// Fidelity to the rules that may be relaxed.
    pub fidelity: Fidelity,
    /// How long a partner may be silent before it counts as unhealthy.
    pub heartbeat_silence_max: Duration,
    /// What only a simulated fleet has; none with real machines.
    pub simulation: Option<Simulation>,
}

impl App {
    /// Returns the caller of a request: whom the edge has found when it judged the head, or else
    /// whom the token names.
    ///
    /// # Errors
    /// As [`Identity::authenticate`].
    pub async fn caller(&self, head: &http::request::Parts) -> Result<Arc<Caller>, GraphError> {
        match head.extensions.get::<Authenticated>() {
            Some(Authenticated(caller)) => caller.clone(),
            None => self.identity.authenticate(&head.headers).await,
        }
    }
}

impl From<AppState> for App {
    fn from(parts: AppState) -> Self {
        Self { parts: Arc::new(parts) }
    }
}

impl Deref for App {
    type Target = AppState;
    fn deref(&self) -> &AppState {
        &self.parts
    }
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
