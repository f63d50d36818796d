//! A forward proxy for tools that have Microsoft's host names written into them: it answers CONNECT
//! with a tunnel to this service for those names, and holds no key. Any other name is refused, or
//! passed on by setting.

use futures_util::future::BoxFuture;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::{ACCEPT_PAUSE, PROXY_CONNECT_TIME_MAX, PROXY_HEAD_BYTES_MAX, PROXY_HEAD_TIME_MAX};
use super::pool::{self, Owner, Pool, Taken};
use crate::identity::well_known;
use crate::request::Peer;

/// The port of HTTPS, the only one that is tunnelled to the service.
const HTTPS_PORT: u16 = 443;

/// A two-way stream of bytes.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// Opens a connection to the service's TLS, on behalf of a client with this address.
pub type OpenService = Box<dyn Fn(IpAddr) -> BoxFuture<'static, io::Result<Box<dyn ByteStream>>> + Send + Sync>;

/// A forward proxy.
pub struct Proxy {
    open_service: OpenService,
    pass_through: bool,
    places: Arc<Pool>,
}

/// Where a tunnel ends.
#[derive(Debug, PartialEq, Eq)]
enum Destination {
    Service,
    /// A host and port elsewhere.
    Elsewhere(String, u16),
}

impl Proxy {
    /// Returns a proxy. With `pass_through`, it connects to other hosts as well.
    pub fn new(open_service: OpenService, pass_through: bool) -> Self {
        Self { open_service, pass_through, places: pool::proxy() }
    }

    /// Serves a socket until `stop` is cancelled. Tunnels to the service are tasks of `tasks` and
    /// continue until the service closes them; others end at once.
    pub async fn serve(self, socket: TcpListener, stop: CancellationToken, tasks: TaskTracker) {
        let proxy = Arc::new(self);
        while let Some(accepted) = stop.run_until_cancelled(socket.accept()).await {
            let Ok((stream, address)) = accepted else {
                stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
                continue;
            };
            let Ok(place) = proxy.places.take(Owner::Stranger(Peer::of(address.ip())), 1) else {
                let _ = stream.try_write(b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n");
                continue;
            };
            let connection = Connection {
                proxy: Arc::clone(&proxy),
                address: address.ip(),
                stop: stop.clone(),
                tasks: tasks.clone(),
                _place: place,
            };
            tasks.spawn(Arc::new(connection).serve(stream));
        }
    }

    fn destination(&self, authority: Option<&Authority>) -> Result<Destination, ProxyRefusal> {
        let Some((authority, port)) = authority.and_then(|authority| Some((authority, authority.port_u16()?))) else {
            return Err(ProxyRefusal::new(StatusCode::BAD_REQUEST, "CONNECT names no host and port.\n"));
        };
        let host = authority.host();
        if port == HTTPS_PORT && well_known::is_host(host) {
            return Ok(Destination::Service);
        }
        if self.pass_through {
            return Ok(Destination::Elsewhere(host.trim_matches(['[', ']']).to_owned(), port));
        }
        let problem = format!(
            "cloudpc does not connect to {host}:{port}. It stands in for {} at port {HTTPS_PORT}. \
             To connect to other hosts too, start the proxy with pass-through.\n",
            well_known::HOSTS.join(", ")
        );
        Err(ProxyRefusal::new(StatusCode::FORBIDDEN, problem))
    }
}

/// A connection of a client, and its tunnel.
struct Connection {
    proxy: Arc<Proxy>,
    address: IpAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    _place: Taken,
}

impl Connection {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| {
            let connection = Arc::clone(&self);
            async move { Ok::<_, Infallible>(connection.answer(request).await.unwrap_or_else(ProxyRefusal::into_response)) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PROXY_HEAD_TIME_MAX).max_buf_size(PROXY_HEAD_BYTES_MAX);
        // Errors are not logged: the client has received them or has disconnected.
        let served = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let _ = self.stop.run_until_cancelled(served).await;
    }

    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Result<Response<String>, ProxyRefusal> {
        if request.method() != Method::CONNECT {
            let problem = "This proxy answers CONNECT only. Use it for https URLs.\n";
            return Err(ProxyRefusal::new(StatusCode::METHOD_NOT_ALLOWED, problem));
        }
        let destination = self.proxy.destination(request.uri().authority())?;
        let mut far = self.open(&destination).await.map_err(|error| {
            ProxyRefusal::new(StatusCode::BAD_GATEWAY, format!("cloudpc cannot connect to the other side: {error}.\n"))
        })?;
        let upgrade = hyper::upgrade::on(&mut request);
        let connection = Arc::clone(&self);
        self.tasks.spawn(async move {
            let Ok(near) = upgrade.await else { return };
            let mut near = TokioIo::new(near);
            let copied = copy_bidirectional(&mut near, &mut far);
            // The service itself ends its connections when it stops.
            let _ = match destination {
                Destination::Service => Some(copied.await),
                Destination::Elsewhere(..) => connection.stop.run_until_cancelled(copied).await,
            };
        });
        Ok(Response::new(String::new()))
    }

    async fn open(&self, destination: &Destination) -> io::Result<Box<dyn ByteStream>> {
        let opened = async {
            match destination {
                Destination::Service => (self.proxy.open_service)(self.address).await,
                Destination::Elsewhere(host, port) => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream) as Box<dyn ByteStream>)
                }
            }
        };
        timeout(PROXY_CONNECT_TIME_MAX, opened).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// Why there is no tunnel.
struct ProxyRefusal {
    status: StatusCode,
    problem: String,
}

impl ProxyRefusal {
    fn new(status: StatusCode, problem: impl Into<String>) -> Self {
        Self { status, problem: problem.into() }
    }

    fn into_response(self) -> Response<String> {
        let mut response = Response::new(self.problem);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        response
    }
}
