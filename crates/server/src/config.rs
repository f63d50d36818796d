//! The configuration file: one struct per section, unknown names refused.

use cloudpc_drivers::qemu::{self, AcceleratorSetting, LimitsSetting};
use cloudpc_engine::RestartPolicy;
use cloudpc_model::TenantId;
use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

use crate::edge::ANY_ORIGIN;

/// The whole file. Everything in it may be left out; `docs/config.example.toml` shows every name
/// with its default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[identity]`
    pub identity: IdentityConfig,
    /// `[engine]`
    pub engine: EngineConfig,
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
    /// `[desktop]`
    pub desktop: DesktopConfig,
    /// `[log]`
    pub log: LogConfig,
}

/// How the server is reached.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Host names and addresses by which clients reach the server, besides `localhost`,
    /// `127.0.0.1`, `::1` and the machine's own name. No other name is served. The certificate is
    /// made for them, and tokens may be asked for them.
    pub names: Vec<String>,
    /// Addresses and networks of proxies whose `X-Forwarded-For`, `X-Forwarded-Proto` and
    /// `X-Forwarded-Host` are believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may call Graph and the token service, such as
    /// `https://portal.example.com`; `*`: every origin.
    pub cors_origins: Vec<String>,
}

/// Who may call.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// Fidelity to the rules that may be relaxed.
    pub fidelity: Fidelity,
    /// Token services other than the built-in one.
    pub issuers: Vec<IssuerConfig>,
}

/// An outside token service, known by OIDC discovery.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Exactly the `iss` of its tokens; discovery is below it. https, or http on the loopback.
    pub issuer: String,
    /// The `aud` of tokens that are meant for us.
    pub audience: String,
    /// The tenant that its callers belong to.
    pub tenant: TenantId,
}

/// How actions are run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Actions that run at the same time.
    pub running_max: usize,
    /// How long a claim on an action holds without being renewed, seconds.
    pub lease_s: u64,
    /// Free disk that an agent needs, bytes.
    pub agent_disk_bytes_min: u64,
    /// Longest run of an agent's installer, seconds.
    pub install_time_max_s: u64,
}

/// What undoing an action needs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UndoConfig {
    /// How long after its end a reprovision, restore, resize or undo can be undone, seconds. 0: not
    /// at all.
    pub window_s: u64,
    /// What the old disks that are kept for it may take together, bytes.
    pub disk_bytes_max: u64,
}

/// What becomes of machines without being asked for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachinesConfig {
    /// Whether machines that have crashed or panicked are started again: `onFailure` or `never`.
    pub restart: RestartPolicy,
}

/// Partners.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartnersConfig {
    /// How long a partner may be silent before it counts as unhealthy, seconds.
    pub heartbeat_silence_max_s: u64,
}

/// Downloads of agents.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DownloadsConfig {
    /// PEM file of authorities that are trusted besides the public ones.
    pub extra_roots: Option<PathBuf>,
    /// Largest agent, bytes.
    pub size_bytes_max: u64,
}

/// Real machines on this host.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QemuConfig {
    /// What runs the guests' instructions: `auto`, `kvm` or `tcg`.
    pub accelerator: AcceleratorSetting,
    /// Memory that all machines together may have, GiB; all of the host's but one if left out.
    pub ram_gib_max: Option<u32>,
    /// What holds each machine to the memory and processors of its service plan: `auto`, `systemd`
    /// or `off`.
    pub limits: LimitsSetting,
    /// The bridge of the host that machines are on; none: their network cards lead nowhere.
    pub bridge: Option<String>,
    /// How long a guest may take to shut down before its power is cut, seconds.
    pub stop_time_max_s: u64,
    /// How long a guest may be silent before its Cloud PC is shown with a warning, seconds.
    pub guest_silence_max_s: u64,
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
    /// Which lines are written, e.g. `info`, which has one for each request, or
    /// `warn,cloudpc_engine=debug`.
    pub filter: String,
    /// How they look.
    pub format: LogFormat,
}

