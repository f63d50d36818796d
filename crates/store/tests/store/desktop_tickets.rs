//! Tickets to desktops: used once, stage by stage, and kept as hashes.

use cloudpc_model::Timestamp;
use cloudpc_store::{DesktopKey, DesktopTicket, SecretHash, Store, WriteMode};

use crate::fixture::{Book, OTHER_TENANT, TENANT, block_on, open_sql};

const TICKET: SecretHash = [1; 32];
const KEY: SecretHash = [2; 32];

fn ticket(hash: SecretHash, caller: &str) -> DesktopTicket {
    DesktopTicket {
        hash,
        tenant_id: TENANT,
        caller: caller.into(),
        admission: format!("what {caller} may"),
        expires_at: Timestamp(60),
    }
}

#[test]
fn a_ticket_opens_one_page_and_its_key_one_socket() {
    let book = Book::new();
    book.write(|tx| tx.desktop_ticket_insert(&ticket(TICKET, "ada"))).unwrap();
    assert_eq!(book.write(|tx| tx.desktop_key_take(TICKET)).unwrap(), None, "a ticket is not a key");
    let open = |now| book.write(move |tx| tx.desktop_ticket_open(TICKET, KEY, Timestamp(now), Timestamp(110)));
    assert_eq!(open(60).unwrap(), None, "expired");
    assert_eq!(open(59).unwrap().as_deref(), Some("what ada may"));
    assert_eq!(open(59).unwrap(), None, "used");
    let page = book.write(|tx| tx.desktop_ticket_open(KEY, [3; 32], Timestamp(59), Timestamp(110))).unwrap();
    assert_eq!(page, None, "a key is not a ticket");
    let taken = book.write(|tx| tx.desktop_key_take(KEY)).unwrap();
    let expected = DesktopKey { page_hash: TICKET, admission: "what ada may".into(), expires_at: Timestamp(110) };
    assert_eq!(taken, Some(expected));
    assert_eq!(book.write(|tx| tx.desktop_key_take(KEY)).unwrap(), None, "used");
}

#[test]
fn tickets_are_counted_by_caller_and_swept_when_they_expire() {
    let book = Book::new();
    let callers = ["ada", "ada", "alan"];
    for (number, caller) in (1..).zip(callers) {
        book.write(move |tx| tx.desktop_ticket_insert(&ticket([number; 32], caller))).unwrap();
    }
    book.write(|tx| tx.desktop_ticket_open([1; 32], [9; 32], Timestamp(1), Timestamp(61))).unwrap().unwrap();
    let count =
        |tenant, caller: Option<&'static str>| book.read(move |reader| reader.desktop_ticket_count(tenant, caller));
    assert_eq!([count(TENANT, Some("ada")), count(TENANT, Some("alan")), count(TENANT, None)], [2, 1, 3]);
    assert_eq!(count(OTHER_TENANT, None), 0);
    book.write(|tx| tx.desktop_tickets_expire(Timestamp(60))).unwrap();
    assert_eq!(count(TENANT, None), 1, "the page was opened later");
}

#[test]
fn a_ticket_outlives_a_restart() {
    let book = Book::in_file();
    book.write(|tx| tx.desktop_ticket_insert(&ticket(TICKET, "ada"))).unwrap();
    let Book { store, directory } = book;
    drop(store);
    let store = Store::open(directory.path(), WriteMode::Inline).unwrap();
    let opened =
        block_on(store.write("test.write", |tx| tx.desktop_ticket_open(TICKET, KEY, Timestamp(1), Timestamp(61))))
            .unwrap();
    assert!(opened.is_some());
    let stored: i64 =
        open_sql(directory.path()).query_row("SELECT count(*) FROM desktop_tickets", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 1);
}
