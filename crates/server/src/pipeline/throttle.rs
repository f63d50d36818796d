//! Throttling: how many requests a tenant, and an application in a tenant, may make within a time.
//!
//! The numbers are those that Microsoft documents for Intune; no other limit of the Cloud PC API is
//! documented. They hold under strict fidelity only. Each number is for any stretch of that length
//! (a sliding window): a fixed window would admit twice as many around its end, and a token bucket
//! twice as many within the first stretch. The service keeps the times of the admitted requests,
//! so `Retry-After` says exactly when the next one is admitted. A refused request does not count:
//! a client that waits as told is always admitted.
//!
//! Times are those of the host's monotonic clock. A limit of requests protects from the pace of
//! real clients; under the clock of a simulated fleet it would refuse them forever while that clock
//! is paused, and never while it is advanced.

use cloudpc_graph::GraphError;
use cloudpc_model::{AppId, TenantId};
use http::Method;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::app::Monotonic;
use crate::caller::Caller;

/// The stretch of time that the numbers are for.
pub const THROTTLE_WINDOW: Duration = Duration::from_secs(20);
/// Requests of all applications of a tenant.
pub const TENANT_REQUESTS_MAX: usize = 2_000;
/// Those of them that can change something: POST, PUT, PATCH and DELETE.
pub const TENANT_WRITES_MAX: usize = 200;
/// Requests of one application in a tenant.
pub const APP_REQUESTS_MAX: usize = 1_000;
/// Those of them that can change something.
pub const APP_WRITES_MAX: usize = 100;

/// How many requests are admitted within [`Self::window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleLimits {
    /// See [`THROTTLE_WINDOW`].
    pub window: Duration,
    /// See [`TENANT_REQUESTS_MAX`].
    pub tenant_requests: usize,
    /// See [`TENANT_WRITES_MAX`].
    pub tenant_writes: usize,
    /// See [`APP_REQUESTS_MAX`].
    pub app_requests: usize,
    /// See [`APP_WRITES_MAX`].
    pub app_writes: usize,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        Self {
            window: THROTTLE_WINDOW,
            tenant_requests: TENANT_REQUESTS_MAX,
            tenant_writes: TENANT_WRITES_MAX,
            app_requests: APP_REQUESTS_MAX,
            app_writes: APP_WRITES_MAX,
        }
    }
}

/// Who made requests, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Counted {
    tenant: TenantId,
    /// One application; none: all of the tenant. A user who signed in without an application counts
    /// as one.
    app: Option<Option<AppId>>,
    is_write: bool,
}

/// The admitted requests of the last window, of everybody.
#[derive(Default)]
struct Admitted {
    times: HashMap<Counted, VecDeque<Duration>>,
    /// When those without a request in the window were last removed.
    swept: Duration,
}

/// Refuses requests beyond the limits.
pub struct Throttle {
    limits: Option<ThrottleLimits>,
    monotonic: Monotonic,
    admitted: Mutex<Admitted>,
}

impl Throttle {
    /// Returns a throttle with these limits; none: it admits every request.
    pub fn new(limits: Option<ThrottleLimits>, monotonic: Monotonic) -> Self {
        Self { limits, monotonic, admitted: Mutex::default() }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 `TooManyRequests` with the time after which a request is admitted again.
    pub(super) fn admit(&self, caller: &Caller, method: &Method) -> Result<(), GraphError> {
        let Some(limits) = &self.limits else { return Ok(()) };
        let (tenant, app) = (caller.tenant_id, Some(caller.app_id));
        let is_write = matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
        let counts = [
            (Counted { tenant, app, is_write: false }, limits.app_requests, "application"),
            (Counted { tenant, app: None, is_write: false }, limits.tenant_requests, "tenant"),
            (Counted { tenant, app, is_write: true }, limits.app_writes, "application"),
            (Counted { tenant, app: None, is_write: true }, limits.tenant_writes, "tenant"),
        ];
        let counts = if is_write { &counts[..] } else { &counts[..2] };
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.monotonic)();
        admitted.sweep(now, limits.window);
        let waits = counts.iter().filter_map(|(counted, most, whose)| {
            let times = admitted.times.entry(*counted).or_default();
            forget(times, now, limits.window);
            let leaves = times.front().filter(|_| times.len() >= *most)?;
            Some((*leaves + limits.window - now, refusal(*most, counted.is_write, whose, limits.window)))
        });
        if let Some((wait, message)) = waits.max_by_key(|(wait, _)| *wait) {
            let error = GraphError::new(429, "TooManyRequests", message);
            return Err(GraphError { retry_after: Some(wait), ..error });
        }
        for (counted, ..) in counts {
            admitted.times.entry(*counted).or_default().push_back(now);
        }
        Ok(())
    }
}

