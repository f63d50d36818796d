//! The composition root: from options to a running server.

mod administrator;
mod database;
mod directory;
mod error;
mod passwords;
mod qemu;

use cloudpc_drivers::sim::{SimClock, SimDriver, SimParts};
use cloudpc_drivers::{Driver, Fetcher, SteadyClock, SystemClock, SystemRng, monotonic};
use cloudpc_engine::{Engine, EngineSettings, Faults};
use cloudpc_graph::LinkSigner;
use cloudpc_model::{Clock, Error, ErrorKind, Rng, Timestamp};
use cloudpc_store::{ReadCaller, Store, WriteMode};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{self, App, Simulation};
use crate::config::{Config, Fidelity};
use crate::desktop::Desktops;
use crate::edge::limits::EdgeLimits;
use crate::edge::{self, Edge, Health, Listener, Reach};
use crate::identity::{self, Identity};
use crate::pipeline::ResponseCache;
use crate::scenario;
use crate::views::partner::{DEPLOYMENT_FORMAT, finished_page};

pub use administrator::{ADMIN_FILE, AdminFile};
pub use error::StartError;
pub use passwords::PASSWORDS_FILE;

/// How long open requests and running steps may take to end when the server stops.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// How often finished pages are looked for. Process time: answers are the same without them, only
/// slower.
const FINISH_PAGES_EVERY: Duration = Duration::from_secs(5);

/// The setting that holds the key of the links between pages.
const LINK_KEY: &str = "links.key";

/// The setting that says of which kind the machines of a data directory are. What the database says
/// of one kind is not true of the other.
const DRIVER: &str = "driver";

/// The last year that the host's clock may show. Certificates and tokens name times some years
/// later, and no date has five digits.
const YEAR_MAX: i16 = 8999;

/// The first moment after [`YEAR_MAX`].
const CLOCK_END: Timestamp = Timestamp(221_845_392_000_000_000);

/// What `cloudpc serve` was asked for.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The data directory.
    pub data: PathBuf,
    /// Plain HTTP; none: not served.
    pub listen: Option<SocketAddr>,
    /// HTTPS; none: not served.
    pub tls_listen: Option<SocketAddr>,
    /// Settings.
    pub config: Config,
    /// The scenario's text to load if the data directory is new.
    pub scenario: Option<String>,
    /// What runs the machines.
    pub driver: DriverKind,
}

/// A running server.
pub struct Server {
    http_address: Option<SocketAddr>,
    https_address: Option<SocketAddr>,
    stop: CancellationToken,
    /// Listeners and connections.
    connections: TaskTracker,
    engine: JoinHandle<()>,
    desktops: Arc<Desktops>,
    store: Store,
    data: PathBuf,
}

/// What an [`App`] is assembled from.
pub struct AppDependencies {
    /// Everything durable.
    pub store: Store,
    /// The machines.
    pub machines: Machines,
    /// The host's clock, by which tokens are made and checked.
    pub host_clock: Arc<dyn Clock>,
    /// How long work takes.
    pub monotonic: app::Monotonic,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Settings.
    pub config: Config,
}

/// The machines of a server.
pub enum Machines {
    /// Simulated ones, which live by a clock of their own.
    Simulated(Simulation),
    /// Real ones.
    Real {
        /// What runs them.
        driver: Arc<dyn Driver>,
        /// The time by which their actions go.
        clock: Arc<dyn Clock>,
    },
}

/// What runs the machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverKind {
    /// Nothing: they are simulated.
    #[default]
    Sim,
    /// QEMU, on this host.
    Qemu,
}

impl DriverKind {
    /// Its name on the command line.
    fn option(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Qemu => "qemu",
        }
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sim => "simulated",
            Self::Qemu => "real",
        })
    }
}

/// Refuses a clock by which no certificate can be made.
fn must_be_possible(now: Timestamp) -> Result<(), StartError> {
    if (Timestamp(0)..CLOCK_END).contains(&now) { Ok(()) } else { Err(StartError::Clock { now }) }
}

