//! A cache of immutable responses: pages whose deployments have all ended, by URL.
//!
//! The key is the URL and the caller whose skip tokens it can hold: a tenant, or a user with a
//! delegated token. Permissions are checked on every hit. Deleting an object that responses show,
//! such as a partner, invalidates the whole cache. Operations mark cacheable responses with
//! [`Answer::Immutable`](super::Answer::Immutable).

use bytes::Bytes;
use cloudpc_graph::resolve::Scope;
use cloudpc_model::{TenantId, UserId};
use http::request::Parts;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::caller::Caller;
use crate::operations::Row;
use crate::request::BaseAddress;

/// Size of the cache, in bytes.
pub const RESPONSE_CACHE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The cached responses. A full cache evicts the least used ones.
pub struct ResponseCache {
    answers: Cache<Key, Immutable, Weight>,
    /// Incremented on every invalidation.
    generation: AtomicU64,
}

/// A cached response with the data of its access check.
#[derive(Clone)]
pub(super) struct Immutable {
    pub body: Bytes,
    pub row: &'static Row,
    pub scope: Scope,
    generation: u64,
}

/// The key of a cached response.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    user: Option<UserId>,
    base: String,
    path_and_query: String,
}

/// A borrowed [`Key`]. Fields have the same order, because both must have the same hash.
#[derive(Hash)]
pub(super) struct CacheKeyRef<'a> {
    tenant: TenantId,
    user: Option<UserId>,
    base: &'a str,
    path_and_query: &'a str,
}

#[derive(Clone)]
struct Weight;

impl Default for ResponseCache {
    fn default() -> Self {
        // A full cache admits keys that it has seen before, and it remembers half as many keys as
        // its expected capacity. The capacity is set higher than the cache can hold, so that a
        // working set which fits is admitted.
        const ANSWER_BYTES: u64 = 8 * 1024;
        let count = usize::try_from(RESPONSE_CACHE_BYTES_MAX / ANSWER_BYTES).expect("the count fits into usize");
        Self { answers: Cache::with_weighter(count, RESPONSE_CACHE_BYTES_MAX, Weight), generation: AtomicU64::new(0) }
    }
}

impl ResponseCache {
    /// Invalidates all responses. Call it after an object that responses show is deleted.
    pub fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.answers.clear();
    }

    /// Returns the generation. Read it before reading data: a later invalidation then rejects the
    /// response.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn get(&self, key: &CacheKeyRef<'_>) -> Option<Immutable> {
        self.answers.get(key).filter(|answer| answer.generation == self.generation())
    }

    pub(super) fn insert(&self, key: &CacheKeyRef<'_>, body: Bytes, row: &'static Row, scope: Scope, generation: u64) {
        let CacheKeyRef { tenant, user, base, path_and_query } = *key;
        let owned = Key { tenant, user, base: base.to_owned(), path_and_query: path_and_query.to_owned() };
        self.answers.insert(owned, Immutable { body, row, scope, generation });
    }
}

impl<'a> CacheKeyRef<'a> {
    pub(super) fn by(caller: &Caller, base: &'a BaseAddress, head: &'a Parts) -> Self {
        Self {
            tenant: caller.tenant_id,
            user: caller.user.as_ref().map(|user| user.id),
            base: &base.0,
            path_and_query: head.uri.path_and_query().map_or("", |text| text.as_str()),
        }
    }
}

impl Equivalent<Key> for CacheKeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.tenant == key.tenant
            && self.user == key.user
            && self.base == key.base
            && self.path_and_query == key.path_and_query
    }
}

impl Weighter<Key, Immutable> for Weight {
    fn weight(&self, key: &Key, answer: &Immutable) -> u64 {
        const ENTRY_BYTES: u64 = 256;
        (key.base.len() + key.path_and_query.len() + answer.body.len()) as u64 + ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn key(path_and_query: &str) -> CacheKeyRef<'_> {
        CacheKeyRef { tenant: TenantId(Uuid::nil()), user: None, base: "https://h", path_and_query }
    }

    fn insert(answers: &ResponseCache, key: &CacheKeyRef<'_>, bytes: usize) {
        let row = &crate::operations::TABLE[0];
        answers.insert(key, vec![b' '; bytes].into(), row, Scope::Tenant, answers.generation());
    }

    #[test]
    fn response_is_cached_per_url_tenant_and_user_until_invalidated() {
        let answers = ResponseCache::default();
        insert(&answers, &key("/a"), 10);
        assert_eq!(answers.get(&key("/a")).map(|answer| answer.body.len()), Some(10));
        let (tenant, user) = (TenantId(Uuid::max()), Some(UserId(Uuid::nil())));
        let others = [key("/b"), CacheKeyRef { base: "http://h", ..key("/a") }, CacheKeyRef { tenant, ..key("/a") }];
        for other in others.into_iter().chain([CacheKeyRef { user, ..key("/a") }]) {
            assert!(answers.get(&other).is_none());
        }
        let generation = answers.generation();
        answers.forget();
        assert!(answers.get(&key("/a")).is_none());
        // A response read before the invalidation is rejected.
        answers.insert(&key("/a"), Bytes::new(), &crate::operations::TABLE[0], Scope::Tenant, generation);
        assert!(answers.get(&key("/a")).is_none());
    }

    #[test]
    fn cache_size_is_limited() {
        const BYTES: usize = 26_000;
        let answers = ResponseCache::default();
        let paths: Vec<_> =
            (0..RESPONSE_CACHE_BYTES_MAX / BYTES as u64 + 100).map(|number| format!("/{number}")).collect();
        paths.iter().for_each(|path| insert(&answers, &key(path), BYTES));
        let kept = paths.iter().filter(|path| answers.get(&key(path)).is_some()).count() * BYTES;
        let limit = usize::try_from(RESPONSE_CACHE_BYTES_MAX).unwrap();
        assert!(kept <= limit && kept > limit / 2, "{kept}");
        assert!(answers.answers.weight() <= RESPONSE_CACHE_BYTES_MAX);
    }
    #[test]
    fn working_set_that_fits_replaces_older_responses() {
        const BYTES: usize = 26_000;
        let answers = ResponseCache::default();
        let fits = RESPONSE_CACHE_BYTES_MAX * 4 / 5 / BYTES as u64;
        let others: Vec<_> = (0..fits).map(|number| format!("/other/{number}")).collect();
        let paths: Vec<_> = (0..fits).map(|number| format!("/{number}")).collect();
        let request = |path: &String| {
            let found = answers.get(&key(path)).is_some();
            if !found {
                insert(&answers, &key(path), BYTES);
            }
            found
        };
        let request_all = |paths: &[String]| paths.iter().filter(|path| request(path)).count();
        let before = (0..2).map(|_| request_all(&others)).sum::<usize>();
        assert_eq!(before, others.len(), "an empty cache admits everything");
        let found = [(); 4].map(|()| request_all(&paths))[3];
        assert!(found > paths.len() * 9 / 10, "{found} of {}", paths.len());
    }
}
