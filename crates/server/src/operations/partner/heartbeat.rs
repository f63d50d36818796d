//! `POST …/externalPartners/{id}/cloudpc.heartbeat`: the partner says that it is there. Ours; the
//! real service's heartbeat is not public.
//!
//! Heartbeats change nothing but the time of the last one and come often, so they leave no audit
//! row.

use cloudpc_graph::GraphError;
use cloudpc_store::Tx;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let mut partner = super::find(&request, tx)?;
        if !partner.enable_connection {
            let message = "The connection of this partner is disabled; set 'enableConnection' to true first.";
            return Err(GraphError::new(409, "partnerConnectionDisabled", message).into());
        }
        partner.last_sync_at = Some(request.at);
        tx.partner_update(&partner)?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("partner.heartbeat", write).await?;
    Ok(Answer::NoContent)
}
