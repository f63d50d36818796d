//! Password checks: a few at a time, in memory that is allocated once.
//!
//! An Argon2 check takes 19 MiB. The C library does not return such blocks to the system when they
//! are freed, separately for every thread that ran a check, so the blocks are pooled here and
//! reused.

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use cloudpc_model::{Error, Rng};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limit of concurrent password checks; each takes 19 MiB and tens of milliseconds of a core.
pub(super) const PASSWORD_CHECKS_MAX: usize = 2;
/// Length limit of a password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Memory of a check, in blocks of 1 KiB: the amount for hashes created here.
const CHECK_BLOCKS: usize = Params::DEFAULT_M_COST as usize;
/// Limit of passes over the memory that a stored hash can require. Scenarios can contain their own
/// hashes.
const CHECK_PASSES_MAX: u32 = 8;
/// The hash for unknown users, so that their check takes as long as that of known users. No
/// password matches it.
const UNKNOWN_USER: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Checks passwords against their hashes.
pub(super) struct PasswordChecks {
    pub(super) places: Arc<Semaphore>,
    memory: Arc<Memory>,
    #[cfg(test)]
    checks: std::sync::atomic::AtomicUsize,
}

/// Permission to run password checks, held until it is dropped and the running check has ended.
#[derive(Clone)]
pub(super) struct CheckTurn(#[expect(dead_code, reason = "held until dropped, never read")] Arc<OwnedSemaphorePermit>);

/// Pooled memory of finished checks.
#[derive(Default)]
struct Memory(Mutex<Vec<Box<[Block]>>>);

impl PasswordChecks {
    pub(super) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(PASSWORD_CHECKS_MAX)),
            memory: Arc::default(),
            #[cfg(test)]
            checks: Default::default(),
        }
    }

    /// Waits for a turn, first come, first served.
    pub(super) async fn turn(&self) -> Result<CheckTurn, Error> {
        let turn = Arc::clone(&self.places).acquire_owned().await.map_err(Error::internal)?;
        Ok(CheckTurn(Arc::new(turn)))
    }

    /// Whether `password` matches the Argon2 hash `hash`, in PHC format. Without a hash, no
    /// password matches, after the same work.
    pub(super) async fn fits(&self, turn: &CheckTurn, password: &str, hash: Option<&str>) -> Result<bool, Error> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        #[cfg(test)]
        self.checks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // Held by the check itself, which continues if the caller is cancelled.
        let turn = turn.clone();
        let memory = Arc::clone(&self.memory);
        let (password, hash) = (password.to_owned(), hash.unwrap_or(UNKNOWN_USER).to_owned());
        let check = move || {
            let _turn = turn;
            let mut blocks = memory.take();
            let fits = verify(&password, &hash, &mut blocks).unwrap_or_else(|error| {
                tracing::warn!(%error, "the password hash of a user is invalid or too expensive; reload the user with a new hash");
                false
            });
            memory.put_back(blocks);
            fits
        };
        tokio::task::spawn_blocking(check).await.map_err(Error::internal)
    }

    /// Returns the hash of a new password.
    pub(super) async fn hash(&self, rng: &Arc<dyn Rng>, password: &str) -> Result<String, Error> {
        let turn = self.turn().await?;
        let (rng, password) = (Arc::clone(rng), password.to_owned());
        let hash = move || {
            let _turn = turn;
            hash_password(rng.as_ref(), &password)
        };
        tokio::task::spawn_blocking(hash).await.map_err(Error::internal)?
    }

    /// Returns the number of checks so far.
    #[cfg(test)]
    pub(super) fn checks(&self) -> usize {
        self.checks.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Returns the number of pooled blocks.
    #[cfg(test)]
    pub(super) fn idle_memory(&self) -> usize {
        self.memory.lock().len()
    }
}

impl Memory {
    fn take(&self) -> Box<[Block]> {
        self.lock().pop().unwrap_or_else(|| vec![Block::new(); CHECK_BLOCKS].into_boxed_slice())
    }

    fn put_back(&self, blocks: Box<[Block]>) {
        self.lock().push(blocks);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Box<[Block]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the Argon2 hash of a password, in PHC format. Takes tens of milliseconds.
///
/// # Errors
/// Internal.
pub fn hash_password(rng: &dyn Rng, password: &str) -> Result<String, Error> {
    let salt = rng.uuid();
    let hash: PasswordHash =
        Argon2::default().hash_password_with_salt(password.as_bytes(), salt.as_bytes()).map_err(Error::internal)?;
    Ok(hash.to_string())
}

/// Computes the hash of `password` with the salt and parameters of `hash`, and compares them.
fn verify(password: &str, hash: &str, memory: &mut [Block]) -> argon2::password_hash::Result<bool> {
    let hash = PasswordHash::new(hash).map_err(|_| argon2::password_hash::Error::EncodingInvalid)?;
    let params = Params::try_from(&hash)?;
    if params.t_cost() > CHECK_PASSES_MAX {
        return Err(argon2::password_hash::Error::ParamInvalid { name: "t" });
    }
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return Ok(false) };
    let version = hash.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let argon2 = Argon2::new(Algorithm::try_from(hash.algorithm.as_str())?, version, params);
    let mut computed = vec![0; expected.len()];
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut computed, memory)?;
    Ok(verify_slices_are_equal(&computed, expected.as_bytes()).is_ok())
}
