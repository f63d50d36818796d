//! Line-delimited JSON over a byte stream, the common base of QMP and the guest agent.
//!
//! Lines are bounded, and a line that is too long is skipped to its end, so that the stream stays
//! usable. Nothing here has its own timeout: callers set the deadline. This module must not depend
//! on the meaning of the lines.

use serde_json::Value;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest accepted line, bytes. The longest requested response is a piece of a file, 64 KiB before
/// base64.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// A byte that cannot occur in JSON; the guest agent uses it to mark the start of a new line.
pub const SENTINEL: u8 = 0xFF;

/// An error of a connection.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection failed or could not be opened.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// A line was too long and was skipped.
    #[error("a line exceeds {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// A line was not JSON and was skipped.
    #[error("a line is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// No response arrived in time.
    #[error("timed out after {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The peer reported an error.
    #[error("{class}: {description}")]
    Refused {
        /// The class of the error, for programs.
        class: String,
        /// The error message, for people.
        description: String,
    },
    /// The response is malformed.
    #[error("unexpected response: {0}")]
    UnexpectedResponse(String),
}

/// A stream of JSON lines in both directions.
pub struct LineReader<S> {
    stream: S,
    /// Bytes that were read and not yet returned.
    buffer: Vec<u8>,
    /// Number of buffered bytes already searched for the end of a line.
    searched: usize,
    /// The current line is too long; the rest of it is skipped.
    skipping: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LineReader<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), searched: 0, skipping: false }
    }

    /// Sends one value.
    pub async fn send(&mut self, value: &Value) -> Result<(), WireError> {
        let mut line = serde_json::to_vec(value).expect("a JSON value can be written");
        line.push(b'\n');
        self.send_raw(&line).await
    }

    /// Sends raw bytes.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Returns the next value. After [`WireError::TooLong`] and [`WireError::NotJson`] the stream
    /// stays usable.
    pub async fn receive(&mut self) -> Result<Value, WireError> {
        loop {
            let line = self.line().await?;
            // Data before the last sentinel is an incomplete response to another client.
            let start = line.iter().rposition(|byte| *byte == SENTINEL).map_or(0, |at| at + 1);
            let text = line[start..].trim_ascii();
            if !text.is_empty() {
                return serde_json::from_slice(text).map_err(WireError::NotJson);
            }
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, WireError> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                // One byte is the line feed.
                if std::mem::take(&mut self.skipping) || line.len() > LINE_BYTES_MAX + 1 {
                    return Err(WireError::TooLong);
                }
                return Ok(line);
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LINE_BYTES_MAX {
                self.skipping = true;
            }
            if self.skipping {
                self.buffer.clear();
                self.searched = 0;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(WireError::Closed);
            }
        }
    }
}

/// Returns the `return` value of a response, or its `error`.
pub fn response_result(mut response: Value) -> Result<Value, WireError> {
    if let Some(error) = response.get("error") {
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        return Err(WireError::Refused { class: text("class"), description: text("desc") });
    }
    match response.get_mut("return") {
        Some(value) => Ok(value.take()),
        None => Err(WireError::UnexpectedResponse(response.to_string().chars().take(200).collect())),
    }
}

/// Fails with [`WireError::TimedOut`] if `work` takes longer than `limit`. Uses real time: the peer
/// has no simulated clock.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, WireError>>) -> Result<T, WireError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(WireError::TimedOut(limit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// Returns everything that a reader reads from `input`, which arrives in pieces of `piece`
    /// bytes.
    async fn read(input: &[u8], piece: usize) -> Vec<Result<Value, String>> {
        let (ours, mut theirs) = tokio::io::duplex(piece);
        let input = input.to_vec();
        let writer = tokio::spawn(async move {
            theirs.write_all(&input).await.unwrap();
        });
        let mut lines = LineReader::new(ours);
        let mut all = Vec::new();
        loop {
            match lines.receive().await {
                Ok(value) => all.push(Ok(value)),
                Err(WireError::Closed) => break,
                Err(error @ (WireError::TooLong | WireError::NotJson(_))) => all.push(Err(error.to_string())),
                Err(error) => panic!("{error}"),
            }
        }
        writer.await.unwrap();
        all
    }

    #[tokio::test]
    async fn a_line_is_accepted_at_the_limit_and_skipped_beyond_it() {
        let line = |bytes: usize| format!("\"{}\"\n", "x".repeat(bytes - 2));
        let input = [line(LINE_BYTES_MAX), line(LINE_BYTES_MAX + 1), line(3 * LINE_BYTES_MAX), "{\"a\":1}\n".into()];
        let read = read(input.concat().as_bytes(), 64 << 10).await;
        let too_long = Err(WireError::TooLong.to_string());
        assert_eq!(read.len(), 4);
        assert_eq!(read[0].as_ref().unwrap().as_str().unwrap().len(), LINE_BYTES_MAX - 2);
        assert_eq!(read[1..], [too_long.clone(), too_long, Ok(json!({ "a": 1 }))]);
    }

    #[tokio::test]
    async fn data_before_a_sentinel_is_discarded() {
        let read = read(b"{\"return\":{\"pi\xFF{\"return\":7}\r\n\n\xFF\n{\"return\":8}\nhalf a line", 3).await;
        assert_eq!(read, [Ok(json!({ "return": 7 })), Ok(json!({ "return": 8 }))]);
    }

    #[test]
    fn a_response_is_a_return_or_an_error() {
        assert_eq!(response_result(json!({ "return": { "pid": 3 }, "id": 1 })).unwrap(), json!({ "pid": 3 }));
        let refused =
            response_result(json!({ "error": { "class": "GenericError", "desc": "no such file" } })).unwrap_err();
        assert_eq!(refused.to_string(), "GenericError: no such file");
        assert!(matches!(response_result(json!({ "event": "STOP" })), Err(WireError::UnexpectedResponse(_))));
        assert!(matches!(response_result(json!(3)), Err(WireError::UnexpectedResponse(_))));
    }

    #[tokio::test]
    async fn exceeding_the_limit_times_out() {
        let limit = Duration::from_millis(5);
        let timed_out = within(limit, std::future::pending::<Result<(), WireError>>()).await.unwrap_err();
        assert_eq!(timed_out.to_string(), "timed out after 5 ms");
    }

    proptest! {
        /// The same lines are read however the stream is split, and every valid value is returned.
        #[test]
        fn lines_do_not_depend_on_how_the_stream_is_split(
            lines in prop::collection::vec(prop_oneof![
                any::<i64>().prop_map(|number| number.to_string().into_bytes()),
                prop::collection::vec(any::<u8>().prop_filter("a byte within a line", |byte| *byte != b'\n'), 0..40),
            ], 0..20),
            piece in 1usize..64,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut input = lines.join(&b'\n');
            input.push(b'\n');
            let (whole, cut) = runtime.block_on(async { (read(&input, 1 << 20).await, read(&input, piece).await) });
            prop_assert_eq!(&whole, &cut);
            let numbers = |all: &[Result<Value, String>]| all.iter().flatten().filter(|value| value.is_i64()).count();
            let sent = lines.iter().filter(|line| serde_json::from_slice::<Value>(line).is_ok_and(|value| value.is_i64()));
            prop_assert!(numbers(&whole) >= sent.count());
        }
    }
}
