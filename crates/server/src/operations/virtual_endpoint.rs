//! Operations on the whole of what a tenant has, and on its organization.

pub(super) mod encryption_setting;
pub(super) mod get;
pub(super) mod organization_action;
