//! The guest of a simulated machine: it boots, enrols, downloads, runs installers and stores files,
//! all on the machine's current disk.

use async_trait::async_trait;
use cloudpc_model::{CloudPcId, Power, Timestamp, UserAccountType};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use url::Url;

use super::disk::{Disk, Download};
use super::machine::{GuestTask, GuestTaskKind, Machine};
use super::world::World;
use super::{Artifact, Inner};
use crate::{FetchPolicy, Fetcher, FileFormat, Guest, GuestError, GuestOs, ProgramExit, Sha256Digest, Tag};

/// Exit code of a file that is not a program, as Windows reports it.
const BAD_FORMAT_EXIT_CODE: i32 = 193;

/// Largest small file, bytes.
const FILE_BYTES_MAX: usize = 64 << 10;

pub struct SimGuest {
    inner: Arc<Inner>,
    id: CloudPcId,
}

/// The outcome of one attempt.
enum NextAction<T> {
    Return(T),
    Wait(Wait),
}

/// The event to wait for before the next attempt.
enum Wait {
    Until(Timestamp),
    /// An event without a scheduled time.
    Wakeup,
    Forever,
}

#[async_trait]
impl Guest for SimGuest {
    fn os(&self) -> GuestOs {
        GuestOs::Windows
    }

    async fn wait_ready(&self) -> Result<(), GuestError> {
        self.repeat(|world, now| {
            let machine = world.refresh(self.id, now)?;
            Ok(match machine.power {
                _ if machine.scripted_condition.guest_hangs => NextAction::Wait(Wait::Forever),
                _ if machine.answering(now).is_some() => NextAction::Return(()),
                Power::Running if machine.ready_at > now => NextAction::Wait(Wait::Until(machine.ready_at)),
                // The machine is stopping, or stopped until somebody starts it.
                _ => NextAction::Wait(machine.work_ends_at().map_or(Wait::Wakeup, Wait::Until)),
            })
        })
        .await
    }

    async fn enrol(&self, hostname: &str) -> Result<(), GuestError> {
        let is_it = |task: &GuestTaskKind| matches!(task, GuestTaskKind::Enrol { hostname: under_way } if under_way == hostname);
        self.repeat(|world, now| {
            let (machine, disk) = self.answering(world, now)?;
            if disk.enrolled_as.as_deref() == Some(hostname) {
                return Ok(NextAction::Return(()));
            }
            if let Some(task) = machine.task(is_it) {
                return Ok(NextAction::Wait(Wait::of(task)));
            }
            if machine.scripted_condition.no_network {
                return Err(GuestError::Unreachable("device management cannot be reached: no network".into()));
            }
            let mean_ms = world.pace.enrol_ms;
            let task = GuestTaskKind::Enrol { hostname: hostname.to_owned() };
            self.begin(world, now, task, Some(mean_ms)).map(NextAction::Wait)
        })
        .await
    }

    async fn set_account_type(&self, user_principal_name: &str, account: UserAccountType) -> Result<(), GuestError> {
        self.change(|disk| {
            match account {
                UserAccountType::Administrator => disk.administrators.insert(user_principal_name.to_owned()),
                UserAccountType::StandardUser => disk.administrators.remove(user_principal_name),
            };
        })
    }

    async fn free_disk_bytes(&self) -> Result<u64, GuestError> {
        self.inspect(|machine, disk| Ok(machine.free_disk_bytes(disk)))
    }

    async fn reach(&self, url: &Url, policy: &FetchPolicy) -> Result<(), GuestError> {
        self.inspect(|machine, _| require_network(machine, url))?;
        Fetcher::check(url, policy).map_err(GuestError::Unreachable)?;
        if self.inner.lock().declares_host(url) {
            return Ok(());
        }
        self.inner.parts.fetcher.reach(url, policy).await
    }

