//! Tenants, and the applications that may ask for tokens.

use cloudpc_model::{AppId, TenantId};

use crate::{Reader, StoreError, Tx};

/// An application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its `client_id`.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// SHA-256 of its secret, which is random and long; none for a public client.
    pub secret_hash: Option<[u8; 32]>,
    /// Permissions that it has been granted, e.g. `CloudPC.ReadWrite.All`.
    pub permissions: Vec<String>,
    /// Whether it may still get and use tokens.
    pub enabled: bool,
}

impl Reader<'_> {
    /// Names of all tenants by id.
    pub fn tenant_list(&self) -> Result<Vec<(TenantId, String)>, StoreError> {
        unimplemented!()
    }

    /// One application of a tenant.
    pub fn app(&self, _tenant: TenantId, _id: AppId) -> Result<Option<App>, StoreError> {
        unimplemented!()
    }

    /// All applications of a tenant, by id; there are few.
    pub fn app_list(&self, _tenant: TenantId) -> Result<Vec<App>, StoreError> {
        unimplemented!()
    }
}

impl Tx<'_> {
    /// Adds a tenant or renames it.
    pub fn tenant_put(&mut self, _id: TenantId, _name: &str) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Adds or replaces an application.
    pub fn app_put(&mut self, _app: &App) -> Result<(), StoreError> {
        unimplemented!()
    }
}
