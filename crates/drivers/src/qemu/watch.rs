//! What becomes of a process without being asked for: noticed, written down, told.
//!
//! Each process has one watch, from when it is first seen until its end, on a socket of its own. An
//! event of QEMU is only a bell: when it rings, and every few seconds, the watch asks how things
//! stand, so that what came while nobody listened is not missed. A guest that has ended leaves its
//! process standing, for nobody else knows why it ended; the watch writes that down and lets the
//! process go.
//!
//! The watch does nothing to a machine that runs but to let one go on that stood still for want of
//! room. What else is to be done about trouble is decided elsewhere.

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

/// How often it is asked how things stand when no bell rings.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a guest may take to answer one look. One that is late is asked again at the next.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(4);

/// What a guest may have written to its console, bytes; then that is cut, or it could fill the
/// host's disk.
pub const CONSOLE_BYTES_MAX: u64 = 1 << 20;

/// The watch of one machine.
#[derive(Default)]
pub struct Watch(Mutex<WatchState>);

#[derive(Default)]
struct WatchState {
    /// Which process is watched, or was: a boot may take two.
    pid: Option<i32>,
    /// What is wrong with a machine that runs, as last seen.
    condition: Option<MachineCondition>,
}

impl Watch {
    /// What is wrong with a machine that runs, as last seen.
    pub fn condition(&self) -> Option<MachineCondition> {
        lock(&self.0).condition
    }

    /// Whether what was seen of a process is news. What is seen of an earlier one is not.
    fn see(&self, process: &Process, condition: Option<MachineCondition>) -> bool {
        let mut seen = lock(&self.0);
        seen.pid == Some(process.pid) && std::mem::replace(&mut seen.condition, condition) != condition
    }
}

/// Has a process watched, unless it is.
pub fn begin(
    host: &Arc<QemuHost>,
    slot: &Arc<Slot>,
    folder: &MachineFolder,
    id: CloudPcId,
    process: &Process,
) -> io::Result<()> {
    let watcher = {
        let mut seen = lock(&slot.watch.0);
        if seen.pid == Some(process.pid) {
            return Ok(());
        }
        let process = process.try_clone()?;
        *seen = WatchState { pid: Some(process.pid), condition: None };
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
            _ = self.process.ended() => {}
            () = self.attend() => {}
        }
        self.slot.collect_children();
        self.slot.watch.see(&self.process, None);
        self.host.changes.tell(self.id);
    }

    /// Looks until the process has ended, which whoever calls this waits for.
    async fn attend(&self) {
        let mut heard_at = self.host.parts.clock.now();
        loop {
            if let Ok(mut qmp) = Qmp::connect_to(&self.folder, WATCH_SOCKET).await {
                while self.look(&mut qmp, &mut heard_at).await.is_ok() {
                    if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, qmp.event()).await {
                        break;
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks once. `heard_at` is when the guest was last heard of.
    async fn look(&self, qmp: &mut Qmp, heard_at: &mut Timestamp) -> Result<(), WireError> {
        cut(&self.folder.join(RUN_FOLDER).join(CONSOLE_LOG))?;
        let condition = match qmp.status().await?.as_str() {
            "shutdown" => return self.let_go(qmp, EndReason::ShutDown).await,
            "guest-panicked" => return self.let_go(qmp, EndReason::Panicked).await,
            "internal-error" => return Ok(self.process.kill()?),
            "io-error" => {
                // Not in the middle of what somebody else does.
                if let Ok(_turn) = self.slot.lock.try_lock()
                    && self.host.parts.capacity.admit_disk(self.folder.path()).is_ok()
                {
                    qmp.execute("cont", json!({})).await?;
                }
                Some(MachineCondition::HostDiskFull)
            }
            "running" if !self.hears_guest(qmp).await? => {
                let silent = self.host.parts.clock.now().since(*heard_at) >= self.host.parts.guest_silence_max;
                silent.then_some(MachineCondition::GuestSilent)
            }
            _ => {
                *heard_at = self.host.parts.clock.now();
                None
            }
        };
        if self.slot.watch.see(&self.process, condition) {
            self.host.changes.tell(self.id);
        }
        Ok(())
    }

    /// Whether the guest's agent answers. One that is not there is not asked: others may be waiting
    /// for it to come.
    async fn hears_guest(&self, qmp: &mut Qmp) -> Result<bool, WireError> {
        let chardevs = qmp.execute("query-chardev", json!({})).await?;
        let is_there =
            |chardev: &serde_json::Value| chardev["label"] == AGENT_CHARDEV && chardev["frontend-open"] == true;
        if !chardevs.as_array().is_some_and(|all| all.iter().any(is_there)) {
            return Ok(false);
        }
        let answer = within(ANSWER_TIME_MAX, self.slot.channel.execute("guest-ping", json!({}))).await;
        Ok(matches!(answer, Ok(_) | Err(WireError::Refused { .. })))
    }

    /// Writes down how the guest has ended, and lets its process end.
    async fn let_go(&self, qmp: &mut Qmp, how: EndReason) -> Result<(), WireError> {
        let (file, ended) = (self.folder.join(ENDED_FILE), EndRecord { boot: self.process.boot, how });
        let written = tokio::task::spawn_blocking(move || write_json(&file, &ended)).await;
        written.map_err(|_| WireError::Closed)??;
        qmp.execute("quit", json!({})).await.map(drop)
    }
}

/// Empties a console's log that has become too long. It lies in QEMU's own folder, so that no link
/// there is followed.
fn cut(log: &Path) -> io::Result<()> {
    match fs::symlink_metadata(log) {
        Ok(about) if about.is_file() && about.len() > CONSOLE_BYTES_MAX => {
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
    fn a_console_that_is_too_long_is_cut_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (log, other) = (folder.path().join("log"), folder.path().join("other"));
        cut(&log).unwrap();
        for (length, left) in [(CONSOLE_BYTES_MAX, CONSOLE_BYTES_MAX), (CONSOLE_BYTES_MAX + 1, 0)] {
            File::create(&log).unwrap().set_len(length).unwrap();
            cut(&log).unwrap();
            assert_eq!(fs::metadata(&log).unwrap().len(), left);
        }
        File::create(&other).unwrap().set_len(CONSOLE_BYTES_MAX + 1).unwrap();
        fs::remove_file(&log).unwrap();
        std::os::unix::fs::symlink(&other, &log).unwrap();
        cut(&log).unwrap();
        assert_eq!(fs::metadata(&other).unwrap().len(), CONSOLE_BYTES_MAX + 1);
    }
}
