//! The schema, as a new database and as every upgraded one must have it.

use cloudpc_model::{Actor, AuditEntry, AuditResource, AuditVerb, ResourceType, TenantId, Timestamp};
use cloudpc_store::{CLOUD_PCS, ListCondition, Store, StoreError, WriteMode, cloud_pc_columns, testing};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use uuid::Uuid;

use crate::fixture::{Book, block_on, open_sql};

#[test]
fn the_schema_is_the_golden_one() {
    let book = Book::in_file();
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

/// What a program of version 2 has left: an action that has ended, one under way, and Cloud PCs in
/// and out of use.
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
             events, worker_id, at_front, remote, open)
             VALUES (x'01', 1, 'machine', ?1, '{}', '{}', 1, 9, 'done', 1, 2, '[]', 1, 0, 0, 1, 0) RETURNING id",
            [kind],
            |row| row.get::<_, i64>(0),
        )
    };
    assert_eq!(undo("undo").unwrap(), 21, "a number is never given twice");
    undo("a kind of a later version").unwrap();
}

#[test]
fn names_of_an_upgraded_database_are_found_whatever_their_case() {
    let directory = tempfile::tempdir().unwrap();
    let old = open_sql(directory.path());
    old.execute_batch(&VERSION_2.concat()).unwrap();
    old.execute_batch("PRAGMA user_version = 2").unwrap();
    let tenant = Uuid::from_u128(1);
    for (number, name) in [(1, "Ärger-ÄRGER"), (2, "PC"), (3, "")] {
        old.execute(
            "INSERT INTO cloud_pcs VALUES (?1, ?2, ?2, ?1, ?3, '', ?1, '', ?1, '', '', '', '', 'business', 'failed', NULL,
             'running', 'running', 'windows11', 'standardUser', NULL, NULL, 1, 1)",
            rusqlite::params![tenant, Uuid::from_u128(number), name],
        )
        .unwrap();
    }
    drop(old);
    let store = Store::open(directory.path(), WriteMode::InlineTwice).unwrap();
    let found = |text: &str| {
        let condition = ListCondition::Contains(cloud_pc_columns::DISPLAY_NAME_FOLDED, text.into());
        let found = block_on(store.read(move |reader| {
            let plan = reader.list_plan(&CLOUD_PCS, TenantId(tenant), &condition, &[], None)?;
            reader.list(&CLOUD_PCS, TenantId(tenant), &plan, None, 9)
        }));
        found.unwrap().rows.into_iter().map(|(_, cloud_pc)| cloud_pc.display_name).collect::<Vec<_>>()
    };
    assert_eq!(found("ärger-ä"), ["Ärger-ÄRGER"]);
    assert_eq!(found("ger"), ["Ärger-ÄRGER"]);
    assert_eq!(found("gerr"), [""; 0]);
    assert_eq!(found("pc"), ["PC"]);
    assert_eq!(found("c"), ["PC"]);
    drop(store);
    let sql = open_sql(directory.path());
    let parts: i64 = sql.query_row("SELECT count(*) FROM cloud_pc_name_parts", [], |row| row.get(0)).unwrap();
    assert_eq!(parts, 6 + 2, "none that repeats another as a whole");
}

#[test]
fn numbers_of_an_upgraded_database_go_on_from_the_highest_of_each_owner() {
    let directory = tempfile::tempdir().unwrap();
    let old = open_sql(directory.path());
    old.execute_batch(&VERSION_2.concat()).unwrap();
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for (tenant, id) in [(first, 1), (first, 2), (second, 1)] {
        let insert = "INSERT INTO audit VALUES (?1, ?2, 5, ?3, 'Add fault', 'Fault', '', '')";
        old.execute(insert, rusqlite::params![tenant, id, serde_json::to_string(&Actor::system()).unwrap()]).unwrap();
        let insert = "INSERT INTO reports VALUES (?1, ?1, ?2, 'deployAgent', '{}', 1, '', '', '', NULL, '', NULL)";
        old.execute(insert, rusqlite::params![tenant, id]).unwrap();
    }
    old.execute_batch("PRAGMA user_version = 2").unwrap();
    drop(old);
    let store = Store::open(directory.path(), WriteMode::InlineTwice).unwrap();
    let add = store.write("test.write", move |tx| {
        for tenant in [first, second].map(TenantId) {
            let resource = AuditResource::new(ResourceType::Fault, "");
            tx.audit_insert(&AuditEntry::new(tenant, Timestamp(6), Actor::system(), AuditVerb::Clear, resource))?;
        }
        Ok::<_, StoreError>(())
    });
    block_on(add).unwrap();
    for (tenant, ids) in [(first, vec![3, 2, 1]), (second, vec![2, 1])] {
        let rows = block_on(store.read(move |reader| reader.audit_list(TenantId(tenant), None, 9))).unwrap();
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
    }
    let sql = open_sql(directory.path());
    let reports: String =
        sql.query_row("SELECT group_concat(value) FROM counters WHERE kind = 'report'", [], |row| row.get(0)).unwrap();
    assert_eq!(reports, "2,1");
}

