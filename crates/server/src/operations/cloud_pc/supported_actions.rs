//! `GET …/cloudPCs/{id}/getSupportedCloudPcRemoteActions`

use cloudpc_model::{Action, Admission, CloudPc, Kind, Product, ServicePlan, admit};
use std::sync::Arc;

use crate::config::Fidelity;
use crate::pipeline::list::{PropertySet, in_memory_as};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::remote_action::capability;

/// The remote actions, in the order of the response.
const KINDS: [Kind; 11] = [
    Kind::Reboot,
    Kind::Rename,
    Kind::Resize,
    Kind::Restore,
    Kind::Reprovision,
    Kind::ChangeUserAccountType,
    Kind::Troubleshoot,
    Kind::PlaceUnderReview,
    Kind::CreateSnapshot,
    Kind::PowerOn,
    Kind::PowerOff,
];

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let (cloud_pc, open, plan) = call
        .store()
        .read(move |reader| {
            let cloud_pc = super::find(&request, reader)?;
            let open = reader.action_open_remote(request.tenant(), &cloud_pc.id.to_string())?;
            let plan = reader.service_plan(request.tenant(), cloud_pc.service_plan_id)?;
            Ok::<_, Problem>((cloud_pc, open, plan))
        })
        .await?;
    let fidelity = call.app.fidelity;
    let row = |kind| (kind, enabled(kind, &cloud_pc, open.as_ref(), plan.as_ref(), fidelity));
    let unknown_enum_members = call.names_late_members();
    let view = move |&(kind, enabled): &(Kind, bool), set| {
        capability(kind, enabled, set == PropertySet::Stored || unknown_enum_members)
    };
    in_memory_as(&call, KINDS.map(row).into(), view).await
}

fn enabled(
    kind: Kind,
    cloud_pc: &CloudPc,
    open: Option<&Action>,
    plan: Option<&ServicePlan>,
    fidelity: Fidelity,
) -> bool {
    let possible = match kind {
        Kind::Resize => !plan.is_some_and(|plan| plan.gpu),
        Kind::PowerOn | Kind::PowerOff => fidelity == Fidelity::Open || cloud_pc.product == Product::Frontline,
        _ => true,
    };
    possible && admit(kind, cloud_pc.status, open.cloned()) == Admission::Accept
}
