//! `POST …/bulkActions/{id}/retry`

use cloudpc_store::Reader;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (id, cloud_pcs) = (call.id(0, "bulk action")?, super::cloud_pc_ids(&call)?);
    let request = call.clone();
    let check =
        move |reader: &Reader<'_>| super::check_roles(&request, reader, &super::find(&request, reader)?.request);
    call.store().read(check).await?;
    call.app.engine.retry_bulk(&call.request_context(), id, cloud_pcs).await?;
    Ok(Answer::Started)
}
