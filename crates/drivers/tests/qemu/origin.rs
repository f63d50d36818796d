//! A web server that gives good, bad and half answers, by the path that is asked for.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// What is downloaded.
pub const FILE: &[u8] = &[b'M'; 1 << 20];

/// A program, and what it prints when its argument is `x`.
pub const PROGRAM: (&[u8], &str) = (b"#!/bin/sh\necho \"ran $1\"\n", "ran x\n");

pub struct Origin {
    base: String,
    seen: Arc<Seen>,
}

struct Seen {
    /// How often each path was asked for.
    asked: Mutex<HashMap<String, usize>>,
    /// How many who asked have got half of the file and were kept waiting.
    held: watch::Sender<usize>,
    /// How many of them have gone.
    gone: watch::Sender<usize>,
}

impl Origin {
    pub async fn at(host: &str) -> Self {
        Self::listen(host, host, None).await
    }

    /// One that has a certificate for `name`, and the authority behind it, PEM.
    pub async fn with_tls(host: &str, name: &str) -> (Self, String) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Without a name of its own it would have that of the certificate, which would then look
        // like one that vouches for itself.
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
        let (held, gone) = (watch::Sender::new(0), watch::Sender::new(0));
        let seen = Arc::new(Seen { asked: Mutex::default(), held, gone });
        let (serving, seen_by_it) = (tls, Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen) = (serving.clone(), Arc::clone(&seen_by_it));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &seen).await,
                        // Who does not trust us hangs up.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &seen).await,
                            Err(error) => Err(error),
                        },
                    }
                });
            }
        });
        Self { base, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.seen.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    /// Ends when so many were kept waiting since the beginning.
    pub async fn holds(&self, count: usize) {
        self.seen.held.subscribe().wait_for(|held| *held >= count).await.unwrap();
    }

    /// Ends when so many of them have gone.
    pub async fn let_go(&self, count: usize) {
        self.seen.gone.subscribe().wait_for(|gone| *gone >= count).await.unwrap();
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Seen) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8(request).unwrap();
    let target = request.split(' ').nth(1).unwrap();
    let path = target.split('?').next().unwrap();
    let times = {
        let mut asked = seen.asked.lock().unwrap();
        let times = asked.entry(path.to_owned()).or_default();
        *times += 1;
        *times
    };
    if path.starts_with("/held/") && times == 1 {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", FILE.len());
        stream.write_all(&[head.as_bytes(), &FILE[..FILE.len() / 2]].concat()).await?;
        stream.flush().await?;
        seen.held.send_modify(|held| *held += 1);
        // Nothing more is said by either, until the one who waits is gone.
        let _ = stream.read_u8().await;
        seen.gone.send_modify(|gone| *gone += 1);
        return Ok(());
    }
    stream.write_all(&answer(path)).await?;
    stream.shutdown().await
}

fn answer(path: &str) -> Vec<u8> {
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
        _ => match path.strip_prefix("/hops/").and_then(|left| left.parse::<usize>().ok()) {
            Some(left) if left > 0 => redirect(&format!("/hops/{}", left - 1)),
            _ => whole("200 OK", "", FILE),
        },
    }
}
