//! A complete server in this process with the fleet of `world.toml`: real SQLite, simulated
//! machines, a manually advanced clock, seeded randomness.

use axum::body::Body;
use cloudpc_drivers::Fetcher;
use cloudpc_drivers::sim::{SimClock, SimDriver, SimParts};
use cloudpc_engine::Faults;
use cloudpc_model::{AppId, Clock, SeededRng, TenantId, Timestamp};
use cloudpc_server::app::{App, Monotonic, Simulation};
use cloudpc_server::config::Config;
use cloudpc_server::edge::{Arrival, Scheme};
use cloudpc_server::request::{BaseAddress, RequestIds};
use cloudpc_server::start::{AppDependencies, Machines, assemble};
use cloudpc_server::{installation, pipeline, scenario};
use cloudpc_store::{Application, Store, StoreError, Tx, WriteMode, testing};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::openapi;

/// Initial time of the clocks: 2026-03-01T12:00:00Z.
pub const START: Timestamp = Timestamp(1_772_366_400_000_000);
/// The server's hostname.
pub const HOST: &str = "cloudpc.test";
/// The server's base URL.
pub const BASE: &str = "https://cloudpc.test";

/// The scenario of the tests.
pub const FLEET: &str = include_str!("world.toml");

/// Ids in `world.toml`.
pub const DESK_1: &str = "10000000-0000-4000-8000-0000000000d1";
pub const DEVICE_1: &str = "10000000-0000-4000-8000-0000000000e1";
pub const DESK_2: &str = "10000000-0000-4000-8000-0000000000d2";
pub const PLAN_2: &str = "10000000-0000-4000-8000-0000000000c2";
pub const PARTNER: &str = "10000000-0000-4000-8000-00000000fab1";
pub const PARTNER_DISABLED: &str = "10000000-0000-4000-8000-00000000fab2";

/// Tenant and application of the installation's owner.
pub const OWNER_TENANT: &str = "10000000-0000-4000-8000-000000000001";
pub const OWNER_APP: &str = "10000000-0000-4000-8000-0000000000b9";

/// The caller of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// An application with read and write permission for Cloud PCs.
    Writer,
    /// An application with read permission for Cloud PCs.
    Reader,
    /// The application that owns the installation, in the first tenant.
    Owner,
    /// An application without permissions.
    Nobody,
    /// An application of the second tenant with read and write permission there.
    Stranger,
    /// A user of the second tenant with read and write permission there.
    Grace,
    /// A user with all permissions.
    Ada,
    /// A user without directory roles.
    Alan,
}

impl Who {
    /// Returns a user of the same tenant with at least the same permissions.
    pub fn user(self) -> Self {
        match self {
            Self::Stranger | Self::Grace => Self::Grace,
            _ => Self::Ada,
        }
    }
}

/// Returns the connection of requests that are sent to an edge.
pub fn arrival(scheme: Scheme) -> Arrival {
    Arrival { scheme, address: Ipv4Addr::LOCALHOST.into(), stop: CancellationToken::new() }
}

