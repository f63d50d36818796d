//! Warm images: they include a guest's memory beside its disk, so that a new machine resumes from
//! there without booting.
//!
//! All machines made from one share the content of its memory: the state of random number
//! generators, the boot id, the hostname and the clock of that moment. Warm images are meant only
//! for tests and demonstrations, where a machine then starts in a fraction of a second. A memory
//! matches its disk only once: it is discarded before the guest runs.

use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

use super::account::Account;
use super::layout::{INCOMING_SOCKET, MachineFolder, OUTGOING_SOCKET, RUN_FOLDER, sync_folder};
use super::qmp::Qmp;
use super::wire::WireError;
use crate::MachineSpec;

/// The file of the memory, in the folder of an image or of a disk that was never started.
pub const MEMORY_FILE: &str = "memory";

/// Timeout of writing or reading a memory.
const MOVE_TIME_MAX: Duration = Duration::from_secs(60);

const MOVE_POLL: Duration = Duration::from_millis(10);

/// The machine size that a memory requires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shape {
    vcpu_count: u32,
    ram_gib: u32,
    storage_gib: u32,
}

impl Shape {
    pub fn of(spec: &MachineSpec) -> Self {
        Self { vcpu_count: spec.vcpu_count, ram_gib: spec.ram_gib, storage_gib: spec.storage_gib }
    }
}

/// Deletes the memory in a folder, durably: from now on its disk may change.
pub fn discard(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(MEMORY_FILE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_folder(folder)),
    }
}

/// Sends a memory to a QEMU that waits for one. The guest is paused afterwards.
pub async fn load(folder: &MachineFolder, memory: &Path) -> Result<(), WireError> {
    let mut stream = folder.connect(INCOMING_SOCKET).await?;
    let mut memory = tokio::fs::File::open(memory).await?;
    tokio::io::copy(&mut memory, &mut stream).await?;
    stream.shutdown().await?;
    let mut qmp = Qmp::connect(folder).await?;
    let loaded = async {
        while qmp.status().await? == "inmigrate" {
            tokio::time::sleep(MOVE_POLL).await;
        }
        Ok(())
    };
    super::wire::within(MOVE_TIME_MAX, loaded).await
}

/// Pauses the guest and writes its memory to a file.
pub async fn save(folder: &MachineFolder, memory: &Path, account: Account) -> Result<(), WireError> {
    let run = folder.join(RUN_FOLDER);
    let listener = folder.listen(OUTGOING_SOCKET)?;
    account.grant_ownership(&run.join(OUTGOING_SOCKET))?;
    let mut qmp = Qmp::connect(folder).await?;
    qmp.execute("stop", json!({})).await?;
    qmp.execute("migrate", json!({ "uri": format!("unix:{OUTGOING_SOCKET}") })).await?;
    let written = async {
        let (mut stream, _) = listener.accept().await?;
        let mut file = tokio::fs::File::create(memory).await?;
        tokio::io::copy(&mut stream, &mut file).await?;
        Ok(file.sync_all().await?)
    };
    super::wire::within(MOVE_TIME_MAX, written).await?;
    let migration = qmp.execute("query-migrate", json!({})).await?;
    match migration["status"].as_str() {
        Some("completed") => Ok(()),
        _ => Err(WireError::UnexpectedResponse(migration.to_string())),
    }
}
