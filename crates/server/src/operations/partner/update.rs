//! `PATCH …/externalPartners/{id}`

use cloudpc_graph::GraphError;
use cloudpc_model::Partner;
use cloudpc_store::Tx;
use serde_json::Value;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem, required};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let mut partner = super::find(&request, tx)?;
        check_unchanged(&request, &partner)?;
        let enable = request.body.get("enableConnection").and_then(Value::as_bool);
        let enable = enable.ok_or_else(|| required("enableConnection"))?;
        if enable && !partner.enable_connection {
            // A connection made anew has not had a heartbeat yet.
            partner.last_sync_at = None;
        }
        partner.enable_connection = enable;
        tx.partner_update(&partner)?;
        tx.audit_insert(&super::audit(&request, request.app.clock.now(), "Update", partner.id))?;
        Ok::<_, Problem>(partner)
    };
    let partner = call.app.store.write(write).await?;
    Ok(call.updated(&super::view(&call, &partner)))
}

/// Clients send back what they were sent. That is fine as long as it is the same; what cannot be changed is not passed over in silence.
fn check_unchanged(call: &Call, partner: &Partner) -> Result<(), Problem> {
    let now = serde_json::to_value(super::view(call, partner)).expect("a view is plain data");
    for (name, value) in &call.body {
        if name != "enableConnection" && now.get(name) != Some(value) {
            let message = format!("The property '{name}' cannot be changed by an update.");
            return Err(GraphError::bad_request(message).about(name).into());
        }
    }
    Ok(())
}
