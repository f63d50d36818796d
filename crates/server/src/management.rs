//! The part of Azure Resource Manager that the Azure CLI calls when it signs in: this service has
//! no subscriptions.

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::app::App;

/// Returns the routes of the host `management.azure.com`.
pub fn routes() -> Router<App> {
    Router::new().route("/tenants", get(nothing)).route("/subscriptions", get(nothing))
}

async fn nothing() -> Json<Value> {
    Json(json!({ "value": [] }))
}
