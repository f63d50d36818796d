//! Stores for tests: in a file of their directory, or in PostgreSQL if the variable
//! `CLOUDPC_TEST_POSTGRES` has the URL of a database.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use crate::{PostgresUrl, Store, StoreError, WriteMode};

/// The variable with the URL of a database in which each store gets a schema of its own.
pub const POSTGRES: &str = "CLOUDPC_TEST_POSTGRES";

/// Opens or creates the store of a directory.
///
/// # Errors
/// As [`Store::open`] and [`Store::connect`].
///
/// # Panics
/// The variable has no URL of a database.
pub fn open(directory: &Path, mode: WriteMode) -> Result<Store, StoreError> {
    let Ok(url) = std::env::var(POSTGRES) else { return Store::open(directory, mode) };
    // PostgreSQL's numbers of actions have gaps where a transaction runs twice.
    let mode = if mode == WriteMode::InlineTwice { WriteMode::Inline } else { mode };
    let url = PostgresUrl::parse(&url).unwrap_or_else(|error| panic!("{POSTGRES}: {error}"));
    Store::connect(&url.in_schema(&schema(directory)), directory, mode)
}

/// Returns the name of the schema that the store of a directory has in PostgreSQL.
pub fn schema(directory: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    directory.hash(&mut hasher);
    let mut name = String::from("test_");
    write!(name, "{:016x}", hasher.finish()).expect("writing to a string succeeds");
    name
}
