//! The guest, over the guest agent.
//!
//! A download is fetched by the service, under the rules of [`Fetcher`](crate::Fetcher), and pushed
//! over the agent's channel, or fetched by the guest itself, as its image says ([`Downloads`]).
//! Operations in the guest are short scripts for the system's own shell. A program is started by
//! one script and polled by others, which need not come from the same process. This module must not
//! depend on disks and processes of the host.

mod inside;
mod linux;
mod output;
mod shell;
mod windows;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloudpc_model::CloudPcId;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use url::Url;

use self::linux::LINUX;
use self::shell::{NO_FILE, Shell};
use self::windows::WINDOWS;
use super::image::Downloads;
use super::layout::{MACHINE_FILE, MachineFolder, file_name};
use super::machine::host_error;
use super::wire::WireError;
use super::{QemuHost, Slot};
use crate::{
    DETECT_TIME_MAX, DriverError, FetchPolicy, FileFormat, Guest, GuestError, GuestOs, HEAD_BYTES, ProgramExit,
    Sha256Digest, Tag,
};

/// Bytes of a file in one command.
const PIECE_BYTES: usize = 256 << 10;

/// Interval at which a guest that does not respond is polled.
const READY_POLL: Duration = Duration::from_millis(100);

/// Pause between polls of a running program: doubled from the first to the longest.
const POLL_PAUSE_MIN: Duration = Duration::from_millis(5);
const POLL_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Number of polls after which a run without a process counts as failed to start.
const STARTING_POLLS_MAX: u32 = 20;

/// Largest small file, bytes.
const FILE_BYTES_MAX: usize = 64 << 10;

/// A guest.
pub struct QemuGuest {
    pub host: Arc<QemuHost>,
    pub slot: Arc<Slot>,
    pub id: CloudPcId,
    pub os: GuestOs,
    pub downloads: Downloads,
}

/// What a guest reports about its operating system; see `guest-get-osinfo` of the QEMU guest agent.
pub struct SystemInfo {
    /// The family; none if the guest agent does not report the system.
    pub os: Option<GuestOs>,
    pub name: Option<String>,
    pub build_number: Option<String>,
    pub version_number: Option<String>,
}

/// The result of a command in the guest.
struct CommandOutput {
    code: i64,
    out: Vec<u8>,
    err: String,
}

#[async_trait]
impl Guest for QemuGuest {
    fn os(&self) -> GuestOs {
        self.os
    }