/// Puts the parts together. Nothing runs yet.
///
/// # Errors
/// The store fails, or an issuer of the configuration cannot be used.
pub async fn assemble(parts: AppDependencies) -> Result<App, Error> {
    let AppDependencies { store, machines, host_clock, monotonic, rng, config } = parts;
    let (driver, clock, faults, simulation): (Arc<dyn Driver>, Arc<dyn Clock>, _, _) = match machines {
        Machines::Simulated(levers) => {
            let driver = Arc::new(levers.driver.clone());
            (driver, Arc::new(levers.clock.clone()), Arc::clone(&levers.faults), Some(levers))
        }
        Machines::Real { driver, clock } => (driver, clock, no_faults(), None),
    };
    let signer = LinkSigner::new(&link_key(&store, rng.as_ref()).await?);
    let desktops = Arc::new(Desktops::new(&store, &host_clock, &rng, config.desktop.novnc.clone()));
    let identity = Identity::open(identity::IdentityDependencies {
        store: store.on_behalf_of(ReadCaller::Stranger),
        clock: host_clock,
        rng: Arc::clone(&rng),
        names: names(&config),
        issuers: config.identity.issuers.clone(),
    })
    .await?;
    let engine = Engine::new(cloudpc_engine::EngineDependencies {
        store: store.clone(),
        driver: Arc::clone(&driver),
        clock: Arc::clone(&clock),
        rng: Arc::clone(&rng),
        faults,
        settings: EngineSettings {
            business_only: config.identity.fidelity == Fidelity::Strict,
            lease: Duration::from_secs(config.engine.lease_s),
            running_max: config.engine.running_max,
            agent_bytes_max: config.downloads.size_bytes_max,
            agent_disk_bytes_min: config.engine.agent_disk_bytes_min,
            install_time_max: Duration::from_secs(config.engine.install_time_max_s),
            undo_window: Duration::from_secs(config.undo.window_s),
            restart: config.machines.restart,
            undo_disk_bytes_max: config.undo.disk_bytes_max,
        },
    });
    Ok(App::from(app::AppState {
        store,
        engine,
        driver,
        clock,
        monotonic,
        rng,
        response_cache: ResponseCache::default(),
        signer,
        identity: Arc::new(identity),
        desktops,
        edge: edge::EdgeSettings {
            reach: Reach { names: names(&config), trusted_proxies: config.server.trusted_proxies.clone() },
            cors_origins: config.server.cors_origins.clone(),
        },
        fidelity: config.identity.fidelity,
        heartbeat_silence_max: Duration::from_secs(config.partners.heartbeat_silence_max_s),
        simulation,
    }))
}

impl Server {
    /// Opens the data directory, makes what a first start needs, binds the addresses and begins to
    /// serve and to run actions.
    ///
    /// # Errors
    /// Whatever keeps it from that; nothing runs then.
    pub async fn start(options: StartOptions) -> Result<Self, StartError> {
        let host_clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        must_be_possible(host_clock.now())?;
        // Actions go by a clock that never jumps; tokens and certificates by the one that the rest
        // of the world has.
        let steady_clock: Arc<dyn Clock> = Arc::new(SteadyClock::of_host());
        // Bound first: an address that is taken is the most likely trouble, and nothing has been
        // made yet.
        let http = bind(options.listen).await?;
        let https = bind(options.tls_listen).await?;
        let addresses = [http.as_ref().map(|(_, address)| *address), https.as_ref().map(|(_, address)| *address)];
        let [http_address, https_address] = addresses;

        let store = open_store(&options.data)?;
        keep_driver(&store, &options).await?;
        database::compare(&store, &options.data).await?;
        let tls = edge::server_config(&options.data, &names(&options.config), host_clock.now(), rng.as_ref())?;
        let machines = match options.driver {
            DriverKind::Sim => simulated_machines(&options, &steady_clock, &rng)?,
            DriverKind::Qemu => qemu::machines(&options, &steady_clock, &rng)?,
        };
        let app = assemble(AppDependencies {
            store,
            machines,
            host_clock,
            monotonic: Arc::new(monotonic()),
            rng,
            config: options.config.clone(),
        })
        .await?;
        first_start(&app, &options).await?;
        administrator::ensure(&app, &options.data, http_address, https_address).await?;
        expire_leases(&app.store).await?;

        let (stop, connections, health) = (CancellationToken::new(), TaskTracker::new(), Arc::new(Health::default()));
        let engine = run_engine(app.engine.clone(), stop.clone(), Arc::clone(&health));
        connections.spawn(finish_pages(app.store.clone(), stop.clone()));
        connections.spawn(database::watch(app.store.clone(), options.data.clone(), stop.clone()));
        connections.spawn(database::check(app.store.clone(), stop.clone()));
        let store = app.store.clone();
        let desktops = Arc::clone(&app.desktops);
        let edge = Arc::new(Edge::new(app, health));
        let plain = http.map(|(socket, _)| (socket, None));
        let secured = https.map(|(socket, _)| (socket, Some(TlsAcceptor::from(tls))));
        for (socket, tls) in plain.into_iter().chain(secured) {
            let listener = Listener { socket, tls, limits: EdgeLimits::default() };
            connections.spawn(edge::serve(Arc::clone(&edge), listener, stop.clone(), connections.clone()));
        }
        Ok(Self { http_address, https_address, stop, connections, engine, desktops, store, data: options.data })
    }

