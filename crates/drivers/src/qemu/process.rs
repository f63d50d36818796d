//! The QEMU process of a machine: found again by the lock that it holds, started, ended.
//!
//! The lock is on a file that we open, lock and hand to the process as its standard input. It is
//! held from before the process begins until it is gone, however it goes and whoever else dies
//! meanwhile, so there are never two. Its number is only written down, and believed if the process
//! says the machine's name and works in its folder: another service on this host may run a machine
//! of the same name.

use cloudpc_model::CloudPcId;
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::account::Account;
use super::command;
use super::layout::{CONSOLE_LOG, LOCK_FILE, MachineFolder, PID_FILE, QEMU_LOG, RUN_FOLDER, make_private};
use super::network::{Network, TAP_FD};
use super::qmp::Qmp;

/// How long a process may take from its start to its greeting. One that ends instead is noticed at
/// once.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How often a starting process is looked at.
const START_POLL: Duration = Duration::from_millis(10);

/// How often a lock that is held is tried again. A process that was killed holds it until its
/// guest's memory is freed, which takes seconds on a busy host.
const LOCK_LOOKS_MAX: u32 = 500;

/// How much of what QEMU said goes into a message, bytes.
const SAID_BYTES_MAX: usize = 1000;

/// A running QEMU.
#[derive(Debug)]
pub struct Process {
    /// Holds on to this very process, whatever happens to its number.
    descriptor: OwnedFd,
    /// Its number.
    pub pid: i32,
    /// The number of the boot that it is.
    pub boot: u64,
}

impl Process {
    /// The process that runs a machine, if one does.
    pub fn find(folder: &MachineFolder, id: CloudPcId) -> io::Result<Option<Self>> {
        if !is_locked(folder)? {
            return Ok(None);
        }
        let noted = fs::read_to_string(folder.join(PID_FILE)).unwrap_or_default().parse().ok();
        // Whoever started it may have died before they could note its number.
        match noted.and_then(|pid| Self::with_number(pid, folder, id)).or_else(|| Self::search(folder, id)) {
            Some(process) => Ok(Some(process)),
            None if noted.is_some_and(is_ending) || !is_locked(folder)? => Ok(None),
            None => Err(io::Error::other(format!("the process of machine {id} is starting or ending"))),
        }
    }

    /// The process with this number, if it runs this machine.
    fn with_number(pid: i32, folder: &MachineFolder, id: CloudPcId) -> Option<Self> {
        let descriptor = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        // Read when we have hold of it, so that it is of this process and no later one.
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<_> = command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let boot = command::boot_of(id, &words)?;
        let at = |path: &Path| fs::metadata(path).ok().map(|folder| (folder.dev(), folder.ino()));
        let works_here = at(format!("/proc/{pid}/cwd").as_ref()) == at(&folder.join(RUN_FOLDER));
        works_here.then_some(Self { descriptor, pid, boot })
    }

    fn search(folder: &MachineFolder, id: CloudPcId) -> Option<Self> {
        let names = super::layout::names("/proc".as_ref()).ok()?;
        names.iter().filter_map(|name| name.parse().ok()).find_map(|pid| Self::with_number(pid, folder, id))
    }

    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { descriptor: self.descriptor.try_clone()?, ..*self })
    }

    /// Ends when the process has.
    pub async fn ended(&self) -> io::Result<()> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types that do not own their descriptor as this one does"
        )]
        let descriptor = AsyncFd::with_interest(self.descriptor.try_clone()?, Interest::READABLE)?;
        descriptor.readable().await.map(drop)
    }

    /// Ends it on the spot.
    pub fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.descriptor, Signal::KILL) {
            Err(error) if error == rustix::io::Errno::SRCH => Ok(()),
            killed => Ok(killed?),
        }
    }
}

/// Starts the process of a machine, behind the words that limit it, and waits until it can be
/// spoken to. Returns our child, whose end has to be collected.
pub async fn start(
    folder: &MachineFolder,
    limits: &[String],
    arguments: &[String],
    account: Account,
    network: &Network,
    id: CloudPcId,
) -> Result<Child, StartError> {
    let run = folder.join(RUN_FOLDER);
    make_private(&run)?;
    account.give(&run)?;
    account.let_in(folder.path())?;
    // The console of the last boot is of no more use, and may not be ours to write to.
    match fs::remove_file(run.join(CONSOLE_LOG)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let lock = take_lock(folder).await?;
    // The last process has let go of the tap device once the lock is ours.
    let network = network.clone();
    let tap = tokio::task::spawn_blocking(move || network.open(id)).await.map_err(io::Error::other)??;
    let descriptors = tap.map(|tap| FdMapping { parent_fd: tap, child_fd: TAP_FD });
    // In a session of its own it outlives us, whatever ends ours. None of these words forks: the
    // child becomes QEMU.
    let mut child = Command::new("setsid")
        .args(limits)
        .args(account.command())
        .arg(command::QEMU)
        .args(arguments)
        .current_dir(&run)
        .stdin(lock)
        .stdout(Stdio::null())
        .stderr(File::create(folder.join(QEMU_LOG))?)
        .fd_mappings(descriptors.into_iter().collect())
        .map_err(io::Error::other)?
        .spawn()?;
    fs::write(folder.join(PID_FILE), child.id().to_string())?;
    let greeted = async {
        while Qmp::connect(folder).await.is_err() {
            if child.try_wait()?.is_some() {
                return Err(StartError::EndRecord(said(folder)));
            }
            tokio::time::sleep(START_POLL).await;
        }
        Ok(())
    };
    match tokio::time::timeout(START_TIME_MAX, greeted).await {
        Ok(result) => result.map(|()| child),
        Err(_) => Err(StartError::Silent),
    }
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It could not be begun.
    #[error("QEMU cannot be started: {0}")]
    Io(#[from] io::Error),
    /// It ended at once.
    #[error("QEMU has ended at once: {0}")]
    EndRecord(String),
    /// It does not answer.
    #[error("QEMU does not answer after {} s", START_TIME_MAX.as_secs())]
    Silent,
}

/// The lock of a machine that does not run. Somebody may just be looking whether it is held.
async fn take_lock(folder: &MachineFolder) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(folder.join(LOCK_FILE))?;
    let mut looks = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if looks < LOCK_LOOKS_MAX => looks += 1,
            Err(TryLockError::WouldBlock) => return Err(io::Error::other("another process runs this machine")),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        tokio::time::sleep(START_POLL).await;
    }
}

fn is_locked(folder: &MachineFolder) -> io::Result<bool> {
    let file = match File::open(folder.join(LOCK_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a process has let go of its memory, and with it of its command line; its files follow in
/// a moment.
fn is_ending(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command_line| command_line.is_empty())
}

/// The end of what QEMU has said.
fn said(folder: &MachineFolder) -> String {
    let log = fs::read(folder.join(QEMU_LOG)).unwrap_or_default();
    let skipped = log.len().saturating_sub(SAID_BYTES_MAX);
    String::from_utf8_lossy(&log[skipped..]).trim().to_owned()
}
