//! Operations on managed devices: Cloud PCs as Graph's device management presents them.

pub(super) mod count;
pub(super) mod get;
pub(super) mod list;
pub(super) mod reprovision;
pub(super) mod resize;
pub(super) mod restore;
pub(super) mod results;
pub(super) mod review_status;
pub(super) mod set_device_name;
pub(super) mod set_review_status;
pub(super) mod sync_device;

use cloudpc_model::{CloudPc, ManagedDeviceId, Params};
use cloudpc_store::Reader;
use std::sync::Arc;

use super::cloud_pc::check_user_access;
use crate::pipeline::{Answer, Call, Problem};

/// Returns the Cloud PC of the managed device in the path.
fn find(call: &Call, reader: &Reader<'_>) -> Result<CloudPc, Problem> {
    let id: ManagedDeviceId = call.id(0, "managed device")?;
    let found = reader.cloud_pc_by_managed_device(call.tenant(), id)?;
    found.ok_or_else(|| Problem::not_found("managed device", call.key(0)))
}

/// Like [`find`], for what the user of a Cloud PC under review may not do.
fn find_to_use(call: &Call, reader: &Reader<'_>) -> Result<CloudPc, Problem> {
    let cloud_pc = find(call, reader)?;
    check_user_access(call, reader, &cloud_pc)?;
    Ok(cloud_pc)
}

/// Requests a remote action on the Cloud PC. A missing device is reported before an invalid body.
async fn request_action(
    call: Arc<Call>,
    params: impl Fn(&Call) -> Result<Params, Problem> + Send + 'static,
) -> Result<Answer, Problem> {
    let (context, engine) = (call.request_context(), call.app.engine.clone());
    engine
        .request_found(&context, move |reader| {
            let cloud_pc = find_to_use(&call, reader)?;
            Ok::<_, Problem>((cloud_pc, params(&call)?))
        })
        .await?;
    Ok(Answer::NoContent)
}
