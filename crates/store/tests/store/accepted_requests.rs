//! Requests that were carried out: remembered with their audit row, for a time and up to a share.

use cloudpc_model::{Actor, AuditEntry, AuditResource, AuditVerb, RequestKey, ResourceType, TenantId, Timestamp};
use cloudpc_store::{
    ACCEPTED_REQUEST_WINDOW, ACCEPTED_REQUESTS_PER_CALLER_MAX, AcceptedRequest, StoreError, WriteMode, testing,
};
use uuid::Uuid;

use crate::fixture::{Book, OTHER_TENANT, TENANT, block_on};

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn key(tenant_id: TenantId, caller: u128, number: usize) -> RequestKey {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    RequestKey { tenant_id, caller: Uuid::from_u128(caller), hash }
}

fn entry(key: RequestKey, at: Timestamp) -> AuditEntry {
    let resource = AuditResource::new(ResourceType::CloudPc, "1");
    AuditEntry::new(key.tenant_id, at, Actor::system(), AuditVerb::Reboot, resource).repeatable(Some(key))
}

fn accept(book: &Book, key: RequestKey, at: Timestamp) {
    book.write(move |tx| tx.audit_insert(&entry(key, at))).unwrap();
}

fn is_known(book: &Book, key: RequestKey, at: Timestamp) -> bool {
    book.read(move |reader| reader.accepted_request(&key, at)).is_some()
}

#[test]
fn a_request_is_remembered_with_its_audit_row_or_not_at_all() {
    let book = Book::new();
    let key = key(TENANT, 1, 1);
    let failed = book.write(move |tx| {
        tx.audit_insert(&entry(key, NOW))?;
        Err::<(), _>(StoreError::Exists("another thing"))
    });
    assert!(failed.is_err());
    assert!(!is_known(&book, key, NOW));
    accept(&book, key, NOW);
    assert!(is_known(&book, key, NOW));
}

#[test]
fn an_answer_outlives_a_restart() {
    let book = Book::new();
    let key = key(TENANT, 1, 1);
    accept(&book, key, NOW);
    book.write(move |tx| tx.accepted_request_answer(&key, "{}")).unwrap();
    let Book { store, directory } = book;
    drop(store);
    let store = testing::open(directory.path(), WriteMode::Inline).unwrap();
    let found = block_on(store.read(move |reader| reader.accepted_request(&key, NOW))).unwrap();
    assert_eq!(found, Some(AcceptedRequest { answer: Some("{}".into()) }));
}

#[test]
fn a_request_is_forgotten_when_the_window_ends() {
    let book = Book::new();
    let (old, new) = (key(TENANT, 1, 1), key(TENANT, 2, 2));
    accept(&book, old, NOW);
    let end = NOW + ACCEPTED_REQUEST_WINDOW;
    assert!(is_known(&book, old, Timestamp(end.0 - 1)) && !is_known(&book, old, end));
    accept(&book, new, end);
    assert_eq!(book.read(|reader| reader.accepted_request_count(TENANT)), 1, "the row is gone too");
    // The same request, carried out again, is remembered again.
    accept(&book, old, end);
    assert!(is_known(&book, old, end));
}

#[test]
fn each_caller_has_a_share() {
    let book = Book::new();
    let other = key(TENANT, 2, usize::MAX);
    accept(&book, other, NOW);
    let at = |number: usize| Timestamp(NOW.0 + i64::try_from(number).unwrap());
    for number in 0..ACCEPTED_REQUESTS_PER_CALLER_MAX {
        accept(&book, key(TENANT, 1, number), at(number));
    }
    let last = at(ACCEPTED_REQUESTS_PER_CALLER_MAX);
    assert!(is_known(&book, key(TENANT, 1, 0), last), "at the limit, the first is there");
    accept(&book, key(TENANT, 1, ACCEPTED_REQUESTS_PER_CALLER_MAX), last);
    assert!(!is_known(&book, key(TENANT, 1, 0), last), "the oldest made room");
    assert!(is_known(&book, key(TENANT, 1, 1), last) && is_known(&book, other, last));
    let count = book.read(|reader| reader.accepted_request_count(TENANT));
    assert_eq!(count, ACCEPTED_REQUESTS_PER_CALLER_MAX as u64 + 1);
    assert_eq!(book.read(|reader| reader.accepted_request_count(OTHER_TENANT)), 0);
}
