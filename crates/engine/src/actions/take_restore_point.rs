//! Take an automatic restore point, and drop those that exceed what is kept.
//!
//! Unlike a restore point that a caller requests, it waits in the machine's line and refuses no
//! caller's action. A machine that is off has nothing new, and gets none.

use cloudpc_model::{Kind, automatic_type, surplus_snapshots};
use cloudpc_store::StoreError;

use super::{Completion, Recipe, Subject, create_snapshot, minutes, unchanged};
use crate::ledger::RequestContext;
use crate::snapshots::drop_snapshot;

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::TakeRestorePoint,
    steps: &[create_snapshot::CHECK_SUPPORT, create_snapshot::TAKE_SNAPSHOT],
    time_max: minutes(24 * 60),
    subject: Subject::CloudPc { status: None, complete, after_failure: unchanged },
};

fn complete(ending: &mut Completion<'_, '_>) -> Result<(), StoreError> {
    let (tenant, id) = (ending.action.tenant_id, ending.cloud_pc.id);
    let existing = ending.tx.snapshot_list(tenant, Some(id), None, usize::MAX)?;
    create_snapshot::store(ending, automatic_type(&existing, ending.now))?;
    let existing = ending.tx.snapshot_list(tenant, Some(id), None, usize::MAX)?;
    for snapshot in surplus_snapshots(&existing) {
        drop_snapshot(ending.tx, &RequestContext::system(tenant), ending.cloud_pc, &snapshot, ending.now)?;
    }
    Ok(())
}
