use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn policy(allowed: &[String]) -> FetchPolicy {
    FetchPolicy { allowed_urls: allowed.to_vec(), size_bytes_max: 1_000, time_max: Duration::from_secs(20) }
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn a_url_is_checked_as_written() {
    let no_list = policy(&[]);
    let list = policy(&["https://agents.test/a".into(), "http://10.0.0.7:8080/".into()]);
    let table = [
        // Without a list, with one.
        ("https://agents.test/a/agent.msi", true, true),
        ("https://agents.test:8443/agent.msi", true, false),
        ("https://agents.test/agent.msi", true, false),
        ("https://agents.test/a/../agent.msi", true, false),
        ("https://agents.test.evil.test/a/", true, false),
        ("http://agents.test/a/agent.msi", false, false),
        ("http://10.0.0.7:8080/agent.msi", false, true),
        ("http://10.0.0.7/agent.msi", false, false),
        ("https://10.0.0.7:8080/agent.msi", false, false),
        ("https://8.8.8.8/a", true, false),
        ("https://127.0.0.1/a", false, false),
        ("https://2130706433/a", false, false),
        ("https://0x7f.1/a", false, false),
        ("https://0177.0.0.1/a", false, false),
        ("https://[::1]/a", false, false),
        ("https://[::ffff:8.8.8.8]/a", false, false),
        ("https://[2606:4700::1111]/a", true, false),
        ("https://169.254.169.254/latest/meta-data", false, false),
        ("https://user@agents.test/a/", false, false),
        ("https://user:secret@agents.test/a/", false, false),
        ("https://:secret@agents.test/a/", false, false),
        ("file:///etc/passwd", false, false),
        ("ftp://agents.test/a", false, false),
        ("data:text/plain,MZ", false, false),
        ("blob:https://agents.test/a", false, false),
        ("javascript:0", false, false),
        ("unix:/run/docker.sock", false, false),
    ];
    for (text, without, with) in table {
        assert_eq!(Fetcher::check(&url(text), &no_list).is_ok(), without, "{text} without a list");
        assert_eq!(Fetcher::check(&url(text), &list).is_ok(), with, "{text} with a list");
    }
    let long = |length: usize| url(&format!("https://a.test/{}", "x".repeat(length - "https://a.test/".len())));
    assert!(Fetcher::check(&long(URL_BYTES_MAX), &no_list).is_ok());
    assert!(Fetcher::check(&long(URL_BYTES_MAX + 1), &no_list).is_err());
}

#[test]
fn messages_show_the_url_without_its_secrets() {
    let refused = |text: &str| Fetcher::check(&url(text), &policy(&[])).unwrap_err();
    insta::assert_snapshot!(refused("ftp://user:secret@a.test:21/f?secret#secret"), @"ftp://a.test/f: only https URLs can be fetched");
    insta::assert_snapshot!(refused("http://a.test:81/f?secret"), @"http://a.test:81/f: http is allowed only under an allowed URL prefix that names the host; use https");
    insta::assert_snapshot!(refused("https://user:secret@a.test/f"), @"https://a.test/f: a URL must not contain a user name or password");
    insta::assert_snapshot!(refused("https://10.1.2.3/f?secret"), @"https://10.1.2.3/f: 10.1.2.3 is not a public address; to allow the host, add a URL prefix that names it to the allowed URLs");
}

/// A raw HTTP server; [`response_parts`] scripts its response for each path.
async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let request = String::from_utf8(request).unwrap();
                let path = request.split(' ').nth(1).unwrap();
                for part in response_parts(path, &request) {
                    if stream.write_all(&part).await.is_err() {
                        return;
                    }
                    if path == "/slow" {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                if path.starts_with("/silent") {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    base
}

/// Returns the parts of the response, written one after another.
fn response_parts(path: &str, request: &str) -> Vec<Vec<u8>> {
    let whole = |status: &str, headers: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        vec![[head.as_bytes(), body].concat()]
    };
    let redirect = |to: &str| whole("302 Found", &format!("Location: {to}\r\n"), b"");
    match path {
        "/exact" => whole("200 OK", "", &[b'M'; 1_000]),
        "/large" => whole("200 OK", "", &[b'M'; 1_001]),
        "/gzip" => whole("200 OK", "Content-Encoding: gzip\r\n", b"\x1f\x8b not really"),
        "/encodings" => whole(
            "200 OK",
            "",
            request.to_ascii_lowercase().contains("accept-encoding: identity").to_string().as_bytes(),
        ),
        "/endless" => {
            let mut parts = vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()];
            parts.extend((0..1_000).map(|_| [b"64\r\n".as_slice(), &[b'M'; 100], b"\r\n"].concat()));
            parts
        }
        "/slow" => {
            let mut parts = vec![b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".to_vec()];
            parts.extend((0..900).map(|_| b"M".to_vec()));
            parts
        }
        "/silent" => vec![],
        "/silent-in-head" => vec![b"HTTP/1.1 200 OK\r\nContent-".to_vec()],
        "/silent-after-head" => vec![b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".to_vec()],
        "/silent-in-body" => vec![b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nMZ".to_vec()],
        "/torn" => vec![b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nMZ".to_vec()],
        "/nonsense" => vec![b"220 mail.test ESMTP\r\n".to_vec()],
        "/to-exact" => redirect("exact"),
        "/to-private" => redirect("http://127.0.0.2/exact"),
        "/to-file" => redirect("file:///etc/passwd"),
        "/to-user" => {
            redirect(&format!("http://user@{}/exact", request.split("ost: ").nth(1).unwrap().lines().next().unwrap()))
        }
        "/to-nowhere" => whole("302 Found", "", b""),
        "/not-modified" => whole("304 Not Modified", "", b""),
        "/part" => whole("206 Partial Content", "", b"MZ"),
        _ => match path.strip_prefix("/hops/").and_then(|left| left.parse::<usize>().ok()) {
            Some(0) => whole("200 OK", "", b"MZ"),
            Some(left) => redirect(&format!("/hops/{}", left - 1)),
            None => whole("404 Not Found", "", b"<!DOCTYPE html>"),
        },
    }
}

fn not_found(result: Result<Fetched, GuestError>) -> String {
    match result {
        Err(GuestError::FileNotFound(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_is_kept_as_served() {
    let (base, fetcher) = (serve().await, Fetcher::new(None).unwrap());
    let policy = policy(&[format!("{base}/")]);
    let fetch = async |path: &str| fetcher.fetch(&url(&format!("{base}{path}")), &policy).await;
    let fetched = fetch("/exact").await.unwrap();
    let sha256: Sha256Digest = Sha256::digest([b'M'; 1_000]).into();
    assert_eq!(fetched, Fetched { size_bytes: 1_000, sha256, head: vec![b'M'; HEAD_BYTES] });
    assert_eq!(fetch("/to-exact").await.unwrap(), fetched, "a file of exactly the size limit is accepted");
    assert_eq!(fetch("/gzip").await.unwrap().head, b"\x1f\x8b not really");
    assert_eq!(fetch("/encodings").await.unwrap().head, b"true");
    assert_eq!(fetch(&format!("/hops/{REDIRECTS_MAX}")).await.unwrap().head, b"MZ");
    fetcher.reach(&url(&format!("{base}/anything")), &policy).await.unwrap();
}

#[tokio::test]
async fn only_the_start_of_a_file_is_downloaded_whatever_its_size() {
    let (base, fetcher) = (serve().await, Fetcher::new(None).unwrap());
    let policy = policy(&[format!("{base}/")]);
    let start = async |path: &str| fetcher.start(&url(&format!("{base}{path}")), &policy).await;
    let head = vec![b'M'; HEAD_BYTES];
    assert_eq!(start("/large").await.unwrap(), FileStart { size_bytes: Some(1_001), head: head.clone() });
    assert_eq!(start("/endless").await.unwrap(), FileStart { size_bytes: None, head });
    assert_eq!(start("/hops/1").await.unwrap(), FileStart { size_bytes: Some(2), head: b"MZ".to_vec() });
    for refused in ["/none", "/torn", "/to-private", "/to-file"] {
        assert!(matches!(start(refused).await, Err(GuestError::FileNotFound(_))), "{refused}");
    }
}

#[tokio::test]
async fn an_unacceptable_response_is_refused() {
    let (base, fetcher) = (serve().await, Fetcher::new(None).unwrap());
    let policy = policy(&[format!("{base}/")]);
    let port = base.rsplit(':').next().unwrap().to_owned();
    let table = [
        ("/none", "returned status 404"),
        ("/not-modified", "returned status 304"),
        ("/part", "returned status 206"),
        ("/large", "exceeds the limit of 1000 bytes"),
        ("/endless", "exceeds the limit of 1000 bytes"),
        ("/torn", "downloading"),
        ("/nonsense", "downloading"),
        ("/to-private", "http://127.0.0.2/exact is not under an allowed URL prefix"),
        ("/to-file", "file:///etc/passwd: only https"),
        ("/to-user", "must not contain a user name"),
        ("/to-nowhere", "redirects without a valid Location"),
    ];
    for (path, why) in table {
        let found = not_found(fetcher.fetch(&url(&format!("{base}{path}")), &policy).await).replace(&port, "PORT");
        assert!(found.contains(why), "{path}: {found}");
    }
    let too_many = format!("{base}/hops/{}", REDIRECTS_MAX + 1);
    assert!(not_found(fetcher.fetch(&url(&too_many), &policy).await).contains("exceeds the limit of 5 redirects"));
    let hasty = FetchPolicy { time_max: Duration::from_millis(200), ..policy };
    let slow = not_found(fetcher.fetch(&url(&format!("{base}/slow")), &hasty).await);
    assert!(slow.contains("timed out after 0.2 seconds"), "{slow}");
}

#[tokio::test]
async fn a_stalled_server_fails_before_the_total_timeout() {
    assert_eq!(Fetcher::new(None).unwrap().0.stall_time_max, STALL_TIME_MAX);
    let (base, fetcher) = (serve().await, Fetcher::with(Vec::new(), Duration::from_millis(200)));
    let policy = FetchPolicy { time_max: Duration::from_hours(1), ..policy(&[format!("{base}/")]) };
    for path in ["/silent", "/silent-in-head", "/silent-after-head", "/silent-in-body"] {
        let found = not_found(fetcher.fetch(&url(&format!("{base}{path}")), &policy).await);
        assert_eq!(found, format!("downloading {base}{path} failed: the server sent nothing for 0.2 seconds"));
    }
}

#[tokio::test]
async fn a_name_with_a_private_address_is_not_connected_to() {
    let (base, fetcher) = (serve().await, Fetcher::new(None).unwrap());
    let port = url(&base).port().unwrap();
    let named = url(&format!("https://localhost:{port}/exact"));
    for result in [fetcher.fetch(&named, &policy(&[])).await.map(drop), fetcher.reach(&named, &policy(&[])).await] {
        let Err(GuestError::Unreachable(why)) = result else { panic!("{result:?}") };
        assert!(why.contains("localhost does not resolve to a public address"), "{why}");
        assert!(
            !why.contains("127.0.0.1") && !why.contains("::1"),
            "the address of an internal name must not leak: {why}"
        );
    }
    // A DNS label has at most 63 bytes, so no resolver is queried.
    let unknown = format!("{}.test", "x".repeat(64));
    let Err(GuestError::Unreachable(other)) =
        fetcher.reach(&url(&format!("https://{unknown}:{port}/exact")), &policy(&[])).await
    else {
        panic!("the name does not exist");
    };
    let Err(GuestError::Unreachable(why)) = fetcher.reach(&named, &policy(&[])).await else {
        panic!("the address is private")
    };
    assert_eq!(other.replace(&unknown, "localhost"), why, "the message must not reveal which names exist");
    // A prefix that names the host allows the host.
    let named = url(&format!("http://localhost:{port}/exact"));
    let listed = policy(&[format!("http://localhost:{port}")]);
    assert_eq!(fetcher.fetch(&named, &listed).await.unwrap().size_bytes, 1_000);
    fetcher.reach(&named, &listed).await.unwrap();
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_host_are_unreachable() {
    let fetcher = Fetcher::new(None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for text in [closed.as_str(), "http://no-such-host.invalid/"] {
        let listed = policy(&[text.to_owned()]);
        let (reached, fetched) = (fetcher.reach(&url(text), &listed).await, fetcher.fetch(&url(text), &listed).await);
        assert!(matches!(reached, Err(GuestError::Unreachable(_))), "{reached:?}");
        assert!(matches!(fetched, Err(GuestError::Unreachable(_))), "{fetched:?}");
    }
}

#[test]
fn a_missing_or_empty_authority_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("roots.pem");
    assert_eq!(Fetcher::new(Some(&path)).unwrap_err().kind(), io::ErrorKind::NotFound);
    for content in ["", "no certificate"] {
        std::fs::write(&path, content).unwrap();
        let error = Fetcher::new(Some(&path)).unwrap_err();
        assert!(error.to_string().contains("roots.pem"), "{error}");
    }
}

/// Serves one byte over TLS at `localhost`; writes the certificate authority to `ca_pem`.
async fn serve_tls(ca_pem: &Path) -> Url {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &ca).unwrap();
    std::fs::write(ca_pem, ca.pem()).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the server hangs up.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nM").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    url(&format!("https://localhost:{port}/f"))
}

#[tokio::test]
async fn an_extra_authority_is_trusted_only_if_configured() {
    let directory = tempfile::tempdir().unwrap();
    let ca_pem = directory.path().join("ca.pem");
    let served = serve_tls(&ca_pem).await;
    let listed = policy(&[served.to_string()]);
    let untrusted = Fetcher::new(None).unwrap().fetch(&served, &listed).await;
    assert!(matches!(untrusted, Err(GuestError::Unreachable(_))), "{untrusted:?}");
    assert_eq!(Fetcher::new(Some(&ca_pem)).unwrap().fetch(&served, &listed).await.unwrap().head, b"M");
}
