//! `GET …/cloudPCs/{id}/cloudpc.screenshot`: what the machine's screen shows now, as a PNG. Ours.

use cloudpc_drivers::{DriverError, NO_DISPLAY};
use cloudpc_graph::GraphError;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let cloud_pc = call.store().read(move |reader| super::find(&request, reader)).await?;
    let picture = call.app.driver.screenshot(cloud_pc.id).await.map_err(refused)?;
    let actor = call.caller.actor();
    tracing::info!(cloud_pc_id = %cloud_pc.id, app = actor.app_name, user = actor.user_principal_name, "a screen is looked at");
    Ok(Answer::Picture(picture))
}

/// What the caller is told.
fn refused(error: DriverError) -> GraphError {
    match error {
        DriverError::Rejected { code, message } if code == NO_DISPLAY => {
            GraphError::new(409, NO_DISPLAY, format!("There is nothing to see: {message}."))
        }
        DriverError::Conflict(_) | DriverError::NotFound(_) => {
            GraphError::new(409, "cloudPcStatusNotAllowed", "The machine is off and shows nothing. Power it on first.")
        }
        error => {
            tracing::warn!(%error, "take a screenshot");
            GraphError::new(503, "ServiceUnavailable", "The screen cannot be reached now; try again later.")
        }
    }
}
