//! Sockets: accepts connections, serves TLS and HTTP on them, and shuts them down gracefully.

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use cloudpc_graph::GraphError;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Activity, Admitted, Connections, ConnectionsFull};
use super::delivery::{Delivery, DeliveryProgress, STREAM, StreamExecutor};
use super::limits::{
    ACCEPT_LOG_INTERVAL, ACCEPT_PAUSE, CLOSE_TIME_MAX, DRAIN_BYTES_MAX, DRAIN_TIME_MAX, EdgeLimits, HANDSHAKE_TIME_MAX,
    HEADER_BYTES_MAX, HEADER_TIME_MAX, IDLE_TIME_MAX, PING_INTERVAL, RESETS_MAX, STREAMS_MAX, URL_BYTES_MAX,
    WRITE_TIME_MAX,
};
use super::{Arrival, Edge, RequestPlace, Scheme, url_too_long};
use crate::pipeline;
use crate::request::{Peer, RequestIds};

/// First byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// A listening socket and its settings.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// Accepts TLS; none: plain HTTP.
    pub tls: Option<TlsAcceptor>,
    /// Limits of open connections.
    pub limits: EdgeLimits,
}

/// Serves a socket until `stop` is cancelled. Open connections are tasks of `tasks` and continue
/// until their requests are answered. A connection that was upgraded to another protocol is not
/// counted here any more.
pub async fn serve(edge: Arc<Edge>, listener: Listener, stop: CancellationToken, tasks: TaskTracker) {
    let connections = Connections::new(listener.limits);
    let mut failures = AcceptFailures::default();
    while let Some(accepted) = stop.run_until_cancelled(listener.socket.accept()).await {
        let (stream, address) = match accepted {
            Ok((stream, address)) => (stream, address.ip()),
            Err(error) => {
                failures.log(&error);
                stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
                continue;
            }
        };
        let Some(admitted) = stop.run_until_cancelled(admit(&edge, &connections, address)).await else { return };
        let Some(admitted) = admitted else {
            tracing::debug!(%address, "connection refused: the peer has its maximum of connections, all in use");
            continue;
        };
        let (edge, tls, stop) = (Arc::clone(&edge), listener.tls.clone(), stop.clone());
        tasks.spawn(async move {
            let arrival = |scheme| Arrival { scheme, address, stop: stop.clone() };
            let evicted = &admitted.connection.evicted;
            evicted
                .run_until_cancelled(serve_connection(&edge, stream, tls, arrival, &admitted.connection.activity))
                .await;
        });
    }
}

/// Failures to accept connections. Logging is rate-limited, because clients can cause any number of
/// them.
#[derive(Default)]
struct AcceptFailures {
    /// Failures since the last log line.
    count: u64,
    logged: Option<Instant>,
}

impl AcceptFailures {
    /// Logs a failure, with the number of failures since the last log line.
    fn log(&mut self, error: &io::Error) {
        self.count += 1;
        if self.logged.is_none_or(|at| at.elapsed() >= ACCEPT_LOG_INTERVAL) {
            tracing::warn!(%error, count = self.count, "accepting a connection failed; retrying");
            *self = Self { count: 0, logged: Some(Instant::now()) };
        }
    }
}

/// Waits until there is room for a connection; none: the peer's share is used up.
async fn admit(edge: &Edge, connections: &Arc<Connections>, address: IpAddr) -> Option<Admitted> {
    let peer = if edge.app.edge.reach.is_trusted(address) { None } else { Some(Peer::of(address)) };
    loop {
        match connections.admit(peer) {
            Ok(admitted) => return Some(admitted),
            Err(ConnectionsFull::Share) => return None,
            Err(ConnectionsFull::All) => connections.one_closed().await,
        }
    }
}

/// Serves a connection until it closes. Its errors are not logged: the client has received them or
/// has disconnected.
async fn serve_connection(
    edge: &Arc<Edge>,
    mut stream: TcpStream,
    tls: Option<TlsAcceptor>,
    arrival: impl Fn(Scheme) -> Arrival,
    activity: &Arc<Activity>,
) {
    // Responses are written in one piece, so Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = tls else { return serve_http(edge, stream, arrival(Scheme::Http), activity).await };
    let arrival = arrival(Scheme::Https);
    let handshake = async {
        if starts_with_tls(&stream).await? {
            return acceptor.accept(stream).await.map(Some);
        }
        refuse(edge, &mut stream, &plain_on_tls()).await.map(|()| None)
    };
    let result = tokio::select! {
    () = arrival.stop.cancelled() => return,
    result = timeout(HANDSHAKE_TIME_MAX, handshake) => result,
    };
    if let Ok(Ok(Some(stream))) = result {
        serve_http(edge, stream, arrival, activity).await;
    }
}

/// Whether the first byte of a connection is TLS. Plain HTTP begins with a letter.
async fn starts_with_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 0 || !first[0].is_ascii_alphabetic())
}

fn plain_on_tls() -> GraphError {
    GraphError::bad_request("This port serves HTTPS, but the request came without TLS. Use an https URL.")
}

