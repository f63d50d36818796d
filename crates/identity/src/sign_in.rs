//! Sign-in of a user with user name and password, for a client that shows a code or waits for a
//! redirect.
//!
//! A sign-in takes a place, waits for its turn, counts its attempts, and only then checks the
//! password. Status, message and work are the same whether the user does not exist, is disabled,
//! has no attempts left, or has another password.

use cloudpc_model::{Error, TenantId, Timestamp};
use cloudpc_store::{StoreError, Tx, User};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

use super::Identity;
use super::attempts::{self, Attempts, PASSWORD_ATTEMPTS, PEER_ATTEMPTS_MAX, PEER_WINDOW, SUCCESSES_MAX};
use super::audit::{Principal, SignInSource};
use super::authorize::AuthorizationRequest;
use super::device::enterable;
use super::directory::users_named;
use crate::request::Peer;

/// Limit of sign-ins that are checked or waiting. Beyond it, a peer without a place displaces a
/// waiting sign-in of a peer with several; others are refused. Sign-ins therefore hold at most this
/// many places for requests.
pub(super) const SIGN_INS_MAX: usize = 32;
/// Limit of sign-ins that are checked or waiting, for each peer.
pub(super) const SIGN_INS_PER_PEER_MAX: usize = 4;
/// `Retry-After` of a sign-in that was refused for [`SIGN_INS_MAX`].
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a sign-in was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignInRefusal {
    /// The code is unknown, expired or already used.
    Code,
    /// The user name or the password is wrong, or there were too many attempts.
    NameOrPassword,
    /// A limit of this peer or of all peers was reached; holds the time to wait before a retry.
    TooMany(Duration),
    /// The service failed.
    Service,
}

/// A sign-in as submitted by the page's form.
pub(super) struct SignIn<'a> {
    pub(super) peer: Peer,
    pub(super) request_id: &'a str,
    pub(super) target: SignInTarget,
    pub(super) user_name: &'a str,
    pub(super) password: &'a str,
}

/// What a sign-in is for.
#[derive(Clone)]
pub(super) enum SignInTarget {
    /// The client that shows a user code, of which this is the hash.
    DeviceCode([u8; 32]),
    /// A client that waits for a redirect.
    Redirect(AuthorizationRequest),
}

/// Places for sign-ins, with a limit for each peer.
#[derive(Default)]
pub(super) struct SignInPlaces(Arc<Mutex<SignInPlaceTable>>);

#[derive(Default)]
struct SignInPlaceTable {
    /// Places in the order in which they were taken.
    taken: Vec<TakenPlace>,
    last_number: u64,
}

struct TakenPlace {
    number: u64,
    peer: Peer,
    /// Dropping this sender displaces the waiting sign-in. None: its check has started.
    waiting: Option<oneshot::Sender<()>>,
}

/// A place, held until it is dropped.
pub(super) struct SignInPlace {
    places: Arc<Mutex<SignInPlaceTable>>,
    number: u64,
    displaced: oneshot::Receiver<()>,
}

/// A user with the given name, or a placeholder if there is none.
struct Candidate {
    /// The tenant of the user, or the tenant of the code.
    tenant: Option<TenantId>,
    user: Option<User>,
    attempts: Attempts,
    /// Whether the attempt is within its limits; otherwise every password is rejected.
    allowed: bool,
}

impl SignInPlaces {
    /// Takes a place; none if all places or the peer's are taken.
    pub(super) fn take(&self, peer: Peer) -> Option<SignInPlace> {
        let mut places = lock(&self.0);
        let own = places.of(peer);
        let is_full = places.taken.len() >= SIGN_INS_MAX;
        if own >= SIGN_INS_PER_PEER_MAX || (is_full && (own > 0 || !places.displace())) {
            return None;
        }
        places.last_number += 1;
        let (number, (waiting, displaced)) = (places.last_number, oneshot::channel());
        places.taken.push(TakenPlace { number, peer, waiting: Some(waiting) });
        Some(SignInPlace { places: Arc::clone(&self.0), number, displaced })
    }
}

impl SignInPlaceTable {
    fn of(&self, peer: Peer) -> usize {
        self.taken.iter().filter(|place| place.peer == peer).count()
    }

