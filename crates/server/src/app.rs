//! The state that all request handlers share.

use cloudpc_drivers::Driver;
use cloudpc_engine::Engine;
use cloudpc_graph::{GraphError, LinkSigner};
use cloudpc_model::{Clock, Rng};
use cloudpc_store::Store;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

use crate::caller::Caller;
use crate::config::Fidelity;
use crate::desktop::Desktops;
use crate::edge;
use crate::events::EventStreams;
use crate::identity::Identity;
use crate::pipeline::{Repeats, ResponseCache, Throttle, authentication_error};
use crate::request::Authenticated;
use crate::webhooks::Webhooks;

pub use cloudpc_scenario::Simulation;

/// Returns the time since a fixed moment, by a monotonic clock. It measures how long work takes,
/// never when it happened.
pub type Monotonic = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A handle to a running server. Every request clones the handle, so a clone copies one pointer.
#[derive(Clone)]
pub struct App {
    parts: Arc<AppState>,
}

/// The components of a running server.
pub struct AppState {
    /// The database.
    pub store: Store,
    /// Accepts requests for actions.
    pub engine: Engine,
    /// Runs the machines.
    pub driver: Arc<dyn Driver>,
    /// The clock of actions.
    pub clock: Arc<dyn Clock>,
    /// Measures how long work takes.
    pub monotonic: Monotonic,
    /// The source of randomness.
    pub rng: Arc<dyn Rng>,
    /// Limits the requests of tenants and applications.
    pub throttle: Throttle,
    /// Lets repeats of a request wait for it.
    pub repeats: Repeats,
    /// Caches responses that can never change.
    pub response_cache: ResponseCache,
    /// Signs the links to next pages.
    pub signer: LinkSigner,
    /// Issues and checks tokens.
    pub identity: Arc<Identity>,
    /// Opens the screens of machines in browsers.
    pub desktops: Arc<Desktops>,
    /// Sends changes to receivers.
    pub webhooks: Arc<Webhooks>,
    /// Wakes the task that runs export jobs.
    pub exports: Arc<Notify>,
    /// The open event streams.
    pub events: Arc<EventStreams>,
    /// Settings of the edge.
    pub edge: edge::EdgeSettings,
    /// Whether some of Graph's rules are relaxed.
    pub fidelity: Fidelity,
    /// How long a partner may be silent before it counts as unhealthy.
    pub heartbeat_silence_max: Duration,
    /// Controls of a simulated fleet; none with real machines.
    pub simulation: Option<Simulation>,
}

impl App {
    /// Returns the caller of a request: the one that the edge authenticated, or else the one that
    /// the token names.
    ///
    /// # Errors
    /// 401 `InvalidAuthenticationToken` with the reason; 503 if the token cannot be checked.
    pub async fn caller(&self, head: &http::request::Parts) -> Result<Arc<Caller>, GraphError> {
        match head.extensions.get::<Authenticated>() {
            Some(Authenticated(caller)) => caller.clone(),
            None => self.identity.authenticate(&head.headers).await.map_err(authentication_error),
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
