//! The channel into a guest, over the QEMU guest agent. This module must not depend on disks and
//! processes of the host.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloudpc_model::CloudPcId;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::host::Slot;
use super::layout::{MACHINE_FILE, MachineFolder};
use super::machine::host_error;
use super::wire::WireError;
use crate::guest::{AgentChannel, CommandOutput, POLL_PAUSE_MAX, POLL_PAUSE_MIN, unexpected_response};
use crate::{DriverError, GuestError, GuestOs};

/// Bytes of a file in one command.
const PIECE_BYTES: usize = 256 << 10;

/// The guest agent of a machine.
pub struct QemuAgent {
    pub slot: Arc<Slot>,
    pub folder: MachineFolder,
    pub id: CloudPcId,
}

/// What a guest reports about its operating system; see `guest-get-osinfo` of the QEMU guest agent.
pub struct SystemInfo {
    /// The family; none if the guest agent does not report the system.
    pub os: Option<GuestOs>,
    pub name: Option<String>,
    pub build_number: Option<String>,
    pub version_number: Option<String>,
}

#[async_trait]
impl AgentChannel for QemuAgent {
    async fn ping(&self) -> Result<(), GuestError> {
        self.agent_command("guest-ping", json!({})).await.map(drop)
    }

    async fn run(&self, program: &str, arguments: &[String]) -> Result<CommandOutput, GuestError> {
        let request = json!({ "path": program, "arg": arguments, "capture-output": true });
        let started = self.agent_command("guest-exec", request).await?;
        let mut pause = POLL_PAUSE_MIN;
        loop {
            let status = self.agent_command("guest-exec-status", json!({ "pid": started["pid"] })).await?;
            if status["exited"] == true {
                let text = |name: &str| BASE64.decode(status[name].as_str().unwrap_or_default()).unwrap_or_default();
                let killed = status["signal"].as_i64().map(|signal| 128 + signal);
                let Some(code) = status["exitcode"].as_i64().or(killed) else {
                    return Err(unexpected_response("guest-exec-status", &status));
                };
                let err = String::from_utf8_lossy(&text("err-data")).trim().to_owned();
                return Ok(CommandOutput { code, out: text("out-data"), err });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_PAUSE_MAX);
        }
    }

    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, GuestError> {
        let handle = match self.agent_command("guest-file-open", json!({ "path": path, "mode": "rb" })).await {
            Err(GuestError::FileNotFound(_)) => return Ok(None),
            handle => handle?,
        };
        let read = async {
            let mut content = Vec::new();
            loop {
                let count = bytes_max - content.len();
                let piece = self.agent_command("guest-file-read", json!({ "handle": handle, "count": count })).await?;
                let bytes = piece["buf-b64"].as_str().map(|text| BASE64.decode(text));
                let Some(Ok(bytes)) = bytes else { return Err(unexpected_response("guest-file-read", &piece)) };
                content.extend(bytes);
                if piece["eof"] == true || content.len() >= bytes_max {
                    return Ok(content);
                }
            }
        }
        .await;
        self.agent_command("guest-file-close", json!({ "handle": handle })).await?;
        read.map(Some)
    }

    async fn stream(&self, path: &str, content: &mut (dyn AsyncRead + Send + Unpin)) -> Result<(), GuestError> {
        let handle = self.agent_command("guest-file-open", json!({ "path": path, "mode": "wb" })).await?;
        let written = async {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            while content.take(PIECE_BYTES as u64).read_to_end(&mut piece).await.map_err(host_error)? > 0 {
                let command = json!({ "handle": handle, "buf-b64": BASE64.encode(&piece) });
                self.agent_command("guest-file-write", command).await?;
                piece.clear();
            }
            // Data that the agent still buffers may find the disk full.
            self.agent_command("guest-file-flush", json!({ "handle": handle })).await.map(drop)
        }
        .await;
        let closed = self.agent_command("guest-file-close", json!({ "handle": handle })).await;
        written?;
        closed.map(drop)
    }

    async fn free_disk_bytes(&self) -> Result<u64, GuestError> {
        let disks = self.agent_command("guest-get-fsinfo", json!({})).await?;
        let system = disks.as_array().into_iter().flatten().find(|disk| {
            let mounted_at = disk["mountpoint"].as_str().unwrap_or_default();
            matches!(mounted_at, "/" | "C:\\")
        });
        let bytes = |name: &str| system.and_then(|disk| disk[name].as_u64());
        match (bytes("total-bytes"), bytes("used-bytes")) {
            (Some(total), Some(used)) => Ok(total.saturating_sub(used)),
            _ => Err(unexpected_response("guest-get-fsinfo", &disks)),
        }
    }
}

impl QemuAgent {
    /// Returns what the guest reports about its operating system. An agent that does not support
    /// the command, or is configured not to, reports nothing.
    pub async fn system_info(&self) -> Result<SystemInfo, GuestError> {
        match self.agent_command("guest-get-osinfo", json!({})).await {
            Ok(info) => Ok(SystemInfo::of(&info)),
            Err(GuestError::Driver(DriverError::Rejected { .. })) => Ok(SystemInfo::of(&Value::Null)),
            Err(error) => Err(error),
        }
    }

    /// Executes one agent command.
    async fn agent_command(&self, command: &str, arguments: Value) -> Result<Value, GuestError> {
        match self.slot.channel.execute(command, arguments).await {
            Ok(answer) => Ok(answer),
            Err(_) if !self.folder.join(MACHINE_FILE).exists() => {
                Err(DriverError::NotFound(format!("machine {}", self.id)).into())
            }
            Err(WireError::Refused { description, .. }) => Err(refused(command, description)),
            Err(error) => Err(GuestError::NotReady(format!("machine {}: {error}", self.id))),
        }
    }
}

/// Longest text of [`SystemInfo`], characters.
const SYSTEM_TEXT_CHARS_MAX: usize = 200;

impl SystemInfo {
    /// Reads a response, whose texts come from the guest and are bounded here.
    fn of(info: &Value) -> Self {
        let text = |name: &str| {
            let text = info[name].as_str()?.chars().filter(|char| !char.is_control());
            Some(text.take(SYSTEM_TEXT_CHARS_MAX).collect::<String>()).filter(|text| !text.is_empty())
        };
        let os = text("id").map(|id| if id == "mswindows" { GuestOs::Windows } else { GuestOs::Linux });
        let build_number = text("kernel-release");
        let version_number = match (os, text("kernel-version"), &build_number) {
            (Some(GuestOs::Windows), Some(version), Some(build)) => Some(format!("{version}.{build}")),
            _ => text("version-id"),
        };
        Self { os, name: text("pretty-name").or_else(|| text("name")), build_number, version_number }
    }
}

/// Converts an agent's error message. The messages are meant for people, but these phrases have
/// been stable for ten years, also on English Windows.
fn refused(command: &str, description: String) -> GuestError {
    let contains_any = |phrases: [&str; 3]| phrases.iter().any(|phrase| description.contains(phrase));
    if contains_any(["No such file", "cannot find the file", "cannot find the path"]) {
        return GuestError::FileNotFound(description);
    }
    if contains_any(["No space left", "not enough space", "disk is full"]) {
        return GuestError::DiskFull(description);
    }
    match command {
        // The agent was restarted, with or without the guest, and has lost its handles and process
        // ids.
        "guest-exec-status" | "guest-file-read" | "guest-file-write" | "guest-file-flush" | "guest-file-close" => {
            GuestError::NotReady(description)
        }
        _ => DriverError::Rejected { code: "guestRefused".into(), message: format!("{command}: {description}") }.into(),
    }
}

#[cfg(test)]
mod tests;
