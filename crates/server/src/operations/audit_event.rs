//! Operations on the audit log.

pub(super) mod count;
pub(super) mod get;
pub(super) mod list;
