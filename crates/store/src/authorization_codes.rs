//! Codes of the authorization code grant (RFC 6749 §4.1) that wait to be redeemed.

use cloudpc_model::{AppId, TenantId, Timestamp, UserId};

use crate::connection::params;
use crate::rows::Columns;
use crate::{StoreError, Tx};

const TABLE: &str = "authorization_codes";

/// A code of a user who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// Tenant of the user.
    pub tenant_id: TenantId,
    /// SHA-256 of the code, which is random and long.
    pub code: [u8; 32],
    /// The user who signed in.
    pub user_id: UserId,
    /// The client that may redeem the code.
    pub client_id: AppId,
    /// The URI that the code was sent to.
    pub redirect_uri: String,
    /// The code challenge of PKCE, method S256 (RFC 7636).
    pub challenge: String,
    /// The requested scope.
    pub scope: String,
    /// Text that the id token repeats.
    pub nonce: Option<String>,
    /// Expiry time.
    pub expires_at: Timestamp,
}

impl Tx<'_> {
    /// Adds a code.
    pub fn authorization_code_insert(&mut self, code: &AuthorizationCode) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO authorization_codes
             (tenant_id, code, user_id, client_id, redirect_uri, challenge, scope, nonce, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                code.tenant_id.0,
                code.code,
                code.user_id.0,
                code.client_id.0,
                code.redirect_uri,
                code.challenge,
                code.scope,
                code.nonce,
                code.expires_at.0,
            ],
        )?;
        Ok(())
    }

    /// Redeems a code by its hash, once. None if it was redeemed before or never existed.
    pub fn authorization_code_take(&mut self, code: &[u8; 32]) -> Result<Option<AuthorizationCode>, StoreError> {
        self.row(
            "DELETE FROM authorization_codes WHERE code = ?1
             RETURNING tenant_id, code, user_id, client_id, redirect_uri, challenge, scope, nonce, expires_at",
            params![code],
            |row| {
                let mut columns = Columns::new(row, TABLE);
                Ok(AuthorizationCode {
                    tenant_id: TenantId(columns.get()?),
                    code: columns.get()?,
                    user_id: UserId(columns.get()?),
                    client_id: AppId(columns.get()?),
                    redirect_uri: columns.get()?,
                    challenge: columns.get()?,
                    scope: columns.get()?,
                    nonce: columns.get()?,
                    expires_at: columns.time()?,
                })
            },
        )
    }

    /// Deletes expired codes.
    pub fn authorization_codes_sweep(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM authorization_codes WHERE expires_at <= ?1", params![now.0])?;
        Ok(())
    }
}
