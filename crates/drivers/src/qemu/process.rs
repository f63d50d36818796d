//! The QEMU process of a machine: found again by its lock, started, stopped.
//!
//! The lock is on a file that the service opens, locks and passes to the process as its standard
//! input. It is held from before the process starts until it has exited, for whatever reason and
//! even if the service crashes, so there are never two. The process id is only recorded, and
//! trusted if the process has the machine's name and its working directory: another service on this
//! host may run a machine of the same name.

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
use super::layout::{CONSOLE_LOG, LOCK_FILE, MachineFolder, PID_FILE, QEMU_LOG, RUN_FOLDER, create_owner_only};
use super::network::{Network, TAP_FD};
use super::qmp::Qmp;

/// Timeout from the start of a process to its QMP greeting. A process that exits is detected at
/// once.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// Interval at which a starting process is polled.
const START_POLL: Duration = Duration::from_millis(10);

/// Number of attempts to take a lock that is held. A killed process holds it until its guest's
/// memory is freed, which takes seconds on a busy host.
const LOCK_ATTEMPTS_MAX: u32 = 500;

/// Bytes of QEMU's log in an error message.
const LOG_TAIL_BYTES_MAX: usize = 1000;

/// A running QEMU process.
#[derive(Debug)]
pub struct Process {
    /// Refers to this very process, even if its id is reused.
    descriptor: OwnedFd,
    /// The process id.
    pub pid: i32,
    /// The number of the boot.
    pub boot: u64,
}

impl Process {
    /// Finds the process that runs a machine, if there is one.
    pub fn find(folder: &MachineFolder, id: CloudPcId) -> io::Result<Option<Self>> {
        if !is_locked(folder)? {
            return Ok(None);
        }
        let recorded = fs::read_to_string(folder.join(PID_FILE)).unwrap_or_default().parse().ok();
        // The service that started the process may have crashed before it recorded the id.
        match recorded.and_then(|pid| Self::with_pid(pid, folder, id)).or_else(|| Self::search(folder, id)) {
            Some(process) => Ok(Some(process)),
            None if recorded.is_some_and(is_exiting) || !is_locked(folder)? => Ok(None),
            None => Err(io::Error::other(format!("the process of machine {id} is starting or exiting; retry"))),
        }
    }

    /// Returns the process with this id, if it runs this machine.
    fn with_pid(pid: i32, folder: &MachineFolder, id: CloudPcId) -> Option<Self> {
        let descriptor = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        // Read after the descriptor was opened, so that it belongs to this process and not to a
        // later one.
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments: Vec<_> = command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let boot = command::boot_of(id, &arguments)?;
        let at = |path: &Path| fs::metadata(path).ok().map(|folder| (folder.dev(), folder.ino()));
        let works_here = at(format!("/proc/{pid}/cwd").as_ref()) == at(&folder.join(RUN_FOLDER));
        works_here.then_some(Self { descriptor, pid, boot })
    }

    fn search(folder: &MachineFolder, id: CloudPcId) -> Option<Self> {
        let names = super::layout::names("/proc".as_ref()).ok()?;
        names.iter().filter_map(|name| name.parse().ok()).find_map(|pid| Self::with_pid(pid, folder, id))
    }

    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { descriptor: self.descriptor.try_clone()?, ..*self })
    }

    /// Waits until the process has exited.
    pub async fn exited(&self) -> io::Result<()> {
        #[expect(
            deprecated,
            reason = "its replacement is unsafe, for types that do not own their descriptor; this one does"
        )]
        let descriptor = AsyncFd::with_interest(self.descriptor.try_clone()?, Interest::READABLE)?;
        descriptor.readable().await.map(drop)
    }

    /// Kills the process.
    pub fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.descriptor, Signal::KILL) {
            Err(error) if error == rustix::io::Errno::SRCH => Ok(()),
            killed => Ok(killed?),
        }
    }
}

/// Starts the process of a machine, behind the command prefix that limits it, and waits until it
/// accepts QMP connections. Returns the child process, to be reaped by the caller.
pub async fn start(
    folder: &MachineFolder,
    limits: &[String],
    arguments: &[String],
    account: Account,
    network: &Network,
    id: CloudPcId,
) -> Result<Child, StartError> {
    let run = folder.join(RUN_FOLDER);
    create_owner_only(&run)?;
    account.grant_ownership(&run)?;
    account.grant_traverse(folder.path())?;
    // The console log of the last boot is obsolete, and may belong to another account.
    match fs::remove_file(run.join(CONSOLE_LOG)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let lock = take_lock(folder).await?;
    // The last process has released the tap device once the lock is taken.
    let network = network.clone();
    let tap = tokio::task::spawn_blocking(move || network.open(id)).await.map_err(io::Error::other)??;
    let descriptors = tap.map(|tap| FdMapping { parent_fd: tap, child_fd: TAP_FD });
    // In its own session the process outlives the service, whatever ends that. None of these
    // commands forks: the child becomes QEMU.
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
    let greeting = async {
        while Qmp::connect(folder).await.is_err() {
            if child.try_wait()?.is_some() {
                return Err(StartError::Exited(log_tail(folder)));
            }
            tokio::time::sleep(START_POLL).await;
        }
        Ok(())
    };
    match tokio::time::timeout(START_TIME_MAX, greeting).await {
        Ok(result) => result.map(|()| child),
        Err(_) => Err(StartError::TimedOut),
    }
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process could not be started.
    #[error("starting QEMU failed: {0}")]
    Io(#[from] io::Error),
    /// The process exited at once.
    #[error("QEMU exited at once: {0}")]
    Exited(String),
    /// The process does not respond.
    #[error("QEMU did not respond within {} s", START_TIME_MAX.as_secs())]
    TimedOut,
}

/// Takes the lock of a machine that does not run. Another caller may hold it briefly for a check.
async fn take_lock(folder: &MachineFolder) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(folder.join(LOCK_FILE))?;
    let mut attempts = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if attempts < LOCK_ATTEMPTS_MAX => attempts += 1,
            Err(TryLockError::WouldBlock) => return Err(io::Error::other("another process is running this machine")),
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

/// Returns whether a process has released its memory, and with it its command line; its files
/// follow shortly.
fn is_exiting(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command_line| command_line.is_empty())
}

/// Returns the end of QEMU's log.
fn log_tail(folder: &MachineFolder) -> String {
    let log = fs::read(folder.join(QEMU_LOG)).unwrap_or_default();
    let skipped = log.len().saturating_sub(LOG_TAIL_BYTES_MAX);
    String::from_utf8_lossy(&log[skipped..]).trim().to_owned()
}
