//! `POST /groups`

use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, GroupId};
use cloudpc_store::{Group, Tx};
use serde_json::Value;
use std::sync::Arc;

use super::property::{WRITABLE, add_members, apply, note};
use super::{GROUPS_MAX, MEMBERS, Shown, audit};
use crate::pipeline::list::PropertySet;
use crate::pipeline::{Answer, Call, Problem, required};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let mut known = WRITABLE.to_vec();
    known.extend(["groupTypes", MEMBERS]);
    call.reject_other_properties(&known)?;
    if let Some(Value::Array(types)) = call.body.get("groupTypes")
        && !types.is_empty()
    {
        let message = "'groupTypes' must be empty: only groups with assigned members are supported.";
        return Err(GraphError::bad_request(message).about("groupTypes").into());
    }
    let needed = ["displayName", "mailEnabled", "mailNickname", "securityEnabled"];
    if let Some(missing) = needed.into_iter().find(|name| call.body.get(*name).is_none_or(Value::is_null)) {
        return Err(required(missing).into());
    }
    let new = Group {
        tenant_id: call.tenant(),
        id: GroupId::random(&*call.app.rng),
        display_name: String::new(),
        description: None,
        mail_nickname: String::new(),
        mail_enabled: false,
        security_enabled: false,
        created_at: call.at,
    };
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let count = tx.group_count(request.tenant())?;
        if count >= GROUPS_MAX {
            let message =
                format!("There are {count} groups already; a tenant may have {GROUPS_MAX}. Delete one first.");
            return Err(GraphError::new(403, "quotaLimitReached", message).into());
        }
        let mut group = new.clone();
        apply(&request, &mut group)?;
        tx.group_put(&group)?;
        tx.audit_insert(&note(audit(&request, AuditVerb::Create, &group), None, Some(&group)))?;
        add_members(tx, &request, &group)?;
        Shown::read(&request, tx, group)
    };
    let created = call.app.store.write("group.create", write).await?;
    Ok(call.created(&created.group.id.to_string(), &created.view(PropertySet::Default)))
}
