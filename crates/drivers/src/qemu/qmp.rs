//! QMP, the control protocol of QEMU.
//!
//! Each exchange opens a connection and closes it: a socket serves one client at a time, and a
//! connection that is not kept cannot be stale. Only the watch keeps one, on its own socket. The
//! content of events is ignored: an event only triggers a query, because events sent while nobody
//! listens are lost.

use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use super::layout::{MachineFolder, QMP_SOCKET};
use super::wire::{LineReader, WireError, response_result, within};

/// Timeout of QEMU's greeting. QEMU greets at once unless another client is connected.
pub const GREETING_TIME_MAX: Duration = Duration::from_secs(3);

/// Timeout of one command. Long work is started by one command and polled by others.
pub const COMMAND_TIME_MAX: Duration = Duration::from_secs(20);

/// Interval at which a job is polled.
const JOB_POLL: Duration = Duration::from_millis(20);

/// A connection to a QEMU process.
pub struct Qmp<S = UnixStream> {
    lines: LineReader<S>,
    last_id: u64,
    /// Whether an event has arrived since the last wait.
    event: bool,
}

impl Qmp {
    /// Connects to the QEMU of a machine.
    pub async fn connect(folder: &MachineFolder) -> Result<Self, WireError> {
        Self::connect_to(folder, QMP_SOCKET).await
    }

    /// Connects to one of its sockets.
    pub async fn connect_to(folder: &MachineFolder, socket: &str) -> Result<Self, WireError> {
        within(GREETING_TIME_MAX, async { Self::greet(folder.connect(socket).await?).await }).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Qmp<S> {
    /// Receives the greeting and ends the capability negotiation; no capability is needed.
    pub async fn greet(stream: S) -> Result<Self, WireError> {
        let mut qmp = Self { lines: LineReader::new(stream), last_id: 0, event: false };
        let greeting = qmp.lines.receive().await?;
        if greeting.get("QMP").is_none() {
            return Err(WireError::UnexpectedResponse("the peer does not speak QMP".into()));
        }
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// Executes one command.
    pub async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, WireError> {
        self.last_id += 1;
        let id = self.last_id;
        within(COMMAND_TIME_MAX, async {
            self.lines.send(&json!({ "execute": command, "arguments": arguments, "id": id })).await?;
            loop {
                let line = self.lines.receive().await?;
                if line["id"] == id {
                    return response_result(line);
                }
                // An event, or the late response to an abandoned command.
                self.event |= line.get("event").is_some();
            }
        })
        .await
    }

    /// Waits for an event since the last call. May be dropped at any await.
    pub async fn event(&mut self) -> Result<(), WireError> {
        while !self.event {
            self.event = self.lines.receive().await?.get("event").is_some();
        }
        self.event = false;
        Ok(())
    }

    /// Returns the state of the virtual processors: `running`, `paused`, `io-error`, …
    pub async fn status(&mut self) -> Result<String, WireError> {
        let status = self.execute("query-status", json!({})).await?;
        match status["status"].as_str() {
            Some(status) => Ok(status.to_owned()),
            None => Err(WireError::UnexpectedResponse(status.to_string())),
        }
    }

    /// Waits for the end of a job that was started with `auto-dismiss` off. The caller sets the
    /// deadline.
    pub async fn wait_job(&mut self, job: &str) -> Result<(), WireError> {
        loop {
            let jobs = self.execute("query-jobs", json!({})).await?;
            let found = jobs.as_array().into_iter().flatten().find(|found| found["id"] == job);
            let Some(found) = found else {
                return Err(WireError::UnexpectedResponse(format!("job {job} does not exist")));
            };
            if found["status"] == "concluded" {
                let error = found["error"].as_str().map(str::to_owned);
                self.execute("job-dismiss", json!({ "id": job })).await?;
                return match error {
                    None => Ok(()),
                    Some(description) => Err(WireError::Refused { class: "JobFailed".into(), description }),
                };
            }
            tokio::time::sleep(JOB_POLL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::transcript::Transcript;

    /// Recorded from QEMU 7.2.22.
    const GREETING: &str = r#"
        < {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2+dfsg-7+deb12u18+b3"}, "capabilities": ["oob"]}}
        > {"arguments":{},"execute":"qmp_capabilities","id":1}
        < {"return": {}, "id": 1}
    "#;

    async fn conversation(rest: &str) -> (Qmp<tokio::io::DuplexStream>, Transcript) {
        let (stream, transcript) = Transcript::play(&format!("{GREETING}{rest}"));
        (Qmp::greet(stream).await.unwrap(), transcript)
    }

    #[tokio::test]
    async fn events_and_late_responses_are_skipped() {
        let (mut qmp, transcript) = conversation(
            r#"
            > {"arguments":{},"execute":"query-status","id":2}
            < {"timestamp": {"seconds": 1795744800, "microseconds": 1}, "event": "VSERPORT_CHANGE", "data": {"open": true, "id": "agent"}}
            < {"return": {"status": "wrong"}, "id": 1}
            < {"return": {"status": "running", "singlestep": false, "running": true}, "id": 2}
            > {"arguments":{},"execute":"cont","id":3}
            < {"id": 3, "error": {"class": "GenericError", "desc": "Resetting the Virtual Machine is required"}}
            "#,
        )
        .await;
        assert_eq!(qmp.status().await.unwrap(), "running");
        let refused = qmp.execute("cont", json!({})).await.unwrap_err();
        assert_eq!(refused.to_string(), "GenericError: Resetting the Virtual Machine is required");
        transcript.finished().await;
    }

    #[tokio::test]
    async fn a_job_is_polled_until_it_ends() {
        let (mut qmp, transcript) = conversation(
            r#"
            > {"arguments":{},"execute":"query-jobs","id":2}
            < {"return": [{"current-progress": 0, "status": "running", "total-progress": 655360, "type": "backup", "id": "copy"}], "id": 2}
            > {"arguments":{},"execute":"query-jobs","id":3}
            < {"return": [{"current-progress": 1, "status": "concluded", "total-progress": 1, "type": "backup", "id": "copy", "error": "No space left on device"}], "id": 3}
            > {"arguments":{"id":"copy"},"execute":"job-dismiss","id":4}
            < {"return": {}, "id": 4}
            > {"arguments":{},"execute":"query-jobs","id":5}
            < {"return": [], "id": 5}
            "#,
        )
        .await;
        let failed = qmp.wait_job("copy").await.unwrap_err();
        assert_eq!(failed.to_string(), "JobFailed: No space left on device");
        assert!(matches!(qmp.wait_job("copy").await, Err(WireError::UnexpectedResponse(_))));
        transcript.finished().await;
    }

    #[tokio::test]
    async fn a_peer_without_a_qmp_greeting_is_rejected() {
        for (greeting, expected) in [("< {\"return\": {}}", "does not speak QMP"), ("", "closed")] {
            let (stream, _transcript) = Transcript::play(greeting);
            let error = Qmp::greet(stream).await.err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
