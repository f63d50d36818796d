//! The configuration file: one struct per section. Unknown keys are rejected.

use cloudpc_drivers::qemu::{self, AcceleratorSetting, LimitsSetting};
use cloudpc_engine::RestartPolicy;
use cloudpc_identity::{IssuerConfig, is_trustworthy};
use cloudpc_model::TenantId;
use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

use crate::edge::ANY_ORIGIN;
use crate::pipeline::ThrottleLimits;

/// The whole file. Every key is optional; `docs/config.example.toml` lists them with their
/// defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[identity]`
    pub identity: IdentityConfig,
    /// `[throttling]`
    pub throttling: ThrottlingConfig,
    /// `[engine]`
    pub engine: EngineConfig,
    /// `[changes]`
    pub changes: ChangesConfig,
    /// `[undo]`
    pub undo: UndoConfig,
    /// `[machines]`
    pub machines: MachinesConfig,
    /// `[partners]`
    pub partners: PartnersConfig,
    /// `[downloads]`
    pub downloads: DownloadsConfig,
    /// `[qemu]`
    pub qemu: QemuConfig,
    /// `[webhooks]`
    pub webhooks: WebhooksConfig,
    /// `[desktop]`
    pub desktop: DesktopConfig,
    /// `[log]`
    pub log: LogConfig,
}

/// Where the database is.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// A PostgreSQL database, such as `postgres://user@host/database?sslmode=require`. By default,
    /// the database is a file of SQLite in the data directory.
    pub url: Option<String>,
    /// File with the password of the user, if the URL has none.
    pub password_file: Option<PathBuf>,
    /// PEM file with the certificate authorities of the database's certificate. By default, those
    /// of the system count.
    pub ca_file: Option<PathBuf>,
}

/// Without the URL, which may have a password.
impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StoreConfig").field("ca_file", &self.ca_file).finish_non_exhaustive()
    }
}

/// Names and networks by which clients reach the server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Hostnames and addresses by which clients reach the server, in addition to `localhost`,
    /// `127.0.0.1`, `::1` and the machine's own hostname. Requests to other names are refused. The
    /// certificate covers these names, and tokens can be requested for them.
    pub names: Vec<String>,
    /// Addresses and networks of proxies whose `X-Forwarded-For`, `X-Forwarded-Proto` and
    /// `X-Forwarded-Host` headers are trusted.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may call Graph and the token service, such as
    /// `https://portal.example.com`; `*` allows every origin.
    pub cors_origins: Vec<String>,
}

/// Token services and fidelity.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// Whether some of Graph's rules are relaxed.
    pub fidelity: Fidelity,
    /// Token services other than the built-in one.
    pub issuers: Vec<IssuerConfig>,
    /// Whether the public clients that exist in every tenant of Entra, such as that of the Azure
    /// CLI, exist in every tenant here.
    pub well_known_clients: bool,
}

/// Limits of requests under strict fidelity.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottlingConfig {
    /// Whether requests are limited. Under open fidelity they never are.
    pub enabled: bool,
    /// The stretch of time that the numbers are for, in seconds.
    pub window_s: u64,
    /// Requests of all applications of a tenant.
    pub tenant_requests: usize,
    /// POST, PUT, PATCH and DELETE requests of all applications of a tenant.
    pub tenant_writes: usize,
    /// Requests of one application in a tenant.
    pub app_requests: usize,
    /// POST, PUT, PATCH and DELETE requests of one application in a tenant.
    pub app_writes: usize,
}

/// Limits of running actions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Actions that run at the same time.
    pub running_max: usize,
    /// Lifetime of an action's lease without renewal, in seconds.
    pub lease_s: u64,
    /// Free disk space that an agent needs, in bytes.
    pub agent_disk_bytes_min: u64,
    /// Time limit of an agent's installer, in seconds.
    pub install_time_max_s: u64,
}

/// The change feed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangesConfig {
    /// Time for which changes are kept, in seconds.
    pub keep_s: u64,
}

/// Undo of actions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UndoConfig {
    /// Time after its end within which a reprovision, restore, resize or undo can be undone, in
    /// seconds. 0 disables undo.
    pub window_s: u64,
    /// Space that all old disks kept for undo may take together, in bytes.
    pub disk_bytes_max: u64,
}

/// Automatic recovery of machines.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachinesConfig {
    /// Whether machines that crashed or panicked are restarted: `onFailure` or `never`.
    pub restart: RestartPolicy,
}

/// External partners.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartnersConfig {
    /// Time without a heartbeat after which a partner counts as unhealthy, in seconds.
    pub heartbeat_silence_max_s: u64,
}

