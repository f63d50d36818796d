//! `GET …/cloudPCs/{id}/retrieveSnapshots`

use std::sync::Arc;

use crate::operations::snapshot::list::Snapshots;
use crate::pipeline::list::page;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Snapshots::of_cloud_pc(&call)).await
}
