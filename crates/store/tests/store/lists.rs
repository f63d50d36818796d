//! Lists over any number of windows: which index selects their rows, and how they are sorted.

use std::cmp::Ordering;

use cloudpc_model::{Timestamp, UserId};
use cloudpc_store::{
    CLOUD_PCS, KeyRanges, ListColumn, ListCondition, ListOrder, ListPosition, ListRows, ListTop, ListValue, StoreError,
    Tx, USERS, User, UserProfile, cloud_pc_columns, user_columns,
};
use uuid::Uuid;

use crate::fixture::{Book, TENANT, cloud_pc};

/// Rows of several windows.
const ROWS: usize = 5_000;
const PAGE: usize = 900;

/// A store with users whose names and times repeat.
fn filled() -> Book {
    filled_with(ROWS)
}

fn filled_with(rows: usize) -> Book {
    fill(Book::new(), rows)
}

fn fill(book: Book, rows: usize) -> Book {
    let users = move |tx: &mut Tx<'_>| (1..=rows).try_for_each(|number| tx.user_put(&numbered(number)));
    book.write(users).unwrap();
    book
}

fn numbered(number: usize) -> User {
    let of = |count: usize| number % count;
    User {
        tenant_id: TENANT,
        id: UserId(Uuid::from_u128(u128::try_from(number * 7_919 % 10_007).unwrap())),
        user_principal_name: format!("user-{number}@contoso.test"),
        display_name: format!("name {}", of(7)),
        password_hash: None,
        roles: Vec::new(),
        permissions: Vec::new(),
        enabled: of(2) == 1,
        profile: UserProfile {
            department: (of(3) > 0).then(|| format!("department {}", of(3))),
            ..UserProfile::default()
        },
        created_at: (of(5) > 0).then(|| Timestamp(i64::try_from(of(11)).unwrap())),
    }
}

/// Reads a page; returns it with the number of reads.
fn page(
    book: &Book,
    order: &[ListOrder],
    after: Option<ListPosition>,
    limit: usize,
) -> (Vec<(ListPosition, User)>, usize) {
    let order = order.to_vec();
    book.read(move |reader| {
        let plan = reader.list_plan(&USERS, TENANT, &ListCondition::TRUE, &order, None)?;
        assert!(plan.is_sorted());
        let (mut top, mut reads) = (ListTop::default(), 1);
        while !reader.list_top(&USERS, TENANT, &plan, (after.as_ref(), limit), &mut top, Ok::<_, StoreError>)? {
            reads += 1;
        }
        Ok((top.into_rows(), reads))
    })
}

fn by(column: ListColumn, descending: bool) -> ListOrder {
    ListOrder { column, descending }
}

/// Returns the value of a column that this test sorts by.
fn value(column: ListColumn, user: &User) -> ListValue {
    let values = [
        (user_columns::ID, ListValue::Guid(user.id.0)),
        (user_columns::ENABLED, ListValue::Integer(user.enabled.into())),
        (user_columns::DISPLAY_NAME, ListValue::Text(user.display_name.clone())),
        (user_columns::USER_PRINCIPAL_NAME, ListValue::Text(user.user_principal_name.clone())),
        (user_columns::DEPARTMENT, ListValue::Text(user.profile.department.clone().unwrap_or_default())),
        (user_columns::CREATED_AT, ListValue::Integer(user.created_at.map_or(i64::MIN, |time| time.0))),
    ];
    values.into_iter().find(|(of, _)| *of == column).unwrap().1
}

#[test]
fn pages_of_a_sorted_list_have_every_row_once_and_in_order() {
    let book = filled();
    let everyone = book.read(|reader| reader.user_list(TENANT, None, ROWS));
    assert_eq!(everyone.len(), ROWS);
    for order in [
        vec![by(user_columns::DEPARTMENT, false)],
        vec![by(user_columns::CREATED_AT, true)],
        vec![by(user_columns::DISPLAY_NAME, false), by(user_columns::CREATED_AT, true)],
        vec![by(user_columns::DISPLAY_NAME, true), by(user_columns::ID, false)],
        vec![
            by(user_columns::ENABLED, true),
            by(user_columns::DISPLAY_NAME, false),
            by(user_columns::DEPARTMENT, true),
        ],
        vec![by(user_columns::CREATED_AT, false), by(user_columns::USER_PRINCIPAL_NAME, true)],
    ] {
        let keys = order.iter().copied().chain([by(user_columns::ID, order[0].descending)]);
        let keys: Vec<_> = keys.collect();
        let mut expected = everyone.clone();
        expected.sort_by(|a, b| {
            let orders = keys.iter().map(|key| {
                let order = value(key.column, a).cmp(&value(key.column, b));
                if key.descending { order.reverse() } else { order }
            });
            orders.fold(Ordering::Equal, Ordering::then)
        });
        let (mut found, mut after): (Vec<UserId>, Option<ListPosition>) = (Vec::new(), None);
        loop {
            let (rows, _) = page(&book, &order, after.take(), PAGE);
            found.extend(rows.iter().map(|(_, user)| user.id));
            match rows.last() {
                Some((at, _)) if rows.len() == PAGE => after = Some(at.clone()),
                _ => break,
            }
        }
        let expected: Vec<_> = expected.iter().map(|user| user.id).collect();
        assert_eq!(found.len(), ROWS, "{order:?}");
        assert!(found == expected, "{order:?}");
    }
}