/// Downloads of agents.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DownloadsConfig {
    /// PEM file of certificate authorities that are trusted in addition to the public ones.
    pub extra_roots: Option<PathBuf>,
    /// Size limit of an agent, in bytes.
    pub size_bytes_max: u64,
}

/// Real machines on this host.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QemuConfig {
    /// The accelerator: `auto`, `kvm` or `tcg`.
    pub accelerator: AcceleratorSetting,
    /// Memory for all machines together, in GiB; by default the host's memory less 1 GiB.
    pub ram_gib_max: Option<u32>,
    /// What limits each machine to the memory and processors of its service plan: `auto`, `systemd`
    /// or `off`.
    pub limits: LimitsSetting,
    /// The host's bridge that machines are attached to; none: machines have no network.
    pub bridge: Option<String>,
    /// The folder of disks that images can be imported from; none: no files.
    pub source_images: Option<PathBuf>,
    /// URL prefixes that images may be imported from; empty: any public https URL.
    pub source_urls: Vec<String>,
    /// Time limit of a guest's graceful shutdown before the machine is powered off, in seconds.
    pub stop_time_max_s: u64,
    /// Time without an answer of the guest agent after which a Cloud PC is shown with a warning, in
    /// seconds.
    pub guest_silence_max_s: u64,
}

/// Receivers of webhooks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// URL prefixes that webhooks may have; empty: any public https URL. A prefix that names a
    /// private host allows that host.
    pub allowed_urls: Vec<String>,
    /// Whether a webhook may have an address of the service's own host, at any port.
    pub allow_loopback: bool,
}

/// Screens of machines, in browsers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DesktopConfig {
    /// The folder in which noVNC is installed.
    pub novnc: PathBuf,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Which lines are written, e.g. `info`, which logs each request, or
    /// `warn,cloudpc_engine=debug`.
    pub filter: String,
    /// The format of a line.
    pub format: LogFormat,
}

/// How strictly the service follows Graph's rules that get in the way of self-hosting.
/// `docs/API.md` lists these rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// These rules are relaxed.
    #[default]
    Open,
    /// Every rule of Graph is enforced.
    Strict,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Text.
    Text,
    /// JSON.
    Json,
}

/// Why a configuration file is rejected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file is not TOML, or a key or type in it is wrong; the message names the line.
    #[error("invalid configuration file: {0}")]
    Parse(#[from] toml::de::Error),
    /// A value is out of range or malformed.
    #[error("invalid {key} in the configuration file: {problem}")]
    Value {
        /// The key, e.g. `engine.lease_s`.
        key: String,
        /// The value, and what is allowed.
        problem: String,
    },
}

/// Upper bound of the numbers in `[throttling]`: the service keeps the time of each request.
pub const THROTTLING_MAX: usize = 100_000;
/// Upper bound of `engine.running_max`.
pub const RUNNING_MAX: usize = 100_000;

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (n, name) in self.server.names.iter().enumerate() {
            if !is_host(name) {
                return Err(invalid(
                    format!("server.names[{n}]"),
                    format!("{name:?} is not a hostname or an IP address; omit the scheme and port"),
                ));
            }
        }
        for (n, origin) in self.server.cors_origins.iter().enumerate() {
            if !is_origin(origin) {
                return Err(invalid(
                    format!("server.cors_origins[{n}]"),
                    format!(
                        "{origin:?} is not an origin; expected \"*\", or a scheme, host and port as browsers send them, such as \"https://portal.example.com\", without a path"
                    ),
                ));
            }
        }
        for (n, issuer) in self.identity.issuers.iter().enumerate() {
            let key = |name: &str| format!("identity.issuers[{n}].{name}");
            if !is_trustworthy(&issuer.issuer) {
                let problem =
                    format!("{:?}; expected an https URL, or an http URL on the loopback interface", issuer.issuer);
                return Err(invalid(key("issuer"), problem));
            }
            if issuer.audience.is_empty() {
                return Err(invalid(key("audience"), "\"\"; expected the aud claim of the issuer's tokens"));
            }
            if issuer.tenant == TenantId::INSTALLATION {
                let problem =
                    format!("{} is reserved for the installation; expected the id of a tenant", issuer.tenant);
                return Err(invalid(key("tenant"), problem));
            }
            if self.identity.issuers[..n].iter().any(|other| other.issuer == issuer.issuer) {
                let problem = format!("{:?} is configured twice; remove one of the entries", issuer.issuer);
                return Err(invalid(key("issuer"), problem));
            }
        }
        for (n, prefix) in self.qemu.source_urls.iter().enumerate() {
            if !is_url_prefix(prefix) {
                return Err(invalid(
                    format!("qemu.source_urls[{n}]"),
                    format!("{prefix:?}; expected an https or http URL without user, query and fragment"),
                ));
            }
        }
        let throttling = &self.throttling;
        for (key, value) in [
            ("throttling.tenant_requests", throttling.tenant_requests),
            ("throttling.tenant_writes", throttling.tenant_writes),
            ("throttling.app_requests", throttling.app_requests),
            ("throttling.app_writes", throttling.app_writes),
        ] {
            if value == 0 || value > THROTTLING_MAX {
                return Err(invalid(key, format!("{value}; expected 1 to {THROTTLING_MAX}")));
            }
        }
        let engine = &self.engine;
        if engine.running_max == 0 || engine.running_max > RUNNING_MAX {
            let problem = format!("{}; expected 1 to {RUNNING_MAX}", engine.running_max);
            return Err(invalid("engine.running_max", problem));
        }
        for (key, value) in [
            ("throttling.window_s", throttling.window_s),
            ("engine.lease_s", engine.lease_s),
            ("engine.install_time_max_s", engine.install_time_max_s),
            ("changes.keep_s", self.changes.keep_s),
            ("partners.heartbeat_silence_max_s", self.partners.heartbeat_silence_max_s),
            ("downloads.size_bytes_max", self.downloads.size_bytes_max),
            ("qemu.stop_time_max_s", self.qemu.stop_time_max_s),
            ("qemu.guest_silence_max_s", self.qemu.guest_silence_max_s),
        ] {
            if value == 0 {
                return Err(invalid(key, "0; expected at least 1"));
            }
        }
        Ok(())
    }
}

