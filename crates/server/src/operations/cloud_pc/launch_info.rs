//! `GET …/cloudPCs/{id}/getCloudPcLaunchInfo`

use std::sync::Arc;

use super::launch_detail::launch;
use crate::pipeline::{Answer, Call, Problem};
use crate::views::launch::launch_info;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let launch = launch(&call).await?;
    Ok(call.entity(&launch_info(&launch)))
}