impl Admitted {
    /// Forgets who made no request lately, once per window.
    fn sweep(&mut self, now: Duration, window: Duration) {
        if now.saturating_sub(self.swept) < window {
            return;
        }
        self.swept = now;
        self.times.retain(|_, times| {
            forget(times, now, window);
            !times.is_empty()
        });
    }
}

/// Removes the times that have left the window.
fn forget(times: &mut VecDeque<Duration>, now: Duration, window: Duration) {
    while times.front().is_some_and(|time| *time + window <= now) {
        times.pop_front();
    }
}

fn refusal(most: usize, is_write: bool, whose: &str, window: Duration) -> String {
    let what = if is_write { "POST, PUT, PATCH and DELETE requests" } else { "requests" };
    let seconds = window.as_secs();
    format!("This {whose} made {most} {what} in {seconds} seconds, the most that are allowed. Retry later.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::TokenOrigin;
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use uuid::Uuid;

    fn caller(tenant: u128, app: u128) -> Caller {
        Caller {
            tenant_id: TenantId(Uuid::from_u128(tenant)),
            app_id: Some(AppId(Uuid::from_u128(app))),
            app_name: "app".into(),
            user: None,
            permissions: BTreeSet::new(),
            is_owner: false,
            origin: TokenOrigin::Local { key_id: String::new() },
        }
    }

    fn throttle() -> (Throttle, Arc<AtomicU64>) {
        let millis = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&millis);
        let monotonic: Monotonic = Arc::new(move || Duration::from_millis(clock.load(Ordering::Relaxed)));
        (Throttle::new(Some(ThrottleLimits::default()), monotonic), millis)
    }

    /// Sends requests until one is refused. Returns how many were admitted.
    fn exhaust(throttle: &Throttle, caller: &Caller, method: &Method) -> usize {
        (0..).find(|_| throttle.admit(caller, method).is_err()).unwrap()
    }

    #[test]
    fn each_application_and_each_tenant_has_its_limit() {
        for (method, app_max, tenant_max) in [
            (Method::GET, APP_REQUESTS_MAX, TENANT_REQUESTS_MAX),
            (Method::POST, APP_WRITES_MAX, TENANT_WRITES_MAX),
            (Method::DELETE, APP_WRITES_MAX, TENANT_WRITES_MAX),
        ] {
            let (throttle, _) = throttle();
            assert_eq!(exhaust(&throttle, &caller(1, 1), &method), app_max);
            assert_eq!(exhaust(&throttle, &caller(1, 2), &method), tenant_max - app_max);
            assert_eq!(exhaust(&throttle, &caller(1, 3), &method), 0, "the tenant has used its share");
            assert_eq!(exhaust(&throttle, &caller(2, 1), &method), app_max, "other tenants are not affected");
        }
    }

    #[test]
    fn writes_count_as_requests_too() {
        let (throttle, _) = throttle();
        assert_eq!(exhaust(&throttle, &caller(1, 1), &Method::PATCH), APP_WRITES_MAX);
        assert_eq!(exhaust(&throttle, &caller(1, 1), &Method::GET), APP_REQUESTS_MAX - APP_WRITES_MAX);
    }

    #[test]
    fn a_request_is_admitted_as_soon_as_the_answer_said() {
        let (throttle, millis) = throttle();
        let caller = caller(1, 1);
        throttle.admit(&caller, &Method::POST).unwrap();
        millis.store(5_500, Ordering::Relaxed);
        assert_eq!(exhaust(&throttle, &caller, &Method::POST), APP_WRITES_MAX - 1);
        let refused = throttle.admit(&caller, &Method::POST).unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (429, "TooManyRequests"));
        assert_eq!(refused.retry_after, Some(THROTTLE_WINDOW - Duration::from_millis(5_500)));
        millis.store(19_999, Ordering::Relaxed);
        assert!(throttle.admit(&caller, &Method::POST).is_err());
        millis.store(20_000, Ordering::Relaxed);
        assert_eq!(exhaust(&throttle, &caller, &Method::POST), 1, "only the first one has left the window");
        millis.store(25_500, Ordering::Relaxed);
        assert_eq!(exhaust(&throttle, &caller, &Method::POST), APP_WRITES_MAX - 1);
    }

    #[test]
    fn nothing_is_kept_of_who_stays_away() {
        let (throttle, millis) = throttle();
        (0..100).for_each(|app| throttle.admit(&caller(app, app), &Method::POST).unwrap());
        millis.store(20_000, Ordering::Relaxed);
        throttle.admit(&caller(1, 1), &Method::GET).unwrap();
        assert_eq!(throttle.admitted.lock().unwrap().times.len(), 2);
    }

    #[test]
    fn without_limits_every_request_is_admitted() {
        let throttle = Throttle::new(None, Arc::new(|| Duration::ZERO));
        assert!((0..3_000).all(|_| throttle.admit(&caller(1, 1), &Method::POST).is_ok()));
    }
}
