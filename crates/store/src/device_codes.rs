//! Codes of the device authorization grant (RFC 8628) that wait to be entered or redeemed.

use cloudpc_model::{AppId, TenantId, Timestamp, UserId};
use std::time::Duration;
use uuid::Uuid;

use crate::connection::{Row, params};
use crate::rows::{Columns, micros};
use crate::{Reader, StoreError, Tx};

const TABLE: &str = "device_codes";

macro_rules! columns {
    () => {
        "tenant_id, device_code, user_code, client_id, client_name, peer, scope, attempts, declined, user_tenant_id,
         user_id, interval_s, polled_at, seen_at, expires_at"
    };
}

/// A pair of codes: one for the device, one for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCode {
    /// The tenant that the client named; none: the tenant of whoever signs in.
    pub tenant_id: Option<TenantId>,
    /// SHA-256 of the device's code.
    pub device_code: [u8; 32],
    /// SHA-256 of the person's code.
    pub user_code: [u8; 32],
    /// The client that asked for the codes.
    pub client_id: AppId,
    /// The client's name.
    pub client_name: String,
    /// The network peer that asked for the codes.
    pub peer: String,
    /// The requested scope.
    pub scope: String,
    /// Number of sign-in attempts with the code.
    pub attempts: u32,
    /// Whether the person declined.
    pub declined: bool,
    /// Who signed in with the code.
    pub user: Option<(TenantId, UserId)>,
    /// Shortest time between two polls, in whole seconds.
    pub interval: Duration,
    /// Time of the last poll.
    pub polled_at: Option<Timestamp>,
    /// Time of the last poll, or of the creation.
    pub seen_at: Timestamp,
    /// Expiry time.
    pub expires_at: Timestamp,
}

/// Which codes share a limit.
#[derive(Clone, Copy, Debug)]
pub enum DeviceCodeShare<'a> {
    /// All codes.
    Installation,
    /// The codes of one client.
    Client(AppId),
    /// The codes of one network peer.
    Peer(&'a str),
}

impl Reader<'_> {
    /// The unexpired code of this device code hash.
    pub fn device_code(&self, device_code: &[u8; 32], now: Timestamp) -> Result<Option<DeviceCode>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM device_codes WHERE device_code = ?1 AND expires_at > ?2"),
            params![device_code, now.0],
            device_code_row,
        )
    }

    /// The unexpired code of this user code hash.
    pub fn device_code_by_user_code(
        &self,
        user_code: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<DeviceCode>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM device_codes WHERE user_code = ?1 AND expires_at > ?2"),
            params![user_code, now.0],
            device_code_row,
        )
    }

    /// Number of codes in a share, expired ones included.
    pub fn device_code_count(&self, share: DeviceCodeShare<'_>) -> Result<u64, StoreError> {
        let (client, peer) = share.columns();
        self.count(
            "SELECT count(*) FROM device_codes WHERE client_id = coalesce(?1, client_id) AND peer = coalesce(?2, peer)",
            params![client, peer],
        )
    }
}

