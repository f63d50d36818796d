//! Operations on the actions of a Cloud PC: an extension of Graph, in the namespace `cloudpc`.

pub(super) mod cancel;
pub(super) mod get;
pub(super) mod list;
pub(super) mod settle;

use cloudpc_model::{Action, ActionId};
use cloudpc_store::Reader;

use super::cloud_pc;
use crate::pipeline::{Call, Problem};

/// Like [`find`], for what the user of a Cloud PC under review may not do.
fn find_to_use(call: &Call, reader: &Reader<'_>) -> Result<Action, Problem> {
    cloud_pc::find_to_use(call, reader)?;
    find(call, reader)
}

/// Returns the action in the path. Returns 404 if it belongs to another Cloud PC than the path's.
fn find(call: &Call, reader: &Reader<'_>) -> Result<Action, Problem> {
    let cloud_pc = cloud_pc::find(call, reader)?;
    let id: ActionId = call.id(1, "action")?;
    reader
        .action(call.tenant(), id)?
        .filter(|action| action.cloud_pc_id() == Some(cloud_pc.id))
        .ok_or_else(|| Problem::not_found("action", call.key(1)))
}
