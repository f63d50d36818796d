//! Operations on managed devices: the same machines, by the names that device management has for
//! them.

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

/// The Cloud PC that is the managed device which the path names.
fn find(call: &Call, reader: &Reader<'_>) -> Result<CloudPc, Problem> {
    let id: ManagedDeviceId = call.id(0, "managed device")?;
    let found = reader.cloud_pc_by_managed_device(call.tenant(), id)?;
    found.ok_or_else(|| Problem::not_found("managed device", call.key(0)))
}

/// Asks for a remote action on it: 404 comes before what is wrong with the body.
async fn ask(
    call: Arc<Call>,
    params: impl Fn(&Call) -> Result<Params, Problem> + Send + 'static,
) -> Result<Answer, Problem> {
    let (asked, engine) = (call.asked(), call.app.engine.clone());
    engine.request_found(&asked, move |reader| Ok::<_, Problem>((find(&call, reader)?, params(&call)?))).await?;
    Ok(Answer::NoContent)
}
