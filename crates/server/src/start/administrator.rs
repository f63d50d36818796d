//! The first tenant, its administrator application, and the file with their credentials for the
//! owner of the data directory.

use cloudpc_identity::permissions::PERMISSIONS;
use cloudpc_model::{AppId, Error, TenantId};
use cloudpc_store::Application;
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::StartError;
use crate::app::App;
use crate::durable_file::{self, Readers};
use crate::identity::Identity;
use crate::installation::{self, GRANTED_BY_OWNER};

/// Name of the file in the data directory.
pub const ADMIN_FILE: &str = "admin.json";

/// The addresses of the server and the administrator's credentials, for clients on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminFile {
    /// Id of the tenant.
    pub tenant_id: TenantId,
    /// Client id of the administrator application.
    pub client_id: AppId,
    /// Client secret of the administrator application.
    pub client_secret: String,
    /// URL of plain HTTP; none: not served.
    pub http_url: Option<String>,
    /// URL of HTTPS; none: not served.
    pub https_url: Option<String>,
}

/// Creates the tenant, the application and the file if they are missing, and writes the addresses
/// of this start to the file.
///
/// The application of the file becomes the owner of the installation. A missing file is replaced by
/// one with a new application, because anyone who can write the data directory owns everything in
/// it. The old application becomes an ordinary administrator of its tenant and can be disabled.
pub(super) async fn ensure(
    app: &App,
    directory: &Path,
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
) -> Result<(), StartError> {
    let path = directory.join(ADMIN_FILE);
    let existing = read_existing(app, &path).await?;
    let mut file = match &existing {
        Some(file) => file.clone(),
        None => create(app).await?,
    };
    ensure_owner(app, file.tenant_id, file.client_id).await?;
    file.http_url = http.map(|address| format!("http://{}", reachable(address)));
    file.https_url = https.map(|address| format!("https://{}", reachable(address)));
    if existing.as_ref() == Some(&file) {
        return Ok(());
    }
    let mut text = serde_json::to_vec_pretty(&file).map_err(Error::internal)?;
    text.push(b'\n');
    match durable_file::write(&path, Readers::Owner, &text) {
        // The file has a valid secret; only its addresses are outdated.
        Err(error) if existing.is_some() => {
            tracing::warn!(%error, "writing the service's addresses to {ADMIN_FILE} failed; the command line will use the addresses of the last start");
            Ok(())
        }
        written => written.map_err(|source| StartError::File { path, source }),
    }
}

/// Reads the file; none if the file is missing or invalid, or its application does not exist.
async fn read_existing(app: &App, path: &Path) -> Result<Option<AdminFile>, Error> {
    let Some(file) = fs::read(path).ok().and_then(|text| serde_json::from_slice::<AdminFile>(&text).ok()) else {
        return Ok(None);
    };
    let (tenant, id) = (file.tenant_id, file.client_id);
    let application = app.store.read(move |reader| Ok::<_, Error>(reader.app(tenant, id)?)).await?;
    Ok(application.map(|_| file))
}

/// Creates the administrator application, and a tenant if there is none.
async fn create(app: &App) -> Result<AdminFile, Error> {
    let secret = Identity::new_app_secret(app.rng.as_ref());
    let new_tenant = TenantId::random(app.rng.as_ref());
    let client_id = AppId::random(app.rng.as_ref());
    let tenant_id = app
        .store
        .write("installation.makeAdministrator", move |tx| {
            let tenant_id = match tx.tenant_list()?.first() {
                Some((id, _)) => *id,
                None => {
                    tx.tenant_put(new_tenant, "Default")?;
                    new_tenant
                }
            };
            tx.app_put(&Application {
                tenant_id,
                id: client_id,
                name: "Administrator".into(),
                secret_hash: Some(secret.hash),
                permissions: tenant_permissions(),
                enabled: true,
            })?;
            Ok::<_, Error>(tenant_id)
        })
        .await?;
    Ok(AdminFile { tenant_id, client_id, client_secret: secret.secret, http_url: None, https_url: None })
}

/// Makes the application the owner of the installation, if it is not already.
async fn ensure_owner(app: &App, tenant: TenantId, id: AppId) -> Result<(), Error> {
    let owner = app.store.read(installation::owner).await?;
    if owner == Some((tenant, id)) {
        return Ok(());
    }
    app.store.write("installation.setOwner", move |tx| Ok(installation::set_owner(tx, tenant, id)?)).await
}

/// Returns the permissions of a tenant's administrator. The owner's application needs no others:
/// its further rights come from being the owner.
fn tenant_permissions() -> Vec<String> {
    PERMISSIONS.into_iter().filter(|name| !GRANTED_BY_OWNER.contains(name)).map(str::to_owned).collect()
}

/// Returns an address that a client on this machine can connect to: the loopback address in place
/// of the unspecified address.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}
