//! Operations on gallery images.

pub(super) mod count;
pub(super) mod get;
pub(super) mod list;
