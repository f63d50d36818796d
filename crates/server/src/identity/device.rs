//! The device code flow (RFC 8628): a client shows a code, a person enters it on the page `/devicelogin` with user name and password.
//!
//! Codes live in this process only; whoever waits for one when the server stops starts again.

mod page;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use cloudpc_model::{AppId, Clock, Error, Rng, TenantId, Timestamp, UserId};
use cloudpc_store::User;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

use super::directory::TenantPath;
use super::oauth::OAuthError;
use super::{Identity, random_text};

pub(super) use page::routes;

/// How long a code can be entered.
pub(super) const CODE_LIFETIME: Duration = Duration::from_mins(15);
/// Codes that may wait at the same time.
pub(super) const CODES_MAX: usize = 1_000;
/// How often a client may ask whether its code has been entered.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Sign-ins that one code may be tried for.
pub(super) const CODE_ATTEMPTS_MAX: u32 = 5;
/// Wrong passwords for one user within [`USER_FAILURES_WINDOW`], after which no further one is looked at.
pub(super) const USER_FAILURES_MAX: u32 = 10;
/// See [`USER_FAILURES_MAX`].
pub(super) const USER_FAILURES_WINDOW: Duration = Duration::from_mins(15);
/// Longest password.
pub(super) const PASSWORD_BYTES_MAX: usize = 256;
/// Passwords checked at the same time; each takes 19 MiB and tens of milliseconds of a core.
pub(super) const PASSWORD_CHECKS_MAX: usize = 2;

/// Without vowels, so that no word comes out, and without letters that look like others.
const USER_CODE_LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The codes that wait to be entered, and how often passwords were wrong.
pub(super) struct DeviceCodes {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    table: Mutex<Table>,
    pub(super) password_checks: Semaphore,
}

/// A new pair of codes.
pub(super) struct StartedCode {
    pub(super) user_code: String,
    pub(super) device_code: String,
    pub(super) expires_in: Duration,
    pub(super) interval: Duration,
}

/// A code that was entered by a user who proved who they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redeemed {
    pub(super) tenant_id: TenantId,
    pub(super) user_id: UserId,
    pub(super) scope: String,
}

#[derive(Default)]
struct Table {
    codes: Vec<Code>,
    failures: HashMap<(TenantId, UserId), Failures>,
}

struct Code {
    user_code: String,
    device_code: String,
    tenant: TenantPath,
    client: AppId,
    client_name: String,
    scope: String,
    expires: Timestamp,
    interval: Duration,
    polled_at: Option<Timestamp>,
    attempts: u32,
    state: CodeState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CodeState {
    Waiting,
    Entered(TenantId, UserId),
    Spoiled,
    Declined,
}

struct Failures {
    since: Timestamp,
    count: u32,
}

impl DeviceCodes {
    pub(super) fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng, table: Mutex::default(), password_checks: Semaphore::new(PASSWORD_CHECKS_MAX) }
    }

    /// Makes a pair of codes.
    pub(super) fn start(
        &self,
        tenant: TenantPath,
        client: AppId,
        client_name: &str,
        scope: &str,
    ) -> Result<StartedCode, OAuthError> {
        let mut table = self.table();
        if table.codes.len() >= CODES_MAX {
            let problem = "Too many sign-ins wait for their code to be entered; try again later.";
            return Err(OAuthError::new("temporarily_unavailable", 90_033, problem));
        }
        let user_code = loop {
            let code = self.new_user_code();
            if table.codes.iter().all(|other| other.user_code != code) {
                break code;
            }
        };
        let device_code = random_text(self.rng.as_ref());
        table.codes.push(Code {
            user_code: user_code.clone(),
            device_code: device_code.clone(),
            tenant,
            client,
            client_name: client_name.to_owned(),
            scope: scope.to_owned(),
            expires: self.clock.now() + CODE_LIFETIME,
            interval: POLL_INTERVAL,
            polled_at: None,
            attempts: 0,
            state: CodeState::Waiting,
        });
        Ok(StartedCode { user_code, device_code, expires_in: CODE_LIFETIME, interval: POLL_INTERVAL })
    }

    /// Who has entered the code. Works once.
    pub(super) fn redeem(
        &self,
        device_code: &str,
        tenant: TenantPath,
        client_id: &str,
    ) -> Result<Redeemed, OAuthError> {
        let now = self.clock.now();
        let mut table = self.table();
        let position = table
            .codes
            .iter()
            .position(|code| code.device_code == device_code && client_id.parse() == Ok(code.client))
            .ok_or_else(|| OAuthError::new("expired_token", 70_020, "The device code is not known or has expired."))?;
        let code = &mut table.codes[position];
        match code.state {
            CodeState::Waiting => {
                if code.polled_at.is_some_and(|at| now.since(at) < code.interval) {
                    code.interval += POLL_INTERVAL;
                    code.polled_at = Some(now);
                    let problem = format!("Ask every {} seconds only.", code.interval.as_secs());
                    return Err(OAuthError::new("slow_down", 70_016, problem));
                }
                code.polled_at = Some(now);
                Err(OAuthError::new("authorization_pending", 70_016, "The code has not been entered yet."))
            }
            CodeState::Spoiled => {
                table.codes.swap_remove(position);
                Err(OAuthError::new("access_denied", 65_004, "The code was entered with a wrong password too often."))
            }
            CodeState::Declined => {
                table.codes.swap_remove(position);
                Err(OAuthError::new("access_denied", 65_004, "Whoever has the code has declined to sign in."))
            }
            CodeState::Entered(tenant_id, user_id) => {
                let code = table.codes.swap_remove(position);
                if matches!(tenant, TenantPath::One(id) if id != tenant_id) {
                    return Err(OAuthError::new("invalid_grant", 70_000, "The user belongs to another tenant."));
                }
                Ok(Redeemed { tenant_id, user_id, scope: code.scope })
            }
        }
    }

    /// Makes the code worthless; whoever shows it is told why. Knowing the code is enough, since it can do no more harm than not entering it.
    fn decline(&self, user_code: &str) -> Result<(), Refusal> {
        let mut table = self.table();
        table.waiting(user_code).ok_or(Refusal::Code)?.state = CodeState::Declined;
        Ok(())
    }

    /// Counts an attempt to sign in with a code; returns the tenant to look for the user in.
    fn attempt(&self, user_code: &str) -> Option<TenantPath> {
        let mut table = self.table();
        let code = table.waiting(user_code)?;
        code.attempts += 1;
        if code.attempts >= CODE_ATTEMPTS_MAX {
            // This attempt still counts if it succeeds; after it the code is worth nothing.
            code.state = CodeState::Spoiled;
        }
        Some(code.tenant)
    }

    /// Whether another password may be tried for this user.
    fn may_try(&self, user: &User) -> bool {
        let now = self.clock.now();
        let table = self.table();
        table.failures.get(&(user.tenant_id, user.id)).is_none_or(|failures| {
            failures.count < USER_FAILURES_MAX || now.since(failures.since) >= USER_FAILURES_WINDOW
        })
    }

    fn failed(&self, user: &User) {
        let now = self.clock.now();
        let mut table = self.table();
        // Users are counted, not names that were typed, so the table cannot outgrow the users there are.
        let failures = table.failures.entry((user.tenant_id, user.id)).or_insert(Failures { since: now, count: 0 });
        if now.since(failures.since) >= USER_FAILURES_WINDOW {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count += 1;
    }

    /// The user has proved who they are; returns the name of the client they have signed in to.
    fn succeeded(&self, user_code: &str, user: &User) -> Option<String> {
        let mut table = self.table();
        table.failures.remove(&(user.tenant_id, user.id));
        let code = table.codes.iter_mut().find(|code| code.user_code == user_code)?;
        code.state = CodeState::Entered(user.tenant_id, user.id);
        Some(code.client_name.clone())
    }

    /// The table without codes that have expired.
    fn table(&self) -> MutexGuard<'_, Table> {
        let now = self.clock.now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.codes.retain(|code| now < code.expires);
        table
    }

    fn new_user_code(&self) -> String {
        let letters: Vec<u8> = (0..8)
            .map(|_| {
                let at = self.rng.below(USER_CODE_LETTERS.len() as u64);
                USER_CODE_LETTERS[usize::try_from(at).expect("it is below the number of letters")]
            })
            .collect();
        String::from_utf8(letters).expect("they are ASCII")
    }
}

