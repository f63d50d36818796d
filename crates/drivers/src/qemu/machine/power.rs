//! Power: starts and stops the process of a machine.

use cloudpc_model::ImageId;
use serde_json::json;
use std::time::Duration;

use super::super::accelerator::Accelerator;
use super::super::command;
use super::super::disk;
use super::super::image::ImageInfo;
use super::super::process::{self, Process};
use super::super::qmp::Qmp;
use super::super::record::DiskRecord;
use super::super::warm::{self, MEMORY_FILE, Shape};
use super::{Machine, VerbResult, blocking, host_error, qemu_error};
use crate::{DriverError, StopMode, Tag};

/// Interval at which a shutdown request is repeated: a guest that is still booting does not receive
/// it.
const SHUTDOWN_RETRY_INTERVAL: Duration = Duration::from_secs(4);

/// Time for QEMU to exit after a quit command; then its process is killed.
const QUIT_TIME_MAX: Duration = Duration::from_secs(5);

/// Time for a process that does not respond to exit, in case that is the reason.
const EXIT_TIME_MAX: Duration = Duration::from_secs(5);

/// Time for a killed process to exit.
const KILL_TIME_MAX: Duration = Duration::from_secs(10);

/// Whether the guest of a machine with a process can run.
enum GuestPower {
    CanRun,
    /// The process waits for a memory that nobody will send, or its guest has ended.
    CannotRun,
}

impl Machine {
    pub async fn ensure_running(mut self) -> VerbResult {
        let Some(process) = &self.process else { return self.start().await };
        let resumed = self.resume().await;
        if let Ok(GuestPower::CannotRun) = resumed {
            self.stop(StopMode::Force).await?;
            return self.start().await;
        }
        // The process may have been about to exit when the machine was loaded.
        if resumed.is_err() && tokio::time::timeout(EXIT_TIME_MAX, process.exited()).await.is_ok() {
            self.process = None;
            return self.start().await;
        }
        resumed?;
        self.count_boot();
        self.save_boots()
    }

    pub async fn ensure_stopped(mut self, how: StopMode) -> VerbResult {
        self.stop(how).await
    }

    pub async fn ensure_restarted(mut self, tag: Tag) -> VerbResult {
        match self.record.restart(&tag) {
            Some(restart) if self.record.boots >= restart.boots => return Ok(()),
            Some(_) => {}
            None if !self.is_running() => {
                return Err(DriverError::Conflict(format!(
                    "{} is off and cannot be restarted; start it instead",
                    self.name()
                )));
            }
            None => {
                // Without disk space the machine would be stopped and could not start again.
                self.host.parts.capacity.admit_disk(self.folder.path())?;
                self.record.begin_restart(&tag);
                self.save()?;
            }
        }
        self.stop(StopMode::Graceful).await?;
        self.start().await
    }

    /// Makes a warm image of the machine: its memory and disk at one point in time. Stops the
    /// machine.
    pub async fn become_image(mut self, id: ImageId) -> VerbResult {
        let Some(record) = self.disk()? else {
            return Err(DriverError::Conflict(format!("{} has no disk", self.name())));
        };
        let memory = self.folder.join(MEMORY_FILE);
        warm::save(&self.folder, &memory, self.host.account).await.map_err(qemu_error)?;
        self.stop(StopMode::Force).await?;
        let (images, current_disk, shape) =
            (self.host.parts.images.clone(), self.current_disk(), Shape::of(&self.record.spec));
        blocking(move || {
            images.register(&id, |draft| {
                disk::flatten(&current_disk, draft)?;
                std::fs::rename(&memory, draft.join(MEMORY_FILE))?;
                Ok(ImageInfo { warm: Some(shape), ..record.info })
            })
        })
        .await
    }

    async fn start(&mut self) -> VerbResult {
        let Some(disk) = self.disk()? else {
            return Err(DriverError::Conflict(format!("{} has no disk to boot from", self.name())));
        };
        self.host.parts.capacity.admit_disk(self.folder.path())?;
        let _admission = self.host.admit(&self.record.spec).await?;
        let (current_disk, size_gib) = (self.current_disk(), self.record.spec.storage_gib);
        blocking(move || disk::grow(&current_disk, size_gib)).await?;
        let accelerator = self.host.accelerator().await;
        let fits = accelerator == Accelerator::Tcg && disk.info.warm == Some(Shape::of(&self.record.spec));
        if fits && self.current_disk().join(MEMORY_FILE).exists() {
            self.start_process(&disk, accelerator, true).await?;
            match warm::load(&self.folder, &self.current_disk().join(MEMORY_FILE)).await {
                Ok(()) => {
                    self.resume().await?;
                    self.count_boot();
                    return self.save();
                }
                Err(error) => {
                    tracing::warn!(%error, "loading the image's memory into {} failed; booting instead", self.name())
                }
            }
            self.stop(StopMode::Force).await?;
        }
        warm::discard(&self.current_disk()).map_err(host_error)?;
        self.start_process(&disk, accelerator, false).await
    }

