//! Finished pages: what is kept of them is what the rows say, and nothing else changes for who
//! reads.

use cloudpc_model::{ActionId, State};
use cloudpc_store::{Deployment, DeploymentFilter, FinishedPage, PAGE_DEPLOYMENTS, Store, WriteMode};

use crate::fixture::{Book, OTHER_TENANT, PARTNER, TENANT, block_on, deploy, finished, reboot};

const LATEST: ActionId = ActionId(i64::MAX);
const FORMAT: u32 = 1;

#[test]
fn a_page_is_written_once_all_of_it_has_ended() {
    let book = Book::new();
    // Numbers of other actions lie between those of the deployments.
    let ids: Vec<_> = (0..3 * PAGE_DEPLOYMENTS - 1).map(|number| deployment(&book, number)).collect();
    let (first, rest) = ids.split_at(PAGE_DEPLOYMENTS);
    let (second, third) = rest.split_at(PAGE_DEPLOYMENTS);
    let page = |after, until| book.read(move |reader| reader.deployment_page(TENANT, PARTNER, after, until, FORMAT));
    // The first page has one that is still open; it does not hold up the second; the third is not
    // full.
    for id in first[1..].iter().chain(second).chain(third) {
        end(&book, *id);
    }
    assert_eq!(finish(&book), 1);
    assert_eq!(finish(&book), 0, "only once");
    let start = ActionId(0);
    assert_eq!(page(start, LATEST), None);
    assert_eq!(page(first[PAGE_DEPLOYMENTS - 1], LATEST), Some(expected(&book, first[PAGE_DEPLOYMENTS - 1])));

    end(&book, first[0]);
    assert_eq!(finish(&book), 1);
    assert_eq!(page(start, LATEST), Some(expected(&book, start)));
    let last = first[PAGE_DEPLOYMENTS - 1];
    assert_eq!(page(start, last), Some(expected(&book, start)), "a page may end where the reader's time ends");
    assert_eq!(page(start, ActionId(last.0 - 1)), None, "nor does a page show what came after it");
    assert_eq!(page(first[0], LATEST), None, "a page that begins elsewhere is read by its rows");
    assert_eq!(page(second[PAGE_DEPLOYMENTS - 1], LATEST), None, "the third is not full");
    let stranger = book.read(move |reader| reader.deployment_page(OTHER_TENANT, PARTNER, ActionId(0), LATEST, FORMAT));
    assert_eq!(stranger, None);
}

#[test]
fn another_format_is_not_read_and_is_written_anew() {
    let book = Book::new();
    for number in 0..PAGE_DEPLOYMENTS {
        let id = deployment(&book, number);
        end(&book, id);
    }
    let page = |format| book.read(move |reader| reader.deployment_page(TENANT, PARTNER, ActionId(0), LATEST, format));
    assert_eq!(finish(&book), 1);
    assert_eq!(page(FORMAT + 1), None);
    assert_eq!(block_on(book.store.deployment_pages_finish(FORMAT + 1, |_| b"new".to_vec())).unwrap(), 1);
    assert_eq!(page(FORMAT), None);
    assert_eq!(page(FORMAT + 1).unwrap().body, b"new");
}

#[test]
fn more_pages_than_are_looked_at_in_one_read_are_all_written() {
    const PAGES: usize = 35;
    let book = Book::new();
    book.write(|tx| {
        for number in 0..PAGES * PAGE_DEPLOYMENTS {
            let id = tx.action_insert(&deploy(&format!("machine {number}"), 1))?;
            // Every second page stays open.
            if (number / PAGE_DEPLOYMENTS).is_multiple_of(2) {
                tx.action_append(id, 0, cloudpc_model::Timestamp(2), finished(State::Canceled))?;
            }
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(finish(&book), PAGES.div_ceil(2));
}

#[test]
fn a_database_from_before_pages_gets_the_same_bounds() {
    let book = Book::in_file();
    for number in 0..2 * PAGE_DEPLOYMENTS + 7 {
        deployment(&book, number);
    }
    let bounds = |book: &Book| -> Vec<(i64, i64)> {
        let sql = book.sql();
        let mut pages =
            sql.prepare("SELECT after_action_id, last_action_id FROM deployment_pages ORDER BY id").unwrap();
        pages.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let as_inserted = bounds(&book);
    assert_eq!(as_inserted.len(), 2);
    let Book { store, directory } = book;
    drop(store);
    let sql = crate::fixture::open_sql(directory.path());
    sql.execute_batch(crate::fixture::BEFORE_WORKERS).unwrap();
    sql.execute_batch(crate::fixture::BEFORE_ROLLOUTS).unwrap();
    sql.execute_batch(crate::fixture::BEFORE_ENTITLEMENTS).unwrap();
    sql.execute_batch(crate::fixture::BEFORE_COUNTERS).unwrap();
    sql.execute_batch(
        "DROP TABLE device_codes; DROP TABLE sign_in_counters; DROP INDEX users_domain;
         DROP TABLE deployment_pages; DROP TABLE undo_records; DROP TABLE health_checks; DROP TABLE health_events;
         DROP TABLE desktop_tickets;
         ALTER TABLE cloud_pcs DROP COLUMN status_before; ALTER TABLE actions DROP COLUMN tag_nonce;
         CREATE INDEX actions_open_remote ON actions (line_id); CREATE INDEX actions_line ON actions (line_id);
         DROP INDEX actions_open; ALTER TABLE partner_totals ADD COLUMN reports INTEGER;
         ALTER TABLE deployments ADD COLUMN step TEXT; ALTER TABLE audit ADD COLUMN activity TEXT;
         PRAGMA user_version = 1",
    )
    .unwrap();
    sql.execute_batch(crate::fixture::BEFORE_LISTS).unwrap();
    sql.execute_batch(crate::fixture::BEFORE_DIRECTORY).unwrap();
    sql.execute_batch(crate::fixture::BEFORE_DOCUMENTS).unwrap();
    drop(sql);
    let upgraded = Book { store: Store::open(directory.path(), WriteMode::Inline).unwrap(), directory };
    assert_eq!(bounds(&upgraded), as_inserted);
}

/// Adds a deployment and, on the same machine, something else.
fn deployment(book: &Book, number: usize) -> ActionId {
    book.write(move |tx| {
        let id = tx.action_insert(&deploy(&format!("machine {number}"), 1))?;
        tx.action_insert(&reboot(&format!("machine {number}"), 2))?;
        Ok(id)
    })
    .unwrap()
}

fn end(book: &Book, id: ActionId) {
    book.append(id, 0, 3, finished(State::Canceled)).unwrap();
}

fn finish(book: &Book) -> usize {
    block_on(book.store.deployment_pages_finish(FORMAT, text)).unwrap()
}

fn text(deployments: &[Deployment]) -> Vec<u8> {
    format!("{deployments:?}").into_bytes()
}

/// The page made of its rows.
fn expected(book: &Book, after: ActionId) -> FinishedPage {
    let rows = book.read(move |reader| {
        reader.deployment_list(TENANT, PARTNER, &DeploymentFilter::default(), after, LATEST, PAGE_DEPLOYMENTS)
    });
    FinishedPage { body: text(&rows), last: rows.last().unwrap().action_id }
}