#[test]
fn a_page_by_an_index_and_another_column_reads_one_window() {
    let book = filled();
    let order = [by(user_columns::USER_PRINCIPAL_NAME, false), by(user_columns::CREATED_AT, true)];
    let (first, reads) = page(&book, &order, None, 100);
    assert_eq!((first.len(), reads), (100, 1));
    let (second, reads) = page(&book, &order, first.last().map(|(at, _)| at.clone()), 100);
    assert_eq!((second.len(), reads), (100, 1));
    assert!(first.last().unwrap().1.user_principal_name < second[0].1.user_principal_name);
}

#[test]
fn what_an_order_says_after_the_id_is_ignored() {
    let book = filled();
    let ids = |order: Vec<ListOrder>| -> Vec<UserId> {
        book.read(move |reader| {
            let plan = reader.list_plan(&USERS, TENANT, &ListCondition::TRUE, &order, None)?;
            assert!(!plan.is_sorted(), "an index has the order {order:?}");
            let found = reader.list(&USERS, TENANT, &plan, None, 50)?;
            Ok(found.rows.into_iter().map(|(_, user)| user.id).collect())
        })
    };
    for descending in [false, true] {
        let (name, id) = (by(user_columns::DISPLAY_NAME, descending), by(user_columns::ID, descending));
        assert_eq!(ids(vec![name]), ids(vec![name, id]));
        assert_eq!(ids(vec![name]), ids(vec![name, id, by(user_columns::DEPARTMENT, true)]));
        assert_eq!(ids(vec![id]), ids(vec![id, name]));
    }
}

#[test]
fn a_row_that_moves_while_a_list_is_sorted_is_in_it_once() {
    let book = fill(Book::in_file(), ROWS);
    let condition = ListCondition::Within(user_columns::USER_PRINCIPAL_NAME, KeyRanges::prefix("user-"));
    let plan = book
        .read(move |reader| reader.list_plan(&USERS, TENANT, &condition, &[by(user_columns::DEPARTMENT, false)], None));
    let mut top = ListTop::default();
    let sort = |mut top| {
        let plan = plan.clone();
        book.read(move |reader| {
            let is_found = reader.list_top(&USERS, TENANT, &plan, (None, ROWS), &mut top, Ok::<_, StoreError>)?;
            Ok((top, is_found))
        })
    };
    (top, _) = sort(top);
    // Out of the part that was read, into one that is still to be read.
    let change = "UPDATE users SET user_principal_name = 'user-zzz' WHERE user_principal_name = 'user-1@contoso.test'";
    assert_eq!(book.sql().execute(change, ()).unwrap(), 1);
    let mut is_found = false;
    while !is_found {
        (top, is_found) = sort(top);
    }
    let mut ids: Vec<_> = top.into_rows().into_iter().map(|(_, user)| user.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), ROWS);
}

/// Rows that one call checks, at most.
const WINDOW_ROWS: usize = 2_000;
/// Rows that a range counts as, at least.
const RANGE_ROWS_MIN: usize = 125;

/// Counts the rows of a condition; returns how many each call found.
fn counts(book: &Book, condition: &ListCondition) -> Vec<u64> {
    let condition = condition.clone();
    book.read(move |reader| {
        let plan = reader.list_plan(&USERS, TENANT, &condition, &[], None)?;
        let (mut counts, mut after) = (Vec::new(), None);
        loop {
            let part = reader.list_count(&USERS, TENANT, &plan, after.as_ref())?;
            counts.push(part.count);
            after = part.next;
            if after.is_none() {
                return Ok(counts);
            }
        }
    })
}

/// Matches every row of [`filled`], and no index says so.
fn checked() -> ListCondition {
    ListCondition::Within(user_columns::GIVEN_NAME, KeyRanges::points([ListValue::Text(String::new())]))
}

fn texts(texts: impl IntoIterator<Item = String>) -> KeyRanges {
    KeyRanges::points(texts.into_iter().map(ListValue::Text))
}