impl Tx<'_> {
    /// Adds a code, or updates its attempts, answer and polls.
    pub fn device_code_put(&mut self, code: &DeviceCode) -> Result<(), StoreError> {
        self.execute(
            concat!(
                "INSERT INTO device_codes (",
                columns!(),
                ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
                 ON CONFLICT (tenant_id, device_code) DO UPDATE SET attempts = excluded.attempts, declined = excluded.declined,
                 user_tenant_id = excluded.user_tenant_id, user_id = excluded.user_id, interval_s = excluded.interval_s,
                 polled_at = excluded.polled_at, seen_at = excluded.seen_at"
            ),
            params![
                code.tenant_id.map_or(Uuid::nil(), |tenant| tenant.0),
                code.device_code,
                code.user_code,
                code.client_id.0,
                code.client_name,
                code.peer,
                code.scope,
                code.attempts,
                code.declined,
                code.user.map(|(tenant, _)| tenant.0),
                code.user.map(|(_, user)| user.0),
                code.interval.as_secs().cast_signed(),
                micros(code.polled_at),
                code.seen_at.0,
                code.expires_at.0,
            ],
        )?;
        Ok(())
    }

    /// Deletes a code by its device code hash.
    pub fn device_code_delete(&mut self, device_code: &[u8; 32]) -> Result<(), StoreError> {
        self.execute("DELETE FROM device_codes WHERE device_code = ?1", params![device_code])?;
        Ok(())
    }

    /// Deletes the code of `peer` that has not been polled for longest, of those without a sign-in
    /// attempt. Returns whether there was one.
    pub fn device_code_evict_untried(&mut self, peer: &str) -> Result<bool, StoreError> {
        let deleted = self.execute(
            "DELETE FROM device_codes WHERE device_code = (
                 SELECT device_code FROM device_codes
                 WHERE peer = ?1 AND attempts = 0 AND declined = 0 ORDER BY seen_at LIMIT 1)",
            params![peer],
        )?;
        Ok(deleted > 0)
    }

    /// Deletes a code of the peer with the most codes in the share: the one that has not been
    /// polled for longest, and one in use only if all are. A code is in use if a user has signed in
    /// with it, or if it was made or polled within the last two intervals. Codes in use of peers
    /// that have at most `protected` codes stay. Returns whether a code was deleted.
    pub fn device_code_evict_from_largest_peer(
        &mut self,
        share: DeviceCodeShare<'_>,
        protected: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (client, peer) = share.columns();
        let deleted = self.execute(
            "DELETE FROM device_codes WHERE device_code = (
                 SELECT device_code FROM (
                     SELECT device_code, seen_at, count(*) OVER (PARTITION BY peer) AS of_peer,
                     user_id IS NOT NULL OR seen_at + 2 * interval_s * 1000000 > ?4 AS in_use
                     FROM device_codes WHERE client_id = coalesce(?1, client_id) AND peer = coalesce(?2, peer)) AS counted
                 WHERE of_peer > ?3 OR NOT in_use ORDER BY of_peer DESC, in_use, seen_at LIMIT 1)",
            params![client, peer, protected.cast_signed(), now.0],
        )?;
        Ok(deleted > 0)
    }

    /// Deletes expired codes.
    pub fn device_codes_sweep(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM device_codes WHERE expires_at <= ?1", params![now.0])?;
        Ok(())
    }
}

impl<'a> DeviceCodeShare<'a> {
    /// The columns that codes in the share have in common.
    fn columns(self) -> (Option<Uuid>, Option<&'a str>) {
        match self {
            Self::Installation => (None, None),
            Self::Client(client) => (Some(client.0), None),
            Self::Peer(peer) => (None, Some(peer)),
        }
    }
}

/// Reads the columns of `columns!`.
fn device_code_row(row: Row<'_>) -> Result<DeviceCode, StoreError> {
    let mut columns = Columns::new(row, TABLE);
    Ok(DeviceCode {
        tenant_id: Some(columns.get::<Uuid>()?).filter(|tenant| !tenant.is_nil()).map(TenantId),
        device_code: columns.get()?,
        user_code: columns.get()?,
        client_id: AppId(columns.get()?),
        client_name: columns.get()?,
        peer: columns.get()?,
        scope: columns.get()?,
        attempts: columns.get()?,
        declined: columns.get()?,
        user: {
            let (tenant, user): (Option<Uuid>, Option<Uuid>) = (columns.get()?, columns.get()?);
            tenant.zip(user).map(|(tenant, user)| (TenantId(tenant), UserId(user)))
        },
        interval: Duration::from_secs(columns.get::<i64>()?.cast_unsigned()),
        polled_at: columns.time_opt()?,
        seen_at: columns.time()?,
        expires_at: columns.time()?,
    })
}