#[test]
fn old_audit_rows_keep_their_text_and_tell_verb_and_result() {
    let directory = tempfile::tempdir().unwrap();
    let old = open_sql(directory.path());
    old.execute_batch(&VERSION_2.concat()).unwrap();
    old.execute_batch("PRAGMA user_version = 2").unwrap();
    let actor = r#"{"kind":"user","appId":null,"appName":"cli","userId":null,"userPrincipalName":"ada@contoso.test"}"#;
    for (id, (activity, resource_type)) in (1_i64..).zip([
        ("Reprovision CloudPC", "CloudPC"),
        ("Reprovision CloudPC: failed", "CloudPC"),
        ("PowerOff CloudPC: done", "CloudPC"),
        ("DeployAgent CloudPC: notSupported", "CloudPC"),
        ("Undo CloudPC: stuck", "CloudPC"),
        ("Cancel PowerOff CloudPC", "CloudPC"),
        ("Settle Undo CloudPC", "CloudPC"),
        ("PowerCheck CloudPC: failed", "CloudPC"),
        ("HostDiskCheck CloudPC: well", "CloudPC"),
        ("Let mishap befall CloudPC", "CloudPC"),
        ("ConfigureAgent CloudPcExternalPartner", "CloudPcExternalPartner"),
        ("Delete CloudPcGalleryImage", "CloudPcGalleryImage"),
        ("Create application", "Application"),
        ("Rotate signing key", "SigningKey"),
        ("Create access token", "AccessToken"),
        ("Add fault", "Fault"),
        ("Remove fault", "Fault"),
        ("Clear faults", "Fault"),
        ("Advance clock", "Clock"),
        ("Advance clock to idle", "Clock"),
        ("Load scenario", "Fleet"),
        ("", "Fleet"),
        ("Something else", "Fleet"),
    ]) {
        old.execute(
            "INSERT INTO audit VALUES (?1, ?2, 5, ?3, ?4, ?5, 'which', 'request')",
            rusqlite::params![Uuid::from_u128(1), id, actor, activity, resource_type],
        )
        .unwrap();
    }
    drop(old);
    let store = Store::open(directory.path(), WriteMode::Inline).unwrap();
    let read = store.read(|reader| reader.audit_list(TenantId(Uuid::from_u128(1)), None, 99));
    let mut rows = block_on(read).unwrap();
    rows.reverse();
    let mut told = String::new();
    for AuditEntry { old_activity, verb, result, .. } in &rows {
        writeln!(told, "{}: {verb:?}, {result:?}", old_activity.as_deref().unwrap()).unwrap();
    }
    insta::assert_snapshot!(told);
    let entry = &rows[1];
    assert_eq!(entry.activity(), "Reprovision CloudPC: failed");
    assert_eq!((&*entry.resource.id, &*entry.request_id, entry.at.0), ("which", "request", 5));
    assert_eq!(entry.actor.user_principal_name, "ada@contoso.test");
}

/// A column: its table, its name, its type as SQLite says it, and whether it may be null.
type Column = (String, String, String, bool);

/// The tables and indexes are the same in both databases. Runs where the tests have PostgreSQL.
#[test]
fn postgresql_has_the_same_schema() {
    let Ok(url) = std::env::var(testing::POSTGRES) else { return };
    let file = Book::in_file();
    let in_sqlite = (columns_of(&file.sql()), indexes_of(&file.sql()));
    let directory = tempfile::tempdir().unwrap();
    drop(testing::open(directory.path(), WriteMode::Inline).unwrap());
    let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    let schema = testing::schema(directory.path());
    let columns = client
        .query(
            "SELECT table_name::text, column_name::text, upper(data_type), is_nullable = 'YES'
             FROM information_schema.columns WHERE table_schema = $1 AND table_name <> 'schema_version'",
            &[&schema],
        )
        .unwrap();
    let sqlite_type = |name: &str| name.replace("BIGINT", "INTEGER").replace("BYTEA", "BLOB");
    let columns: BTreeSet<Column> =
        columns.iter().map(|row| (row.get(0), row.get(1), sqlite_type(&row.get::<_, String>(2)), row.get(3))).collect();
    let unnamed = "SELECT indexname::text FROM pg_indexes WHERE schemaname = $1
         AND indexname NOT LIKE '%\\_pkey' AND indexname NOT LIKE '%\\_key'";
    let indexes: BTreeSet<String> = client.query(unnamed, &[&schema]).unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!((columns, indexes), in_sqlite);
}

fn columns_of(database: &rusqlite::Connection) -> BTreeSet<Column> {
    let select = "SELECT tables.name, columns.name, columns.type, columns.\"notnull\" = 0 AND columns.pk = 0
         FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
         WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'";
    let mut select = database.prepare(select).unwrap();
    let column = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    select.query_map([], column).unwrap().map(Result::unwrap).collect()
}

fn indexes_of(database: &rusqlite::Connection) -> BTreeSet<String> {
    let select = "SELECT name FROM sqlite_schema WHERE type = 'index' AND name NOT LIKE 'sqlite_%'";
    let mut select = database.prepare(select).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}
