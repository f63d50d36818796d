//! The device code flow (RFC 8628): a client shows a code, and a user enters it on the page
//! `/devicelogin`, sees the requested permissions, and signs in.
//!
//! The store holds hashes of codes, so that codes survive a restart and cannot be redeemed by
//! someone who reads the database.

mod page;

use cloudpc_model::{AppId, Error, Rng, TenantId, Timestamp, UserId};
use cloudpc_store::{DeviceCode, DeviceCodeShare, StoreError, Tx};
use sha2::{Digest, Sha256};
use std::time::Duration;

use super::attempts::{self, PEER_WINDOW};
use super::delegated::Scopes;
use super::directory::{PublicClient, TenantPath};
use super::oauth::OAuthError;
use super::sign_in::{SignInRefusal, check_peer_attempts};
use super::{Identity, random_text};
use crate::request::Peer;

pub(super) use page::routes;

/// Lifetime of a code.
pub(super) const CODE_LIFETIME: Duration = Duration::from_mins(15);
/// Limit of pending codes. Beyond it, the peer with the most codes loses its least recently polled
/// one.
pub(super) const CODES_MAX: u64 = 1_000;
/// Limit of pending codes for each client. Beyond it, the peer with the most codes of the client
/// loses one.
pub(super) const CODES_PER_CLIENT_MAX: u64 = 500;
/// Limit of pending codes for each peer. Beyond it, the peer loses its least recently polled code
/// without a sign-in attempt. Codes with an attempt stay until they expire, so that a peer cannot
/// get new attempts by requesting new codes.
pub(super) const CODES_PER_PEER_MAX: u64 = 50;
/// Number of a peer's codes that other peers cannot evict while they are polled or wait to be
/// redeemed.
pub(super) const CODES_PER_PEER_PROTECTED: u64 = 5;
/// Limit of codes that a peer can request within [`PEER_WINDOW`], including evicted, expired and
/// redeemed ones. It bounds how much an anonymous client can write to the store.
pub(super) const CODES_PER_PEER_WINDOW_MAX: u64 = 100;
/// `Retry-After` when all codes are in use.
const CODES_IN_USE_RETRY_AFTER: Duration = Duration::from_mins(1);
/// Shortest interval between two polls of a client.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Longest interval that a client which polls too often is slowed down to.
pub(super) const POLL_INTERVAL_MAX: Duration = Duration::from_mins(1);
/// Limit of sign-in attempts with one code.
pub(super) const CODE_ATTEMPTS_MAX: u32 = 5;
/// Size limit of a code's scope, in bytes.
pub(super) const CODE_SCOPE_BYTES_MAX: usize = 4 * 1024;

/// The letters of a user code: no vowels, so that codes never form words, and no letters that look
/// alike.
const USER_CODE_LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

/// A new user code and its device code.
pub(super) struct StartedCode {
    pub(super) user_code: String,
    pub(super) device_code: String,
}

/// The result of a redeemed code: the user who signed in, and the requested scope.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redeemed {
    pub(super) tenant_id: TenantId,
    pub(super) user_id: UserId,
    pub(super) scope: String,
}

/// The client of a code, and the permissions that it requests.
pub(super) struct CodeRequest {
    pub(super) client_name: String,
    pub(super) scopes: Scopes,
}

