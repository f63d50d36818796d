//! `GET …/cloudPCs/{id}/retrieveCloudPcLaunchDetail`

use cloudpc_graph::GraphError;
use std::sync::Arc;

use crate::desktop::Admission;
use crate::pipeline::{Answer, Call, Problem};
use crate::views::launch::{Launch, launch_detail};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let launch = launch(&call).await?;
    Ok(call.entity(&launch_detail(&launch)))
}

/// An address at which the Cloud PC's screen can be opened once. The page there says so if there is nothing to see.
pub(super) async fn launch(call: &Arc<Call>) -> Result<Launch, Problem> {
    let request = call.clone();
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        Ok::<_, Problem>((super::find(&request, reader)?.id, super::owner(&request, reader)?))
    };
    let (cloud_pc_id, owner) = call.store().read(read).await?;
    let admission = Admission { tenant_id: call.tenant(), cloud_pc_id, owner, actor: call.caller.actor() };
    let too_many =
        || GraphError::new(503, "ServiceUnavailable", "Too many desktops are being opened; try again later.");
    let ticket = call.app.desktops.tickets.issue(admission).ok_or_else(too_many)?;
    Ok(Launch { cloud_pc_id, url: format!("{}/desktop/{ticket}", call.host()) })
}
