//! `GET …/provisioningPolicies/{id}/retrievePolicyUpdateStatusResult`

use cloudpc_engine::has_unapplied_update;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::rollout::update_status;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        let policy = super::find(&request, reader)?;
        Ok::<_, Problem>(has_unapplied_update(reader, &policy)?)
    };
    let has_unapplied = call.store().read(read).await?;
    Ok(call.entity(&update_status(has_unapplied)))
}
