//! Power: a machine's process started, asked and made to end.

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
use super::{Done, Machine, blocking, of_host, of_wire};
use crate::{DriverError, StopMode, Tag};

/// How often a guest that was asked to stop is asked again: one that is only just starting does not
/// hear it.
const ASK_AGAIN: Duration = Duration::from_secs(4);

/// How long QEMU may take to end once told; then its process is killed.
const QUIT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a process that does not answer may take to be gone, if that is why.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a killed process may take to be gone.
const KILL_TIME_MAX: Duration = Duration::from_secs(10);

/// Whether a machine that has a process can run its guest.
enum GuestPower {
    Yes,
    /// It waits for a memory that nobody is going to hand to it, or its guest has ended.
    No,
}

impl Machine {
    pub async fn ensure_running(mut self) -> Done {
        let Some(process) = &self.process else { return self.start().await };
        let woken = self.wake().await;
        if let Ok(GuestPower::No) = woken {
            self.stop(StopMode::Force).await?;
            return self.start().await;
        }
        // It may have been about to end when we looked.
        if woken.is_err() && tokio::time::timeout(END_TIME_MAX, process.ended()).await.is_ok() {
            self.process = None;
            return self.start().await;
        }
        woken?;
        self.count_boot();
        self.save_boots()
    }

    pub async fn ensure_stopped(mut self, how: StopMode) -> Done {
        self.stop(how).await
    }

    pub async fn ensure_restarted(mut self, tag: Tag) -> Done {
        match self.record.restart(&tag) {
            Some(restart) if self.record.boots >= restart.boots => return Ok(()),
            Some(_) => {}
            None if !self.is_running() => {
                return Err(DriverError::Conflict(format!("{} is off and cannot be restarted", self.name())));
            }
            None => {
                // Without room it would be off and stay so.
                self.host.parts.capacity.admit_disk(self.folder.path())?;
                self.record.begin_restart(&tag);
                self.save()?;
            }
        }
        self.stop(StopMode::Graceful).await?;
        self.start().await
    }

    /// Makes a warm image of it: its memory and its disk at one moment. It ends with that.
    pub async fn become_image(mut self, id: ImageId) -> Done {
        let Some(record) = self.disk()? else {
            return Err(DriverError::Conflict(format!("{} has no disk", self.name())));
        };
        let memory = self.folder.join(MEMORY_FILE);
        warm::save(&self.folder, &memory, self.host.account).await.map_err(of_wire)?;
        self.stop(StopMode::Force).await?;
        let (images, present, shape) = (self.host.parts.images.clone(), self.present(), Shape::of(&self.record.spec));
        blocking(move || {
            images.register(&id, |draft| {
                disk::flatten(&present, draft)?;
                std::fs::rename(&memory, draft.join(MEMORY_FILE))?;
                Ok(ImageInfo { warm: Some(shape), ..record.about })
            })
        })
        .await
    }

    async fn start(&mut self) -> Done {
        let Some(disk) = self.disk()? else {
            return Err(DriverError::Conflict(format!("{} has no disk to start from", self.name())));
        };
        self.host.parts.capacity.admit_disk(self.folder.path())?;
        let _admission = self.host.admit(&self.record.spec).await?;
        let (present, size_gib) = (self.present(), self.record.spec.storage_gib);
        blocking(move || disk::grow(&present, size_gib)).await?;
        let accelerator = self.host.accelerator().await;
        let fits = accelerator == Accelerator::Tcg && disk.about.warm == Some(Shape::of(&self.record.spec));
        if fits && self.present().join(MEMORY_FILE).exists() {
            self.start_process(&disk, accelerator, true).await?;
            match warm::load(&self.folder, &self.present().join(MEMORY_FILE)).await {
                Ok(()) => {
                    self.wake().await?;
                    self.count_boot();
                    return self.save();
                }
                Err(error) => tracing::warn!(%error, "{} cannot take its image's memory and boots", self.name()),
            }
            self.stop(StopMode::Force).await?;
        }
        warm::forget(&self.present()).map_err(of_host)?;
        self.start_process(&disk, accelerator, false).await
    }

