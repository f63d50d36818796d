//! Sockets: accepting connections, speaking TLS and HTTP on them, and letting them end.

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use cloudpc_graph::GraphError;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{
    DRAIN_BYTES_MAX, DRAIN_TIME_MAX, Edge, HEADER_BYTES_MAX, HEADER_TIME_MAX, Scheme, URL_BYTES_MAX, url_too_long,
};
use crate::pipeline;
use crate::request::RequestIds;

/// Connections that are open at the same time; more wait until one is closed.
pub const CONNECTIONS_MAX: usize = 4_096;

/// Longest TLS handshake.
pub(super) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause after the system had no connection to give, e.g. because there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// First byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;
/// Longest time in which a client takes nothing of an answer.
pub(super) const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// Requests at the same time on one HTTP/2 connection.
pub(super) const STREAMS_MAX: u32 = 128;
/// Requests of one HTTP/2 connection that its client has taken back and that are not cleaned up yet; one with more is closed.
pub(super) const RESETS_MAX: usize = 20;
/// How long a connection may be open without a request on it; one of HTTP/1.1 has to begin its next one within [`HEADER_TIME_MAX`] anyway.
pub(super) const IDLE_TIME_MAX: Duration = Duration::from_mins(2);
/// How often a silent HTTP/2 connection is asked whether anyone is there.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(20);

/// A bound socket.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// With it, HTTPS.
    pub tls: Option<TlsAcceptor>,
    /// Connections that are open at the same time, [`CONNECTIONS_MAX`] in a server.
    pub connections_max: usize,
}

/// Serves a socket until `stop` is cancelled. Open connections go on, as tasks of `connections`, until their requests are answered. One that has become something
/// else than HTTP is no longer ours, and whoever it was handed to counts it.
pub async fn serve(edge: Arc<Edge>, listener: Listener, stop: CancellationToken, connections: TaskTracker) {
    let places = Arc::new(Semaphore::new(listener.connections_max));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
            listener.socket.accept().await.map(|(stream, _)| (stream, place))
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (edge, tls, stop) = (Arc::clone(&edge), listener.tls.clone(), stop.clone());
                connections.spawn(async move {
                    connect(&edge, stream, tls, &stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, to its end. What goes wrong on it is the client's business, and it has been told or is gone.
async fn connect(edge: &Arc<Edge>, mut stream: TcpStream, tls: Option<TlsAcceptor>, stop: &CancellationToken) {
    // Answers are written in one piece; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = tls else { return converse(edge, stream, Scheme::Http, stop).await };
    let shaken = async {
        if begins_tls(&stream).await? {
            return acceptor.accept(stream).await.map(Some);
        }
        refuse(edge, &mut stream, &plain_on_tls()).await.map(|()| None)
    };
    let shaken = tokio::select! {
        () = stop.cancelled() => return,
        shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, shaken) => shaken,
    };
    if let Ok(Ok(Some(stream))) = shaken {
        converse(edge, stream, Scheme::Https, stop).await;
    }
}

/// Whether the client speaks TLS, as its first byte tells. Plain HTTP begins with a letter.
async fn begins_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 0 || !first[0].is_ascii_alphabetic())
}

fn plain_on_tls() -> GraphError {
    GraphError::bad_request("This port speaks HTTPS, and the request came without TLS; use an https address.")
}

async fn converse<S>(edge: &Arc<Edge>, mut stream: S, scheme: Scheme, stop: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = tokio::select! {
        () = stop.cancelled() => return,
        begun = tokio::time::timeout(HEADER_TIME_MAX, first_line(&mut stream)) => begun,
    };
    let begun = match begun {
        Ok(Ok(FirstLine::Read(begun))) => begun,
        Ok(Ok(FirstLine::TooLong)) => {
            let _ = tokio::time::timeout(DRAIN_TIME_MAX, refuse(edge, &mut stream, &url_too_long())).await;
            return;
        }
        Ok(Err(_)) | Err(_) => return,
    };

    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        // A client may say that it will send no more and still wait for its answer.
        .half_close(true);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).expect("it is small"))
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING_INTERVAL);
    let requests = Arc::new(Requests::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (edge, request_is_open) = (Arc::clone(edge), requests.open());
        async move {
            let answer = edge.answer(request.map(Body::new), scheme).await;
            drop(request_is_open);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut stream = TimeoutWriter::new(Begun { begun, stream });
    stream.set_timeout(Some(WRITE_TIME_MAX));
    let mut connection = pin!(http.serve_connection_with_upgrades(TokioIo::new(Box::pin(stream)), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        () = requests.idle() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// The requests of one connection, counted to see whether it is used.
#[derive(Default)]
struct Requests {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// A request that is being answered, or whose client has gone away.
struct OpenRequest(Arc<Requests>);

impl Requests {
    fn open(self: &Arc<Self>) -> OpenRequest {
        self.begun.fetch_add(1, Ordering::Relaxed);
        OpenRequest(Arc::clone(self))
    }

    /// Returns when there was none for [`IDLE_TIME_MAX`], or a little later.
    async fn idle(&self) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            let was_idle = self.ended.load(Ordering::Relaxed) == begun;
            tokio::time::sleep(IDLE_TIME_MAX).await;
            if was_idle && self.begun.load(Ordering::Relaxed) == begun {
                return;
            }
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

enum FirstLine {
    /// What has been read; its first line is complete.
    Read(Bytes),
    TooLong,
}

/// Reads until the first line is complete. The HTTP library would answer 431 to a very long one, and close the connection while the client still sends, so that
/// the client sees no answer at all.
async fn first_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<FirstLine> {
    /// Longest method and version around the path and query, with blanks.
    const AROUND_BYTES_MAX: usize = 64;
    let mut begun = BytesMut::with_capacity(1024);
    loop {
        let seen = begun.len();
        if stream.read_buf(&mut begun).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if begun[0] == TLS_HANDSHAKE {
            // TLS on the plain port: no line will ever come.
            return Err(io::ErrorKind::InvalidData.into());
        }
        let line_end = begun[seen..].iter().position(|b| *b == b'\n').map(|at| seen + at);
        match line_end {
            Some(end) if end <= URL_BYTES_MAX + AROUND_BYTES_MAX => return Ok(FirstLine::Read(begun.freeze())),
            None if begun.len() <= URL_BYTES_MAX + AROUND_BYTES_MAX => {}
            Some(_) | None => return Ok(FirstLine::TooLong),
        }
    }
}

/// Answers by hand what never becomes a request, and lets the client finish so that it reads the answer.
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

/// A stream of which something has been read already.
struct Begun<S> {
    begun: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.begun.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.begun.len().min(buf.remaining());
        buf.put_slice(&self.begun[..n]);
        self.begun.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
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
