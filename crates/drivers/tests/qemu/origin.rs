//! A web server with valid, invalid and incomplete responses, selected by path.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// The content of downloads.
pub const FILE: &[u8] = &[b'M'; 1 << 20];

/// A program, and its output for the argument `x`.
pub const PROGRAM: (&[u8], &str) = (b"#!/bin/sh\necho \"ran $1\"\n", "ran x\n");

pub struct Origin {
    base: String,
    state: Arc<OriginState>,
}

struct OriginState {
    /// Number of requests for each path.
    requests: Mutex<HashMap<String, usize>>,
    /// Number of clients that have received half of the file and are kept waiting.
    held: watch::Sender<usize>,
    /// Number of those clients that have disconnected.
    released: watch::Sender<usize>,
}

impl Origin {
    pub async fn new(host: &str) -> Self {
        Self::listen(host, host, None).await
    }

    /// Listens with a certificate for `name`; also returns its certificate authority, PEM.
    pub async fn with_tls(host: &str, name: &str) -> (Self, String) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Without its own name the authority would have that of the certificate, which would then
        // look self-signed.
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.into()]).unwrap().signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![leaf.der().clone()], key.into()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (Self::listen(host, name, Some(acceptor)).await, authority.pem())
    }

    async fn listen(host: &str, name: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{name}:{}", listener.local_addr().unwrap().port());
        let (held, released) = (watch::Sender::new(0), watch::Sender::new(0));
        let state = Arc::new(OriginState { requests: Mutex::default(), held, released });
        let (serving, serving_state) = (tls, Arc::clone(&state));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, state) = (serving.clone(), Arc::clone(&serving_state));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &state).await,
                        // A client that does not trust the server hangs up.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &state).await,
                            Err(error) => Err(error),
                        },
                    }
                });
            }
        });
        Self { base, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Returns the number of requests for a path.
    pub fn request_count(&self, path: &str) -> usize {
        self.state.requests.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    /// Waits until this many clients in total have been kept waiting.
    pub async fn wait_held(&self, count: usize) {
        self.state.held.subscribe().wait_for(|held| *held >= count).await.unwrap();
    }

    /// Waits until this many of them have disconnected.
    pub async fn wait_released(&self, count: usize) {
        self.state.released.subscribe().wait_for(|released| *released >= count).await.unwrap();
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &OriginState) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8(request).unwrap();
    let target = request.split(' ').nth(1).unwrap();
    let path = target.split('?').next().unwrap();
    let times = {
        let mut requests = state.requests.lock().unwrap();
        let times = requests.entry(path.to_owned()).or_default();
        *times += 1;
        *times
    };
    if path.starts_with("/held/") && times == 1 {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", FILE.len());
        stream.write_all(&[head.as_bytes(), &FILE[..FILE.len() / 2]].concat()).await?;
        stream.flush().await?;
        state.held.send_modify(|held| *held += 1);
        // Sends nothing more until the client disconnects.
        let _ = stream.read_u8().await;
        state.released.send_modify(|released| *released += 1);
        return Ok(());
    }
    stream.write_all(&response(path)).await?;
    stream.shutdown().await
}

fn response(path: &str) -> Vec<u8> {
    let with = |status: &str, headers: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    let whole = |status: &str, headers: &str, body: &[u8]| {
        with(status, &format!("Content-Length: {}\r\n{headers}", body.len()), body)
    };
    let redirect = |to: &str| whole("302 Found", &format!("Location: {to}\r\n"), b"It has moved.");
    let too_large = [FILE, b"M"].concat();
    match path {
        "/nothing" => whole("200 OK", "", b""),
        "/program" => whole("200 OK", "", PROGRAM.0),
        "/unsized" => with("200 OK", "", FILE),
        "/large" => whole("200 OK", "", &too_large),
        "/large-unsized" => with("200 OK", "", &too_large),
        "/torn" => with("200 OK", "Content-Length: 900\r\n", b"MZ"),
        "/nonsense" => b"220 mail.test ESMTP\r\n".to_vec(),
        "/part" => whole("206 Partial Content", "", b"MZ"),
        "/to-file" => redirect("file"),
        "/to-nothing" => redirect("/nothing"),
        "/to-elsewhere" => redirect("http://10.0.2.2:9/file"),
        "/to-file-system" => redirect("file:///etc/passwd"),
        "/to-nowhere" => whole("302 Found", "", b""),
        "/none" => whole("404 Not Found", "", b"<!DOCTYPE html>"),
        _ => match path.strip_prefix("/hops/").and_then(|remaining| remaining.parse::<usize>().ok()) {
            Some(remaining) if remaining > 0 => redirect(&format!("/hops/{}", remaining - 1)),
            _ => whole("200 OK", "", FILE),
        },
    }
}
