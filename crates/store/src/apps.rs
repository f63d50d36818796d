//! Tenants and applications.

use cloudpc_model::{AppId, TenantId};

use crate::connection::{Row, params};
use crate::rows::{Columns, json};
use crate::{Reader, StoreError, Tx};

/// An application that may request tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Tenant of the application.
    pub tenant_id: TenantId,
    /// Its `client_id`.
    pub id: AppId,
    /// Display name.
    pub name: String,
    /// SHA-256 of the secret, which is random and long; none for a public client.
    pub secret_hash: Option<[u8; 32]>,
    /// Granted permissions, such as `CloudPC.ReadWrite.All`.
    pub permissions: Vec<String>,
    /// Whether the application may request and use tokens.
    pub enabled: bool,
}

impl Reader<'_> {
    /// Ids and names of all tenants, by id.
    pub fn tenant_list(&self) -> Result<Vec<(TenantId, String)>, StoreError> {
        self.rows("SELECT id, name FROM tenants ORDER BY id", params![], |row| Ok((TenantId(row.get(0)?), row.get(1)?)))
    }

    /// One application of a tenant.
    pub fn app(&self, tenant: TenantId, id: AppId) -> Result<Option<Application>, StoreError> {
        self.row(
            "SELECT tenant_id, id, name, secret_hash, permissions, enabled FROM apps WHERE tenant_id = ?1 AND id = ?2",
            params![tenant.0, id.0],
            app,
        )
    }

    /// The certificate by which an application signs in, DER of X.509.
    pub fn app_certificate(&self, tenant: TenantId, id: AppId) -> Result<Option<Vec<u8>>, StoreError> {
        self.row(
            "SELECT certificate FROM app_certificates WHERE tenant_id = ?1 AND app_id = ?2",
            params![tenant.0, id.0],
            |row| row.get(0),
        )
    }

    /// All applications of a tenant, by id; there are few.
    pub fn app_list(&self, tenant: TenantId) -> Result<Vec<Application>, StoreError> {
        self.rows(
            "SELECT tenant_id, id, name, secret_hash, permissions, enabled FROM apps WHERE tenant_id = ?1 ORDER BY id",
            params![tenant.0],
            app,
        )
    }
}

impl Tx<'_> {
    /// Sets the certificate by which an application signs in, DER of X.509.
    pub fn app_certificate_put(&mut self, tenant: TenantId, id: AppId, certificate: &[u8]) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO app_certificates (tenant_id, app_id, certificate) VALUES (?1, ?2, ?3)
             ON CONFLICT (tenant_id, app_id) DO UPDATE SET certificate = excluded.certificate",
            params![tenant.0, id.0, certificate],
        )?;
        Ok(())
    }

    /// Adds a tenant or renames it.
    pub fn tenant_put(&mut self, id: TenantId, name: &str) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO tenants (id, name) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            params![id.0, name],
        )?;
        self.built_in_roles_put(id)
    }

    /// Adds or replaces an application.
    pub fn app_put(&mut self, app: &Application) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO apps (tenant_id, id, name, secret_hash, permissions, enabled) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (tenant_id, id) DO UPDATE SET name = excluded.name, secret_hash = excluded.secret_hash,
             permissions = excluded.permissions, enabled = excluded.enabled",
            params![app.tenant_id.0, app.id.0, app.name, app.secret_hash, json(&app.permissions), app.enabled],
        )?;
        Ok(())
    }
}

fn app(row: Row<'_>) -> Result<Application, StoreError> {
    let mut columns = Columns::new(row, "apps");
    Ok(Application {
        tenant_id: TenantId(columns.get()?),
        id: AppId(columns.get()?),
        name: columns.get()?,
        secret_hash: columns.get()?,
        permissions: columns.json()?,
        enabled: columns.get()?,
    })
}
