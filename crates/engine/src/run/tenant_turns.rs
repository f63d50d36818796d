//! Turns of tenants: each has one piece of its work done before any has its next.

use cloudpc_model::TenantId;
use cloudpc_store::{StoreError, Tx};

/// Does up to `most` pieces of work, each of the first tenant after the one before, beginning after
/// `turn`. `work` does one of a tenant after the given one, and returns that tenant; none if no
/// such tenant has any. Returns the tenant that had its turn last, or none if every tenant had one.
pub(super) fn take_turns(
    tx: &mut Tx<'_>,
    mut turn: Option<TenantId>,
    most: usize,
    mut work: impl FnMut(&mut Tx<'_>, Option<TenantId>) -> Result<Option<TenantId>, StoreError>,
) -> Result<Option<TenantId>, StoreError> {
    for _ in 0..most {
        turn = work(tx, turn)?;
        if turn.is_none() {
            break;
        }
    }
    Ok(turn)
}
