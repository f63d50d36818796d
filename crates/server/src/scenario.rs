//! Scenarios: a fleet described in TOML, loaded into the store and the simulation in one go, and saved again.

use cloudpc_model::{Error, TenantId};

use crate::app::App;

/// Replaces everything but settings, tenants' signing keys and applications with what the scenario describes.
///
/// # Errors
/// Invalid, naming the line or entry; nothing has changed then.
pub async fn load(_app: &App, _text: &str) -> Result<Vec<TenantId>, Error> {
    unimplemented!()
}

/// The present fleet as a scenario that [`load`] takes.
///
/// # Errors
/// The store fails.
pub async fn save(_app: &App) -> Result<String, Error> {
    unimplemented!()
}
