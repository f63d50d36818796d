//! Tests of the edge over real sockets, with the real routes and test routes that wait, panic or
//! report body sizes.

mod bodies;
mod cors;
mod desktop;
mod events;
mod heads;
mod http2;
mod overload;
mod proxy;
mod secured;
mod stopping;

use axum::extract::Path;
use axum::routing::{any, post};
use cloudpc_drivers::sim::{SimClock, SimDriver, SimParts};
use cloudpc_drivers::{Fetcher, SystemClock};
use cloudpc_engine::Faults;
use cloudpc_model::{AppId, Clock as _, SeededRng, TenantId};
use cloudpc_store::{Store, WriteMode};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::*;
use super::*;
use crate::app::Simulation;
use crate::config::Config;
use crate::start::{AppDependencies, Machines, assemble};

/// Content of `/test/large/{bytes}` and of large bodies.
const FILLING: u8 = b'x';

/// A server with a plain HTTP and an HTTPS socket.
struct TestServer {
    edge: Arc<Edge>,
    plain: SocketAddr,
    secured: SocketAddr,
    stop: CancellationToken,
    connections: TaskTracker,
    /// Lets `/test/wait` respond.
    release: Arc<Notify>,
    directory: TempDir,
}

impl TestServer {
    async fn new() -> Self {
        Self::with(EdgeLimits::default(), Config::default()).await
    }

    async fn with(limits: EdgeLimits, config: Config) -> Self {
        Self::with_app(limits, config, async |app| app).await
    }

