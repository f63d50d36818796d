//! The owner of the installation: the application that `admin.json` in the data directory names.
//!
//! Whoever may read that file owns the installation. The store names the application in a setting,
//! which no request can change, so that no permission of a tenant, no scenario and no token of an
//! outside issuer makes anyone else the owner.

use cloudpc_model::{AppId, TenantId};
use cloudpc_store::{Reader, StoreError, Tx};

/// The setting that names the owner's application.
const OWNER: &str = "installation.owner";

/// Permissions that only the owner grants, since what they allow reaches beyond a tenant.
pub(crate) const GRANTED_BY_OWNER: [&str; 1] = ["Cloudpc.Simulate.All"];

/// Returns the tenant and the id of the owner's application, if there is one yet.
///
/// # Errors
/// The store fails.
pub fn owner(reader: &Reader<'_>) -> Result<Option<(TenantId, AppId)>, StoreError> {
    let stored = reader.setting(OWNER)?.map(|json| serde_json::from_slice(&json)).transpose();
    stored.map_err(|error| StoreError::Corrupt { table: "settings", what: format!("{OWNER}: {error}") })
}

/// Makes an application the owner's, and the one before it an ordinary one.
///
/// # Errors
/// The store fails.
pub fn set_owner(tx: &mut Tx<'_>, tenant: TenantId, app: AppId) -> Result<(), StoreError> {
    let json = serde_json::to_vec(&(tenant, app)).expect("two ids are JSON");
    tx.setting_put(OWNER, &json)
}
