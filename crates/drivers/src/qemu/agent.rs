//! The guest agent: executes commands in the guest over a port of the machine.
//!
//! The agent executes one command at a time, and its responses carry no id. A response that was
//! left by a crashed client or an abandoned command would be taken for the next one; so every
//! connection starts with a sync, and a connection with any error is not reused.

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::layout::{AGENT_SOCKET, MachineFolder};
use super::wire::{LineReader, SENTINEL, WireError, response_result, within};
use cloudpc_model::Rng;

/// Timeout of a sync with a running agent.
pub const SYNC_TIME_MAX: Duration = Duration::from_secs(2);

/// Time to wait for a sync response before the sync is sent again.
const SYNC_PAUSE: Duration = Duration::from_millis(100);

/// Timeout of one command. Programs are started by one command and polled by others.
pub const COMMAND_TIME_MAX: Duration = Duration::from_secs(20);

/// A connection to a guest agent.
pub struct Agent<S = UnixStream> {
    lines: LineReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Agent<S> {
    /// Discards whatever is in transit on a new connection. `id` and the numbers after it must not
    /// have been used before.
    ///
    /// Data sent before the guest has opened the port is lost, so the sync is repeated until one is
    /// answered. From then on nothing is lost, and the response to the last sync comes after
    /// everything else.
    pub async fn sync(stream: S, id: u64) -> Result<Self, WireError> {
        let mut agent = Self { lines: LineReader::new(stream) };
        let attempts = async {
            let mut last = id;
            agent.send_sync(last).await?;
            let mut answered = loop {
                match within(SYNC_PAUSE, agent.next_sync_id()).await {
                    Ok(answered) if (id..=last).contains(&answered) => break answered,
                    Err(WireError::TimedOut(_)) => {
                        last += 1;
                        agent.send_sync(last).await?;
                    }
                    other => _ = other?,
                }
            };
            while answered != last {
                answered = agent.next_sync_id().await?;
            }
            Ok(())
        };
        within(SYNC_TIME_MAX, attempts).await?;
        Ok(agent)
    }

    async fn send_sync(&mut self, id: u64) -> Result<(), WireError> {
        // The sentinel terminates an incomplete command of a crashed client.
        let mut command = vec![SENTINEL];
        command.extend(json!({ "execute": "guest-sync-delimited", "arguments": { "id": id } }).to_string().bytes());
        command.push(b'\n');
        self.lines.send_raw(&command).await
    }

    /// Returns the next number that answers a sync, of this client or of a crashed one.
    async fn next_sync_id(&mut self) -> Result<u64, WireError> {
        loop {
            match self.lines.receive().await {
                Ok(line) => {
                    if let Some(number) = line["return"].as_u64() {
                        return Ok(number);
                    }
                }
                Err(WireError::TooLong | WireError::NotJson(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Executes one command. After any error but [`WireError::Refused`] the connection cannot be
    /// used again.
    pub async fn execute(&mut self, command: &str, arguments: Value, limit: Duration) -> Result<Value, WireError> {
        within(limit, async {
            self.lines.send(&json!({ "execute": command, "arguments": arguments })).await?;
            response_result(self.lines.receive().await?)
        })
        .await
    }
}

/// The channel to the agent of one machine: connects when needed, and reconnects after errors.
pub struct Channel {
    folder: MachineFolder,
    rng: Arc<dyn Rng>,
    /// Timeout of one command.
    command_time_max: Duration,
    connection: Mutex<Option<Agent>>,
}

impl Channel {
    pub fn new(folder: MachineFolder, rng: Arc<dyn Rng>) -> Self {
        Self { folder, rng, command_time_max: COMMAND_TIME_MAX, connection: Mutex::new(None) }
    }

    /// Executes one command. May be dropped at any await: the next command then opens a new
    /// connection.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, WireError> {
        let mut kept = self.connection.lock().await;
        // A connection from before the machine's last start is closed: its failure does not concern
        // the agent.
        if let Some(agent) = kept.take() {
            match self.execute_on(&mut kept, agent, command, arguments.clone()).await {
                Err(WireError::Closed | WireError::Io(_)) => {}
                other => return other,
            }
        }
        let agent = within(SYNC_TIME_MAX * 2, async {
            let stream = self.folder.connect(AGENT_SOCKET).await?;
            Agent::sync(stream, self.rng.next_u64() >> 16).await
        })
        .await?;
        self.execute_on(&mut kept, agent, command, arguments).await
    }

    /// Executes a command and keeps the connection only if it is still in sync.
    async fn execute_on(
        &self,
        kept: &mut Option<Agent>,
        mut agent: Agent,
        command: &str,
        arguments: Value,
    ) -> Result<Value, WireError> {
        let limit = self.command_time_max;
        let result = match agent.execute(command, arguments.clone(), limit).await {
            // The client that froze the disks for a restore point has crashed; until they are
            // thawed the agent executes nothing else.
            Err(WireError::Refused { description, .. }) if description.contains("frozen") => {
                agent.execute("guest-fsfreeze-thaw", json!({}), limit).await?;
                agent.execute(command, arguments, limit).await
            }
            other => other,
        };
        if matches!(result, Ok(_) | Err(WireError::Refused { .. })) {
            *kept = Some(agent);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::layout::RUN_FOLDER;
    use crate::qemu::transcript::Transcript;
    use cloudpc_model::SeededRng;

    #[tokio::test(start_paused = true)]
    async fn a_sync_skips_leftovers_of_a_crashed_client() {
        let (stream, transcript) = Transcript::play(
            r#"
            < {"return": {"pid": 812}}
            < {"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}
            < no JSON at all
            < {"return": 5}
            > ÿ{"arguments":{"id":6},"execute":"guest-sync-delimited"}
            < {"return": {"half an ansÿ{"return": 6}
            > {"arguments":{"path":"/bin/none"},"execute":"guest-exec"}
            < {"error": {"class": "GenericError", "desc": "Guest agent command failed, error was 'Failed to execute child process “/bin/none” (No such file or directory)'"}}
            > {"arguments":{},"execute":"guest-ping"}
            < {"return": {}}
            "#,
        );
        let mut agent = Agent::sync(stream, 6).await.unwrap();
        let refused = agent.execute("guest-exec", json!({ "path": "/bin/none" }), COMMAND_TIME_MAX).await.unwrap_err();
        assert!(matches!(refused, WireError::Refused { .. }), "{refused}");
        assert_eq!(agent.execute("guest-ping", json!({}), COMMAND_TIME_MAX).await.unwrap(), json!({}));
        transcript.finished().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_sync_is_sent_again() {
        let (stream, transcript) = Transcript::play(
            r#"
            > ÿ{"arguments":{"id":6},"execute":"guest-sync-delimited"}
            > ÿ{"arguments":{"id":7},"execute":"guest-sync-delimited"}
            < ÿ{"return": 6}
            < ÿ{"return": 7}
            > {"arguments":{},"execute":"guest-ping"}
            < {"return": {}}
            "#,
        );
        let mut agent = Agent::sync(stream, 6).await.unwrap();
        assert_eq!(agent.execute("guest-ping", json!({}), COMMAND_TIME_MAX).await.unwrap(), json!({}));
        transcript.finished().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_sync_with_a_stopped_agent_times_out() {
        let (stream, _transcript) = Transcript::play("~");
        assert!(matches!(Agent::sync(stream, 6).await, Err(WireError::TimedOut(limit)) if limit == SYNC_TIME_MAX));
    }

    /// Serves an agent that answers `responses` commands on each connection, and then closes it or
    /// stays silent.
    fn serve(folder: &std::path::Path, responses: usize, closes: bool) {
        std::fs::create_dir_all(folder.join(RUN_FOLDER)).unwrap();
        let listener = MachineFolder::at(folder).listen(AGENT_SOCKET).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut lines, mut served) = (LineReader::new(stream), 0);
                while let Ok(command) = lines.receive().await {
                    if command["execute"] == "guest-sync-delimited" {
                        lines.send_raw(&[SENTINEL]).await.unwrap();
                        lines.send(&json!({ "return": command["arguments"]["id"] })).await.unwrap();
                        continue;
                    }
                    served += 1;
                    if served <= responses {
                        lines.send(&json!({ "return": served })).await.unwrap();
                    }
                    if served == responses && closes {
                        break;
                    }
                }
            }
        });
    }

    fn channel(folder: &std::path::Path) -> Channel {
        let mut channel = Channel::new(MachineFolder::at(folder), Arc::new(SeededRng::new(1)));
        channel.command_time_max = Duration::from_secs(1);
        channel
    }

    #[tokio::test]
    async fn after_a_command_without_response_the_next_one_gets_its_own() {
        let folder = tempfile::tempdir().unwrap();
        serve(folder.path(), 2, false);
        let channel = channel(folder.path());
        for _ in 0..3 {
            assert_eq!(channel.execute("guest-ping", json!({})).await.unwrap(), 1);
            assert_eq!(channel.execute("guest-ping", json!({})).await.unwrap(), 2, "the connection is reused");
            assert!(matches!(channel.execute("guest-ping", json!({})).await, Err(WireError::TimedOut(_))));
        }
    }

    #[tokio::test]
    async fn a_closed_connection_is_reopened() {
        let folder = tempfile::tempdir().unwrap();
        serve(folder.path(), 1, true);
        let channel = channel(folder.path());
        for _ in 0..3 {
            assert_eq!(channel.execute("guest-ping", json!({})).await.unwrap(), 1);
        }
    }
}
