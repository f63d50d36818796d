//! Operations on the restore points of all Cloud PCs.

pub(super) mod count;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod import;
pub(super) mod list;
pub(super) mod storage;
