//! The first tenant, its administrator application, and the file by which the owner of the data
//! directory finds them.

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
use crate::pipeline::PERMISSIONS;

/// The file, in the data directory.
pub const ADMIN_FILE: &str = "admin.json";

/// How a client on this machine finds the server and proves that it may use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminFile {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The administrator application.
    pub client_id: AppId,
    /// Its secret.
    pub client_secret: String,
    /// Where plain HTTP is served, if it is.
    pub http_url: Option<String>,
    /// Where HTTPS is served, if it is.
    pub https_url: Option<String>,
}

/// Makes what is missing, and writes the addresses of this start into the file.
///
/// The application of the file owns the installation from here on. Whoever may write the data
/// directory owns everything in it, so a lost file is replaced, with a new application. The old one
/// becomes an ordinary administrator of its tenant and can be disabled.
pub(super) async fn ensure(
    app: &App,
    directory: &Path,
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
) -> Result<(), StartError> {
    let path = directory.join(ADMIN_FILE);
    let known = known(app, &path).await?;
    let mut file = match &known {
        Some(file) => file.clone(),
        None => make(app).await?,
    };
    own(app, file.tenant_id, file.client_id).await?;
    file.http_url = http.map(|address| format!("http://{}", reachable(address)));
    file.https_url = https.map(|address| format!("https://{}", reachable(address)));
    if known.as_ref() == Some(&file) {
        return Ok(());
    }
    let mut text = serde_json::to_vec_pretty(&file).map_err(Error::internal)?;
    text.push(b'\n');
    match durable_file::write(&path, Readers::Owner, &text) {
        // The secret is there; only addresses in the file are those of the last start.
        Err(error) if known.is_some() => {
            tracing::warn!(%error, "the addresses of this start cannot be written to {ADMIN_FILE}; the command line will look for the service at the old ones");
            Ok(())
        }
        written => written.map_err(|source| StartError::File { path, source }),
    }
}

/// What the file says, if it can be read and its application is there.
async fn known(app: &App, path: &Path) -> Result<Option<AdminFile>, Error> {
    let Some(file) = fs::read(path).ok().and_then(|text| serde_json::from_slice::<AdminFile>(&text).ok()) else {
        return Ok(None);
    };
    let (tenant, id) = (file.tenant_id, file.client_id);
    let application = app.store.read(move |reader| Ok::<_, Error>(reader.app(tenant, id)?)).await?;
    Ok(application.map(|_| file))
}

async fn make(app: &App) -> Result<AdminFile, Error> {
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

/// Marks the application as the owner's.
async fn own(app: &App, tenant: TenantId, id: AppId) -> Result<(), Error> {
    let owner = app.store.read(installation::owner).await?;
    if owner == Some((tenant, id)) {
        return Ok(());
    }
    app.store.write("installation.setOwner", move |tx| Ok(installation::set_owner(tx, tenant, id)?)).await
}

/// What the administrator of a tenant may have. The owner of the installation needs no more: the
/// rest follows from being the owner.
fn tenant_permissions() -> Vec<String> {
    PERMISSIONS.into_iter().filter(|name| !GRANTED_BY_OWNER.contains(name)).map(str::to_owned).collect()
}

/// An address that a client on this machine can connect to: one that stands for every interface
/// stands for the loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}