    async fn fetch(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError> {
        Fetcher::check(url, policy).map_err(GuestError::FileNotFound)?;
        let declared = self.inner.lock().artifact(url.as_str());
        match declared {
            Some(artifact) => self.fetch_declared(tag, url, policy, &artifact).await,
            None => self.fetch_undeclared(tag, url, policy).await,
        }
    }

    async fn format(&self, tag: &Tag) -> Result<FileFormat, GuestError> {
        self.inspect(|_, disk| downloaded(disk, tag).map(|download| download.format))
    }

    async fn sha256(&self, tag: &Tag) -> Result<Sha256Digest, GuestError> {
        self.inspect(|_, disk| downloaded(disk, tag).map(|download| download.sha256))
    }

    async fn run(&self, tag: &Tag, _arguments: &[String]) -> Result<ProgramExit, GuestError> {
        let is_it = |task: &GuestTaskKind| matches!(task, GuestTaskKind::Run { tag: of, .. } if of == tag);
        let mut started = false;
        self.repeat(|world, now| {
            let (machine, disk) = self.answering(world, now)?;
            let download = downloaded(disk, tag)?;
            if let Some(code) = download.exit_code {
                return Ok(NextAction::Return(ProgramExit { code, output: output_of(code) }));
            }
            if let Some(task) = machine.task(is_it) {
                return Ok(NextAction::Wait(Wait::of(task)));
            }
            if started {
                return Err(GuestError::NotReady("the machine was restarted while the program was running".into()));
            }
            started = true;
            let (download, scripted_condition) = (download.clone(), machine.scripted_condition.clone());
            let artifact = world.artifact(&download.url);
            let declared = artifact.as_ref().map_or(0, |artifact| artifact.exit_code);
            let exit_code = match download.format {
                FileFormat::Unknown => BAD_FORMAT_EXIT_CODE,
                _ => scripted_condition.install_exit_code.unwrap_or(declared),
            };
            let mean_ms = artifact.and_then(|artifact| artifact.install_ms).unwrap_or(world.pace.install_ms);
            let task = GuestTaskKind::Run { tag: tag.clone(), exit_code };
            self.begin(world, now, task, (!scripted_condition.install_hangs).then_some(mean_ms)).map(NextAction::Wait)
        })
        .await
    }

    /// Ignores the command: detects the agent that was installed last, unless its artifact declares
    /// another exit code.
    async fn detect(&self, _command: &str) -> Result<ProgramExit, GuestError> {
        let installed = self.inspect(|_, disk| Ok(disk.agents.last().cloned()))?;
        let declared =
            |agent: &str| self.inner.lock().artifact_of(agent).map_or(0, |artifact| artifact.detection_exit_code);
        match installed.as_deref().map_or(1, declared) {
            0 => Ok(ProgramExit { code: 0, output: "Found.".into() }),
            code => Ok(ProgramExit { code, output: "Not found.".into() }),
        }
    }

    async fn kill(&self, tag: &Tag) -> Result<(), GuestError> {
        let now = self.inner.parts.clock.now();
        {
            let mut world = self.inner.lock();
            world.refresh(self.id, now)?;
            // A stopped or booting machine runs no program.
            world.change(self.id, |machine| machine.kill(tag))?;
        }
        self.inner.wakeups.notify_waiters();
        Ok(())
    }

    async fn clean(&self, tag: &Tag) -> Result<(), GuestError> {
        self.change(|disk| disk.drop_download(tag))
    }

    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), GuestError> {
        if content.len() > FILE_BYTES_MAX {
            return Err(GuestError::DiskFull(format!(
                "{path} has {} bytes; the limit is {FILE_BYTES_MAX}",
                content.len()
            )));
        }
        self.change(|disk| disk.put_file(path, content))
    }

    async fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>, GuestError> {
        self.inspect(|_, disk| Ok(disk.file(path).map(<[u8]>::to_vec)))
    }
}

impl SimGuest {
    pub fn new(inner: Arc<Inner>, id: CloudPcId) -> Self {
        Self { inner, id }
    }

    /// Repeats attempts, waiting between them without holding the lock, until one returns a value.
    async fn repeat<T>(
        &self,
        mut step: impl FnMut(&mut World, Timestamp) -> Result<NextAction<T>, GuestError>,
    ) -> Result<T, GuestError> {
        loop {
            // Registers for wakeups before the attempt, so that none in between is missed.
            let mut wakeups = pin!(self.inner.wakeups.notified());
            wakeups.as_mut().enable();
            let now = self.inner.parts.clock.now();
            let next = step(&mut self.inner.lock(), now)?;
            match next {
                NextAction::Return(value) => return Ok(value),
                NextAction::Wait(Wait::Until(at)) => self.inner.parts.clock.sleep_until(at).await,
                NextAction::Wait(Wait::Wakeup) => wakeups.await,
                NextAction::Wait(Wait::Forever) => pending().await,
            }
        }
    }

