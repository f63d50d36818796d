//! Operations on the restore points of all Cloud PCs.

pub(super) mod count;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod import;
pub(super) mod list;
pub(super) mod storage;

use cloudpc_model::Snapshot;
use cloudpc_store::Reader;

use super::cloud_pc;
use crate::pipeline::{Call, Problem};

/// Whether the caller's scope tags reach the Cloud PC of a restore point.
fn is_reached(call: &Call, reader: &Reader<'_>, snapshot: &Snapshot) -> Result<bool, Problem> {
    Ok(call.scope_tags.is_all() || cloud_pc::find_reached(call, reader, snapshot.cloud_pc_id)?.is_some())
}
