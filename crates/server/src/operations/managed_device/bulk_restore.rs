//! `POST /deviceManagement/managedDevices/bulkRestoreCloudPc`

use cloudpc_model::BulkRequest;
use std::sync::Arc;

use crate::operations::bulk_action::{restore_point_at, time_range};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let restore = BulkRequest::Restore {
        restore_point_at: restore_point_at(&call)?,
        time_range: time_range(&call)?,
        ignore_unhealthy_snapshots: false,
    };
    super::request_each(call, restore).await
}
