//! The change feed: what is noted, in which order it is read, and when a position is refused.

use cloudpc_model::{
    Change, ChangeKind, Clock, CloudPcId, EntityType, Sleep, Snapshot, SnapshotId, SnapshotType, TenantId, Timestamp,
    UserId,
};
use cloudpc_store::{
    FeedEntry, FeedPosition, InvalidFeedPosition, ResyncRequired, StoreError, User, WorkerId, WriteMode, testing,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use uuid::Uuid;

use crate::fixture::{Book, MACHINE, OTHER_TENANT, TENANT, reboot, started};

/// A clock that is set by hand.
#[derive(Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep<'_> {
        Box::pin(std::future::pending())
    }
}

fn user(tenant: TenantId, number: u128) -> User {
    User {
        tenant_id: tenant,
        id: UserId(Uuid::from_u128(number)),
        user_principal_name: format!("user-{number}@contoso.test"),
        display_name: format!("User {number}"),
        password_hash: None,
        roles: Vec::new(),
        permissions: Vec::new(),
        enabled: true,
        profile: Default::default(),
        created_at: None,
    }
}

fn head(book: &Book, tenant: TenantId) -> FeedPosition {
    book.read(move |reader| reader.change_head(tenant))
}

fn after(book: &Book, position: FeedPosition, limit: usize) -> Result<Vec<FeedEntry>, ResyncRequired> {
    book.read(move |reader| reader.changes_after(TENANT, position, limit))
}

fn start(book: &Book) -> FeedPosition {
    FeedPosition { number: 0, ..head(book, TENANT) }
}

/// Number, kind, type and id of each row.
fn rows(entries: &[FeedEntry]) -> Vec<String> {
    let row = |FeedEntry { number, change, .. }: &FeedEntry| {
        let kind: &str = change.kind.into();
        format!("{number} {kind} {} {} ({})", change.entity_type.name(), change.id, change.name)
    };
    entries.iter().map(row).collect()
}

#[test]
fn an_entity_that_changes_several_times_in_one_transaction_has_one_row() {
    let book = Book::new();
    book.write(|tx| {
        tx.user_put(&user(TENANT, 2))?;
        tx.user_put(&User { display_name: "Ada".into(), ..user(TENANT, 2) })?;
        tx.user_put(&user(TENANT, 1))
    })
    .unwrap();
    book.write(|tx| tx.user_delete(TENANT, UserId(Uuid::from_u128(1)), Timestamp(0))).unwrap();
    let id = |number| Uuid::from_u128(number);
    let expected = [
        format!("1 created user {} (User 1)", id(1)),
        format!("2 created user {} (Ada)", id(2)),
        format!("3 deleted user {} (User 1)", id(1)),
    ];
    assert_eq!(rows(&after(&book, start(&book), 10).unwrap()), expected);
}

#[test]
fn a_transaction_that_fails_or_changes_nothing_visible_leaves_no_row() {
    let book = Book::new();
    let failed: Result<(), _> = book.write(|tx| {
        tx.user_put(&user(TENANT, 1))?;
        Err(StoreError::Exists("a test"))
    });
    failed.unwrap_err();
    book.write(|tx| tx.setting_put("name", b"value")).unwrap();
    assert_eq!(head(&book, TENANT).number, 0);
}

#[test]
fn a_change_of_a_log_is_a_change_of_the_action_within_its_target() {
    let book = Book::new();
    let id = book.insert(reboot(MACHINE, 1)).unwrap();
    book.claim(10, 20);
    book.append(id, 1, 11, started("powerOff")).unwrap();
    let entries = after(&book, start(&book), 10).unwrap();
    assert_eq!(
        rows(&entries),
        ["1 created action 1 (pending)", "2 updated action 1 (running)", "3 updated action 1 (running)"]
    );
    assert!(entries.iter().all(|entry| entry.change.parent == MACHINE));
    // What only workers see is no change.
    book.write(|tx| tx.worker_renew(WorkerId(1), Timestamp(30))).unwrap();
    assert_eq!(head(&book, TENANT).number, 3);
}

#[test]
fn tenants_have_feeds_of_their_own() {
    let book = Book::new();
    book.write(|tx| {
        tx.user_put(&user(TENANT, 1))?;
        tx.user_put(&user(OTHER_TENANT, 2))?;
        tx.user_put(&user(OTHER_TENANT, 3))
    })
    .unwrap();
    assert_eq!((head(&book, TENANT).number, head(&book, OTHER_TENANT).number), (1, 2));
    assert_eq!(after(&book, start(&book), 10).unwrap().len(), 1);
}

#[test]
fn a_feed_is_read_in_pages_from_any_position() {
    let book = Book::new();
    // More rows than two statements insert, and some that are inserted one by one.
    book.write(|tx| (1..=35).try_for_each(|number| tx.user_put(&user(TENANT, number)))).unwrap();
    let all = after(&book, start(&book), 100).unwrap();
    assert_eq!(all.iter().map(|entry| entry.number).collect::<Vec<_>>(), (1..=35).collect::<Vec<_>>());
    for number in 0..=35 {
        let position = FeedPosition { number, ..start(&book) };
        let page = after(&book, position, 7).unwrap();
        let from = usize::try_from(number).unwrap();
        assert_eq!(page, all[from..(from + 7).min(all.len())]);
    }
}