    async fn start_process(&mut self, disk: &DiskRecord, accelerator: Accelerator, waits_for_memory: bool) -> Done {
        let boot = self.record.boots + 1;
        let (spec, network) = (&self.record.spec, &self.host.parts.network);
        let arguments = command::arguments(spec, disk, network, accelerator, boot, waits_for_memory);
        let limits = self.host.limits.command(spec);
        let child = process::start(&self.folder, &limits, &arguments, self.host.account, network, spec.id)
            .await
            .map_err(|error| DriverError::Unavailable(error.to_string()))?;
        self.slot.keep_child(child);
        self.process = Process::find(&self.folder, self.record.spec.id).map_err(of_host)?;
        self.have_watched()?;
        self.count_boot();
        self.save()
    }

    /// Lets a machine that stands still go on: one whose host's disk was full, or that was paused
    /// by hand.
    async fn wake(&self) -> Result<GuestPower, DriverError> {
        let mut qmp = Qmp::connect(&self.folder).await.map_err(of_wire)?;
        match qmp.status().await.map_err(of_wire)?.as_str() {
            "inmigrate" | "shutdown" | "guest-panicked" | "internal-error" => return Ok(GuestPower::No),
            "paused" | "io-error" | "prelaunch" => {
                self.host.parts.capacity.admit_disk(self.folder.path())?;
                warm::forget(&self.present()).map_err(of_host)?;
                qmp.execute("cont", json!({})).await.map_err(of_wire)?;
            }
            _ => {}
        }
        Ok(GuestPower::Yes)
    }

    /// Afterwards it is off because somebody has asked for it, whatever it was off for before.
    pub(super) async fn stop(&mut self, how: StopMode) -> Done {
        if let Some(process) = self.process.take()
            && !(how == StopMode::Graceful && self.ended_when_asked(&process).await?)
        {
            self.end(&process).await?;
        }
        let stopped = Some(self.record.boots);
        if self.record.stopped < stopped {
            self.record.stopped = stopped;
            self.save()?;
        }
        Ok(())
    }

    async fn end(&self, process: &Process) -> Done {
        if let Ok(mut qmp) = Qmp::connect(&self.folder).await {
            // What is in QEMU's own memory gets to the disk. It may end before it can answer.
            let _ = tokio::time::timeout(QUIT_TIME_MAX, qmp.execute("quit", json!({}))).await;
            if tokio::time::timeout(QUIT_TIME_MAX, process.ended()).await.is_ok() {
                return Ok(());
            }
        }
        process.kill().map_err(of_host)?;
        match tokio::time::timeout(KILL_TIME_MAX, process.ended()).await {
            Ok(ended) => ended.map_err(of_host),
            Err(_) => Err(DriverError::OutcomeUnknown(format!("{} was killed and is not gone yet", self.name()))),
        }
    }

    /// Presses the power button until the guest has shut down; whether it has, before the deadline
    /// and before someone wants it forced.
    async fn ended_when_asked(&self, process: &Process) -> Result<bool, DriverError> {
        let asked = async {
            loop {
                // A guest that stands still cannot hear.
                let woken = self.wake().await;
                if woken.is_ok()
                    && let Ok(mut qmp) = Qmp::connect(&self.folder).await
                {
                    let _ = qmp.execute("system_powerdown", json!({})).await;
                }
                // The watch lets the process of a guest that has shut down end.
                if let Ok(ended) = tokio::time::timeout(ASK_AGAIN, process.ended()).await {
                    return ended.map(|()| true).map_err(of_host);
                }
                if let Ok(GuestPower::No) = woken {
                    return Ok(false);
                }
            }
        };
        tokio::select! {
            biased;
            ended = asked => ended,
            () = self.slot.forced() => Ok(false),
            () = self.host.parts.clock.sleep_until(self.host.parts.clock.now() + self.host.parts.stop_time_max) => Ok(false),
        }
    }
}
