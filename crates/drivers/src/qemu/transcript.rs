//! Recorded protocol exchanges, replayed to a client under test.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

/// A transcript of lines: `< ` is sent to the client, `> ` is expected from the client, `~` is
/// silence without an end. `ÿ` stands for the byte 0xFF.
pub struct Transcript(JoinHandle<()>);

impl Transcript {
    /// Replays a transcript; returns the client's stream.
    pub fn play(text: &str) -> (DuplexStream, Self) {
        let (client, server) = tokio::io::duplex(1 << 20);
        (client, Self::over(server, text))
    }

    /// Replays a transcript over an existing stream.
    pub fn over(mut server: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, text: &str) -> Self {
        let lines: Vec<String> =
            text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        Self(tokio::spawn(async move {
            for line in lines {
                match line.split_at(1) {
                    ("<", sent) => server.write_all(&bytes(&sent[1..])).await.unwrap(),
                    (">", expected) => {
                        let expected = bytes(&expected[1..]);
                        let mut found = vec![0; expected.len()];
                        server.read_exact(&mut found).await.unwrap();
                        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected));
                    }
                    _ => std::future::pending().await,
                }
            }
        }))
    }

    /// Fails if the client has not sent what was recorded, or has not received everything.
    pub async fn finished(self) {
        self.0.await.expect("the exchange matches the transcript");
    }
}

/// Returns the bytes of a line, including its line feed.
fn bytes(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for character in line.chars() {
        match character {
            'ÿ' => bytes.push(0xFF),
            other => bytes.extend(other.to_string().bytes()),
        }
    }
    bytes.push(b'\n');
    bytes
}
