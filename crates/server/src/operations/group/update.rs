//! `PATCH /groups/{id}`. Like Graph, it answers without the group unless a client prefers it.

use cloudpc_model::AuditVerb;
use cloudpc_store::Tx;
use std::sync::Arc;

use super::property::{WRITABLE, add_members, apply, note};
use super::{MEMBERS, Shown, audit, find, set_of};
use crate::pipeline::list::PropertySet;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let old = find(&request, tx)?;
        let shown = Shown::read(&request, tx, old.clone())?;
        let mut known = WRITABLE.to_vec();
        known.push(MEMBERS);
        request.reject_other_changes(&known, &shown.view(PropertySet::All))?;
        let mut new = old.clone();
        apply(&request, &mut new)?;
        if new != old {
            tx.group_put(&new)?;
            tx.audit_insert(&note(audit(&request, AuditVerb::Update, &new), Some(&old), Some(&new)))?;
        }
        add_members(tx, &request, &new)?;
        Shown::read(&request, tx, new)
    };
    let shown = call.app.store.write("group.update", write).await?;
    Ok(call.updated_quietly(&shown.view(set_of(&call))))
}
