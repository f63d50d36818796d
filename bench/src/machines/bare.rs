//! Baseline: a machine next to the server's that is reprovisioned with QEMU commands only.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::BenchError;

/// Interval between attempts to connect.
const POLL: Duration = Duration::from_millis(10);

/// Time for a guest to shut down before the power button is pressed again.
const BUTTON_TIME_MAX: Duration = Duration::from_millis(500);

/// Timeout of one agent ping.
const PING_TIME_MAX: Duration = Duration::from_millis(200);

/// A running machine of the baseline.
pub struct Bare {
    folder: PathBuf,
    arguments: Vec<String>,
    process: Child,
}

impl Bare {
    /// Creates and starts a machine like the running one in the folder.
    pub async fn beside(machine: &Path, folder: &Path) -> Result<Self, BenchError> {
        let id = machine.file_name().ok_or("a machine has a name")?.to_string_lossy().into_owned();
        let command_lines = processes("qemu-system-x86_64")?;
        let command_line = command_lines.keys().find(|line| line.contains(&id)).ok_or("the machine runs")?;
        let words = command_line.split('\0').skip_while(|word| !word.ends_with("qemu-system-x86_64")).skip(1);
        let other = id.chars().rev().collect::<String>();
        let arguments: Vec<_> = words
            .filter(|word| !word.is_empty())
            .map(|word| match word.strip_prefix(&id) {
                Some("") => "00000000-0000-4000-8000-00000000bace".to_owned(),
                Some(rest) => format!("{other}{rest}"),
                None => word.to_owned(),
            })
            .collect();
        fs::create_dir_all(folder.join("run"))?;
        fs::create_dir_all(folder.join("disk"))?;
        for file in fs::read_dir(machine.join("disk"))? {
            let file = file?;
            if file.file_name() != "disk.qcow2" {
                fs::hard_link(file.path(), folder.join("disk").join(file.file_name()))?;
            }
        }
        let folder = folder.canonicalize()?;
        lay_disk(&folder)?;
        let process = start(&folder, &arguments)?;
        let bare = Self { folder, arguments, process };
        // A guest that has just started ignores the power button.
        tokio::time::timeout(super::TIME_MAX, bare.answers()).await??;
        Ok(bare)
    }

    /// Reprovisions the machine; returns the duration, seconds.
    pub async fn reprovision(&mut self) -> Result<f64, BenchError> {
        let began = Instant::now();
        let steps = async {
            self.power_off().await?;
            lay_disk(&self.folder)?;
            self.process = start(&self.folder, &self.arguments)?;
            self.answers().await
        };
        tokio::time::timeout(super::TIME_MAX, steps).await??;
        Ok(began.elapsed().as_secs_f64())
    }

    /// Powers the machine off gracefully and waits for its process to end.
    async fn power_off(&mut self) -> Result<(), BenchError> {
        let mut lines = BufReader::new(self.connect("qmp.sock").await?);
        let say = |command: &str| format!("{}\n", json!({ "execute": command }));
        lines.write_all(say("qmp_capabilities").as_bytes()).await?;
        let mut line = String::new();
        // A guest may ignore the power button although its agent responds.
        while !line.contains("\"SHUTDOWN\"") {
            lines.write_all(say("system_powerdown").as_bytes()).await?;
            let shut_down = async {
                while !line.contains("\"SHUTDOWN\"") {
                    line.clear();
                    lines.read_line(&mut line).await?;
                }
                Ok::<_, BenchError>(())
            };
            if let Ok(read) = tokio::time::timeout(BUTTON_TIME_MAX, shut_down).await {
                read?;
            }
        }
        lines.write_all(say("quit").as_bytes()).await?;
        while self.process.try_wait()?.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Pings the agent until it responds.
    async fn answers(&self) -> Result<(), BenchError> {
        loop {
            let ping = async {
                let mut lines = BufReader::new(self.connect("agent.sock").await?);
                lines.write_all(b"\xFF{\"execute\":\"guest-sync\",\"arguments\":{\"id\":7}}\n").await?;
                let mut line = String::new();
                while serde_json::from_str::<Value>(&line).ok().is_none_or(|answer| answer["return"] != 7) {
                    line.clear();
                    lines.read_line(&mut line).await?;
                }
                Ok::<_, BenchError>(())
            };
            if let Ok(answered) = tokio::time::timeout(PING_TIME_MAX, ping).await {
                return answered;
            }
        }
    }

    async fn connect(&self, socket: &str) -> Result<UnixStream, BenchError> {
        // Socket paths have a length limit, so the socket is opened through its folder.
        let folder = File::open(self.folder.join("run"))?;
        let path = format!("/proc/self/fd/{}/{socket}", std::os::fd::AsRawFd::as_raw_fd(&folder));
        let began = Instant::now();
        loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => return Ok(stream),
                Err(error) if began.elapsed() > Duration::from_secs(20) => return Err(error.into()),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Creates a new overlay disk on the image, in place of the present one.
fn lay_disk(folder: &Path) -> Result<(), BenchError> {
    let words = ["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "disk.new", "3G"];
    let made = Command::new("qemu-img").args(words).current_dir(folder.join("disk")).status()?;
    if !made.success() {
        return Err(format!("qemu-img ended with {made}").into());
    }
    let new = folder.join("disk/disk.new");
    File::open(&new)?.sync_all()?;
    Ok(fs::rename(new, folder.join("disk/disk.qcow2"))?)
}

fn start(folder: &Path, arguments: &[String]) -> Result<Child, BenchError> {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(arguments).current_dir(folder.join("run"));
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
}

/// Returns the running processes of a program by their command lines, whose arguments are separated
/// by NUL.
pub fn processes(program: &str) -> Result<HashMap<String, u32>, BenchError> {
    let mut found = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let command_line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command_line = String::from_utf8_lossy(&command_line).into_owned();
        if command_line.split('\0').next().is_some_and(|word| word.ends_with(program)) {
            found.insert(command_line, pid);
        }
    }
    Ok(found)
}
