//! Operations on managed devices: Cloud PCs as Graph's device management presents them.

pub(super) mod count;
pub(super) mod get;
pub(super) mod list;
pub(super) mod reprovision;
pub(super) mod resize;
pub(super) mod restore;
pub(super) mod results;

use cloudpc_model::{CloudPc, ManagedDeviceId, Params};
use cloudpc_store::Reader;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

/// Returns the Cloud PC of the managed device in the path, if the caller's scope tags reach it.
fn find(call: &Call, reader: &Reader<'_>) -> Result<CloudPc, Problem> {
    let id: ManagedDeviceId = call.id(0, "managed device")?;
    let missing = || Problem::not_found("managed device", call.key(0));
    let found = reader.cloud_pc_by_managed_device(call.tenant(), id)?.ok_or_else(missing)?;
    if call.scope_tags.reaches_cloud_pc(reader, &found)? { Ok(found) } else { Err(missing()) }
}

/// Requests a remote action on the Cloud PC. A missing device is reported before an invalid body.
async fn request_action(
    call: Arc<Call>,
    params: impl Fn(&Call) -> Result<Params, Problem> + Send + 'static,
) -> Result<Answer, Problem> {
    let (context, engine) = (call.request_context(), call.app.engine.clone());
    engine.request_found(&context, move |reader| Ok::<_, Problem>((find(&call, reader)?, params(&call)?))).await?;
    Ok(Answer::NoContent)
}