/// How closely the rules of the real service that hurt self-hosters are followed; each is listed in
/// `docs/API.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// Just those rules are relaxed.
    #[default]
    Open,
    /// Exactly as Graph does it.
    Strict,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people where one looks on, for programs elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration file {path} cannot be read: {source}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or a name or type in it is wrong; the message points at the place.
    #[error("the configuration file cannot be understood: {0}")]
    Parse(#[from] toml::de::Error),
    /// A value makes no sense.
    #[error("{key} in the configuration file: {problem}")]
    Value {
        /// Where, e.g. `engine.lease_s`.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// Most actions that may run at the same time.
pub const RUNNING_MAX: usize = 100_000;

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// It cannot be read or is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// It is wrong.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (n, name) in self.server.names.iter().enumerate() {
            if !is_host(name) {
                return Err(wrong(
                    format!("server.names[{n}]"),
                    format!("{name:?} is neither a host name nor an IP address; write it without scheme and port"),
                ));
            }
        }
        for (n, origin) in self.server.cors_origins.iter().enumerate() {
            if !is_origin(origin) {
                return Err(wrong(
                    format!("server.cors_origins[{n}]"),
                    format!(
                        "{origin:?} is not an origin; write \"*\" or scheme, host and port as browsers do, such as \"https://portal.example.com\", without a path"
                    ),
                ));
            }
        }
        for (n, issuer) in self.identity.issuers.iter().enumerate() {
            let key = |name: &str| format!("identity.issuers[{n}].{name}");
            if !is_trustworthy(&issuer.issuer) {
                return Err(wrong(key("issuer"), "must be an https address, or http on the loopback"));
            }
            if issuer.audience.is_empty() {
                return Err(wrong(key("audience"), "must not be empty"));
            }
            if issuer.tenant == TenantId::INSTALLATION {
                return Err(wrong(key("tenant"), "stands for the installation; write the id of a tenant"));
            }
            if self.identity.issuers[..n].iter().any(|other| other.issuer == issuer.issuer) {
                return Err(wrong(key("issuer"), "is there already"));
            }
        }
        let engine = &self.engine;
        if engine.running_max == 0 || engine.running_max > RUNNING_MAX {
            return Err(wrong("engine.running_max", format!("must be between 1 and {RUNNING_MAX}")));
        }
        for (key, value) in [
            ("engine.lease_s", engine.lease_s),
            ("engine.install_time_max_s", engine.install_time_max_s),
            ("partners.heartbeat_silence_max_s", self.partners.heartbeat_silence_max_s),
            ("downloads.size_bytes_max", self.downloads.size_bytes_max),
            ("qemu.stop_time_max_s", self.qemu.stop_time_max_s),
            ("qemu.guest_silence_max_s", self.qemu.guest_silence_max_s),
        ] {
            if value == 0 {
                return Err(wrong(key, "must be at least 1"));
            }
        }
        Ok(())
    }
}

/// Whether keys and tokens may be fetched from this address: nobody on the way can change them.
pub(crate) fn is_trustworthy(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(url::Host::Domain(name))) => name == "localhost",
        ("http", Some(url::Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(url::Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    })
}

/// Whether a browser writes this into `Origin`.
fn is_origin(text: &str) -> bool {
    let is_written_alike = |url: Url| url.origin().is_tuple() && url.origin().ascii_serialization() == text;
    // The parser takes `*` for a part of a name, and whoever writes it means every name.
    text == ANY_ORIGIN || (!text.contains('*') && Url::parse(text).is_ok_and(is_written_alike))
}

/// Networks in CIDR notation, and single addresses.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: &String| {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        address.or_else(|_| text.parse()).map_err(|_| {
            D::Error::custom(format!("{text:?} is neither an IP address nor a network such as \"10.0.0.0/8\""))
        })
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

