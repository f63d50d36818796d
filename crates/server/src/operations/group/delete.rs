//! `DELETE /groups/{id}`

use cloudpc_model::AuditVerb;
use cloudpc_store::Tx;
use std::sync::Arc;

use super::property::note;
use super::{audit, find};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let group = find(&request, tx)?;
        tx.group_delete(group.tenant_id, group.id, request.at)?;
        tx.audit_insert(&note(audit(&request, AuditVerb::Delete, &group), Some(&group), None))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("group.delete", write).await?;
    // The members have lost the roles of the group.
    call.app.identity.forget_verified();
    Ok(Answer::NoContent)
}
