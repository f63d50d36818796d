//! `PATCH …/externalPartners/{id}`

use cloudpc_model::AuditVerb;
use cloudpc_store::Tx;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem, required};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let mut partner = super::find(&request, tx)?;
        request.reject_other_changes(&["enableConnection"], &super::view(&request, &partner))?;
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
    let partner = call.app.store.write("partner.update", write).await?;
    Ok(call.updated(&super::view(&call, &partner)))
}
