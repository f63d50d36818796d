//! Answers that can never change, kept whole: pages on which everything has ended, by the links
//! that lead to them.
//!
//! An answer belongs to the address that it was asked for by, and to whoever may follow its links:
//! a tenant, or a user with a delegated token. Whether the caller may see it is checked each time.
//! What takes away the things that it tells of, such as a partner that is deleted, makes every
//! answer worthless. This module refuses to know which answers last; an operation says so with
//! [`Answer::Immutable`](super::Answer::Lasting).

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

/// Memory for lasting answers.
pub const LASTING_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The answers that are kept. Those asked for least go when there is no room.
pub struct ResponseCache {
    answers: Cache<Key, Immutable, Weight>,
    /// Rises whenever something may have made an answer worthless.
    generation: AtomicU64,
}

/// An answer, and what has to be checked before it is given again.
#[derive(Clone)]
pub(super) struct Immutable {
    pub body: Bytes,
    pub row: &'static Row,
    pub scope: Scope,
    generation: u64,
}

/// What an answer is kept under.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    user: Option<UserId>,
    base: String,
    path_and_query: String,
}

/// The same, not copied. Its hash has to be that of [`Key`], so the fields are the same and in the
/// same order.
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
        // A full cache lets in what it has seen before, and it remembers half as many as it is told
        // to expect: more than it can hold, so that whatever fits comes to stay.
        const ANSWER_BYTES: u64 = 8 * 1024;
        let count = usize::try_from(LASTING_BYTES_MAX / ANSWER_BYTES).expect("there are few");
        Self { answers: Cache::with_weighter(count, LASTING_BYTES_MAX, Weight), generation: AtomicU64::new(0) }
    }
}

impl ResponseCache {
    /// To be called after something that answers tell of is gone, so that none of them is given
    /// again.
    pub fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.answers.clear();
    }

    /// Read before anything is looked up: whatever is taken away meanwhile makes the answer
    /// worthless.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn get(&self, asked: &CacheKeyRef<'_>) -> Option<Immutable> {
        self.answers.get(asked).filter(|answer| answer.generation == self.generation())
    }

    pub(super) fn keep(&self, asked: &CacheKeyRef<'_>, body: Bytes, row: &'static Row, scope: Scope, generation: u64) {
        let CacheKeyRef { tenant, user, base, path_and_query } = *asked;
        let key = Key { tenant, user, base: base.to_owned(), path_and_query: path_and_query.to_owned() };
        self.answers.insert(key, Immutable { body, row, scope, generation });
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

    fn asked(path_and_query: &str) -> CacheKeyRef<'_> {
        CacheKeyRef { tenant: TenantId(Uuid::nil()), user: None, base: "https://h", path_and_query }
    }

    fn keep(answers: &ResponseCache, asked: &CacheKeyRef<'_>, bytes: usize) {
        let row = &crate::operations::TABLE[0];
        answers.keep(asked, vec![b' '; bytes].into(), row, Scope::Tenant, answers.generation());
    }

    #[test]
    fn an_answer_is_for_those_who_asked_and_until_it_is_forgotten() {
        let answers = ResponseCache::default();
        keep(&answers, &asked("/a"), 10);
        assert_eq!(answers.get(&asked("/a")).map(|answer| answer.body.len()), Some(10));
        let (tenant, user) = (TenantId(Uuid::max()), Some(UserId(Uuid::nil())));
        let others =
            [asked("/b"), CacheKeyRef { base: "http://h", ..asked("/a") }, CacheKeyRef { tenant, ..asked("/a") }];
        for other in others.into_iter().chain([CacheKeyRef { user, ..asked("/a") }]) {
            assert!(answers.get(&other).is_none());
        }
        let begun = answers.generation();
        answers.forget();
        assert!(answers.get(&asked("/a")).is_none());
        // One that was read before is of no worth after.
        answers.keep(&asked("/a"), Bytes::new(), &crate::operations::TABLE[0], Scope::Tenant, begun);
        assert!(answers.get(&asked("/a")).is_none());
    }

    #[test]
    fn answers_take_so_much_memory_and_no_more() {
        const BYTES: usize = 26_000;
        let answers = ResponseCache::default();
        let paths: Vec<_> = (0..LASTING_BYTES_MAX / BYTES as u64 + 100).map(|number| format!("/{number}")).collect();
        paths.iter().for_each(|path| keep(&answers, &asked(path), BYTES));
        let kept = paths.iter().filter(|path| answers.get(&asked(path)).is_some()).count() * BYTES;
        let limit = usize::try_from(LASTING_BYTES_MAX).unwrap();
        assert!(kept <= limit && kept > limit / 2, "{kept}");
        assert!(answers.answers.weight() <= LASTING_BYTES_MAX);
    }
    #[test]
    fn what_is_asked_for_again_and_again_comes_to_stay_if_it_fits() {
        const BYTES: usize = 26_000;
        let answers = ResponseCache::default();
        let fits = LASTING_BYTES_MAX * 4 / 5 / BYTES as u64;
        let others: Vec<_> = (0..fits).map(|number| format!("/other/{number}")).collect();
        let paths: Vec<_> = (0..fits).map(|number| format!("/{number}")).collect();
        let ask = |path: &String| {
            let found = answers.get(&asked(path)).is_some();
            if !found {
                keep(&answers, &asked(path), BYTES);
            }
            found
        };
        let ask_all = |paths: &[String]| paths.iter().filter(|path| ask(path)).count();
        let before = (0..2).map(|_| ask_all(&others)).sum::<usize>();
        assert_eq!(before, others.len(), "an empty cache lets in all");
        let found = [(); 4].map(|()| ask_all(&paths))[3];
        assert!(found > paths.len() * 9 / 10, "{found} of {}", paths.len());
    }
}
