//! The screen of a machine in a browser: the page that a ticket opens, and its WebSocket, before a
//! machine whose screen is a unix socket.

use async_trait::async_trait;
use cloudpc_drivers::{Capabilities, Display, Driver, DriverError, Guest, MachineSpec, Observed, StopMode, Tag};
use cloudpc_model::{AppId, AuditEntry, CloudPcId, ImageId, SnapshotId, TenantId, UserId};
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
use crate::{app, scenario};

/// The fleet has this machine; see `world.toml`.
const DESK: &str = "10000000-0000-4000-8000-0000000000d1";
const TENANT: &str = "10000000-0000-4000-8000-000000000001";
const OTHER_TENANT: &str = "20000000-0000-4000-8000-000000000001";
/// An application that may write, one that may only read, and the first one's like in the other
/// tenant.
const WRITER: &str = "10000000-0000-4000-8000-0000000000b1";
const READER: &str = "10000000-0000-4000-8000-0000000000b2";
const STRANGER: &str = "20000000-0000-4000-8000-0000000000b1";
/// Whose the machine is, and someone else who may write.
const ADA: &str = "ada@contoso.test";
const ALAN: &str = "alan@contoso.test";
/// What a screen says first.
const GREETING: &[u8] = b"RFB 003.008\n";

/// A machine that only has a screen.
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
    fn check_size(&self, _: &MachineSpec) -> Result<(), DriverError> { unreachable!() }
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

