//! The composition root: builds and starts a server from its options.

mod administrator;
mod changes;
mod database;
mod directory;
mod error;
mod passwords;
mod permissions;
mod qemu;
mod store;

use cloudpc_drivers::sim::{SimClock, SimDriver, SimParts};
use cloudpc_drivers::{Driver, Fetcher, SteadyClock, SystemClock, SystemRng, monotonic};
use cloudpc_engine::{Engine, EngineSettings, Faults};
use cloudpc_graph::LinkSigner;
use cloudpc_model::{Clock, Error, ErrorKind, Rng, SeededRng, Timestamp};
use cloudpc_store::{ReadCaller, Store, Tx};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{self, App, Simulation};
use crate::config::{Config, Fidelity, ThrottlingConfig};
use crate::desktop::Desktops;
use crate::documents::adopt;
use crate::edge::limits::EdgeLimits;
use crate::edge::proxy::{ByteStream, OpenService, Proxy};
use crate::edge::{self, Arrival, Edge, Health, Listener, Reach, Scheme};
use crate::events::EventStreams;
use crate::exports;
use crate::identity::{self, Identity};
use crate::pipeline::{Repeats, ResponseCache, Throttle, ThrottleLimits};
use crate::scenario;
use crate::views::partner::{DEPLOYMENT_FORMAT, finished_page};
use crate::webhooks::{self, SigningKeys, Webhooks};

pub use administrator::{ADMIN_FILE, AdminFile};
pub use changes::CHANGES_MAX;
pub use error::StartError;
pub use passwords::PASSWORDS_FILE;

/// Time limit of a graceful shutdown: open requests and running steps may finish within it.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// Interval at which finished deployment pages are cached. Process time: responses are the same
/// without the cache, only slower.
const FINISH_PAGES_EVERY: Duration = Duration::from_secs(5);

/// The setting that holds the key for signing links to next pages. The signing keys of webhooks are
/// derived from it.
const LINK_KEY: &str = "links.key";

/// The setting that holds the driver kind of a data directory. A database of simulated machines
/// cannot be used with real ones, or the reverse.
const DRIVER: &str = "driver";

/// The setting that says that the Cloud PCs of a data directory have their provisioning policies.
const POLICIES: &str = "provisioning.policies";

/// The last year that the host's clock may show. Certificates and tokens expire some years later,
/// and their date formats end with the year 9999.
const YEAR_MAX: i16 = 8999;

/// The first moment after [`YEAR_MAX`].
const CLOCK_END: Timestamp = Timestamp(221_845_392_000_000_000);

/// The options of `cloudpc serve`.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The data directory.
    pub data: PathBuf,
    /// Listen address of plain HTTP; none: not served.
    pub listen: Option<SocketAddr>,
    /// Listen address of HTTPS; none: not served.
    pub tls_listen: Option<SocketAddr>,
    /// The configuration.
    pub config: Config,
    /// TOML text of the scenario to load if the data directory is new.
    pub scenario: Option<String>,
    /// The driver of the machines.
    pub driver: DriverKind,
    /// The forward proxy; none: not served.
    pub proxy: Option<ProxyOptions>,
}

/// The options of the forward proxy.
#[derive(Clone, Copy, Debug)]
pub struct ProxyOptions {
    /// Listen address.
    pub listen: SocketAddr,
    /// Whether the proxy connects to hosts other than those of this service.
    pub pass_through: bool,
}

/// A running server.
pub struct Server {
    http_address: Option<SocketAddr>,
    https_address: Option<SocketAddr>,
    proxy_address: Option<SocketAddr>,
    stop: CancellationToken,
    /// Listeners, connections and background tasks.
    connections: TaskTracker,
    engine: JoinHandle<()>,
    desktops: Arc<Desktops>,
    events: Arc<EventStreams>,
    store: Store,
    data: PathBuf,
}

/// What an [`App`] is assembled from.
pub struct AppDependencies {
    /// The database.
    pub store: Store,
    /// The machines.
    pub machines: Machines,
    /// The host's clock, by which tokens are issued and checked.
    pub host_clock: Arc<dyn Clock>,
    /// Measures how long work takes.
    pub monotonic: app::Monotonic,
    /// The source of randomness.
    pub rng: Arc<dyn Rng>,
    /// Sends to addresses that callers chose.
    pub fetcher: Fetcher,
    /// The configuration.
    pub config: Config,
    /// URL at which browsers reach the sign-in pages; none: where the client reaches the service.
    pub page_address: Option<String>,
}