/// Serves TLS on a stream from the forward proxy until it closes.
pub(crate) async fn serve_tunnel<S>(edge: &Arc<Edge>, stream: S, tls: &TlsAcceptor, arrival: Arrival)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = timeout(HANDSHAKE_TIME_MAX, tls.accept(stream));
    if let Some(Ok(Ok(stream))) = arrival.stop.clone().run_until_cancelled(handshake).await {
        serve_http(edge, stream, arrival, &Arc::default()).await;
    }
}

/// Serves HTTP on a connection until it closes.
pub(super) async fn serve_http<S>(edge: &Arc<Edge>, mut stream: S, arrival: Arrival, activity: &Arc<Activity>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stop = arrival.stop.clone();
    let read = tokio::select! {
    () = stop.cancelled() => return,
    read = timeout(HEADER_TIME_MAX, first_line(&mut stream)) => read,
    };
    let prefix = match read {
        Ok(Ok(FirstLine::Read(prefix))) => prefix,
        Ok(Ok(FirstLine::TooLong)) => {
            let error = url_too_long();
            let refusal = timeout(DRAIN_TIME_MAX, refuse(edge, &mut stream, &error));
            stop.run_until_cancelled(refusal).await;
            return;
        }
        Ok(Err(_)) | Err(_) => return,
    };
    let service = service_fn(|mut request: Request<Incoming>| {
        let (edge, arrival, open) = (Arc::clone(edge), arrival.clone(), activity.begin());
        request.extensions_mut().insert(Arc::clone(&open));
        async move {
            let mut answer = edge.answer(request.map(Body::new), &arrival).await;
            let held = (open, answer.extensions_mut().remove::<RequestPlace>());
            Ok::<_, Infallible>(answer.map(|body| Delivery::new(body, held)))
        }
    });
    let mut stream = TimeoutWriter::new(Prefixed { prefix, stream });
    stream.set_timeout(Some(WRITE_TIME_MAX));
    let http = http();
    // This task sends the responses of HTTP/1.1; HTTP/2 has a task for each stream.
    let progress = Arc::<DeliveryProgress>::default();
    let delivered = async {
        let mut connection = Box::pin(http.serve_connection_with_upgrades(TokioIo::new(Box::pin(stream)), service));
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = stop.cancelled() => {}
            () = activity.idle_for(IDLE_TIME_MAX) => {}
        }
        connection.as_mut().graceful_shutdown();
        // The client may still keep the connection open.
        let closed = async {
            sleep(CLOSE_TIME_MAX).await;
            activity.idle_for(CLOSE_TIME_MAX).await;
        };
        tokio::select! {
            _ = connection => {}
            () = closed => {}
        }
    };
    tokio::select! {
        // The connection is polled first: the deadline is for the piece that it has just sent.
        biased;
        () = STREAM.scope(Arc::clone(&progress), delivered) => {}
        () = progress.stalled() => tracing::debug!("the client reads its response too slowly; connection closed"),
    }
}

/// Returns an HTTP server with the limits applied.
fn http() -> auto::Builder<StreamExecutor> {
    let mut http = auto::Builder::new(StreamExecutor);
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        // A client may close its sending side and still wait for the response.
        .half_close(true);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).expect("the limit fits in 32 bits"))
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING_INTERVAL);
    http
}

enum FirstLine {
    /// The bytes read so far, with the complete first line.
    Read(Bytes),
    TooLong,
}

/// Reads until the first line is complete. For a very long line, the HTTP library would send 431
/// and close the connection while the client is still sending, so that the client sees no response.
async fn first_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<FirstLine> {
    /// Size limit of the method, version and blanks of a request line.
    const METHOD_VERSION_BYTES_MAX: usize = 64;
    let mut prefix = BytesMut::with_capacity(1024);
    loop {
        let seen = prefix.len();
        if stream.read_buf(&mut prefix).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if prefix[0] == TLS_HANDSHAKE {
            // TLS on the plain HTTP port: there will never be a line end.
            return Err(io::ErrorKind::InvalidData.into());
        }
        let line_end = prefix[seen..].iter().position(|b| *b == b'\n').map(|at| seen + at);
        match line_end {
            Some(end) if end <= URL_BYTES_MAX + METHOD_VERSION_BYTES_MAX => {
                return Ok(FirstLine::Read(prefix.freeze()));
            }
            None if prefix.len() <= URL_BYTES_MAX + METHOD_VERSION_BYTES_MAX => {}
            Some(_) | None => return Ok(FirstLine::TooLong),
        }
    }
}

/// Sends an HTTP/1.1 error for input that never becomes a request, and drains the client's input so
/// that it reads the response.
async fn refuse(edge: &Edge, stream: &mut (impl AsyncRead + AsyncWrite + Unpin), error: &GraphError) -> io::Result<()> {
    let ids = RequestIds::of(&HeaderMap::new(), edge.app.rng.as_ref());
    let mut response = pipeline::refuse(&edge.app, &ids, error);
    edge.finish(&mut response, &ids, None);
    let mut text = format!("HTTP/1.1 {}\r\nconnection: close\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let body = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    text.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
    text.extend(body);
    stream.write_all(&text).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(DRAIN_BYTES_MAX as u64), &mut tokio::io::sink()).await?;
    Ok(())
}

/// A stream with bytes that were already read from it.
struct Prefixed<S> {
    prefix: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix[..n]);
        self.prefix.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
