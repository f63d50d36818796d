//! `POST /users`

use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, UserId};
use cloudpc_store::{Tx, User, UserProfile};
use std::sync::Arc;

use super::property::{WRITABLE, apply, note, password};
use super::{Shown, USERS_MAX, audit};
use crate::pipeline::list::PropertySet;
use crate::pipeline::{Answer, Call, Problem, required};

/// What every new user needs.
const REQUIRED: [&str; 4] = ["accountEnabled", "displayName", "mailNickname", "userPrincipalName"];

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let mut known = WRITABLE.to_vec();
    known.push("passwordProfile");
    call.reject_other_properties(&known)?;
    if let Some(missing) = REQUIRED.into_iter().find(|name| call.body.get(*name).is_none_or(serde_json::Value::is_null))
    {
        return Err(required(missing).into());
    }
    let password_hash = call.app.identity.hash_password(password(&call)?).await?;
    let new = User {
        tenant_id: call.tenant(),
        id: UserId::random(&*call.app.rng),
        user_principal_name: String::new(),
        display_name: String::new(),
        password_hash: Some(password_hash),
        roles: Vec::new(),
        permissions: Vec::new(),
        enabled: false,
        profile: UserProfile::default(),
        created_at: Some(call.at),
    };
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let count = tx.user_count(request.tenant())?;
        if count >= USERS_MAX {
            let message = format!("There are {count} users already; a tenant may have {USERS_MAX}. Delete one first.");
            return Err(GraphError::new(403, "quotaLimitReached", message).into());
        }
        let mut user = new.clone();
        apply(&request, tx, &mut user)?;
        tx.user_put(&user)?;
        let entry = note(audit(&request, AuditVerb::Create, &user), None, Some(&user));
        tx.audit_insert(&entry.secret_changed("passwordProfile"))?;
        Shown::read(&request, tx, user)
    };
    let created = call.app.store.write("user.create", write).await?;
    Ok(call.created(&created.user.id.to_string(), &created.whole(PropertySet::Default)))
}
