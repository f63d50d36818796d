//! `POST /groups/{id}/members/$ref`

use cloudpc_graph::GraphError;
use cloudpc_model::AuditVerb;
use cloudpc_store::{Group, Tx};
use std::sync::Arc;

use super::GROUP_MEMBERS_MAX;
use crate::operations::{group, user};
use crate::pipeline::{Answer, Call, Problem};

const LINK: &str = "@odata.id";

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let group = group::find(&request, tx)?;
        let link = request.required_text(LINK)?;
        add(tx, &request, &group, link)
    };
    call.app.store.write("groupMember.create", write).await?;
    Ok(Answer::NoContent)
}

/// Adds the user to whom a link leads.
pub(in crate::operations) fn add(tx: &mut Tx<'_>, call: &Call, group: &Group, link: &str) -> Result<(), Problem> {
    let member = user::by_key(tx, call.tenant(), key_of(link)?)?;
    let count = tx.group_member_count(group.tenant_id, group.id)?;
    if count >= GROUP_MEMBERS_MAX {
        let message = format!("The group has {count} members already; a group may have {GROUP_MEMBERS_MAX}.");
        return Err(GraphError::new(403, "quotaLimitReached", message).into());
    }
    if !tx.group_member_insert(group.tenant_id, group.id, member.id, call.at)? {
        let message = format!(
            "One or more added object references already exist for the following modified properties: 'members'. The user '{}' is a member.",
            member.user_principal_name
        );
        return Err(GraphError::bad_request(message).about(LINK).into());
    }
    let entry = group::audit(call, AuditVerb::Update, group);
    tx.audit_insert(&entry.changed("members", None, &member.id.to_string()))?;
    Ok(())
}

/// The key in a link such as `https://graph.microsoft.com/v1.0/directoryObjects/{id}` or
/// `users('ada@contoso.test')`, on any host.
fn key_of(link: &str) -> Result<&str, GraphError> {
    let wrong = || {
        let form = "Write one such as https://graph.microsoft.com/v1.0/directoryObjects/{id}.";
        GraphError::bad_request(format!("'{link}' is not a link to a user. {form}")).about(LINK)
    };
    let path = link.split(['?', '#']).next().unwrap_or(link).trim_end_matches('/');
    let (before, last) = path.rsplit_once('/').unwrap_or(("", path));
    let (collection, key) = match last.split_once('(') {
        Some((collection, key)) => {
            let key = key.strip_suffix(')').ok_or_else(wrong)?;
            (collection, key.strip_prefix('\'').and_then(|key| key.strip_suffix('\'')).unwrap_or(key))
        }
        None => (before.rsplit('/').next().unwrap_or_default(), last),
    };
    let known = ["directoryObjects", "users"].iter().any(|name| name.eq_ignore_ascii_case(collection));
    if known && !key.is_empty() { Ok(key) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::key_of;

    #[test]
    fn links_lead_to_users_on_any_host_in_either_form() {
        for link in [
            "https://graph.microsoft.com/v1.0/directoryObjects/ada",
            "https://graph.microsoft.com/beta/users/ada/",
            "https://127.0.0.1:8366/v1.0/users('ada')",
            "directoryObjects/ada",
            "USERS(ada)?x=y",
        ] {
            assert_eq!(key_of(link).unwrap(), "ada", "{link}");
        }
        for link in ["", "ada", "https://graph.microsoft.com/v1.0/groups/ada", "users/", "users('ada'", "users()"] {
            assert!(key_of(link).is_err(), "{link}");
        }
    }
}
