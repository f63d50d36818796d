//! Operations on the audit log.

pub(super) mod activity_types;
pub(super) mod count;
pub(super) mod get;
pub(super) mod list;
