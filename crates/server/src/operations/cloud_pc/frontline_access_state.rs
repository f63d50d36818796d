//! `GET …/cloudPCs/{id}/getFrontlineCloudPcAccessState`

use cloudpc_engine::access_state;
use cloudpc_store::Reader;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        let cloud_pc = super::find(&request, reader)?;
        super::check_frontline(&cloud_pc)?;
        Ok::<_, Problem>(access_state(reader, &cloud_pc)?)
    };
    let state: &str = call.store().read(read).await?.into();
    Ok(call.value(&state))
}
