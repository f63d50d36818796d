//! Limits of attempts to prove who one is. An attempt is counted before its proof is looked at, in
//! the transaction that allows it, so however many are made at once, no more than the limit are
//! looked at.
//!
//! A stranger can use up only what is theirs: each peer has its own attempts on a name, whatever
//! others do. Many peers together are slowed down to one attempt each, so that the right password
//! from a peer that has not failed still signs in.

use cloudpc_model::{TenantId, Timestamp};
use cloudpc_store::{Reader, SignInCounter, StoreError, Tx, User};
use sha2::{Digest, Sha256};
use std::time::Duration;

use crate::request::Peer;

/// How long the attempts of one peer count.
pub(super) const PEER_WINDOW: Duration = Duration::from_mins(15);
/// How long the attempts of all peers on one user or application count.
pub(super) const SUBJECT_WINDOW: Duration = Duration::from_hours(24);
/// Sign-ins and wrong codes of one peer within [`PEER_WINDOW`], whatever users they are for. Those
/// that succeed are given back.
pub(super) const PEER_ATTEMPTS_MAX: u64 = 100;
/// Sign-ins of one user, and of one peer, that succeed within [`PEER_WINDOW`]. One more fails like
/// a wrong password, or the peer is refused.
pub(super) const SUCCESSES_MAX: u64 = 100;

/// What attempts are made on, and how many are allowed.
pub(super) struct AttemptLimits {
    kind: &'static str,
    /// Attempts of one peer on one subject within [`PEER_WINDOW`].
    pub(super) peer_max: u64,
    /// Attempts of all peers on one subject within [`SUBJECT_WINDOW`], after which each peer has
    /// [`AttemptLimits::slowed_max`].
    pub(super) subject_max: u64,
    /// See [`AttemptLimits::subject_max`].
    pub(super) slowed_max: u64,
}

/// Passwords of one user.
pub(super) const PASSWORD_ATTEMPTS: AttemptLimits =
    AttemptLimits { kind: "password", peer_max: 10, subject_max: 100, slowed_max: 1 };

/// Secrets of one application. Only wrong ones count. Several programs with one id and an old
/// secret may share an address with those that have the new one, so more are allowed; secrets made
/// here are too long to be guessed.
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
    /// Those of `peer` on what `tenant` calls `name`. It need not exist, so that nobody learns from
    /// the limits what does.
    pub(super) fn on(limits: &'static AttemptLimits, tenant_id: Option<TenantId>, name: &str, peer: Peer) -> Self {
        let counter = |window, subject| SignInCounter { tenant_id, subject, window };
        Self {
            limits,
            of_peer: counter(PEER_WINDOW, subject(&[limits.kind, name, &peer.0.to_string()])),
            of_all: counter(SUBJECT_WINDOW, subject(&[limits.kind, name])),
        }
    }

    /// Whether another one is allowed.
    pub(super) fn is_allowed(&self, reader: &Reader<'_>, now: Timestamp) -> Result<bool, StoreError> {
        let slowed = reader.sign_in_count(&self.of_all, now)? >= self.limits.subject_max;
        let max = if slowed { self.limits.slowed_max } else { self.limits.peer_max };
        Ok(reader.sign_in_count(&self.of_peer, now)? < max)
    }

    /// Counts one.
    pub(super) fn count(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
        tx.sign_in_count_add(&self.of_peer, now)?;
        tx.sign_in_count_add(&self.of_all, now)?;
        Ok(())
    }

    /// Gives back those of this peer, which has proved who it is; returns how many.
    pub(super) fn give_back(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<u64, StoreError> {
        let own = tx.sign_in_count(&self.of_peer, now)?;
        if own > 0 {
            tx.sign_in_count_subtract(&self.of_peer, own)?;
            tx.sign_in_count_subtract(&self.of_all, own)?;
        }
        Ok(own)
    }
}

/// The counter of all that a peer has tried; see [`PEER_ATTEMPTS_MAX`].
pub(super) fn of_peer(peer: Peer) -> SignInCounter {
    SignInCounter { tenant_id: None, subject: subject(&["peer", &peer.0.to_string()]), window: PEER_WINDOW }
}

/// The counter of all device codes that a peer has asked for.
pub(super) fn codes_of_peer(peer: Peer) -> SignInCounter {
    SignInCounter { tenant_id: None, subject: subject(&["codes", &peer.0.to_string()]), window: PEER_WINDOW }
}

/// The counter of the sign-ins of a peer that succeeded; see [`SUCCESSES_MAX`].
pub(super) fn successes_of_peer(peer: Peer) -> SignInCounter {
    SignInCounter { tenant_id: None, subject: subject(&["successes", &peer.0.to_string()]), window: PEER_WINDOW }
}

/// The counter of the sign-ins of a user that succeeded; see [`SUCCESSES_MAX`].
pub(super) fn successes_of_user(user: &User) -> SignInCounter {
    let subject = subject(&["successes of user", &user.id.to_string()]);
    SignInCounter { tenant_id: Some(user.tenant_id), subject, window: PEER_WINDOW }
}

/// The hash by which something is counted. Each part is preceded by its length, so that no two
/// lists of parts give the same text.
pub(super) fn subject(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
