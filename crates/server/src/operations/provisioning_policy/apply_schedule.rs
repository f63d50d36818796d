//! `GET …/provisioningPolicies/{id}/retrievePolicyApplySchedule`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::rollout::apply_schedule;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        let policy = super::find(&request, reader)?;
        let schedule = reader.policy_schedule(policy.tenant_id, &policy.key.id)?;
        Ok::<_, Problem>((policy, schedule))
    };
    let (policy, schedule) = call.store().read(read).await?;
    Ok(call.entity(&apply_schedule(&policy, schedule.as_ref())))
}
