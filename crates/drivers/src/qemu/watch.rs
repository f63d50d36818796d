//! Detects and records incidents of a running process and notifies watchers.
//!
//! Each process has one watch, from when it is first seen until it exits, on its own socket. A QEMU
//! event only triggers a check: on an event, and every few seconds, the watch queries the state, so
//! that events lost while nobody listened do no harm. A guest that has ended leaves its process
//! running, because only the process knows the reason; the watch records it and lets the process
//! exit.
//!
//! The watch changes nothing on a running machine, except that it resumes one that was paused for
//! lack of disk space. All other recovery is decided elsewhere.

use cloudpc_model::{CloudPcId, Timestamp};
use rustix::fs::{Mode, OFlags};
use serde_json::json;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::command::AGENT_CHARDEV;
use super::layout::{CONSOLE_LOG, ENDED_FILE, MachineFolder, RUN_FOLDER, WATCH_SOCKET, write_json};
use super::process::Process;
use super::qmp::Qmp;
use super::record::{EndReason, EndRecord};
use super::wire::{WireError, within};
use super::{QemuHost, Slot, lock};
use crate::MachineCondition;

/// Interval of checks without an event.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Timeout of the guest's response to one check. A late guest is asked again at the next one.
const RESPONSE_TIME_MAX: Duration = Duration::from_secs(4);

/// Size limit of a guest's console log, bytes; a larger log is truncated before it can fill the
/// host's disk.
pub const CONSOLE_BYTES_MAX: u64 = 1 << 20;

/// The watch of one machine.
#[derive(Default)]
pub struct Watch(Mutex<WatchState>);

#[derive(Default)]
struct WatchState {
    /// The process that is or was watched: a boot may take two.
    pid: Option<i32>,
    /// The latest condition of the running machine.
    condition: Option<MachineCondition>,
}

impl Watch {
    /// Returns the latest condition of the running machine.
    pub fn condition(&self) -> Option<MachineCondition> {
        lock(&self.0).condition
    }

    /// Records the condition of a process; returns whether it changed. The condition of an earlier
    /// process is ignored.
    fn update(&self, process: &Process, condition: Option<MachineCondition>) -> bool {
        let mut state = lock(&self.0);
        state.pid == Some(process.pid) && std::mem::replace(&mut state.condition, condition) != condition
    }
}

/// Starts a watch of a process, unless it is watched already.
pub fn begin(
    host: &Arc<QemuHost>,
    slot: &Arc<Slot>,
    folder: &MachineFolder,
    id: CloudPcId,
    process: &Process,
) -> io::Result<()> {
    let watcher = {
        let mut state = lock(&slot.watch.0);
        if state.pid == Some(process.pid) {
            return Ok(());
        }
        let process = process.try_clone()?;
        *state = WatchState { pid: Some(process.pid), condition: None };
        Watcher { host: Arc::clone(host), slot: Arc::clone(slot), folder: folder.clone(), id, process }
    };
    host.parts.runtime.spawn(watcher.watch());
    Ok(())
}

struct Watcher {
    host: Arc<QemuHost>,
    slot: Arc<Slot>,
    folder: MachineFolder,
    id: CloudPcId,
    process: Process,
}

impl Watcher {
    async fn watch(self) {
        tokio::select! {
            biased;
            _ = self.process.exited() => {}
            () = self.check_repeatedly() => {}
        }
        self.slot.reap_children();
        self.slot.watch.update(&self.process, None);
        self.host.changes.notify(self.id);
    }

