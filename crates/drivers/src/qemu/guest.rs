//! The operating system inside, over the guest agent.
//!
//! What is downloaded is fetched by us, under the guard of [`Fetcher`](crate::Fetcher), and handed
//! in over the agent's channel, or by the guest itself, as its image says ([`Downloads`]). What is
//! done inside is done by short scripts for the system's own shell. A program is begun by one and
//! looked at by others: it does not matter whether those who look had begun it. This module refuses
//! to know disks and processes of the host.

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
use super::machine::of_host;
use super::wire::WireError;
use super::{QemuHost, Slot};
use crate::{
    DETECT_TIME_MAX, DriverError, FetchPolicy, FileFormat, Guest, GuestError, GuestOs, HEAD_BYTES, ProgramExit,
    Sha256Digest, Tag,
};

/// How much of a file goes into one command, bytes.
const PIECE_BYTES: usize = 256 << 10;

/// How often a guest that does not answer is asked again.
const READY_POLL: Duration = Duration::from_millis(100);

/// The pauses between looks at a program that runs: doubled from the first to the longest.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(5);
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(500);

/// So many looks may find a run that has no process yet; then its start has failed.
const STARTING_LOOKS_MAX: u32 = 20;

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

/// What a command inside has said.
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
        while let Err(error) = self.ask("guest-ping", json!({})).await {
            if !matches!(error, GuestError::NotReady(_)) {
                return Err(error);
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(())
    }

    async fn enrol(&self, hostname: &str) -> Result<(), GuestError> {
        let said = self.script(self.shell().name, &[hostname]).await?;
        self.must_be_zero("its name cannot be set", &said)
    }

    async fn free_disk_bytes(&self) -> Result<u64, GuestError> {
        let disks = self.ask("guest-get-fsinfo", json!({})).await?;
        let system = disks.as_array().into_iter().flatten().find(|disk| {
            let mounted_at = disk["mountpoint"].as_str().unwrap_or_default();
            matches!(mounted_at, "/" | "C:\\")
        });
        let bytes = |name: &str| system.and_then(|disk| disk[name].as_u64());
        match (bytes("total-bytes"), bytes("used-bytes")) {
            (Some(total), Some(used)) => Ok(total.saturating_sub(used)),
            _ => Err(self.not_understood("guest-get-fsinfo", &disks)),
        }
    }

    async fn reach(&self, url: &Url, policy: &FetchPolicy) -> Result<(), GuestError> {
        self.ask("guest-ping", json!({})).await?;
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
        let said = self.script(self.shell().digest, &[&self.payload(tag)]).await?;
        if said.code == NO_FILE {
            return Err(self.no_file(tag));
        }
        self.must_be_zero("the digest cannot be computed", &said)?;
        let mut digest = [0; 32];
        match said.out.get(..64).map(|hex| hex::decode_to_slice(hex, &mut digest)) {
            Some(Ok(())) => Ok(digest),
            _ => Err(self.not_understood("the digest", &json!(String::from_utf8_lossy(&said.out)))),
        }
    }

    async fn run(&self, tag: &Tag, arguments: &[String]) -> Result<ProgramExit, GuestError> {
        let folder = self.folder(tag);
        let arguments = (self.shell().program_arguments)(arguments);
        let words: Vec<&str> = std::iter::once(folder.as_str()).chain(arguments.iter().map(String::as_str)).collect();
        let begun = self.script(self.shell().run, &words).await?;
        if begun.code == NO_FILE {
            return Err(self.no_file(tag));
        }
        self.must_be_zero("the program cannot be begun", &begun)?;
        let (mut pause, mut starting) = (LOOK_PAUSE_MIN, 0);
        loop {
            let said = self.script(self.shell().look, &[&folder]).await?;
            // The state is ours, and the output is in the encoding of the program.
            let end = said.out.iter().position(|byte| *byte == b'\n').unwrap_or(said.out.len());
            let state = String::from_utf8_lossy(&said.out[..end]);
            starting += u32::from(state == "starting");
            match state.split_once(' ') {
                Some(("exit", code)) => {
                    let code = code.parse().map_err(|_| self.not_understood("exit", &json!(code)))?;
                    return Ok(ProgramExit {
                        code,
                        output: output::decode(said.out.get(end + 1..).unwrap_or_default()),
                    });
                }
                _ if state == "running" || (state == "starting" && starting < STARTING_LOOKS_MAX) => {}
                _ => {
                    // Nobody is left to say how it would have ended. The next call begins it anew.
                    self.script(self.shell().forget, &[&folder]).await?;
                    return Err(GuestError::NotReady("the machine was restarted while the program ran".into()));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_PAUSE_MAX);
        }
    }

    async fn detect(&self, command: &str) -> Result<ProgramExit, GuestError> {
        let seconds = DETECT_TIME_MAX.as_secs().to_string();
        let said = self.script(self.shell().detect, &[command, &seconds]).await?;
        let code = said.code.try_into().map_err(|_| self.not_understood("detection", &json!(said.code)))?;
        Ok(ProgramExit { code, output: output::decode(&said.out) })
    }

    async fn kill(&self, tag: &Tag) -> Result<(), GuestError> {
        self.script(self.shell().kill, &[&self.folder(tag)]).await.map(drop)
    }

    async fn clean(&self, tag: &Tag) -> Result<(), GuestError> {
        let said = self.script(self.shell().remove, &[&self.folder(tag)]).await?;
        self.must_be_zero("files cannot be removed", &said)
    }

    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), GuestError> {
        if content.len() > FILE_BYTES_MAX {
            let size = content.len();
            let message = format!("{path} has {size} bytes; a small file has at most {FILE_BYTES_MAX}");
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

    /// Downloads a file and hands it in.
    async fn push(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError> {
        let folder = self.folder(tag);
        let said = self.script(self.shell().make_folder, &[&folder]).await?;
        self.must_be_zero("a folder cannot be made", &said)?;
        self.host.parts.capacity.admit_disk(&self.host.downloads)?;
        let mut download = Download::new(&self.host.downloads, self.id, tag).await?;
        let fetched = self.host.parts.fetcher.fetch_into(url, policy, &mut download.file).await?;
        download.file.rewind().await.map_err(of_host)?;
        self.write(&format!("{folder}/payload.part"), &mut download.file).await?;
        let size_bytes = self.keep(&folder, &folder).await?;
        if size_bytes != fetched.size_bytes {
            let message = format!("{size_bytes} bytes of {} have arrived in the guest", fetched.size_bytes);
            return Err(DriverError::Unavailable(message).into());
        }
        Ok(size_bytes)
    }

    /// Keeps the file that has arrived in one folder as the payload of another; returns its size in
    /// bytes.
    async fn keep(&self, folder: &str, arrived_in: &str) -> Result<u64, GuestError> {
        let said = self.script(self.shell().keep, &[folder, arrived_in]).await?;
        self.must_be_zero("the file cannot be kept", &said)?;
        let size = String::from_utf8_lossy(&said.out);
        size.trim().parse().map_err(|_| self.not_understood("its size", &json!(size)))
    }

    /// Runs a short script to its end.
    async fn script(&self, script: &str, arguments: &[&str]) -> Result<CommandOutput, GuestError> {
        let (program, words) = (self.shell().command)(script, arguments);
        let begin = json!({ "path": program, "arg": words, "capture-output": true });
        let begun = self.ask("guest-exec", begin).await?;
        let mut pause = LOOK_PAUSE_MIN;
        loop {
            let status = self.ask("guest-exec-status", json!({ "pid": begun["pid"] })).await?;
            if status["exited"] == true {
                let text = |name: &str| BASE64.decode(status[name].as_str().unwrap_or_default()).unwrap_or_default();
                let killed = status["signal"].as_i64().map(|signal| 128 + signal);
                let Some(code) = status["exitcode"].as_i64().or(killed) else {
                    return Err(self.not_understood("guest-exec-status", &status));
                };
                let err = String::from_utf8_lossy(&text("err-data")).trim().to_owned();
                return Ok(CommandOutput { code, out: text("out-data"), err });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_PAUSE_MAX);
        }
    }

    /// Writes a file in place of the one that is there.
    async fn write(
        &self,
        path: &str,
        content: &mut (dyn tokio::io::AsyncRead + Send + Unpin),
    ) -> Result<(), GuestError> {
        let handle = self.ask("guest-file-open", json!({ "path": path, "mode": "wb" })).await?;
        let written = async {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            while content.take(PIECE_BYTES as u64).read_to_end(&mut piece).await.map_err(of_host)? > 0 {
                let command = json!({ "handle": handle, "buf-b64": BASE64.encode(&piece) });
                self.ask("guest-file-write", command).await?;
                piece.clear();
            }
            // What the agent still holds may find the disk full.
            self.ask("guest-file-flush", json!({ "handle": handle })).await.map(drop)
        }
        .await;
        let closed = self.ask("guest-file-close", json!({ "handle": handle })).await;
        written?;
        closed.map(drop)
    }

    /// The first bytes of a file; none if it is not there.
    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, GuestError> {
        let handle = match self.ask("guest-file-open", json!({ "path": path, "mode": "rb" })).await {
            Err(GuestError::FileNotFound(_)) => return Ok(None),
            handle => handle?,
        };
        let read = async {
            let mut content = Vec::new();
            loop {
                let count = bytes_max - content.len();
                let piece = self.ask("guest-file-read", json!({ "handle": handle, "count": count })).await?;
                let bytes = piece["buf-b64"].as_str().map(|text| BASE64.decode(text));
                let Some(Ok(bytes)) = bytes else { return Err(self.not_understood("guest-file-read", &piece)) };
                content.extend(bytes);
                if piece["eof"] == true || content.len() >= bytes_max {
                    return Ok(content);
                }
            }
        }
        .await;
        self.ask("guest-file-close", json!({ "handle": handle })).await?;
        read.map(Some)
    }

    /// Has the agent do one thing.
    async fn ask(&self, command: &str, arguments: Value) -> Result<Value, GuestError> {
        match self.slot.channel.execute(command, arguments).await {
            Ok(answer) => Ok(answer),
            Err(_) if !MachineFolder::of(&self.host.machines, self.id).join(MACHINE_FILE).exists() => {
                Err(DriverError::NotFound(format!("machine {}", self.id)).into())
            }
            Err(WireError::Refused { description, .. }) => Err(refused(command, description)),
            Err(error) => Err(GuestError::NotReady(format!("machine {}: {error}", self.id))),
        }
    }

    fn must_be_zero(&self, what: &str, said: &CommandOutput) -> Result<(), GuestError> {
        match said.code {
            0 => Ok(()),
            _ if said.err.contains("No space left") => Err(GuestError::DiskFull(said.err.clone())),
            code => {
                Err(DriverError::Unavailable(format!("in the guest: {what}: exit code {code}: {}", said.err)).into())
            }
        }
    }

    fn not_understood(&self, command: &str, answer: &Value) -> GuestError {
        let answer: String = answer.to_string().chars().take(200).collect();
        DriverError::Unavailable(format!("the guest agent's answer to {command} is not understood: {answer}")).into()
    }

    fn no_file(&self, tag: &Tag) -> GuestError {
        GuestError::FileNotFound(format!("machine {} has no file of {tag}", self.id))
    }

    fn folder(&self, tag: &Tag) -> String {
        format!("{}/{}", self.shell().folder, file_name(&tag.0))
    }

    fn payload(&self, tag: &Tag) -> String {
        format!("{}/payload", self.folder(tag))
    }
}

/// What the agent's refusals mean. They are for people; these words in them have been the same for
/// ten years, in Windows where it speaks English.
fn refused(command: &str, description: String) -> GuestError {
    let says = |words: [&str; 3]| words.iter().any(|words| description.contains(words));
    if says(["No such file", "cannot find the file", "cannot find the path"]) {
        return GuestError::FileNotFound(description);
    }
    if says(["No space left", "not enough space", "disk is full"]) {
        return GuestError::DiskFull(description);
    }
    match command {
        // The agent was restarted, with the guest or without, and knows its old handles and
        // programs no more.
        "guest-exec-status" | "guest-file-read" | "guest-file-write" | "guest-file-flush" | "guest-file-close" => {
            GuestError::NotReady(description)
        }
        _ => DriverError::Rejected { code: "guestRefused".into(), message: format!("{command}: {description}") }.into(),
    }
}

/// A file on the host for what is on its way into a guest; gone when it is dropped.
struct Download {
    file: tokio::fs::File,
    path: PathBuf,
}

impl Download {
    async fn new(folder: &std::path::Path, id: CloudPcId, tag: &Tag) -> Result<Self, DriverError> {
        let path = folder.join(format!("{id}-{}", file_name(&tag.0)));
        let mut options = tokio::fs::OpenOptions::new();
        let options = options.create(true).truncate(true).read(true).write(true);
        let file = options.open(&path).await.map_err(of_host)?;
        Ok(Self { file, path })
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // What cannot be removed now is written over or removed by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}
