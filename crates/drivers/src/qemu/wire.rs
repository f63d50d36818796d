//! JSON values, one a line, over a byte stream: what QMP and the guest agent have in common.
//!
//! Lines are bounded, and a line that is too long is thrown away to its end, so that the stream can
//! be read on. Nothing here waits without an end: callers set the deadline. This module refuses to
//! know what the lines mean.

use serde_json::Value;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest line that is taken, bytes. The longest answer that we ask for is a piece of a file, 64
/// KiB before base64.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// The byte that can be in no JSON text, with which the guest agent marks where a line begins anew.
pub const SENTINEL: u8 = 0xFF;

/// Why a conversation did not go on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection failed or could not be made.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other side has closed it.
    #[error("the connection was closed")]
    Closed,
    /// A line was too long and was skipped.
    #[error("a line of more than {LINE_BYTES_MAX} bytes was skipped")]
    TooLong,
    /// A line was no JSON and was skipped.
    #[error("a line was no JSON: {0}")]
    NotJson(serde_json::Error),
    /// There was no answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// The answer is that it cannot be done.
    #[error("{class}: {description}")]
    Refused {
        /// The kind of error, for programs.
        class: String,
        /// For people.
        description: String,
    },
    /// The answer makes no sense.
    #[error("an answer was not understood: {0}")]
    Nonsense(String),
}

/// A stream of JSON lines in both directions.
pub struct LineReader<S> {
    stream: S,
    /// What was read and not yet taken.
    buffer: Vec<u8>,
    /// Of the buffer, what was searched for the end of a line.
    searched: usize,
    /// The line that is being read is too long; the rest of it is thrown away.
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

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next value. After [`WireError::TooLong`] and [`WireError::NotJson`] the stream can be
    /// read on.
    pub async fn receive(&mut self) -> Result<Value, WireError> {
        loop {
            let line = self.line().await?;
            // What is before the last sentinel was never finished by whoever it was meant for.
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
                // One byte of it is its end.
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

/// The `return` of an answer, or its `error`.
pub fn answer(mut answer: Value) -> Result<Value, WireError> {
    if let Some(error) = answer.get("error") {
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        return Err(WireError::Refused { class: text("class"), description: text("desc") });
    }
    match answer.get_mut("return") {
        Some(value) => Ok(value.take()),
        None => Err(WireError::Nonsense(answer.to_string().chars().take(200).collect())),
    }
}

/// Ends with [`WireError::Late`] if `work` takes longer than `limit`. Host time: the other side
/// knows no other.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, WireError>>) -> Result<T, WireError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(WireError::Late(limit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// All that a reader takes out of `input`, which arrives in pieces of `piece` bytes.
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
    async fn a_line_is_taken_at_the_limit_and_skipped_beyond_it() {
        let line = |bytes: usize| format!("\"{}\"\n", "x".repeat(bytes - 2));
        let input = [line(LINE_BYTES_MAX), line(LINE_BYTES_MAX + 1), line(3 * LINE_BYTES_MAX), "{\"a\":1}\n".into()];
        let read = read(input.concat().as_bytes(), 64 << 10).await;
        let too_long = Err(WireError::TooLong.to_string());
        assert_eq!(read.len(), 4);
        assert_eq!(read[0].as_ref().unwrap().as_str().unwrap().len(), LINE_BYTES_MAX - 2);
        assert_eq!(read[1..], [too_long.clone(), too_long, Ok(json!({ "a": 1 }))]);
    }

    #[tokio::test]
    async fn what_a_dead_client_left_before_a_sentinel_is_not_read() {
        let read = read(b"{\"return\":{\"pi\xFF{\"return\":7}\r\n\n\xFF\n{\"return\":8}\nhalf a line", 3).await;
        assert_eq!(read, [Ok(json!({ "return": 7 })), Ok(json!({ "return": 8 }))]);
    }

    #[test]
    fn an_answer_is_a_return_or_an_error() {
        assert_eq!(answer(json!({ "return": { "pid": 3 }, "id": 1 })).unwrap(), json!({ "pid": 3 }));
        let refused = answer(json!({ "error": { "class": "GenericError", "desc": "no such file" } })).unwrap_err();
        assert_eq!(refused.to_string(), "GenericError: no such file");
        assert!(matches!(answer(json!({ "event": "STOP" })), Err(WireError::Nonsense(_))));
        assert!(matches!(answer(json!(3)), Err(WireError::Nonsense(_))));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_late() {
        let limit = Duration::from_millis(5);
        let late = within(limit, std::future::pending::<Result<(), WireError>>()).await.unwrap_err();
        assert_eq!(late.to_string(), "no answer within 5 ms");
    }

    proptest! {
        /// However the stream is cut, whatever is in it, the lines are the same and what is right
        /// is read.
        #[test]
        fn lines_do_not_depend_on_how_they_arrive(
            lines in prop::collection::vec(prop_oneof![
                any::<i64>().prop_map(|number| number.to_string().into_bytes()),
                prop::collection::vec(any::<u8>().prop_filter("no end of line", |byte| *byte != b'\n'), 0..40),
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
