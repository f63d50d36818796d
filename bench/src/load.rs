//! Load client: many connections, one request at a time on each. Every response is read completely
//! and its status checked.

use futures_util::future::try_join_all;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::BenchError;
use crate::server::Server;

/// Number of connections that read.
pub const CLIENTS_READING: u64 = 32;

/// An HTTP request.
pub struct Request<'a> {
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Access token; empty: none.
    pub token: &'a str,
    /// Media type and content of the body.
    pub body: Option<(&'a str, String)>,
}

impl<'a> Request<'a> {
    pub fn get(path: &'a str, token: &'a str) -> Self {
        Self { method: "GET", path, token, body: None }
    }

    /// Returns the bytes to send.
    pub fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        let Self { method, path, token, .. } = self;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
        if !token.is_empty() {
            text += &format!("authorization: Bearer {token}\r\n");
        }
        match &self.body {
            Some((kind, body)) => {
                text += &format!("content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            }
            None if *method == "GET" => text += "\r\n",
            None => text += "content-length: 0\r\n\r\n",
        }
        text.into_bytes()
    }
}

/// An HTTP response.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// Parses the body as JSON.
    pub fn json(&self) -> Result<Value, BenchError> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// Result of a load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Processor time of the server per request, microseconds.
    pub processor_us: f64,
    /// Requests per second.
    pub rate: f64,
}

/// Sends `requests` requests over `clients` connections; `write` builds the nth. Every response
/// must have this status.
pub async fn run(
    server: &Server,
    address: SocketAddr,
    clients: u64,
    requests: u64,
    status: u16,
    write: impl Fn(u64, &mut Vec<u8>) + Send + Sync,
) -> Result<Load, BenchError> {
    let next = AtomicU64::new(0);
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Connection::open(address).await?);
    }
    let (spent, began) = (server.processor_time()?, Instant::now());
    let work = connections.into_iter().map(|connection| converse(connection, &next, requests, status, &write));
    try_join_all(work).await?;
    let (took, spent) = (began.elapsed(), server.processor_time()? - spent);
    Ok(Load { processor_us: micros(spent) / as_f64(requests), rate: as_f64(requests) / took.as_secs_f64() })
}

/// Sends one request on a new connection.
pub async fn once(address: SocketAddr, request: &[u8]) -> Result<Answer, BenchError> {
    let mut connection = Connection::open(address).await?;
    let (status, body) = connection.exchange(request).await?;
    Ok(Answer { status, body: body.to_vec() })
}

async fn converse(
    mut connection: Connection,
    next: &AtomicU64,
    requests: u64,
    wanted: u16,
    write: &(impl Fn(u64, &mut Vec<u8>) + Sync),
) -> Result<(), BenchError> {
    let mut request = Vec::with_capacity(4096);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= requests {
            return Ok(());
        }
        request.clear();
        write(number, &mut request);
        let (status, body) = connection.exchange(&request).await?;
        if status != wanted {
            return Err(format!("request {number} got {status}: {}", String::from_utf8_lossy(body)).into());
        }
    }
}

/// A kept-alive connection.
struct Connection {
    stream: TcpStream,
    /// Part of the response read so far.
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request and reads the response; returns its status and body.
    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8]), BenchError> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if head.is_none() {
                head = Head::read(&self.answer)?;
            }
            if let Some(Head { status, body, length }) = head
                && self.answer.len() >= body + length
            {
                return Ok((status, &self.answer[body..body + length]));
            }
        }
    }
}

/// Parsed head of a response.
#[derive(Clone, Copy)]
struct Head {
    status: u16,
    /// Offset of the body, bytes.
    body: usize,
    /// Length of the body, bytes.
    length: usize,
}

impl Head {
    /// Parses the head; returns none if it is incomplete.
    fn read(answer: &[u8]) -> Result<Option<Self>, BenchError> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = answer.windows(END.len()).position(|window| window == END) else { return Ok(None) };
        let head = std::str::from_utf8(&answer[..end])?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12)).ok_or("the response has no status line")?.parse()?;
        let length = lines.find_map(|line| line.strip_prefix("content-length: "));
        let length = match (length, status) {
            (Some(length), _) => length.parse()?,
            (None, 204) => 0,
            (None, _) => return Err("the response has no content-length".into()),
        };
        Ok(Some(Self { status, body: end + END.len(), length }))
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Converts a count or size for division.
pub fn as_f64(count: u64) -> f64 {
    count as f64
}