    /// Displaces the newest waiting sign-in of the peer with the most places, if the peer has more
    /// than one.
    fn displace(&mut self) -> bool {
        let waiting = self.taken.iter().enumerate().filter(|(_, place)| place.waiting.is_some());
        let newest = waiting.map(|(at, place)| (self.of(place.peer), at)).max();
        match newest {
            Some((own, at)) if own > 1 => {
                self.taken.remove(at);
                true
            }
            _ => false,
        }
    }
}

impl SignInPlace {
    /// Waits for `turn`, after which the place can no longer be displaced. None: the place was
    /// displaced before.
    pub(super) async fn wait_for<T>(&mut self, turn: impl Future<Output = T>) -> Option<T> {
        let turn = tokio::select! {
            turn = turn => turn,
            _ = &mut self.displaced => return None,
        };
        let mut places = lock(&self.places);
        let place = places.taken.iter_mut().find(|place| place.number == self.number)?;
        place.waiting = None;
        Some(turn)
    }
}

impl Candidate {
    /// Records the failed sign-in with its reason, which the user does not see.
    fn record_failure(&self, tx: &mut Tx<'_>, source: &SignInSource) -> Result<(), StoreError> {
        let reason = match &self.user {
            _ if !self.allowed => "tooManyAttempts",
            None => "unknownUser",
            Some(user) if !user.enabled => "userDisabled",
            Some(_) => "wrongPassword",
        };
        let principal = self.user.as_ref().map_or(Principal::UnknownUser, Principal::User);
        source.failed(tx, self.tenant, principal, reason)
    }
}

impl Drop for SignInPlace {
    fn drop(&mut self) {
        lock(&self.places).taken.retain(|place| place.number != self.number);
    }
}

impl Identity {
    /// Signs a user in for the client that shows `user_code`; returns the client's name.
    pub(super) async fn sign_in(&self, sign_in: SignIn<'_>) -> Result<String, SignInRefusal> {
        let busy = SignInRefusal::TooMany(BUSY_RETRY_AFTER);
        let mut place = self.sign_in_places.take(sign_in.peer).ok_or(busy)?;
        let turn = place.wait_for(self.passwords.turn()).await.ok_or(busy)??;
        let (peer, target, now) = (sign_in.peer, sign_in.target, self.clock.now());
        let name = sign_in.user_name.trim().to_ascii_lowercase();
        let begun = target.clone();
        let candidates =
            self.store.write("signIn.begin", move |tx| Ok::<_, Error>(begin(tx, peer, &begun, &name, now)?)).await??;
        let mut signed_in = None;
        for candidate in &candidates {
            let user = candidate.user.as_ref().filter(|_| candidate.allowed);
            let hash = user.and_then(|user| user.password_hash.as_deref());
            let fits = self.passwords.fits(&turn, sign_in.password, hash).await?;
            if let Some(user) = user.filter(|user| fits && user.enabled) {
                signed_in = Some((user.clone(), candidate.attempts));
                break;
            }
        }
        let source = SignInSource { peer, request_id: sign_in.request_id.to_owned(), at: self.clock.now() };
        self.store
            .write("signIn.end", move |tx| {
                Ok::<_, Error>(match &signed_in {
                    Some((user, attempts)) => succeed(tx, &source, &target, user, attempts)?,
                    None => {
                        candidates.iter().try_for_each(|candidate| candidate.record_failure(tx, &source))?;
                        Err(SignInRefusal::NameOrPassword)
                    }
                })
            })
            .await?
    }
}

/// Returns the tenant of the users who can sign in, and counts an attempt of a device code. None:
/// any tenant.
fn enter(
    tx: &mut Tx<'_>,
    peer: Peer,
    target: &SignInTarget,
    now: Timestamp,
) -> Result<Result<Option<TenantId>, SignInRefusal>, StoreError> {
    match target {
        SignInTarget::DeviceCode(user_code) => {
            let mut code = match enterable(tx, peer, user_code, now)? {
                Ok(code) => code,
                Err(refusal) => return Ok(Err(refusal)),
            };
            code.attempts += 1;
            tx.device_code_put(&code)?;
            Ok(Ok(code.tenant_id))
        }
        SignInTarget::Redirect(request) => Ok(check_peer_attempts(tx, peer, now)?.map(|()| request.tenant.id())),
    }
}

