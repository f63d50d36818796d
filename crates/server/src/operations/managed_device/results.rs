//! `GET /deviceManagement/managedDevices/{id}/getCloudPcRemoteActionResults`

use std::sync::Arc;

use crate::operations::cloud_pc::results::RemoteActions;
use crate::pipeline::list::page;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, RemoteActions::new(&call, super::find)).await
}
