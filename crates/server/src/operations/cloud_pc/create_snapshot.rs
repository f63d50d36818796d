//! `POST …/cloudPCs/{id}/createSnapshot`

use cloudpc_model::{Params, SnapshotId};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let number = call.app.rng.uuid();
    super::request_action(call, move |call, cloud_pc| {
        super::refuse_storage_account(call)?;
        Ok(Params::CreateSnapshot { snapshot_id: SnapshotId::new(cloud_pc.id, number) })
    })
    .await
}