    async fn wait_ready(&self) -> Result<(), GuestError> {
        while let Err(error) = self.agent_command("guest-ping", json!({})).await {
            if !matches!(error, GuestError::NotReady(_)) {
                return Err(error);
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(())
    }

    async fn enrol(&self, hostname: &str) -> Result<(), GuestError> {
        let result = self.script(self.shell().set_hostname, &[hostname]).await?;
        self.require_success("setting the hostname failed", &result)
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
            _ => Err(self.unexpected_response("guest-get-fsinfo", &disks)),
        }
    }

    async fn reach(&self, url: &Url, policy: &FetchPolicy) -> Result<(), GuestError> {
        self.agent_command("guest-ping", json!({})).await?;
        match self.downloads {
            Downloads::Pushed => self.host.parts.fetcher.reach(url, policy).await,
            Downloads::Inside => self.reach_inside(url, policy).await,
        }
    }

    async fn fetch(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError> {
        match self.downloads {
            Downloads::Pushed => self.push(tag, url, policy).await,
            Downloads::Inside => self.fetch_inside(tag, url, policy).await,
        }
    }

    async fn format(&self, tag: &Tag) -> Result<FileFormat, GuestError> {
        match self.read(&self.payload(tag), HEAD_BYTES).await? {
            Some(head) => Ok(FileFormat::of(&head)),
            None => Err(self.no_file(tag)),
        }
    }

    async fn sha256(&self, tag: &Tag) -> Result<Sha256Digest, GuestError> {
        let result = self.script(self.shell().digest, &[&self.payload(tag)]).await?;
        if result.code == NO_FILE {
            return Err(self.no_file(tag));
        }
        self.require_success("computing the digest failed", &result)?;
        let mut digest = [0; 32];
        match result.out.get(..64).map(|hex| hex::decode_to_slice(hex, &mut digest)) {
            Some(Ok(())) => Ok(digest),
            _ => Err(self.unexpected_response("the digest", &json!(String::from_utf8_lossy(&result.out)))),
        }
    }

    async fn run(&self, tag: &Tag, arguments: &[String]) -> Result<ProgramExit, GuestError> {
        let folder = self.folder(tag);
        let arguments = (self.shell().program_arguments)(arguments);
        let arguments: Vec<&str> =
            std::iter::once(folder.as_str()).chain(arguments.iter().map(String::as_str)).collect();
        let started = self.script(self.shell().run, &arguments).await?;
        if started.code == NO_FILE {
            return Err(self.no_file(tag));
        }
        self.require_success("starting the program failed", &started)?;
        let (mut pause, mut starting) = (POLL_PAUSE_MIN, 0);
        loop {
            let result = self.script(self.shell().poll, &[&folder]).await?;
            // The state line is written by the script; the output is in the encoding of the
            // program.
            let end = result.out.iter().position(|byte| *byte == b'\n').unwrap_or(result.out.len());
            let state = String::from_utf8_lossy(&result.out[..end]);
            starting += u32::from(state == "starting");
            match state.split_once(' ') {
                Some(("exit", code)) => {
                    let code = code.parse().map_err(|_| self.unexpected_response("exit", &json!(code)))?;
                    return Ok(ProgramExit {
                        code,
                        output: output::decode(result.out.get(end + 1..).unwrap_or_default()),
                    });
                }
                _ if state == "running" || (state == "starting" && starting < STARTING_POLLS_MAX) => {}
                _ => {
                    // The exit code is lost. The next call starts the program again.
                    self.script(self.shell().discard_run, &[&folder]).await?;
                    return Err(GuestError::NotReady("the machine was restarted while the program was running".into()));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_PAUSE_MAX);
        }
    }

    async fn detect(&self, command: &str) -> Result<ProgramExit, GuestError> {
        let seconds = DETECT_TIME_MAX.as_secs().to_string();
        let result = self.script(self.shell().detect, &[command, &seconds]).await?;
        let code = result.code.try_into().map_err(|_| self.unexpected_response("detection", &json!(result.code)))?;
        Ok(ProgramExit { code, output: output::decode(&result.out) })
    }

    async fn kill(&self, tag: &Tag) -> Result<(), GuestError> {
        self.script(self.shell().kill, &[&self.folder(tag)]).await.map(drop)
    }

    async fn clean(&self, tag: &Tag) -> Result<(), GuestError> {
        let result = self.script(self.shell().remove, &[&self.folder(tag)]).await?;
        self.require_success("removing the files failed", &result)
    }

    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), GuestError> {
        if content.len() > FILE_BYTES_MAX {
            let size = content.len();
            let message = format!("{path} has {size} bytes; the limit is {FILE_BYTES_MAX}");
            return Err(GuestError::DiskFull(message));
        }
        self.write(path, &mut &content[..]).await
    }

    async fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>, GuestError> {
        self.read(path, FILE_BYTES_MAX).await
    }
}

impl QemuGuest {
    fn shell(&self) -> &'static Shell {
        match self.os {
            GuestOs::Linux => &LINUX,
            GuestOs::Windows => &WINDOWS,
        }
    }

    /// Returns what the guest reports about its operating system. An agent that does not support
    /// the command, or is configured not to, reports nothing.
    pub async fn system_info(&self) -> Result<SystemInfo, GuestError> {
        match self.agent_command("guest-get-osinfo", json!({})).await {
            Ok(info) => Ok(SystemInfo::of(&info)),
            Err(GuestError::Driver(DriverError::Rejected { .. })) => Ok(SystemInfo::of(&Value::Null)),
            Err(error) => Err(error),
        }
    }

    /// Downloads a file and pushes it into the guest.
    async fn push(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError> {
        let folder = self.folder(tag);
        let result = self.script(self.shell().make_folder, &[&folder]).await?;
        self.require_success("creating a folder failed", &result)?;
        self.host.parts.capacity.admit_disk(&self.host.downloads)?;
        let mut download = Download::new(&self.host.downloads, self.id, tag).await?;
        let fetched = self.host.parts.fetcher.fetch_into(url, policy, &mut download.file).await?;
        download.file.rewind().await.map_err(host_error)?;
        self.write(&format!("{folder}/payload.part"), &mut download.file).await?;
        let size_bytes = self.store_download(&folder, &folder).await?;
        if size_bytes != fetched.size_bytes {
            let message = format!("only {size_bytes} of {} bytes arrived in the guest", fetched.size_bytes);
            return Err(DriverError::Unavailable(message).into());
        }
        Ok(size_bytes)
    }

    /// Moves the file that arrived in one folder to its place as the payload of another; returns
    /// its size in bytes.
    async fn store_download(&self, folder: &str, arrived_in: &str) -> Result<u64, GuestError> {
        let result = self.script(self.shell().store_download, &[folder, arrived_in]).await?;
        self.require_success("storing the file failed", &result)?;
        let size = String::from_utf8_lossy(&result.out);
        size.trim().parse().map_err(|_| self.unexpected_response("the size of the file", &json!(size)))
    }

    /// Runs a short script and waits for its end.
    async fn script(&self, script: &str, arguments: &[&str]) -> Result<CommandOutput, GuestError> {
        let (program, arguments) = (self.shell().command)(script, arguments);
        let request = json!({ "path": program, "arg": arguments, "capture-output": true });
        let started = self.agent_command("guest-exec", request).await?;
        let mut pause = POLL_PAUSE_MIN;
        loop {
            let status = self.agent_command("guest-exec-status", json!({ "pid": started["pid"] })).await?;
            if status["exited"] == true {
                let text = |name: &str| BASE64.decode(status[name].as_str().unwrap_or_default()).unwrap_or_default();
                let killed = status["signal"].as_i64().map(|signal| 128 + signal);
                let Some(code) = status["exitcode"].as_i64().or(killed) else {
                    return Err(self.unexpected_response("guest-exec-status", &status));
                };
                let err = String::from_utf8_lossy(&text("err-data")).trim().to_owned();
                return Ok(CommandOutput { code, out: text("out-data"), err });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_PAUSE_MAX);
        }
    }

    /// Writes a file, replacing the old one.
    async fn write(
        &self,
        path: &str,
        content: &mut (dyn tokio::io::AsyncRead + Send + Unpin),
    ) -> Result<(), GuestError> {
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

    /// Reads the first bytes of a file; none if it does not exist.
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
                let Some(Ok(bytes)) = bytes else { return Err(self.unexpected_response("guest-file-read", &piece)) };
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

    /// Executes one agent command.
    async fn agent_command(&self, command: &str, arguments: Value) -> Result<Value, GuestError> {
        match self.slot.channel.execute(command, arguments).await {
            Ok(answer) => Ok(answer),
            Err(_) if !MachineFolder::of(&self.host.machines, self.id).join(MACHINE_FILE).exists() => {
                Err(DriverError::NotFound(format!("machine {}", self.id)).into())
            }
            Err(WireError::Refused { description, .. }) => Err(refused(command, description)),
            Err(error) => Err(GuestError::NotReady(format!("machine {}: {error}", self.id))),
        }
    }

    fn require_success(&self, what: &str, result: &CommandOutput) -> Result<(), GuestError> {
        match result.code {
            0 => Ok(()),
            _ if result.err.contains("No space left") => Err(GuestError::DiskFull(result.err.clone())),
            code => {
                Err(DriverError::Unavailable(format!("in the guest: {what}: exit code {code}: {}", result.err)).into())
            }
        }
    }

    fn unexpected_response(&self, command: &str, response: &Value) -> GuestError {
        let response: String = response.to_string().chars().take(200).collect();
        DriverError::Unavailable(format!("the guest agent sent an unexpected response to {command}: {response}")).into()
    }

    fn no_file(&self, tag: &Tag) -> GuestError {
        GuestError::FileNotFound(format!("machine {} has no downloaded file for {tag}", self.id))
    }

    fn folder(&self, tag: &Tag) -> String {
        format!("{}/{}", self.shell().folder, file_name(&tag.0))
    }

    fn payload(&self, tag: &Tag) -> String {
        format!("{}/payload", self.folder(tag))
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

/// A temporary file on the host for a download on its way into a guest; removed when dropped.
struct Download {
    file: tokio::fs::File,
    path: PathBuf,
}

impl Download {
    async fn new(folder: &std::path::Path, id: CloudPcId, tag: &Tag) -> Result<Self, DriverError> {
        let path = folder.join(format!("{id}-{}", file_name(&tag.0)));
        let mut options = tokio::fs::OpenOptions::new();
        let options = options.create(true).truncate(true).read(true).write(true);
        let file = options.open(&path).await.map_err(host_error)?;
        Ok(Self { file, path })
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // A file that cannot be removed now is overwritten or removed by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_reports_its_system() {
        let windows = json!({
            "id": "mswindows", "name": "Microsoft Windows", "pretty-name": "Windows 11 Enterprise",
            "kernel-release": "22631", "kernel-version": "10.0", "version-id": "11",
        });
        let info = SystemInfo::of(&windows);
        assert_eq!((info.os, info.name.as_deref()), (Some(GuestOs::Windows), Some("Windows 11 Enterprise")));
        assert_eq!(info.build_number.as_deref(), Some("22631"));
        assert_eq!(info.version_number.as_deref(), Some("10.0.22631"));
        let debian =
            json!({ "id": "debian", "name": "Debian", "version-id": "12", "kernel-release": "6.1.0-28-amd64" });
        let info = SystemInfo::of(&debian);
        assert_eq!((info.os, info.name.as_deref()), (Some(GuestOs::Linux), Some("Debian")));
        assert_eq!(info.version_number.as_deref(), Some("12"));
        let hostile = SystemInfo::of(&json!({ "pretty-name": format!("\u{1b}\n{}", "x".repeat(300)), "id": 7 }));
        assert_eq!(hostile.name, Some("x".repeat(SYSTEM_TEXT_CHARS_MAX)));
        assert_eq!(hostile.os, None);
    }
}