/// The machines of a server.
pub enum Machines {
    /// Simulated machines, which have a clock of their own.
    Simulated(Simulation),
    /// Real machines.
    Real {
        /// The driver.
        driver: Arc<dyn Driver>,
        /// The clock of actions.
        clock: Arc<dyn Clock>,
    },
}

/// The driver of the machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverKind {
    /// The simulator.
    #[default]
    Sim,
    /// QEMU, on this host.
    Qemu,
}

impl DriverKind {
    /// Returns the value of `--driver`, which is also what the database stores.
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

/// Refuses a host clock that is outside the range of certificates.
fn check_clock(now: Timestamp) -> Result<(), StartError> {
    if (Timestamp(0)..CLOCK_END).contains(&now) { Ok(()) } else { Err(StartError::Clock { now }) }
}

/// Builds an [`App`]. Nothing runs yet.
///
/// # Errors
/// The store fails, or the client for an outside issuer cannot be created.
pub async fn assemble(parts: AppDependencies) -> Result<App, Error> {
    let AppDependencies { store, machines, host_clock, monotonic, rng, fetcher, config, page_address } = parts;
    let (driver, clock, faults, simulation): (Arc<dyn Driver>, Arc<dyn Clock>, _, _) = match machines {
        Machines::Simulated(simulation) => {
            let driver = Arc::new(simulation.driver.clone());
            (driver, Arc::new(simulation.clock.clone()), Arc::clone(&simulation.faults), Some(simulation))
        }
        Machines::Real { driver, clock } => (driver, clock, no_faults(), None),
    };
    store.set_clock(Arc::clone(&clock));
    let link_key = link_key(&store, rng.as_ref()).await?;
    let signer = LinkSigner::new(&link_key);
    let webhooks = Arc::new(Webhooks {
        fetcher,
        settings: config.webhooks.clone(),
        keys: SigningKeys::new(&link_key),
        host_clock: Arc::clone(&host_clock),
        changed: Notify::new(),
    });
    let desktops = Arc::new(Desktops::new(&store, &host_clock, &rng, config.desktop.novnc.clone()));
    let identity = Identity::open(identity::IdentityDependencies {
        store: store.on_behalf_of(ReadCaller::Stranger),
        clock: host_clock,
        rng: Arc::clone(&rng),
        names: names(&config),
        issuers: config.identity.issuers.clone(),
        well_known_clients: config.identity.well_known_clients,
        page_address,
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
        throttle: Throttle::new(throttle_limits(&config), Arc::clone(&monotonic)),
        monotonic,
        rng,
        repeats: Repeats::default(),
        response_cache: ResponseCache::default(),
        signer,
        identity: Arc::new(identity),
        desktops,
        webhooks,
        exports: Arc::default(),
        events: Arc::default(),
        edge: edge::EdgeSettings {
            reach: Reach { names: names(&config), trusted_proxies: config.server.trusted_proxies.clone() },
            cors_origins: config.server.cors_origins.clone(),
        },
        fidelity: config.identity.fidelity,
        heartbeat_silence_max: Duration::from_secs(config.partners.heartbeat_silence_max_s),
        simulation,
    }))
}

/// Returns how many requests are admitted; none: any number.
fn throttle_limits(config: &Config) -> Option<ThrottleLimits> {
    let ThrottlingConfig { enabled, window_s, tenant_requests, tenant_writes, app_requests, app_writes } =
        config.throttling;
    let limits = ThrottleLimits {
        window: Duration::from_secs(window_s),
        tenant_requests,
        tenant_writes,
        app_requests,
        app_writes,
    };
    (enabled && config.identity.fidelity == Fidelity::Strict).then_some(limits)
}

