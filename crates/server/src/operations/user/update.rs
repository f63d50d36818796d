//! `PATCH /users/{id}`. Like Graph, it answers without the user unless a client prefers it.

use cloudpc_model::AuditVerb;
use cloudpc_store::Tx;
use std::sync::Arc;

use super::property::{WRITABLE, apply, note};
use super::{Shown, audit, check_protected, find, set_of};
use crate::pipeline::list::PropertySet;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let old = find(&request, tx)?;
        check_protected(&request, &old)?;
        let shown = Shown::read(&request, tx, old.clone())?;
        request.reject_other_changes(&WRITABLE, &shown.whole(PropertySet::All))?;
        let mut new = old.clone();
        apply(&request, tx, &mut new)?;
        if new != old {
            tx.user_put(&new)?;
            tx.provisioning_queue_put(new.tenant_id, &[new.id], request.at)?;
            tx.audit_insert(&note(audit(&request, AuditVerb::Update, &new), Some(&old), Some(&new)))?;
        }
        Shown::read(&request, tx, new)
    };
    let shown = call.app.store.write("user.update", write).await?;
    // Tokens of a user who was disabled or renamed are read anew.
    call.app.identity.forget_verified();
    Ok(call.updated_quietly(&shown.view(&call, set_of(&call))))
}
