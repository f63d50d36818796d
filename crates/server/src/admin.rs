//! `/_cloudpc/`: administration, apart from Graph: applications and users, and for simulated fleets the clock, faults and scenarios.

use axum::Router;

use crate::app::App;

/// The routes below `/_cloudpc`.
pub fn routes() -> Router<App> {
    Router::new()
}
