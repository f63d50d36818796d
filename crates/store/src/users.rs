//! Local users.

use cloudpc_model::{TenantId, UserId};

use crate::connection::dialect::after_at;
use crate::connection::{Row, params};
use crate::rows::{Columns, json};
use crate::{Reader, StoreError, Tx};

/// A local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Tenant of the user.
    pub tenant_id: TenantId,
    /// Id of the user.
    pub id: UserId,
    /// User principal name, such as `ada@contoso.test`; unique in the tenant, ignoring case.
    pub user_principal_name: String,
    /// Display name.
    pub display_name: String,
    /// Argon2 hash of the password, in PHC form; none if the user cannot sign in.
    pub password_hash: Option<String>,
    /// Directory roles, such as `Windows 365 Administrator`.
    pub roles: Vec<String>,
    /// Permissions that an application may have on behalf of the user.
    pub permissions: Vec<String>,
    /// Whether the user may sign in.
    pub enabled: bool,
}

impl Reader<'_> {
    /// One user by id.
    pub fn user(&self, tenant: TenantId, id: UserId) -> Result<Option<User>, StoreError> {
        self.row(
            "SELECT tenant_id, id, user_principal_name, display_name, password_hash, roles, permissions, enabled
             FROM users WHERE tenant_id = ?1 AND id = ?2",
            params![tenant.0, id.0],
            user,
        )
    }

    /// One user by name.
    pub fn user_by_name(&self, tenant: TenantId, user_principal_name: &str) -> Result<Option<User>, StoreError> {
        self.row(
            "SELECT tenant_id, id, user_principal_name, display_name, password_hash, roles, permissions, enabled
             FROM users WHERE tenant_id = ?1 AND lower(user_principal_name) = lower(?2)",
            params![tenant.0, user_principal_name],
            user,
        )
    }

    /// The tenants that have users in a domain, ignoring case: up to two, which is enough to see
    /// that more than one tenant has the domain.
    pub fn tenants_by_domain(&self, domain: &str) -> Result<Vec<TenantId>, StoreError> {
        self.rows(
            concat!(
                "SELECT DISTINCT tenant_id FROM users WHERE lower(",
                after_at!("user_principal_name"),
                ") = lower(?1) LIMIT 2"
            ),
            params![domain],
            |row| Ok(TenantId(row.get(0)?)),
        )
    }

    /// All users of a tenant, by id; there are few.
    pub fn user_list(&self, tenant: TenantId) -> Result<Vec<User>, StoreError> {
        self.rows(
            "SELECT tenant_id, id, user_principal_name, display_name, password_hash, roles, permissions, enabled
             FROM users WHERE tenant_id = ?1 ORDER BY id",
            params![tenant.0],
            user,
        )
    }
}

impl Tx<'_> {
    /// Adds or replaces a user.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if another user of the tenant has this name.
    pub fn user_put(&mut self, user: &User) -> Result<(), StoreError> {
        let same = self.user_by_name(user.tenant_id, &user.user_principal_name)?;
        if same.is_some_and(|same| same.id != user.id) {
            return Err(StoreError::Exists("a user of this name"));
        }
        self.execute(
            "INSERT INTO users (tenant_id, id, user_principal_name, display_name, password_hash, roles, permissions, enabled)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (tenant_id, id) DO UPDATE SET user_principal_name = excluded.user_principal_name,
             display_name = excluded.display_name, password_hash = excluded.password_hash, roles = excluded.roles,
             permissions = excluded.permissions, enabled = excluded.enabled",
            params![
                user.tenant_id.0,
                user.id.0,
                user.user_principal_name,
                user.display_name,
                user.password_hash,
                json(&user.roles),
                json(&user.permissions),
                user.enabled,
            ],
        )?;
        Ok(())
    }
}

fn user(row: Row<'_>) -> Result<User, StoreError> {
    let mut columns = Columns::new(row, "users");
    Ok(User {
        tenant_id: TenantId(columns.get()?),
        id: UserId(columns.get()?),
        user_principal_name: columns.get()?,
        display_name: columns.get()?,
        password_hash: columns.get()?,
        roles: columns.json()?,
        permissions: columns.json()?,
        enabled: columns.get()?,
    })
}