#[test]
fn rows_that_are_too_old_or_too_many_are_deleted_and_positions_before_them_refused() {
    let book = Book::new();
    let clock = Arc::new(HandClock::default());
    book.store.set_clock(clock.clone());
    for number in 1..=6 {
        clock.0.store(i64::try_from(number).unwrap() * 10, Ordering::Relaxed);
        book.write(move |tx| tx.user_put(&user(TENANT, number))).unwrap();
    }
    let trim = |before, rows_max, limit| {
        book.write(move |tx| tx.changes_trim(TENANT, Timestamp(before), rows_max, limit)).unwrap()
    };
    let at = |number| after(&book, FeedPosition { number, ..start(&book) }, 10).map(|page| page.len());
    assert_eq!(trim(0, 6, 10), 0);
    assert_eq!((trim(30, 6, 1), trim(30, 6, 10), trim(30, 6, 10)), (1, 1, 0), "a row of this time is kept");
    assert_eq!((at(1), at(2)), (Err(ResyncRequired), Ok(4)));
    assert_eq!(trim(0, 3, 10), 1);
    assert_eq!((at(2), at(3), at(6)), (Err(ResyncRequired), Ok(3), Ok(0)));
    // A position at the end of an empty feed is still good.
    assert_eq!(trim(100, 3, 10), 3);
    assert_eq!((at(5), at(6), at(7)), (Err(ResyncRequired), Ok(0), Err(ResyncRequired)));
    assert_eq!(at(-1), Err(ResyncRequired));
}

#[test]
fn positions_from_before_a_reset_or_a_restored_database_are_refused() {
    let book = Book::new();
    book.write(|tx| tx.change_epoch_ensure(7)).unwrap();
    book.write(|tx| tx.change_epoch_ensure(8)).unwrap();
    assert_eq!(head(&book, TENANT).epoch, 7);
    book.write(|tx| tx.user_put(&user(TENANT, 1))).unwrap();
    let before = head(&book, TENANT);
    book.write(|tx| {
        tx.user_put(&user(TENANT, 2))?;
        tx.reset()?;
        tx.user_put(&user(TENANT, 3))
    })
    .unwrap();
    assert_eq!(head(&book, TENANT).number, 0, "the new feed begins after the transaction that fills the fleet");
    assert_eq!(after(&book, before, 10), Err(ResyncRequired));
    assert_eq!(after(&book, FeedPosition { number: 0, ..before }, 10), Err(ResyncRequired));
    assert_eq!(after(&book, head(&book, TENANT), 10), Ok(Vec::new()));
    book.write(|tx| tx.change_epoch_put(99)).unwrap();
    assert_eq!(head(&book, TENANT).epoch, 99);
}

#[test]
fn a_position_has_one_spelling() {
    let position = FeedPosition { epoch: 0xbeef, number: 12 };
    assert_eq!(position.to_string(), "000000000000beef-12");
    assert_eq!(position.to_string().parse(), Ok(position));
    let largest = FeedPosition { epoch: u64::MAX, number: i64::MAX };
    assert_eq!(largest.to_string().parse(), Ok(largest));
    for text in
        ["", "-", "12", "beef-12", "000000000000BEEF-12", "000000000000beef-012", "000000000000beef-+1", "0-1-1"]
    {
        assert_eq!(text.parse::<FeedPosition>(), Err(InvalidFeedPosition), "{text:?}");
    }
}

/// Closures that share a commit share its rows; those of a failed closure are not among them.
#[tokio::test]
async fn a_commit_signals_the_position_that_it_has_reached() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [WriteMode::Grouped, WriteMode::InlineTwice] {
        let store = testing::open(&directory.path().join(format!("{mode:?}")), mode).unwrap();
        let mut heads = store.change_heads();
        let mut writes = Vec::new();
        for number in 1..=50_u128 {
            let store = store.clone();
            writes.push(tokio::spawn(async move {
                let write = store.write("test.write", move |tx| {
                    tx.user_put(&user(TENANT, number % 10))?;
                    if number.is_multiple_of(7) { Err(StoreError::Exists("a test")) } else { Ok(()) }
                });
                write.await.is_ok()
            }));
        }
        let mut succeeded = 0;
        for write in writes {
            succeeded += usize::from(write.await.unwrap());
        }
        assert_eq!(succeeded, 43);
        let head = store.read(|reader| reader.change_head(TENANT)).await.unwrap();
        assert!((10..=43).contains(&head.number), "{head:?}");
        assert_eq!(heads.borrow_and_update().get(&TENANT), Some(&head));
        let start = FeedPosition { number: 0, ..head };
        let entries = store.read(move |reader| reader.changes_after(TENANT, start, 100)).await.unwrap().unwrap();
        for number in 0..10 {
            let id = Uuid::from_u128(number).to_string();
            let kinds: Vec<_> =
                entries.iter().filter(|entry| entry.change.id == id).map(|entry| entry.change.kind).collect();
            assert_eq!(kinds[0], ChangeKind::Created);
            assert!(kinds[1..].iter().all(|kind| *kind == ChangeKind::Updated));
        }
    }
}

#[test]
fn restore_points_of_a_deleted_cloud_pc_are_told_of() {
    let book = Book::new();
    let id = CloudPcId(Uuid::from_u128(0xa1));
    let snapshot = Snapshot {
        tenant_id: TENANT,
        id: SnapshotId::new(id, Uuid::from_u128(5)),
        cloud_pc_id: id,
        snapshot_type: SnapshotType::Manual,
        created_at: Timestamp(1),
        last_restored_at: None,
    };
    book.write(move |tx| tx.snapshot_put(&snapshot)).unwrap();
    book.write(move |tx| tx.cloud_pc_delete(TENANT, id)).unwrap();
    let entries = after(&book, start(&book), 10).unwrap();
    let expected =
        Change::new(ChangeKind::Deleted, EntityType::Snapshot, SnapshotId::new(id, Uuid::from_u128(5))).within(id);
    assert_eq!(entries[1].change, expected);
}