impl Server {
    /// Opens the data directory, creates what a first start needs, binds the listen addresses, and
    /// starts serving requests and running actions.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(options: StartOptions) -> Result<Self, StartError> {
        let host_clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        check_clock(host_clock.now())?;
        // Actions use a clock that never jumps; tokens and certificates use the host's clock, which
        // their clients share.
        let steady_clock: Arc<dyn Clock> = Arc::new(SteadyClock::of_host());
        // Bound first: an address in use is the most likely failure, and nothing has been created
        // yet.
        let http = bind(options.listen).await?;
        let https = bind(options.tls_listen).await?;
        let proxy = bind(options.proxy.map(|proxy| proxy.listen)).await?;
        let proxy_address = proxy.as_ref().map(|(_, address)| *address);
        let addresses = [http.as_ref().map(|(_, address)| *address), https.as_ref().map(|(_, address)| *address)];
        let [http_address, https_address] = addresses;

        let store = store::open(&options.data, &options.config.store)?;
        check_driver(&store, &options).await?;
        changes::ensure_epoch(&store, rng.as_ref()).await?;
        database::compare(&store, &options.data, rng.as_ref()).await?;
        let tls = edge::server_config(&options.data, &names(&options.config), host_clock.now(), rng.as_ref())?;
        let machines = match options.driver {
            DriverKind::Sim => simulated_machines(&options, &store, &steady_clock, &rng)?,
            DriverKind::Qemu => qemu::machines(&options, &steady_clock, &rng)?,
        };
        let app = assemble(AppDependencies {
            store,
            machines,
            host_clock,
            monotonic: Arc::new(monotonic()),
            rng,
            fetcher: fetcher(&options.config)?,
            config: options.config.clone(),
            page_address: page_address(&options.config, http_address, https_address),
        })
        .await?;
        first_start(&app, &options).await?;
        administrator::ensure(&app, &options.data, http_address, https_address).await?;
        expire_leases(&app).await?;

        let (stop, connections, health) = (CancellationToken::new(), TaskTracker::new(), Arc::new(Health::default()));
        let engine = run_engine(app.engine.clone(), stop.clone(), Arc::clone(&health));
        connections.spawn(webhooks::run(app.clone(), stop.clone()));
        connections.spawn(exports::run(app.clone(), stop.clone()));
        connections.spawn(cache_finished_pages(app.store.clone(), stop.clone()));
        let keep = Duration::from_secs(options.config.changes.keep_s);
        connections.spawn(changes::trim(app.store.clone(), Arc::clone(&app.clock), keep, stop.clone()));
        connections.spawn(database::watch(app.store.clone(), options.data.clone(), stop.clone()));
        connections.spawn(database::check(app.store.clone(), stop.clone()));
        let store = app.store.clone();
        let (desktops, events) = (Arc::clone(&app.desktops), Arc::clone(&app.events));
        let edge = Arc::new(Edge::new(app, health));
        let plain = http.map(|(socket, _)| (socket, None));
        let tls = TlsAcceptor::from(tls);
        if let (Some((socket, _)), Some(ProxyOptions { pass_through, .. })) = (proxy, options.proxy) {
            let open_service = open_tunnel(Arc::clone(&edge), tls.clone(), stop.clone(), connections.clone());
            let proxy = Proxy::new(open_service, pass_through);
            connections.spawn(proxy.serve(socket, stop.clone(), connections.clone()));
        }
        let secured = https.map(|(socket, _)| (socket, Some(tls)));
        for (socket, tls) in plain.into_iter().chain(secured) {
            let listener = Listener { socket, tls, limits: EdgeLimits::default() };
            connections.spawn(edge::serve(Arc::clone(&edge), listener, stop.clone(), connections.clone()));
        }
        Ok(Self {
            http_address,
            https_address,
            proxy_address,
            stop,
            connections,
            engine,
            desktops,
            events,
            store,
            data: options.data,
        })
    }

    /// Returns the address of plain HTTP.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Returns the address of HTTPS.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https_address
    }

    /// Returns the address of the forward proxy.
    pub fn proxy_address(&self) -> Option<SocketAddr> {
        self.proxy_address
    }

    /// Shuts down gracefully: stops claiming actions, and lets open requests and running steps
    /// finish within [`STOP_TIME_MAX`]. An unfinished action keeps its log and resumes at the next
    /// start.
    pub async fn stop(self) {
        self.stop.cancel();
        self.events.close();
        self.connections.close();
        let ended = async {
            self.desktops.close().await;
            self.connections.wait().await;
            self.engine.await
        };
        if tokio::time::timeout(STOP_TIME_MAX, ended).await.is_err() {
            tracing::warn!("graceful shutdown timed out; unfinished actions resume at the next start");
        }
        database::record(&self.store, &self.data, None).await;
    }
}

