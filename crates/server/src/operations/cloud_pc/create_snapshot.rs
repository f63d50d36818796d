//! `POST …/cloudPCs/{id}/createSnapshot`

use cloudpc_graph::GraphError;
use cloudpc_model::{Params, SnapshotId};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let number = call.app.rng.uuid();
    super::ask(call, move |call, cloud_pc| {
        for name in ["storageAccountId", "accessTier"] {
            if call.text(name).is_some() {
                let message = "Restore points stay with the Cloud PC; they cannot be copied to a storage account.";
                return Err(GraphError::bad_request(message).about(name).into());
            }
        }
        Ok(Params::CreateSnapshot { snapshot_id: SnapshotId::new(cloud_pc.id, number) })
    })
    .await
}
