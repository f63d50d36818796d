//! `POST …/externalPartners/{id}/cloudpc.heartbeat`: records a heartbeat of the partner. An
//! extension of Graph; the real service's heartbeat is not public.
//!
//! Heartbeats are frequent and change only a time, so they write no audit row.

use cloudpc_graph::GraphError;
use cloudpc_store::Tx;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let mut partner = super::find(&request, tx)?;
        if !partner.enable_connection {
            let message = "The connection of this partner is disabled. Set 'enableConnection' to true first.";
            return Err(GraphError::new(409, "partnerConnectionDisabled", message).into());
        }
        partner.last_sync_at = Some(request.at);
        tx.partner_update(&partner)?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("partner.heartbeat", write).await?;
    Ok(Answer::NoContent)
}
