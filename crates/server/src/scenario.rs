//! Scenarios of a running server; see [`cloudpc_scenario`].

use cloudpc_model::{Error, TenantId};
use cloudpc_scenario::Fleet;
use std::sync::Arc;

use crate::app::App;
use crate::documents::load as load_document;

pub use cloudpc_scenario::{GeneratedPassword, Prepared};

/// Parses and validates a scenario; see [`Fleet::prepare`].
///
/// # Errors
/// Invalid, naming the line or entry.
pub async fn prepare(app: &App, home: Option<TenantId>, text: &str) -> Result<Prepared, Error> {
    fleet(app).prepare(home, text).await
}

/// Replaces the fleet with the scenario; see [`Fleet::load`].
///
/// # Errors
/// As [`Fleet::load`].
pub async fn load(app: &App, prepared: Prepared) -> Result<Vec<TenantId>, Error> {
    fleet(app).load(prepared).await
}

/// Finishes a load that a crash interrupted; see [`Fleet::resume`].
///
/// # Errors
/// The store or the driver fails.
pub async fn resume(app: &App) -> Result<(), Error> {
    fleet(app).resume().await
}

/// Deletes the fleet; see [`Fleet::clear`].
///
/// # Errors
/// The store or the simulation fails.
pub async fn clear(app: &App) -> Result<(), Error> {
    fleet(app).clear().await
}

/// Returns the fleet as a scenario; see [`Fleet::save`].
///
/// # Errors
/// The store fails.
pub async fn save(app: &App) -> Result<String, Error> {
    fleet(app).save().await
}

fn fleet(app: &App) -> Fleet {
    let (writer, cached) = (app.clone(), app.clone());
    Fleet {
        store: app.store.clone(),
        engine: app.engine.clone(),
        clock: Arc::clone(&app.clock),
        rng: Arc::clone(&app.rng),
        simulation: app.simulation.clone(),
        documents: Arc::new(move |tx, tenant, document| load_document(&writer, tx, tenant, document)),
        on_replaced: Box::new(move || cached.response_cache.forget()),
    }
}