/// Opens the simulated machines of a data directory.
fn simulated_machines(
    options: &StartOptions,
    store: &Store,
    steady_clock: &Arc<dyn Clock>,
    rng: &Arc<dyn Rng>,
) -> Result<Machines, StartError> {
    let clock = SimClock::following(Arc::clone(steady_clock));
    let jobs = store.open_jobs();
    let none_open = jobs.none_open();
    clock.count_outside_work(move || jobs.count(), none_open);
    let fetcher = fetcher(&options.config)?;
    let directory = options.data.join("sim");
    let parts = SimParts { clock: Arc::new(clock.clone()), rng: Arc::clone(rng), fetcher };
    let driver = SimDriver::open(Some(&directory), parts)
        .map_err(|source| StartError::File { path: directory.clone(), source })?;
    Ok(Machines::Simulated(Simulation { clock, driver, faults: no_faults() }))
}

/// Returns an empty list of faults. A scripted crash aborts the process without flushing, closing
/// or logging anything.
fn no_faults() -> Arc<Faults> {
    Arc::new(Faults::new(Box::new(|| std::process::abort())))
}

fn fetcher(config: &Config) -> Result<Fetcher, StartError> {
    Fetcher::new(config.downloads.extra_roots.as_deref())
        .map_err(|source| StartError::File { path: config.downloads.extra_roots.clone().unwrap_or_default(), source })
}

/// Loads the scenario into a new data directory; resumes an interrupted load in an old one.
async fn first_start(app: &App, options: &StartOptions) -> Result<(), StartError> {
    let is_new = app.store.read(|reader| Ok::<_, Error>(reader.tenant_list()?.is_empty())).await?;
    match &options.scenario {
        Some(text) if is_new => {
            let prepared = scenario::prepare(app, None, text).await?;
            passwords::save(&options.data, &prepared.passwords)?;
            scenario::load(app, prepared).await?;
        }
        _ => scenario::resume(app).await?,
    }
    adopt_policies(app, is_new).await?;
    Ok(permissions::upgrade(app, is_new).await?)
}

/// Gives the Cloud PCs of a data directory that an earlier version wrote their provisioning
/// policies, groups and licences.
async fn adopt_policies(app: &App, is_new: bool) -> Result<(), Error> {
    if app.store.read(|reader| reader.setting(POLICIES)).await?.is_some() {
        return Ok(());
    }
    let (seed, now) = (app.rng.next_u64(), app.clock.now());
    let adopted = app.store.write("policy.adopt", move |tx| {
        if !is_new {
            let rng = SeededRng::new(seed);
            for (tenant, _) in tx.tenant_list()? {
                adopt(tx, tenant, now, &rng)?;
            }
        }
        tx.setting_put(POLICIES, b"1")
    });
    Ok(adopted.await?)
}

fn run_engine(engine: Engine, stop: CancellationToken, health: Arc<Health>) -> JoinHandle<()> {
    tokio::spawn(async move {
        health.engine_runs.store(true, Ordering::Release);
        // A panic clears the flag too: a server that runs no actions must not report ready.
        let _guard = HealthGuard(Arc::clone(&health));
        engine.run(stop).await;
    })
}