/// The server under test.
pub struct TestServer {
    pub app: App,
    pub clock: SimClock,
    /// The clock of token expiry.
    pub host_clock: SimClock,
    stop: CancellationToken,
    directory: TempDir,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TestServer {
    /// Starts a server with the default configuration. Actions do not run until
    /// [`TestServer::run`].
    pub async fn new() -> Self {
        let mut config = Config::default();
        config.webhooks.allow_loopback = true;
        Self::with(config).await
    }

    pub async fn with(config: Config) -> Self {
        Self::made(config, WriteMode::InlineTwice, Arc::new(|| Duration::ZERO)).await
    }

    pub async fn made(mut config: Config, mode: WriteMode, monotonic: Monotonic) -> Self {
        config.server.names.push(HOST.to_owned());
        let directory = tempfile::tempdir().unwrap();
        let (clock, host_clock) = (SimClock::paused(START), SimClock::paused(START));
        let rng = Arc::new(SeededRng::new(42));
        let fetcher = Fetcher::new(None).unwrap();
        let store = testing::open(directory.path(), mode).unwrap();
        restore_signing_key(&store).await;
        let sim = SimParts { clock: Arc::new(clock.clone()), rng: rng.clone(), fetcher: fetcher.clone() };
        let parts = AppDependencies {
            store: store.clone(),
            machines: Machines::Simulated(Simulation {
                driver: SimDriver::open(None, sim).unwrap(),
                clock: clock.clone(),
                faults: Arc::new(Faults::new(Box::new(|| panic!("a fault must not crash the test process")))),
            }),
            host_clock: Arc::new(host_clock.clone()),
            monotonic,
            rng,
            fetcher,
            config,
            page_address: None,
        };
        let app = assemble(parts).await.unwrap();
        save_signing_key(&store).await;
        let prepared = scenario::prepare(&app, None, FLEET).await.unwrap();
        scenario::load(&app, prepared).await.unwrap();
        make_owner(&store).await;
        Self { app, clock, host_clock, stop: CancellationToken::new(), directory }
    }

    /// Returns whether a file of the data directory contains these bytes.
    pub fn is_in_a_file(&self, wanted: &[u8]) -> bool {
        std::fs::read_dir(self.directory.path()).unwrap().any(|entry| {
            let content = std::fs::read(entry.unwrap().path()).unwrap();
            content.windows(wanted.len()).any(|window| window == wanted)
        })
    }

    /// Starts the engine.
    pub fn run(&self) {
        let (engine, stop) = (self.app.engine.clone(), self.stop.clone());
        tokio::spawn(async move { engine.run(stop).await });
    }

    /// Starts the delivery of webhooks.
    pub fn deliver_webhooks(&self) {
        tokio::spawn(cloudpc_server::webhooks::run(self.app.clone(), self.stop.clone()));
    }

    /// Runs export jobs.
    pub fn run_exports(&self) {
        tokio::spawn(cloudpc_server::exports::run(self.app.clone(), self.stop.clone()));
    }

    /// Advances the clock until no action is open and no bulk action has items to begin.
    pub async fn rest(&self) {
        for _ in 0..10_000 {
            let now = self.clock.now();
            let is_idle = self.app.store.read(move |reader| {
                Ok(reader.action_open_count()? == 0 && reader.bulk_action_due(None, now)?.is_none())
            });
            if is_idle.await.map_err(|error: StoreError| error).unwrap() {
                return;
            }
            self.clock.advance(Duration::from_secs(10)).await;
            tokio::task::yield_now().await;
        }
        panic!("open actions did not end");
    }

    pub async fn token(&self, who: Who) -> String {
        let base = BaseAddress(BASE.into());
        let tenant = |n: u8| format!("{n}0000000-0000-4000-8000-000000000001").parse::<TenantId>().unwrap();
        let app = |n: u8, last: &str| format!("{n}0000000-0000-4000-8000-0000000000{last}").parse::<AppId>().unwrap();
        let identity = &self.app.identity;
        let token = match who {
            Who::Writer => identity.issue_for_app(&base, tenant(1), app(1, "b1")).await,
            Who::Reader => identity.issue_for_app(&base, tenant(1), app(1, "b2")).await,
            Who::Nobody => identity.issue_for_app(&base, tenant(1), app(1, "b3")).await,
            Who::Owner => identity.issue_for_app(&base, tenant(1), app(1, "b9")).await,
            Who::Stranger => identity.issue_for_app(&base, tenant(2), app(2, "b1")).await,
            Who::Grace => identity.issue_for_user(&base, tenant(2), "grace@fabrikam.test", None).await,
            Who::Ada => identity.issue_for_user(&base, tenant(1), "ada@contoso.test", None).await,
            Who::Alan => identity.issue_for_user(&base, tenant(1), "alan@contoso.test", None).await,
        };
        token.unwrap().token
    }

    /// Sends `GET` to a path or an absolute URL.
    pub async fn get(&self, who: Who, path: &str) -> Reply {
        self.call(who, "GET", path, None).await
    }

    /// Sends `POST` without a body.
    pub async fn post(&self, who: Who, path: &str) -> Reply {
        self.call(who, "POST", path, None).await
    }

    pub async fn call(&self, who: Who, method: &str, path: &str, body: Option<Value>) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(path.strip_prefix(BASE).unwrap_or(path))
            .header("authorization", format!("Bearer {}", self.token(who).await));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    /// Sends a request unchanged, with constant request ids, and compares the response with the
    /// OpenAPI description.
    pub async fn send(&self, mut request: Request<Body>) -> Reply {
        let id = "00000000-0000-4000-8000-000000000001";
        request.extensions_mut().insert(RequestIds { client_request_id: id.into(), request_id: id.into() });
        request.extensions_mut().insert(BaseAddress(BASE.into()));
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let response = pipeline::handle(self.app.clone(), request).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(bytes.to_vec()).unwrap();
        let reply = Reply { status: head.status, headers: head.headers, body };
        openapi::check(method.as_str(), uri.path(), uri.query().unwrap_or_default(), &reply);
        reply
    }
}

/// Creates the owner's application, which a real server writes to `admin.json`.
async fn make_owner(store: &Store) {
    let (tenant_id, id) = (OWNER_TENANT.parse().unwrap(), OWNER_APP.parse().unwrap());
    let owner = Application {
        tenant_id,
        id,
        name: "Administrator".into(),
        secret_hash: None,
        permissions: vec!["CloudPC.ReadWrite.All".into(), "Cloudpc.Administer.All".into()],
        enabled: true,
    };
    let work = move |tx: &mut Tx<'_>| {
        tx.app_put(&owner)?;
        installation::set_owner(tx, tenant_id, id)
    };
    store.write::<_, StoreError, _>("test.write", work).await.unwrap();
}

