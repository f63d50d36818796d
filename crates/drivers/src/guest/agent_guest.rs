//! A guest that is reached through an agent's channel.
//!
//! A download is fetched by the service, under the rules of [`Fetcher`], and pushed over the
//! channel, or fetched by the guest itself, as its image says ([`Downloads`]). Operations in the
//! guest are short scripts for the system's own shell. A program is started by one script and
//! polled by others, which need not come from the same process. This module must not depend on how
//! the channel reaches the guest, nor on disks and processes of the host.

use async_trait::async_trait;
use cloudpc_model::{CloudPcId, Rng, UserAccountType};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncSeekExt;
use url::Url;

use super::channel::{AgentChannel, CommandOutput, unexpected_response};
use super::linux::LINUX;
use super::output;
use super::shell::{NO_FILE, Shell, UNSUPPORTED};
use super::staging::Staging;
use super::windows::WINDOWS;
use crate::file_name::file_name;
use crate::host::host_error;
use crate::{
    DETECT_TIME_MAX, DriverError, FetchPolicy, Fetcher, FileFormat, Guest, GuestError, GuestOs, HEAD_BYTES,
    ProgramExit, Sha256Digest, Tag,
};

/// Interval at which a guest that does not respond is polled.
const READY_POLL: Duration = Duration::from_millis(100);

/// Pause between polls of a running program: doubled from the first to the longest.
pub const POLL_PAUSE_MIN: Duration = Duration::from_millis(5);
pub const POLL_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Number of polls after which a run without a process counts as failed to start.
const STARTING_POLLS_MAX: u32 = 20;

/// Largest small file, bytes.
const FILE_BYTES_MAX: usize = 64 << 10;

/// How downloads get into a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Downloads {
    /// The service downloads files and pushes them over the guest agent's channel. The guest needs
    /// no network.
    #[default]
    Pushed,
    /// The guest downloads files over its own network. Files are pushed into a machine without one.
    Inside,
}

impl Downloads {
    pub(crate) fn is_pushed(&self) -> bool {
        *self == Self::Pushed
    }
}

/// A guest.
pub struct AgentGuest<C> {
    pub channel: C,
    pub id: CloudPcId,
    pub os: GuestOs,
    pub downloads: Downloads,
    /// Downloads files that are pushed into the guest.
    pub fetcher: Fetcher,
    /// Random numbers for ids of downloads.
    pub rng: Arc<dyn Rng>,
    /// Where files wait on their way into the guest.
    pub staging: Staging,
}

#[async_trait]
impl<C: AgentChannel> Guest for AgentGuest<C> {
    fn os(&self) -> GuestOs {
        self.os
    }

    async fn wait_ready(&self) -> Result<(), GuestError> {
        while let Err(error) = self.channel.ping().await {
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

    async fn set_account_type(&self, user_principal_name: &str, account: UserAccountType) -> Result<(), GuestError> {
        let result = self.script(self.shell().set_account_type, &[user_principal_name, account.into()]).await?;
        match result.code {
            UNSUPPORTED => Err(GuestError::Unsupported(result.err)),
            _ => self.require_success("setting the account type failed", &result),
        }
    }

    async fn free_disk_bytes(&self) -> Result<u64, GuestError> {
        self.channel.free_disk_bytes().await
    }

    async fn reach(&self, url: &Url, policy: &FetchPolicy) -> Result<(), GuestError> {
        self.channel.ping().await?;
        match self.downloads {
            Downloads::Pushed => self.fetcher.reach(url, policy).await,
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
        match self.channel.read(&self.payload(tag), HEAD_BYTES).await? {
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
            _ => Err(unexpected_response("the digest", &json!(String::from_utf8_lossy(&result.out)))),
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
                    let code = code.parse().map_err(|_| unexpected_response("exit", &json!(code)))?;
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
        let code = result.code.try_into().map_err(|_| unexpected_response("detection", &json!(result.code)))?;
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
        self.channel.write(path, content).await
    }

    async fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>, GuestError> {
        self.channel.read(path, FILE_BYTES_MAX).await
    }
}

impl<C: AgentChannel> AgentGuest<C> {
    pub(super) fn shell(&self) -> &'static Shell {
        match self.os {
            GuestOs::Linux => &LINUX,
            GuestOs::Windows => &WINDOWS,
        }
    }

    /// Downloads a file and pushes it into the guest.
    async fn push(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError> {
        let folder = self.folder(tag);
        let result = self.script(self.shell().make_folder, &[&folder]).await?;
        self.require_success("creating a folder failed", &result)?;
        let mut download = self.staging.create(self.id, tag).await?;
        let fetched = self.fetcher.fetch_into(url, policy, &mut download.file).await?;
        download.file.rewind().await.map_err(host_error)?;
        self.channel.stream(&format!("{folder}/payload.part"), &mut download.file).await?;
        let size_bytes = self.store_download(&folder, &folder).await?;
        if size_bytes != fetched.size_bytes {
            let message = format!("only {size_bytes} of {} bytes arrived in the guest", fetched.size_bytes);
            return Err(DriverError::Unavailable(message).into());
        }
        Ok(size_bytes)
    }

    /// Moves the file that arrived in one folder to its place as the payload of another; returns
    /// its size in bytes.
    pub(super) async fn store_download(&self, folder: &str, arrived_in: &str) -> Result<u64, GuestError> {
        let result = self.script(self.shell().store_download, &[folder, arrived_in]).await?;
        self.require_success("storing the file failed", &result)?;
        let size = String::from_utf8_lossy(&result.out);
        size.trim().parse().map_err(|_| unexpected_response("the size of the file", &json!(size)))
    }

    /// Runs a short script and waits for its end.
    pub(super) async fn script(&self, script: &str, arguments: &[&str]) -> Result<CommandOutput, GuestError> {
        let (program, arguments) = (self.shell().command)(script, arguments);
        self.channel.run(program, &arguments).await
    }

    pub(super) fn require_success(&self, what: &str, result: &CommandOutput) -> Result<(), GuestError> {
        match result.code {
            0 => Ok(()),
            _ if result.err.contains("No space left") => Err(GuestError::DiskFull(result.err.clone())),
            code => {
                Err(DriverError::Unavailable(format!("in the guest: {what}: exit code {code}: {}", result.err)).into())
            }
        }
    }

    fn no_file(&self, tag: &Tag) -> GuestError {
        GuestError::FileNotFound(format!("machine {} has no downloaded file for {tag}", self.id))
    }

    pub(super) fn folder(&self, tag: &Tag) -> String {
        format!("{}/{}", self.shell().folder, file_name(&tag.0))
    }

    fn payload(&self, tag: &Tag) -> String {
        format!("{}/payload", self.folder(tag))
    }
}
