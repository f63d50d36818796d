//! The database: how to reach it, and its schema.

use std::fmt::{self, Debug, Formatter};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use postgres::config::SslMode;
use postgres::{Client, Config, NoTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::error::{DatabaseError, DatabaseErrorKind};
use super::Lock;
use crate::StoreError;

/// Time limit of a connection attempt.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Time after which the database ends a transaction in which nothing happens: a replica that has
/// stopped in the middle would keep the others from writing. Milliseconds.
const IDLE_IN_TRANSACTION_MS_MAX: u32 = 10_000;

/// Forward only, in order; applied files never change. The version of a database is the number of
/// migrations applied to it.
const MIGRATIONS: &[&str] = &[include_str!("../../../migrations/postgres/0001_first.sql")];

/// Where a PostgreSQL database is, and how to sign in there.
#[derive(Clone)]
pub struct PostgresUrl {
    config: Config,
    /// Authorities that may vouch for the server, PEM; those of the system if there are none.
    authorities: Vec<CertificateDer<'static>>,
    schema: Option<String>,
}

impl PostgresUrl {
    /// Reads a URL such as `postgres://user:password@host/database?sslmode=require`.
    ///
    /// # Errors
    /// It is not such a URL; the message does not repeat it, since it may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let mut config = Config::from_str(url).map_err(|error| {
            let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            format!("it is no URL of a PostgreSQL database, such as postgres://user@host/database: {reason}")
        })?;
        if config.get_application_name().is_none() {
            config.application_name("cloudpc");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIME_MAX);
        }
        Ok(Self { config, authorities: Vec::new(), schema: None })
    }

    /// The same database, with the password of its user.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// The same database, whose server must have a certificate of one of the authorities in a PEM
    /// file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn with_authorities(self, file: &Path) -> Result<Self, String> {
        let failed = |error: rustls::pki_types::pem::Error| error.to_string();
        let authorities = CertificateDer::pem_file_iter(file).map_err(failed)?;
        let authorities = authorities.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        if authorities.is_empty() {
            return Err("it holds no certificate in PEM form".into());
        }
        Ok(Self { authorities, ..self })
    }

    /// The same database, in which all tables are in this schema. It is created with them.
    #[must_use]
    pub fn in_schema(mut self, schema: &str) -> Self {
        self.config.options(&format!("-c search_path={schema}"));
        self.schema = Some(schema.to_owned());
        self
    }
}

/// Without the password.
impl Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresUrl")
            .field("hosts", &self.config.get_hosts())
            .field("database", &self.config.get_dbname())
            .finish_non_exhaustive()
    }
}

/// A database that can be connected to.
#[derive(Clone)]
pub(in super::super) struct PostgresDatabase {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    schema: Option<String>,
}

impl PostgresDatabase {
    /// # Errors
    /// The system has no certificate authorities, and TLS is asked for.
    pub(in super::super) fn new(url: &PostgresUrl) -> Result<Self, StoreError> {
        let mut config = url.config.clone();
        let options = config.get_options().unwrap_or_default();
        let timeout = format!("-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS_MAX}");
        config.options(format!("{options} {timeout}").trim_start());
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(tls_config(&url.authorities)?)),
        };
        Ok(Self { config, tls, schema: url.schema.clone() })
    }

    pub(super) fn connect(&self) -> Result<Client, StoreError> {
        let client = match &self.tls {
            Some(tls) => self.config.connect(tls.clone()),
            None => self.config.connect(NoTls),
        };
        client.map_err(super::failed)
    }

    /// Migrates the schema to the newest version, each step in a transaction of its own. Of several
    /// processes, one migrates and the others wait: the lock ends with the connection.
    pub(in super::super) fn migrate(&self) -> Result<(), StoreError> {
        let mut client = self.connect()?;
        let migrated = apply(&mut client, self.schema.as_deref(), MIGRATIONS);
        migrated.map_err(super::failed)?
    }
}

/// Returns [`StoreError::TooNew`] within, so that errors of the database pass by themselves.
fn apply(
    client: &mut Client,
    schema: Option<&str>,
    migrations: &[&str],
) -> Result<Result<(), StoreError>, postgres::Error> {
    if let Some(schema) = schema {
        client.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"))?;
    }
    client.batch_execute(&format!("SELECT pg_advisory_lock({})", Lock::Migration.key()))?;
    client.batch_execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")?;
    let found: i64 = client.query_one("SELECT coalesce(max(version), 0) FROM schema_version", &[])?.get(0);
    let known = i64::try_from(migrations.len()).expect("there are few migrations");
    let Some(applied) = usize::try_from(found).ok().filter(|applied| *applied <= migrations.len()) else {
        return Ok(Err(StoreError::TooNew { found, known }));
    };
    for (version, migration) in (1_usize..).zip(migrations).skip(applied) {
        let mut transaction = client.transaction()?;
        transaction.batch_execute(migration)?;
        transaction.batch_execute(&format!("INSERT INTO schema_version (version) VALUES ({version})"))?;
        transaction.commit()?;
    }
    Ok(Ok(()))
}

fn tls_config(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    if authorities.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    } else {
        roots.add_parsable_certificates(authorities.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| {
        StoreError::Database(DatabaseError::new(DatabaseErrorKind::Other, format!("TLS cannot be set up: {error}")))
    })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
