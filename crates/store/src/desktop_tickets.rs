//! Tickets to desktops: each opens one page, and that page one WebSocket.
//!
//! The hash of its secret identifies a ticket, in place of the tenant: whoever shows the secret is
//! not signed in. Each transition is one statement, so that of many who show a secret at once one
//! succeeds.

use cloudpc_model::{TenantId, Timestamp};

use crate::connection::params;
use crate::rows::Columns;
use crate::{Reader, StoreError, Tx};

const TABLE: &str = "desktop_tickets";

/// SHA-256 of a secret that is random and long.
pub type SecretHash = [u8; 32];

/// A new ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesktopTicket {
    /// Hash of the secret that opens the page.
    pub hash: SecretHash,
    /// Tenant of the ticket.
    pub tenant_id: TenantId,
    /// The caller that limits count, unique in the tenant.
    pub caller: String,
    /// What the ticket admits to.
    pub admission: String,
    /// Expiry time.
    pub expires_at: Timestamp,
}

/// What a page's key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesktopKey {
    /// Hash of the ticket that opened the page.
    pub page_hash: SecretHash,
    /// What the key admits to.
    pub admission: String,
    /// Expiry time.
    pub expires_at: Timestamp,
}

impl Reader<'_> {
    /// Number of tickets and keys of a tenant; of one caller, or of all.
    pub fn desktop_ticket_count(&self, tenant: TenantId, caller: Option<&str>) -> Result<usize, StoreError> {
        let count: i64 = match caller {
            Some(caller) => self.value(
                "SELECT count(*) FROM desktop_tickets WHERE tenant_id = ?1 AND caller = ?2",
                params![tenant.0, caller],
            )?,
            None => self.value("SELECT count(*) FROM desktop_tickets WHERE tenant_id = ?1", params![tenant.0])?,
        };
        Ok(usize::try_from(count).unwrap_or(0))
    }
}

impl Tx<'_> {
    /// Deletes expired tickets and keys.
    pub fn desktop_tickets_expire(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM desktop_tickets WHERE expires_at <= ?1", params![now.0])?;
        Ok(())
    }

    /// Adds a ticket.
    pub fn desktop_ticket_insert(&mut self, ticket: &DesktopTicket) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO desktop_tickets (hash, tenant_id, caller, admission, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![ticket.hash, ticket.tenant_id.0, ticket.caller, ticket.admission, ticket.expires_at.0],
        )?;
        Ok(())
    }

    /// Redeems a ticket for the key of its page, valid until `expires_at`; returns what it admits
    /// to. None if it was redeemed before, has expired or never existed.
    pub fn desktop_ticket_open(
        &mut self,
        hash: SecretHash,
        key_hash: SecretHash,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        self.row(
            "UPDATE desktop_tickets SET hash = ?2, page_hash = ?1, expires_at = ?4
             WHERE hash = ?1 AND page_hash IS NULL AND expires_at > ?3 RETURNING admission",
            params![hash, key_hash, now.0, expires_at.0],
            |row| Columns::new(row, TABLE).get(),
        )
    }

    /// Redeems the key of a page, even an expired one.
    pub fn desktop_key_take(&mut self, hash: SecretHash) -> Result<Option<DesktopKey>, StoreError> {
        self.row(
            "DELETE FROM desktop_tickets WHERE hash = ?1 AND page_hash IS NOT NULL RETURNING page_hash, admission, expires_at",
            params![hash],
            |row| {
                let mut columns = Columns::new(row, TABLE);
                Ok(DesktopKey { page_hash: columns.get()?, admission: columns.get()?, expires_at: columns.time()? })
            },
        )
    }
}
