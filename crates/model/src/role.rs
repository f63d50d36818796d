//! Roles: what the store and the server both know of role-based access control.

/// A role definition that every tenant has and nobody can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltInRole {
    /// Id, the same in every tenant.
    pub id: &'static str,
    /// Display name.
    pub name: &'static str,
    /// Description.
    pub description: &'static str,
}

/// Grants every resource action.
pub const ADMINISTRATOR_ROLE: BuiltInRole = BuiltInRole {
    id: "b5c08161-a7af-481c-ace2-a20a69a48fb1",
    name: "Cloud PC Administrator",
    description: "Manages all Cloud PCs and their configuration.",
};
/// Grants every resource action that reads.
pub const READER_ROLE: BuiltInRole = BuiltInRole {
    id: "ea8e2fb8-e909-44e6-bae7-56757cf6f347",
    name: "Cloud PC Reader",
    description: "Reads all Cloud PCs and their configuration.",
};
/// The built-in roles. Migration 0032 has a copy for the tenants of older databases.
pub const BUILT_IN_ROLES: [BuiltInRole; 2] = [ADMINISTRATOR_ROLE, READER_ROLE];
