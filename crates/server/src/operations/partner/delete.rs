//! `DELETE …/externalPartners/{id}`

use cloudpc_model::AuditVerb;
use cloudpc_store::Tx;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let partner = super::find(&request, tx)?;
        tx.partner_delete(request.tenant(), partner.id)?;
        tx.audit_insert(&super::audit(&request, AuditVerb::Delete, &partner))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("partner.delete", write).await?;
    call.app.response_cache.forget();
    Ok(Answer::NoContent)
}
