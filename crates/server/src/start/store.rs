//! Opens the store: a file of SQLite in the data directory, or the PostgreSQL database that the
//! configuration names.

use cloudpc_store::{PostgresUrl, SQLITE_FILE, Store, WriteMode};
use std::fs;
use std::path::Path;

use super::{StartError, directory};
use crate::config::StoreConfig;

/// Opens or creates the store of a data directory.
///
/// # Errors
/// The directory or the database cannot be used.
pub(super) fn open(data: &Path, config: &StoreConfig) -> Result<Store, StartError> {
    directory::prepare(data).map_err(|source| StartError::File { path: data.to_owned(), source })?;
    let Some(url) = &config.url else {
        return Store::open(data, WriteMode::Grouped)
            .map_err(|source| StartError::Store { path: data.to_owned(), source });
    };
    // Its fleet would seem to be gone.
    if data.join(SQLITE_FILE).exists() {
        return Err(StartError::TwoDatabases { path: data.join(SQLITE_FILE) });
    }
    let url = database(url, config).map_err(StartError::StoreUrl)?;
    Store::connect(&url, data, WriteMode::Grouped).map_err(|source| StartError::Postgres { source })
}

/// Reads the URL with what belongs to it.
fn database(url: &str, config: &StoreConfig) -> Result<PostgresUrl, String> {
    let mut url = PostgresUrl::parse(url)?;
    if let Some(file) = &config.password_file {
        let password =
            fs::read_to_string(file).map_err(|error| format!("password_file {}: {error}", file.display()))?;
        url = url.with_password(password.trim_end_matches(['\r', '\n']));
    }
    if let Some(file) = &config.ca_file {
        url = url.with_authorities(file).map_err(|error| format!("ca_file {}: {error}", file.display()))?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(config: &StoreConfig) -> String {
        let directory = tempfile::tempdir().unwrap();
        open(&directory.path().join("data"), config).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_configuration_of_the_database_is_explained_without_its_password() {
        let config = |url: &str| StoreConfig { url: Some(url.into()), ..StoreConfig::default() };
        let file = |name: &str| Some(Path::new("/nowhere").join(name));
        let local = "postgres://ada:secret@127.0.0.1:1/cloudpc?sslmode=disable";
        let messages = [
            failure(&config("mysql://ada:secret@host/cloudpc")),
            failure(&config("postgres://ada:secret@host/cloudpc?sslmode=maybe")),
            failure(&StoreConfig { password_file: file("password"), ..config(local) }),
            failure(&StoreConfig { ca_file: file("ca.pem"), ..config(local) }),
            failure(&config(local)),
        ];
        assert!(messages.iter().all(|message| !message.contains("secret")), "{messages:?}");
        insta::assert_snapshot!(messages.join("\n"), @"
        [store] it is no URL of a PostgreSQL database, such as postgres://user@host/database: unexpected EOF
        [store] it is no URL of a PostgreSQL database, such as postgres://user@host/database: invalid value for option `sslmode`
        [store] password_file /nowhere/password: No such file or directory (os error 2)
        [store] ca_file /nowhere/ca.pem: I/O error: No such file or directory (os error 2)
        the PostgreSQL database: the database failed: Connection refused (os error 111)
        ");
    }

    #[test]
    fn a_data_directory_with_a_file_of_sqlite_is_not_used_with_another_database() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path(), &StoreConfig::default()).unwrap());
        let url = Some("postgres://host/cloudpc".into());
        let error = open(directory.path(), &StoreConfig { url, ..StoreConfig::default() }).map(drop).unwrap_err();
        assert!(error.to_string().contains("cloudpc.db"), "{error}");
    }
}