/// Counts an attempt of the code, of the peer, and of each user with the given name.
fn begin(
    tx: &mut Tx<'_>,
    peer: Peer,
    target: &SignInTarget,
    name: &str,
    now: Timestamp,
) -> Result<Result<Vec<Candidate>, SignInRefusal>, StoreError> {
    if tx.sign_in_count(&attempts::successes_of_peer(peer), now)? >= SUCCESSES_MAX {
        return Ok(Err(SignInRefusal::TooMany(PEER_WINDOW)));
    }
    let tenant = match enter(tx, peer, target, now)? {
        Ok(tenant) => tenant,
        Err(refusal) => return Ok(Err(refusal)),
    };
    tx.sign_in_count_add(&attempts::of_peer(peer), now)?;
    let users = users_named(tx, tenant, name)?;
    let subjects: Vec<(Option<TenantId>, Option<User>)> = match users.is_empty() {
        true => vec![(tenant, None)],
        false => users.into_iter().map(|user| (Some(user.tenant_id), Some(user))).collect(),
    };
    let mut candidates = Vec::with_capacity(subjects.len());
    for (tenant, user) in subjects {
        let attempts = Attempts::on(&PASSWORD_ATTEMPTS, tenant, name, peer);
        let counted = attempts.is_allowed(tx, now)?;
        if counted {
            attempts.count(tx, now)?;
        }
        let successes = match &user {
            Some(user) => tx.sign_in_count(&attempts::successes_of_user(user), now)?,
            None => 0,
        };
        let allowed = counted && successes < SUCCESSES_MAX;
        candidates.push(Candidate { tenant, user, attempts, allowed });
    }
    Ok(Ok(candidates))
}

/// Refunds the attempts and stores who signed in; returns the client's name.
fn succeed(
    tx: &mut Tx<'_>,
    source: &SignInSource,
    target: &SignInTarget,
    user: &User,
    attempts: &Attempts,
) -> Result<Result<String, SignInRefusal>, StoreError> {
    let own = attempts.refund(tx, source.at)?;
    tx.sign_in_count_subtract(&attempts::of_peer(source.peer), own)?;
    let (client_id, client_name) = match target {
        SignInTarget::DeviceCode(user_code) => {
            // The attempts of the code are not checked: this attempt may be the last one that it
            // allows.
            let code = tx.device_code_by_user_code(user_code, source.at)?;
            let code = code.filter(|code| code.user.is_none() && !code.declined);
            let Some(mut code) = code else { return Ok(Err(SignInRefusal::Code)) };
            code.user = Some((user.tenant_id, user.id));
            tx.device_code_put(&code)?;
            (code.client_id, code.client_name)
        }
        SignInTarget::Redirect(request) => {
            tx.authorization_codes_sweep(source.at)?;
            tx.authorization_code_insert(&request.code(user, source.at))?;
            (request.client_id, request.client_name.clone())
        }
    };
    for successes in [attempts::successes_of_user(user), attempts::successes_of_peer(source.peer)] {
        tx.sign_in_count_add(&successes, source.at)?;
    }
    source.succeeded(tx, user, client_id, &client_name)?;
    Ok(Ok(client_name))
}

/// Refuses a peer that has no attempts left; see [`PEER_ATTEMPTS_MAX`].
pub(super) fn check_peer_attempts(
    tx: &Tx<'_>,
    peer: Peer,
    now: Timestamp,
) -> Result<Result<(), SignInRefusal>, StoreError> {
    let tried = tx.sign_in_count(&attempts::of_peer(peer), now)?;
    Ok(if tried < PEER_ATTEMPTS_MAX { Ok(()) } else { Err(SignInRefusal::TooMany(PEER_WINDOW)) })
}

fn lock(places: &Mutex<SignInPlaceTable>) -> MutexGuard<'_, SignInPlaceTable> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Error> for SignInRefusal {
    fn from(error: Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "checking a sign-in failed");
        Self::Service
    }
}