    async fn start_process(&mut self, disk: &DiskRecord, accelerator: Accelerator, loads_memory: bool) -> VerbResult {
        let boot = self.record.boots + 1;
        let (spec, network) = (&self.record.spec, &self.host.parts.network);
        let arguments = command::arguments(spec, disk, network, accelerator, boot, loads_memory);
        let limits = self.host.resources.limits.command(spec);
        let child = process::start(&self.folder, &limits, &arguments, self.host.account, network, spec.id)
            .await
            .map_err(|error| DriverError::Unavailable(error.to_string()))?;
        self.slot.add_child(child);
        self.process = Process::find(&self.folder, self.record.spec.id).map_err(host_error)?;
        self.ensure_watched()?;
        self.count_boot();
        self.save()
    }

    /// Resumes a paused machine: one whose host's disk was full, or that was paused by hand.
    async fn resume(&self) -> Result<GuestPower, DriverError> {
        let mut qmp = Qmp::connect(&self.folder).await.map_err(qemu_error)?;
        match qmp.status().await.map_err(qemu_error)?.as_str() {
            "inmigrate" | "shutdown" | "guest-panicked" | "internal-error" => return Ok(GuestPower::CannotRun),
            "paused" | "io-error" | "prelaunch" => {
                self.host.parts.capacity.admit_disk(self.folder.path())?;
                warm::discard(&self.current_disk()).map_err(host_error)?;
                qmp.execute("cont", json!({})).await.map_err(qemu_error)?;
            }
            _ => {}
        }
        Ok(GuestPower::CanRun)
    }

    /// Stops the machine and records that it is off on request, whatever its earlier condition.
    pub(super) async fn stop(&mut self, how: StopMode) -> VerbResult {
        if let Some(process) = self.process.take()
            && !(how == StopMode::Graceful && self.shut_down_guest(&process).await?)
        {
            self.quit(&process).await?;
        }
        let stopped = Some(self.record.boots);
        if self.record.stopped < stopped {
            self.record.stopped = stopped;
            self.save()?;
        }
        Ok(())
    }

    async fn quit(&self, process: &Process) -> VerbResult {
        if let Ok(mut qmp) = Qmp::connect(&self.folder).await {
            // A quit flushes QEMU's buffers to the disk. QEMU may exit before it responds.
            let _ = tokio::time::timeout(QUIT_TIME_MAX, qmp.execute("quit", json!({}))).await;
            if tokio::time::timeout(QUIT_TIME_MAX, process.exited()).await.is_ok() {
                return Ok(());
            }
        }
        process.kill().map_err(host_error)?;
        match tokio::time::timeout(KILL_TIME_MAX, process.exited()).await {
            Ok(ended) => ended.map_err(host_error),
            Err(_) => Err(DriverError::OutcomeUnknown(format!(
                "the process of {} was killed but has not exited yet",
                self.name()
            ))),
        }
    }

    /// Requests a shutdown until the guest has ended. Returns false at the deadline, or when a
    /// caller wants the power cut.
    async fn shut_down_guest(&self, process: &Process) -> Result<bool, DriverError> {
        let shutdown = async {
            loop {
                // A paused guest cannot receive the request.
                let resumed = self.resume().await;
                if resumed.is_ok()
                    && let Ok(mut qmp) = Qmp::connect(&self.folder).await
                {
                    let _ = qmp.execute("system_powerdown", json!({})).await;
                }
                // The watch ends the process of a guest that has shut down.
                if let Ok(ended) = tokio::time::timeout(SHUTDOWN_RETRY_INTERVAL, process.exited()).await {
                    return ended.map(|()| true).map_err(host_error);
                }
                if let Ok(GuestPower::CannotRun) = resumed {
                    return Ok(false);
                }
            }
        };
        tokio::select! {
            biased;
            ended = shutdown => ended,
            () = self.slot.force_requests.requested() => Ok(false),
            () = self.host.parts.clock.sleep_until(self.host.parts.clock.now() + self.host.parts.stop_time_max) => Ok(false),
        }
    }
}