impl Identity {
    /// Creates a user code and its device code.
    pub(super) async fn start_device_code(
        &self,
        peer: Peer,
        tenant: TenantPath,
        client: PublicClient,
        scope: &str,
    ) -> Result<StartedCode, OAuthError> {
        if scope.len() > CODE_SCOPE_BYTES_MAX {
            let problem = format!(
                "The scope has {} bytes. The maximum is {CODE_SCOPE_BYTES_MAX}. Request fewer permissions.",
                scope.len()
            );
            return Err(OAuthError::new("invalid_scope", 70_011, problem));
        }
        let now = self.clock.now();
        loop {
            let started = StartedCode {
                user_code: new_user_code(self.rng.as_ref()),
                device_code: random_text(self.rng.as_ref()),
            };
            let code = DeviceCode {
                tenant_id: tenant.id(),
                device_code: code_hash(&started.device_code),
                user_code: code_hash(&started.user_code),
                client_id: client.id,
                client_name: client.name.clone(),
                peer: peer.0.to_string(),
                scope: scope.to_owned(),
                attempts: 0,
                declined: false,
                user: None,
                interval: POLL_INTERVAL,
                polled_at: None,
                seen_at: now,
                expires_at: now + CODE_LIFETIME,
            };
            let stored = self.store.write("deviceCode.start", move |tx| {
                tx.device_codes_sweep(now)?;
                if tx.device_code_by_user_code(&code.user_code, now)?.is_some() {
                    return Ok(Ok(false));
                }
                if let Err(refused) = make_room(tx, code.client_id, peer, now)? {
                    return Ok(Err(refused));
                }
                tx.device_code_put(&code)?;
                Ok::<_, Error>(Ok(true))
            });
            if stored.await?? {
                return Ok(started);
            }
        }
    }

    /// Redeems a device code, once.
    pub(super) async fn redeem(
        &self,
        device_code: &str,
        tenant: TenantPath,
        client_id: &str,
    ) -> Result<Redeemed, OAuthError> {
        let unknown = || {
            let problem = "The device code is unknown, expired or already redeemed. Request a new one.";
            OAuthError::new("expired_token", 70_020, problem)
        };
        let client: AppId = client_id.parse().map_err(|_| unknown())?;
        let (hash, now) = (code_hash(device_code), self.clock.now());
        self.store
            .write("deviceCode.poll", move |tx| {
                let code = tx.device_code(&hash, now)?.filter(|code| code.client_id == client);
                Ok::<_, Error>(match code {
                    Some(code) => poll(tx, code, tenant, now)?,
                    None => Err(unknown()),
                })
            })
            .await?
    }

    /// Returns the request of the client that shows `user_code`.
    pub(super) async fn code_request(&self, peer: Peer, user_code: &str) -> Result<CodeRequest, SignInRefusal> {
        let (hash, now) = (code_hash(user_code), self.clock.now());
        let code =
            self.store.write("deviceCode.enter", move |tx| Ok::<_, Error>(enterable(tx, peer, &hash, now)?)).await??;
        let scopes = self.scopes(&code.scope).map_err(|_| SignInRefusal::Code)?;
        Ok(CodeRequest { client_name: code.client_name, scopes })
    }

    /// Declines the request of the client that shows `user_code`. No sign-in is needed, because
    /// declining does no more harm than never entering the code.
    pub(super) async fn decline(&self, peer: Peer, user_code: &str) -> Result<(), SignInRefusal> {
        let (hash, now) = (code_hash(user_code), self.clock.now());
        self.store
            .write("deviceCode.decline", move |tx| {
                let code = enterable(tx, peer, &hash, now)?;
                if let Ok(code) = &code {
                    tx.device_code_put(&DeviceCode { declined: true, ..code.clone() })?;
                }
                Ok::<_, Error>(code.map(drop))
            })
            .await?
    }
}

/// Returns the hash by which a code is stored.
pub(super) fn code_hash(code: &str) -> [u8; 32] {
    Sha256::digest(code).into()
}

/// Returns a code that is still open for sign-in. An invalid code counts as an attempt of the peer.
pub(super) fn enterable(
    tx: &mut Tx<'_>,
    peer: Peer,
    user_code: &[u8; 32],
    now: Timestamp,
) -> Result<Result<DeviceCode, SignInRefusal>, StoreError> {
    if let Err(refusal) = check_peer_attempts(tx, peer, now)? {
        return Ok(Err(refusal));
    }
    let code = tx
        .device_code_by_user_code(user_code, now)?
        .filter(|code| code.user.is_none() && !code.declined && code.attempts < CODE_ATTEMPTS_MAX);
    if code.is_none() {
        tx.sign_in_count_add(&attempts::of_peer(peer), now)?;
    }
    Ok(code.ok_or(SignInRefusal::Code))
}

