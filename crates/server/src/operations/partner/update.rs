//! `PATCH …/externalPartners/{id}`

use cloudpc_model::{AuditVerb, Partner};
use cloudpc_store::Tx;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem, required};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let partner = update(&call, |call, partner| json!(super::view(call, partner))).await?;
    Ok(call.updated(&super::view(&call, &partner)))
}

/// Changes the partner of a request. `view` is what callers know of it, and may send back.
pub(in crate::operations) async fn update(
    call: &Arc<Call>,
    view: fn(&Call, &Partner) -> Value,
) -> Result<Partner, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let mut partner = super::find(&request, tx)?;
        request.reject_other_changes(&["enableConnection"], &view(&request, &partner))?;
        let Some(enable) = request.body.get("enableConnection") else { return Ok(partner) };
        let enable = enable.as_bool().ok_or_else(|| required("enableConnection"))?;
        if enable && !partner.enable_connection {
            // A re-enabled connection has had no heartbeat yet.
            partner.last_sync_at = None;
        }
        let entry = super::audit(&request, AuditVerb::Update, &partner);
        let before = partner.enable_connection.to_string();
        partner.enable_connection = enable;
        tx.partner_update(&partner)?;
        tx.audit_insert(&entry.changed("enableConnection", Some(&before), &enable.to_string()))?;
        Ok::<_, Problem>(partner)
    };
    call.app.store.write("partner.update", write).await
}
