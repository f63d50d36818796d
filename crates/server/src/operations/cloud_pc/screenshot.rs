//! `GET …/cloudPCs/{id}/cloudpc.screenshot`: the current screen as a PNG. An extension of Graph.

use cloudpc_drivers::{DriverError, NO_DISPLAY};
use cloudpc_graph::GraphError;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let cloud_pc = call.store().read(move |reader| super::find_to_connect(&request, reader)).await?;
    let screenshot = call.app.driver.screenshot(cloud_pc.id).await.map_err(screenshot_error)?;
    let actor = call.caller.actor();
    tracing::info!(cloud_pc_id = %cloud_pc.id, app = actor.app_name, user = actor.user_principal_name, "screenshot taken");
    Ok(Answer::Picture(screenshot))
}

/// Converts a driver error into the one sent to the caller.
fn screenshot_error(error: DriverError) -> GraphError {
    match error {
        DriverError::Rejected { code, message } if code == NO_DISPLAY => {
            GraphError::new(409, NO_DISPLAY, format!("The Cloud PC has no display: {message}."))
        }
        DriverError::Conflict(_) | DriverError::NotFound(_) => {
            GraphError::new(409, "cloudPcStatusNotAllowed", "The Cloud PC is powered off. Power it on first.")
        }
        error => {
            tracing::warn!(%error, "screenshot failed");
            GraphError::new(503, "ServiceUnavailable", "The screen is temporarily unavailable. Retry later.")
        }
    }
}