#[test]
fn one_call_checks_the_rows_of_a_window() {
    let most = u64::try_from(WINDOW_ROWS).unwrap();
    assert_eq!(counts(&filled_with(WINDOW_ROWS - 1), &checked()), [most - 1]);
    assert_eq!(counts(&filled_with(WINDOW_ROWS), &checked()), [most, 0], "the list may have ended");
    assert_eq!(counts(&filled_with(WINDOW_ROWS + 1), &checked()), [most, 1]);

    let book = filled_with(WINDOW_ROWS + 1);
    let nothing = ListCondition::Within(user_columns::GIVEN_NAME, texts(["nobody".into()]));
    let found = selected(&book, &nothing, None, 1);
    assert!(found.rows.is_empty() && found.next.is_some());
    let found = selected(&book, &nothing, found.next, 1);
    assert!(found.rows.is_empty() && found.next.is_none());
}

#[test]
fn one_call_checks_the_rows_of_a_window_in_any_number_of_ranges() {
    let book = filled();
    let names = ListCondition::Within(user_columns::DISPLAY_NAME, texts((0..7).map(|n| format!("name {n}"))));
    assert_eq!(counts(&book, &ListCondition::all([names, checked()])), [2_000, 2_000, 1_000]);

    // Ranges of one row, and ranges without any between them.
    let ranges = WINDOW_ROWS / RANGE_ROWS_MIN;
    let name = |n: usize| [format!("user-{n}@contoso.test"), format!("user-{n}@nowhere.test")];
    let of = |count: usize| {
        let names = texts((1..=count).flat_map(name));
        ListCondition::all([ListCondition::Within(user_columns::USER_PRINCIPAL_NAME, names), checked()])
    };
    let most = u64::try_from(ranges).unwrap();
    assert_eq!(counts(&book, &of(ranges - 1)), [most - 1]);
    assert_eq!(counts(&book, &of(ranges + 1)), [most, 1]);
    assert_eq!(counts(&book, &of(2 * ranges + 1)), [most, most, 1]);
}

#[test]
fn few_rows_are_sorted_in_memory_and_many_are_read_in_order() {
    const SORTED_ROWS_MAX: usize = 2_000;
    for (rows, is_sorted) in [(SORTED_ROWS_MAX, true), (SORTED_ROWS_MAX + 1, false)] {
        let condition = ListCondition::Within(user_columns::USER_PRINCIPAL_NAME, KeyRanges::prefix("user-"));
        let plan = filled_with(rows).read(move |reader| {
            reader.list_plan(&USERS, TENANT, &condition, &[by(user_columns::DISPLAY_NAME, false)], None)
        });
        assert_eq!(plan.is_sorted(), is_sorted, "{rows}");
    }
}

#[test]
fn accesses_are_compared_by_counting_up_to_a_limit() {
    const FEW_ROWS: usize = 125;
    const COUNTED_ROWS_MAX: usize = 2_000;
    // The first access has the users without an address, the second those of a name.
    let reads_by_name = |without_mail: usize, named: usize| {
        let book = fill(Book::in_file(), ROWS);
        let change = "UPDATE users SET user_principal_name = 'few-' || user_principal_name
            WHERE id IN (SELECT id FROM users ORDER BY id LIMIT ?1)";
        book.sql().execute(change, [i64::try_from(named).unwrap()]).unwrap();
        let change = "UPDATE users SET mail = 'a@b.test'
            WHERE id IN (SELECT id FROM users ORDER BY id DESC LIMIT ?1)";
        book.sql().execute(change, [i64::try_from(ROWS - without_mail).unwrap()]).unwrap();
        let found = selected(&book, &self::without_mail("few-"), None, 9);
        found.rows.is_sorted_by_key(|(_, user)| user.user_principal_name.clone())
    };
    assert!(!reads_by_name(FEW_ROWS - 1, 50), "few rows are not compared with fewer");
    assert!(reads_by_name(FEW_ROWS, 50));
    assert!(reads_by_name(ROWS, COUNTED_ROWS_MAX - 1));
    assert!(!reads_by_name(ROWS, COUNTED_ROWS_MAX), "too many to count");
}

/// Selects users without a mail address whose names begin with this text: of [`filled`], all are
/// without an address.
fn without_mail(prefix: &str) -> ListCondition {
    let text = |text: &str| ListValue::Text(text.into());
    ListCondition::all([
        ListCondition::Within(user_columns::MAIL, KeyRanges::points([text("")])),
        ListCondition::Within(user_columns::USER_PRINCIPAL_NAME, KeyRanges::prefix(prefix)),
    ])
}

/// Reads once after a position, as a page does.
fn selected(book: &Book, condition: &ListCondition, after: Option<ListPosition>, limit: usize) -> ListRows<User> {
    let condition = condition.clone();
    book.read(move |reader| {
        let plan = reader.list_plan(&USERS, TENANT, &condition, &[], after.as_ref())?;
        reader.list(&USERS, TENANT, &plan, after.as_ref(), limit)
    })
}

