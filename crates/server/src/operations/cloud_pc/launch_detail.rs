//! `GET …/cloudPCs/{id}/retrieveCloudPcLaunchDetail`

use cloudpc_graph::GraphError;
use cloudpc_model::Product;
use std::sync::Arc;

use crate::desktop::{DesktopAdmission, TicketError, is_own, may_control};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::launch::{Launch, launch_detail};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let launch = launch(&call).await?;
    Ok(call.entity(&launch_detail(&launch)))
}

/// Issues a single-use URL of the Cloud PC's screen. A caller with read access only gets a
/// view-only URL, unless the Cloud PC is their own.
pub(super) async fn launch(call: &Arc<Call>) -> Result<Launch, Problem> {
    let request = call.clone();
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        let cloud_pc = super::find_to_connect(&request, reader)?;
        let is_user = request.caller.user.as_ref().is_some_and(|user| Some(user.id) == cloud_pc.user_id);
        let is_frontline = cloud_pc.product == Product::Frontline;
        if is_user && is_frontline && reader.frontline_activation(cloud_pc.tenant_id, cloud_pc.id)?.is_none() {
            let message = "The Frontline Cloud PC uses no licence now. Start it, then retry.";
            return Err(GraphError::new(409, "frontlineNotStarted", message).into());
        }
        let is_own = is_own(reader, &request.caller, &cloud_pc)?;
        Ok::<_, Problem>((cloud_pc, super::owner(&request, reader)?, is_own))
    };
    let (cloud_pc, owner, is_own) = call.store().read(read).await?;
    let view_only = !may_control(&call.caller, is_own, &call.target.scope, call.app.fidelity);
    let admission = DesktopAdmission { caller: (*call.caller).clone(), cloud_pc_id: cloud_pc.id, owner, view_only };
    let ticket = call.app.desktops.tickets.issue(&admission).await.map_err(ticket_error)?;
    Ok(Launch { cloud_pc_id: cloud_pc.id, url: format!("{}/desktop/{ticket}", call.host()) })
}

fn ticket_error(error: TicketError) -> Problem {
    match error {
        TicketError::CallerLimit => GraphError::new(429, "TooManyRequests", error.to_string()).into(),
        TicketError::TenantLimit => GraphError::new(503, "ServiceUnavailable", error.to_string()).into(),
        TicketError::Store(error) => error.into(),
    }
}
