//! Tests of the forward proxy.

use super::super::proxy::{ByteStream, OpenService, Proxy};
use super::*;

/// A proxy before a service that answers with what it receives.
struct TestProxy {
    address: SocketAddr,
    connections: TaskTracker,
}

impl TestProxy {
    async fn new(pass_through: bool) -> Self {
        let open_service: OpenService = Box::new(|_| {
            let (near, mut far) = tokio::io::duplex(1024);
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(&mut far);
                tokio::io::copy(&mut read, &mut write).await
            });
            Box::pin(async { Ok(Box::new(near) as Box<dyn ByteStream>) })
        });
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, connections) = (socket.local_addr().unwrap(), TaskTracker::new());
        let proxy = Proxy::new(open_service, pass_through);
        tokio::spawn(proxy.serve(socket, CancellationToken::new(), connections.clone()));
        Self { address, connections }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request without a body; returns the stream, and the head and body of the response.
    async fn ask(&self, line: &str) -> (TcpStream, String) {
        let mut stream = self.connect().await;
        stream.write_all(format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        (stream, answer)
    }

    async fn until_open(&self, count: usize) {
        while self.connections.len() != count {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn names_of_microsoft_are_tunnelled_to_the_service_and_others_are_refused() {
    let proxy = TestProxy::new(false).await;
    for host in cloudpc_identity::well_known::HOSTS {
        let (mut stream, answer) = proxy.ask(&format!("CONNECT {host}:443")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        stream.write_all(b"through").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, "through");
    }
    let mut outcomes = String::new();
    for line in [
        "CONNECT graph.microsoft.com:80",
        "CONNECT graph.microsoft.com.evil.test:443",
        "CONNECT 127.0.0.1:443",
        "CONNECT graph.microsoft.com",
        "GET http://graph.microsoft.com/v1.0",
        "POST /",
    ] {
        outcomes += &format!("{line} -> {}", outcome(&proxy.ask(line).await.1));
    }
    insta::assert_snapshot!(outcomes, @r#"
    CONNECT graph.microsoft.com:80 -> 403 Forbidden: cloudpc does not connect to graph.microsoft.com:80. It stands in for graph.microsoft.com, login.microsoftonline.com, management.azure.com at port 443. To connect to other hosts too, start the proxy with pass-through.
    CONNECT graph.microsoft.com.evil.test:443 -> 403 Forbidden: cloudpc does not connect to graph.microsoft.com.evil.test:443. It stands in for graph.microsoft.com, login.microsoftonline.com, management.azure.com at port 443. To connect to other hosts too, start the proxy with pass-through.
    CONNECT 127.0.0.1:443 -> 403 Forbidden: cloudpc does not connect to 127.0.0.1:443. It stands in for graph.microsoft.com, login.microsoftonline.com, management.azure.com at port 443. To connect to other hosts too, start the proxy with pass-through.
    CONNECT graph.microsoft.com -> 400 Bad Request: CONNECT names no host and port.
    GET http://graph.microsoft.com/v1.0 -> 405 Method Not Allowed: This proxy answers CONNECT only. Use it for https URLs.
    POST / -> 405 Method Not Allowed: This proxy answers CONNECT only. Use it for https URLs.
    "#);
}

#[tokio::test]
async fn other_hosts_are_reached_with_pass_through_only() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = elsewhere.local_addr().unwrap();
    assert!(TestProxy::new(false).await.ask(&format!("CONNECT {target}")).await.1.starts_with("HTTP/1.1 403 "));

    let proxy = TestProxy::new(true).await;
    let (mut stream, answer) = proxy.ask(&format!("CONNECT {target}")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (mut far, _) = elsewhere.accept().await.unwrap();
    far.write_all(b"from elsewhere").await.unwrap();
    drop(far);
    assert_eq!(rest(&mut stream).await, "from elsewhere");

    drop(elsewhere);
    let (_, answer) = proxy.ask(&format!("CONNECT {target}")).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

#[tokio::test]
async fn the_connections_of_a_peer_are_limited_and_a_closed_one_makes_room() {
    let proxy = TestProxy::new(false).await;
    let mut open = Vec::new();
    for _ in 0..PROXY_PEER_CONNECTIONS_MAX {
        open.push(proxy.connect().await);
    }
    proxy.until_open(PROXY_PEER_CONNECTIONS_MAX).await;
    let mut beyond = proxy.connect().await;
    assert_eq!(rest(&mut beyond).await, "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n");
    open.pop();
    proxy.until_open(PROXY_PEER_CONNECTIONS_MAX - 1).await;
    let (_, answer) = proxy.ask("CONNECT graph.microsoft.com:443").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_tunnel_keeps_its_place() {
    let proxy = TestProxy::new(false).await;
    let (mut stream, _) = proxy.ask("CONNECT graph.microsoft.com:443").await;
    // The connection has ended, and the tunnel goes on.
    proxy.until_open(1).await;
    stream.write_all(b"still").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    drop(stream);
    proxy.until_open(0).await;
}

#[tokio::test]
async fn connect_must_arrive_in_time_and_be_small() {
    let proxy = TestProxy::new(false).await;
    let mut large = proxy.connect().await;
    let filling = "x".repeat(2 * PROXY_HEAD_BYTES_MAX);
    let _ = large.write_all(format!("CONNECT graph.microsoft.com:443 HTTP/1.1\r\nx: {filling}").as_bytes()).await;
    let mut answer = Vec::new();
    let _ = large.read_to_end(&mut answer).await;
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    proxy.until_open(0).await;

    let clock = StandingClock::new();
    let mut stream = proxy.connect().await;
    stream.write_all(b"CONNECT graph").await.unwrap();
    proxy.until_open(1).await;
    settle().await;
    clock.advance(PROXY_HEAD_TIME_MAX - Duration::from_secs(1)).await;
    settle().await;
    assert_eq!(proxy.connections.len(), 1);
    clock.advance(Duration::from_secs(2)).await;
    proxy.until_open(0).await;
}