    /// Checks periodically until the caller drops it, when the process has exited.
    async fn check_repeatedly(&self) {
        let mut responded_at = self.host.parts.clock.now();
        loop {
            if let Ok(mut qmp) = Qmp::connect_to(&self.folder, WATCH_SOCKET).await {
                while self.check(&mut qmp, &mut responded_at).await.is_ok() {
                    if let Ok(Err(_)) = tokio::time::timeout(CHECK_INTERVAL, qmp.event()).await {
                        break;
                    }
                }
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Checks once. `responded_at` is when the guest last responded.
    async fn check(&self, qmp: &mut Qmp, responded_at: &mut Timestamp) -> Result<(), WireError> {
        truncate_log(&self.folder.join(RUN_FOLDER).join(CONSOLE_LOG))?;
        let condition = match qmp.status().await?.as_str() {
            "shutdown" => return self.record_end(qmp, EndReason::ShutDown).await,
            "guest-panicked" => return self.record_end(qmp, EndReason::Panicked).await,
            "internal-error" => return Ok(self.process.kill()?),
            "io-error" => {
                // Only if no verb is in progress.
                if let Ok(_turn) = self.slot.lock.try_lock()
                    && self.host.parts.capacity.admit_disk(self.folder.path()).is_ok()
                {
                    qmp.execute("cont", json!({})).await?;
                }
                Some(MachineCondition::HostDiskFull)
            }
            "running" if !self.guest_responds(qmp).await? => {
                let silent = self.host.parts.clock.now().since(*responded_at) >= self.host.parts.guest_silence_max;
                silent.then_some(MachineCondition::GuestSilent)
            }
            _ => {
                *responded_at = self.host.parts.clock.now();
                None
            }
        };
        if self.slot.watch.update(&self.process, condition) {
            self.host.changes.notify(self.id);
        }
        Ok(())
    }

    /// Returns whether the guest's agent responds. A port that is not open is not used: other
    /// callers may be waiting for it.
    async fn guest_responds(&self, qmp: &mut Qmp) -> Result<bool, WireError> {
        let chardevs = qmp.execute("query-chardev", json!({})).await?;
        let is_open =
            |chardev: &serde_json::Value| chardev["label"] == AGENT_CHARDEV && chardev["frontend-open"] == true;
        if !chardevs.as_array().is_some_and(|all| all.iter().any(is_open)) {
            return Ok(false);
        }
        let response = within(RESPONSE_TIME_MAX, self.slot.channel.execute("guest-ping", json!({}))).await;
        Ok(matches!(response, Ok(_) | Err(WireError::Refused { .. })))
    }

    /// Records how the guest exited, and lets its process exit.
    async fn record_end(&self, qmp: &mut Qmp, how: EndReason) -> Result<(), WireError> {
        let (file, exited) = (self.folder.join(ENDED_FILE), EndRecord { boot: self.process.boot, how });
        let written = tokio::task::spawn_blocking(move || write_json(&file, &exited)).await;
        written.map_err(|_| WireError::Closed)??;
        qmp.execute("quit", json!({})).await.map(drop)
    }
}

/// Truncates a console log that is too long. The log is in QEMU's own folder, so links are not
/// followed.
fn truncate_log(log: &Path) -> io::Result<()> {
    match fs::symlink_metadata(log) {
        Ok(info) if info.is_file() && info.len() > CONSOLE_BYTES_MAX => {
            let opened = rustix::fs::open(log, OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            File::from(opened).set_len(0)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversized_console_log_is_truncated_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (log, other) = (folder.path().join("log"), folder.path().join("other"));
        truncate_log(&log).unwrap();
        for (length, remaining) in [(CONSOLE_BYTES_MAX, CONSOLE_BYTES_MAX), (CONSOLE_BYTES_MAX + 1, 0)] {
            File::create(&log).unwrap().set_len(length).unwrap();
            truncate_log(&log).unwrap();
            assert_eq!(fs::metadata(&log).unwrap().len(), remaining);
        }
        File::create(&other).unwrap().set_len(CONSOLE_BYTES_MAX + 1).unwrap();
        fs::remove_file(&log).unwrap();
        std::os::unix::fs::symlink(&other, &log).unwrap();
        truncate_log(&log).unwrap();
        assert_eq!(fs::metadata(&other).unwrap().len(), CONSOLE_BYTES_MAX + 1);
    }
}
