//! Local users.

use cloudpc_model::{TenantId, UserId};

use crate::{Reader, StoreError, Tx};

/// A local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their tenant.
    pub tenant_id: TenantId,
    /// Their id.
    pub id: UserId,
    /// Their name, e.g. `ada@contoso.test`; unique in the tenant, ignoring case.
    pub user_principal_name: String,
    /// For people.
    pub display_name: String,
    /// Argon2 hash of their password, in PHC form; none if they cannot sign in.
    pub password_hash: Option<String>,
    /// Directory roles, e.g. `Windows 365 Administrator`.
    pub roles: Vec<String>,
    /// Permissions that an application may have on their behalf.
    pub permissions: Vec<String>,
    /// Whether they may still sign in.
    pub enabled: bool,
}

impl Reader<'_> {
    /// One user by id.
    pub fn user(&self, _tenant: TenantId, _id: UserId) -> Result<Option<User>, StoreError> {
        unimplemented!()
    }

    /// All users of a tenant, by id; there are few.
    pub fn user_list(&self, _tenant: TenantId) -> Result<Vec<User>, StoreError> {
        unimplemented!()
    }

    /// One user by name.
    pub fn user_by_name(&self, _tenant: TenantId, _user_principal_name: &str) -> Result<Option<User>, StoreError> {
        unimplemented!()
    }
}

impl Tx<'_> {
    /// Adds or replaces a user.
    pub fn user_put(&mut self, _user: &User) -> Result<(), StoreError> {
        unimplemented!()
    }
}
