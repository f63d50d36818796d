//! Files that are damaged, replaced, readable by others, or older than what was seen before.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use cloudpc_model::{ActionId, Actor, AuditEntry, AuditResource, AuditVerb, ResourceType, Timestamp};
use cloudpc_store::{Store, StoreError, Watermark, WriteMode};
use tempfile::TempDir;

use crate::fixture::{Book, MACHINE, TENANT, block_on, reboot};

const PAGE_BYTES: u64 = 4096;
const SETTINGS: usize = 2_000;

/// A closed database of some hundred pages.
fn filled() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
    let fill = store
        .write("test.write", |tx| (0..SETTINGS).try_for_each(|number| tx.setting_put(&number.to_string(), &[7; 200])));
    block_on::<_>(fill).map_err(|error: StoreError| error).unwrap();
    drop(store);
    directory
}

/// Overwrites the last page of the database, which is one of the settings.
fn spoil(directory: &Path) {
    let file = fs::OpenOptions::new().write(true).open(directory.join("cloudpc.db")).unwrap();
    let last = file.metadata().unwrap().len() - PAGE_BYTES;
    file.write_all_at(&[0xFF; 4096], last).unwrap();
}

#[test]
fn a_damaged_page_is_found_by_the_check_and_remembered() {
    let directory = filled();
    let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
    store.check_pages(|| false).unwrap();
    assert_eq!(store.damage(), None);
    drop(store);

    spoil(directory.path());
    let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
    assert_eq!(store.damage(), None, "nobody has looked yet");
    store.check_pages(|| true).unwrap();
    assert_eq!(store.damage(), None, "a check that is stopped has found nothing");
    store.check_pages(|| false).unwrap();
    assert!(store.damage().is_some());
}

#[test]
fn a_damaged_page_that_a_read_meets_is_remembered() {
    for mode in [WriteMode::Grouped, WriteMode::Inline] {
        let directory = filled();
        spoil(directory.path());
        let store = Store::open(directory.path(), mode).unwrap();
        let read_all = store.read(|reader| (0..SETTINGS).try_for_each(|n| reader.setting(&n.to_string()).map(drop)));
        let failed: StoreError = block_on(read_all).unwrap_err();
        assert!(store.damage().is_some_and(|damage| damage == failed.to_string()), "{failed}");
    }
}

#[test]
fn an_error_of_the_disk_is_no_damage() {
    let book = Book::new();
    let missing = book.write(|tx| tx.action_append(ActionId(9), 1, Timestamp(1), cloudpc_model::EventKind::Claimed));
    assert!(missing.is_err());
    assert_eq!(book.store.damage(), None);
}

#[test]
fn a_database_that_is_removed_or_replaced_under_its_store_is_noticed() {
    let directory = filled();
    let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
    store.check_file();
    assert_eq!(store.damage(), None);
    let path = directory.path().join("cloudpc.db");
    fs::copy(&path, directory.path().join("copy")).unwrap();
    fs::rename(directory.path().join("copy"), &path).unwrap();
    store.check_file();
    assert!(store.damage().unwrap().contains("replaced"));
}

#[test]
fn a_second_store_is_refused_even_if_the_lock_file_was_removed() {
    for mode in [WriteMode::Grouped, WriteMode::Inline] {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), mode).unwrap();
        fs::remove_file(directory.path().join("lock")).unwrap();
        let second = Store::open(directory.path(), WriteMode::Grouped).map(drop).unwrap_err();
        assert!(matches!(second, StoreError::InUse), "{second}");
        drop(store);
        Store::open(directory.path(), mode).unwrap();
    }
}

#[test]
fn files_that_others_could_read_are_closed_to_them() {
    let directory = filled();
    for name in ["cloudpc.db", "lock"] {
        fs::set_permissions(directory.path().join(name), Permissions::from_mode(0o664)).unwrap();
    }
    let _store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

#[test]
fn a_watermark_rises_with_actions_and_audit_events_and_never_falls() {
    let book = Book::new();
    book.write(|tx| tx.tenant_put(TENANT, "Contoso")).unwrap();
    assert_eq!(book.read(|reader| reader.watermark()), Watermark::default());
    book.insert(reboot(MACHINE, 1)).unwrap();
    let resource = AuditResource::new(ResourceType::CloudPc, MACHINE);
    let entry = AuditEntry::new(TENANT, Timestamp(1), Actor::system(), AuditVerb::Reboot, resource);
    let add = entry.clone();
    book.write(move |tx| tx.audit_insert(&add)).unwrap();
    let before = Watermark { actions: 1, audit_events: 1 };
    assert_eq!(book.read(|reader| reader.watermark()), before);

    book.write(|tx| tx.reset()).unwrap();
    assert_eq!(book.read(|reader| reader.watermark()), before);
    book.write(move |tx| {
        tx.tenant_put(TENANT, "Contoso")?;
        tx.audit_insert(&entry)
    })
    .unwrap();
    assert_eq!(book.read(|reader| reader.watermark()), Watermark { actions: 1, audit_events: 2 });
}

#[test]
fn numbers_that_an_older_database_has_lost_are_skipped() {
    let (new, used) = (Book::new(), Book::new());
    used.insert(reboot(MACHINE, 1)).unwrap();
    for book in [new, used] {
        book.write(|tx| tx.action_numbers_skip(20)).unwrap();
        book.write(|tx| tx.action_numbers_skip(3)).unwrap();
        let other = reboot("00000000-0000-0000-0000-0000000000a9", 1);
        assert_eq!(book.insert(other).unwrap(), ActionId(21));
    }
}
