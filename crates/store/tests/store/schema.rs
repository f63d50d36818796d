//! The schema, as a new database and as every upgraded one must have it.

use cloudpc_store::{Store, WriteMode};

use crate::fixture::{Book, open_sql};

#[test]
fn the_schema_is_the_golden_one() {
    let book = Book::new();
    let sql = book.sql();
    let mut statement = sql
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY tbl_name, type DESC, name")
        .unwrap();
    let schema: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    insta::assert_snapshot!(schema.join(";\n\n"));
}

/// The files that made a database of version 2, which never change.
const VERSION_2: [&str; 2] =
    [include_str!("../../migrations/0001_first.sql"), include_str!("../../migrations/0002_pages.sql")];

/// What a program of version 2 has left: an action that has ended, one under way, and Cloud PCs in and out of use.
const LEFT: &str = "
    INSERT INTO lines (id, tenant_id, name) VALUES (1, x'01', 'machine');
    INSERT INTO actions (id, tenant_id, line_id, target, kind, params, requested_by, requested_at, deadline_at, state, epoch, updated_at, steps,
        events, leased, at_front, remote, open) VALUES
        (7, x'01', 1, 'machine', 'reboot', '{\"kind\":\"reboot\"}', '{}', 1, 9, 'done', 1, 2, '[]', 1, 0, 0, 1, 0);
    INSERT INTO actions (id, tenant_id, line_id, target, kind, params, requested_by, requested_at, deadline_at, state, epoch, updated_at, steps,
        events, claim_at, leased, at_front, remote, open) VALUES
        (8, x'01', 1, 'machine', 'restore', '{\"kind\":\"restore\"}', '{}', 3, 9, 'running', 1, 4, '[{\"name\":\"dropOldDisk\"}]', 1, 5, 1, 1, 1, 1);
    INSERT INTO action_events VALUES (7, 1, 1, 0, '{\"event\":\"accepted\"}'), (8, 1, 3, 0, '{\"event\":\"accepted\"}');
    UPDATE sqlite_sequence SET seq = 20 WHERE name = 'actions';
    PRAGMA user_version = 2;
";

#[test]
fn a_database_of_version_2_is_brought_up_with_all_that_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let old = open_sql(directory.path());
    old.execute_batch(&VERSION_2.concat()).unwrap();
    old.execute_batch(LEFT).unwrap();
    for (id, status, detail) in [
        (1_u8, "provisioned", None),
        (2, "restoring", None),
        (3, "resizing", Some("{}")),
        (4, "provisioning", Some("{}")),
        (5, "failed", Some("{}")),
    ] {
        old.execute(
            "INSERT INTO cloud_pcs VALUES (x'01', ?1, ?1, x'01', '', '', x'01', '', x'01', '', '', '', '', 'business', ?2, ?3, 'running', 'running',
             'windows11', 'standardUser', NULL, NULL, 1, 1)",
            rusqlite::params![[id], status, detail],
        )
        .unwrap();
    }
    drop(old);
    drop(Store::open(directory.path(), WriteMode::Inline).unwrap());

    let sql = open_sql(directory.path());
    let text = |query: &str| sql.query_row(query, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    assert_eq!(text("SELECT group_concat(kind || ' ' || state, ', ') FROM actions"), "reboot done, restore running");
    assert_eq!(text("SELECT group_concat(action_id) FROM action_events"), "7,8");
    assert_eq!(
        text("SELECT group_concat(coalesce(tag_nonce, '-')) FROM actions"),
        "-,-",
        "their tags stay as they are"
    );
    // One was dropping its old disk and does not turn back any more.
    assert_eq!(text("SELECT group_concat(deadline_at) FROM actions"), "9,31536000000009");
    assert_eq!(
        text(
            "SELECT group_concat(coalesce(status_before, '-'), ' ') FROM (SELECT status_before FROM cloud_pcs ORDER BY id)"
        ),
        "- provisioned provisionedWithWarnings failed -"
    );
    let undo = |kind: &str| {
        sql.query_row(
            "INSERT INTO actions (tenant_id, line_id, target, kind, params, requested_by, requested_at, deadline_at, state, epoch, updated_at, steps,
             events, leased, at_front, remote, open)
             VALUES (x'01', 1, 'machine', ?1, '{}', '{}', 1, 9, 'done', 1, 2, '[]', 1, 0, 0, 1, 0) RETURNING id",
            [kind],
            |row| row.get::<_, i64>(0),
        )
    };
    assert_eq!(undo("undo").unwrap(), 21, "a number is never given twice");
    assert!(undo("redo").unwrap_err().to_string().contains("CHECK"));
}
