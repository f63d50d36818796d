//! Operations on the restore points of all Cloud PCs.

pub(super) mod count;
pub(super) mod get;
pub(super) mod list;