fn wrong(key: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.into(), problem: problem.into() }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { names: Vec::new(), trusted_proxies: Vec::new(), cors_origins: vec![ANY_ORIGIN.into()] }
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
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_is_valid_and_shows_the_defaults() {
        let example = include_str!("../../../docs/config.example.toml");
        assert_eq!(Config::parse(example).unwrap(), Config::default(), "an example value differs from the default");

        // Lines that show what has no default are commented out; they must be right too.
        let uncommented: String =
            example.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect::<Vec<_>>().join("\n");
        let full = Config::parse(&uncommented).unwrap();
        assert_eq!(full.identity.issuers.len(), 1);
        assert!(!full.server.names.is_empty());
        assert_eq!(full.server.trusted_proxies.len(), 3);
    }

    #[test]
    fn an_error_names_the_key() {
        let error = |text: &str| Config::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(error("[server]\nnames = [\"a.test\", \"http://b.test\"]"), @r#"server.names[1] in the configuration file: "http://b.test" is neither a host name nor an IP address; write it without scheme and port"#);
        let proxy = error("[server]\ntrusted_proxies = [\"10.0.0.1\", \"proxy.test\"]");
        assert!(
            proxy.contains("\"proxy.test\" is neither an IP address nor a network such as \"10.0.0.0/8\""),
            "{proxy}"
        );
        let origin = error("[server]\ncors_origins = [\"https://a.test/\"]");
        assert!(
            origin.starts_with("server.cors_origins[0] in the configuration file: \"https://a.test/\""),
            "{origin}"
        );
        insta::assert_snapshot!(error("[engine]\nrunning_max = 0"), @"engine.running_max in the configuration file: must be between 1 and 100000");
        insta::assert_snapshot!(error("[engine]\nlease_s = 0"), @"engine.lease_s in the configuration file: must be at least 1");
        insta::assert_snapshot!(error("[engine]\nleese = 1"), @"
        the configuration file cannot be understood: TOML parse error at line 2, column 1
          |
        2 | leese = 1
          | ^^^^^
        unknown field `leese`, expected one of `running_max`, `lease_s`, `agent_disk_bytes_min`, `install_time_max_s`
        ");
        insta::assert_snapshot!(error("[identity]\nfidelity = \"lax\""), @r#"
        the configuration file cannot be understood: TOML parse error at line 2, column 12
          |
        2 | fidelity = "lax"
          |            ^^^^^
        unknown variant `lax`, expected `open` or `strict`
        "#);
        insta::assert_snapshot!(error("[[identity.issuers]]\nissuer = \"http://idp.test\"\naudience = \"a\"\ntenant = \"00000000-0000-0000-0000-000000000001\""), @"identity.issuers[0].issuer in the configuration file: must be an https address, or http on the loopback");
        insta::assert_snapshot!(error("[[identity.issuers]]\nissuer = \"https://idp.test\"\naudience = \"a\"\ntenant = \"00000000-0000-0000-0000-000000000000\""), @"identity.issuers[0].tenant in the configuration file: stands for the installation; write the id of a tenant");
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        let with = |origin: &str| Config::parse(&format!("[server]\ncors_origins = [{origin:?}]")).is_ok();
        for origin in ["*", "https://a.test", "http://127.0.0.1:3000", "http://[::1]:3000"] {
            assert!(with(origin), "{origin}");
        }
        for origin in
            ["", "null", "a.test", "https://*.a.test", "https://A.test", "https://a.test:443", "https://a.test/b"]
        {
            assert!(!with(origin), "{origin}");
        }
    }

    #[test]
    fn running_max_is_checked_at_its_limit() {
        let with = |n: usize| Config::parse(&format!("[engine]\nrunning_max = {n}"));
        assert!(with(RUNNING_MAX).is_ok());
        assert!(with(RUNNING_MAX + 1).is_err());
    }
}
