//! Single-use tickets: a ticket opens one page within a minute, and the page's key opens one
//! WebSocket.
//!
//! A ticket is random text, and the store keeps its hash: tickets cannot be forged, survive a
//! restart, and cannot be read from the database. This module refuses to know how an admission is
//! checked.

use cloudpc_model::{Clock, Rng};
use cloudpc_store::{DesktopTicket, SecretHash, Store, StoreError};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

use super::DesktopAdmission;
use crate::identity::random_text;

/// Lifetime of a ticket until its page is opened, and of a page's key until its WebSocket is
/// opened.
pub const TICKET_TIME_MAX: Duration = Duration::from_secs(60);

/// Limit of unused tickets and keys for each caller.
pub const CALLER_TICKETS_MAX: usize = 500;

/// Limit of unused tickets and keys for each tenant.
pub const TENANT_TICKETS_MAX: usize = 4_000;

/// Why no ticket was issued.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// The caller has [`CALLER_TICKETS_MAX`] unused tickets.
    #[error(
        "You have {max} unused desktop URLs, which is the maximum. Open them, or wait until they expire after {} seconds.",
        TICKET_TIME_MAX.as_secs(),
        max = CALLER_TICKETS_MAX
    )]
    CallerLimit,
    /// The tenant has [`TENANT_TICKETS_MAX`] unused tickets.
    #[error("Your tenant has {max} unused desktop URLs, which is the maximum. Try again later.", max = TENANT_TICKETS_MAX)]
    TenantLimit,
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tickets of all tenants.
pub struct Tickets {
    store: Store,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Tickets {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { store, clock, rng }
    }

    /// Issues a ticket, as text that is safe in a URL.
    ///
    /// # Errors
    /// [`TicketError`]; existing tickets stay valid.
    pub async fn issue(&self, admission: &DesktopAdmission) -> Result<String, TicketError> {
        let text = random_text(self.rng.as_ref());
        let now = self.clock.now();
        let ticket = DesktopTicket {
            hash: hash(&text),
            tenant_id: admission.caller.tenant_id,
            caller: admission.caller.share_key(),
            admission: serde_json::to_string(admission).expect("an admission serializes to JSON"),
            expires_at: now + TICKET_TIME_MAX,
        };
        self.store
            .write("desktopTicket.issue", move |tx| {
                tx.desktop_tickets_expire(now)?;
                let count = |caller| tx.desktop_ticket_count(ticket.tenant_id, caller);
                if count(Some(&*ticket.caller))? >= CALLER_TICKETS_MAX {
                    return Err(TicketError::CallerLimit);
                }
                if count(None)? >= TENANT_TICKETS_MAX {
                    return Err(TicketError::TenantLimit);
                }
                Ok(tx.desktop_ticket_insert(&ticket)?)
            })
            .await?;
        Ok(text)
    }

    /// Redeems a ticket; returns its admission and the key of its page. None: the ticket was
    /// already used, has expired or is invalid.
    ///
    /// # Errors
    /// The store fails.
    pub async fn open_page(&self, ticket: &str) -> Result<Option<(DesktopAdmission, String)>, StoreError> {
        let key = random_text(self.rng.as_ref());
        let (ticket_hash, key_hash, now) = (hash(ticket), hash(&key), self.clock.now());
        let opened = self
            .store
            .write("desktopTicket.redeem", move |tx| {
                tx.desktop_ticket_open(ticket_hash, key_hash, now, now + TICKET_TIME_MAX)
            })
            .await?;
        Ok(opened.and_then(|admission| Some((read(&admission)?, key))))
    }

    /// Redeems the key of a page, even if it is presented for another page; returns its admission.
    /// None: the key was already used, has expired or belongs to another page.
    ///
    /// # Errors
    /// The store fails.
    pub async fn open_screen(&self, ticket: &str, key: &str) -> Result<Option<DesktopAdmission>, StoreError> {
        let (page_hash, key_hash) = (hash(ticket), hash(key));
        let taken = self.store.write("desktopKey.redeem", move |tx| tx.desktop_key_take(key_hash)).await?;
        let valid = taken.filter(|key| key.page_hash == page_hash && self.clock.now() < key.expires_at);
        Ok(valid.and_then(|key| read(&key.admission)))
    }
}

fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret).into()
}

/// Parses a stored admission; none if another version of this program stored it in another format.
fn read(admission: &str) -> Option<DesktopAdmission> {
    serde_json::from_str(admission)
        .inspect_err(|error| tracing::warn!(%error, "parsing a stored desktop admission failed"))
        .ok()
}

#[cfg(test)]
mod tests;