/// A server whose machines have one screen between them.
struct DesktopServer {
    world: TestServer,
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
        let world = TestServer::with_app(EdgeLimits::default(), Config::default(), async |app| {
            let desktops = Arc::new(Desktops::new(&app.store, &host_clock, &rng, path));
            let fleet = include_str!("../../../tests/server/world.toml");
            let prepared = scenario::prepare(&app, None, fleet).await.unwrap();
            scenario::load(&app, prepared).await.unwrap();
            App::from(app::AppState {
                driver: Arc::new(Screen(socket)),
                desktops,
                edge: app.edge.clone(),
                store: app.store.clone(),
                engine: app.engine.clone(),
                clock: Arc::clone(&app.clock),
                monotonic: Arc::clone(&app.monotonic),
                rng: Arc::clone(&app.rng),
                response_cache: Default::default(),
                signer: app.signer.clone(),
                identity: Arc::clone(&app.identity),
                fidelity: app.fidelity,
                heartbeat_silence_max: app.heartbeat_silence_max,
                simulation: app.simulation.clone(),
            })
        })
        .await;
        Self { world, clock, screen, novnc, _folder: folder }
    }

    fn app(&self) -> &App {
        &self.world.edge.app
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

    /// What the ticket of someone who may write says.
    async fn admission(&self) -> DesktopAdmission {
        let caller = self.caller(TENANT, WRITER).await;
        DesktopAdmission { caller, cloud_pc_id: DESK.parse::<CloudPcId>().unwrap(), owner: None, view_only: false }
    }

    /// What the ticket of someone who may read says.
    async fn viewing(&self) -> DesktopAdmission {
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

    /// Changes an application of the tenant, and has it take effect if that is `told`.
    async fn change(&self, id: &str, told: bool, change: impl Fn(Application) -> Application + Send + 'static) {
        let (tenant, id) = (TENANT.parse().unwrap(), id.parse().unwrap());
        let change = move |tx: &mut cloudpc_store::Tx<'_>| {
            let app = tx.app(tenant, id)?.unwrap();
            tx.app_put(&change(app))
        };
        self.app().store.write("test.write", change).await.unwrap();
        if told {
            self.app().identity.forget_verified();
        }
    }

    /// The answer to `GET /desktop/{ticket}`.
    async fn open(&self, ticket: &str) -> String {
        let host = self.world.plain;
        self.world
            .exchange(format!("GET /desktop/{ticket} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
            .await
    }

    /// A page that is open, as its ticket and its cookie.
    async fn page(&self) -> (String, String) {
        self.page_of(&self.admission().await).await
    }

    async fn page_of(&self, admission: &DesktopAdmission) -> (String, String) {
        let ticket = self.ticket(admission).await;
        let page = self.open(&ticket).await;
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        // To open the page, its screen is looked for.
        self.screen.accept().await.unwrap();
        let cookie = page.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        let (cookie, rest) = cookie.split_once("; ").unwrap();
        assert_eq!(rest, format!("Path=/desktop/{ticket}/screen; HttpOnly; SameSite=Strict"));
        (ticket, cookie.to_owned())
    }

    /// Asks for the WebSocket of a page; the status if it is refused.
    async fn connect(&self, ticket: &str, cookie: &str, origin: &str) -> Result<Socket, u16> {
        let host = self.world.plain;
        let mut request = format!("ws://{host}/desktop/{ticket}/screen").into_client_request().unwrap();
        for (name, value) in [("cookie", cookie), ("origin", origin)] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        match tokio_tungstenite::client_async(request, self.world.connect().await).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// A page that looks at the screen, and the screen.
    async fn looking(&self) -> (Socket, UnixStream) {
        self.looking_as(&self.admission().await).await
    }

    async fn looking_as(&self, admission: &DesktopAdmission) -> (Socket, UnixStream) {
        let (ticket, cookie) = self.page_of(admission).await;
        let socket = self.connect(&ticket, &cookie, &self.origin()).await.unwrap();
        (socket, self.screen.accept().await.unwrap().0)
    }

    fn origin(&self) -> String {
        format!("http://{}", self.world.plain)
    }
}

/// The next message that is not about the connection itself.
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
async fn bytes_go_both_ways_until_the_screen_ends() {
    let room = DesktopServer::new().await;
    let (mut socket, mut screen) = room.looking().await;
    screen.write_all(GREETING).await.unwrap();
    assert_eq!(next(&mut socket).await.into_data(), GREETING);
    socket.send(Message::binary(GREETING)).await.unwrap();
    let mut said = [0; GREETING.len()];
    screen.read_exact(&mut said).await.unwrap();
    assert_eq!(said, GREETING);

    // A whole picture, more than any buffer on the way holds.
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
async fn the_screen_is_let_go_when_the_browser_leaves() {
    let room = DesktopServer::new().await;
    let (socket, mut screen) = room.looking().await;
    drop(socket);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn when_the_service_stops_the_browser_is_told_and_waited_for() {
    let room = DesktopServer::new().await;
    let (mut socket, mut screen) = room.looking().await;
    let (ticket, cookie) = room.page().await;
    let closing = room.app().desktops.close();
    let told = async {
        assert_eq!(closed_with(&mut socket).await, CloseCode::Away);
        assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
    };
    tokio::join!(closing, told);
    // A page that connects only now.
    let mut late = room.connect(&ticket, &cookie, &room.origin()).await.unwrap();
    assert_eq!(closed_with(&mut late).await, CloseCode::Away);
}

#[tokio::test]
async fn a_ticket_opens_one_page_and_a_page_one_socket() {
    let room = DesktopServer::new().await;
    let ticket = room.ticket(&room.admission().await).await;
    let looked_for = room.world.ask(&format!("HEAD /desktop/{ticket}"), "").await;
    assert!(looked_for.starts_with("405"), "{looked_for}");
    assert!(room.open(&ticket).await.starts_with("HTTP/1.1 200 "), "looking for it has not used it up");
    room.screen.accept().await.unwrap();

    let (ticket, cookie) = room.page().await;
    let used = room.open(&ticket).await;
    assert!(used.starts_with("HTTP/1.1 403 ") && used.contains("opened before"), "{used}");

    let mut socket = room.connect(&ticket, &cookie, &room.origin()).await.unwrap();
    assert_eq!(room.connect(&ticket, &cookie, &room.origin()).await.err(), Some(403), "the key is used");
    drop(room.screen.accept().await.unwrap());
    assert_eq!(closed_with(&mut socket).await, CloseCode::Normal);
}

#[tokio::test]
async fn whoever_is_not_admitted_stays_outside() {
    let room = DesktopServer::new().await;
    let refused = async |ticket: &str| room.open(ticket).await.lines().next().unwrap().to_owned();

    let good = room.ticket(&room.admission().await).await;
    let forged = format!("{}x", &good[..good.len() - 1]);
    assert_eq!(refused(&forged).await, "HTTP/1.1 403 Forbidden");
    room.clock.advance(TICKET_TIME_MAX).await;
    assert_eq!(refused(&good).await, "HTTP/1.1 403 Forbidden", "expired");
    let foreign = DesktopAdmission { caller: room.caller(OTHER_TENANT, STRANGER).await, ..room.admission().await };
    let foreign = room.ticket(&foreign).await;
    assert_eq!(refused(&foreign).await, "HTTP/1.1 404 Not Found", "the machine is another tenant's");
    let caller = room.user(ADA).await;
    let others = DesktopAdmission { caller, owner: Some(UserId(uuid::Uuid::nil())), ..room.admission().await };
    let others = room.ticket(&others).await;
    assert_eq!(refused(&others).await, "HTTP/1.1 404 Not Found", "the machine has been given to another user");

    // Of two pages, neither can use the other's key, not even once it is shown in the wrong place.
    let ((first, its_key), (second, _)) = (room.page().await, room.page().await);
    assert_eq!(room.connect(&second, &its_key, &room.origin()).await.err(), Some(403));
    assert_eq!(room.connect(&first, &its_key, &room.origin()).await.err(), Some(403));
    // Another site's page.
    let (ticket, key) = room.page().await;
    for origin in ["http://evil.test", "null", &format!("{}0", room.origin()), "https://localhost"] {
        assert_eq!(room.connect(&ticket, &key, origin).await.err(), Some(403), "{origin}");
    }
    // A page that waits too long.
    room.clock.advance(TICKET_TIME_MAX).await;
    assert_eq!(room.connect(&ticket, &key, &room.origin()).await.err(), Some(403));
    let plain = room.world.ask("GET /desktop/x/screen", "").await;
    assert!(plain.starts_with("400") || plain.starts_with("426"), "{plain}");
}

#[tokio::test]
async fn a_page_says_why_there_is_nothing_to_see() {
    let room = DesktopServer::new().await;
    std::fs::remove_file(room.novnc.path().join("core/rfb.js")).unwrap();
    let page = room.open(&room.ticket(&room.admission().await).await).await;
    assert!(page.starts_with("HTTP/1.1 503 ") && page.contains("apt-get install novnc"), "{page}");
    std::fs::remove_file(room.novnc.path().join("vnc.sock")).unwrap();
    let page = room.open(&room.ticket(&room.admission().await).await).await;
    assert!(page.starts_with("HTTP/1.1 409 ") && page.contains("powered off"), "{page}");
}

#[tokio::test]
async fn a_page_loads_what_it_needs_and_nothing_else() {
    let room = DesktopServer::new().await;
    let page = room.open(&room.ticket(&room.admission().await).await).await;
    let host = room.world.plain;
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
        let answer = room.world.ask(&format!("GET /desktop/{path}"), "").await;
        assert!(answer.starts_with(status), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_message_is_taken_at_the_limit_and_no_longer() {
    let room = DesktopServer::new().await;
    let (mut socket, mut screen) = room.looking().await;
    let longest = vec![7; MESSAGE_BYTES_MAX];
    let mut said = vec![0; MESSAGE_BYTES_MAX];
    let (sent, read) = tokio::join!(socket.send(Message::binary(longest.clone())), screen.read_exact(&mut said));
    sent.unwrap();
    read.unwrap();
    assert!(said == longest);
    // The rest of it is not read, so sending it may fail.
    let _ = socket.send(Message::binary(vec![7; MESSAGE_BYTES_MAX + 1])).await;
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0, "nothing of it has got through");

    let (mut socket, _screen) = room.looking().await;
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(closed_with(&mut socket).await, CloseCode::Unsupported);
}

#[tokio::test]
async fn a_browser_that_says_nothing_is_given_up() {
    let room = DesktopServer::new().await;
    let (mut socket, mut screen) = room.looking().await;
    let time = StandingClock::new();
    // Reading answers the question whether anybody is there.
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
async fn one_caller_does_not_use_up_the_connections_to_a_machine() {
    let room = DesktopServer::new().await;
    let viewing = room.viewing().await;
    let (ticket, cookie) = room.page_of(&viewing).await;
    let mut open = Vec::new();
    for _ in 0..CALLER_MACHINE_BRIDGES_MAX {
        open.push(room.looking_as(&viewing).await);
    }
    let refused = room.open(&room.ticket(&viewing).await).await;
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("which is the limit"), "{refused}");
    assert_eq!(room.connect(&ticket, &cookie, &room.origin()).await.err(), Some(429), "a page from before");
    room.looking().await;
    let (socket, mut screen) = open.pop().unwrap();
    drop(socket);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
    settle().await;
    room.looking_as(&viewing).await;
}

/// What a browser sends first: it asks to be the only viewer.
const HANDSHAKE: &[u8] = b"RFB 003.008\n\x01\x00";
const SHARED_HANDSHAKE: &[u8] = b"RFB 003.008\n\x01\x01";
/// Return pressed, the pointer's first button pressed, and "rm" pasted.
const ACTING: &[u8] = b"\x04\x01\0\0\0\0\xff\x0d\x05\x01\0\x10\0\x10\x06\0\0\0\0\0\0\x02rm";
const UPDATE_REQUEST: &[u8] = b"\x03\x01\0\0\0\0\x05\0\x03\x20";

#[tokio::test]
async fn who_may_only_read_sees_the_screen_and_does_nothing_to_it() {
    let room = DesktopServer::new().await;
    let viewing = room.viewing().await;
    let page = room.open(&room.ticket(&viewing).await).await;
    assert!(page.contains("id=\"screen\" data-view-only>"), "{page}");
    room.screen.accept().await.unwrap();
    let (mut socket, mut screen) = room.looking_as(&viewing).await;
    screen.write_all(GREETING).await.unwrap();
    assert_eq!(next(&mut socket).await.into_data(), GREETING, "what the screen says passes as it is");
    let sent = [HANDSHAKE, ACTING, UPDATE_REQUEST, ACTING, UPDATE_REQUEST].concat();
    for chunk in sent.chunks(7) {
        socket.send(Message::binary(chunk.to_vec())).await.unwrap();
    }
    let expected = [SHARED_HANDSHAKE, UPDATE_REQUEST, UPDATE_REQUEST].concat();
    let mut received = vec![0; expected.len()];
    screen.read_exact(&mut received).await.unwrap();
    assert_eq!(received, expected);
    // A message whose end nobody knows.
    socket.send(Message::binary(vec![99])).await.unwrap();
    assert_eq!(closed_with(&mut socket).await, CloseCode::Protocol);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0, "and nothing else has got through");
}

#[tokio::test]
async fn who_may_write_controls_the_machine() {
    let room = DesktopServer::new().await;
    let page = room.open(&room.ticket(&room.admission().await).await).await;
    assert!(page.contains("id=\"screen\">"), "{page}");
    room.screen.accept().await.unwrap();
    let (mut socket, mut screen) = room.looking().await;
    let sent = [HANDSHAKE, ACTING].concat();
    socket.send(Message::binary(sent.clone())).await.unwrap();
    let mut received = vec![0; sent.len()];
    screen.read_exact(&mut received).await.unwrap();
    assert_eq!(received, sent);
}

#[tokio::test]
async fn the_audit_log_has_every_desktop_that_was_opened_and_by_whom() {
    let room = DesktopServer::new().await;
    let rows = async || {
        let rows = room.app().store.read(|reader| reader.audit_list(TENANT.parse().unwrap(), None, 9)).await.unwrap();
        let told = |row: &AuditEntry| {
            let details: Vec<_> = row.changes.iter().map(|change| format!("{} {}", change.name, change.new)).collect();
            format!("{}: {} {}, {}", row.actor.app_name, row.activity(), row.resource.display_name, details.join(" "))
        };
        rows.iter().map(told).collect::<Vec<_>>()
    };
    let before = rows().await;
    room.page().await;
    assert_eq!(rows().await, before, "a page has shown nothing yet");
    let _viewed = room.looking_as(&room.viewing().await).await;
    let _controlled = room.looking().await;
    let opened = |caller, mode| format!("{caller}: OpenDesktop CloudPC desk-1, mode {mode}");
    let expected = [opened("writer", "control"), opened("reader", "viewOnly")];
    assert_eq!(rows().await, [&expected[..], &before].concat());
}

#[tokio::test]
async fn a_ticket_is_worth_no_more_than_its_caller_may_do_when_it_is_used() {
    let room = DesktopServer::new().await;
    let alan = DesktopAdmission { caller: room.user(ALAN).await, ..room.admission().await };
    let (unopened, lost) = (room.ticket(&alan).await, room.ticket(&room.viewing().await).await);
    let (ticket, cookie) = room.page_of(&alan).await;
    room.change_user(ALAN, |user| User { permissions: vec!["CloudPC.Read.All".into()], ..user }).await;
    room.change(READER, true, |app| Application { permissions: Vec::new(), ..app }).await;
    let page = room.open(&unopened).await;
    assert!(page.contains("data-view-only"), "{page}");
    room.screen.accept().await.unwrap();
    let page = room.open(&lost).await;
    assert!(page.starts_with("HTTP/1.1 403 ") && page.contains("withdrawn"), "{page}");
    let mut socket = room.connect(&ticket, &cookie, &room.origin()).await.unwrap();
    let mut screen = room.screen.accept().await.unwrap().0;
    socket.send(Message::binary([HANDSHAKE, ACTING, UPDATE_REQUEST].concat())).await.unwrap();
    let mut received = vec![0; SHARED_HANDSHAKE.len() + UPDATE_REQUEST.len()];
    screen.read_exact(&mut received).await.unwrap();
    assert_eq!(received, [SHARED_HANDSHAKE, UPDATE_REQUEST].concat());
}

#[tokio::test]
async fn tickets_keys_and_desktops_end_with_their_application() {
    let room = DesktopServer::new().await;
    let (mut others, _screen) = room.looking_as(&room.viewing().await).await;
    let unopened = room.ticket(&room.admission().await).await;
    let (ticket, cookie) = room.page().await;
    let (mut socket, mut screen) = room.looking().await;
    room.change(WRITER, true, |app| Application { enabled: false, ..app }).await;
    assert_eq!(closed_with(&mut socket).await, CloseCode::Policy);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
    assert!(room.open(&unopened).await.starts_with("HTTP/1.1 403 "));
    assert_eq!(room.connect(&ticket, &cookie, &room.origin()).await.err(), Some(403));

    // Of another application's nothing has ended, until the keys are dropped that signed its token.
    others.send(Message::Ping(Bytes::new())).await.unwrap();
    assert!(matches!(others.next().await, Some(Ok(Message::Ping(_) | Message::Pong(_)))));
    room.app().identity.rotate_keys(OldKeys::Drop).await.unwrap();
    assert_eq!(closed_with(&mut others).await, CloseCode::Policy);
}

#[tokio::test]
async fn a_desktop_ends_when_its_caller_may_only_read_from_now_on() {
    let room = DesktopServer::new().await;
    let alan = DesktopAdmission { caller: room.user(ALAN).await, ..room.admission().await };
    let (mut socket, mut screen) = room.looking_as(&alan).await;
    room.change_user(ALAN, |user| User { permissions: vec!["CloudPC.Read.All".into()], ..user }).await;
    assert_eq!(closed_with(&mut socket).await, CloseCode::Policy);
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_desktop_ends_when_its_user_is_disabled() {
    let room = DesktopServer::new().await;
    let caller = room.user(ADA).await;
    let owner = caller.user.as_ref().map(|user| user.id);
    let (mut socket, _screen) = room.looking_as(&DesktopAdmission { caller, owner, ..room.admission().await }).await;
    room.change_user(ADA, |user| User { enabled: false, ..user }).await;
    assert_eq!(closed_with(&mut socket).await, CloseCode::Policy);
}

#[tokio::test]
async fn a_change_that_nobody_tells_of_ends_a_desktop_before_long() {
    let room = DesktopServer::new().await;
    let (_socket, mut screen) = room.looking().await;
    room.change(WRITER, false, |app| Application { enabled: false, ..app }).await;
    let time = StandingClock::new();
    time.advance(RIGHTS_AGE_MAX + Duration::from_secs(1)).await;
    assert_eq!(screen.read(&mut [0]).await.unwrap(), 0);
}
