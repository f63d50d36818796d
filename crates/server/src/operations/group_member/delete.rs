//! `DELETE /groups/{id}/members/{id}/$ref`

use cloudpc_model::AuditVerb;
use cloudpc_store::Tx;
use std::sync::Arc;

use crate::operations::group;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let group = group::find(&request, tx)?;
        let member = request.id(1, "member")?;
        if !tx.group_member_delete(group.tenant_id, group.id, member, request.at)? {
            return Err(Problem::not_found("member", request.key(1)));
        }
        let entry = group::audit(&request, AuditVerb::Update, &group);
        tx.audit_insert(&entry.changed("members", Some(&member.to_string()), ""))?;
        Ok(())
    };
    call.app.store.write("groupMember.delete", write).await?;
    // The member has lost the roles of the group.
    call.app.identity.forget_verified();
    Ok(Answer::NoContent)
}