    /// Returns the machine and its disk, if its guest responds.
    fn answering<'w>(&self, world: &'w mut World, now: Timestamp) -> Result<(&'w Machine, &'w Disk), GuestError> {
        let machine = world.refresh(self.id, now)?;
        let disk = machine.answering(now).ok_or_else(|| GuestError::NotReady(format!("machine {}", self.id)))?;
        Ok((machine, disk))
    }

    /// Reads the state of a guest that responds.
    fn inspect<T>(&self, inspect: impl FnOnce(&Machine, &Disk) -> Result<T, GuestError>) -> Result<T, GuestError> {
        let now = self.inner.parts.clock.now();
        let mut world = self.inner.lock();
        let (machine, disk) = self.answering(&mut world, now)?;
        inspect(machine, disk)
    }

    /// Changes the disk of a guest that responds, at once.
    fn change(&self, change: impl FnOnce(&mut Disk)) -> Result<(), GuestError> {
        let now = self.inner.parts.clock.now();
        let mut world = self.inner.lock();
        self.answering(&mut world, now)?;
        world.change(self.id, |machine| machine.disk.as_mut().map(change))?;
        Ok(())
    }

    /// Starts a task in the guest.
    fn begin(
        &self,
        world: &mut World,
        now: Timestamp,
        what: GuestTaskKind,
        mean_ms: Option<u64>,
    ) -> Result<Wait, GuestError> {
        let task = GuestTask { what, ends_at: mean_ms.map(|mean_ms| now + self.inner.spread(now, mean_ms)) };
        let wait = Wait::of(&task);
        world.change(self.id, |machine| machine.guest_tasks.push(task))?;
        Ok(wait)
    }

    async fn fetch_declared(
        &self,
        tag: &Tag,
        url: &Url,
        policy: &FetchPolicy,
        artifact: &Artifact,
    ) -> Result<u64, GuestError> {
        let is_it = |task: &GuestTaskKind| matches!(task, GuestTaskKind::Fetch(download) if is_of(download, tag, url));
        self.repeat(|world, now| {
            let (machine, disk) = self.answering(world, now)?;
            if let Some(download) = disk.download(tag).filter(|download| is_of(download, tag, url)) {
                return Ok(NextAction::Return(download.size_bytes));
            }
            if let Some(task) = machine.task(is_it) {
                return Ok(NextAction::Wait(Wait::of(task)));
            }
            require_network(machine, url)?;
            if artifact.size_bytes > policy.size_bytes_max {
                return Err(GuestError::FileNotFound(format!(
                    "{url} has {} bytes; the limit is {}",
                    artifact.size_bytes, policy.size_bytes_max
                )));
            }
            require_space(machine, disk, artifact.size_bytes)?;
            let mut sha256 = Sha256Digest::default();
            // A scenario may declare an invalid checksum, which no file matches.
            let _ = hex::decode_to_slice(&artifact.sha256, &mut sha256);
            let download = Download {
                tag: tag.clone(),
                url: url.to_string(),
                size_bytes: artifact.size_bytes,
                sha256,
                format: declared_format(&artifact.format),
                exit_code: None,
            };
            let mean_ms = world.pace.fetch_ms;
            self.begin(world, now, GuestTaskKind::Fetch(download), Some(mean_ms)).map(NextAction::Wait)
        })
        .await
    }

    /// Downloads a URL that no scenario declares. An interrupted download starts over: nothing of
    /// it was kept.
    async fn fetch_undeclared(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError> {
        let (present, boots) = self.inspect(|machine, disk| {
            let present = disk.download(tag).filter(|download| is_of(download, tag, url));
            if present.is_none() {
                require_network(machine, url)?;
            }
            Ok((present.map(|download| download.size_bytes), machine.boots))
        })?;
        if let Some(size_bytes) = present {
            return Ok(size_bytes);
        }
        let fetched = self.inner.parts.fetcher.fetch(url, policy).await?;
        let download = Download {
            tag: tag.clone(),
            url: url.to_string(),
            size_bytes: fetched.size_bytes,
            sha256: fetched.sha256,
            format: FileFormat::of(&fetched.head),
            exit_code: None,
        };
        let now = self.inner.parts.clock.now();
        let mut world = self.inner.lock();
        let (machine, disk) = self.answering(&mut world, now)?;
        if machine.boots != boots {
            return Err(GuestError::NotReady("the machine was restarted during the download".into()));
        }
        require_space(machine, disk, fetched.size_bytes)?;
        world.change(self.id, |machine| machine.disk.as_mut().map(|disk| disk.put_download(download)))?;
        Ok(fetched.size_bytes)
    }
}

impl Wait {
    fn of(task: &GuestTask) -> Self {
        task.ends_at.map_or(Self::Wakeup, Self::Until)
    }
}

/// Returns the output of an installer.
fn output_of(exit_code: i32) -> String {
    match exit_code {
        0 => "Installed.".into(),
        _ => format!("Installation failed: error {exit_code}."),
    }
}

fn is_of(download: &Download, tag: &Tag, url: &Url) -> bool {
    download.tag == *tag && download.url == url.as_str()
}

fn downloaded<'d>(disk: &'d Disk, tag: &Tag) -> Result<&'d Download, GuestError> {
    disk.download(tag).ok_or_else(|| GuestError::FileNotFound(format!("no file was downloaded for {tag}")))
}

fn require_network(machine: &Machine, url: &Url) -> Result<(), GuestError> {
    match machine.scripted_condition.no_network {
        true => Err(GuestError::Unreachable(format!("{} cannot be reached: no network", url.host_str().unwrap_or("")))),
        false => Ok(()),
    }
}

fn require_space(machine: &Machine, disk: &Disk, size_bytes: u64) -> Result<(), GuestError> {
    let free = machine.free_disk_bytes(disk);
    if size_bytes > free {
        return Err(GuestError::DiskFull(format!(
            "the file has {size_bytes} bytes; only {free} bytes of the disk are free"
        )));
    }
    Ok(())
}

fn declared_format(name: &str) -> FileFormat {
    match name {
        "exe" => FileFormat::Exe,
        "msi" => FileFormat::Msi,
        "deb" => FileFormat::Deb,
        "script" => FileFormat::Script,
        "elf" => FileFormat::Elf,
        _ => FileFormat::Unknown,
    }
}

#[cfg(test)]
mod tests;
