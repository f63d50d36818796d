//! Place under review: take a restore point of the disk, for an administrator to examine.
//!
//! The restore point stays on the host: this installation has no connection to Azure, so nothing is
//! copied to a storage account.

use cloudpc_model::{Kind, SnapshotType};

use super::{Recipe, Subject, create_snapshot, minutes, unchanged};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::PlaceUnderReview,
    steps: &[create_snapshot::CHECK_SUPPORT, create_snapshot::TAKE_SNAPSHOT],
    time_max: minutes(2 * 60),
    subject: Subject::CloudPc {
        status: None,
        complete: |ending| {
            ending.tx.review_restore_point(ending.action.tenant_id, ending.cloud_pc.id, ending.now)?;
            create_snapshot::store(ending, SnapshotType::Manual)
        },
        after_failure: unchanged,
    },
};
