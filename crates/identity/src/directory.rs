//! Lookup of tenants, users and public clients for the token service.

use cloudpc_model::{AppId, Error, TenantId, UserId};
use cloudpc_store::{Reader, StoreError, User};

use super::Identity;
use super::oauth::OAuthError;

/// The tenant that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TenantPath {
    /// One tenant, named by its id or by a domain of its users' names.
    One(TenantId),
    /// `common` or `organizations`: the tenant of the user who signs in.
    Any,
}

/// A public client: an application without a secret.
pub(super) struct PublicClient {
    pub(super) id: AppId,
    pub(super) name: String,
    /// Permissions of the client; none: all permissions of the user.
    pub(super) permissions: Option<Vec<String>>,
}

impl TenantPath {
    /// Returns the tenant's id; none: the tenant of the user who signs in.
    pub(super) fn id(self) -> Option<TenantId> {
        match self {
            Self::One(id) => Some(id),
            Self::Any => None,
        }
    }
}

impl Identity {
    /// Returns the tenant that a path names.
    pub(super) async fn tenant(&self, path: &str) -> Result<TenantPath, OAuthError> {
        if ["common", "organizations"].iter().any(|any| any.eq_ignore_ascii_case(path)) {
            return Ok(TenantPath::Any);
        }
        let (id, domain): (Option<TenantId>, _) = (path.parse().ok(), path.to_owned());
        let found = self
            .store
            .read(move |reader| match id {
                Some(id) => {
                    Ok(reader.tenant_list()?.into_iter().map(|(known, _)| known).filter(|known| *known == id).collect())
                }
                None => Ok::<Vec<TenantId>, Error>(reader.tenants_by_domain(&domain)?),
            })
            .await?;
        let problem = match found[..] {
            [tenant] => return Ok(TenantPath::One(tenant)),
            [] => format!("Unknown tenant {path:?}. Use the tenant's id, or a domain of its users' names."),
            _ => format!("More than one tenant has users in the domain {path:?}. Use the tenant's id."),
        };
        Err(OAuthError::new("invalid_tenant", 90_002, problem))
    }

    pub(super) async fn tenants(&self) -> Result<Vec<TenantId>, Error> {
        self.store.read(|reader| Ok(reader.tenant_list()?.into_iter().map(|(id, _)| id).collect())).await
    }

    /// Returns an enabled user.
    pub(super) async fn user(&self, tenant: TenantId, id: UserId) -> Result<User, OAuthError> {
        self.store
            .read(move |reader| Ok::<_, Error>(reader.user(tenant, id)?))
            .await?
            .filter(|user| user.enabled)
            .ok_or_else(disabled_user)
    }

    /// Returns a public client: an enabled application without a secret, or a built-in client,
    /// unless the tenant has an application with its id.
    pub(super) async fn public_client(&self, tenant: TenantPath, client_id: &str) -> Result<PublicClient, OAuthError> {
        let unknown = || {
            let problem = format!(
                "This tenant has no enabled application {client_id:?}. Use the client id of a registered application."
            );
            OAuthError::new("unauthorized_client", 700_016, problem)
        };
        let id: AppId = client_id.parse().map_err(|_| unknown())?;
        let tenants = match tenant {
            TenantPath::One(tenant) => vec![tenant],
            TenantPath::Any => self.tenants().await?,
        };
        let app = self
            .store
            .read(move |reader| {
                for tenant in tenants {
                    if let Some(app) = reader.app(tenant, id)? {
                        return Ok::<_, Error>(Some(app));
                    }
                }
                Ok(None)
            })
            .await?;
        let app = match (app, self.built_in_client(id)) {
            (None, Some(name)) => return Ok(PublicClient { id, name: name.to_owned(), permissions: None }),
            (app, _) => app.filter(|app| app.enabled).ok_or_else(unknown)?,
        };
        if app.secret_hash.is_some() {
            let problem = "The application has a secret. Users can sign in only to public clients, which have none.";
            return Err(OAuthError::new("invalid_client", 7_000_218, problem));
        }
        Ok(PublicClient { id, name: app.name, permissions: Some(app.permissions) })
    }
}

/// Returns the users with this name, ignoring case, in `tenant` or in all tenants.
pub(super) fn users_named(reader: &Reader<'_>, tenant: Option<TenantId>, name: &str) -> Result<Vec<User>, StoreError> {
    let tenants = match tenant {
        Some(tenant) => vec![tenant],
        None => reader.tenant_list()?.into_iter().map(|(id, _)| id).collect(),
    };
    let users = tenants.into_iter().map(|tenant| reader.user_by_name(tenant, name));
    Ok(users.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Returns the error for a user who is disabled or was deleted after signing in.
pub(super) fn disabled_user() -> OAuthError {
    OAuthError::new("invalid_grant", 50_057, "The user is disabled or was deleted. Sign in as another user.")
}
