//! Operations on service plans.

pub(super) mod count;
pub(super) mod get;
pub(super) mod list;
