//! The guest agent: how the operating system inside is asked and told, over a port of the machine.
//!
//! The agent answers one command at a time and its answers carry no id. What was left by a client
//! that died, or by a command that was given up, would be taken for the next answer; so every
//! connection begins with a sync, and one on which anything went wrong is not used again.

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::layout::{AGENT_SOCKET, MachineFolder};
use super::wire::{LineReader, SENTINEL, WireError, answer, within};
use cloudpc_model::Rng;

/// How long an agent that is up may take to sync.
pub const SYNC_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a sync is waited for before the next one is sent.
const SYNC_PAUSE: Duration = Duration::from_millis(100);

/// How long one command may take. Programs are begun by a command and asked after with others.
pub const COMMAND_TIME_MAX: Duration = Duration::from_secs(20);

/// A conversation with a guest agent.
pub struct Agent<S = UnixStream> {
    lines: LineReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Agent<S> {
    /// Throws away whatever is on the way on a new connection; `id` and those after it have to be
    /// numbers that were not used before.
    ///
    /// What is sent while the guest has not opened the port is lost, so the sync is sent again and
    /// again, until one is answered: then nothing is lost any more, and what answers the last one
    /// comes after all else.
    pub async fn sync(stream: S, id: u64) -> Result<Self, WireError> {
        let mut agent = Self { lines: LineReader::new(stream) };
        let tries = async {
            let mut last = id;
            agent.send_sync(last).await?;
            let mut answered = loop {
                match within(SYNC_PAUSE, agent.answered()).await {
                    Ok(answered) if (id..=last).contains(&answered) => break answered,
                    Err(WireError::Late(_)) => {
                        last += 1;
                        agent.send_sync(last).await?;
                    }
                    other => _ = other?,
                }
            };
            while answered != last {
                answered = agent.answered().await?;
            }
            Ok(())
        };
        within(SYNC_TIME_MAX, tries).await?;
        Ok(agent)
    }

    async fn send_sync(&mut self, id: u64) -> Result<(), WireError> {
        // The sentinel ends half a command that a dead client has sent.
        let mut command = vec![SENTINEL];
        command.extend(json!({ "execute": "guest-sync-delimited", "arguments": { "id": id } }).to_string().bytes());
        command.push(b'\n');
        self.lines.send_raw(&command).await
    }

    /// The next number that is an answer, to a sync of ours or of a dead client.
    async fn answered(&mut self) -> Result<u64, WireError> {
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

    /// Executes one command. After any error but [`WireError::Refused`] this connection is of no
    /// more use.
    pub async fn execute(&mut self, command: &str, arguments: Value, limit: Duration) -> Result<Value, WireError> {
        within(limit, async {
            self.lines.send(&json!({ "execute": command, "arguments": arguments })).await?;
            answer(self.lines.receive().await?)
        })
        .await
    }
}

/// The way to the agent of one machine: connects when needed, and anew after trouble.
pub struct Channel {
    folder: MachineFolder,
    rng: Arc<dyn Rng>,
    /// How long one command may take.
    command_time_max: Duration,
    connection: Mutex<Option<Agent>>,
}

impl Channel {
    pub fn new(folder: MachineFolder, rng: Arc<dyn Rng>) -> Self {
        Self { folder, rng, command_time_max: COMMAND_TIME_MAX, connection: Mutex::new(None) }
    }

    /// Executes one command. May be dropped at any await: the next command then begins with a new
    /// connection.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, WireError> {
        let mut place = self.connection.lock().await;
        // A connection from before the machine's last start is closed by now: that it failed says
        // nothing about the agent.
        if let Some(agent) = place.take() {
            match self.execute_on(&mut place, agent, command, arguments.clone()).await {
                Err(WireError::Closed | WireError::Io(_)) => {}
                other => return other,
            }
        }
        let agent = within(SYNC_TIME_MAX * 2, async {
            let stream = self.folder.connect(AGENT_SOCKET).await?;
            Agent::sync(stream, self.rng.next_u64() >> 16).await
        })
        .await?;
        self.execute_on(&mut place, agent, command, arguments).await
    }

    /// The connection is back in its place only if it is in order.
    async fn execute_on(
        &self,
        place: &mut Option<Agent>,
        mut agent: Agent,
        command: &str,
        arguments: Value,
    ) -> Result<Value, WireError> {
        let limit = self.command_time_max;
        let result = match agent.execute(command, arguments.clone(), limit).await {
            // Whoever froze its disks for a restore point has died; until they are thawed the agent
            // does nothing else.
            Err(WireError::Refused { description, .. }) if description.contains("frozen") => {
                agent.execute("guest-fsfreeze-thaw", json!({}), limit).await?;
                agent.execute(command, arguments, limit).await
            }
            other => other,
        };
        if matches!(result, Ok(_) | Err(WireError::Refused { .. })) {
            *place = Some(agent);
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
    async fn a_sync_skips_what_a_dead_client_has_left() {
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
    async fn a_sync_that_was_lost_is_sent_again() {
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
    async fn an_agent_that_is_not_up_is_late() {
        let (stream, _transcript) = Transcript::play("~");
        assert!(matches!(Agent::sync(stream, 6).await, Err(WireError::Late(limit)) if limit == SYNC_TIME_MAX));
    }

    /// An agent that answers `answers` commands on each connection, and then closes it or says
    /// nothing more.
    fn serve(folder: &std::path::Path, answers: usize, closes: bool) {
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
                    if served <= answers {
                        lines.send(&json!({ "return": served })).await.unwrap();
                    }
                    if served == answers && closes {
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
    async fn after_a_command_without_an_answer_the_next_one_gets_its_own() {
        let folder = tempfile::tempdir().unwrap();
        serve(folder.path(), 2, false);
        let channel = channel(folder.path());
        for _ in 0..3 {
            assert_eq!(channel.execute("guest-ping", json!({})).await.unwrap(), 1);
            assert_eq!(channel.execute("guest-ping", json!({})).await.unwrap(), 2, "the connection is kept");
            assert!(matches!(channel.execute("guest-ping", json!({})).await, Err(WireError::Late(_))));
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_closed_since_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        serve(folder.path(), 1, true);
        let channel = channel(folder.path());
        for _ in 0..3 {
            assert_eq!(channel.execute("guest-ping", json!({})).await.unwrap(), 1);
        }
    }
}
