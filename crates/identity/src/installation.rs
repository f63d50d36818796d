//! The owner of the installation: the application that `admin.json` in the data directory names.
//!
//! Anyone who can read that file owns the installation. A setting in the store names the
//! application, and no request can change the setting: no tenant permission, scenario or token of
//! an outside issuer makes anyone else the owner.

use cloudpc_model::{AppId, TenantId};
use cloudpc_store::{Reader, StoreError, Tx};

/// The setting that names the owner's application.
const OWNER: &str = "installation.owner";

/// Permissions that only the owner can grant, because they reach beyond a tenant.
pub const GRANTED_BY_OWNER: [&str; 1] = ["Cloudpc.Simulate.All"];

/// Returns the tenant and the id of the owner's application; none before the first start has
/// created it.
///
/// # Errors
/// The store fails.
pub fn owner(reader: &Reader<'_>) -> Result<Option<(TenantId, AppId)>, StoreError> {
    let stored = reader.setting(OWNER)?.map(|json| serde_json::from_slice(&json)).transpose();
    stored.map_err(|error| StoreError::Corrupt { table: "settings", what: format!("{OWNER}: {error}") })
}

/// Makes an application the owner of the installation; the previous owner becomes an ordinary
/// application.
///
/// # Errors
/// The store fails.
pub fn set_owner(tx: &mut Tx<'_>, tenant: TenantId, app: AppId) -> Result<(), StoreError> {
    let json = serde_json::to_vec(&(tenant, app)).expect("two ids are JSON");
    tx.setting_put(OWNER, &json)
}