/// Caches the text of deployment pages that can no longer change.
async fn cache_finished_pages(store: Store, stop: CancellationToken) {
    let round = async || {
        match store.deployment_pages_finish(DEPLOYMENT_FORMAT, finished_page).await {
            Ok(pages) => tracing::debug!(pages, "finished deployment pages cached"),
            Err(error) => tracing::warn!(%error, "caching finished deployment pages failed; they are read row by row"),
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

/// Expires all leases, so that actions interrupted by a crash resume at once. The directory's lock
/// guarantees that no other process runs them. Desktops that it had open are closed.
async fn expire_leases(app: &App) -> Result<(), Error> {
    let (tag_nonce, now) = (app.rng.next_u64(), app.clock.now());
    let expire = move |tx: &mut Tx<'_>| {
        cloudpc_engine::end_watched_sessions(tx, tag_nonce, now)?;
        Ok::<_, Error>(tx.worker_expire_all()?)
    };
    match app.store.write("worker.expireAll", expire).await {
        // On a full disk, reads are still served, and the leases expire by themselves.
        Err(error) if error.kind == ErrorKind::Unavailable => {
            tracing::warn!(%error, "expiring leases failed; interrupted actions resume when their leases expire");
            Ok(())
        }
        other => other,
    }
}

/// Stores the driver kind of a new data directory, and refuses another kind once there is a fleet.
async fn check_driver(store: &Store, options: &StartOptions) -> Result<(), StartError> {
    let requested = options.driver;
    let stored = store.write("installation.chooseDriver", move |tx| {
        let stored = if tx.tenant_list()?.is_empty() { None } else { tx.setting(DRIVER)? };
        if stored.is_none() {
            tx.setting_put(DRIVER, requested.option().as_bytes())?;
        }
        Ok::<_, Error>(stored)
    });
    let Some(stored) = stored.await? else { return Ok(()) };
    let is_other = |kind: &DriverKind| *kind != requested && stored == kind.option().as_bytes();
    match [DriverKind::Sim, DriverKind::Qemu].into_iter().find(is_other) {
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

/// Returns a function that connects a tunnel of the forward proxy to the edge inside this process,
/// so that the limits of the edge count the proxy's client and not the proxy.
fn open_tunnel(edge: Arc<Edge>, tls: TlsAcceptor, stop: CancellationToken, tasks: TaskTracker) -> OpenService {
    /// Bytes that wait in each direction.
    const BUFFER_BYTES: usize = 64 * 1024;
    Box::new(move |address| {
        let (near, far) = tokio::io::duplex(BUFFER_BYTES);
        let (edge, tls, stop) = (Arc::clone(&edge), tls.clone(), stop.clone());
        tasks.spawn(async move {
            let arrival = Arrival { scheme: Scheme::Https, address, stop };
            edge::serve_tunnel(&edge, far, &tls, arrival).await;
        });
        Box::pin(async move { Ok(Box::new(near) as Box<dyn ByteStream>) })
    })
}

/// Returns the URL at which a person's browser reaches the sign-in pages: by a configured name, or
/// on this computer, without TLS if that stays on this computer.
fn page_address(config: &Config, http: Option<SocketAddr>, https: Option<SocketAddr>) -> Option<String> {
    let named = config.server.names.iter().find(|name| name.parse::<IpAddr>().is_err());
    match (named, http, https) {
        (Some(name), _, Some(https)) => Some(format!("https://{name}:{}", https.port())),
        (_, Some(http), _) if http.ip().is_loopback() => Some(format!("http://{http}")),
        (_, _, Some(https)) => Some(format!("https://{}", administrator::reachable(https))),
        _ => None,
    }
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

/// Returns the hostnames and addresses of the server.
fn names(config: &Config) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    // Hosts without this file can configure their name in server.names.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let more = config.server.names.iter().map(String::as_str).chain([host.trim()]);
    for name in more.filter(|name| crate::config::is_host(name)) {
        // A certificate holds an address in one form only.
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
    fn a_clock_outside_the_range_of_certificates_is_refused() {
        let result = |now| check_clock(Timestamp(now)).map_err(|error| error.to_string());
        assert_eq!(result(0), Ok(()));
        assert_eq!(result(CLOCK_END.0 - 1), Ok(()));
        assert_eq!(CLOCK_END.to_string(), format!("{}-01-01T00:00:00.0000000Z", YEAR_MAX + 1));
        let messages = [-1, CLOCK_END.0, i64::MIN, i64::MAX].map(|now| result(now).unwrap_err()).join("\n");
        insta::assert_snapshot!(messages, @"
        invalid host clock: 1969-12-31T23:59:59.9999990Z; expected a year from 1970 to 8999; set the clock and start again
        invalid host clock: 9000-01-01T00:00:00.0000000Z; expected a year from 1970 to 8999; set the clock and start again
        invalid host clock: 0000-01-01T00:00:00.0000000Z; expected a year from 1970 to 8999; set the clock and start again
        invalid host clock: 9999-12-30T22:00:00.9999999Z; expected a year from 1970 to 8999; set the clock and start again
        ");
    }
}