/// Whether URLs can begin with this one.
fn is_url_prefix(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// Whether a browser sends this text in `Origin`.
fn is_origin(text: &str) -> bool {
    let is_serialized_alike = |url: Url| url.origin().is_tuple() && url.origin().ascii_serialization() == text;
    // The parser accepts `*` as part of a hostname, but no browser expands it to all names.
    text == ANY_ORIGIN || (!text.contains('*') && Url::parse(text).is_ok_and(is_serialized_alike))
}

/// Reads networks in CIDR notation, and single addresses.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: &String| {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        address
            .or_else(|_| text.parse())
            .map_err(|_| D::Error::custom(format!("{text:?} is not an IP address or a network such as \"10.0.0.0/8\"")))
    };
    Vec::<String>::deserialize(deserializer)?.iter().map(network).collect()
}

pub(crate) fn is_host(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
        || (!name.is_empty()
            && name.len() <= 253
            && name.split('.').all(|label| {
                (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            }))
}

fn invalid(key: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.into(), problem: problem.into() }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { names: Vec::new(), trusted_proxies: Vec::new(), cors_origins: vec![ANY_ORIGIN.into()] }
    }
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self { fidelity: Fidelity::default(), issuers: Vec::new(), well_known_clients: true }
    }
}

impl Default for ThrottlingConfig {
    fn default() -> Self {
        let ThrottleLimits { window, tenant_requests, tenant_writes, app_requests, app_writes } = Default::default();
        Self { enabled: true, window_s: window.as_secs(), tenant_requests, tenant_writes, app_requests, app_writes }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            running_max: 1_000,
            lease_s: 60,
            agent_disk_bytes_min: 1024 * 1024 * 1024,
            install_time_max_s: Duration::from_mins(30).as_secs(),
        }
    }
}

impl Default for ChangesConfig {
    fn default() -> Self {
        Self { keep_s: Duration::from_hours(7 * 24).as_secs() }
    }
}

impl Default for UndoConfig {
    fn default() -> Self {
        Self { window_s: Duration::from_hours(7 * 24).as_secs(), disk_bytes_max: 1 << 40 }
    }
}

impl Default for PartnersConfig {
    fn default() -> Self {
        Self { heartbeat_silence_max_s: Duration::from_mins(15).as_secs() }
    }
}

impl Default for DownloadsConfig {
    fn default() -> Self {
        Self { extra_roots: None, size_bytes_max: 1024 * 1024 * 1024 }
    }
}

impl Default for QemuConfig {
    fn default() -> Self {
        Self {
            accelerator: AcceleratorSetting::default(),
            ram_gib_max: None,
            limits: LimitsSetting::default(),
            bridge: None,
            source_images: None,
            source_urls: Vec::new(),
            stop_time_max_s: qemu::STOP_TIME_MAX.as_secs(),
            guest_silence_max_s: qemu::GUEST_SILENCE_MAX.as_secs(),
        }
    }
}

impl Default for DesktopConfig {
    fn default() -> Self {
        Self { novnc: "/usr/share/novnc".into() }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "warn".into(), format: LogFormat::Auto }
    }
}

#[cfg(test)]
mod tests;
