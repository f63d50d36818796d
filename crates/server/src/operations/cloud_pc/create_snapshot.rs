//! `POST …/cloudPCs/{id}/createSnapshot`

use cloudpc_graph::GraphError;
use cloudpc_model::{Params, SnapshotId};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let number = call.app.rng.uuid();
    super::request_action(call, move |call, cloud_pc| {
        for name in ["storageAccountId", "accessTier"] {
            if call.text(name).is_some() {
                let message = "Copying a restore point to a storage account is not supported. Omit 'storageAccountId' and 'accessTier'.";
                return Err(GraphError::bad_request(message).about(name).into());
            }
        }
        Ok(Params::CreateSnapshot { snapshot_id: SnapshotId::new(cloud_pc.id, number) })
    })
    .await
}