/// Generating a signing key takes longer than most tests, so all tests share the first one.
static SIGNING_KEY: OnceLock<Vec<u8>> = OnceLock::new();
const SIGNING_KEY_SETTING: &str = "identity.keys";

async fn restore_signing_key(store: &Store) {
    if let Some(key) = SIGNING_KEY.get() {
        store.write("test.write", |tx| tx.setting_put(SIGNING_KEY_SETTING, key)).await.unwrap();
    }
}

async fn save_signing_key(store: &Store) {
    let key = store.read(|reader| reader.setting(SIGNING_KEY_SETTING)).await.unwrap();
    SIGNING_KEY.get_or_init(|| key.expect("the identity generates a key at start"));
}

/// A response. `Display` writes its status, headers and body, with JSON pretty-printed.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Returns the rows of a collection.
    pub fn rows(&self) -> Vec<Value> {
        self.json()["value"].as_array().unwrap_or_else(|| panic!("no collection: {}", self.body)).clone()
    }

    pub fn next_link(&self) -> Option<String> {
        self.json()["@odata.nextLink"].as_str().map(str::to_owned)
    }

    /// Returns the status and `error.code`.
    pub fn error(&self) -> (u16, String) {
        let code = if self.body.is_empty() { Value::Null } else { self.json()["error"]["code"].clone() };
        (self.status.as_u16(), code.as_str().unwrap_or_default().to_owned())
    }
}

/// Headers that are equal in all responses; one test shows them.
const CONSTANT: [&str; 4] = ["request-id", "client-request-id", "odata-version", "x-ms-ags-diagnostic"];

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}\n", self.status.as_u16());
        for (name, value) in self.headers.iter().filter(|(name, _)| !CONSTANT.contains(&name.as_str())) {
            writeln!(text, "{name}: {}", value.to_str().unwrap())?;
        }
        match serde_json::from_str::<Value>(&self.body) {
            Ok(value) if value.is_object() => writeln!(text, "{}", serde_json::to_string_pretty(&value).unwrap())?,
            _ => writeln!(text, "{}", self.body)?,
        }
        f.write_str(text.trim_end())
    }
}
