//! The caller of a request, as a verified token names it.

use cloudpc_model::{Actor, ActorKind, AppId, TenantId, Timestamp, UserId};
use cloudpc_store::ReadCaller;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::request::Peer;

/// The caller of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// `tid`
    pub tenant_id: TenantId,
    /// `appid` or `azp`
    pub app_id: Option<AppId>,
    /// `app_displayname`, or the id again.
    pub app_name: String,
    /// `oid` and `upn` of a delegated token; none for an application's own.
    pub user: Option<CallerUser>,
    /// `roles` of an application's token, `scp` of a delegated one.
    pub permissions: BTreeSet<String>,
    /// Whether this is the application that owns the installation (see [`crate::installation`]).
    pub is_owner: bool,
    /// Who vouches for the token.
    pub origin: TokenOrigin,
}

/// Who vouches for a token. When the signing key or the issuer is no longer trusted, everything
/// that was obtained with the token is invalid too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenOrigin {
    /// One of our own signing keys, and an application and user in the store.
    Local {
        /// `kid`
        key_id: String,
    },
    /// An outside issuer. Only the token itself says what its caller may do.
    Outside {
        /// `iss`
        issuer: String,
        /// `exp`
        expires_at: Timestamp,
    },
}

/// The user behind a delegated token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerUser {
    /// `oid`
    pub id: UserId,
    /// `upn` or `preferred_username`
    pub user_principal_name: String,
    /// Directory roles, e.g. `Global Administrator`.
    pub roles: Vec<String>,
}

impl Caller {
    /// Returns the key that limits per caller count by, unique in the tenant: a user, whatever
    /// client they use, or an application.
    pub fn share_key(&self) -> String {
        match (&self.user, self.app_id) {
            (Some(user), _) => format!("user {}", user.id),
            (None, Some(id)) => format!("application {id}"),
            (None, None) => format!("application {}", self.app_name),
        }
    }

    /// Returns whose turn in the read queue this caller takes: the user's, or the application's if
    /// there is no user.
    pub fn read_caller(&self) -> ReadCaller {
        let user = self.user.as_ref().map(|user| user.id.0);
        let id = user.or_else(|| self.app_id.map(|app| app.0)).unwrap_or_default();
        ReadCaller::Known(self.tenant_id, id)
    }

    /// Name of the caller for people: of the user, or of the application if there is none.
    pub fn display_name(&self) -> &str {
        self.user.as_ref().map_or(&self.app_name, |user| &user.user_principal_name)
    }

    /// Returns the caller as action logs and the audit log record it.
    pub fn actor(&self) -> Actor {
        Actor {
            kind: if self.user.is_some() { ActorKind::User } else { ActorKind::Application },
            app_id: self.app_id,
            app_name: self.app_name.clone(),
            user_id: self.user.as_ref().map(|user| user.id),
            user_principal_name: self.user.as_ref().map(|user| user.user_principal_name.clone()).unwrap_or_default(),
            ip_address: None,
        }
    }

    /// Returns the actor with the network address of the request's peer.
    pub fn actor_at(&self, peer: Option<Peer>) -> Actor {
        Actor { ip_address: peer.map(|peer| peer.0), ..self.actor() }
    }
}