    /// Where it serves plain HTTP.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Where it serves HTTPS.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https_address
    }

    /// Stops claiming, answers open requests, lets the current steps end within a grace time. What
    /// does not end in time keeps its log and goes on at the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        self.connections.close();
        let ended = async {
            self.desktops.close().await;
            self.connections.wait().await;
            self.engine.await
        };
        if tokio::time::timeout(STOP_TIME_MAX, ended).await.is_err() {
            tracing::warn!("stopped before every request and step had ended");
        }
        database::record(&self.store, &self.data, None).await;
    }
}

/// The simulated machines of a data directory.
fn simulated_machines(
    options: &StartOptions,
    steady_clock: &Arc<dyn Clock>,
    rng: &Arc<dyn Rng>,
) -> Result<Machines, StartError> {
    let clock = SimClock::following(Arc::clone(steady_clock));
    let fetcher = fetcher(&options.config)?;
    let directory = options.data.join("sim");
    let parts = SimParts { clock: Arc::new(clock.clone()), rng: Arc::clone(rng), fetcher };
    let driver = SimDriver::open(Some(&directory), parts)
        .map_err(|source| StartError::File { path: directory.clone(), source })?;
    Ok(Machines::Simulated(Simulation { clock, driver, faults: no_faults() }))
}

/// No trouble yet. A scripted crash is a real one: nothing is flushed, closed or said.
fn no_faults() -> Arc<Faults> {
    Arc::new(Faults::new(Box::new(|| std::process::abort())))
}

fn fetcher(config: &Config) -> Result<Fetcher, StartError> {
    Fetcher::new(config.downloads.extra_roots.as_deref())
        .map_err(|source| StartError::File { path: config.downloads.extra_roots.clone().unwrap_or_default(), source })
}

/// Fills a new data directory; finishes what a crash cut short in an old one.
async fn first_start(app: &App, options: &StartOptions) -> Result<(), StartError> {
    let is_new = app.store.read(|reader| Ok::<_, Error>(reader.tenant_list()?.is_empty())).await?;
    match &options.scenario {
        Some(text) if is_new => {
            let prepared = scenario::prepare(app, None, text).await?;
            passwords::keep(&options.data, &prepared.passwords)?;
            scenario::load(app, prepared).await?;
        }
        _ => scenario::resume(app).await?,
    }
    Ok(())
}

fn run_engine(engine: Engine, stop: CancellationToken, health: Arc<Health>) -> JoinHandle<()> {
    tokio::spawn(async move {
        health.engine_runs.store(true, Ordering::Release);
        // If it panics, the flag has to fall too: a server that runs no actions must not look
        // ready.
        let _fallen = HealthGuard(Arc::clone(&health));
        engine.run(stop).await;
    })
}

/// Keeps the text of pages that can never change again.
async fn finish_pages(store: Store, stop: CancellationToken) {
    let round = async || {
        match store.deployment_pages_finish(DEPLOYMENT_FORMAT, finished_page).await {
            Ok(pages) => tracing::debug!(pages, "finished pages are kept"),
            Err(error) => tracing::warn!(%error, "finished pages could not be kept; they are read row by row"),
        }
        tokio::time::sleep(FINISH_PAGES_EVERY).await;
    };
    while stop.run_until_cancelled(round()).await.is_some() {}
}

