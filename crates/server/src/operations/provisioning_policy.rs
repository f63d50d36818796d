//! Operations on provisioning policies other than those of every document.

pub(super) mod retry;
