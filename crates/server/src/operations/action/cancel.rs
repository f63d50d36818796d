//! `POST …/cloudPCs/{id}/cloudpc.actions/{action-id}/cloudpc.cancel`

use cloudpc_graph::GraphError;
use cloudpc_model::Action;
use cloudpc_store::Reader;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::rbac::{self, EffectivePermissions};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let find = move |reader: &Reader<'_>| {
        let action = super::find_to_use(&request, reader)?;
        check_requester(&request, reader, &action)?;
        Ok::<_, Problem>(action)
    };
    let action = call.store().read(find).await?;
    call.app.engine.cancel(&call.request_context(), action.id).await?;
    Ok(Answer::NoContent)
}

/// Checks that a user without a role for it cancels only their own requests: below `/me`, another's
/// request may be the restore point of a review.
fn check_requester(call: &Call, reader: &Reader<'_>, action: &Action) -> Result<(), Problem> {
    let user = call.caller.user.as_ref().map(|user| user.id);
    if !rbac::is_limited(&call.caller) || action.requested_by.user_id == user {
        return Ok(());
    }
    let permissions = EffectivePermissions::of(reader, &call.caller)?;
    match rbac::check(&permissions, rbac::requirement("action.cancel")) {
        Ok(_) => Ok(()),
        Err(refused) => {
            let message = format!("Another caller requested this action. {}", refused.message);
            Err(GraphError::new(403, "Forbidden", message).into())
        }
    }
}