struct HealthGuard(Arc<Health>);

impl Drop for HealthGuard {
    fn drop(&mut self) {
        self.0.engine_runs.store(false, Ordering::Release);
    }
}

fn open_store(path: &std::path::Path) -> Result<Store, StartError> {
    directory::prepare(path).map_err(|source| StartError::File { path: path.to_owned(), source })?;
    Store::open(path, WriteMode::Grouped).map_err(|source| StartError::Store { path: path.to_owned(), source })
}

/// The directory's lock says that nobody else runs these actions, so what was under way at a crash
/// can go on at once.
async fn expire_leases(store: &Store) -> Result<(), Error> {
    match store.write("lease.expireAll", |tx| Ok::<_, Error>(tx.action_expire_leases()?)).await {
        // On a full disk what is known is still served, and the leases run out by themselves.
        Err(error) if error.kind == ErrorKind::Unavailable => {
            tracing::warn!(%error, "actions that were under way go on when their leases have run out");
            Ok(())
        }
        other => other,
    }
}

/// Writes down of which kind the machines are, and refuses another kind once there is a fleet.
async fn keep_driver(store: &Store, options: &StartOptions) -> Result<(), StartError> {
    let asked = options.driver;
    let kept = store.write("installation.chooseDriver", move |tx| {
        let kept = if tx.tenant_list()?.is_empty() { None } else { tx.setting(DRIVER)? };
        if kept.is_none() {
            tx.setting_put(DRIVER, asked.option().as_bytes())?;
        }
        Ok::<_, Error>(kept)
    });
    let Some(kept) = kept.await? else { return Ok(()) };
    let is_kept = |kind: &DriverKind| *kind != asked && kept == kind.option().as_bytes();
    match [DriverKind::Sim, DriverKind::Qemu].into_iter().find(is_kept) {
        Some(found) => Err(StartError::Driver { path: options.data.clone(), found }),
        None => Ok(()),
    }
}

async fn bind(address: Option<SocketAddr>) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let listen = |source| StartError::Listen { address, source };
    let socket = TcpListener::bind(address).await.map_err(listen)?;
    let bound = socket.local_addr().map_err(listen)?;
    Ok(Some((socket, bound)))
}

async fn link_key(store: &Store, rng: &dyn Rng) -> Result<Vec<u8>, Error> {
    let fresh: Vec<u8> = (0..4).flat_map(|_| rng.next_u64().to_be_bytes()).collect();
    store
        .write("linkKey.ensure", move |tx| {
            if let Some(key) = tx.setting(LINK_KEY)? {
                return Ok(key);
            }
            tx.setting_put(LINK_KEY, &fresh)?;
            Ok(fresh.clone())
        })
        .await
}

/// Every name and address that is ours.
fn names(config: &Config) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    // Where the host does not say its name there, it can be configured.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let more = config.server.names.iter().map(String::as_str).chain([host.trim()]);
    for name in more.filter(|name| crate::config::is_host(name)) {
        // A certificate has an address in one form only.
        let name = name.parse::<IpAddr>().map_or_else(|_| name.to_ascii_lowercase(), |address| address.to_string());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_right_is_refused() {
        let told = |now| must_be_possible(Timestamp(now)).map_err(|error| error.to_string());
        assert_eq!(told(0), Ok(()));
        assert_eq!(told(CLOCK_END.0 - 1), Ok(()));
        assert_eq!(CLOCK_END.to_string(), format!("{}-01-01T00:00:00.0000000Z", YEAR_MAX + 1));
        let told = [-1, CLOCK_END.0, i64::MIN, i64::MAX].map(|now| told(now).unwrap_err()).join("\n");
        insta::assert_snapshot!(told, @"
        the host's clock shows 1969-12-31T23:59:59.9999990Z; years from 1970 to 8999 are allowed; set the clock and start again
        the host's clock shows 9000-01-01T00:00:00.0000000Z; years from 1970 to 8999 are allowed; set the clock and start again
        the host's clock shows 0000-01-01T00:00:00.0000000Z; years from 1970 to 8999 are allowed; set the clock and start again
        the host's clock shows 9999-12-30T22:00:00.9999999Z; years from 1970 to 8999 are allowed; set the clock and start again
        ");
    }
}