/// Makes room for one more code within each limit, and counts the code.
fn make_room(tx: &mut Tx<'_>, client: AppId, peer: Peer, now: Timestamp) -> Result<Result<(), OAuthError>, StoreError> {
    let started = attempts::codes_of_peer(peer);
    if tx.sign_in_count(&started, now)? >= CODES_PER_PEER_WINDOW_MAX {
        let minutes = PEER_WINDOW.as_secs() / 60;
        let problem = format!(
            "This address has requested {CODES_PER_PEER_WINDOW_MAX} device codes within {minutes} minutes, which is the maximum. \
             Try again in {minutes} minutes."
        );
        return Ok(Err(OAuthError::too_many(PEER_WINDOW, problem)));
    }
    let own = peer.0.to_string();
    if tx.device_code_count(DeviceCodeShare::Peer(&own))? >= CODES_PER_PEER_MAX
        && !tx.device_code_evict_untried(&own)?
    {
        let problem = format!(
            "This address has {CODES_PER_PEER_MAX} unexpired device codes with sign-in attempts, which is the maximum. \
             Try again in {} minutes.",
            CODE_LIFETIME.as_secs() / 60
        );
        return Ok(Err(OAuthError::too_many(CODE_LIFETIME, problem)));
    }
    for (share, max) in
        [(DeviceCodeShare::Client(client), CODES_PER_CLIENT_MAX), (DeviceCodeShare::Installation, CODES_MAX)]
    {
        if tx.device_code_count(share)? >= max
            && !tx.device_code_evict_from_largest_peer(share, CODES_PER_PEER_PROTECTED, now)?
        {
            let problem = format!(
                "All {max} device codes are in use. Try again in {} seconds.",
                CODES_IN_USE_RETRY_AFTER.as_secs()
            );
            return Ok(Err(OAuthError::too_many(CODES_IN_USE_RETRY_AFTER, problem)));
        }
    }
    tx.sign_in_count_add(&started, now)?;
    Ok(Ok(()))
}

/// Returns a random code for a person. Another one may have it already.
fn new_user_code(rng: &dyn Rng) -> String {
    (0..8)
        .map(|_| {
            let at = rng.below(USER_CODE_LETTERS.len() as u64);
            char::from(USER_CODE_LETTERS[usize::try_from(at).expect("it is below the number of letters")])
        })
        .collect()
}

/// Handles a poll for a known code.
fn poll(
    tx: &mut Tx<'_>,
    mut code: DeviceCode,
    tenant: TenantPath,
    now: Timestamp,
) -> Result<Result<Redeemed, OAuthError>, StoreError> {
    if let Some((tenant_id, user_id)) = code.user {
        tx.device_code_delete(&code.device_code)?;
        if matches!(tenant, TenantPath::One(id) if id != tenant_id) {
            let problem = "The user who signed in belongs to another tenant. Request a new code at the user's tenant.";
            return Ok(Err(OAuthError::new("invalid_grant", 70_000, problem)));
        }
        return Ok(Ok(Redeemed { tenant_id, user_id, scope: code.scope }));
    }
    if code.declined {
        return Ok(Err(OAuthError::new("access_denied", 65_004, "The user declined to sign in.")));
    }
    if code.attempts >= CODE_ATTEMPTS_MAX {
        let problem = format!(
            "Sign-in with the code failed {CODE_ATTEMPTS_MAX} times, which is the maximum. Request a new code."
        );
        return Ok(Err(OAuthError::new("access_denied", 65_004, problem)));
    }
    let error = if code.polled_at.is_some_and(|at| now.since(at) < code.interval) {
        code.interval = POLL_INTERVAL_MAX.min(code.interval + POLL_INTERVAL);
        let problem = format!("The client polls too often. Wait {} seconds between polls.", code.interval.as_secs());
        OAuthError::new("slow_down", 70_016, problem)
    } else {
        OAuthError::new("authorization_pending", 70_016, "The code has not been entered yet. Poll again.")
    };
    (code.polled_at, code.seen_at) = (Some(now), now);
    tx.device_code_put(&code)?;
    Ok(Err(error))
}
