//! Limits of authentication attempts. An attempt is counted before its password or secret is
//! checked, in the transaction that admits it, so that concurrent attempts cannot exceed the limit.
//!
//! One peer cannot lock out others: each peer has its own attempts on a name. Many peers together
//! are slowed down to one attempt each, so that the right password from a peer without failures
//! still signs in.

use cloudpc_model::{TenantId, Timestamp};
use cloudpc_store::{Reader, SignInCounter, StoreError, Tx, User};
use sha2::{Digest, Sha256};
use std::time::Duration;

use crate::request::Peer;

/// Window in which attempts of one peer are counted.
pub(super) const PEER_WINDOW: Duration = Duration::from_mins(15);
/// Window in which attempts of all peers on one user or application are counted.
pub(super) const SUBJECT_WINDOW: Duration = Duration::from_hours(24);
/// Limit of sign-ins and invalid codes for each peer within [`PEER_WINDOW`], for all users
/// together. Successful ones are refunded.
pub(super) const PEER_ATTEMPTS_MAX: u64 = 100;
/// Limit of successful sign-ins of one user, and of one peer, within [`PEER_WINDOW`]. Beyond it, a
/// sign-in fails like a wrong password, or the peer is refused.
pub(super) const SUCCESSES_MAX: u64 = 100;

/// Limits of attempts on one kind of subject.
pub(super) struct AttemptLimits {
    kind: &'static str,
    /// Limit of attempts of one peer on one subject within [`PEER_WINDOW`].
    pub(super) peer_max: u64,
    /// Number of attempts of all peers on one subject within [`SUBJECT_WINDOW`] after which each
    /// peer has [`AttemptLimits::slowed_max`] attempts.
    pub(super) subject_max: u64,
    /// See [`AttemptLimits::subject_max`].
    pub(super) slowed_max: u64,
}

/// Limits of password attempts on one user.
pub(super) const PASSWORD_ATTEMPTS: AttemptLimits =
    AttemptLimits { kind: "password", peer_max: 10, subject_max: 100, slowed_max: 1 };

/// Limits of secret attempts on one application. Only wrong secrets count. The limits are higher
/// because programs with an old secret may share an address with programs that have the new one;
/// generated secrets are too long to guess.
pub(super) const SECRET_ATTEMPTS: AttemptLimits =
    AttemptLimits { kind: "secret", peer_max: 100, subject_max: 1_000, slowed_max: 1 };

/// The attempts of one peer on one user or application.
#[derive(Clone, Copy)]
pub(super) struct Attempts {
    limits: &'static AttemptLimits,
    of_peer: SignInCounter,
    of_all: SignInCounter,
}

impl Attempts {
    /// Returns the attempts of `peer` on `name` in the tenant. The name need not exist, so that the
    /// limits do not reveal which names exist.
    pub(super) fn on(limits: &'static AttemptLimits, tenant_id: Option<TenantId>, name: &str, peer: Peer) -> Self {
        let counter = |window, subject| SignInCounter { tenant_id, subject, window };
        Self {
            limits,
            of_peer: counter(PEER_WINDOW, subject(&[limits.kind, name, &peer.0.to_string()])),
            of_all: counter(SUBJECT_WINDOW, subject(&[limits.kind, name])),
        }
    }

    /// Whether another attempt is allowed.
    pub(super) fn is_allowed(&self, reader: &Reader<'_>, now: Timestamp) -> Result<bool, StoreError> {
        let slowed = reader.sign_in_count(&self.of_all, now)? >= self.limits.subject_max;
        let max = if slowed { self.limits.slowed_max } else { self.limits.peer_max };
        Ok(reader.sign_in_count(&self.of_peer, now)? < max)
    }

    /// Counts an attempt.
    pub(super) fn count(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
        tx.sign_in_count_add(&self.of_peer, now)?;
        tx.sign_in_count_add(&self.of_all, now)?;
        Ok(())
    }

    /// Refunds the attempts of this peer after a success; returns their number.
    pub(super) fn refund(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<u64, StoreError> {
        let own = tx.sign_in_count(&self.of_peer, now)?;
        if own > 0 {
            tx.sign_in_count_subtract(&self.of_peer, own)?;
            tx.sign_in_count_subtract(&self.of_all, own)?;
        }
        Ok(own)
    }
}

/// Returns the counter of all attempts of a peer; see [`PEER_ATTEMPTS_MAX`].
pub(super) fn of_peer(peer: Peer) -> SignInCounter {
    SignInCounter { tenant_id: None, subject: subject(&["peer", &peer.0.to_string()]), window: PEER_WINDOW }
}

/// Returns the counter of all device codes that a peer has requested.
pub(super) fn codes_of_peer(peer: Peer) -> SignInCounter {
    SignInCounter { tenant_id: None, subject: subject(&["codes", &peer.0.to_string()]), window: PEER_WINDOW }
}

/// Returns the counter of a peer's successful sign-ins; see [`SUCCESSES_MAX`].
pub(super) fn successes_of_peer(peer: Peer) -> SignInCounter {
    SignInCounter { tenant_id: None, subject: subject(&["successes", &peer.0.to_string()]), window: PEER_WINDOW }
}

/// Returns the counter of a user's successful sign-ins; see [`SUCCESSES_MAX`].
pub(super) fn successes_of_user(user: &User) -> SignInCounter {
    let subject = subject(&["successes of user", &user.id.to_string()]);
    SignInCounter { tenant_id: Some(user.tenant_id), subject, window: PEER_WINDOW }
}

/// Returns the hash that identifies a counter. Each part is preceded by its length, so that
/// different lists of parts never give the same input.
pub(super) fn subject(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
