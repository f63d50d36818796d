//! `DELETE /users/{id}`

use cloudpc_model::AuditVerb;
use cloudpc_store::Tx;
use std::sync::Arc;

use super::property::note;
use super::{audit, check_protected, find};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let user = find(&request, tx)?;
        check_protected(&request, &user)?;
        tx.user_delete(user.tenant_id, user.id, request.at)?;
        tx.audit_insert(&note(audit(&request, AuditVerb::Delete, &user), Some(&user), None))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("user.delete", write).await?;
    call.app.identity.forget_verified();
    Ok(Answer::NoContent)
}
