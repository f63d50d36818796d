//! The schema, as a new database and as every upgraded one must have it.

use crate::fixture::Book;

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