    async fn with_app(limits: EdgeLimits, mut config: Config, change: impl AsyncFnOnce(App) -> App) -> Self {
        let directory = tempfile::tempdir().unwrap();
        config.server.names.extend(["a", "pc.test", "cloudpc.test"].map(str::to_owned));
        let app = change(app(&directory, config).await).await;
        let release = Arc::new(Notify::new());
        let health = Arc::new(Health::default());
        let mut edge = Edge::new(app, health);
        edge.router = edge.router.merge(routes(Arc::clone(&release)));
        let edge = Arc::new(edge);
        let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
        // The certificate must be valid by the host's clock, which the client uses.
        let config =
            server_config(directory.path(), &["localhost".into()], SystemClock.now(), &SeededRng::new(1)).unwrap();
        let mut addresses = Vec::new();
        for tls in [None, Some(TlsAcceptor::from(config))] {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(socket.local_addr().unwrap());
            let listener = Listener { socket, tls, limits };
            tokio::spawn(serve(Arc::clone(&edge), listener, stop.clone(), connections.clone()));
        }
        let [plain, secured] = addresses[..] else { unreachable!() };
        Self { edge, plain, secured, stop, connections, release, directory }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.plain).await.unwrap()
    }

    /// Sends bytes and returns everything received until the connection closes.
    async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        rest(&mut stream).await
    }

    /// Sends a request without a body; returns its [`outcome`].
    async fn ask(&self, line: &str, headers: &str) -> String {
        outcome(
            &self
                .exchange(format!("{line} HTTP/1.1\r\nHost: cloudpc.test\r\nConnection: close\r\n{headers}\r\n"))
                .await,
        )
    }

    /// Handles a request of a peer without a connection.
    async fn answer_peer(&self, request: Request<Body>, peer: u8) -> Response<Body> {
        self.edge.answer(request, &arrival(peer)).await
    }

    /// Issues a token with all permissions.
    async fn administrator(&self) -> String {
        let app = &self.edge.app;
        let (tenant_id, id) = (TenantId::random(app.rng.as_ref()), AppId::random(app.rng.as_ref()));
        let application = cloudpc_store::Application {
            tenant_id,
            id,
            name: "Administrator".into(),
            secret_hash: None,
            permissions: cloudpc_identity::permissions::PERMISSIONS.map(str::to_owned).to_vec(),
            enabled: true,
        };
        let stored = app.store.write("test.write", move |tx| {
            tx.tenant_put(tenant_id, "Contoso")?;
            tx.app_put(&application)
        });
        stored.await.unwrap();
        app.identity.issue_for_app(&BaseAddress("http://a".into()), tenant_id, id).await.unwrap().token
    }

    /// Opens a TLS connection to the HTTPS socket, from a client that trusts the authority.
    async fn secure(&self, name: &str, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let authority = std::fs::read(self.directory.path().join(AUTHORITY_FILE)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.secured).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Waits until this many connections are open.
    async fn until_open(&self, count: usize) {
        while self.connections.len() != count {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Returns a connection of the peer whose address ends with this number.
fn arrival(peer: u8) -> Arrival {
    Arrival { scheme: Scheme::Http, address: [192, 0, 2, peer].into(), stop: CancellationToken::new() }
}

async fn app(directory: &TempDir, config: Config) -> App {
    let clock = SimClock::paused(SystemClock.now());
    let rng = Arc::new(SeededRng::new(7));
    let sim = SimParts { clock: Arc::new(clock.clone()), rng: rng.clone(), fetcher: Fetcher::new(None).unwrap() };
    let parts = AppDependencies {
        store: Store::open(directory.path(), WriteMode::InlineTwice).unwrap(),
        machines: Machines::Simulated(Simulation {
            driver: SimDriver::open(None, sim).unwrap(),
            clock: clock.clone(),
            faults: Arc::new(Faults::new(Box::new(|| panic!("no test crashes this process")))),
        }),
        host_clock: Arc::new(clock),
        monotonic: Arc::new(|| Duration::ZERO),
        rng,
        fetcher: Fetcher::new(None).unwrap(),
        config,
        page_address: None,
    };
    assemble(parts).await.unwrap()
}

fn routes(release: Arc<Notify>) -> Router {
    let wait = move || {
        let release = Arc::clone(&release);
        async move {
            release.notified().await;
            "released"
        }
    };
    let large = async |Path(bytes): Path<usize>| vec![FILLING; bytes];
    let panic = async || -> String { panic!("an operation panics") };
    let length = async |body: Bytes| body.len().to_string();
    Router::new()
        .route("/test/wait", get(wait.clone()).post(wait.clone()))
        .route("/test/oauth2/wait", post(wait))
        .route("/test/large/{bytes}", get(large))
        .route("/test/panic", get(panic))
        .route("/test/length", post(length))
        .route("/_cloudpc/test/length", post(length))
        .route("/test/any", any(length))
        .layer(DefaultBodyLimit::disable())
}

async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads the next response of a connection that stays open.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        text.push(byte[0].into());
        if let Some(head) = text.strip_suffix("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).await.unwrap();
            return text + &String::from_utf8(body).unwrap();
        }
    }
}

/// Returns the status, and the code and message of an error or the whole body.
fn outcome(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.lines().next().unwrap_or_default().trim_start_matches("HTTP/1.1 ");
    match serde_json::from_str::<Value>(body) {
        Ok(body) if body["error"].is_object() => {
            let error = &body["error"];
            assert!(error["innerError"]["request-id"].is_string(), "{body}");
            format!("{status}: {}: {}", error["code"].as_str().unwrap(), error["message"].as_str().unwrap())
        }
        _ => format!("{status}: {body}"),
    }
}

/// Stops the clock except for [`tokio::time::advance`]. Without this, a paused clock jumps ahead
/// whenever all tasks wait for sockets.
struct StandingClock {
    _end: std::sync::mpsc::Sender<()>,
}

impl StandingClock {
    fn new() -> Self {
        let (end, ended) = std::sync::mpsc::channel();
        // While a blocking task runs, the clock does not advance by itself.
        tokio::task::spawn_blocking(move || ended.recv());
        tokio::time::pause();
        Self { _end: end }
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}

/// Lets all tasks run until they wait for the clock or for a socket.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_damaged_database_makes_the_service_not_ready() {
    let server = TestServer::new().await;
    std::fs::remove_file(server.directory.path().join("cloudpc.db")).unwrap();
    server.edge.app.store.check_file();
    let text = server.ask("GET /readyz", "").await;
    assert!(text.starts_with("503 Service Unavailable: the database is damaged"), "{text}");
    assert_eq!(server.ask("GET /healthz", "").await, "200 OK: ok");
}
