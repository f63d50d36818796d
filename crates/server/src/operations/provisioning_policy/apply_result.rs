//! `GET …/provisioningPolicies/{id}/retrievePolicyApplyActionResult`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::rollout::apply_result;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        let policy = super::find(&request, reader)?;
        let rollout = reader.rollout(policy.tenant_id, &policy.key.id)?;
        Ok::<_, Problem>((policy, rollout))
    };
    let (policy, rollout) = call.store().read(read).await?;
    Ok(call.entity(&apply_result(&policy, rollout.as_ref())))
}