impl Table {
    fn waiting(&mut self, user_code: &str) -> Option<&mut Code> {
        self.codes.iter_mut().find(|code| code.user_code == user_code && code.state == CodeState::Waiting)
    }
}

/// Why a person could not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Code,
    NameOrPassword,
    TooManyFailures,
    Service,
}

impl Identity {
    /// Refuses the client that shows `user_code`.
    pub(super) fn decline(&self, user_code: &str) -> Result<(), Refusal> {
        self.device_codes.decline(user_code)
    }

    /// Signs a user in for the client that shows `user_code`; returns the client's name.
    pub(super) async fn sign_in(&self, user_code: &str, name: &str, password: &str) -> Result<String, Refusal> {
        let tenant = self.device_codes.attempt(user_code).ok_or(Refusal::Code)?;
        let users = self.users_named(tenant, name).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "look a user up");
            Refusal::Service
        })?;
        if users.is_empty() {
            // As long as for a user who is there, so that the time does not tell who is.
            self.password_fits(password, None).await?;
            return Err(Refusal::NameOrPassword);
        }
        for user in &users {
            if !self.device_codes.may_try(user) {
                return Err(Refusal::TooManyFailures);
            }
            if self.password_fits(password, user.password_hash.as_deref()).await? && user.enabled {
                return self.device_codes.succeeded(user_code, user).ok_or(Refusal::Code);
            }
            self.device_codes.failed(user);
        }
        Err(Refusal::NameOrPassword)
    }

    async fn users_named(&self, tenant: TenantPath, name: &str) -> Result<Vec<User>, Error> {
        let tenants = match tenant {
            TenantPath::One(tenant) => vec![tenant],
            TenantPath::Any => self.tenants().await?,
        };
        let name = name.trim().to_owned();
        self.store
            .read(move |reader| {
                let mut users = Vec::new();
                for tenant in tenants {
                    users.extend(reader.user_by_name(tenant, &name)?);
                }
                Ok(users)
            })
            .await
    }

    async fn password_fits(&self, password: &str, hash: Option<&str>) -> Result<bool, Refusal> {
        /// The hash of a password that nobody has.
        const NOBODY: &str =
            "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let permit = self.device_codes.password_checks.acquire().await.map_err(|_| Refusal::Service)?;
        let (password, hash) = (password.to_owned(), hash.unwrap_or(NOBODY).to_owned());
        let fits = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await;
        drop(permit);
        fits.map_err(|_| Refusal::Service)
    }
}
