//! `cloudpc serve`

mod tour;

use clap::{Args, ValueEnum};
use cloudpc_server::config::{Config, LogConfig, LogFormat};
use cloudpc_server::start::{DriverKind, ProxyOptions, Server, StartOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::connection::DATA_DEFAULT;
use crate::failure::{CommandError, ExitStatus};
use crate::output::{print, tell};
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  cloudpc serve --demo
  cloudpc serve --driver qemu --demo            After cloudpc image build test and desktop
  cloudpc serve --scenario scenarios/fleet-1000.toml --data /tmp/fleet
  cloudpc serve --data /var/lib/cloudpc --listen off --tls-listen 0.0.0.0:443 --config /etc/cloudpc.toml

The first SIGINT or SIGTERM stops gracefully, the second immediately. RUST_LOG sets the log filter.";

/// The fleet of `--demo`.
const DEMO: &str = include_str!("../../../../scenarios/demo.toml");

/// The same with real machines.
const DEMO_QEMU: &str = include_str!("../../../../scenarios/qemu.toml");

/// Run the service
///
/// The first start creates the data directory with a database, a certificate authority, a tenant
/// and an administrator application, and writes the application's credentials to admin.json
/// (owner-only file mode).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    /// Listen address for plain HTTP, or off
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8365", value_parser = address)]
    listen: Listen,
    /// Listen address for HTTPS, or off
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8366", value_parser = address)]
    tls_listen: Listen,
    /// Listen address of a forward proxy for tools with Microsoft's host names; see cloudpc exec
    #[arg(long, value_name = "ADDR", default_value = "off", value_parser = address)]
    proxy: Listen,
    /// Let the proxy connect to all other hosts too
    #[arg(long)]
    proxy_pass_through: bool,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Driver that runs the machines
    #[arg(long, value_enum, default_value_t)]
    driver: DriverChoice,
    /// Load the demo fleet on the first start, and print a tour
    #[arg(long)]
    demo: bool,
    /// Load this scenario on the first start
    #[arg(long, value_name = "FILE", conflicts_with = "demo")]
    scenario: Option<PathBuf>,
}

/// The driver that runs the machines.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum DriverChoice {
    /// Simulated machines
    #[default]
    Sim,
    /// QEMU virtual machines on this host
    Qemu,
}

impl DriverChoice {
    fn demo(self) -> &'static str {
        match self {
            Self::Sim => DEMO,
            Self::Qemu => DEMO_QEMU,
        }
    }
}

impl From<DriverChoice> for DriverKind {
    fn from(driver: DriverChoice) -> Self {
        match driver {
            DriverChoice::Sim => Self::Sim,
            DriverChoice::Qemu => Self::Qemu,
        }
    }
}

/// Where to listen, if at all.
#[derive(Clone, Copy, Debug)]
struct Listen(Option<SocketAddr>);

impl Serve {
    pub async fn run(self, data: Option<PathBuf>) -> Result<(), CommandError> {
        let data = data.unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
        let scenario = match (self.demo, self.scenario) {
            (true, _) => Some(self.driver.demo().to_owned()),
            (false, Some(file)) => Some(std::fs::read_to_string(&file).map_err(|error| {
                CommandError::new(
                    ExitStatus::NotFound,
                    format!("Cannot read the scenario {}: {error}.", file.display()),
                )
            })?),
            (false, None) => None,
        };
        let mut config = match &self.config {
            Some(file) => Config::load(file)
                .map_err(|error| CommandError::local(format!("Cannot start the service: {error}.")))?,
            None => Config::default(),
        };
        // A receiver on the same laptop is the first that anyone tries.
        config.webhooks.allow_loopback |= self.demo;
        log_to_standard_error(&config.log)?;
        raise_open_file_limit();
        let mut signals = Signals::new()?;
        let options = StartOptions {
            data: data.clone(),
            listen: self.listen.0,
            tls_listen: self.tls_listen.0,
            config,
            scenario,
            driver: self.driver.into(),
            proxy: self.proxy.0.map(|listen| ProxyOptions { listen, pass_through: self.proxy_pass_through }),
        };
        let server = Server::start(options).await.map_err(|error| {
            let why = error.to_string();
            CommandError::local(format!("Cannot start the service: {}.", why.trim_end_matches('.')))
        })?;
        print(&tour::addresses(&server, &data))?;
        if self.demo {
            match tour::tour(&data, matches!(self.driver, DriverChoice::Qemu)).await {
                Ok(text) => print(&text)?,
                Err(failure) => tell(&format!("Cannot show the tour: {failure}")),
            }
        }
        signals.next().await;
        tell("Stopping gracefully; press Ctrl-C again to stop immediately.");
        tokio::select! {
            () = server.stop() => Ok(()),
            () = signals.next() => Err(CommandError::local("Stopped immediately. Actions in progress continue at the next start.")),
        }
    }
}

/// Raises the soft limit on open files (1,024 on most systems) to the hard limit: each connection
/// takes a file descriptor, and machines need them too.
fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "cannot raise the limit on open files; fewer connections are possible");
    }
}

/// Libraries that write a line at `warn` for what a stranger sends them, so that it could fill the
/// log. A filter that names them goes before.
const QUIET: &str = "h2=error,rustls=error,hyper=error,hyper_util=error,tungstenite=error";

/// `RUST_LOG`, if it is set, goes before the configured filter.
fn log_to_standard_error(config: &LogConfig) -> Result<(), CommandError> {
    let (source, filter) = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(filter) => (EnvFilter::DEFAULT_ENV, filter),
        Err(_) => ("log.filter in the configuration file", config.filter.clone()),
    };
    let filter = quietened(&filter)
        .map_err(|error| CommandError::new(ExitStatus::Usage, format!("Invalid {source}: {error}.")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let for_people = match config.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    if for_people {
        log.init()
    } else {
        log.json().init()
    }
    Ok(())
}

/// The filter of the log, with [`QUIET`] where it does not say otherwise.
fn quietened(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{QUIET},{filter}"))
}

fn address(text: &str) -> Result<Listen, String> {
    match text {
        "off" => Ok(Listen(None)),
        text => text.parse().map(|address| Listen(Some(address))).map_err(|_| {
            format!(
                "Invalid listen address '{text}'. Expected HOST:PORT, for example 127.0.0.1:8365 (port 0: any free port), or off."
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_write_no_warnings_about_what_strangers_send_unless_asked_to() {
        let directives = |filter: &str| {
            let text = quietened(filter).unwrap().to_string();
            text.split(',').map(str::to_owned).collect::<Vec<_>>()
        };
        for filter in ["", "warn", "info", "debug,cloudpc_engine=trace"] {
            assert!(directives(filter).contains(&"h2=error".to_owned()), "{filter}");
        }
        let asked = directives("warn,h2=debug");
        assert!(asked.contains(&"h2=debug".to_owned()) && !asked.contains(&"h2=error".to_owned()), "{asked:?}");
    }

    #[test]
    fn addresses_are_read_or_explained() {
        assert_eq!(address("127.0.0.1:0").unwrap().0, Some("127.0.0.1:0".parse().unwrap()));
        assert_eq!(address("off").unwrap().0, None);
        insta::assert_snapshot!(address("localhost").unwrap_err(), @"Invalid listen address 'localhost'. Expected HOST:PORT, for example 127.0.0.1:8365 (port 0: any free port), or off.");
    }
}