#[test]
fn the_index_with_the_fewest_rows_selects() {
    let book = filled();
    // 111 of the names; the index of addresses has more rows than one read checks.
    let found = selected(&book, &without_mail("user-49"), None, ROWS);
    assert_eq!((found.rows.len(), found.next), (111, None));
    // Of two indexes with many rows, the more selective column's.
    let found = selected(&book, &without_mail("user-"), None, PAGE);
    assert!(found.rows.is_sorted_by_key(|(_, user)| user.id), "{:?}", found.next);
}

#[test]
fn a_list_continues_by_the_index_that_it_began_with() {
    let book = fill(Book::in_file(), ROWS);
    let condition = without_mail("user-49");
    let first = selected(&book, &condition, None, 50);
    // Now the index of addresses has the same rows, and would be taken.
    let change = "UPDATE users SET mail = 'a@b.test' WHERE user_principal_name NOT LIKE 'user-49%'";
    book.sql().execute(change, ()).unwrap();
    let second = selected(&book, &condition, first.next.clone(), ROWS);
    assert_eq!(second.next, None);
    let names = |rows: &ListRows<User>| -> Vec<String> {
        rows.rows.iter().map(|(_, user)| user.user_principal_name.clone()).collect()
    };
    let mut all = [names(&first), names(&second)].concat();
    assert!(all.is_sorted(), "in the order of the names");
    all.dedup();
    assert_eq!(all.len(), 111);
}

/// A store with Cloud PCs of these names.
fn named(names: &[&str]) -> Book {
    let book = Book::in_file();
    for (number, name) in (1..).zip(names) {
        let mut cloud_pc = cloud_pc(TENANT, number, number);
        cloud_pc.display_name = (*name).to_owned();
        book.write(move |tx| tx.cloud_pc_insert(&cloud_pc)).unwrap();
    }
    book
}

/// Returns the names that contain a text, read page by page, and how many are counted.
fn containing(book: &Book, text: &str, limit: usize) -> (Vec<String>, u64) {
    let condition = ListCondition::Contains(cloud_pc_columns::DISPLAY_NAME_FOLDED, text.into());
    book.read(move |reader| {
        let plan = reader.list_plan(&CLOUD_PCS, TENANT, &condition, &[], None)?;
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let found = reader.list(&CLOUD_PCS, TENANT, &plan, after.as_ref(), limit)?;
            names.extend(found.rows.into_iter().map(|(_, cloud_pc)| cloud_pc.display_name));
            after = found.next;
            if after.is_none() {
                names.sort();
                return Ok((names, reader.list_count(&CLOUD_PCS, TENANT, &plan, None)?.count));
            }
        }
    })
}

#[test]
fn a_name_is_found_once_however_often_it_has_the_text() {
    let long = "ada's desktop ada's desktop ada's";
    let book = named(&["Desk-desk-DESK", "desk", "kkkkkkkkkkkkkkkkkkkk", "Ärger", long]);
    for limit in [1, 2, 9] {
        for (text, names) in [
            ("desk", vec!["Desk-desk-DESK", long, "desk"]),
            ("k-d", vec!["Desk-desk-DESK"]),
            ("k", vec!["Desk-desk-DESK", long, "desk", "kkkkkkkkkkkkkkkkkkkk"]),
            ("kk", vec!["kkkkkkkkkkkkkkkkkkkk"]),
            ("ä", vec!["Ärger"]),
            ("skd", vec![]),
            // Of more letters than a part has, the first ones select.
            ("desktop ada's desktop", vec![long]),
            ("desktop ada's deskpot", vec![]),
            (&"k".repeat(20), vec!["kkkkkkkkkkkkkkkkkkkk"]),
            (&"k".repeat(21), vec![]),
        ] {
            let count = u64::try_from(names.len()).unwrap();
            assert_eq!(
                containing(&book, text, limit),
                (names.iter().map(|name| (*name).to_owned()).collect(), count),
                "{text}"
            );
        }
    }
}

#[test]
fn a_list_does_not_continue_at_a_position_in_another_index() {
    let book = named(&["desk-1", "desk-2"]);
    let condition = ListCondition::Contains(cloud_pc_columns::DISPLAY_NAME_FOLDED, "desk".into());
    let plan = book.read(move |reader| reader.list_plan(&CLOUD_PCS, TENANT, &condition, &[], None));
    let at =
        |key: &str| serde_json::from_str::<ListPosition>(&format!(r#"{{"access":0,"key":{key},"id":{key}}}"#)).unwrap();
    assert!(plan.continues_at(&at(r#"{"text":"desk-1"}"#)));
    // Positions in the table of trigrams that there was before.
    assert!(!plan.continues_at(&at(r#"{"guid":"00000000-0000-0000-0000-000000000001"}"#)));
}
