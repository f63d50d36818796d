//! Tickets: each opens one page, once and soon, and the page's key one WebSocket.
//!
//! A ticket is random text of which the store keeps the hash, so that none can be forged, none is
//! lost by a restart, and none can be read from the database. This module refuses to know how an
//! admission is checked.

use cloudpc_model::{Clock, Rng};
use cloudpc_store::{DesktopTicket, SecretHash, Store, StoreError};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

use super::DesktopAdmission;
use crate::identity::random_text;

/// Lifetime of a ticket until its page is opened, and of a page's key until its WebSocket is.
pub const TICKET_TIME_MAX: Duration = Duration::from_secs(60);

/// Unused tickets and keys of one caller.
pub const CALLER_TICKETS_MAX: usize = 500;

/// Unused tickets and keys of one tenant.
pub const TENANT_TICKETS_MAX: usize = 4_000;

/// Why there is no ticket.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// The caller has as many as it may have.
    #[error(
        "You have {max} desktop addresses that were not opened yet, which is the limit. Open them, or wait until they expire after {} seconds.",
        TICKET_TIME_MAX.as_secs(),
        max = CALLER_TICKETS_MAX
    )]
    CallerLimit,
    /// The tenant has.
    #[error("Your tenant has {max} desktop addresses that were not opened yet, which is the limit. Try again later.", max = TENANT_TICKETS_MAX)]
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

    /// A new ticket, as text that is safe in a URL.
    ///
    /// # Errors
    /// [`TicketError`]; those of others stay good.
    pub async fn issue(&self, admission: &DesktopAdmission) -> Result<String, TicketError> {
        let text = random_text(self.rng.as_ref());
        let now = self.clock.now();
        let ticket = DesktopTicket {
            hash: hash(&text),
            tenant_id: admission.caller.tenant_id,
            caller: admission.caller.share_key(),
            admission: serde_json::to_string(admission).expect("an admission is plain data"),
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

    /// Uses a ticket up; returns what it admits to, and the key of its page. None if it was used
    /// before, has expired or never was one.
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

    /// Uses the key of a page up, even if it is shown for another page; returns what it admits to.
    /// None if it was used before, has expired or is not this page's.
    ///
    /// # Errors
    /// The store fails.
    pub async fn open_screen(&self, ticket: &str, key: &str) -> Result<Option<DesktopAdmission>, StoreError> {
        let (page_hash, key_hash) = (hash(ticket), hash(key));
        let taken = self.store.write("desktopKey.redeem", move |tx| tx.desktop_key_take(key_hash)).await?;
        let good = taken.filter(|key| key.page_hash == page_hash && self.clock.now() < key.expires_at);
        Ok(good.and_then(|key| read(&key.admission)))
    }
}

fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret).into()
}

/// An admission as it was stored; none if another version of this program has stored it in another
/// form.
fn read(admission: &str) -> Option<DesktopAdmission> {
    serde_json::from_str(admission).inspect_err(|error| tracing::warn!(%error, "read the admission of a desktop")).ok()
}

#[cfg(test)]
mod tests;
