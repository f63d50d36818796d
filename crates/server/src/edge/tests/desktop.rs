//! Tests of desktops: the page of a ticket and its WebSocket, with a machine whose screen is a Unix
//! socket.

use async_trait::async_trait;
use cloudpc_drivers::{
    Capabilities, Display, Driver, DriverError, Guest, ImageFacts, MachineSpec, NetworkCheck, NetworkFinding, Observed,
    SourceImage, StopMode, Tag,
};
use cloudpc_model::{
    AppId, AuditEntry, BlobAccessTier, CloudPc, CloudPcId, ImageId, Product, ProvisioningType, Review, SnapshotId,
    TenantId, Timestamp, UserAccessLevel, UserId,
};
use cloudpc_store::{Application, User};
use futures_util::stream::BoxStream;
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use tokio::net::{UnixListener, UnixStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use super::*;
use crate::caller::Caller;
use crate::desktop::{
    CALLER_MACHINE_BRIDGES_MAX, DesktopAdmission, Desktops, MESSAGE_BYTES_MAX, RIGHTS_AGE_MAX, SILENCE_MAX,
    TICKET_TIME_MAX,
};
use crate::identity::OldKeys;
use crate::pipeline::Throttle;
use crate::rbac::ADMINISTRATORS;
use crate::{app, scenario};

/// A Cloud PC in `world.toml`.
const DESK: &str = "10000000-0000-4000-8000-0000000000d1";
const TENANT: &str = "10000000-0000-4000-8000-000000000001";
const OTHER_TENANT: &str = "20000000-0000-4000-8000-000000000001";
/// Applications with write permission, with read permission, and with write permission in the other
/// tenant.
const WRITER: &str = "10000000-0000-4000-8000-0000000000b1";
const READER: &str = "10000000-0000-4000-8000-0000000000b2";
const STRANGER: &str = "20000000-0000-4000-8000-0000000000b1";
/// The user of the Cloud PC, and another user with write permission.
const ADA: &str = "ada@contoso.test";
const ALAN: &str = "alan@contoso.test";
/// The first bytes of a screen.
const GREETING: &[u8] = b"RFB 003.008\n";

/// A driver that supports only screens.
struct Screen(PathBuf);

#[rustfmt::skip]
#[async_trait]
impl Driver for Screen {
    async fn display(&self, _: CloudPcId) -> Result<Box<dyn Display>, DriverError> {
        let stream = UnixStream::connect(&self.0).await.map_err(|error| DriverError::Conflict(error.to_string()))?;
        Ok(Box::new(stream))
    }
    fn capabilities(&self, _: &MachineSpec) -> Capabilities { unreachable!() }
    async fn check_image(&self, _: &ImageId) -> Result<(), DriverError> { unreachable!() }
    async fn source_images(&self) -> Result<Vec<SourceImage>, DriverError> { unreachable!() }
    async fn check_source(&self, _: &str) -> Result<SourceImage, DriverError> { unreachable!() }
    async fn ensure_image(&self, _: &ImageId, _: &str) -> Result<(), DriverError> { unreachable!() }
    async fn probe_image(&self, _: &ImageId) -> Result<ImageFacts, DriverError> { unreachable!() }
    async fn ensure_image_absent(&self, _: &ImageId) -> Result<(), DriverError> { unreachable!() }
    fn check_size(&self, _: &MachineSpec) -> Result<(), DriverError> { unreachable!() }
    async fn check_network(&self, _: &NetworkCheck) -> Result<NetworkFinding, DriverError> { unreachable!() }
    async fn observe(&self, _: CloudPcId) -> Result<Observed, DriverError> { unreachable!() }
    async fn ensure_present(&self, _: &MachineSpec) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_absent(&self, _: CloudPcId) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_running(&self, _: CloudPcId) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_stopped(&self, _: CloudPcId, _: StopMode) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_restarted(&self, _: CloudPcId, _: &Tag) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_disk_aside(&self, _: CloudPcId, _: &Tag) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_disk_from_image(&self, _: &MachineSpec, _: &Tag) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_disk_from_snapshot(&self, _: CloudPcId, _: &SnapshotId, _: &Tag) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_disk_back(&self, _: CloudPcId, _: &Tag) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_aside_dropped(&self, _: CloudPcId, _: &Tag) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_size(&self, _: &MachineSpec) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_snapshot(&self, _: CloudPcId, _: &SnapshotId) -> Result<(), DriverError> { unreachable!() }
    async fn ensure_snapshot_absent(&self, _: CloudPcId, _: &SnapshotId) -> Result<(), DriverError> { unreachable!() }
    async fn guest(&self, _: CloudPcId) -> Result<Box<dyn Guest>, DriverError> { unreachable!() }
    fn watch(&self) -> BoxStream<'static, CloudPcId> { unreachable!() }
    async fn screenshot(&self, _: CloudPcId) -> Result<Vec<u8>, DriverError> { unreachable!() }
    async fn list(&self) -> Result<Vec<CloudPcId>, DriverError> { unreachable!() }
}

/// A server whose machines share one screen.
struct DesktopServer {
    server: TestServer,
    clock: SimClock,
    screen: UnixListener,
    novnc: TempDir,
    /// The address of the screen leads over it.
    _folder: std::fs::File,
}

type Socket = WebSocketStream<TcpStream>;

impl DesktopServer {
    async fn new() -> Self {
        let novnc = tempfile::tempdir().unwrap();
        std::fs::create_dir(novnc.path().join("core")).unwrap();
        std::fs::write(novnc.path().join("core/rfb.js"), "export default null;").unwrap();
        std::fs::write(novnc.path().join("secret.js"), "no").unwrap();
        // The address of a socket has at most 107 bytes, and a path may be longer.
        let folder = std::fs::File::open(novnc.path()).unwrap();
        let socket = PathBuf::from(format!("/proc/self/fd/{}/vnc.sock", folder.as_raw_fd()));
        let screen = UnixListener::bind(&socket).unwrap();
        let clock = SimClock::paused(SystemClock.now());
        let host_clock: Arc<dyn cloudpc_model::Clock> = Arc::new(clock.clone());
        let rng: Arc<dyn cloudpc_model::Rng> = Arc::new(SeededRng::new(3));
        let path = novnc.path().to_owned();
        let server = TestServer::with_app(EdgeLimits::default(), Config::default(), async |app| {
            let desktops = Arc::new(Desktops::new(&app.store, &host_clock, &rng, path));
            let fleet = include_str!("../../../tests/server/world.toml");
            let prepared = scenario::prepare(&app, None, fleet).await.unwrap();
            scenario::load(&app, prepared).await.unwrap();
            App::from(app::AppState {
                driver: Arc::new(Screen(socket)),
                desktops,
                webhooks: Arc::clone(&app.webhooks),
                exports: Arc::default(),
                events: Arc::clone(&app.events),
                edge: app.edge.clone(),
                store: app.store.clone(),
                engine: app.engine.clone(),
                clock: Arc::clone(&app.clock),
                monotonic: Arc::clone(&app.monotonic),
                rng: Arc::clone(&app.rng),
                throttle: Throttle::new(None, Arc::clone(&app.monotonic)),
                repeats: Default::default(),
                response_cache: Default::default(),
                signer: app.signer.clone(),
                identity: Arc::clone(&app.identity),
                fidelity: app.fidelity,
                heartbeat_silence_max: app.heartbeat_silence_max,
                simulation: app.simulation.clone(),
            })
        })
        .await;
        Self { server, clock, screen, novnc, _folder: folder }
    }

    fn app(&self) -> &App {
        &self.server.edge.app
    }

    /// An application as it is after its sign-in.
    async fn caller(&self, tenant: &str, app: &str) -> Caller {
        let base = BaseAddress("http://localhost".into());
        let (tenant, app) = (tenant.parse::<TenantId>().unwrap(), app.parse::<AppId>().unwrap());
        let token = self.app().identity.issue_for_app(&base, tenant, app).await.unwrap().token;
        self.signed_in(&token).await
    }

    /// A user as they are after their sign-in.
    async fn user(&self, name: &str) -> Caller {
        let (base, tenant) = (BaseAddress("http://localhost".into()), TENANT.parse::<TenantId>().unwrap());
        let token = self.app().identity.issue_for_user(&base, tenant, name, None).await.unwrap().token;
        self.signed_in(&token).await
    }

    async fn signed_in(&self, token: &str) -> Caller {
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
        (*self.app().identity.authenticate(&headers).await.unwrap()).clone()
    }

    /// An admission with write permission.
    async fn admission(&self) -> DesktopAdmission {
        let caller = self.caller(TENANT, WRITER).await;
        DesktopAdmission { caller, cloud_pc_id: DESK.parse::<CloudPcId>().unwrap(), owner: None, view_only: false }
    }

    /// An admission with read permission.
    async fn view_admission(&self) -> DesktopAdmission {
        DesktopAdmission { caller: self.caller(TENANT, READER).await, view_only: true, ..self.admission().await }
    }

    async fn ticket(&self, admission: &DesktopAdmission) -> String {
        self.app().desktops.tickets.issue(admission).await.unwrap()
    }

    /// Changes a user of the tenant.
    async fn change_user(&self, name: &'static str, change: impl Fn(User) -> User + Send + 'static) {
        let tenant = TENANT.parse().unwrap();
        let change = move |tx: &mut cloudpc_store::Tx<'_>| {
            let user = tx.user_by_name(tenant, name)?.unwrap();
            tx.user_put(&change(user))
        };
        self.app().store.write("test.write", change).await.unwrap();
        self.app().identity.forget_verified();
    }

    /// Changes an application of the tenant; `notify` makes it take effect at once.
    async fn change(&self, id: &str, notify: bool, change: impl Fn(Application) -> Application + Send + 'static) {
        let (tenant, id) = (TENANT.parse().unwrap(), id.parse().unwrap());
        let change = move |tx: &mut cloudpc_store::Tx<'_>| {
            let app = tx.app(tenant, id)?.unwrap();
            tx.app_put(&change(app))
        };
        self.app().store.write("test.write", change).await.unwrap();
        if notify {
            self.app().identity.forget_verified();
        }
    }

    /// Returns the response to `GET /desktop/{ticket}`.
    async fn open(&self, ticket: &str) -> String {
        let host = self.server.plain;
        self.server
            .exchange(format!("GET /desktop/{ticket} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
            .await
    }

    /// Opens a page; returns its ticket and its cookie.
    async fn page(&self) -> (String, String) {
        self.page_of(&self.admission().await).await
    }

    async fn page_of(&self, admission: &DesktopAdmission) -> (String, String) {
        let ticket = self.ticket(admission).await;
        let page = self.open(&ticket).await;
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        // Opening the page tests the connection to the screen.
        self.screen.accept().await.unwrap();
        let cookie = page.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        let (cookie, rest) = cookie.split_once("; ").unwrap();
        assert_eq!(rest, format!("Path=/desktop/{ticket}/screen; HttpOnly; SameSite=Strict"));
        (ticket, cookie.to_owned())
    }

    /// Opens the WebSocket of a page; returns the status if it is refused.
    async fn connect(&self, ticket: &str, cookie: &str, origin: &str) -> Result<Socket, u16> {
        let host = self.server.plain;
        let mut request = format!("ws://{host}/desktop/{ticket}/screen").into_client_request().unwrap();
        for (name, value) in [("cookie", cookie), ("origin", origin)] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        match tokio_tungstenite::client_async(request, self.server.connect().await).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens a desktop; returns its WebSocket and its screen.
    async fn view(&self) -> (Socket, UnixStream) {
        self.view_as(&self.admission().await).await
    }

    async fn view_as(&self, admission: &DesktopAdmission) -> (Socket, UnixStream) {
        let (ticket, cookie) = self.page_of(admission).await;
        let socket = self.connect(&ticket, &cookie, &self.origin()).await.unwrap();
        (socket, self.screen.accept().await.unwrap().0)
    }

    fn origin(&self) -> String {
        format!("http://{}", self.server.plain)
    }
}

/// Returns the next message other than ping and pong.
async fn next(socket: &mut Socket) -> Message {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

async fn closed_with(socket: &mut Socket) -> CloseCode {
    match next(socket).await {
        Message::Close(Some(frame)) => frame.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bytes_are_copied_both_ways_until_the_screen_closes() {
    let desktops = DesktopServer::new().await;
    let (mut socket, mut screen) = desktops.view().await;
    screen.write_all(GREETING).await.unwrap();
    assert_eq!(next(&mut socket).await.into_data(), GREETING);
    socket.send(Message::binary(GREETING)).await.unwrap();
    let mut received = [0; GREETING.len()];
    screen.read_exact(&mut received).await.unwrap();
    assert_eq!(received, GREETING);

    // A picture that exceeds all buffers in between.
    let picture: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let (sent, shown) = (picture.clone(), async {
        let mut shown = Vec::new();
        while shown.len() < picture.len() {
            shown.extend(next(&mut socket).await.into_data());
        }
        shown
    });
    let (wrote, shown) = tokio::join!(screen.write_all(&sent), shown);
    wrote.unwrap();
    assert!(shown == picture);

    drop(screen);
    assert_eq!(closed_with(&mut socket).await, CloseCode::Normal);
}

#[tokio::test]
async fn the_screen_is_disconnected_with_the_browser() {
    let desktops = DesktopServer::new().await;
    let (socket, mut screen) = desktops.view().await;
    drop(socket);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn shutdown_closes_desktops_with_a_reason() {
    let desktops = DesktopServer::new().await;
    let (mut socket, mut screen) = desktops.view().await;
    let (ticket, cookie) = desktops.page().await;
    let closing = desktops.app().desktops.close();
    let closed = async {
        assert_eq!(closed_with(&mut socket).await, CloseCode::Away);
        assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
    };
    tokio::join!(closing, closed);
    // A page that connects after the shutdown.
    let mut late = desktops.connect(&ticket, &cookie, &desktops.origin()).await.unwrap();
    assert_eq!(closed_with(&mut late).await, CloseCode::Away);
}

#[tokio::test]
async fn a_ticket_opens_one_page_and_a_page_one_socket() {
    let desktops = DesktopServer::new().await;
    let ticket = desktops.ticket(&desktops.admission().await).await;
    let head = desktops.server.ask(&format!("HEAD /desktop/{ticket}"), "").await;
    assert!(head.starts_with("405"), "{head}");
    assert!(desktops.open(&ticket).await.starts_with("HTTP/1.1 200 "), "HEAD does not redeem the ticket");
    desktops.screen.accept().await.unwrap();

    let (ticket, cookie) = desktops.page().await;
    let used = desktops.open(&ticket).await;
    assert!(used.starts_with("HTTP/1.1 403 ") && used.contains("already opened"), "{used}");

    let mut socket = desktops.connect(&ticket, &cookie, &desktops.origin()).await.unwrap();
    assert_eq!(
        desktops.connect(&ticket, &cookie, &desktops.origin()).await.err(),
        Some(403),
        "the key was already used"
    );
    drop(desktops.screen.accept().await.unwrap());
    assert_eq!(closed_with(&mut socket).await, CloseCode::Normal);
}

#[tokio::test]
async fn invalid_tickets_keys_and_origins_are_refused() {
    let desktops = DesktopServer::new().await;
    let refused = async |ticket: &str| desktops.open(ticket).await.lines().next().unwrap().to_owned();

    let good = desktops.ticket(&desktops.admission().await).await;
    let forged = format!("{}x", &good[..good.len() - 1]);
    assert_eq!(refused(&forged).await, "HTTP/1.1 403 Forbidden");
    desktops.clock.advance(TICKET_TIME_MAX).await;
    assert_eq!(refused(&good).await, "HTTP/1.1 403 Forbidden", "expired");
    let foreign =
        DesktopAdmission { caller: desktops.caller(OTHER_TENANT, STRANGER).await, ..desktops.admission().await };
    let foreign = desktops.ticket(&foreign).await;
    assert_eq!(refused(&foreign).await, "HTTP/1.1 404 Not Found", "the machine belongs to another tenant");
    let caller = desktops.user(ADA).await;
    let others = DesktopAdmission { caller, owner: Some(UserId(uuid::Uuid::nil())), ..desktops.admission().await };
    let others = desktops.ticket(&others).await;
    assert_eq!(refused(&others).await, "HTTP/1.1 404 Not Found", "the machine is assigned to another user");

    // A key does not work for another page, and is used up by the attempt.
    let ((first, its_key), (second, _)) = (desktops.page().await, desktops.page().await);
    assert_eq!(desktops.connect(&second, &its_key, &desktops.origin()).await.err(), Some(403));
    assert_eq!(desktops.connect(&first, &its_key, &desktops.origin()).await.err(), Some(403));
    // Another site's page.
    let (ticket, key) = desktops.page().await;
    for origin in ["http://evil.test", "null", &format!("{}0", desktops.origin()), "https://localhost"] {
        assert_eq!(desktops.connect(&ticket, &key, origin).await.err(), Some(403), "{origin}");
    }
    // A page that connects too late.
    desktops.clock.advance(TICKET_TIME_MAX).await;
    assert_eq!(desktops.connect(&ticket, &key, &desktops.origin()).await.err(), Some(403));
    let plain = desktops.server.ask("GET /desktop/x/screen", "").await;
    assert!(plain.starts_with("400") || plain.starts_with("426"), "{plain}");
}

#[tokio::test]
async fn a_page_explains_why_the_desktop_is_unavailable() {
    let desktops = DesktopServer::new().await;
    std::fs::remove_file(desktops.novnc.path().join("core/rfb.js")).unwrap();
    let page = desktops.open(&desktops.ticket(&desktops.admission().await).await).await;
    assert!(page.starts_with("HTTP/1.1 503 ") && page.contains("apt-get install novnc"), "{page}");
    std::fs::remove_file(desktops.novnc.path().join("vnc.sock")).unwrap();
    let page = desktops.open(&desktops.ticket(&desktops.admission().await).await).await;
    assert!(page.starts_with("HTTP/1.1 409 ") && page.contains("powered off"), "{page}");
}

#[tokio::test]
async fn a_page_serves_only_its_own_files() {
    let desktops = DesktopServer::new().await;
    let page = desktops.open(&desktops.ticket(&desktops.admission().await).await).await;
    let host = desktops.server.plain;
    let policy = page.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).unwrap();
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src ws://{host}; \
             form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
        )
    );
    assert!(page.contains("<title>desk-1</title>"), "{page}");
    for (path, status) in [
        ("page.js", "200 OK"),
        ("page.css", "200 OK"),
        ("novnc/core/rfb.js", "200 OK"),
        ("novnc/core/none.js", "404 Not Found"),
        ("novnc/core/../secret.js", "404 Not Found"),
        ("novnc/core/%2e%2e/secret.js", "404 Not Found"),
        ("novnc/secret.js", "404 Not Found"),
    ] {
        let answer = desktops.server.ask(&format!("GET /desktop/{path}"), "").await;
        assert!(answer.starts_with(status), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_message_beyond_its_limit_closes_the_desktop() {
    let desktops = DesktopServer::new().await;
    let (mut socket, mut screen) = desktops.view().await;
    let longest = vec![7; MESSAGE_BYTES_MAX];
    let mut said = vec![0; MESSAGE_BYTES_MAX];
    let (sent, read) = tokio::join!(socket.send(Message::binary(longest.clone())), screen.read_exact(&mut said));
    sent.unwrap();
    read.unwrap();
    assert!(said == longest);
    // The server does not read the whole message, so sending it may fail.
    let _ = socket.send(Message::binary(vec![7; MESSAGE_BYTES_MAX + 1])).await;
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0, "no part of it was forwarded");

    let (mut socket, _screen) = desktops.view().await;
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(closed_with(&mut socket).await, CloseCode::Unsupported);
}

#[tokio::test]
async fn a_silent_browser_times_out() {
    let desktops = DesktopServer::new().await;
    let (mut socket, mut screen) = desktops.view().await;
    let time = StandingClock::new();
    // Reading makes the client answer pings.
    for _ in 0..6 {
        time.advance(SILENCE_MAX / 2).await;
        settle().await;
        screen.write_all(b"x").await.unwrap();
        assert_eq!(next(&mut socket).await.into_data(), "x");
        settle().await;
    }
    time.advance(SILENCE_MAX + Duration::from_secs(1)).await;
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn one_caller_cannot_exhaust_the_desktops_of_a_machine() {
    let desktops = DesktopServer::new().await;
    let view_admission = desktops.view_admission().await;
    let (ticket, cookie) = desktops.page_of(&view_admission).await;
    let mut open = Vec::new();
    for _ in 0..CALLER_MACHINE_BRIDGES_MAX {
        open.push(desktops.view_as(&view_admission).await);
    }
    let refused = desktops.open(&desktops.ticket(&view_admission).await).await;
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("which is the maximum"), "{refused}");
    assert_eq!(
        desktops.connect(&ticket, &cookie, &desktops.origin()).await.err(),
        Some(429),
        "a page that was opened before the limit was reached"
    );
    desktops.view().await;
    let (socket, mut screen) = open.pop().unwrap();
    drop(socket);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
    settle().await;
    desktops.view_as(&view_admission).await;
}

/// A handshake that requests exclusive access.
const HANDSHAKE: &[u8] = b"RFB 003.008\n\x01\x00";
const SHARED_HANDSHAKE: &[u8] = b"RFB 003.008\n\x01\x01";
/// The return key, the first mouse button, and the pasted text "rm".
const ACTING: &[u8] = b"\x04\x01\0\0\0\0\xff\x0d\x05\x01\0\x10\0\x10\x06\0\0\0\0\0\0\x02rm";
const UPDATE_REQUEST: &[u8] = b"\x03\x01\0\0\0\0\x05\0\x03\x20";

#[tokio::test]
async fn a_reader_can_view_but_not_control() {
    let desktops = DesktopServer::new().await;
    let view_admission = desktops.view_admission().await;
    let page = desktops.open(&desktops.ticket(&view_admission).await).await;
    assert!(page.contains("id=\"screen\" data-view-only>"), "{page}");
    desktops.screen.accept().await.unwrap();
    let (mut socket, mut screen) = desktops.view_as(&view_admission).await;
    screen.write_all(GREETING).await.unwrap();
    assert_eq!(next(&mut socket).await.into_data(), GREETING, "bytes from the screen are unchanged");
    let sent = [HANDSHAKE, ACTING, UPDATE_REQUEST, ACTING, UPDATE_REQUEST].concat();
    for chunk in sent.chunks(7) {
        socket.send(Message::binary(chunk.to_vec())).await.unwrap();
    }
    let expected = [SHARED_HANDSHAKE, UPDATE_REQUEST, UPDATE_REQUEST].concat();
    let mut received = vec![0; expected.len()];
    screen.read_exact(&mut received).await.unwrap();
    assert_eq!(received, expected);
    // A message of unknown length.
    socket.send(Message::binary(vec![99])).await.unwrap();
    assert_eq!(closed_with(&mut socket).await, CloseCode::Protocol);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0, "nothing else was forwarded");
}

#[tokio::test]
async fn a_writer_can_control() {
    let desktops = DesktopServer::new().await;
    let page = desktops.open(&desktops.ticket(&desktops.admission().await).await).await;
    assert!(page.contains("id=\"screen\">"), "{page}");
    desktops.screen.accept().await.unwrap();
    let (mut socket, mut screen) = desktops.view().await;
    let sent = [HANDSHAKE, ACTING].concat();
    socket.send(Message::binary(sent.clone())).await.unwrap();
    let mut received = vec![0; sent.len()];
    screen.read_exact(&mut received).await.unwrap();
    assert_eq!(received, sent);
}

#[tokio::test]
async fn every_opened_desktop_is_audited() {
    let desktops = DesktopServer::new().await;
    let rows = async || {
        let rows =
            desktops.app().store.read(|reader| reader.audit_list(TENANT.parse().unwrap(), None, 9)).await.unwrap();
        let line = |row: &AuditEntry| {
            let details: Vec<_> = row.changes.iter().map(|change| format!("{} {}", change.name, change.new)).collect();
            format!("{}: {} {}, {}", row.actor.app_name, row.activity(), row.resource.display_name, details.join(" "))
        };
        rows.iter().map(line).collect::<Vec<_>>()
    };
    let before = rows().await;
    desktops.page().await;
    assert_eq!(rows().await, before, "opening only the page is not audited");
    let _viewed = desktops.view_as(&desktops.view_admission().await).await;
    let _controlled = desktops.view().await;
    let opened = |caller, mode| format!("{caller}: OpenDesktop CloudPC desk-1, mode {mode}");
    let expected = [opened("writer", "control"), opened("reader", "viewOnly")];
    assert_eq!(rows().await, [&expected[..], &before].concat());
}

/// Gives a user a directory role that lets them see the machines of others.
fn administrator(user: User) -> User {
    User { roles: vec![ADMINISTRATORS[1].into()], ..user }
}

#[tokio::test]
async fn a_ticket_grants_only_its_callers_current_permissions() {
    let desktops = DesktopServer::new().await;
    desktops.change_user(ALAN, administrator).await;
    let alan = DesktopAdmission { caller: desktops.user(ALAN).await, ..desktops.admission().await };
    let (unopened, lost) = (desktops.ticket(&alan).await, desktops.ticket(&desktops.view_admission().await).await);
    let (ticket, cookie) = desktops.page_of(&alan).await;
    desktops.change_user(ALAN, |user| User { permissions: vec!["CloudPC.Read.All".into()], ..user }).await;
    desktops.change(READER, true, |app| Application { permissions: Vec::new(), ..app }).await;
    let page = desktops.open(&unopened).await;
    assert!(page.contains("data-view-only"), "{page}");
    desktops.screen.accept().await.unwrap();
    let page = desktops.open(&lost).await;
    assert!(page.starts_with("HTTP/1.1 403 ") && page.contains("revoked"), "{page}");
    let mut socket = desktops.connect(&ticket, &cookie, &desktops.origin()).await.unwrap();
    let mut screen = desktops.screen.accept().await.unwrap().0;
    socket.send(Message::binary([HANDSHAKE, ACTING, UPDATE_REQUEST].concat())).await.unwrap();
    let mut received = vec![0; SHARED_HANDSHAKE.len() + UPDATE_REQUEST.len()];
    screen.read_exact(&mut received).await.unwrap();
    assert_eq!(received, [SHARED_HANDSHAKE, UPDATE_REQUEST].concat());
}

#[tokio::test]
async fn disabling_an_application_ends_its_desktops() {
    let desktops = DesktopServer::new().await;
    let (mut others, _screen) = desktops.view_as(&desktops.view_admission().await).await;
    let unopened = desktops.ticket(&desktops.admission().await).await;
    let (ticket, cookie) = desktops.page().await;
    let (mut socket, mut screen) = desktops.view().await;
    desktops.change(WRITER, true, |app| Application { enabled: false, ..app }).await;
    assert_eq!(closed_with(&mut socket).await, CloseCode::Policy);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
    assert!(desktops.open(&unopened).await.starts_with("HTTP/1.1 403 "));
    assert_eq!(desktops.connect(&ticket, &cookie, &desktops.origin()).await.err(), Some(403));

    // Another application's desktop stays open until the key that signed its token is dropped.
    others.send(Message::Ping(Bytes::new())).await.unwrap();
    assert!(matches!(others.next().await, Some(Ok(Message::Ping(_) | Message::Pong(_)))));
    desktops.app().identity.rotate_keys(OldKeys::Drop).await.unwrap();
    assert_eq!(closed_with(&mut others).await, CloseCode::Policy);
}

#[tokio::test]
async fn losing_write_permission_ends_a_desktop() {
    let desktops = DesktopServer::new().await;
    desktops.change_user(ALAN, administrator).await;
    let alan = DesktopAdmission { caller: desktops.user(ALAN).await, ..desktops.admission().await };
    let (mut socket, mut screen) = desktops.view_as(&alan).await;
    desktops.change_user(ALAN, |user| User { permissions: vec!["CloudPC.Read.All".into()], ..user }).await;
    assert_eq!(closed_with(&mut socket).await, CloseCode::Policy);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn losing_a_role_ends_a_desktop_of_another_users_machine() {
    let desktops = DesktopServer::new().await;
    desktops.change_user(ALAN, administrator).await;
    let alan = DesktopAdmission { caller: desktops.user(ALAN).await, ..desktops.admission().await };
    let unopened = desktops.ticket(&alan).await;
    let (mut socket, mut screen) = desktops.view_as(&alan).await;
    desktops.change_user(ALAN, |user| User { roles: Vec::new(), ..user }).await;
    assert_eq!(closed_with(&mut socket).await, CloseCode::Policy);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
    let page = desktops.open(&unopened).await;
    assert!(page.starts_with("HTTP/1.1 403 ") && page.contains("revoked"), "{page}");
}

#[tokio::test]
async fn disabling_a_user_ends_its_desktops() {
    let desktops = DesktopServer::new().await;
    let caller = desktops.user(ADA).await;
    let owner = caller.user.as_ref().map(|user| user.id);
    let (mut socket, _screen) =
        desktops.view_as(&DesktopAdmission { caller, owner, ..desktops.admission().await }).await;
    desktops.change_user(ADA, |user| User { enabled: false, ..user }).await;
    assert_eq!(closed_with(&mut socket).await, CloseCode::Policy);
}

#[tokio::test]
async fn restricted_access_ends_the_users_desktops_and_no_others() {
    let desktops = DesktopServer::new().await;
    let (mut others, _screen) = desktops.view().await;
    let caller = desktops.user(ADA).await;
    let owner = caller.user.as_ref().map(|user| user.id);
    let admission = DesktopAdmission { caller, owner, ..desktops.admission().await };
    let unopened = desktops.ticket(&admission).await;
    let (mut socket, mut screen) = desktops.view_as(&admission).await;
    let review = Review {
        tenant_id: TENANT.parse().unwrap(),
        cloud_pc_id: DESK.parse().unwrap(),
        user_access: UserAccessLevel::Restricted,
        subscription_id: None,
        storage_account_id: None,
        access_tier: BlobAccessTier::Hot,
        started_at: Timestamp(1),
        restore_point_at: None,
    };
    desktops.app().store.write("test.write", move |tx| tx.review_put(&review)).await.unwrap();
    assert_eq!(closed_with(&mut socket).await, CloseCode::Policy);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
    let page = desktops.open(&unopened).await;
    assert!(page.starts_with("HTTP/1.1 403 ") && page.contains("under review"), "{page}");
    others.send(Message::Ping(Bytes::new())).await.unwrap();
    assert!(matches!(others.next().await, Some(Ok(Message::Ping(_) | Message::Pong(_)))));
}

#[tokio::test]
async fn unannounced_changes_take_effect_at_the_next_check() {
    let desktops = DesktopServer::new().await;
    let (_socket, mut screen) = desktops.view().await;
    desktops.change(WRITER, false, |app| Application { enabled: false, ..app }).await;
    let time = StandingClock::new();
    time.advance(RIGHTS_AGE_MAX + Duration::from_secs(1)).await;
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
}

/// Makes the Cloud PC a frontline one that is active; a shared one has no user.
async fn make_frontline(desktops: &DesktopServer, provisioning_type: ProvisioningType) {
    let change = move |tx: &mut cloudpc_store::Tx<'_>| {
        let cloud_pc = tx.cloud_pc(TENANT.parse().unwrap(), DESK.parse().unwrap())?.unwrap();
        tx.frontline_activation_put(&cloudpc_store::FrontlineActivation {
            tenant_id: cloud_pc.tenant_id,
            cloud_pc_id: cloud_pc.id,
            service_plan_id: cloud_pc.service_plan_id,
            since: Timestamp(1),
        })?;
        let cloud_pc = CloudPc { product: Product::Frontline, provisioning_type, ..cloud_pc };
        tx.cloud_pc_update(&match provisioning_type {
            ProvisioningType::SharedByEntraGroup => {
                CloudPc { user_id: None, user_principal_name: String::new(), ..cloud_pc }
            }
            _ => cloud_pc,
        })
    };
    desktops.app().store.write("test.write", change).await.unwrap();
}

async fn is_active(desktops: &DesktopServer) -> bool {
    let read = |reader: &cloudpc_store::Reader<'_>| {
        reader.frontline_activation(TENANT.parse().unwrap(), DESK.parse().unwrap())
    };
    desktops.app().store.read(read).await.unwrap().is_some()
}

#[tokio::test]
async fn closing_the_last_desktop_of_its_user_releases_a_frontline_cloud_pc() {
    let desktops = DesktopServer::new().await;
    make_frontline(&desktops, ProvisioningType::SharedByUser).await;
    let caller = desktops.user(ADA).await;
    let owner = caller.user.as_ref().map(|user| user.id);
    let admission = DesktopAdmission { caller, owner, ..desktops.admission().await };
    let ((mut first, mut screen), (second, _screen)) =
        (desktops.view_as(&admission).await, desktops.view_as(&admission).await);
    let (mut others, mut other_screen) = desktops.view().await;
    others.close(None).await.unwrap();
    assert_eq!(other_screen.read(&mut [0]).await.unwrap(), 0);
    drop(second);
    first.close(None).await.unwrap();
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while is_active(&desktops).await {
        assert!(std::time::Instant::now() < deadline, "the licence is released");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_desktop_that_is_not_its_users_releases_nothing() {
    let desktops = DesktopServer::new().await;
    make_frontline(&desktops, ProvisioningType::SharedByUser).await;
    let (mut socket, mut screen) = desktops.view().await;
    socket.close(None).await.unwrap();
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
    desktops.app().desktops.close().await;
    assert!(is_active(&desktops).await);
}

#[tokio::test]
async fn a_shared_cloud_pc_opens_for_members_of_its_group_only() {
    let desktops = DesktopServer::new().await;
    make_frontline(&desktops, ProvisioningType::SharedByEntraGroup).await;
    let caller = desktops.user(ADA).await;
    let owner = caller.user.as_ref().map(|user| user.id);
    let admission = DesktopAdmission { caller, owner, ..desktops.admission().await };
    let page = desktops.open(&desktops.ticket(&admission).await).await;
    assert!(page.starts_with("HTTP/1.1 404 "), "{page}");
}
