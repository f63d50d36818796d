//! The verbs of the simulated driver: look at the machine, begin what it needs, wait, look again.

use async_trait::async_trait;
use cloudpc_model::{CloudPcId, ImageId, SnapshotId, Timestamp};
use futures_util::stream::BoxStream;
use std::sync::Arc;

use super::disk::Disk;
use super::guest::SimGuest;
use super::machine::{Machine, MachineChange, Requirement, Takes};
use super::{ScriptedCondition, SimDriver};
use crate::{Capabilities, Display, Driver, DriverError, Guest, MachineSpec, NO_DISPLAY, Observed, StopMode, Tag};

#[async_trait]
impl Driver for SimDriver {
    fn capabilities(&self, spec: &MachineSpec) -> Capabilities {
        Capabilities { resize: !spec.gpu, snapshots: true }
    }

    /// A simulated disk needs none.
    async fn check_image(&self, _image: &ImageId) -> Result<(), DriverError> {
        Ok(())
    }

    /// Its host is as large as anyone likes.
    fn check_size(&self, _spec: &MachineSpec) -> Result<(), DriverError> {
        Ok(())
    }

    async fn observe(&self, id: CloudPcId) -> Result<Observed, DriverError> {
        let now = self.inner.parts.clock.now();
        self.inner.lock().look(id, now).map(Machine::observed)
    }

    async fn ensure_present(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        {
            let mut world = self.inner.lock();
            if !world.has(spec.id) {
                let disk = Disk::from_image(spec, None)?;
                let mut machine = Machine::new(spec, ScriptedCondition::default());
                let takes = self.inner.spread(world.pace.mean_ms(Takes::Disk));
                machine.begin(MachineChange::MakeDisk(disk), self.inner.parts.clock.now() + takes);
                world.put(machine)?;
            }
        }
        self.ensure(spec.id, |_| Ok(Requirement::Met)).await
    }

    async fn ensure_absent(&self, id: CloudPcId) -> Result<(), DriverError> {
        {
            let mut world = self.inner.lock();
            if world.has(id) {
                world.remove(id)?;
            }
        }
        self.inner.stirred.notify_waiters();
        Ok(())
    }

    async fn ensure_running(&self, id: CloudPcId) -> Result<(), DriverError> {
        let boot = self.draw_boot();
        self.ensure(id, |machine| machine.look_running(boot)).await
    }

    async fn ensure_stopped(&self, id: CloudPcId, how: StopMode) -> Result<(), DriverError> {
        if how == StopMode::Force {
            self.cut_short(id, |change| matches!(change, MachineChange::PowerOff | MachineChange::Restart { .. }))?;
        }
        self.ensure(id, |machine| Ok(machine.look_stopped(how))).await
    }

    async fn ensure_restarted(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        let boot = self.draw_boot();
        self.ensure(id, |machine| machine.look_restarted(tag, boot)).await
    }

    async fn ensure_disk_aside(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        self.ensure(id, |machine| machine.look_disk_aside(tag)).await
    }

    async fn ensure_disk_from_image(&self, spec: &MachineSpec, tag: &Tag) -> Result<(), DriverError> {
        self.ensure(spec.id, |machine| machine.look_disk_from_image(spec, tag)).await
    }

    async fn ensure_disk_from_snapshot(
        &self,
        id: CloudPcId,
        snapshot: &SnapshotId,
        tag: &Tag,
    ) -> Result<(), DriverError> {
        self.ensure(id, |machine| machine.look_disk_from_snapshot(snapshot, tag)).await
    }

    async fn ensure_disk_back(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        // A disk that would be dropped need not be finished first.
        self.cut_short(id, |change| change.makes_disk_of(tag))?;
        self.ensure(id, |machine| machine.look_disk_back(tag)).await
    }

    async fn ensure_aside_dropped(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        self.ensure(id, |machine| Ok(machine.look_aside_dropped(tag))).await
    }

    async fn ensure_size(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        self.ensure(spec.id, |machine| machine.look_size(spec)).await
    }

    async fn ensure_snapshot(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError> {
        self.ensure(id, |machine| machine.look_snapshot(snapshot)).await
    }

    async fn ensure_snapshot_absent(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError> {
        self.ensure(id, |machine| Ok(machine.look_snapshot_absent(snapshot))).await
    }

    async fn guest(&self, id: CloudPcId) -> Result<Box<dyn Guest>, DriverError> {
        self.observe(id).await?;
        Ok(Box::new(SimGuest::new(self.inner.clone(), id)))
    }

    async fn display(&self, id: CloudPcId) -> Result<Box<dyn Display>, DriverError> {
        self.observe(id).await?;
        Err(no_display())
    }

    async fn screenshot(&self, id: CloudPcId) -> Result<Vec<u8>, DriverError> {
        self.observe(id).await?;
        Err(no_display())
    }

    fn watch(&self) -> BoxStream<'static, CloudPcId> {
        let inner = Arc::clone(&self.inner);
        // A machine that runs has come to no harm.
        self.inner.changes.watch(move || inner.lock().off())
    }

    async fn list(&self) -> Result<Vec<CloudPcId>, DriverError> {
        Ok(self.inner.lock().ids())
    }
}

fn no_display() -> DriverError {
    DriverError::Rejected { code: NO_DISPLAY.into(), message: "a simulated machine has no screen".into() }
}

impl SimDriver {
    /// Looks, begins what is needed, waits for its end and looks again, until the machine is as it
    /// should be.
    async fn ensure(
        &self,
        id: CloudPcId,
        look: impl Fn(&Machine) -> Result<Requirement, DriverError> + Send,
    ) -> Result<(), DriverError> {
        while let Some(ends_at) = self.advance(id, &look)? {
            self.inner.parts.clock.sleep_until(ends_at).await;
        }
        Ok(())
    }

    /// One look, without waiting: when the work under way ends, or none if the machine is as it
    /// should be.
    fn advance(
        &self,
        id: CloudPcId,
        look: impl Fn(&Machine) -> Result<Requirement, DriverError>,
    ) -> Result<Option<Timestamp>, DriverError> {
        let inner = &self.inner;
        let now = inner.parts.clock.now();
        let mut world = inner.lock();
        let machine = world.look(id, now)?;
        if let Some(ends_at) = machine.work_ends_at() {
            return Ok(Some(ends_at));
        }
        let Requirement::Missing(change, takes) = look(machine)? else { return Ok(None) };
        let mean_ms = world.pace.mean_ms(takes);
        let ends_at = now + inner.spread(mean_ms);
        world.change(id, |machine| {
            machine.begin(change, ends_at);
            machine.catch_up(now);
        })?;
        drop(world);
        inner.stirred.notify_waiters();
        Ok(Some(ends_at))
    }

    /// Gives up the work under way if `which` says so.
    fn cut_short(&self, id: CloudPcId, which: impl Fn(&MachineChange) -> bool) -> Result<(), DriverError> {
        let now = self.inner.parts.clock.now();
        let mut world = self.inner.lock();
        if world.look(id, now)?.work().is_some_and(which) {
            world.change(id, Machine::cut_short)?;
        }
        Ok(())
    }

    /// How long the next boot takes.
    fn draw_boot(&self) -> std::time::Duration {
        let mean_ms = self.inner.lock().pace.boot_ms;
        self.inner.spread(mean_ms)
    }
}

#[cfg(test)]
mod tests;
